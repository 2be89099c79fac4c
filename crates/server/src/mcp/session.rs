//! Sessions of the legacy generation, on direct surfaces (2025-11-25, streamable HTTP: session management).
//!
//! A session is opened by `initialize` and bound to the principal, the client and the endpoint that opened it; what it
//! says of its client is in the database, so that any process serves it. Requests without a session are served as well:
//! they hear progress, and can't be asked. Where there are only our two tools, a session is opened for clients that show
//! addresses to their person, and for nothing else.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, request::Parts},
};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use switchboard_broker::{CallContext, McpSession, NewMcpSession, Offer, SideReply};
use switchboard_domain::{Principal, Resource, Slug};
use switchboard_mcp::{
    Answer, Era, LATEST_LEGACY, Outcome, ProtocolError, RawObject, Request, RequestId, names,
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    dispatch, elicitation,
    listen::{self, Watching},
    method_not_allowed, talk,
};
use crate::{ServerState, problem};

/// Sessions that this process has to do with, by id.
#[derive(Debug)]
pub(super) struct Sessions(moka::sync::Cache<Arc<str>, Arc<LiveSession>>);

impl Sessions {
    pub(super) fn find(&self, id: &str) -> Option<Arc<LiveSession>> {
        self.0.get(id)
    }

    pub(super) fn forget(&self, id: &str) {
        self.0.invalidate(id);
    }
}

impl Default for Sessions {
    fn default() -> Self {
        let kept = moka::sync::Cache::builder().max_capacity(20_000);
        Self(kept.time_to_idle(std::time::Duration::from_secs(3600)).build())
    }
}

/// What begins the id of a question; process and number follow.
const QUESTION: &str = "swb-";

/// A session as this process sees it.
#[derive(Debug)]
pub(super) struct LiveSession {
    id: Arc<str>,
    stored: RwLock<McpSession>,
    /// Questions that wait for the client, by our id.
    asked: Mutex<HashMap<String, oneshot::Sender<SideReply>>>,
    next: AtomicU64,
    pub(super) watching: Watching,
    /// Requests under way, by the client's id.
    running: Mutex<HashMap<RequestId, CancellationToken>>,
}

/// A request under way; forgotten when it is over.
pub(super) struct Running {
    session: Arc<LiveSession>,
    id: RequestId,
    pub(super) cancelled: CancellationToken,
    /// Its cancellation may come to another process.
    _reads: talk::Reads,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.session.running.lock().remove(&self.id);
    }
}

impl LiveSession {
    fn new(id: &str, stored: McpSession) -> Self {
        Self {
            id: id.into(),
            stored: RwLock::new(stored),
            asked: Mutex::default(),
            next: AtomicU64::new(1),
            watching: Watching::default(),
            running: Mutex::default(),
        }
    }

    pub(super) fn capabilities(&self) -> Option<Box<RawValue>> {
        self.stored.read().questions.clone()
    }

    /// Whether the client opens addresses for its person (2025-11-25, elicitation in URL mode).
    pub(super) fn shows_addresses(&self) -> bool {
        let stored = self.stored.read();
        stored.version == LATEST_LEGACY && stored.questions.as_deref().is_some_and(elicitation::is_by_address)
    }

    pub(super) fn log_level(&self) -> Option<Box<str>> {
        self.stored.read().log_level.clone()
    }

    /// Upstream sessions are this session's own.
    pub(super) fn audience(&self) -> Arc<str> {
        Arc::clone(&self.id)
    }

    /// From now on the client can cancel this request.
    pub(super) fn running(self: &Arc<Self>, state: &ServerState, id: &RequestId) -> Running {
        let cancelled = CancellationToken::new();
        self.running.lock().insert(id.clone(), cancelled.clone());
        let _reads = talk::Reads::begin(state, self.stored.read().organization());
        Running { session: Arc::clone(self), id: id.clone(), cancelled, _reads }
    }

    /// Whether the request was under way here.
    pub(super) fn cancel(&self, id: &RequestId) -> bool {
        let running = self.running.lock().remove(id);
        running.inspect(CancellationToken::cancel).is_some()
    }

    pub(super) fn cancel_all(&self) {
        self.running.lock().drain().for_each(|(_, cancelled)| cancelled.cancel());
    }

    /// An answer to a question that was asked here.
    pub(super) fn answer(&self, question: &str, reply: SideReply) {
        if let Some(waiting) = self.asked.lock().remove(question) {
            // A call that is over has nobody to tell.
            let _ = waiting.send(reply);
        }
    }

    pub(super) fn stored(&self) -> McpSession {
        self.stored.read().clone()
    }

