//! Calls that take several tries (2026-07-28, multi round-trip requests), where a rule wants a person's approval.

use serde_json::{Value, json};
use switchboard_testkit::{
    app::{App, McpClient, McpReply},
    conformance::ConformanceUpstream,
    on_both,
};

use crate::support::{READ_WRITE, api};

async fn call(client: &McpClient, tool: &str, more: Value) -> McpReply {
    let mut params = json!({ "name": tool, "arguments": {} });
    let given = more.as_object().unwrap();
    params.as_object_mut().unwrap().extend(given.clone());
    let capabilities = json!({ "elicitation": { "form": {} }, "sampling": {}, "roots": {} });
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
    client.modern("tools/call", params).await
}

/// Where a call waits for a person; it is approved.
async fn approved(app: &App, refused: &McpReply) -> Value {
    let refused = refused.result();
    let approval = refused["structuredContent"]["details"]["approval_id"]
        .as_str()
        .unwrap_or_else(|| panic!("{refused}"));
    assert_eq!(api(app, "POST", &format!("/approvals/{approval}/approve"), None).await.status, 200);
    json!({ "_meta": { "switchboard/approval_id": approval } })
}

on_both! {
    async fn an_approved_call_is_not_approved_again_for_its_answers(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ConformanceUpstream::start().await;
        let id = app.add_with("demo", &upstream.url(), |connection| connection.switches.expose_directly = true).await;
        app.grant_everyone(id).await;
        app.broker.check(app.organization, id, None).await.unwrap();
        let rules = json!([{ "pattern": "demo.*", "action": "require_approval", "approvers": "caller" }]);
        assert_eq!(api(&app, "PUT", "/policies", Some(rules)).await.status, 200);
        app.broker.refresh_snapshots().await.unwrap();
        let client = app.client_at("/mcp/connections/demo", Some(&app.token(app.owner, &READ_WRITE).await));
        // One whose upstream gives no state, and one whose upstream does.
        for (tool, answers, done) in [
            ("test_input_required_result_elicitation", json!({ "user_name": { "action": "accept", "content": { "name": "Mia" } } }), "Hello, Mia!"),
            ("test_input_required_result_request_state", json!({ "confirm": { "action": "accept", "content": { "ok": true } } }), "Confirmed: state-ok"),
        ] {
            let refused = call(&client, tool, json!({})).await;
            let approval = approved(&app, &refused).await;
            let asked = call(&client, tool, approval).await.result();
            assert_eq!(asked["resultType"], "input_required", "{asked}");
            let again = json!({ "inputResponses": answers, "requestState": asked["requestState"] });

            let mut changed = again.clone();
            changed["arguments"] = json!({ "other": 1 });
            let other = call(&client, tool, changed).await;
            assert_eq!(other.error_code(), -32602, "other arguments: {}", other.json());
            let elsewhere = call(&client, "test_simple_text", again.clone()).await;
            assert_eq!(elsewhere.error_code(), -32602, "another tool: {}", elsewhere.json());

            let result = call(&client, tool, again.clone()).await.result();
            assert_eq!(result["content"][0]["text"], done, "{result}");
            let replayed = call(&client, tool, again).await;
            assert_eq!(replayed.error_code(), -32602, "an approval is for one call: {}", replayed.json());
            let without = json!({ "inputResponses": answers });
            let refused = call(&client, tool, without).await.result();
            assert_eq!(refused["structuredContent"]["code"], "approval_required", "{refused}");
        }
        app.stop().await;
    }
}
