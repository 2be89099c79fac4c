//! Tasks between generations: clients and servers of 2025-11-25 and of 2026-07-28, in every pairing that tasks.rs has not.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use switchboard_domain::Role;
use switchboard_testkit::{
    app::{App, McpClient, McpReply, McpStream},
    conformance::ConformanceUpstream,
    on_both,
    upstream::{Answer, Eras, Match, Script, ScriptedUpstream},
};

use crate::support::{READ_WRITE, events, json_headers};

const RELATED: &str = "io.modelcontextprotocol/related-task";

async fn start(app: &App, url: &str) -> switchboard_domain::ConnectionId {
    let id = app.add_with("demo", url, |connection| connection.switches.expose_directly = true).await;
    app.grant_everyone(id).await;
    app.broker.check(app.organization, id, None).await.unwrap();
    id
}

async fn client_of(app: &App, member: switchboard_domain::MemberId) -> McpClient {
    app.client_at("/mcp/connections/demo", Some(&app.token(member, &READ_WRITE).await))
}

async fn initialize(client: &McpClient, version: &str, capabilities: Value) -> McpReply {
    let info = json!({ "name": "t", "version": "1" });
    let greeting = json!({ "protocolVersion": version, "capabilities": capabilities, "clientInfo": info });
    client.legacy("initialize", greeting).await
}

/// A client with a session of the older generation, and the headers of that session.
async fn session(client: McpClient, capabilities: Value) -> (McpClient, HeaderMap) {
    let id =
        initialize(&client, "2025-11-25", capabilities).await.header("mcp-session-id").unwrap().to_owned();
    let mut headers = json_headers();
    headers.insert("mcp-protocol-version", HeaderValue::from_static("2025-11-25"));
    headers.insert("mcp-session-id", HeaderValue::from_str(&id).unwrap());
    (client.with_header("mcp-session-id", &id), headers)
}

/// Calls a tool as a task of the older generation.
async fn begin(client: &McpClient, tool: &str, arguments: Value) -> Value {
    let params = json!({ "name": tool, "arguments": arguments, "task": { "ttl": 60_000 } });
    let result = client.legacy("tools/call", params).await.result();
    assert!(result["task"].is_object(), "{result}");
    result["task"].clone()
}

fn id_of(task: &Value) -> String {
    let id = task["taskId"].as_str().unwrap_or_else(|| panic!("{task}"));
    assert!(id.starts_with("task_"), "an id of ours: {task}");
    id.to_owned()
}

async fn about(client: &McpClient, method: &str, task: &str) -> McpReply {
    client.legacy(method, json!({ "taskId": task })).await
}

