//! A request whose client hears what happens before the answer: progress and logs, and questions of the upstream.
//!
//! The answer is plain JSON until there is something to tell; from then on it is a stream of events. A client of the legacy
//! generation is asked over that stream and posts its answer. To one of the modern generation the question is the answer,
//! `input_required`: the call waits here, under a handle that only its own caller can take up, and goes on when the
//! client tries again. Dropping the stream drops the call, and with it the upstream's.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Response, header},
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::value::RawValue;
use switchboard_broker::{CallContext, Side, SideEvent, SideReply};
use switchboard_mcp::{Era, Incoming, ProtocolError, RawObject, Request, parse_incoming};
use tokio::sync::{mpsc, oneshot};

use super::{
    direct,
    dispatch::Asked,
    listen::Streams,
    others,
    session::{LiveSession, Running, Sessions},
};
use crate::ServerState;

/// Questions that can be passed on.
const QUESTIONS: [&str; 3] = ["elicitation", "sampling", "roots"];
/// Events that wait for a client that reads slowly.
const QUEUE: usize = 64;
/// Between two signs of life on a silent stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a call waits for the client to try again, and how many may wait.
const WAITS: Duration = Duration::from_secs(600);
const MOST_WAITING: usize = 1_000;
/// What begins a state that is a handle to a waiting call.
const HANDLE: &str = "swb_wait_";

/// What is under way between clients and upstreams in this process.
#[derive(Debug, Default)]
pub struct Talks {
    waiting: Mutex<HashMap<String, Waiting>>,
    pub(super) sessions: Sessions,
    pub(super) streams: Streams,
}

/// A call that waits for an answer of its client.
struct Waiting {
    conversation: Conversation,
    reply: oneshot::Sender<SideReply>,
    /// Caller, endpoint, method and parameters of the first try.
    whose: String,
    since: Instant,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waiting({})", self.whose)
    }
}

struct Conversation {
    work: BoxFuture<'static, Result<direct::Outcome, ProtocolError>>,
    events: mpsc::Receiver<SideEvent>,
    outcome: Option<Result<direct::Outcome, ProtocolError>>,
    ended: bool,
    /// What a client of the legacy generation can cancel.
    running: Option<Running>,
}

enum Step {
    Told(SideEvent),
    Ended(Result<direct::Outcome, ProtocolError>),
}

impl Conversation {
    /// What happens next; what was said before the answer comes before it.
    async fn step(&mut self) -> Option<Step> {
        if self.ended {
            return None;
        }
        if self.outcome.is_none() {
            tokio::select! {
                biased;
                () = async {
                    match &self.running {
                        Some(running) => running.cancelled.cancelled().await,
                        None => std::future::pending().await,
                    }
                } => {
                    self.ended = true;
                    return Some(Step::Ended(Err(cancelled())));
                }
                Some(event) = self.events.recv() => return Some(Step::Told(event)),
                outcome = &mut self.work => self.outcome = Some(outcome),
            }
        }
        if let Ok(event) = self.events.try_recv() {
            return Some(Step::Told(event));
        }
        self.ended = true;
        self.outcome.take().map(Step::Ended)
    }
}

/// Who speaks: everything that writing an answer takes.
#[derive(Clone)]
struct Speaker {
    state: ServerState,
    context: Arc<CallContext>,
    body: Bytes,
    headers: HeaderMap,
    session: Option<Arc<LiveSession>>,
}

