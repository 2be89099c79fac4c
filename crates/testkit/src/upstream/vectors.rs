use std::path::Path;

use serde_json::{Value, json};

use super::answer::Answer;
use super::body::Body;
use super::script::Script;

/// One hostile upstream of `testdata/security/bad_mcp_requests.jsonl`.
#[derive(Debug, Clone)]
pub struct BadUpstreamCase {
    pub id: String,
    pub name: String,
    /// What must hold, in the words of the vectors' README.
    pub invariants: Vec<String>,
    /// Arguments to call the tool with.
    pub arguments: Value,
    /// The tool to call when the case is about a call.
    pub tool: String,
    /// `None` for the cases below TLS (`tls-*`): they need a listener, not an MCP server.
    pub script: Option<Script>,
}

/// Every case with direction `upstream_to_gateway`, as scripts.
///
/// # Panics
///
/// When the file is missing or a case uses a generator that this module does not know: a new vector must
/// not be skipped silently.
pub fn bad_upstream_cases() -> Vec<BadUpstreamCase> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/security/bad_mcp_requests.jsonl");
    let text = std::fs::read_to_string(&path).expect("testdata/security/bad_mcp_requests.jsonl");
    text.split('\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str::<Value>(line).expect("a JSON object a line"))
        .filter(|case| case["direction"] == "upstream_to_gateway")
        .map(|case| read(&case))
        .collect()
}

fn read(case: &Value) -> BadUpstreamCase {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let invariants = case["expect"]["invariants"].as_array().into_iter().flatten().map(text).collect();
    let script = case.get("tls").is_none().then(|| script(case));
    let tool = case.pointer("/tools/0/name").map_or_else(|| "echo".to_owned(), text);
    BadUpstreamCase {
        id: text(&case["id"]),
        name: text(&case["name"]),
        invariants,
        arguments: case.get("arguments").cloned().unwrap_or_else(|| json!({})),
        tool,
        script,
    }
}

fn script(case: &Value) -> Script {
    let mut script = Script::new().variable("TOKEN_OF_OTHER", "token-of-another-caller");
    if let Some(tools) = case["tools"].as_array() {
        return script.tools(tools);
    }
    if let Some(depth) = case.pointer("/tools_gen/schema_depth").and_then(Value::as_u64) {
        return script.raw_tools(vec![deep_tool(depth as usize)]);
    }
    if let Some(servers) = case.pointer("/http/prm_authorization_servers") {
        return script
            .resource_metadata(json!({"resource": "{{SELF}}", "authorization_servers": servers}))
            .on("tools/call", Answer::unauthorized("Bearer"));
    }
    let method = match case["name"].as_str() {
        Some("tools-cursor-loop" | "cache-scope-public") => "tools/list",
        _ => "tools/call",
    };
    script = script.on(method, answer(case));
    script
}

fn answer(case: &Value) -> Answer {
    let body = match (&case["body"], &case["body_gen"]) {
        (Value::String(text), _) => Body::Text(text.clone()),
        (_, Value::Object(_)) => generated(&case["body_gen"]),
        _ => Body::Empty,
    };
    let status =
        case["http"]["status"].as_u64().and_then(|status| u16::try_from(status).ok()).expect("a status");
    let mut answer = Answer::body(body).with_status(status);
    let headers = case["http"]["headers"].as_object();
    for (name, value) in headers.into_iter().flatten() {
        answer = answer.header(name, value.as_str().unwrap_or_default());
    }
    let typed = headers.is_some_and(|headers| headers.contains_key("content-type"));
    if status == 200 && !typed {
        answer = answer.header("content-type", "application/json");
    }
    if case["name"] == "hop-headers" {
        // The vector names `set-cookie` among what must not arrive; it has to be sent for that.
        answer = answer.header("set-cookie", "session=evil");
        return Answer { body: Body::PaddedResult { bytes: 256 }, ..answer };
    }
    answer
}

fn generated(generator: &Value) -> Body {
    let number = |name: &str| generator[name].as_u64().expect("a number in the generator");
    match generator["type"].as_str() {
        Some("pad_result") => Body::PaddedResult { bytes: number("bytes") },
        Some("sse_one_event") => Body::SseOneEvent { bytes: number("bytes") },
        Some("sse_notifications") => Body::SseNotifications { count: number("count") },
        Some("drip") => {
            Body::Drip { bytes_per_second: number("bytes_per_second"), seconds: number("seconds") }
        }
        Some("reset_after") => Body::ResetAfter { bytes: number("bytes") as usize },
        Some("gzip_bomb") => Body::GzipBomb { inflated_bytes: number("inflated_bytes") },
        Some("nest") => Body::Nested { depth: number("depth") as usize },
        Some("list_changed") => {
            Body::ListChanged { per_second: number("per_second"), seconds: number("seconds") }
        }
        other => panic!("no generator for {other:?}: teach it to crates/testkit/src/upstream/vectors.rs"),
    }
}

fn deep_tool(depth: usize) -> String {
    let mut text = r#"{"name":"deep","inputSchema":{"type":"object""#.to_owned();
    text.push_str(&r#","properties":{"a":{"type":"object""#.repeat(depth));
    text.push_str(&"}}".repeat(depth));
    text.push_str("}}");
    text
}
