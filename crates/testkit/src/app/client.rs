//! A small MCP client that shows everything it gets: status, headers, body.

use std::time::Duration;

use super::McpStream;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use switchboard_egress::{ByteLimit, Deadlines, Egress, Redirects, Request, Response};

/// An answer, read whole.
#[derive(Debug)]
pub struct McpReply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl McpReply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("no JSON ({error}), status {}: {}", self.status, String::from_utf8_lossy(&self.body))
        })
    }

    /// `result` of a JSON-RPC answer.
    pub fn result(&self) -> Value {
        let answer = self.json();
        assert!(answer.get("result").is_some(), "no result: {answer}");
        answer["result"].clone()
    }

    /// `code` of a JSON-RPC error.
    pub fn error_code(&self) -> i64 {
        let answer = self.json();
        answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {answer}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

#[derive(Debug, Clone)]
pub struct McpClient {
    egress: Egress,
    url: String,
    token: Option<String>,
    headers: HeaderMap,
}

const METADATA: &str = "io.modelcontextprotocol/";

impl McpClient {
    pub fn new(egress: Egress, url: String, token: Option<String>) -> Self {
        if let Some(token) = &token {
            crate::canary::remember(token);
        }
        Self { egress, url, token, headers: HeaderMap::new() }
    }

    /// The same client with one more header on every request.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.append(
            HeaderName::from_bytes(name.as_bytes()).expect("a header name"),
            HeaderValue::from_str(value).expect("a header value"),
        );
        self
    }

    /// Sends a body as it is.
    pub async fn send(&self, method: Method, headers: HeaderMap, body: impl Into<Bytes>) -> McpReply {
        let response = self.begin(method, headers, body).await;
        let (status, headers) = (response.status, response.headers);
        McpReply { status, headers, body: response.body.collect_bytes().await.expect("a body") }
    }

    /// The same, read event by event.
    pub async fn stream(&self, method: Method, headers: HeaderMap, body: impl Into<Bytes>) -> McpStream {
        McpStream::new(self.begin(method, headers, body).await)
    }

    async fn begin(&self, method: Method, headers: HeaderMap, body: impl Into<Bytes>) -> Response {
        let mut all = headers;
        if let Some(token) = &self.token {
            all.insert(
                header::AUTHORIZATION,
                HeaderValue::from_str(&format!("Bearer {token}")).expect("a token"),
            );
        }
        all.extend(self.headers.clone());
        let deadline = Duration::from_secs(60);
        let most = ByteLimit { name: "test", bytes: 64 * 1024 * 1024 };
        self.egress
            .send(Request {
                method,
                url: self.egress.check_url(&self.url).expect("a URL of the test"),
                headers: all,
                body: body.into(),
                deadlines: Deadlines { total: deadline, first_byte: deadline, idle: deadline },
                max_wire_bytes: most,
                max_inflated_bytes: most,
                redirects: Redirects::Show,
                accept_gzip: false,
            })
            .await
            .expect("an answer")
    }

    /// One request of the modern generation, with everything it must have.
    pub async fn modern(&self, method: &str, mut params: Value) -> McpReply {
        params["_meta"] = match params["_meta"].take() {
            Value::Object(meta) => Value::Object(meta),
            _ => json!({}),
        };
        params["_meta"][format!("{METADATA}protocolVersion")] = json!("2026-07-28");
        params["_meta"][format!("{METADATA}clientInfo")] = json!({ "name": "test", "version": "1" });
        if params["_meta"][format!("{METADATA}clientCapabilities")].is_null() {
            params["_meta"][format!("{METADATA}clientCapabilities")] = json!({});
        }
        let mut headers = json_headers();
        headers.insert("mcp-protocol-version", HeaderValue::from_static("2026-07-28"));
        headers.insert("mcp-method", HeaderValue::from_str(method).expect("a method"));
        let named = ["name", "uri", "taskId"].iter().find_map(|member| params[member].as_str());
        if let Some(name) = named {
            headers.insert("mcp-name", HeaderValue::from_str(name).expect("a name"));
        }
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.send(Method::POST, headers, body.to_string()).await
    }

    /// One request of the legacy generation.
    pub async fn legacy(&self, method: &str, params: Value) -> McpReply {
        let mut headers = json_headers();
        headers.insert("mcp-protocol-version", HeaderValue::from_static("2025-11-25"));
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.send(Method::POST, headers, body.to_string()).await
    }

    /// Calls a tool of the endpoint; the tool result.
    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        self.modern("tools/call", json!({ "name": tool, "arguments": arguments })).await.result()
    }

    /// The structured content of `search_capabilities`.
    pub async fn search(&self, arguments: Value) -> Value {
        let result = self.call("search_capabilities", arguments).await;
        result["structuredContent"].clone()
    }

    /// The tool result of `execute_capability`.
    pub async fn execute(&self, name: &str, arguments: Value) -> Value {
        self.call("execute_capability", json!({ "name": name, "arguments": arguments })).await
    }
}

fn json_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers
}
