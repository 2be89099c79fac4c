//! What an upstream says or asks while it works on a request, on its way to the client that sent the request.
//!
//! Ids and progress tokens that an upstream sees are ours: what it sends back is looked up by them, and reaches the
//! one request that they were made for. An upstream request is answered on the session it came from.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::value::RawValue;
use switchboard_mcp::{ErrorObject, MODERN, RawObject, Request, RequestId, TASKS, code};
use tokio::sync::{mpsc, oneshot};

const PROGRESS: &str = "notifications/progress";
const MESSAGE: &str = "notifications/message";
/// Answered by every client; no person is bothered.
const PING: &str = "ping";

/// How a client answers an upstream's request.
pub type SideReply = Result<Box<RawValue>, ErrorObject>;

/// What goes to the client before its answer.
#[derive(Debug)]
pub enum SideEvent {
    /// Progress or a log message, with the client's own token.
    Notification { method: &'static str, params: Box<RawValue> },
    /// A question to the client: elicitation, sampling or roots.
    Question { method: Box<str>, params: Option<Box<RawValue>>, reply: oneshot::Sender<SideReply> },
}

/// What a client told of itself with its request, and where it hears what happens meanwhile.
#[derive(Debug, Clone)]
pub struct Side {
    pub events: mpsc::Sender<SideEvent>,
    /// The client's own progress token, as JSON.
    pub progress_token: Option<Box<RawValue>>,
    /// The least severe log messages it wants.
    pub log_level: Option<Box<str>>,
    /// Which questions it takes, as `ClientCapabilities`.
    pub capabilities: Option<Box<RawValue>>,
    /// Other members of the request's `_meta`, without braces; may be empty.
    pub meta: Box<str>,
    /// Who shares an upstream session with whom: requests of one client with one set of capabilities.
    pub audience: Arc<str>,
    /// What it wants belongs to a session of the legacy generation, which must then be its own.
    pub wants_session: bool,
    /// The call may go on as a task.
    pub knows_tasks: bool,
    /// What an upstream of the older generation is told of the task that the call is to be: its `task`, as JSON.
    pub task: Option<Box<RawValue>>,
    /// The task that this is about, for what is asked of the client.
    pub related: Option<RelatedTask>,
    /// The client is of the older generation: an upstream that speaks both is spoken to in that one.
    pub is_legacy: bool,
}

/// What begins to relate a message to a task of the older generation (2025-11-25, tasks: related task metadata).
const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// A task as each side of us calls it.
#[derive(Debug, Clone)]
pub struct RelatedTask {
    pub here: Box<str>,
    /// Where its upstream relates messages to it, too.
    pub upstream: Option<Box<str>>,
}

/// A message's parameters or its result with the task that it is about, by this name.
pub(crate) fn with_related_task(raw: Option<&RawValue>, id: &str) -> Option<Box<RawValue>> {
    let raw = raw.filter(|raw| raw.get() != "null");
    let mut members = raw.map(RawObject::parse).transpose().ok()?.unwrap_or_default();
    let mut meta = members.get("_meta").map(RawObject::parse).transpose().ok()?.unwrap_or_default();
    let related = RawValue::from_string(format!("{{\"taskId\":{}}}", serde_json::Value::from(id))).ok()?;
    meta.set(RELATED_TASK, &related);
    let written = |object: &RawObject<'_>| {
        let mut text = Vec::new();
        object.write(&mut text);
        RawValue::from_string(String::from_utf8(text).ok()?).ok()
    };
    let meta = written(&meta)?;
    members.set("_meta", &meta);
    written(&members)
}

impl Side {
    /// Of a client that hears nothing and can't be asked.
    pub(crate) fn deaf(is_legacy: bool) -> Self {
        Self {
            events: mpsc::channel(1).0,
            progress_token: None,
            log_level: None,
            capabilities: None,
            meta: "".into(),
            audience: "".into(),
            wants_session: false,
            knows_tasks: false,
            task: None,
            related: None,
            is_legacy,
        }
    }

    /// Whether it can be asked anything.
    pub fn takes_questions(&self) -> bool {
        self.capabilities.is_some()
    }

    pub(crate) fn capabilities(&self) -> &str {
        self.capabilities.as_deref().map_or("{}", RawValue::get)
    }

