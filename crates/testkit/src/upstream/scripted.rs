use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::answer::{Answer, Finish};
use super::body::{Body, BodyContext};
use super::listener::{ConnectionEnd, Listener, Outcome, ResetSwitch};
use super::polite::{self, LATEST_LEGACY, MODERN};
use super::request_log::{LoggedRequest, RequestLog};
use super::script::{Eras, Script};
use super::streams::Streams;

const SESSION_HEADER: &str = "mcp-session-id";
const VERSION_HEADER: &str = "mcp-protocol-version";

#[derive(Debug)]
struct Server {
    script: Mutex<Script>,
    log: RequestLog,
    streams: Streams,
    url: std::sync::OnceLock<String>,
}

/// An MCP server on a loopback port that follows a [`Script`]. It stops when it is dropped.
#[derive(Debug)]
pub struct ScriptedUpstream {
    server: Arc<Server>,
    _listener: Listener,
}

impl ScriptedUpstream {
    pub async fn start(script: Script) -> Self {
        let path = if script.eras == Eras::LegacySse { "sse" } else { "mcp" };
        let server = Arc::new(Server {
            script: Mutex::new(script),
            log: RequestLog::default(),
            streams: Streams::default(),
            url: std::sync::OnceLock::new(),
        });
        let serving = server.clone();
        let listener = Listener::bind(Arc::new(move |request, reset| {
            let server = serving.clone();
            Box::pin(async move { server.handle(request, reset).await })
        }))
        .await;
        server.url.set(format!("http://{}/{path}", listener.address)).expect("the URL is set once");
        Self { server, _listener: listener }
    }

    /// Where to connect: `/mcp`, or `/sse` for HTTP+SSE.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    pub fn log(&self) -> &RequestLog {
        &self.server.log
    }

    /// How often a tool was asked for, whatever was answered.
    pub fn executions(&self, tool: &str) -> usize {
        self.server.log.executions(tool)
    }

    /// From now on it behaves like this. Sessions and open streams stay.
    pub fn follow(&self, script: Script) {
        *self.server.script.lock() = script;
    }

    /// Forgets every session, as a restarted server does.
    pub fn expire_sessions(&self) {
        self.server.streams.expire();
    }

    /// Ends every server-to-client stream.
    pub fn cut_streams(&self) {
        self.server.streams.cut();
    }

    pub fn open_streams(&self) -> usize {
        self.server.streams.count()
    }

    /// Replaces the tools and tells every open stream. Returns how many heard it.
    pub fn change_tools(&self, tools: &[Value]) -> usize {
        self.server.script.lock().tools = tools.iter().map(Value::to_string).collect();
        self.server.streams.notify("notifications/tools/list_changed")
    }

    /// Sends a message (a request or notification of the server's own) to every open stream.
    pub fn push(&self, message: &Value) -> usize {
        self.server.streams.broadcast(&message.to_string())
    }
}

impl Server {
    fn url(&self) -> &str {
        self.url.get().map_or("", String::as_str)
    }

