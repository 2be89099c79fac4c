use std::time::Duration;

use serde_json::{Value, json};

use super::body::Body;

/// What follows the answer's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Head and body are sent.
    Answer,
    /// The connection stays open and nothing is ever sent.
    Silence,
    /// The connection is closed without a byte.
    HangUp,
}

/// One scripted answer to one HTTP request.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    pub(super) delay: Duration,
    pub(super) finish: Finish,
    /// Forget all sessions before answering.
    pub(super) expire_sessions: bool,
}

impl Answer {
    /// A status with an empty body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Empty,
            delay: Duration::ZERO,
            finish: Finish::Answer,
            expire_sessions: false,
        }
    }

    /// `200` with any body. Add the `content-type` that the case is about.
    pub fn body(body: Body) -> Self {
        Self { body, ..Self::status(200) }
    }

    /// `200 application/json` with this text; `{{ID}}` is the request's id.
    pub fn json_text(text: impl Into<String>) -> Self {
        Self::body(Body::Text(text.into())).header("content-type", "application/json")
    }

    /// A correct JSON-RPC response with this result.
    pub fn result(result: &Value) -> Self {
        Self::json_text(format!(r#"{{"jsonrpc":"2.0","id":{{{{ID}}}},"result":{result}}}"#))
    }

    /// A correct tool result with one text.
    pub fn text(text: &str) -> Self {
        Self::result(&json!({"resultType": "complete", "content": [{"type": "text", "text": text}]}))
    }

    /// A JSON-RPC error for this request, with `200`.
    pub fn error(code: i64, message: &str) -> Self {
        let error = json!({"code": code, "message": message});
        Self::json_text(format!(r#"{{"jsonrpc":"2.0","id":{{{{ID}}}},"error":{error}}}"#))
    }

    /// A JSON-RPC error whose `id` is `null`, as widespread servers send it for a bad session or an
    /// unsupported version. A client that waits for "its" id waits for ever.
    pub fn error_without_id(status: u16, code: i64, message: &str) -> Self {
        let error = json!({"code": code, "message": message});
        Self::json_text(format!(r#"{{"jsonrpc":"2.0","id":null,"error":{error}}}"#)).with_status(status)
    }

    /// SSE events, one message each. A message's text may use `{{ID}}`.
    pub fn events(messages: &[&str]) -> Self {
        let text: String = messages.iter().map(|message| format!("data: {message}\n\n")).collect();
        Self::body(Body::Text(text)).header("content-type", "text/event-stream")
    }

    pub fn html(page: &str) -> Self {
        Self::body(Body::Text(page.to_owned())).header("content-type", "text/html")
    }

    /// A redirect; `{{SELF}}` in the location is this upstream's URL.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::status(status).header("location", location)
    }

    pub fn unauthorized(challenge: &str) -> Self {
        Self::status(401).header("www-authenticate", challenge)
    }

    pub fn unavailable(retry_after: &str) -> Self {
        Self::status(503).header("retry-after", retry_after)
    }

    /// All sessions are forgotten; this and later requests that name one get 404.
    pub fn session_expired() -> Self {
        Self { expire_sessions: true, ..Self::error_without_id(404, -32001, "Session not found") }
    }

    /// The connection stays open and nothing is ever sent.
    pub fn silence() -> Self {
        Self { finish: Finish::Silence, ..Self::status(200) }
    }

    /// The connection is closed without a byte.
    pub fn hang_up() -> Self {
        Self { finish: Finish::HangUp, ..Self::status(200) }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Wait this long before the first byte.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}