    /// The same with the extensions of the newer generation.
    fn modern_capabilities(&self) -> Cow<'_, str> {
        if !self.knows_tasks {
            return self.capabilities().into();
        }
        let questions = self.capabilities().trim_start_matches('{').trim_end();
        let comma = if questions == "}" { "" } else { "," };
        format!("{{\"extensions\":{{\"{TASKS}\":{{}}}}{comma}{questions}").into()
    }

    /// Tells the client how it goes, if it listens; one that reads slowly misses it.
    pub fn tell_progress(&self, progress: u64, message: &str) {
        let Some(token) = &self.progress_token else { return };
        let message = serde_json::Value::from(message);
        let params =
            format!("{{\"progressToken\":{},\"progress\":{progress},\"message\":{message}}}", token.get());
        if let Ok(params) = RawValue::from_string(params) {
            let _ = self.events.try_send(SideEvent::Notification { method: PROGRESS, params });
        }
    }

    /// Asks the client and waits for what it says.
    pub(crate) async fn ask(&self, method: &str, params: Option<Box<RawValue>>) -> SideReply {
        if !may_ask(method, params.as_deref()) {
            let message = "it asks a person to open an address that is no web page".into();
            return Err(ErrorObject { code: code::INVALID_PARAMS, message, data: None });
        }
        let params = match &self.related {
            Some(task) => with_related_task(params.as_deref(), &task.here).or(params),
            None => params,
        };
        let (reply, answer) = oneshot::channel();
        let question = SideEvent::Question { method: method.into(), params, reply };
        let gone =
            || ErrorObject { code: code::INTERNAL_ERROR, message: "the client went away".into(), data: None };
        self.events.send(question).await.map_err(|_| gone())?;
        let answer = answer.await.map_err(|_| gone())??;
        Ok(match self.related.as_ref().and_then(|task| task.upstream.as_deref()) {
            Some(id) => with_related_task(Some(&answer), id).unwrap_or(answer),
            None => answer,
        })
    }

    /// `_meta` of the request with our `id`.
    pub(crate) fn meta(&self, id: i64, is_modern: bool) -> Option<String> {
        let mut members = Vec::new();
        if is_modern {
            members.push(format!(
                "\"io.modelcontextprotocol/protocolVersion\":\"{MODERN}\",\
                 \"io.modelcontextprotocol/clientInfo\":{{\"name\":\"switchboard\",\"version\":\"{}\"}},\
                 \"io.modelcontextprotocol/clientCapabilities\":{}",
                env!("CARGO_PKG_VERSION"),
                self.modern_capabilities()
            ));
            if let Some(level) = &self.log_level {
                members.push(format!(
                    "\"io.modelcontextprotocol/logLevel\":{}",
                    serde_json::Value::from(&**level)
                ));
            }
        }
        if self.progress_token.is_some() {
            members.push(format!("\"progressToken\":{id}"));
        }
        if !self.meta.is_empty() {
            members.push(self.meta.to_string());
        }
        (!members.is_empty()).then(|| format!("\"_meta\":{{{}}}", members.join(",")))
    }
}

/// Whether a question may reach a client: an address to open is one of a web page, whatever a client would do with another.
pub(crate) fn may_ask(method: &str, params: Option<&RawValue>) -> bool {
    let address = || RawObject::parse(params?).ok()?.read::<serde_json::Value>("url");
    let is_page = |url: serde_json::Value| {
        let url = url.as_str().and_then(|url| url::Url::parse(url).ok());
        url.is_some_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host())
    };
    method != "elicitation/create" || address().is_none_or(is_page)
}

/// The same of an error that asks a person to open addresses (2025-11-25, `-32042`).
pub(crate) fn may_ask_by_error(error: &ErrorObject) -> bool {
    if error.code != code::URL_ELICITATION_REQUIRED {
        return true;
    }
    let asked = error.data.as_ref().and_then(|data| data["elicitations"].as_array());
    asked.is_some_and(|all| {
        all.iter().all(|one| {
            let one = RawValue::from_string(one.to_string()).ok();
            one.is_some_and(|one| may_ask("elicitation/create", Some(&one)))
        })
    })
}

/// Whether that is so of every question in a result that asks for input.
pub(crate) fn may_ask_all(result: &[u8]) -> bool {
    let Ok(members) = serde_json::from_slice::<RawObject<'_>>(result) else { return false };
    let Some(questions) = members.get("inputRequests") else { return true };
    RawObject::parse(questions).is_ok_and(|questions| {
        questions.iter().all(|(_, raw)| {
            RawObject::parse(raw).is_ok_and(|question| {
                let method: String = question.read("method").unwrap_or_default();
                may_ask(&method, question.get("params"))
            })
        })
    })
}