/// A request about one capability.
pub(super) async fn serve(
    state: &ServerState,
    context: &CallContext,
    asked: &Asked<'_>,
    session: Option<Arc<LiveSession>>,
) -> Result<Response<Body>, ProtocolError> {
    let request = asked.request;
    if let Some(waiting) = taken_up(state, context, request) {
        let speaker = speaker(state, context, asked, session);
        return Ok(go_on(speaker, waiting).await);
    }
    let Some((side, events)) = side(context, request, session.as_deref()) else {
        let work = run(state, context, request, &asked.parts.headers, None);
        let outcome = match session.as_ref().map(|session| session.running(&request.id)) {
            None => work.await?,
            Some(running) => tokio::select! {
                outcome = work => outcome?,
                () = running.cancelled.cancelled() => return Err(cancelled()),
            },
        };
        if let (Some(session), Ok(_)) = (&session, &outcome) {
            session.subscribed(request);
        }
        return Ok(finish(state, context, request, outcome, session.as_deref()));
    };
    let speaker = speaker(state, context, asked, session);
    let work = Box::pin(owned(speaker.clone(), side));
    let running = speaker.session.as_ref().map(|session| session.running(&request.id));
    let conversation = Conversation { work, events, outcome: None, ended: false, running };
    Ok(answer(speaker, conversation).await)
}

/// What a request that its client cancelled ends with; the client waits for nothing any more.
fn cancelled() -> ProtocolError {
    let mut error = ProtocolError::invalid_request("the request was cancelled");
    error.status = 200;
    error
}

fn speaker(
    state: &ServerState,
    context: &CallContext,
    asked: &Asked<'_>,
    session: Option<Arc<LiveSession>>,
) -> Speaker {
    Speaker {
        state: state.clone(),
        context: Arc::new(context.clone()),
        body: asked.body.clone(),
        headers: asked.parts.headers.clone(),
        session,
    }
}

async fn run(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    headers: &HeaderMap,
    side: Option<Side>,
) -> Result<direct::Outcome, ProtocolError> {
    match request.method.as_ref() {
        "tools/call" => direct::run(state, context, request, headers, side).await,
        _ => others::run(state, context, request, side).await,
    }
}

async fn owned(speaker: Speaker, side: Side) -> Result<direct::Outcome, ProtocolError> {
    let Ok(Incoming::Request(request)) = parse_incoming(&speaker.body, super::dispatch::MAX_DEPTH) else {
        return Err(ProtocolError::invalid_request("not a request"));
    };
    run(&speaker.state, &speaker.context, &request, &speaker.headers, Some(side)).await
}

fn finish(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    outcome: direct::Outcome,
    session: Option<&LiveSession>,
) -> Response<Body> {
    match request.method.as_ref() {
        "tools/call" => others::finish_tool(state, context, request, outcome, session),
        _ => others::finish(context, request, outcome),
    }
}

/// What the client told of itself; `None` when it hears nothing and can't be asked: then nothing of this is used.
fn side(
    context: &CallContext,
    request: &Request<'_>,
    session: Option<&LiveSession>,
) -> Option<(Side, mpsc::Receiver<SideEvent>)> {
    let params = request.params.and_then(|params| RawObject::parse(params).ok());
    let meta = params.as_ref().and_then(|params| params.get("_meta"));
    let meta = meta.and_then(|meta| RawObject::parse(meta).ok()).unwrap_or_default();
    let progress_token = meta.get("progressToken").map(RawValue::to_owned);
    let (capabilities, log_level) = match (context.era, session) {
        (Era::Modern, _) => (
            meta.get("io.modelcontextprotocol/clientCapabilities").and_then(questions_of),
            meta.read::<String>("io.modelcontextprotocol/logLevel").map(String::into_boxed_str),
        ),
        (Era::Legacy, Some(session)) => (session.capabilities(), session.log_level()),
        (Era::Legacy, None) => (None, None),
    };
    let mut further = String::new();
    for (name, value) in meta.iter().filter(|(name, _)| !is_ours(name)) {
        let comma = if further.is_empty() { "" } else { "," };
        further.push_str(&format!("{comma}{}:{}", serde_json::Value::from(name), value.get()));
    }
    // A subscription belongs to a session of the upstream, too.
    let subscribes = session.is_some() && request.method.ends_with("subscribe");
    let wants_session = capabilities.is_some() || log_level.is_some() || subscribes;
    if progress_token.is_none() && !wants_session && further.is_empty() {
        return None;
    }
    let audience = match session {
        Some(session) => session.audience(),
        None => format!(
            "{}|{}|{}",
            context.principal.caller,
            context.client.as_ref().map_or("", |client| &client.name),
            capabilities.as_deref().map_or("", RawValue::get)
        )
        .into(),
    };
    let (events, receiver) = mpsc::channel(QUEUE);
    let side = Side {
        events,
        progress_token,
        log_level,
        capabilities,
        meta: further.into(),
        audience,
        wants_session,
        is_legacy: context.era == Era::Legacy,
    };
    Some((side, receiver))
}

