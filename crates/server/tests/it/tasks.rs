//! Tasks of the newer generation through a direct surface: under ids of ours, of their caller, known to every process.

use serde_json::{Value, json};
use switchboard_domain::{Role, Scope};
use switchboard_testkit::{
    app::{App, AppOptions, McpClient, McpReply},
    conformance::ConformanceUpstream,
    on_both,
};

use crate::support::{READ_WRITE, api, events};

/// `_meta` of a client that knows tasks.
fn knowing(mut params: Value) -> Value {
    let capabilities = json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } });
    params["_meta"] = json!({ "io.modelcontextprotocol/clientCapabilities": capabilities });
    params
}

async fn call(client: &McpClient, tool: &str, arguments: Value) -> McpReply {
    client.modern("tools/call", knowing(json!({ "name": tool, "arguments": arguments }))).await
}

async fn ask(client: &McpClient, method: &str, task: &str) -> McpReply {
    client.modern(method, knowing(json!({ "taskId": task }))).await
}

/// Asks until the task is over.
async fn ended(client: &McpClient, task: &str) -> Value {
    loop {
        let found = ask(client, "tasks/get", task).await.result();
        if found["status"] != "working" {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn start(app: &App, upstream: &ConformanceUpstream) -> switchboard_domain::ConnectionId {
    let id =
        app.add_with("demo", &upstream.url(), |connection| connection.switches.expose_directly = true).await;
    app.grant_everyone(id).await;
    app.broker.check(app.organization, id, None).await.unwrap();
    id
}

async fn client_of(app: &App, member: switchboard_domain::MemberId) -> McpClient {
    app.client_at("/mcp/connections/demo", Some(&app.token(member, &READ_WRITE).await))
}

on_both! {
    async fn a_task_is_its_callers_and_known_to_every_process(database) {
        let one = App::start(database.db.clone()).await;
        let options = AppOptions { keyring: Some(one.keyring.clone()), ..AppOptions::default() };
        let two = App::start_with(database.db.clone(), options).await;
        let upstream = ConformanceUpstream::start().await;
        let id = start(&one, &upstream).await;
        two.broker.refresh_snapshots().await.unwrap();
        let mine = client_of(&one, one.owner).await;
        let there = two.client_at("/mcp/connections/demo", Some(&one.token(one.owner, &READ_WRITE).await));

        let offered = mine.modern("server/discover", json!({})).await.result();
        assert!(offered["capabilities"]["extensions"]["io.modelcontextprotocol/tasks"].is_object(), "{offered}");
        let begun = call(&mine, "slow_compute", json!({ "seconds": 0.3 })).await.result();
        assert_eq!(begun["resultType"], "task", "{begun}");
        let task = begun["taskId"].as_str().unwrap().to_owned();
        assert!(task.starts_with("task_"), "an id of ours: {begun}");
        let found = ask(&there, "tasks/get", &task).await.result();
        assert_eq!(found["taskId"], json!(task), "{found}");
        let done = ended(&there, &task).await;
        assert_eq!((&done["status"], &done["resultType"]), (&json!("completed"), &json!("complete")), "{done}");
        assert!(done["result"]["content"][0]["text"].as_str().unwrap().starts_with("computed"), "{done}");

        // Nobody else's, at no other endpoint, and only with a client that knows tasks.
        let ana = one.member("ana@example.test", Role::Member).await;
        assert_eq!(ask(&client_of(&one, ana).await, "tasks/get", &task).await.error_code(), -32602);
        assert_eq!(ask(&mine, "tasks/get", "task_00000000000000000000000000").await.error_code(), -32602);
        let unknowing = mine.modern("tasks/get", json!({ "taskId": task })).await;
        assert_eq!((unknowing.status.as_u16(), unknowing.error_code()), (400, -32021));
        let synchronous = mine.modern("tools/call", json!({ "name": "slow_compute", "arguments": { "seconds": 0 } })).await;
        assert_eq!(synchronous.result()["resultType"], "complete");

        // It is cancelled from anywhere.
        let begun = call(&mine, "slow_compute", json!({ "seconds": 600 })).await.result();
        let task = begun["taskId"].as_str().unwrap();
        assert_eq!(ask(&there, "tasks/cancel", task).await.result()["resultType"], "complete");
        assert_eq!(ended(&mine, task).await["status"], "cancelled");
        while events(&one, "task.cancel").await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(events(&one, "task.get").await.iter().any(|outcome| outcome == "ok"));

        // What no longer may be used says nothing more.
        one.grant(id, switchboard_domain::Grants::default()).await;
        one.broker.refresh_snapshots().await.unwrap();
        let reader = one.client_at("/mcp/connections/demo", Some(&one.token(ana, &READ_WRITE).await));
        assert_ne!(ask(&reader, "tasks/get", task).await.status, 200);
        one.stop().await;
        two.stop().await;
    }

    async fn a_task_that_a_person_approved_is_not_asked_for_again(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ConformanceUpstream::start().await;
        start(&app, &upstream).await;
        let client = client_of(&app, app.owner).await;
        let rules = json!([{ "pattern": "demo.confirm_delete", "action": "require_approval", "approvers": "caller" }]);
        assert_eq!(api(&app, "PUT", "/policies", Some(rules)).await.status, 200);
        app.broker.refresh_snapshots().await.unwrap();
        let refused = call(&client, "confirm_delete", json!({})).await.result();
        assert_eq!(refused["structuredContent"]["code"], "approval_required", "{refused}");
        let approval = refused["structuredContent"]["details"]["approval_id"].as_str().unwrap().to_owned();
        assert_eq!(api(&app, "POST", &format!("/approvals/{approval}/approve"), None).await.status, 200);
        let mut params = knowing(json!({ "name": "confirm_delete", "arguments": {} }));
        params["_meta"]["switchboard/approval_id"] = json!(approval);
        let begun = client.modern("tools/call", params).await.result();
        assert_eq!(begun["resultType"], "task", "{begun}");
        let task = begun["taskId"].as_str().unwrap();
        let asks = loop {
            let found = ask(&client, "tasks/get", task).await.result();
            if found["status"] == "input_required" {
                break found;
            }
            assert_eq!(found["status"], "working", "{found}");
        };
        assert!(asks["inputRequests"]["confirm"].is_object(), "{asks}");
        let answers = json!({ "confirm": { "action": "accept", "content": { "confirmed": true } } });
        let update = client.modern("tasks/update", knowing(json!({ "taskId": task, "inputResponses": answers }))).await;
        assert_eq!(update.result()["resultType"], "complete");
        assert_eq!(ended(&client, task).await["status"], "completed");

        // A rule that blocks holds for what is under way, too.
        let rules = json!([{ "pattern": "demo.confirm_delete", "action": "block" }]);
        assert_eq!(api(&app, "PUT", "/policies", Some(rules)).await.status, 200);
        app.broker.refresh_snapshots().await.unwrap();
        let blocked = ask(&client, "tasks/get", task).await;
        assert_eq!(blocked.json()["error"]["data"]["code"], "policy_blocked", "{}", blocked.json());
        let reader = app.client_at("/mcp/connections/demo", Some(&app.token(app.owner, &[Scope::McpRead]).await));
        assert_ne!(ask(&reader, "tasks/get", task).await.status, 200);
        app.stop().await;
    }
}