/// The requests under way on one upstream session that somebody listens for, by our id.
#[derive(Debug, Default)]
pub(crate) struct Sides {
    open: Mutex<BTreeMap<i64, Side>>,
    /// Whether all of them are of one client: only then can what names no request be passed on.
    is_shared: bool,
}

/// Forgets a request when it is over.
#[derive(Debug)]
pub(crate) struct Listening<'s> {
    sides: &'s Sides,
    id: i64,
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.sides.open.lock().remove(&self.id);
    }
}

impl Sides {
    pub(crate) fn new(is_shared: bool) -> Self {
        Self { open: Mutex::default(), is_shared }
    }

    pub(crate) fn add(&self, id: i64, side: Option<&Side>) -> Option<Listening<'_>> {
        self.open.lock().insert(id, side?.clone());
        Some(Listening { sides: self, id })
    }

    /// The request that something belongs to which came on the stream of request `own`, or on one of its own.
    fn of(&self, own: Option<i64>) -> Option<Side> {
        let open = self.open.lock();
        match own {
            Some(id) => open.get(&id).cloned(),
            None if self.is_shared => None,
            None => open.values().next().cloned(),
        }
    }

    /// Who hears a notification, and as what; `own` is the request on whose stream it came.
    pub(crate) fn hears(
        &self,
        method: &str,
        params: Option<&RawValue>,
        own: Option<i64>,
    ) -> Option<(Side, SideEvent)> {
        let (side, method, params) = match method {
            PROGRESS => self.progress(params?, own)?,
            MESSAGE => (self.of(own)?, MESSAGE, params?.to_owned()),
            _ => return None,
        };
        Some((side, SideEvent::Notification { method, params }))
    }

    /// Its token is our id; the client gets its own back.
    fn progress(&self, params: &RawValue, own: Option<i64>) -> Option<(Side, &'static str, Box<RawValue>)> {
        let mut members = RawObject::parse(params).ok()?;
        let id: i64 = members.read("progressToken")?;
        if own.is_some_and(|own| own != id) {
            return None;
        }
        let side = self.open.lock().get(&id).cloned()?;
        let token = side.progress_token.clone()?;
        members.set("progressToken", &token);
        let mut text = Vec::new();
        members.write(&mut text);
        let params = RawValue::from_string(String::from_utf8(text).ok()?).ok()?;
        Some((side, PROGRESS, params))
    }

    /// What to answer to an upstream's request, once the client has said it.
    pub(crate) async fn answer(&self, asked: Asked, own: Option<i64>) -> Bytes {
        let Asked { id, method, params } = asked;
        let reply = match self.of(own) {
            _ if method == PING => Ok(RawValue::NULL.to_owned()),
            Some(side) if side.takes_questions() => side.ask(&method, params).await,
            _ => Err(ErrorObject {
                code: code::METHOD_NOT_FOUND,
                message: "not offered by this client".into(),
                data: None,
            }),
        };
        match reply {
            Ok(result) if result.get() == "null" => {
                switchboard_mcp::success(&id, &Bytes::from_static(b"{}")).into_bytes()
            }
            Ok(result) => switchboard_mcp::success(&id, &Bytes::from(String::from(Box::<str>::from(result))))
                .into_bytes(),
            Err(error) => switchboard_mcp::error_response(Some(&id), &error).into_bytes(),
        }
    }
}

/// A request of an upstream, kept beyond the message that it stood in.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: RequestId,
    pub(crate) method: String,
    pub(crate) params: Option<Box<RawValue>>,
}

impl Asked {
    pub(crate) fn of(request: &Request<'_>) -> Self {
        Self {
            id: request.id.clone(),
            method: request.method.clone().into_owned(),
            params: request.params.map(RawValue::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_asks_for_web_pages_or_for_nothing() {
        let error = |code, data| ErrorObject { code, message: "open this".into(), data };
        let asks = |url: &str| {
            Some(json!({ "elicitations": [{ "mode": "url", "url": url, "elicitationId": "1" }] }))
        };
        let required = code::URL_ELICITATION_REQUIRED;
        assert!(may_ask_by_error(&error(required, asks("https://vendor.example/in"))));
        for url in ["javascript:alert(1)", "file:///etc/passwd", "vscode://x", "https://", "7"] {
            assert!(!may_ask_by_error(&error(required, asks(url))), "{url}");
        }
        for data in [None, Some(json!({})), Some(json!({ "elicitations": "https://vendor.example" }))] {
            assert!(!may_ask_by_error(&error(required, data)));
        }
        assert!(may_ask_by_error(&error(-32000, asks("javascript:alert(1)"))), "it asks nobody");
    }
}