/// Members of `_meta` that mean something to us or to the protocol.
fn is_ours(name: &str) -> bool {
    name == "progressToken"
        || name.starts_with("io.modelcontextprotocol/")
        || name.starts_with("switchboard/")
}

/// Of a client's capabilities those that let it be asked.
pub(super) fn questions_of(capabilities: &RawValue) -> Option<Box<RawValue>> {
    let all = RawObject::parse(capabilities).ok()?;
    let mut text = String::new();
    for (name, value) in all.iter().filter(|(name, _)| QUESTIONS.contains(name)) {
        let comma = if text.is_empty() { "" } else { "," };
        text.push_str(&format!("{comma}\"{name}\":{}", value.get()));
    }
    if text.is_empty() {
        return None;
    }
    RawValue::from_string(format!("{{{text}}}")).ok()
}

/// Plain JSON when the answer comes first, otherwise a stream.
async fn answer(speaker: Speaker, mut conversation: Conversation) -> Response<Body> {
    match conversation.step().await {
        Some(Step::Ended(outcome)) => speaker.response(outcome),
        Some(Step::Told(SideEvent::Question { method, params, reply })) if speaker.is_modern() => {
            speaker.input_required(conversation, (&method, params), reply)
        }
        Some(Step::Told(event)) => stream(speaker, conversation, event),
        None => super::protocol_error(&ProtocolError::invalid_request("the call is over")),
    }
}

fn stream(speaker: Speaker, conversation: Conversation, first: SideEvent) -> Response<Body> {
    let begin = Some((speaker, conversation, Some(first)));
    let events = futures_util::stream::unfold(begin, |at| async move {
        let (mut speaker, mut conversation, waiting) = at?;
        let step = match waiting {
            Some(event) => Some(Step::Told(event)),
            None => match tokio::time::timeout(KEEP_ALIVE, conversation.step()).await {
                Ok(step) => step,
                Err(_) => {
                    let comment = Bytes::from_static(b": still here\n\n");
                    return Some((Ok::<_, Infallible>(comment), Some((speaker, conversation, None))));
                }
            },
        };
        match step? {
            Step::Told(SideEvent::Question { method, params, reply }) if speaker.is_modern() => {
                let response = speaker.input_required(conversation, (&method, params), reply);
                Some((Ok(event_of(response).await), None))
            }
            Step::Told(event) => {
                let message = speaker.message(event);
                Some((Ok(event_with(&message)), Some((speaker, conversation, None))))
            }
            Step::Ended(outcome) => Some((Ok(event_of(speaker.response(outcome)).await), None)),
        }
    });
    event_stream(Body::from_stream(events))
}