    async fn handle(&self, request: Request<Incoming>, reset: ResetSwitch) -> Outcome {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| ConnectionEnd)?.to_bytes();
        let logged = LoggedRequest::new(&parts, &body);
        self.log.record(logged.clone());
        if let Some(answer) = self.metadata(&parts) {
            return self.send(answer, &Value::Null, reset).await;
        }
        let id = logged.id().cloned().unwrap_or(Value::Null);
        let scripted = self.script.lock().answer(logged.method(), logged.name());
        if let Some(answer) = scripted {
            return match self.onto_stream(&parts, &answer, &id, &reset) {
                Some(outcome) => outcome,
                None => self.send(answer, &id, reset).await,
            };
        }
        if logged.method() == "tools/call" {
            let delay = self.script.lock().call_delay;
            tokio::time::sleep(delay).await;
        }
        let eras = self.script.lock().eras;
        match eras {
            Eras::LegacySse => self.legacy_sse(&parts, &logged),
            _ if parts.uri.path() != "/mcp" => self.send(Answer::status(404), &id, reset).await,
            _ if parts.method == Method::POST => self.post(&parts, &logged, eras, reset).await,
            _ => self.session_request(&parts, eras, reset).await,
        }
    }

    fn metadata(&self, parts: &Parts) -> Option<Answer> {
        let document = self.script.lock().resource_metadata.clone()?;
        parts
            .uri
            .path()
            .starts_with("/.well-known/oauth-protected-resource")
            .then(|| Answer::json_text(document.to_string()))
    }

    async fn post(&self, parts: &Parts, logged: &LoggedRequest, eras: Eras, reset: ResetSwitch) -> Outcome {
        let id = logged.id().cloned().unwrap_or(Value::Null);
        let modern = header(parts, VERSION_HEADER) == Some(MODERN);
        let session = header(parts, SESSION_HEADER).map(str::to_owned);
        let answer = if !logged.message.is_object() {
            Answer::error_without_id(400, -32700, "Parse error")
        } else if modern && !eras.modern() {
            Answer::error_without_id(400, -32000, "Bad Request: Unsupported protocol version")
        } else if !modern && !eras.sessions() {
            unsupported_version(&id)
        } else if logged.id().is_none() {
            Answer::status(202)
        } else if modern && logged.method() == "subscriptions/listen" {
            return self.listen(logged);
        } else if modern {
            self.polite(logged, true)
        } else if logged.method() == "initialize" {
            self.polite(logged, false).header(SESSION_HEADER, &self.streams.new_session())
        } else {
            match session {
                None => {
                    Answer::error_without_id(400, -32000, "Bad Request: Mcp-Session-Id header is required")
                }
                Some(session) if !self.streams.knows(&session) => {
                    Answer::error_without_id(404, -32001, "Session not found")
                }
                Some(_) => self.polite(logged, false),
            }
        };
        self.send(answer, &id, reset).await
    }

    fn polite(&self, logged: &LoggedRequest, modern: bool) -> Answer {
        let payload = polite::answer(&self.script.lock(), &logged.message, modern);
        // 2026-07-28: an unknown method is also HTTP 404.
        let status = match &payload {
            polite::Payload::Error { code: -32601, .. } if modern => 404,
            _ => 200,
        };
        let id = logged.id().cloned().unwrap_or(Value::Null);
        Answer::json_text(payload.into_message(&id)).with_status(status)
    }

    /// `GET` and `DELETE` belong to sessions.
    async fn session_request(&self, parts: &Parts, eras: Eras, reset: ResetSwitch) -> Outcome {
        let session = header(parts, SESSION_HEADER);
        let answer = match (eras.sessions(), session) {
            (false, _) => Answer::status(405).header("allow", "POST"),
            (true, None) => {
                Answer::error_without_id(400, -32000, "Bad Request: Mcp-Session-Id header is required")
            }
            (true, Some(session)) if !self.streams.knows(session) => {
                Answer::error_without_id(404, -32001, "Session not found")
            }
            (true, Some(session)) if parts.method == Method::GET => {
                return event_stream(self.streams.open(session, false, &[]));
            }
            (true, Some(session)) if parts.method == Method::DELETE => {
                self.streams.end(session);
                Answer::status(200)
            }
            (true, Some(_)) => Answer::status(405).header("allow", "GET, POST, DELETE"),
        };
        self.send(answer, &Value::Null, reset).await
    }

    fn listen(&self, logged: &LoggedRequest) -> Outcome {
        let id = logged.id().cloned().unwrap_or(Value::Null).to_string();
        let filter = logged.message.pointer("/params/notifications").cloned().unwrap_or_else(|| json!({}));
        let acknowledged = json!({
            "jsonrpc": "2.0",
            "method": "notifications/subscriptions/acknowledged",
            "params": {
                "_meta": {"io.modelcontextprotocol/subscriptionId": logged.id()},
                "notifications": filter,
            },
        });
        event_stream(self.streams.open(&id, true, &[(Some("message"), acknowledged.to_string())]))
    }

    /// HTTP+SSE: answers travel on the stream, the POST itself only says 202.
    fn legacy_sse(&self, parts: &Parts, logged: &LoggedRequest) -> Outcome {
        if parts.uri.path() == "/sse" && parts.method == Method::GET {
            let session = self.streams.new_session();
            let endpoint = format!("/messages?session={session}");
            return event_stream(self.streams.open(&session, false, &[(Some("endpoint"), endpoint)]));
        }
        if parts.uri.path() == "/sse" {
            return plain(StatusCode::METHOD_NOT_ALLOWED);
        }
        let session = parts.uri.query().and_then(|query| query.strip_prefix("session=")).unwrap_or_default();
        if parts.uri.path() != "/messages" || !self.streams.knows(session) {
            return plain(StatusCode::NOT_FOUND);
        }
        if let Some(id) = logged.id()
            && logged.message.get("method").is_some()
        {
            let payload = polite::answer(&self.script.lock(), &logged.message, false);
            self.streams.send(session, &payload.into_message(id));
        }
        plain(StatusCode::ACCEPTED)
    }

    /// In HTTP+SSE a scripted message travels on the stream, as a polite one does.
    fn onto_stream(
        &self,
        parts: &Parts,
        answer: &Answer,
        id: &Value,
        reset: &ResetSwitch,
    ) -> Option<Outcome> {
        let Body::Text(text) = &answer.body else { return None };
        let session = parts.uri.query().and_then(|query| query.strip_prefix("session="))?;
        if answer.status != 200 || answer.finish != Finish::Answer {
            return None;
        }
        let message = self.context(id, reset.clone()).fill(text);
        self.streams.send(session, &message).then(|| plain(StatusCode::ACCEPTED))
    }

    fn context(&self, id: &Value, reset: ResetSwitch) -> BodyContext {
        let variables = self.script.lock().variables.clone();
        BodyContext { id: id.to_string(), url: self.url().to_owned(), variables, reset }
    }

    async fn send(&self, answer: Answer, id: &Value, reset: ResetSwitch) -> Outcome {
        if answer.expire_sessions {
            self.streams.expire();
        }
        tokio::time::sleep(answer.delay).await;
        match answer.finish {
            Finish::Answer => {}
            Finish::Silence => std::future::pending().await,
            Finish::HangUp => return Err(ConnectionEnd),
        }
        let context = self.context(id, reset);
        let mut response = Response::builder().status(answer.status);
        for (name, value) in &answer.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name in the script");
            let value = HeaderValue::from_str(&context.fill(value)).expect("a header value in the script");
            response = response.header(name, value);
        }
        let body = answer.body.into_response_body(context);
        Ok(response.body(body).expect("a status and headers in the script"))
    }
}

fn header<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}

fn unsupported_version(id: &Value) -> Answer {
    let message = json!({
        "jsonrpc": "2.0",
        "id": id,
        "error": {"code": -32022, "message": "Unsupported protocol version", "data": {"supported": [MODERN], "requested": LATEST_LEGACY}},
    });
    Answer::json_text(message.to_string()).with_status(400)
}

fn event_stream(body: super::listener::ResponseBody) -> Outcome {
    Response::builder()
        .header(CONTENT_TYPE, "text/event-stream")
        .header("cache-control", "no-store")
        .body(body)
        .map_err(|_| ConnectionEnd)
}

fn plain(status: StatusCode) -> Outcome {
    let body = Full::default().map_err(|never| match never {}).boxed_unsync();
    Response::builder().status(status).body(body).map_err(|_| ConnectionEnd)
}
