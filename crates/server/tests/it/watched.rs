//! Resources on a toolkit: watched by clients of the newer generation, whichever generation their server is of, and read by the
//! URIs that results name.

use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use switchboard_domain::{Clock as _, SystemClock, SystemRandom, ToolkitId};
use switchboard_storage::{Toolkit, ToolkitSurface};
use switchboard_testkit::{
    app::{App, AppOptions, McpClient, McpStream},
    on_both,
    upstream::{Answer, Eras, Script, ScriptedUpstream},
};

use crate::support::{READ_WRITE, events, json_headers};

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

/// Opens a session of the older generation; its headers.
async fn session(client: &McpClient) -> HeaderMap {
    let greeting = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    let reply = client.legacy("initialize", greeting).await;
    let mut headers = json_headers();
    headers.insert("mcp-protocol-version", HeaderValue::from_static("2025-11-25"));
    headers.insert("mcp-session-id", HeaderValue::from_str(reply.header("mcp-session-id").unwrap()).unwrap());
    headers
}

async fn ask(client: &McpClient, session: &HeaderMap, method: &str, uri: &str) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": { "uri": uri } });
    client.send(Method::POST, session.clone(), body.to_string()).await.json()
}

/// The resource that the next message is about; what the upstream says is said again until somebody hears it.
async fn told(upstream: &ScriptedUpstream, stream: &mut McpStream, message: &Value) -> Value {
    upstream.push(message);
    let mut next = std::pin::pin!(stream.next());
    loop {
        tokio::select! {
            heard = &mut next => return heard.unwrap()["params"]["uri"].clone(),
            () = tokio::time::sleep(std::time::Duration::from_secs(2)) => {
                upstream.push(message);
            }
        }
    }
}

/// What a session watches is told of by the process that has its stream.
async fn told_elsewhere(one: App, two: App, eras: Eras) {
    let upstream = ScriptedUpstream::start(script(eras)).await;
    let id =
        one.add_with("demo", upstream.url(), |connection| connection.switches.expose_directly = true).await;
    one.grant_everyone(id).await;
    one.broker.check(one.organization, id, None).await.unwrap();
    two.broker.refresh_snapshots().await.unwrap();
    let token = one.token(one.owner, &READ_WRITE).await;
    let at_one = one.client_at("/mcp/connections/demo", Some(&token));
    let at_two = two.client_at("/mcp/connections/demo", Some(&token));
    let session = session(&at_one).await;
    let asked = || match eras {
        Eras::Modern => {
            let listens = upstream.log().of("subscriptions/listen");
            let watches = |it: &&switchboard_testkit::upstream::LoggedRequest| {
                it.message["params"]["notifications"]["resourceSubscriptions"][0] == "file:///notes"
            };
            listens.iter().filter(watches).count()
        }
        _ => upstream.log().count("resources/subscribe"),
    };
    let until = async |asked_of: usize| {
        while asked() < asked_of {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let updated = |uri: &str| json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "uri": uri } });
    // Once with the wish first and then the stream, once the other way round: always from the other process.
    assert!(ask(&at_one, &session, "resources/subscribe", "file:///notes").await["error"].is_null());
    until(1).await;
    let mut stream = at_two.stream(Method::GET, session.clone(), "").await;
    until(2).await;
    while upstream.open_streams() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // It counts from when the upstream has said yes.
    while events(&two, "resource.subscribe").await.len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    upstream.push(&updated("file:///other"));
    assert_eq!(told(&upstream, &mut stream, &updated("file:///notes")).await, "file:///notes");

    assert!(ask(&at_one, &session, "resources/unsubscribe", "file:///notes").await["error"].is_null());
    assert!(ask(&at_one, &session, "resources/subscribe", "file:///made").await["error"].is_null());
    let other_is_watched = || match eras {
        Eras::Modern => {
            upstream
                .log()
                .of("subscriptions/listen")
                .iter()
                .filter(|it| {
                    it.message["params"]["notifications"]["resourceSubscriptions"] == json!(["file:///made"])
                })
                .count()
                >= 2
        }
        _ => {
            upstream
                .log()
                .of("resources/subscribe")
                .iter()
                .filter(|it| it.message["params"]["uri"] == "file:///made")
                .count()
                >= 2
                && upstream.log().count("resources/unsubscribe") >= 2
        }
    };
    while !other_is_watched() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    while events(&two, "resource.subscribe").await.len() < 4 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    upstream.push(&updated("file:///notes"));
    assert_eq!(told(&upstream, &mut stream, &updated("file:///made")).await, "file:///made");

    // Nobody else's session says anything of it, and what ends takes along what it watched.
    let other = one.member("ana@example.test", switchboard_domain::Role::Member).await;
    let stranger = two.client_at("/mcp/connections/demo", Some(&two.token(other, &READ_WRITE).await));
    assert_eq!(stranger.send(Method::GET, session.clone(), "").await.status, 403);
    assert_eq!(at_two.send(Method::DELETE, session.clone(), "").await.status, 204);
    drop(stream);
    one.stop().await;
    two.stop().await;
}

async fn two_processes(db: &switchboard_storage::Db) -> (App, App) {
    let one = App::start(db.clone()).await;
    let options = AppOptions { keyring: Some(one.keyring.clone()), ..AppOptions::default() };
    (one, App::start_with(db.clone(), options).await)
}

on_both! {
    async fn what_a_session_watches_is_told_by_the_process_with_its_stream_of_an_older_server(database) {
        let (one, two) = two_processes(&database.db).await;
        told_elsewhere(one, two, Eras::Legacy).await;
    }

    async fn what_a_session_watches_is_told_by_the_process_with_its_stream_of_a_newer_server(database) {
        let (one, two) = two_processes(&database.db).await;
        told_elsewhere(one, two, Eras::Modern).await;
    }

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
