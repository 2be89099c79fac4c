//! Resources on a toolkit: watched by clients of the newer generation, whichever generation their server is of, and read by the
//! URIs that results name.

use http::{HeaderValue, Method};
use serde_json::{Value, json};
use switchboard_domain::{Clock as _, SystemClock, SystemRandom, ToolkitId};
use switchboard_storage::{Toolkit, ToolkitSurface};
use switchboard_testkit::{
    app::{App, McpStream},
    on_both,
    upstream::{Answer, Eras, Script, ScriptedUpstream},
};

use crate::support::{READ_WRITE, json_headers};

fn script(eras: Eras) -> Script {
    let common = json!({ "ttlMs": 0, "cacheScope": "private", "resultType": "complete" });
    let with = |mut members: Value| {
        members.as_object_mut().unwrap().extend(common.as_object().unwrap().clone());
        Answer::result(&members)
    };
    Script::new()
        .speaks(eras)
        .offers(json!({ "tools": {}, "resources": { "subscribe": true } }))
        .on("resources/list", with(json!({ "resources": [{ "uri": "file:///notes", "name": "notes" }] })))
        .on("resources/templates/list", with(json!({ "resourceTemplates": [] })))
        .on("resources/subscribe", Answer::result(&json!({})))
        .on("resources/unsubscribe", Answer::result(&json!({})))
        .on("resources/read", with(json!({ "contents": [{ "uri": "file:///made", "text": "read" }] })))
        .on(
            "tools/call",
            with(json!({ "content": [
            { "type": "resource_link", "uri": "file:///made", "name": "made" },
            { "type": "resource", "resource": { "uri": "file:///made", "text": "read" } },
        ] })),
        )
}

async fn toolkit(app: &App) {
    let now = SystemClock.now();
    let toolkit = Toolkit {
        id: ToolkitId::new(&SystemClock, &SystemRandom),
        organization: app.organization,
        owner: None,
        slug: "kit".parse().unwrap(),
        name: "kit".into(),
        surface: ToolkitSurface::Direct,
        patterns: vec!["demo.*".into()],
        members: vec![],
        teams: vec![],
        created_at: now,
        updated_at: now,
        revision: 1,
    };
    let mut tx = app.db.write().await.unwrap();
    assert!(tx.toolkits().insert(&toolkit).await.unwrap());
    tx.commit().await.unwrap();
    app.broker.refresh_snapshots().await.unwrap();
}

async fn listen(app: &App, token: &str, uris: &[&str]) -> McpStream {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({ "notifications": { "resourceSubscriptions": uris }, "_meta": meta });
    let body = json!({ "jsonrpc": "2.0", "id": "sub", "method": "subscriptions/listen", "params": params });
    let mut headers = json_headers();
    headers.insert("mcp-protocol-version", HeaderValue::from_static("2026-07-28"));
    headers.insert("mcp-method", HeaderValue::from_static("subscriptions/listen"));
    let client = app.client_at("/mcp/toolkits/kit", Some(token));
    client.stream(Method::POST, headers, body.to_string()).await
}

async fn told_of(app: App, eras: Eras) {
    let upstream = ScriptedUpstream::start(script(eras)).await;
    let id = app.add("demo", upstream.url()).await;
    app.grant_everyone(id).await;
    app.broker.check(app.organization, id, None).await.unwrap();
    toolkit(&app).await;
    let token = app.token(app.owner, &READ_WRITE).await;
    let mut stream = listen(&app, &token, &["demo+file:///notes", "nobody+file:///x", "demo"]).await;
    let accepted = stream.next().await.unwrap();
    let accepted = &accepted["params"]["notifications"]["resourceSubscriptions"];
    assert_eq!(accepted, &json!(["demo+file:///notes"]));

    let updated = |uri: &str| json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "uri": uri } });
    let is_asked = || match eras {
        Eras::Modern => {
            let asked = upstream.log().of("subscriptions/listen");
            asked.iter().any(|request| {
                request.message["params"]["notifications"]["resourceSubscriptions"][0] == "file:///notes"
            })
        }
        _ => upstream.log().count("resources/subscribe") == 1,
    };
    while !is_asked() || upstream.open_streams() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    upstream.push(&updated("file:///other"));
    while upstream.push(&updated("file:///notes")) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let heard = stream.next().await.unwrap();
    assert_eq!(heard["params"]["uri"], "demo+file:///notes", "{heard}");
    assert_eq!(heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "sub");
    drop(stream);
    while eras == Eras::Legacy && upstream.log().count("resources/unsubscribe") == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    app.stop().await;
}

on_both! {
    async fn a_watched_resource_is_told_of_by_a_server_of_the_newer_generation(database) {
        told_of(App::start(database.db.clone()).await, Eras::Modern).await;
    }

    async fn a_watched_resource_is_told_of_by_a_server_of_the_older_generation(database) {
        told_of(App::start(database.db.clone()).await, Eras::Legacy).await;
    }

    async fn what_a_result_on_a_toolkit_links_to_can_be_read_there(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ScriptedUpstream::start(script(Eras::Modern)).await;
        let id = app.add("demo", upstream.url()).await;
        app.grant_everyone(id).await;
        app.broker.check(app.organization, id, None).await.unwrap();
        toolkit(&app).await;
        let client = app.client_at("/mcp/toolkits/kit", Some(&app.token(app.owner, &READ_WRITE).await));
        let result = client.call("demo__echo", json!({})).await;
        let uri = result["content"][0]["uri"].as_str().unwrap_or_else(|| panic!("{result}"));
        assert_eq!(uri, "demo+file:///made");
        assert_eq!(result["content"][1]["resource"]["uri"], uri);
        let read = client.modern("resources/read", json!({ "uri": uri })).await.result();
        assert_eq!((&read["contents"][0]["uri"], &read["contents"][0]["text"]), (&json!(uri), &json!("read")));
        app.stop().await;
    }
}
