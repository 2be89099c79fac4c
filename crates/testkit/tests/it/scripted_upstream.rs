use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::{Value, json};
use switchboard_testkit::upstream::{
    Answer, Body, Eras, Match, Script, ScriptedUpstream, bad_upstream_cases,
};

use crate::raw_client::{initialize, legacy, modern, post, send};

fn call(id: u64) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "hello"}}})
}

#[tokio::test]
async fn without_rules_it_speaks_both_generations() {
    let upstream = ScriptedUpstream::start(Script::new()).await;
    let discovered = modern(upstream.url(), "server/discover", json!({})).await.message().await;
    assert_eq!(discovered["result"]["supportedVersions"], json!(["2026-07-28", "2025-11-25"]));
    let answer =
        modern(upstream.url(), "tools/call", json!({"name": "echo", "arguments": {"text": "hello"}})).await;
    assert_eq!(answer.message().await["result"]["content"][0]["text"], r#"{"text":"hello"}"#);

    let session = initialize(upstream.url()).await;
    let message = legacy(upstream.url(), &session, &call(2)).await.message().await;
    assert_eq!(message["id"], 2);
    assert_eq!(upstream.executions("echo"), 2);
}

#[tokio::test]
async fn one_generation_refuses_the_other_in_its_own_way() {
    let legacy_only = ScriptedUpstream::start(Script::new().speaks(Eras::Legacy)).await;
    let refused = modern(legacy_only.url(), "server/discover", json!({})).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.message().await["id"], Value::Null);

    let modern_only = ScriptedUpstream::start(Script::new().speaks(Eras::Modern)).await;
    let refused =
        post(modern_only.url(), &[], &json!({"jsonrpc": "2.0", "id": 3, "method": "initialize"})).await;
    assert_eq!(refused.message().await["error"]["code"], -32022);
    assert_eq!(send("GET", modern_only.url(), &[], None).await.expect("an answer").status, 405);
}

#[tokio::test]
async fn http_and_sse_answers_on_the_stream() {
    let upstream = ScriptedUpstream::start(Script::new().speaks(Eras::LegacySse)).await;
    let mut stream = send("GET", upstream.url(), &[], None).await.expect("a stream");
    let first = stream.body.frame().await.expect("a frame").expect("no error").into_data().expect("data");
    let first = String::from_utf8_lossy(&first).into_owned();
    let path = first.strip_prefix("event: endpoint\ndata: ").expect("the endpoint event").trim();
    let endpoint = upstream.url().replace("/sse", path);
    assert_eq!(post(&endpoint, &[], &call(9)).await.status, 202);
    assert_eq!(stream.message().await["id"], 9);
}

#[tokio::test]
async fn an_expired_session_is_gone_until_the_next_handshake() {
    let upstream = ScriptedUpstream::start(Script::new()).await;
    let session = initialize(upstream.url()).await;
    upstream.expire_sessions();
    assert_eq!(legacy(upstream.url(), &session, &call(2)).await.status, 404);
    let session = initialize(upstream.url()).await;
    assert_eq!(legacy(upstream.url(), &session, &call(3)).await.status, 200);
}

#[tokio::test]
async fn rules_count_what_they_match() {
    let script = Script::new()
        .on(Match::tool("echo").times(1), Answer::unavailable("7"))
        .on(Match::tool("echo").skip(1).times(1), Answer::error_without_id(400, -32000, "no id"));
    let upstream = ScriptedUpstream::start(script).await;
    let params = json!({"name": "echo"});
    let first = modern(upstream.url(), "tools/call", params.clone()).await;
    assert_eq!((first.status, first.header("retry-after")), (503, Some("7")));
    assert_eq!(modern(upstream.url(), "tools/call", params.clone()).await.status, 200);
    let third = modern(upstream.url(), "tools/call", params.clone()).await;
    assert_eq!(third.message().await["id"], Value::Null);
    assert_eq!(modern(upstream.url(), "tools/call", params).await.status, 200);
    assert_eq!(upstream.executions("echo"), 4);
}

