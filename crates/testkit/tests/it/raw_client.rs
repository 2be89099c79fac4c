//! HTTP/1.1 without anybody's opinion about MCP.

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Incoming,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) async fn bytes(self) -> Bytes {
        self.body.collect().await.expect("a whole body").to_bytes()
    }

    /// The JSON body, or the data of the first SSE event that is JSON.
    pub(crate) async fn message(mut self) -> Value {
        let mut text = String::new();
        loop {
            if let Ok(value) = serde_json::from_str(&text) {
                return value;
            }
            let event = text
                .split("\n\n")
                .filter_map(|event| event.lines().find_map(|line| line.strip_prefix("data:")))
                .find_map(|data| serde_json::from_str(data).ok());
            if let Some(value) = event {
                return value;
            }
            match self.body.frame().await {
                Some(frame) => {
                    let data = frame.expect("no error in the body").into_data().unwrap_or_default();
                    text.push_str(&String::from_utf8_lossy(&data));
                }
                None => panic!("no message in {text:?}"),
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the test is the client; there is no egress to go through")]
async fn connect(authority: &str) -> TcpStream {
    TcpStream::connect(authority).await.expect("the upstream listens")
}

pub(crate) async fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    message: Option<&Value>,
) -> Result<Answer, hyper::Error> {
    let uri: http::Uri = url.parse().expect("a URL");
    let authority = uri.authority().expect("an authority").as_str().to_owned();
    let stream = connect(&authority).await;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(uri.path_and_query().expect("a path").as_str())
        .header("host", &authority)
        .header("accept", "application/json, text/event-stream")
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = message.map_or_else(Bytes::new, |message| Bytes::from(message.to_string()));
    let response = sender.send_request(request.body(Full::new(body)).expect("a request")).await?;
    let (parts, body) = response.into_parts();
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
}

pub(crate) async fn post(url: &str, headers: &[(&str, &str)], message: &Value) -> Answer {
    send("POST", url, headers, Some(message)).await.expect("an answer")
}

/// A request of 2026-07-28 with everything it must carry.
pub(crate) async fn modern(url: &str, method: &str, mut params: Value) -> Answer {
    let name = params.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let message = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    let mut headers = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
    if !name.is_empty() {
        headers.push(("mcp-name", &name));
    }
    post(url, &headers, &message).await
}

/// `initialize` and `notifications/initialized`; returns the session id.
pub(crate) async fn initialize(url: &str) -> String {
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
    }});
    let answer = post(url, &[], &message).await;
    let session = answer.header("mcp-session-id").expect("a session").to_owned();
    assert_eq!(answer.message().await["result"]["protocolVersion"], "2025-11-25");
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(legacy(url, &session, &initialized).await.status, 202);
    session
}

pub(crate) async fn legacy(url: &str, session: &str, message: &Value) -> Answer {
    post(url, &[("mcp-session-id", session), ("mcp-protocol-version", "2025-11-25")], message).await
}
