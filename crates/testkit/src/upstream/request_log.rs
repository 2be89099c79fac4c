use std::collections::HashMap;
use std::sync::Arc;

use http::request::Parts;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

/// One HTTP request as it arrived, with its JSON-RPC envelope read.
#[derive(Debug, Clone)]
pub struct LoggedRequest {
    pub http_method: String,
    pub path: String,
    /// Names in lower case, in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// `null` when there was no body or it was not JSON.
    pub message: Value,
}

impl LoggedRequest {
    pub(super) fn new(parts: &Parts, body: &[u8]) -> Self {
        let headers = parts
            .headers
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        Self {
            http_method: parts.method.as_str().to_owned(),
            path: parts.uri.path_and_query().map_or_else(String::new, |path| path.as_str().to_owned()),
            headers,
            message: serde_json::from_slice(body).unwrap_or(Value::Null),
        }
    }

    /// First value of a header; the name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// JSON-RPC method; the HTTP method when the request carried no message (`GET`, `DELETE`).
    pub fn method(&self) -> &str {
        self.message.get("method").and_then(Value::as_str).unwrap_or(&self.http_method)
    }

    /// `params.name`: the tool or prompt that was asked for.
    pub fn name(&self) -> Option<&str> {
        self.message.pointer("/params/name").and_then(Value::as_str)
    }

    pub fn arguments(&self) -> Option<&Value> {
        self.message.pointer("/params/arguments")
    }

    /// The request's JSON-RPC id; `None` for notifications.
    pub fn id(&self) -> Option<&Value> {
        self.message.get("id")
    }
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<LoggedRequest>,
    executions: HashMap<String, usize>,
}

/// Everything an upstream received, in order. Clones share one log.
#[derive(Debug, Clone, Default)]
pub struct RequestLog {
    state: Arc<Mutex<State>>,
    arrived: Arc<Notify>,
}

impl RequestLog {
    pub(super) fn record(&self, request: LoggedRequest) {
        let mut state = self.state.lock();
        if request.method() == "tools/call"
            && let Some(name) = request.name()
        {
            *state.executions.entry(name.to_owned()).or_default() += 1;
        }
        state.requests.push(request);
        drop(state);
        self.arrived.notify_waiters();
    }

    pub fn all(&self) -> Vec<LoggedRequest> {
        self.state.lock().requests.clone()
    }

    /// Requests of one method: a JSON-RPC method, or `GET` and `DELETE` for requests without a message.
    pub fn of(&self, method: &str) -> Vec<LoggedRequest> {
        self.state.lock().requests.iter().filter(|request| request.method() == method).cloned().collect()
    }

    pub fn count(&self, method: &str) -> usize {
        self.state.lock().requests.iter().filter(|request| request.method() == method).count()
    }

    /// How often a tool was asked for. Every arrival counts, whatever was answered: a retry of a call
    /// that may have had its effect shows here as a second execution.
    pub fn executions(&self, tool: &str) -> usize {
        self.state.lock().executions.get(tool).copied().unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.state.lock().requests.is_empty()
    }

    pub fn clear(&self) {
        *self.state.lock() = State::default();
    }

    /// Waits until `count` requests of a method have arrived. Bound it with `tokio::time::timeout`.
    pub async fn wait_for(&self, method: &str, count: usize) {
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if self.count(method) >= count {
                return;
            }
            arrived.await;
        }
    }
}
