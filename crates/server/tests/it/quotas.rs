//! How much is called is counted by day, member, connection and team, on every replica; and what a quota has no room for
//! does not reach the upstream.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use switchboard_domain::{Connection, ConnectionOwner, MemberId, Role, Scope};
use switchboard_testkit::{
    app::{App, McpClient},
    on_both,
    upstream::ReferenceUpstream,
};

use crate::support::{READ_WRITE, json_headers};

async fn rest(app: &App, member: MemberId, method: Method, path: &str, body: Value) -> (u16, Value) {
    let token = app.token(member, &[Scope::Api, Scope::McpRead, Scope::McpWrite]).await;
    let client = app.client_at(&format!("/api/v1{path}"), Some(&token));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let reply = client.send(method, json_headers(), body).await;
    (reply.status.as_u16(), reply.json())
}

async fn put(app: &App, quotas: Value) -> Value {
    let (status, answer) = rest(app, app.owner, Method::PUT, "/quotas", quotas).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// What it was refused for.
async fn echo(client: &McpClient, slug: &str) -> String {
    let done = client.execute(&format!("{slug}.echo"), json!({ "text": "x" })).await;
    let told = &done["structuredContent"];
    match told["details"]["quota"]["subject"].as_str() {
        Some(subject) => {
            assert_eq!(told["code"], "rate_limited", "{told}");
            assert_eq!(told["actor"], "organization_admin", "{told}");
            assert!(
                told["message"].as_str().unwrap().contains("admin of the organization can raise it"),
                "{told}"
            );
            assert!(told["details"]["resets_at"].as_str().unwrap().ends_with("T00:00:00Z"), "{told}");
            subject.to_owned()
        }
        None => told["code"].as_str().unwrap_or("it ran").to_owned(),
    }
}

on_both! {
    async fn calls_are_counted_by_day_for_member_connection_and_team(database) {
        let app = App::start(database.db.clone()).await;
        let replica = App::start(database.db.clone()).await;
        let (one, two) = (ReferenceUpstream::start().await, ReferenceUpstream::start().await);
        app.connect("one", &one.url()).await;
        app.connect("two", &two.url()).await;
        replica.broker.refresh_snapshots().await.unwrap();
        let ana = app.member("ana@example.test", Role::Member).await;
        let bob = app.member("bob@example.test", Role::Member).await;
        let (_, team) = rest(&app, app.owner, Method::POST, "/teams", json!({ "name": "Support" })).await;
        let team = team["id"].as_str().unwrap().to_owned();
        let members = json!({ "members": [ana] });
        assert_eq!(rest(&app, app.owner, Method::PUT, &format!("/teams/{team}/members"), members).await.0, 200);
        let (anas, bobs) = (app.token(ana, &READ_WRITE).await, app.token(bob, &READ_WRITE).await);
        let (here, there) = (app.client(&anas), replica.client(&bobs));
        assert_eq!(echo(&here, "one").await, "it ran");
        assert_eq!(echo(&here, "two").await, "it ran");
        assert_eq!(echo(&there, "one").await, "it ran");
        assert_eq!(echo(&here, "none").await, "unknown_capability");
        replica.stop().await;
        let usage = async |by: &str| rest(&app, app.owner, Method::GET, &format!("/usage?by={by}&days=1"), Value::Null).await.1;
        let row = |usage: &Value, member: &str, is: &str| -> Value {
            usage["rows"].as_array().unwrap().iter().find(|row| row[member] == is).cloned().unwrap_or_default()
        };
        let by_connection = usage("connection").await;
        let first = row(&by_connection, "connection", "one");
        assert_eq!((&first["calls"], &first["ok"]), (&json!(2), &json!(2)), "{by_connection}");
        assert!(first["response_bytes"].as_i64().unwrap() > 0 && first["request_bytes"].as_i64().unwrap() > 0);
        assert_eq!(row(&by_connection, "connection", "two")["calls"], 1);
        assert_eq!(row(&by_connection, "connection", "")["refused"], 1, "it named none: {by_connection}");
        let by_member = usage("member").await;
        let (ana, bob) = (row(&by_member, "member", &ana.to_string()), row(&by_member, "member", &bob.to_string()));
        assert_eq!((&ana["name"], &ana["calls"], &ana["refused"]), (&json!("ana@example.test"), &json!(3), &json!(1)));
        assert_eq!((&bob["calls"], &bob["ok"]), (&json!(1), &json!(1)));
        let by_team = usage("team").await;
        let support = row(&by_team, "team", &team);
        assert_eq!((&support["name"], &support["ok"]), (&json!("Support"), &json!(2)), "{by_team}");
        let (status, _) = rest(&app, app.owner, Method::GET, "/usage?by=planet", Value::Null).await;
        assert_eq!(status, 422);
        app.stop().await;
    }

    async fn personal_connections_are_counted_without_their_names(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let ana = app.member("ana@example.test", Role::Member).await;
        let settings = json!({ "settings": { "personal_connections": true } });
        assert_eq!(rest(&app, app.owner, Method::PATCH, "/organization", settings).await.0, 200);
        app.broker.refresh_snapshots().await.unwrap();
        let mut mine = Vec::new();
        for slug in ["diary", "therapy"] {
            let owned = |connection: &mut Connection| connection.owner = ConnectionOwner::Member(ana);
            mine.push(app.add_with(slug, &upstream.url(), owned).await);
        }
        for id in mine {
            assert!(app.broker.check(app.organization, id, None).await.unwrap().failed.is_none());
        }
        app.broker.refresh_snapshots().await.unwrap();
        let client = app.client(&app.token(ana, &READ_WRITE).await);
        assert_eq!(echo(&client, "~diary").await, "it ran");
        assert_eq!(echo(&client, "~therapy").await, "it ran");
        let (_, usage) = rest(&app, app.owner, Method::GET, "/usage?by=connection&days=1", Value::Null).await;
        let text = usage.to_string();
        assert!(!text.contains("diary") && !text.contains("therapy"), "{text}");
        let rows = usage["rows"].as_array().unwrap();
        let personal = rows.iter().find(|row| row["connection"] == "~").unwrap();
        assert_eq!((&personal["name"], &personal["ok"]), (&json!("Personal connections"), &json!(2)));
        app.give_password(app.owner).await;
        let page = app.signed_in("owner@example.test").await.get("/usage").await.text();
        assert!(!page.contains("diary") && !page.contains("therapy"), "{page}");
        app.stop().await;
    }

    async fn what_a_quota_has_no_room_for_is_not_called(database) {
        let app = App::start(database.db.clone()).await;
        let (one, two) = (ReferenceUpstream::start().await, ReferenceUpstream::start().await);
        let connection = app.connect("one", &one.url()).await;
        app.connect("two", &two.url()).await;
        let ana = app.member("ana@example.test", Role::Member).await;
        let bob = app.member("bob@example.test", Role::Member).await;
        let (here, other) = (app.client(&app.token(ana, &READ_WRITE).await), app.client(&app.token(bob, &READ_WRITE).await));
        // Before there is a quota, calls of the month count already.
        assert_eq!(echo(&here, "one").await, "it ran");
        let quotas = put(&app, json!([{ "subject": connection, "period": "month", "calls": 3 }])).await;
        assert_eq!((&quotas["items"][0]["used"], &quotas["items"][0]["calls"]), (&json!(1), &json!(3)), "{quotas}");
        assert_eq!(echo(&here, "one").await, "it ran");
        assert_eq!(echo(&here, "one.no_such_tool").await, "unknown_capability", "a refused call takes no room");
        assert_eq!(echo(&other, "one").await, "it ran");
        assert_eq!(echo(&here, "one").await, connection.to_string());
        assert_eq!(echo(&other, "one").await, connection.to_string());
        assert_eq!(one.log().executions("echo"), 3, "not called means not called");
        assert_eq!(echo(&here, "two").await, "it ran", "the other connection has room");

        // Raised is raised at once; a member's own stands in place of everybody's.
        put(&app, json!([
            { "subject": connection, "period": "month", "calls": 100 },
            { "subject": "every_member", "period": "day", "calls": 0 },
            { "subject": ana, "period": "day", "calls": 5 },
        ])).await;
        assert_eq!(echo(&other, "one").await, "every_member");
        assert_eq!(echo(&here, "one").await, "it ran");
        assert_eq!(echo(&here, "one").await, "it ran");
        assert_eq!(echo(&here, "one").await, ana.to_string(), "three ran before it was set");
        let path = format!("/connections/{connection}/tools/echo/call");
        let (status, told) = rest(&app, ana, Method::POST, &path, json!({ "arguments": { "text": "x" } })).await;
        assert_eq!(status, 429, "by hand as well: {told}");
        put(&app, json!([{ "subject": "organization", "period": "day", "calls": 0 }])).await;
        assert_eq!(echo(&here, "two").await, "organization");
        put(&app, json!([])).await;
        assert_eq!(echo(&here, "two").await, "it ran");
        app.stop().await;
    }

    async fn a_team_has_room_for_its_members_together_and_all_at_once_is_no_way_around(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("one", &upstream.url()).await;
        let ana = app.member("ana@example.test", Role::Member).await;
        let bob = app.member("bob@example.test", Role::Member).await;
        let eve = app.member("eve@example.test", Role::Member).await;
        let (_, team) = rest(&app, app.owner, Method::POST, "/teams", json!({ "name": "Support" })).await;
        let team = team["id"].as_str().unwrap().to_owned();
        let members = json!({ "members": [ana, bob] });
        assert_eq!(rest(&app, app.owner, Method::PUT, &format!("/teams/{team}/members"), members).await.0, 200);
        put(&app, json!([{ "subject": team, "period": "day", "calls": 5 }])).await;
        let mut clients = Vec::new();
        for index in 0..24 {
            clients.push(app.client(&app.token(if index % 2 == 0 { ana } else { bob }, &READ_WRITE).await));
        }
        let outcomes = futures_util::future::join_all(clients.iter().map(|client| echo(client, "one"))).await;
        assert_eq!(outcomes.iter().filter(|outcome| *outcome == "it ran").count(), 5, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == team).count(), 19, "{outcomes:?}");
        assert_eq!(upstream.log().executions("echo"), 5);
        assert_eq!(echo(&app.client(&app.token(eve, &READ_WRITE).await), "one").await, "it ran", "not of the team");
        app.stop().await;
    }

    async fn replicas_learn_of_each_others_calls_and_a_restart_forgets_none(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let connection = app.connect("one", &upstream.url()).await;
        put(&app, json!([{ "subject": connection, "period": "day", "calls": 4 }])).await;
        let ana = app.member("ana@example.test", Role::Member).await;
        let token = app.token(ana, &READ_WRITE).await;
        let client = app.client(&token);
        for _ in 0..3 {
            assert_eq!(echo(&client, "one").await, "it ran");
        }
        app.stop().await;
        let (app, replica) = (App::start(database.db.clone()).await, App::start(database.db.clone()).await);
        assert_eq!(echo(&app.client(&token), "one").await, "it ran");
        // Two seconds here, five there: what is counted arrives, without anybody waiting for a fixed time.
        let there = replica.client(&token);
        for _ in 0..400 {
            let (_, quotas) = rest(&app, app.owner, Method::GET, "/quotas", Value::Null).await;
            if quotas["items"][0]["used"] == 4 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert_eq!(echo(&there, "one").await, connection.to_string(), "the other replica knows");
        assert_eq!(upstream.log().executions("echo"), 4);
        replica.stop().await;
        app.stop().await;
    }

    async fn quotas_are_the_admins_and_are_refused_with_an_explanation(database) {
        let app = App::start(database.db.clone()).await;
        let ana = app.member("ana@example.test", Role::Member).await;
        assert_eq!(rest(&app, ana, Method::GET, "/quotas", Value::Null).await.1["code"], "role_required");
        assert_eq!(rest(&app, ana, Method::PUT, "/quotas", json!([])).await.1["code"], "role_required");
        assert_eq!(rest(&app, ana, Method::GET, "/usage", Value::Null).await.1["code"], "role_required");
        let (org, stranger, _) = app.stranger(&READ_WRITE).await;
        let _ = org;
        for (wrong, path) in [
            (json!([{ "subject": stranger, "period": "day", "calls": 1 }]), "0.subject"),
            (json!([{ "subject": ana, "period": "day", "calls": 1 }, { "subject": ana, "period": "day", "calls": 2 }]), "1"),
            (json!([{ "subject": ana, "period": "day", "calls": 2_000_000_000_000_u64 }]), "0.calls"),
        ] {
            let (status, told) = rest(&app, app.owner, Method::PUT, "/quotas", wrong.clone()).await;
            assert_eq!((status, &told["code"]), (422, &json!("validation_failed")), "{wrong}: {told}");
            assert_eq!(told["violations"][0]["path"], path, "{told}");
        }
        for wrong in [json!({}), json!([{ "subject": "everybody", "period": "day", "calls": 1 }]), json!([{ "subject": ana, "period": "week", "calls": 1 }]), json!([{ "subject": ana, "period": "day", "calls": -1 }])] {
            let (status, told) = rest(&app, app.owner, Method::PUT, "/quotas", wrong.clone()).await;
            assert!((400..500).contains(&status), "{wrong}: {told}");
        }
        assert_eq!(rest(&app, app.owner, Method::GET, "/quotas", Value::Null).await.1, json!({ "items": [] }));
        app.stop().await;
    }
}
