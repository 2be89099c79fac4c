//! Calling the two tools of `/mcp`, in the modern generation of the protocol: one request, no session.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use switchboard_mcp::{MODERN, encode_header_value, names};

use super::http::{Client, refused};
use crate::{failure::Failure, output::plain};

/// What a tool answered.
#[derive(Debug)]
pub(crate) struct ToolResult(pub(crate) Value);

impl ToolResult {
    pub(crate) fn is_error(&self) -> bool {
        self.0["isError"].as_bool().unwrap_or(false)
    }

    pub(crate) fn structured(&self) -> &Value {
        &self.0["structuredContent"]
    }

    pub(crate) fn content(&self) -> &[Value] {
        self.0["content"].as_array().map_or(&[], Vec::as_slice)
    }
}

impl Client {
    pub(crate) async fn call_tool(&self, tool: &str, arguments: Value) -> Result<ToolResult, Failure> {
        let message = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {
                "name": tool,
                "arguments": arguments,
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": MODERN,
                    "io.modelcontextprotocol/clientCapabilities": {},
                    "io.modelcontextprotocol/clientInfo": {"name": "switchboard-cli", "version": env!("CARGO_PKG_VERSION")},
                },
            },
        });
        let (status, answer) =
            self.send(Method::POST, "/mcp", headers(tool)?, message.to_string().into()).await?;
        let answer: Value = match serde_json::from_slice(&answer) {
            Ok(value) => value,
            Err(_) if status == StatusCode::OK => read_events(&answer)?,
            Err(_) => return Err(refused(status, &answer)),
        };
        if let Some(error) = answer.get("error") {
            let message = error["message"].as_str().unwrap_or("no reason given");
            return Err(Failure::failed(format!("The server refused the request: {}", plain(message))));
        }
        match answer.get("result") {
            Some(result) => Ok(ToolResult(result.clone())),
            None => Err(refused(status, answer.to_string().as_bytes())),
        }
    }
}

fn headers(tool: &str) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    let name = HeaderValue::from_str(&encode_header_value(tool))
        .map_err(|_| Failure::usage(format!("`{}` is no name of a tool", plain(tool))))?;
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert(names::PROTOCOL_VERSION, HeaderValue::from_static(MODERN));
    headers.insert(names::METHOD, HeaderValue::from_static("tools/call"));
    headers.insert(names::NAME, name);
    Ok(headers)
}

/// An answer that came as a stream: its last message with a result or an error.
fn read_events(answer: &[u8]) -> Result<Value, Failure> {
    let text = String::from_utf8_lossy(answer);
    let mut messages = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:")?.trim()).ok());
    messages.rfind(|message| message.get("result").is_some() || message.get("error").is_some()).ok_or_else(
        || Failure::failed("The server's answer is not MCP. Is --server the address of a Switchboard?"),
    )
}