#[tokio::test]
async fn changed_tools_reach_open_streams() {
    let upstream = ScriptedUpstream::start(Script::new()).await;
    let session = initialize(upstream.url()).await;
    let stream = send("GET", upstream.url(), &[("mcp-session-id", &session)], None).await.expect("a stream");
    assert_eq!(upstream.open_streams(), 1);
    assert_eq!(upstream.change_tools(&[]), 1);
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn silence_and_hanging_up() {
    let script =
        Script::new().on(Match::tool("silent"), Answer::silence()).on(Match::tool("gone"), Answer::hang_up());
    let upstream = ScriptedUpstream::start(script).await;
    assert!(
        send("POST", upstream.url(), &[], Some(&json!({"method": "tools/call", "params": {"name": "gone"}})))
            .await
            .is_err()
    );
    let message = json!({"method": "tools/call", "params": {"name": "silent"}});
    let waiting = send("POST", upstream.url(), &[], Some(&message));
    assert!(tokio::time::timeout(Duration::from_millis(100), waiting).await.is_err());
    assert_eq!(upstream.executions("silent"), 1);
}

async fn scripted_call(body: Body, content_type: &str) -> crate::raw_client::Answer {
    let script = Script::new().on("tools/call", Answer::body(body).header("content-type", content_type));
    let upstream = ScriptedUpstream::start(script).await;
    let answer = modern(upstream.url(), "tools/call", json!({"name": "echo"})).await;
    // The server must outlive the body, the test's process ends it.
    std::mem::forget(upstream);
    answer
}

#[tokio::test]
async fn padded_bodies_have_their_size_and_parse() {
    let answer = scripted_call(Body::PaddedResult { bytes: 300_000 }, "application/json").await;
    let bytes = answer.bytes().await;
    assert_eq!(bytes.len(), 300_000);
    let message: Value = serde_json::from_slice(&bytes).expect("correct JSON");
    assert_eq!(message["id"], 7);

    let event = scripted_call(Body::SseOneEvent { bytes: 100_000 }, "text/event-stream").await;
    assert_eq!(event.message().await["id"], 7);
}

#[tokio::test]
async fn a_reset_comes_after_the_promised_bytes() {
    let mut answer = scripted_call(Body::ResetAfter { bytes: 100 }, "application/json").await;
    let first =
        answer.body.frame().await.expect("a frame").expect("the bytes first").into_data().expect("data");
    assert_eq!(first.len(), 100);
    assert!(answer.body.frame().await.expect("a frame").is_err());
}

#[tokio::test]
async fn the_gzip_bomb_inflates_as_far_as_it_says() {
    let body = Body::GzipBomb { inflated_bytes: 50_000_000 };
    let bytes = scripted_call(body, "application/json").await.bytes().await;
    assert!(bytes.len() < 500_000, "{} bytes are no bomb", bytes.len());
    let mut inflater = flate2::Decompress::new(false);
    let mut inflated = vec![0; 1 << 20];
    let (mut total, mut position) = (0, 10);
    loop {
        let before = (inflater.total_in(), inflater.total_out());
        inflater
            .decompress(&bytes[position..], &mut inflated, flate2::FlushDecompress::None)
            .expect("valid DEFLATE");
        position += (inflater.total_in() - before.0) as usize;
        total += inflater.total_out() - before.1;
        if (inflater.total_in(), inflater.total_out()) == before {
            break;
        }
    }
    assert!(total >= 50_000_000, "{total}");
}

/// Every vector becomes a script (an unknown generator panics) and every script can be connected to.
#[tokio::test]
async fn every_hostile_upstream_of_the_vectors_starts() {
    let cases = bad_upstream_cases();
    assert_eq!(cases.len(), 34);
    for case in cases {
        let Some(script) = case.script else {
            assert!(case.name.starts_with("tls-"), "{} has no script", case.name);
            continue;
        };
        let upstream = ScriptedUpstream::start(script).await;
        let discovered = modern(upstream.url(), "server/discover", json!({})).await;
        assert_eq!(discovered.status, 200, "{}", case.name);
        let call =
            modern(upstream.url(), "tools/call", json!({"name": case.tool, "arguments": case.arguments}))
                .await;
        assert!(call.status >= 200, "{}", case.name);
        assert_eq!(upstream.executions(&case.tool), 1, "{}", case.name);
    }
}