/// A response with a stream of events.
pub(super) fn event_stream(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

pub(super) fn event_with(message: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(message.len() + 8);
    switchboard_mcp::write_event(&mut out, None, message);
    out.into()
}

/// A response of ours as the event that ends a stream.
async fn event_of(response: Response<Body>) -> Bytes {
    match axum::body::to_bytes(response.into_body(), usize::MAX).await {
        Ok(message) => event_with(&message),
        Err(_) => Bytes::new(),
    }
}

/// The waiting call that a request takes up, if its state is a handle of one.
fn taken_up(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
) -> Option<(Waiting, Box<RawValue>)> {
    let params = RawObject::parse(request.params?).ok()?;
    let handle: String = params.read("requestState")?;
    if context.era != Era::Modern || !handle.starts_with(HANDLE) {
        return None;
    }
    let answers = params.get("inputResponses").and_then(|answers| RawObject::parse(answers).ok())?;
    let answer = answers.get(KEY)?.to_owned();
    let mut waiting = state.talks.waiting.lock();
    let found = waiting.get(&handle)?;
    if found.whose != whose(context, request) || found.since.elapsed() > WAITS {
        return None;
    }
    Some((waiting.remove(&handle)?, answer))
}

/// The key of the one question of a waiting call.
const KEY: &str = "question";

/// A call is taken up by the same caller for the same thing.
fn whose(context: &CallContext, request: &Request<'_>) -> String {
    let params = request.params.and_then(|params| RawObject::parse(params).ok()).unwrap_or_default();
    let member = |name| params.get(name).map_or("", RawValue::get);
    format!(
        "{}|{}|{}|{}|{}|{}|{}",
        context.principal.organization,
        context.principal.caller,
        context.resource,
        request.method,
        member("name"),
        member("uri"),
        member("arguments")
    )
}

async fn go_on(speaker: Speaker, (waiting, answer_of_client): (Waiting, Box<RawValue>)) -> Response<Body> {
    // A call that is over has nobody to tell.
    let _ = waiting.reply.send(Ok(answer_of_client));
    answer(speaker, waiting.conversation).await
}

impl Speaker {
    fn is_modern(&self) -> bool {
        self.context.era == Era::Modern
    }

    fn response(&self, outcome: Result<direct::Outcome, ProtocolError>) -> Response<Body> {
        let Ok(Incoming::Request(request)) = parse_incoming(&self.body, super::dispatch::MAX_DEPTH) else {
            return super::protocol_error(&ProtocolError::invalid_request("not a request"));
        };
        match outcome {
            Ok(outcome) => {
                if let (Some(session), Ok(_)) = (&self.session, &outcome) {
                    session.subscribed(&request);
                }
                finish(&self.state, &self.context, &request, outcome, self.session.as_deref())
            }
            Err(error) => super::protocol_error(&error.for_request(&request.id)),
        }
    }

    /// A message to the client before its answer.
    fn message(&mut self, event: SideEvent) -> Bytes {
        match event {
            SideEvent::Notification { method, params } => {
                switchboard_mcp::notification(method, Some(&params))
            }
            SideEvent::Question { method, params, reply } => match &self.session {
                Some(session) => session.question(&method, params.as_deref(), reply),
                // Without a session there is no way back: the upstream is told.
                None => Bytes::from_static(b"{}"),
            },
        }
    }

    /// The question as the answer; the call waits.
    fn input_required(
        &self,
        conversation: Conversation,
        (method, params): (&str, Option<Box<RawValue>>),
        reply: oneshot::Sender<SideReply>,
    ) -> Response<Body> {
        let Ok(Incoming::Request(request)) = parse_incoming(&self.body, super::dispatch::MAX_DEPTH) else {
            return super::protocol_error(&ProtocolError::invalid_request("not a request"));
        };
        let handle = format!("{HANDLE}{}", self.state.broker.new_handle());
        let params = params.map_or_else(String::new, |params| format!(",\"params\":{}", params.get()));
        let method = serde_json::Value::from(method);
        let result = format!(
            "{{\"resultType\":\"input_required\",\"inputRequests\":{{\"{KEY}\":{{\"method\":{method}{params}}}}},\
             \"requestState\":\"{handle}\"}}"
        );
        let whose = whose(&self.context, &request);
        let mut waiting = self.state.talks.waiting.lock();
        waiting.retain(|_, call| call.since.elapsed() < WAITS);
        if waiting.len() < MOST_WAITING {
            waiting.insert(handle, Waiting { conversation, reply, whose, since: Instant::now() });
        }
        drop(waiting);
        super::dispatch::success(&request, result.into())
    }
}