async fn ended(client: &McpClient, task: &str) -> Value {
    loop {
        let found = about(client, "tasks/get", task).await.result();
        if found["status"] != "working" {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// `_meta` of a client of the newer generation that knows tasks.
fn knowing(mut params: Value) -> Value {
    let capabilities = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    params["_meta"] = json!({ "io.modelcontextprotocol/clientCapabilities": capabilities });
    params
}

/// A server of the older generation with a tool that works as a task only.
fn older(status: &str) -> Script {
    let task = |status: &str| {
        json!({
            "taskId": "theirs-1", "status": status, "statusMessage": "Reading…", "createdAt": "2026-01-01T00:00:00Z",
            "lastUpdatedAt": "2026-01-01T00:00:01Z", "ttl": 60_000, "pollInterval": 100,
        })
    };
    let result = json!({
        "content": [{ "type": "text", "text": "read" }], "isError": status == "failed",
        "_meta": { RELATED: { "taskId": "theirs-1" } },
    });
    Script::new()
        .speaks(Eras::Legacy)
        .offers(json!({ "tools": {}, "tasks": { "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } } }))
        .tools(&[json!({
            "name": "read", "inputSchema": { "type": "object" }, "execution": { "taskSupport": "required" },
        })])
        .on(Match::tool("read"), Answer::result(&json!({ "task": task("working") })))
        .on(Match::method("tasks/get").times(1), Answer::result(&task("working")))
        .on("tasks/get", Answer::result(&task(status)))
        .on("tasks/result", Answer::result(&result))
        .on("tasks/cancel", Answer::result(&task("cancelled")))
}

async fn next_of(stream: &mut McpStream, method: &str) -> Value {
    loop {
        let message = stream.next().await.unwrap_or_else(|| panic!("no {method}"));
        if message["method"] == method {
            return message;
        }
    }
}

on_both! {
    async fn a_client_of_the_older_generation_has_tasks_of_a_newer_server(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ConformanceUpstream::start().await;
        start(&app, &upstream.url()).await;
        let client = client_of(&app, app.owner).await;
        let offered = initialize(&client, "2025-11-25", json!({})).await.result();
        assert!(offered["capabilities"]["tasks"]["requests"]["tools"]["call"].is_object(), "{offered}");
        let earlier = initialize(&client, "2025-06-18", json!({})).await.result();
        assert!(earlier["capabilities"]["tasks"].is_null(), "{earlier}");

        let task = begin(&client, "slow_compute", json!({ "seconds": 0.3 })).await;
        assert!(task["status"] == "working" && task.get("ttl").is_some() && task.get("ttlMs").is_none(), "{task}");
        let id = id_of(&task);
        let done = ended(&client, &id).await;
        assert!(done["status"] == "completed" && done["taskId"] == json!(id) && done.get("result").is_none(), "{done}");
        let result = about(&client, "tasks/result", &id).await.result();
        assert!(result["content"][0]["text"].as_str().unwrap().starts_with("computed"), "{result}");
        assert_eq!(result["_meta"][RELATED]["taskId"], json!(id), "{result}");
        assert!(result.get("resultType").is_none(), "{result}");

        // What ends with an error: of the tool, or of the protocol.
        let failing = id_of(&begin(&client, "failing_job", json!({})).await);
        assert_eq!(ended(&client, &failing).await["status"], "failed");
        assert_eq!(about(&client, "tasks/result", &failing).await.result()["isError"], true);
        let broken = id_of(&begin(&client, "protocol_error_job", json!({})).await);
        let error = about(&client, "tasks/result", &broken).await;
        assert_eq!((error.status.as_u16(), error.error_code()), (200, -32603));

        // What was over at once is a task, too.
        let quick = begin(&client, "test_simple_text", json!({})).await;
        assert_eq!(quick["status"], "completed", "{quick}");
        let quick = id_of(&quick);
        assert_eq!(about(&client, "tasks/get", &quick).await.result()["status"], "completed");
        let result = about(&client, "tasks/result", &quick).await.result();
        assert!(result["content"][0]["text"].is_string(), "{result}");
        assert_eq!(about(&client, "tasks/cancel", &quick).await.error_code(), -32602);

        // It is cancelled once.
        let long = id_of(&begin(&client, "slow_compute", json!({ "seconds": 600 })).await);
        assert_eq!(about(&client, "tasks/cancel", &long).await.result()["taskId"], json!(long));
        assert_eq!(ended(&client, &long).await["status"], "cancelled");
        assert_eq!(about(&client, "tasks/cancel", &long).await.error_code(), -32602);

        // All of them are listed, to nobody else.
        let listed = client.legacy("tasks/list", json!({})).await.result();
        let ids: Vec<&str> = listed["tasks"].as_array().unwrap().iter().map(|task| task["taskId"].as_str().unwrap()).collect();
        assert_eq!(ids, [&*id, &*failing, &*broken, &*quick, &*long], "{listed}");
        let ana = client_of(&app, app.member("ana@example.test", Role::Member).await).await;
        assert_eq!(ana.legacy("tasks/list", json!({})).await.result()["tasks"], json!([]));
        for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
            assert_eq!(about(&ana, method, &quick).await.error_code(), -32602);
        }
        assert_eq!(client.legacy("tasks/list", json!({ "cursor": "x" })).await.error_code(), -32602);

        // A tool that works as a task only, called like any other: it is waited for.
        let plain = client.legacy("tools/call", json!({ "name": "failing_job", "arguments": {} })).await.result();
        assert!(plain["isError"] == true && plain["content"][0]["text"] == "failed, as meant", "{plain}");
        while events(&app, "task.result").await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        app.stop().await;
    }

    async fn what_a_newer_servers_task_asks_for_is_asked_while_an_older_client_waits(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ConformanceUpstream::start().await;
        start(&app, &upstream.url()).await;
        let client = client_of(&app, app.owner).await;
        let (client, headers) = session(client, json!({ "elicitation": {} })).await;
        let id = id_of(&begin(&client, "confirm_delete", json!({})).await);
        let waits = json!({ "jsonrpc": "2.0", "id": 7, "method": "tasks/result", "params": { "taskId": id } });
        let mut stream = client.stream(Method::POST, headers.clone(), waits.to_string()).await;
        let question = next_of(&mut stream, "elicitation/create").await;
        assert_eq!(question["params"]["_meta"][RELATED]["taskId"], json!(id), "{question}");
        let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "action": "accept", "content": { "confirmed": true } } });
        assert_eq!(client.send(Method::POST, headers, answer.to_string()).await.status, 202);
        let done = stream.next().await.unwrap();
        assert_eq!(done["id"], 7);
        assert!(done["result"]["content"][0]["text"].as_str().unwrap().contains("confirmed"), "{done}");
        assert_eq!(ended(&client, &id).await["status"], "completed");
        app.stop().await;
    }

    async fn a_client_of_the_newer_generation_has_tasks_of_an_older_server(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ScriptedUpstream::start(older("failed")).await;
        start(&app, upstream.url()).await;
        let client = client_of(&app, app.owner).await;
        let offered = client.modern("server/discover", json!({})).await.result();
        assert!(offered["capabilities"]["extensions"]["io.modelcontextprotocol/tasks"].is_object(), "{offered}");
        let call = |params: Value| client.modern("tools/call", params);
        let begun = call(knowing(json!({ "name": "read", "arguments": {} }))).await.result();
        assert_eq!((&begun["resultType"], &begun["status"], &begun["ttlMs"]), (&json!("task"), &json!("working"), &json!(60_000)), "{begun}");
        let id = id_of(&begun);
        let sent = upstream.log().of("tools/call");
        assert_eq!(sent[0].message["params"]["task"], json!({}));
        let ask = |method: &'static str| client.modern(method, knowing(json!({ "taskId": id })));
        let now = ask("tasks/get").await.result();
        assert_eq!((&now["status"], &now["statusMessage"], &now["pollIntervalMs"]), (&json!("working"), &json!("Reading…"), &json!(100)), "{now}");
        // The older generation calls a tool's error a failure, the newer one calls it completed.
        let done = ask("tasks/get").await.result();
        assert_eq!((&done["status"], &done["resultType"]), (&json!("completed"), &json!("complete")), "{done}");
        assert_eq!(done["result"]["content"][0]["text"], "read", "{done}");
        assert_eq!(done["result"]["_meta"][RELATED]["taskId"], json!(id), "no name of the upstream's: {done}");
        assert_eq!(upstream.log().of("tasks/result")[0].message["params"]["taskId"], "theirs-1");
        assert_eq!(ask("tasks/cancel").await.result(), json!({ "resultType": "complete" }));
        assert_eq!(client.modern("tasks/get", json!({ "taskId": id })).await.error_code(), -32021);
        app.stop().await;
    }

    async fn a_newer_client_without_tasks_is_told_what_an_older_servers_tool_needs(database) {
        let app = App::start(database.db.clone()).await;
        let refused = json!({ "jsonrpc": "2.0", "id": "ID", "error": { "code": -32601, "message": "it is a task" } });
        let refused = refused.to_string().replace("\"ID\"", "{{ID}}");
        let upstream = ScriptedUpstream::start(
            Script::new().speaks(Eras::Legacy).offers(json!({ "tools": {}, "tasks": { "requests": { "tools": { "call": {} } } } }))
                .tools(&[json!({ "name": "read", "inputSchema": { "type": "object" }, "execution": { "taskSupport": "required" } })])
                .on("tools/call", Answer::json_text(refused)),
        ).await;
        start(&app, upstream.url()).await;
        let client = client_of(&app, app.owner).await;
        let told = client.modern("tools/call", json!({ "name": "read", "arguments": {} })).await;
        assert_eq!((told.status.as_u16(), told.error_code()), (400, -32021), "{}", told.json());
        assert!(upstream.log().of("tools/call")[0].message["params"].get("task").is_none());
        app.stop().await;
    }

    async fn both_of_the_older_generation_have_tasks_under_ids_of_ours(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ScriptedUpstream::start(older("completed")).await;
        start(&app, upstream.url()).await;
        let token = app.token(app.owner, &READ_WRITE).await;
        let (client, headers) = session(app.client_at("/mcp/connections/demo", Some(&token)), json!({})).await;
        let mut stream = client.stream(Method::GET, headers.clone(), "").await;
        let id = id_of(&begin(&client, "read", json!({})).await);
        assert_eq!(upstream.log().of("tools/call")[0].message["params"]["task"], json!({ "ttl": 60_000 }));
        let again = id_of(&begin(&client, "read", json!({})).await);
        assert_ne!(id, again, "two calls, two ids, whatever the upstream calls them");
        assert_eq!(ended(&client, &id).await["taskId"], json!(id));
        let result = about(&client, "tasks/result", &id).await.result();
        assert_eq!(result["_meta"][RELATED]["taskId"], json!(id), "{result}");
        let cancelled = about(&client, "tasks/cancel", &id).await.result();
        assert_eq!((&cancelled["taskId"], &cancelled["status"]), (&json!(id), &json!("cancelled")));
        for asked in upstream.log().of("tasks/get") {
            assert_eq!(asked.message["params"]["taskId"], "theirs-1");
        }
        assert_eq!(upstream.log().count("tasks/list"), 0);
        // Neither the upstream's name of it nor somebody else's is any good.
        let ana = client_of(&app, app.member("ana@example.test", Role::Member).await).await;
        assert_eq!(about(&client, "tasks/get", "theirs-1").await.error_code(), -32602);
        assert_eq!(about(&ana, "tasks/result", &id).await.error_code(), -32602);

        // What the upstream says of its task reaches the session whose task it is.
        let other = session(ana, json!({})).await;
        let mut others = other.0.stream(Method::GET, other.1.clone(), "").await;
        let status = json!({ "jsonrpc": "2.0", "method": "notifications/tasks/status", "params": { "taskId": "theirs-1", "status": "completed" } });
        while upstream.push(&status) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let heard = next_of(&mut stream, "notifications/tasks/status").await;
        assert!([&id, &again].iter().any(|id| heard["params"]["taskId"] == json!(id)), "{heard}");
        assert!(heard["params"]["status"].is_string() && heard["params"].get("ttl").is_some(), "{heard}");
        upstream.push(&json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }));
        let heard = others.next().await.unwrap();
        assert_eq!(heard["method"], "notifications/tools/list_changed", "{heard}");
        app.stop().await;
    }

    async fn a_stream_of_the_newer_generation_hears_of_the_tasks_it_names(database) {
        let app = App::start(database.db.clone()).await;
        let task = |status: &str| json!({
            "resultType": "complete", "taskId": "theirs-1", "status": status, "createdAt": "2026-01-01T00:00:00Z",
            "lastUpdatedAt": "2026-01-01T00:00:01Z", "ttlMs": null,
        });
        let mut created = task("working");
        created["resultType"] = json!("task");
        let mut done = task("completed");
        done["result"] = json!({ "content": [{ "type": "text", "text": "done" }] });
        let upstream = ScriptedUpstream::start(
            Script::new().speaks(Eras::Modern)
                .offers(json!({ "tools": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } }))
                .on("tools/call", Answer::result(&created))
                .on(Match::method("tasks/get").times(1), Answer::result(&task("working")))
                .on("tasks/get", Answer::result(&done)),
        ).await;
        start(&app, upstream.url()).await;
        let client = client_of(&app, app.owner).await;
        let begun = client.modern("tools/call", knowing(json!({ "name": "echo", "arguments": {} }))).await.result();
        let id = id_of(&begun);
        let listen = |client: McpClient, params: Value| async move {
            let mut params = params;
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
            if params["_meta"]["io.modelcontextprotocol/clientCapabilities"].is_null() {
                params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
            }
            let body = json!({ "jsonrpc": "2.0", "id": "sub", "method": "subscriptions/listen", "params": params });
            let mut headers = json_headers();
            headers.insert("mcp-protocol-version", HeaderValue::from_static("2026-07-28"));
            headers.insert("mcp-method", HeaderValue::from_static("subscriptions/listen"));
            client.stream(Method::POST, headers, body.to_string()).await
        };
        let wanted = json!({ "notifications": { "taskIds": [id, "task_00000000000000000000000000", "theirs-1"] } });
        let unknowing = client.modern("subscriptions/listen", wanted.clone()).await;
        assert_eq!((unknowing.status.as_u16(), unknowing.error_code()), (400, -32021));
        let mut stream = listen(client_of(&app, app.owner).await, knowing(wanted.clone())).await;
        let accepted = stream.next().await.unwrap();
        assert_eq!(accepted["params"]["notifications"]["taskIds"], json!([id]), "{accepted}");
        // Its caller's alone.
        let ana = client_of(&app, app.member("ana@example.test", Role::Member).await).await;
        let mut others = listen(ana, knowing(wanted)).await;
        assert_eq!(others.next().await.unwrap()["params"]["notifications"], json!({}));

        let is_asked = || upstream.log().of("subscriptions/listen").iter().any(|request| {
            let params = &request.message["params"];
            let knows = &params["_meta"]["io.modelcontextprotocol/clientCapabilities"]["extensions"]["io.modelcontextprotocol/tasks"];
            params["notifications"]["taskIds"] == json!(["theirs-1"]) && knows.is_object()
        });
        while !is_asked() || upstream.open_streams() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tasks", "params": { "taskId": "theirs-1", "status": "completed" } });
        while upstream.push(&changed) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let heard = stream.next().await.unwrap();
        assert_eq!((&heard["method"], &heard["params"]["taskId"], &heard["params"]["status"]), (&json!("notifications/tasks"), &json!(id), &json!("completed")), "{heard}");
        assert_eq!(heard["params"]["result"]["content"][0]["text"], "done", "{heard}");
        assert_eq!(heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "sub");
        assert!(heard["params"].get("resultType").is_none(), "{heard}");
        assert!(events(&app, "task.listen").await.iter().all(|outcome| outcome == "ok"));
        app.stop().await;
    }
}
