//! A connection under another slug: what names it goes on naming it.

use serde_json::{Value, json};
use switchboard_testkit::{app::App, on_both, upstream::ReferenceUpstream};

use crate::support::{api, owner};

on_both! {
    async fn rules_and_toolkits_follow_a_connection_to_its_new_slug(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let id = app.connect("demo", &upstream.url()).await;
        let put = async |path: &str, body: Value| {
            let reply = api(&app, "PUT", path, Some(body)).await;
            assert!(reply.status.is_success(), "{}", reply.text());
        };
        put("/policies", json!([{ "pattern": "demo.echo", "action": "block" }, { "pattern": "demos.*", "action": "block" }])).await;
        put("/me/policies", json!([{ "pattern": "demo.fail", "action": "block" }])).await;
        let kit = json!({ "slug": "kit", "name": "Kit", "patterns": ["demo.*", "*.echo"] });
        let kit = api(&app, "POST", "/toolkits", Some(kit)).await.json();
        let path = format!("/toolkits/{}/policies", kit["id"].as_str().unwrap());
        put(&path, json!([{ "pattern": "demo.*", "action": "block" }])).await;
        let renamed = api(&app, "PATCH", &format!("/connections/{id}"), Some(json!({ "slug": "vendor" }))).await;
        assert_eq!(renamed.json()["slug"], "vendor", "{}", renamed.text());
        let patterns = async |path: &str| {
            let rules = api(&app, "GET", path, None).await.json();
            rules.as_array().unwrap().iter().map(|rule| rule["pattern"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(patterns("/policies").await, ["vendor.echo", "demos.*"]);
        assert_eq!(patterns("/me/policies").await, ["vendor.fail"]);
        assert_eq!(patterns(&path).await, ["vendor.*"]);
        let kit = api(&app, "GET", &format!("/toolkits/{}", kit["id"].as_str().unwrap()), None).await.json();
        assert_eq!(kit["patterns"], json!(["vendor.*", "*.echo"]));
        app.broker.refresh_snapshots().await.unwrap();
        let refused = owner(&app).await.execute("vendor.echo", json!({ "text": "x" })).await;
        assert_eq!(refused["structuredContent"]["code"], "policy_blocked", "{refused}");
        assert_eq!(upstream.log().executions("echo"), 0);
        app.stop().await;
    }
}
