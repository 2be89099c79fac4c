//! Connections that are staged are the admins', on every replica, wherever one could look or call; publishing is one
//! switch, and so is taking back.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use switchboard_domain::{MemberId, Role, Scope};
use switchboard_testkit::{
    app::{App, McpClient},
    on_both,
    upstream::ReferenceUpstream,
};

use crate::support::{READ_WRITE, json_headers};

async fn rest(app: &App, member: MemberId, method: Method, path: &str, body: Value) -> (u16, Value) {
    let token = app.token(member, &[Scope::Api]).await;
    let client = app.client_at(&format!("/api/v1{path}"), Some(&token));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let reply = client.send(method, json_headers(), body).await;
    (reply.status.as_u16(), reply.json())
}

/// Whether a search shows anything of a connection, be it only its state.
async fn finds(client: &McpClient, slug: &str) -> bool {
    let found = client.search(json!({ "query": "echo", "limit": 20 })).await;
    let of = |found: &&Value| found["connection"]["slug"] == slug;
    found["matches"].as_array().is_some_and(|matches| matches.iter().find(of).is_some())
}

async fn echo(client: &McpClient, slug: &str) -> String {
    let done = client.execute(&format!("{slug}.echo"), json!({ "text": "x" })).await;
    done["structuredContent"]["code"].as_str().unwrap_or("it ran").to_owned()
}

/// A change is in force on every replica within a second.
async fn becomes(client: &McpClient, slug: &str, wanted: &str) {
    for _ in 0..100 {
        if echo(client, slug).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{slug} did not become: {wanted}");
}

on_both! {
    async fn what_is_staged_is_the_admins_until_it_is_published(database) {
        let app = App::start(database.db.clone()).await;
        let replica = App::start(database.db.clone()).await;
        let (upstream, other) = (ReferenceUpstream::start().await, ReferenceUpstream::start().await);
        let new = app.connect("new", &upstream.url()).await;
        app.connect("old", &other.url()).await;
        let ana = app.member("ana@example.test", Role::Member).await;
        let adm = app.member("adm@example.test", Role::Admin).await;
        let anas = app.token(ana, &READ_WRITE).await;
        let (member, there) = (app.client(&anas), replica.client(&anas));
        let admin = app.client(&app.token(adm, &READ_WRITE).await);
        for client in [&member, &there, &admin] {
            becomes(client, "new", "it ran").await;
        }

        let path = format!("/connections/{new}");
        assert_eq!(rest(&app, ana, Method::PATCH, &path, json!({ "staged": true })).await.0, 404);
        let (status, staged) = rest(&app, app.owner, Method::PATCH, &path, json!({ "staged": true })).await;
        assert_eq!((status, &staged["rollout"]), (200, &json!("staged")), "{staged}");
        upstream.log().clear();
        assert_eq!(echo(&member, "new").await, "unknown_capability", "forbidden looks like unknown");
        becomes(&there, "new", "unknown_capability").await;
        upstream.log().clear();
        assert_eq!(echo(&member, "old").await, "it ran", "the others go on");
        assert!(!finds(&member, "new").await && finds(&member, "old").await && finds(&admin, "new").await);
        let (for_new, _) = app.token_for(ana, &READ_WRITE, Some("/mcp/connections/new"), None).await;
        let direct = app.client_at("/mcp/connections/new", Some(&for_new));
        assert!(!finds(&direct, "new").await);
        assert_eq!(echo(&direct, "new").await, "unknown_capability");
        assert_eq!(rest(&app, ana, Method::GET, &path, Value::Null).await.0, 404, "REST");
        let call = json!({ "arguments": { "text": "x" } });
        assert_eq!(rest(&app, ana, Method::POST, &format!("{path}/tools/echo/call"), call.clone()).await.0, 404);
        assert_eq!(rest(&app, ana, Method::PUT, &format!("{path}/credential"), json!({ "api_key": "k" })).await.0, 404);
        let (_, usable) = rest(&app, ana, Method::GET, "/connections?scope=usable", Value::Null).await;
        assert!(!usable.to_string().contains(&new.to_string()), "{usable}");
        let explain = format!("/policies/explain?capability=new.echo&member={ana}");
        let (_, why) = rest(&app, adm, Method::GET, &explain, Value::Null).await;
        assert!(why.to_string().contains("staged"), "{why}");
        assert_eq!(upstream.log().executions("echo"), 0, "not called means not called");
        assert_eq!(echo(&admin, "new").await, "it ran");
        assert_eq!(upstream.log().executions("echo"), 1);

        for (verb, after) in [("publish", "it ran"), ("take-back", "unknown_capability"), ("publish", "it ran")] {
            let path = format!("/rollout/{verb}");
            assert_eq!(rest(&app, ana, Method::POST, &path, json!({})).await.1["code"], "role_required");
            let (status, rollout) = rest(&app, adm, Method::POST, &path, json!({})).await;
            let list = if verb == "publish" { "published" } else { "staged" };
            assert_eq!((status, &rollout[list][0]["slug"]), (200, &json!("new")), "{rollout}");
            assert_eq!(echo(&member, "new").await, after, "at once here");
            becomes(&there, "new", after).await;
        }
        // Not granted stays not granted, published or not, admin or not.
        assert_eq!(rest(&app, adm, Method::PUT, &format!("/connections/{new}/grants"), json!({})).await.0, 200);
        assert_eq!(echo(&admin, "new").await, "unknown_capability");
        let (_, opened) = rest(&app, adm, Method::PATCH, &path, json!({ "staged": false })).await;
        assert_eq!(opened["rollout"], "open");
        let (_, rollout) = rest(&app, adm, Method::GET, "/rollout", Value::Null).await;
        assert_eq!(rollout, json!({ "staged": [], "published": [] }));
        replica.stop().await;
        app.stop().await;
    }

    async fn a_connection_can_begin_staged(database) {
        let app = App::start(database.db.clone()).await;
        let new = json!({ "slug": "begun", "url": "http://127.0.0.1:4321/mcp", "auth_type": "none", "staged": true });
        let (status, made) = rest(&app, app.owner, Method::POST, "/connections", new.clone()).await;
        assert_eq!((status, &made["rollout"]), (201, &json!("staged")), "{made}");
        let settings = json!({ "settings": { "personal_connections": true } });
        rest(&app, app.owner, Method::PATCH, "/organization", settings).await;
        let mut personal = new;
        personal["owner"] = json!("member");
        let (status, refused) = rest(&app, app.owner, Method::POST, "/connections", personal).await;
        assert_eq!((status, &refused["code"]), (422, &json!("validation_failed")), "{refused}");
        app.stop().await;
    }
}
