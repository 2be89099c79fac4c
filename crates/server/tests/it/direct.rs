//! Direct surfaces: a connection's own endpoint and a direct toolkit.

use serde_json::{Value, json};
use switchboard_domain::{Clock as _, SystemClock, SystemRandom, ToolkitId};
use switchboard_storage::{Toolkit, ToolkitSurface};
use switchboard_testkit::{
    app::{App, McpClient},
    on_both,
    upstream::{Answer, Eras, ReferenceUpstream, Script, ScriptedUpstream},
};

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

async fn listed(client: &McpClient) -> Vec<String> {
    let tools = client.modern("tools/list", json!({})).await.result()["tools"].clone();
    tools.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

fn named(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({ "name": name, "inputSchema": { "type": "object" } })).collect()
}

on_both! {
    async fn tools_come_in_the_order_of_their_upstream(database) {
        let app = App::start(database.db.clone()).await;
        let scripted = async |names| ScriptedUpstream::start(Script::new().tools(&named(names)).page_size(2)).await;
        let (first, second) = (scripted(&["write", "read", "add"]).await, scripted(&["zoom", "ask"]).await);
        let mut ids = Vec::new();
        for (slug, upstream) in [("two", &second), ("one", &first)] {
            let id =
                app.add_with(slug, upstream.url(), |connection| connection.switches.expose_directly = true).await;
            app.grant_everyone(id).await;
            app.broker.check(app.organization, id, None).await.unwrap();
            ids.push(id);
        }
        toolkit(&app, "all", &["*"]).await;
        let token = app.token(app.owner, &READ_WRITE).await;
        let own = app.client_at("/mcp/connections/one", Some(&token));
        assert_eq!(listed(&own).await, ["write", "read", "add"]);
        let kit = app.client_at("/mcp/toolkits/all", Some(&token));
        assert_eq!(listed(&kit).await, ["one__write", "one__read", "one__add", "two__zoom", "two__ask"]);

        // A list that is only shuffled changes nobody's tools; one that has lost something is taken as it is now.
        let before = app.broker.snapshot(app.organization).unwrap().version;
        first.follow(Script::new().tools(&named(&["add", "write", "read"])));
        app.broker.check(app.organization, ids[1], None).await.unwrap();
        app.broker.refresh_snapshots().await.unwrap();
        assert_eq!(listed(&own).await, ["write", "read", "add"]);
        first.follow(Script::new().tools(&named(&["add", "write"])));
        app.broker.check(app.organization, ids[1], None).await.unwrap();
        app.broker.refresh_snapshots().await.unwrap();
        assert_eq!(listed(&own).await, ["add", "write"]);
        assert!(app.broker.snapshot(app.organization).unwrap().version > before);
        app.stop().await;
    }

    async fn definitions_and_results_pass_as_they_are(database) {
        let app = App::start(database.db.clone()).await;
        let tool = json!({
            "name": "draw", "title": "Draw", "description": "Draws.", "inputSchema": { "type": "object" },
            "outputSchema": { "type": "object", "properties": { "size": { "type": "integer" } } },
            "annotations": { "readOnlyHint": true, "title": "Draws" },
            "icons": [{ "src": "https://icons.example/draw.png", "mimeType": "image/png", "sizes": ["48x48"] }],
            "_meta": { "ui": { "resourceUri": "ui://draw/page" }, "example.com/mark": [1, null, 1.0e2] },
        });
        let result = json!({
            "resultType": "complete",
            "content": [
                { "type": "text", "text": "drawn", "annotations": { "audience": ["user"], "priority": 0.5 } },
                { "type": "image", "data": "aGk=", "mimeType": "image/png", "_meta": { "example.com/a": 1 } },
                { "type": "audio", "data": "aGk=", "mimeType": "audio/wav" },
                { "type": "resource_link", "uri": "ui://draw/page", "name": "page" },
                { "type": "resource", "resource": { "uri": "file:///a", "blob": "aGk=" } },
            ],
            "structuredContent": { "size": 3 }, "_meta": { "example.com/b": { "c": 1 } }, "example_further": [true],
        });
        let page = json!({
            "uri": "ui://draw/page", "mimeType": "text/html;profile=mcp-app", "text": "<!doctype html>",
            "_meta": { "ui": { "csp": { "connectDomains": [] } } },
        });
        let read = json!({ "resultType": "complete", "ttlMs": 5, "cacheScope": "public", "contents": [page] });
        let script = Script::new()
            .speaks(Eras::Modern)
            .offers(json!({ "tools": {}, "resources": {} }))
            .tools(std::slice::from_ref(&tool))
            .on("tools/call", Answer::result(&result))
            .on("resources/read", Answer::result(&read));
        let upstream = ScriptedUpstream::start(script).await;
        let id =
            app.add_with("demo", upstream.url(), |connection| connection.switches.expose_directly = true).await;
        app.grant_everyone(id).await;
        app.broker.check(app.organization, id, None).await.unwrap();
        toolkit(&app, "kit", &["demo.*"]).await;
        let token = app.token(app.owner, &READ_WRITE).await;
        let own = app.client_at("/mcp/connections/demo", Some(&token));
        assert_eq!(own.modern("tools/list", json!({})).await.result()["tools"], json!([tool]));
        let params = json!({ "name": "draw", "arguments": {}, "_meta": { "example.com/of-client": ["x"] } });
        assert_eq!(own.modern("tools/call", params).await.result(), result);
        let sent = upstream.log().of("tools/call");
        assert_eq!(sent[0].message["params"]["_meta"]["example.com/of-client"], json!(["x"]));
        let mut private = read.clone();
        private["cacheScope"] = json!("private");
        assert_eq!(own.modern("resources/read", json!({ "uri": "ui://draw/page" })).await.result(), private);

        // On a toolkit, names and addresses say whose they are, and nothing else differs.
        let kit = app.client_at("/mcp/toolkits/kit", Some(&token));
        let mut named = tool.clone();
        named["name"] = json!("demo__draw");
        named["_meta"]["ui"]["resourceUri"] = json!("ui://demo+draw/page");
        assert_eq!(kit.modern("tools/list", json!({})).await.result()["tools"], json!([named]));
        let mut addressed = result.clone();
        addressed["content"][3]["uri"] = json!("ui://demo+draw/page");
        addressed["content"][4]["resource"]["uri"] = json!("demo+file:///a");
        assert_eq!(kit.call("demo__draw", json!({})).await, addressed);
        private["contents"][0]["uri"] = json!("ui://demo+draw/page");
        assert_eq!(kit.modern("resources/read", json!({ "uri": "ui://demo+draw/page" })).await.result(), private);
        app.stop().await;
    }

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