    /// A request of an upstream as a request of ours; the id is nobody's but this session's, and names the process that
    /// waits for the answer.
    pub(super) fn question(
        &self,
        state: &ServerState,
        (method, params): (&str, Option<&RawValue>),
        reply: oneshot::Sender<SideReply>,
    ) -> Bytes {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = format!("{QUESTION}{}-{number}", state.broker.process_name());
        let params = params.map_or_else(String::new, |params| format!(",\"params\":{}", params.get()));
        let method = Value::from(method);
        let message = format!("{{\"jsonrpc\":\"2.0\",\"id\":\"{id}\",\"method\":{method}{params}}}");
        let mut asked = self.asked.lock();
        asked.retain(|_, waiting| !waiting.is_closed());
        asked.insert(id, reply);
        message.into()
    }
}

/// Whether a header can be the id of a session at all: visible ASCII.
fn id_in(headers: &HeaderMap) -> Result<Option<&str>, ProtocolError> {
    let mut values = headers.get_all(names::SESSION_ID).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let id =
        value.to_str().ok().filter(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic()));
    match (id, values.next()) {
        (Some(id), None) => Ok(Some(id)),
        _ => Err(ProtocolError::invalid_request("`Mcp-Session-Id` is not the id of a session")),
    }
}

/// Refuses what can be no session's id, also where there are no sessions.
pub(super) fn check_id(headers: &HeaderMap) -> Result<(), ProtocolError> {
    id_in(headers).map(drop)
}

/// The session that a request names, if it is its own.
async fn find(
    state: &ServerState,
    principal: &Principal,
    resource: &Resource,
    headers: &HeaderMap,
) -> Result<Option<Arc<LiveSession>>, ProtocolError> {
    let Some(id) = id_in(headers)? else { return Ok(None) };
    let live = match state.talks.sessions.0.get(id) {
        Some(live) => live,
        None => {
            let stored = state.broker.mcp_session(principal.organization, id).await;
            let stored = stored.map_err(|error| dispatch::refused(&error))?;
            let gone = || {
                ProtocolError::new(404, switchboard_mcp::code::INVALID_REQUEST, "there is no such session")
            };
            let live = Arc::new(LiveSession::new(id, stored.ok_or_else(gone)?));
            state.talks.sessions.0.insert(id.into(), Arc::clone(&live));
            live
        }
    };
    if live.stored.read().is_of(principal, resource) {
        return Ok(Some(live));
    }
    Err(ProtocolError::new(403, switchboard_mcp::code::INVALID_REQUEST, "the session is another client's"))
}

/// The session of a request; the modern generation has none, and `initialize` opens one.
pub(super) async fn of_request(
    state: &ServerState,
    context: &CallContext,
    headers: &HeaderMap,
    request: &Request<'_>,
) -> Result<Option<Arc<LiveSession>>, ProtocolError> {
    if context.era == Era::Modern || request.method == "initialize" {
        return Ok(None);
    }
    find(state, &context.principal, &context.resource, headers).await
}

/// Answers `initialize` with the id of a new session.
pub(super) async fn open(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    result: &Value,
) -> Result<Response<Body>, ProtocolError> {
    let params = request.params.and_then(|params| RawObject::parse(params).ok()).unwrap_or_default();
    let new = NewMcpSession {
        version: result["protocolVersion"].as_str().unwrap_or_default().to_owned(),
        questions: params.get("capabilities").and_then(talk::questions_of),
    };
    let opened = state.broker.open_mcp_session(context, new).await;
    let (id, stored) = opened.map_err(|error| dispatch::refused(&error))?;
    state.talks.sessions.0.insert(id.as_str().into(), Arc::new(LiveSession::new(&id, stored)));
    let mut response = dispatch::success(request, result.to_string().into());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(names::SESSION_ID, id);
    }
    Ok(response)
}

/// `logging/setLevel`: kept with the session, and told to each upstream with the next call.
pub(super) async fn set_level(
    state: &ServerState,
    session: Option<Arc<LiveSession>>,
    request: &Request<'_>,
) -> Result<Response<Body>, ProtocolError> {
    #[derive(Deserialize)]
    struct Level {
        level: Box<str>,
    }
    const LEVELS: [&str; 8] =
        ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
    let Level { level } = dispatch::read_params(request)?;
    if !LEVELS.contains(&&*level) {
        let mut error = ProtocolError::invalid_params("`level` is not a level of RFC 5424");
        error.status = 200;
        return Err(error);
    }
    if let Some(session) = session {
        session.stored.write().log_level = Some(level.clone());
        let stored = session.stored();
        state.broker.set_mcp_log_level(&stored, &level).await.map_err(|error| dispatch::refused(&error))?;
    }
    Ok(dispatch::success(request, Bytes::from_static(b"{}")))
}

