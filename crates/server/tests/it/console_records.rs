//! `/audit` and `/usage` in a browser: what is on record, found again, exported, counted; and for whom it is.

use http::Method;
use serde_json::{Value, json};
use switchboard_domain::{Role, Scope};
use switchboard_testkit::{
    app::{App, McpClient},
    on_both,
    upstream::ReferenceUpstream,
};

use crate::{
    connect::{Person, api},
    support::READ_WRITE,
};

const MIA: &str = "mia@example.test";

/// Calls that ended: nothing waits for these entries but this.
async fn ended(app: &App, token: &str, count: usize) -> Vec<Value> {
    loop {
        let read =
            api(app, token, Method::GET, "/audit?action=capability.execute&limit=200", None).await.json();
        let entries = read["items"].as_array().unwrap().iter();
        let ended: Vec<Value> = entries.filter(|it| it["outcome"].is_string()).cloned().collect();
        if ended.len() >= count {
            return ended;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn calls(client: &McpClient, text: &str, count: usize) {
    for _ in 0..count {
        client.execute("demo.echo", json!({ "text": text })).await;
    }
}

on_both! {
    async fn what_happened_is_found_by_who_what_and_how_it_ended(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        let mia = app.member(MIA, Role::Member).await;
        let client = app.client(&app.token(mia, &READ_WRITE).await);
        calls(&client, "hello", 55).await;
        client.execute("demo.fail", json!({ "message": "no" })).await;
        client.call("execute_capability", json!({ "name": "demo.echo", "arguments": { "text": "x" }, "intent": "<b>to see</b>" })).await;
        ended(&app, &owner.token, 57).await;
        let first = owner.browser.get("/audit").await.text();
        assert!(first.contains("demo.echo") && first.contains(MIA) && first.contains("Older entries"), "{first}");
        assert!(!first.contains("> Begun<"), "a call is told once");
        let next = first.split("\" rel=\"next\"").next().unwrap().rsplit("href=\"").next().unwrap().replace("&#38;", "&");
        let second = owner.browser.get(&next).await.text();
        assert!(second.contains("From the newest") && second.contains("<tr>"), "{second}");
        let failed = owner.browser.get(&format!("/audit?actor={MIA}&outcome=tool_error")).await.text();
        assert!(failed.contains("demo.fail") && !failed.contains("<bdi>demo.echo</bdi>") && failed.contains("selected>The tool"), "{failed}");
        let export = failed.split("href=\"/api/v1/audit/export?format=csv").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&");
        let csv = owner.browser.get(&format!("/api/v1/audit/export?format=csv{export}")).await.text();
        assert!(csv.starts_with("at,action") && csv.contains("demo.fail") && !csv.contains("demo.echo"), "{csv}");
        let unknown = owner.browser.get("/audit?actor=who%40example.test").await;
        assert!(unknown.status.as_u16() == 422 && unknown.text().contains("Nobody here has the address"), "{}", unknown.text());
        let none = owner.browser.get("/audit?target=%3Cscript%3E").await.text();
        assert!(none.contains("No entry fits") && !none.contains("<script>"), "{none}");
        assert_eq!(owner.browser.get("/audit?cursor=%21").await.status.as_u16(), 422);

        let meant = ended(&app, &owner.token, 57).await.into_iter().find(|it| it["intent"].is_string()).unwrap();
        let page = format!("/audit/{}/{}", meant["writer"].as_str().unwrap(), meant["seq"]);
        let shown = owner.browser.get(&page).await.text();
        for part in ["&#60;b&#62;to see", MIA, "Digest of the arguments", meant["arguments_digest"].as_str().unwrap(), meant["hash"].as_str().unwrap()] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let call = meant["reference_id"].as_str().unwrap();
        let both = owner.browser.get(&format!("/audit?call_id={call}")).await.text();
        assert!(both.contains("demo.echo") && both.contains("All that is kept"), "{both}");
        app.stop().await;
    }

    async fn calls_are_counted_by_day_and_tool(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        let empty = owner.browser.get("/usage").await.text();
        assert!(empty.contains("No calls in the last 7 days"), "{empty}");
        let client = app.client(&app.token(app.owner, &READ_WRITE).await);
        calls(&client, "x", 3).await;
        client.execute("demo.fail", json!({ "message": "no" })).await;
        ended(&app, &owner.token, 4).await;
        let shown = owner.browser.get("/usage?days=30").await.text();
        for part in ["4 calls in the last 30 days", "demo.echo", "demo.fail", "<svg class=\"calls-chart\"", "As a table", ": 3 well, 1 not"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert_eq!(shown.matches("<tr><th scope=\"row\">20").count(), 30, "a row for every day");
        app.stop().await;
    }

    async fn the_records_are_the_admins_of_this_organization_alone(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        calls(&app.client(&app.token(app.owner, &READ_WRITE).await), "x", 1).await;
        let entry = ended(&app, &owner.token, 1).await.remove(0);
        let page = format!("/audit/{}/{}", entry["writer"].as_str().unwrap(), entry["seq"]);
        let mia = Person::member(&app, MIA).await;
        let unknown = mia.browser.get("/members/mem_00000000000000000000000000").await.text();
        for path in ["/audit", "/usage", &*page, "/audit?actor=who%40example.test"] {
            assert!(app.browser().get(path).await.location().starts_with("/sign-in?return_to="), "{path}");
            let answer = mia.browser.get(path).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (404, unknown.clone()), "{path}");
        }
        let nothing = owner.browser.get("/audit/wrt_00000000000000000000000000/1").await;
        assert_eq!(nothing.status.as_u16(), 404);
        let (_, _, stranger) = app.stranger(&[Scope::Api]).await;
        assert_eq!(api(&app, &stranger, Method::GET, "/audit?action=capability.execute", None).await.json()["items"], json!([]));
        app.stop().await;
    }
}
