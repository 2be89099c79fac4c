//! Direct surfaces: a connection's own endpoint and a direct toolkit.

use serde_json::json;
use switchboard_domain::{Clock as _, SystemClock, SystemRandom, ToolkitId};
use switchboard_storage::{Toolkit, ToolkitSurface};
use switchboard_testkit::{app::App, on_both, upstream::ReferenceUpstream};

use crate::support::READ_WRITE;

async fn toolkit(app: &App, slug: &str, patterns: &[&str]) {
    let now = SystemClock.now();
    let mut tx = app.db.write().await.unwrap();
    let made = tx
        .toolkits()
        .insert(&Toolkit {
            id: ToolkitId::new(&SystemClock, &SystemRandom),
            organization: app.organization,
            owner: None,
            slug: slug.parse().unwrap(),
            name: slug.into(),
            surface: ToolkitSurface::Direct,
            patterns: patterns.iter().map(ToString::to_string).collect(),
            members: vec![],
            teams: vec![],
            created_at: now,
            updated_at: now,
            revision: 1,
        })
        .await
        .unwrap();
    assert!(made);
    tx.commit().await.unwrap();
    app.broker.refresh_snapshots().await.unwrap();
}

on_both! {
    async fn tools_are_listed_one_to_one_and_called_by_their_names(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let id = app
            .add_with("demo", &upstream.url(), |connection| connection.switches.expose_directly = true)
            .await;
        app.grant_everyone(id).await;
        app.broker.check(app.organization, id, None).await.unwrap();
        toolkit(&app, "support", &["demo.echo"]).await;
        let token = app.token(app.owner, &READ_WRITE).await;

        let own = app.client_at("/mcp/connections/demo", Some(&token));
        let tools = own.modern("tools/list", json!({})).await.result()["tools"].clone();
        let mut names: Vec<_> = tools.as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap().to_owned()).collect();
        let mut expected = upstream.tool_names();
        names.sort();
        expected.sort();
        assert_eq!(names, expected);
        let done = own.call("echo", json!({ "text": "direct" })).await;
        assert!(done.to_string().contains("direct"), "{done}");

        let kit = app.client_at("/mcp/toolkits/support", Some(&token));
        let tools = kit.legacy("tools/list", json!({})).await.result()["tools"].clone();
        assert_eq!(tools.as_array().unwrap().len(), 1, "{tools}");
        assert_eq!(tools[0]["name"], "demo__echo");
        let done = kit.call("demo__echo", json!({ "text": "toolkit" })).await;
        assert!(done.to_string().contains("toolkit"), "{done}");
        assert_eq!(upstream.log().executions("echo"), 2);

        let outside = kit.modern("tools/call", json!({ "name": "echo", "arguments": {} })).await;
        assert_eq!(outside.error_code(), -32602);
        let unknown = app.client_at("/mcp/toolkits/nothing", Some(&token));
        let none = unknown.call("execute_capability", json!({ "name": "demo.echo", "arguments": { "text": "x" } })).await;
        assert_eq!(none["structuredContent"]["code"], "unknown_capability", "{none}");
        assert_eq!(upstream.log().executions("echo"), 2);
        app.stop().await;
    }
}