/// A client answers a question.
pub(super) async fn answered(
    state: &ServerState,
    principal: &Principal,
    resource: &Resource,
    headers: &HeaderMap,
    answer: Answer<'_>,
) -> Response<Body> {
    let session = match find(state, principal, resource, headers).await {
        Ok(session) => session,
        Err(error) => return super::protocol_error(&error),
    };
    let Some((session, RequestId::Text(id))) = session.zip(answer.id) else {
        return problem::empty(StatusCode::ACCEPTED);
    };
    let process = id.strip_prefix(QUESTION).and_then(|rest| Some(rest.split_once('-')?.0));
    let reply = match answer.outcome {
        Outcome::Result(result) => Ok(result.to_owned()),
        Outcome::Error(error) => Err(error),
    };
    match process {
        Some(process) if process != state.broker.process_name() => {
            let (result, error) =
                reply.map_or_else(|error| (None, Some(error)), |result| (Some(result), None));
            let (session, question) = (session.id.to_string(), id.to_string());
            let letter = talk::Letter::Answer { session, question, result, error };
            posted(state, principal, &letter).await
        }
        _ => {
            session.answer(&id, reply);
            problem::empty(StatusCode::ACCEPTED)
        }
    }
}

/// Passes on what a client says about a request that another process runs.
async fn posted(state: &ServerState, principal: &Principal, letter: &talk::Letter) -> Response<Body> {
    let posted = talk::post(state, principal.organization, letter).await;
    posted.map_or_else(|error| super::protocol_error(&error), |()| problem::empty(StatusCode::ACCEPTED))
}

/// A client cancels a request of its own session; its other notifications change nothing here.
pub(super) async fn notified(
    state: &ServerState,
    principal: &Principal,
    resource: &Resource,
    headers: &HeaderMap,
    (method, params): (&str, Option<&RawValue>),
) -> Response<Body> {
    if *resource == Resource::Default {
        return problem::empty(StatusCode::ACCEPTED);
    }
    let session = match find(state, principal, resource, headers).await {
        Ok(session) => session,
        Err(error) => return super::protocol_error(&error),
    };
    if let (Some(session), "notifications/cancelled") = (session, method) {
        let params = params.and_then(|params| RawObject::parse(params).ok());
        let id = params.and_then(|params| RequestId::parse(params.get("requestId")?));
        if let Some(request) = id.filter(|id| !session.cancel(id)) {
            let session = session.id.to_string();
            let request =
                RawValue::from_string(request.to_string()).unwrap_or_else(|_| RawValue::NULL.to_owned());
            return posted(state, principal, &talk::Letter::Cancelled { session, request }).await;
        }
    }
    problem::empty(StatusCode::ACCEPTED)
}

/// GET opens a session's stream, DELETE ends the session; other methods there are none.
pub(super) async fn other_method(
    state: &ServerState,
    principal: Principal,
    resource: Resource,
    organization: Option<Slug>,
    parts: &Parts,
) -> Response<Body> {
    let known = matches!(parts.method, Method::GET | Method::DELETE);
    if !known || id_in(&parts.headers).is_ok_and(|id| id.is_none()) {
        return method_not_allowed();
    }
    match find(state, &principal, &resource, &parts.headers).await {
        Ok(Some(session)) if parts.method == Method::GET => {
            let last = parts.headers.get(names::LAST_EVENT_ID).and_then(|value| value.to_str().ok());
            let context = match dispatch::context_of_stream(principal, resource, organization, parts) {
                Ok(context) => context,
                Err(error) => return super::protocol_error(&error),
            };
            let last = match state.broker.offer(&context) {
                Ok(Offer::Direct) if context.resource != Resource::Default => last,
                Ok(_) => return method_not_allowed(),
                Err(error) => return super::protocol_error(&dispatch::refused(&error)),
            };
            let opened = match last.filter(|last| !last.starts_with(listen::STREAM)) {
                Some(last) => match listen::Place::take(state, &context) {
                    Some(place) => {
                        let whose = (context.principal.organization, place);
                        talk::take_up(state, &session, whose, last).await
                    }
                    None => Err(listen::too_many(state)),
                },
                None => listen::of_session(state, &context, parts, (session, last.is_some())),
            };
            opened.unwrap_or_else(|error| super::protocol_error(&error))
        }
        Ok(Some(session)) => {
            state.talks.sessions.forget(&session.id);
            session.cancel_all();
            let letter = talk::Letter::Ended { session: session.id.to_string() };
            if let Err(error) = talk::post(state, principal.organization, &letter).await {
                tracing::info!(%error, "other processes are not told that a session ended");
            }
            let stored = session.stored();
            match state.broker.end_mcp_session(&stored).await {
                Ok(()) => problem::empty(StatusCode::NO_CONTENT),
                Err(error) => super::protocol_error(&dispatch::refused(&error)),
            }
        }
        Ok(None) => method_not_allowed(),
        Err(error) => super::protocol_error(&error),
    }
}
