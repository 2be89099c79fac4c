//! What the scripted upstream answers when no rule says otherwise.

use serde_json::{Value, json};

use super::script::Script;

pub(super) const LATEST_LEGACY: &str = "2025-11-25";
pub(super) const MODERN: &str = "2026-07-28";

const SERVER_INFO: (&str, &str) = ("scripted-upstream", "1.0.0");

/// A response's payload as JSON text; the text of a result or of an error.
pub(super) enum Payload {
    Result(String),
    Error { code: i64, message: String },
}

impl Payload {
    pub(super) fn into_message(self, id: &Value) -> String {
        match self {
            Self::Result(result) => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#),
            Self::Error { code, message } => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}).to_string()
            }
        }
    }
}

pub(super) fn answer(script: &Script, message: &Value, modern: bool) -> Payload {
    let params = message.get("params").unwrap_or(&Value::Null);
    let method = message.get("method").and_then(Value::as_str).unwrap_or_default();
    match method {
        "initialize" => Payload::Result(initialize(script, params).to_string()),
        "server/discover" if modern => Payload::Result(discover(script).to_string()),
        "ping" if !modern => Payload::Result("{}".to_owned()),
        "tools/list" => list(script, params, modern),
        "tools/call" => call(script, params, modern),
        _ => Payload::Error { code: -32601, message: format!("no method {method}") },
    }
}

fn initialize(script: &Script, params: &Value) -> Value {
    let wanted = params.get("protocolVersion").and_then(Value::as_str).unwrap_or(LATEST_LEGACY);
    let version = if wanted < LATEST_LEGACY { wanted } else { LATEST_LEGACY };
    with_instructions(
        script,
        json!({
            "protocolVersion": version,
            "capabilities": script.capabilities,
            "serverInfo": {"name": SERVER_INFO.0, "version": SERVER_INFO.1},
        }),
    )
}

fn with_instructions(script: &Script, mut described: Value) -> Value {
    if let Some(text) = &script.instructions {
        described["instructions"] = json!(text);
    }
    described
}

fn discover(script: &Script) -> Value {
    let supported = if script.eras.sessions() { json!([MODERN, LATEST_LEGACY]) } else { json!([MODERN]) };
    with_instructions(
        script,
        json!({
            "resultType": "complete",
            "supportedVersions": supported,
            "capabilities": script.capabilities,
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": SERVER_INFO.0, "version": SERVER_INFO.1}},
            "ttlMs": 0,
            "cacheScope": "private",
        }),
    )
}

fn list(script: &Script, params: &Value, modern: bool) -> Payload {
    let start = match params.get("cursor").and_then(Value::as_str).map(str::parse::<usize>) {
        None => 0,
        Some(Ok(start)) if start <= script.tools.len() => start,
        Some(_) => return Payload::Error { code: -32602, message: "no such cursor".to_owned() },
    };
    let end = script.page_size.map_or(script.tools.len(), |size| (start + size).min(script.tools.len()));
    let mut result = format!(r#"{{"tools":[{}]"#, script.tools[start..end].join(","));
    if end < script.tools.len() {
        result.push_str(&format!(r#","nextCursor":"{end}""#));
    }
    if modern {
        result.push_str(r#","resultType":"complete","ttlMs":0,"cacheScope":"private""#);
    }
    result.push('}');
    Payload::Result(result)
}

fn call(script: &Script, params: &Value, modern: bool) -> Payload {
    let name = params.get("name").and_then(Value::as_str).unwrap_or_default();
    let known = script.tools.iter().any(|tool| {
        // Tools that are too deep to parse are still found by the text of their name.
        serde_json::from_str::<Value>(tool)
            .map_or_else(|_| tool.contains(&format!("\"{name}\"")), |tool| tool["name"] == name)
    });
    if !known {
        return Payload::Error { code: -32602, message: format!("Unknown tool: {name}") };
    }
    let text = params.get("arguments").unwrap_or(&Value::Null).to_string();
    let mut result = json!({"content": [{"type": "text", "text": text}]});
    if modern {
        result["resultType"] = json!("complete");
    }
    Payload::Result(result.to_string())
}
