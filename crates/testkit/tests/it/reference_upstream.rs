use serde_json::json;
use switchboard_testkit::upstream::ReferenceUpstream;

use crate::raw_client::{initialize, legacy, modern, post, send};

#[tokio::test]
async fn both_generations_call_tools_on_one_endpoint() {
    let upstream = ReferenceUpstream::builder().json_response(true).start().await;
    let url = upstream.url();

    let answer = modern(&url, "tools/call", json!({"name": "echo", "arguments": {"text": "hello"}})).await;
    assert_eq!(answer.message().await["result"]["content"][0]["text"], "hello");

    let session = initialize(&url).await;
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": {"name": "add", "arguments": {"a": 1, "b": 2}}});
    let message = legacy(&url, &session, &call).await.message().await;
    assert_eq!(message["result"]["structuredContent"], json!({"sum": 3.0}));

    let calls = upstream.log().of("tools/call");
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].arguments(), Some(&json!({"text": "hello"})));
    assert_eq!(calls[0].header("mcp-name"), Some("echo"));
    assert_eq!(calls[1].header("mcp-session-id"), Some(session.as_str()));
}

#[tokio::test]
async fn errors_of_a_tool_and_of_the_protocol_differ() {
    let upstream = ReferenceUpstream::start().await;
    let failed =
        modern(&upstream.url(), "tools/call", json!({"name": "fail", "arguments": {"message": "no"}})).await;
    assert_eq!(failed.message().await["result"]["isError"], true);
    let refused =
        modern(&upstream.url(), "tools/call", json!({"name": "refuse", "arguments": {"message": "no"}}))
            .await;
    assert_eq!(refused.message().await["error"]["message"], "no");
}

#[tokio::test]
async fn lists_are_paged_and_as_long_as_asked() {
    let upstream = ReferenceUpstream::builder().tools(25).page_size(20).start().await;
    let first = modern(&upstream.url(), "tools/list", json!({})).await.message().await;
    assert_eq!(first["result"]["tools"].as_array().map(Vec::len), Some(20));
    let cursor = first["result"]["nextCursor"].clone();
    let second = modern(&upstream.url(), "tools/list", json!({"cursor": cursor})).await.message().await;
    assert_eq!(second["result"]["tools"].as_array().map(Vec::len), Some(5));
    assert!(second["result"].get("nextCursor").is_none());
    assert_eq!(upstream.tool_names().len(), 25);
}

#[tokio::test]
async fn sessions_and_subscriptions_hear_that_the_list_changed() {
    let upstream = ReferenceUpstream::start().await;
    let session = initialize(&upstream.url()).await;
    let stream = send("GET", &upstream.url(), &[("mcp-session-id", &session)], None).await.expect("a stream");
    let params = json!({"notifications": {"toolsListChanged": true}});
    let listening = modern(&upstream.url(), "subscriptions/listen", params).await;

    let before = upstream.tool_names().len();
    upstream.add_tool().await;
    assert_eq!(upstream.tool_names().len(), before + 1);
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
    assert_eq!(listening.message().await["method"], "notifications/subscriptions/acknowledged");
}

#[tokio::test]
async fn a_required_header_is_required() {
    let upstream = ReferenceUpstream::builder().require_header("X-Key", "secret").start().await;
    let refused = modern(&upstream.url(), "tools/list", json!({})).await;
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").is_some());
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}});
    assert_eq!(post(&upstream.url(), &[("x-key", "secret")], &message).await.status, 200);
}
