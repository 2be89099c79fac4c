//! Calls that wait for a client of the modern generation to try again with an answer (2026-07-28, multi round-trip requests),
//! because their upstream of the legacy one asked something in the middle of its work.
//!
//! The call waits in the process that runs it. Its handle names that process: a client that tries again elsewhere is served
//! through letters and relayed events.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use axum::{body::Body, http::Response};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::value::RawValue;
use switchboard_broker::{CallContext, SideReply};
use switchboard_mcp::{Era, Incoming, ProtocolError, RawObject, Request, parse_incoming};
use tokio::sync::oneshot;

use super::{Conversation, Letter, Reads, Sink, Speaker, answer, drive, relay};
use crate::{ServerState, mcp};

/// How long a call waits for the client to try again, and how many may wait.
const WAITS: Duration = Duration::from_secs(600);
const MOST_WAITING: usize = 1_000;
/// What begins a state that is a handle to a waiting call; the process and a random part follow.
const HANDLE: &str = "swb_wait_";
/// The key of the one question of a waiting call.
const KEY: &str = "question";

/// By handle.
#[derive(Debug, Default)]
pub(super) struct AllWaiting(Mutex<HashMap<String, Waiting>>);

/// A call that waits for an answer of its client.
struct Waiting {
    speaker: Speaker,
    conversation: Conversation,
    reply: oneshot::Sender<SideReply>,
    /// Caller, endpoint, method and parameters of the first try.
    whose: String,
    since: Instant,
    _reads: Reads,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waiting({})", self.whose)
    }
}

/// A request that takes up a call which waits.
pub(super) struct Again {
    handle: String,
    whose: String,
    answer: Box<RawValue>,
}

/// Reads a request whose state is a handle to a waiting call, of this process or another one.
pub(super) fn tried_again(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
) -> Option<Again> {
    let params = RawObject::parse(request.params?).ok()?;
    let handle: String = params.read("requestState")?;
    let process = handle.strip_prefix(HANDLE)?.split_once('_')?.0;
    let is_here = process == state.broker.process_name();
    let whose = whose(context, request);
    if context.era != Era::Modern || (is_here && !state.talks.waiting.has(&handle, &whose)) {
        return None;
    }
    let answers = params.get("inputResponses").and_then(|answers| RawObject::parse(answers).ok())?;
    let answer = answers.get(KEY)?.to_owned();
    Some(Again { handle, whose, answer })
}

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

impl AllWaiting {
    fn has(&self, handle: &str, whose: &str) -> bool {
        self.0.lock().get(handle).is_some_and(|found| found.whose == whose)
    }

    /// Ends those whose clients did not come back.
    pub(super) fn forget_old(&self) {
        self.0.lock().retain(|_, call| call.since.elapsed() < WAITS);
    }

    /// The call with this handle, for whoever began it.
    fn take(&self, handle: &str, whose: &str) -> Option<Waiting> {
        let mut waiting = self.0.lock();
        let found = waiting.get(handle)?;
        if found.whose != whose || found.since.elapsed() > WAITS {
            return None;
        }
        waiting.remove(handle)
    }
}

/// Goes on with the call, here or where it waits.
pub(super) async fn go_on(speaker: Speaker, again: Again) -> Response<Body> {
    let Again { handle, whose, answer: said } = again;
    if let Some(waiting) = speaker.state.talks.waiting.take(&handle, &whose) {
        // A call that is over has nobody to tell.
        let _ = waiting.reply.send(Ok(said));
        return answer(speaker, waiting.conversation).await;
    }
    let organization = speaker.context.principal.organization;
    let stream = speaker.state.broker.new_handle();
    let body = String::from_utf8_lossy(&speaker.body).into_owned();
    let letter = Letter::GoOn { handle, whose, answer: said, body, stream: stream.clone() };
    match relay::post(&speaker.state, organization, &letter).await {
        Ok(()) => relay::answer(&speaker, &stream).await,
        Err(error) => mcp::protocol_error(&error.for_request(&speaker.id())),
    }
}

/// A letter from the process that the client tried again at.
pub(super) fn go_on_for_another(
    state: &ServerState,
    (handle, whose): (&str, &str),
    said: Box<RawValue>,
    (body, stream): (String, String),
) {
    let Some(waiting) = state.talks.waiting.take(handle, whose) else { return };
    let _ = waiting.reply.send(Ok(said));
    let speaker = Speaker { body: body.into(), ..waiting.speaker };
    let outlet = relay::Outlet::new(speaker.context.principal.organization, stream);
    tokio::spawn(drive(speaker, waiting.conversation, None, Sink::Relay(outlet)));
}

impl Speaker {
    /// The question as the answer; the call waits.
    pub(super) fn input_required(
        &self,
        conversation: Conversation,
        (method, params): (&str, Option<Box<RawValue>>),
        reply: oneshot::Sender<SideReply>,
    ) -> Response<Body> {
        let Ok(Incoming::Request(request)) = parse_incoming(&self.body, mcp::dispatch::MAX_DEPTH) else {
            return mcp::protocol_error(&ProtocolError::invalid_request("not a request"));
        };
        let broker = &self.state.broker;
        let handle = format!("{HANDLE}{}_{}", broker.process_name(), broker.new_handle());
        let params = params.map_or_else(String::new, |params| format!(",\"params\":{}", params.get()));
        let method = serde_json::Value::from(method);
        let result = format!(
            "{{\"resultType\":\"input_required\",\"inputRequests\":{{\"{KEY}\":{{\"method\":{method}{params}}}}},\
             \"requestState\":\"{handle}\"}}"
        );
        let waits = Waiting {
            speaker: self.clone(),
            conversation,
            reply,
            whose: whose(&self.context, &request),
            since: Instant::now(),
            _reads: Reads::begin(&self.state, self.context.principal.organization),
        };
        let mut waiting = self.state.talks.waiting.0.lock();
        waiting.retain(|_, call| call.since.elapsed() < WAITS);
        if waiting.len() < MOST_WAITING {
            waiting.insert(handle, waits);
        }
        drop(waiting);
        mcp::dispatch::success(&request, Bytes::from(result))
    }
}
