//! Why an agent calls: asked of direct tools, taken out before the server sees it, kept for people.

use serde_json::{Value, json};
use switchboard_storage::AuditFilter;
use switchboard_testkit::{app::App, on_both, upstream::ReferenceUpstream};

use crate::support::READ_WRITE;

/// Intents on record of calls, the newest first.
async fn intents(app: &App) -> Vec<String> {
    let mut tx = app.db.read().await.unwrap();
    let filter = AuditFilter { action: Some("capability.execute".into()), ..AuditFilter::default() };
    let entries = tx.audit().page(app.organization, &filter, 100).await.unwrap();
    let bodies = entries.iter().map(|entry| serde_json::from_str::<Value>(&entry.body).unwrap());
    let started = bodies.filter(|body| body["phase"] == "started");
    started.filter_map(|body| body["intent"].as_str().map(str::to_owned)).collect()
}

on_both! {
    async fn the_upstream_gets_its_own_arguments_in_every_shape(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let id = app
            .add_with("demo", &upstream.url(), |connection| {
                connection.switches.expose_directly = true;
                connection.switches.model_intent = true;
            })
            .await;
        app.grant_everyone(id).await;
        app.broker.check(app.organization, id, None).await.unwrap();
        let token = app.token(app.owner, &READ_WRITE).await;
        let direct = app.client_at("/mcp/connections/demo", Some(&token));
        let tools = direct.modern("tools/list", json!({})).await.result()["tools"].clone();
        let echo = tools.as_array().unwrap().iter().find(|tool| tool["name"] == "echo").unwrap().clone();
        let schema = &echo["inputSchema"];
        assert_eq!(schema["required"], json!(["model_intent", "properties"]), "{echo}");
        assert_eq!(schema["properties"]["properties"]["properties"]["text"]["type"], "string", "{echo}");

        for arguments in [
            json!({ "model_intent": "nested", "properties": { "text": "x" } }),
            json!({ "model_intent": "as a text", "properties": "{\"text\": \"x\"}" }),
            json!({ "model_intent": "flat", "text": "x" }),
            json!({ "text": "x" }),
        ] {
            let done = direct.call("echo", arguments.clone()).await;
            assert_ne!(done["isError"], json!(true), "{arguments}: {done}");
        }
        let seen: Vec<Value> =
            upstream.log().of("tools/call").iter().map(|call| call.arguments().unwrap().clone()).collect();
        assert_eq!(seen, vec![json!({ "text": "x" }); 4]);
        assert_eq!(intents(&app).await, ["flat", "as a text", "nested"]);

        // Through the two tools it is a member of the call itself.
        let two = app.client(&token);
        let asked = json!({ "name": "demo.echo", "arguments": { "text": "x" }, "intent": "beside" });
        assert_ne!(two.call("execute_capability", asked).await["isError"], json!(true));
        assert_eq!(upstream.log().of("tools/call")[4].arguments(), Some(&json!({ "text": "x" })));
        assert_eq!(intents(&app).await[0], "beside");
        app.stop().await;
    }
}
