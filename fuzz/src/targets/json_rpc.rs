//! JSON-RPC messages, of clients and of upstreams.

use serde::de::IgnoredAny;
use serde_json::{Value, value::RawValue};
use switchboard_mcp::{
    Incoming, RawObject, parse_incoming, parse_upstream, read_meta, success, uses_modern_meta,
};

use super::Target;
use crate::corpus;

/// As `/mcp` has it.
const DEPTH: usize = 64;

pub(super) const TARGET: Target = Target {
    name: "json_rpc",
    corpus: || {
        let mut corpus = corpus::members("bad_mcp_requests.jsonl", &["body", "raw", "arguments", "tools"]);
        let own = [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search_capabilities","arguments":{"query":"a"}}}"#,
            r#"{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"a","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"a"}],"isError":false}}"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no","data":{"a":[1]}}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
        ];
        corpus.extend(own.map(|text| text.as_bytes().to_vec()));
        corpus
    },
    words: &[
        "\"jsonrpc\":\"2.0\"",
        "\"id\":",
        "\"method\":",
        "\"params\":",
        "\"result\":",
        "\"error\":",
        "null",
        "true",
        "jsonrpc",
        "tools/call",
        "_meta",
        "{}",
        "[]",
        "\"id\":null,",
        "\"method\":\"a\",",
    ],
    check,
};

fn check(bytes: &[u8]) {
    if let Ok(message) = parse_incoming(bytes, DEPTH) {
        let value: Value = serde_json::from_slice(bytes).expect("what is taken is JSON");
        assert_eq!(value["jsonrpc"], "2.0");
        assert!(!switchboard_mcp::is_deeper_than(bytes, DEPTH));
        match message {
            Incoming::Request(request) => {
                assert_eq!(value["method"], *request.method, "everybody reads the same method");
                assert_eq!(value["id"].to_string(), request.id.to_string(), "everybody reads the same id");
                let answer = success(&request.id, &bytes::Bytes::from_static(b"{}")).into_bytes();
                let answer: Value = serde_json::from_slice(&answer).expect("an answer is JSON");
                assert_eq!(answer["id"], value["id"]);
                parameters(request.params);
            }
            Incoming::Notification { method, params } => {
                assert_eq!(value["method"], *method);
                assert!(value.get("id").is_none());
                parameters(params);
            }
            Incoming::Response(_) => assert!(value.get("method").is_none()),
        }
    }
    if parse_upstream(bytes).is_ok() {
        // Only by its grammar: half a surrogate pair, escaped, is passed on as it came.
        serde_json::from_slice::<IgnoredAny>(bytes).expect("what is taken is JSON");
    }
}

fn parameters(params: Option<&RawValue>) {
    // Wrong metadata is refused, never misread.
    let _ = (uses_modern_meta(params), read_meta(params));
    let Some(object) = params.and_then(|params| RawObject::parse(params).ok()) else { return };
    let mut written = Vec::new();
    object.write(&mut written);
    let (written, read) =
        (serde_json::from_slice::<Value>(&written), params.map(|params| params.get().parse::<Value>()));
    assert_eq!(written.ok(), read.and_then(Result::ok), "an object is passed on as it came");
}
