//! A request whose client hears what happens before the answer: progress and logs, and questions of the upstream.
//!
//! The answer is plain JSON until there is something to tell; from then on it is a stream of events. A client of the legacy
//! generation is asked over that stream and posts its answer. To one of the modern generation the question is the answer,
//! `input_required`: the call waits here, under a handle that only its own caller can take up, and goes on when the
//! client tries again (`waiting.rs`).
//!
//! Without a session, dropping the stream drops the call, and with it the upstream's. The stream of a session can be taken up
//! again (`flow.rs`): its call goes on. What a client says may reach another process than the one that runs its call: then it is
//! brought there (`relay.rs`).

mod client_side;
mod conversation;
mod flow;
mod relay;
mod waiting;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Response, header},
};
use bytes::Bytes;
use switchboard_broker::{CallContext, Offer, Side, SideEvent};
use switchboard_domain::Resource;
use switchboard_mcp::{Era, Incoming, ProtocolError, Request, RequestId, parse_incoming};

use super::{
    call, direct,
    dispatch::Asked,
    listen::Streams,
    others,
    session::{LiveSession, Running, Sessions},
    tasks,
};
use crate::ServerState;

pub(super) use client_side::{questions_of, side as side_of};
use conversation::{Conversation, Step};
use flow::Flows;
pub(super) use flow::{take_up, write};
use relay::Post;
pub(super) use relay::{Letter, Reads, post};
use waiting::AllWaiting;

/// Between two signs of life on a silent stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const SIGN_OF_LIFE: Bytes = Bytes::from_static(b": still here\n\n");

/// What is under way between clients and upstreams in this process.
#[derive(Debug, Default)]
pub struct Talks {
    waiting: AllWaiting,
    flows: Flows,
    post: Post,
    pub(super) sessions: Sessions,
    pub(super) streams: Streams,
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
    if let Some(again) = waiting::tried_again(state, context, request) {
        let speaker = speaker(state, context, asked, session);
        return Ok(waiting::go_on(speaker, again).await);
    }
    let task = tasks::asked_for(state, context, request).await;
    let Some((side, events)) = client_side::side(context, request, session.as_deref(), task) else {
        let work = run(state, context, request, &asked.parts.headers, None);
        let outcome = match session.as_ref().map(|session| session.running(state, &request.id)) {
            None => work.await?,
            Some(running) => tokio::select! {
                outcome = work => outcome?,
                () = running.cancelled.cancelled() => return Err(cancelled()),
            },
        };
        return Ok(finish(state, context, request, outcome, session.as_deref()));
    };
    let speaker = speaker(state, context, asked, session);
    let work = Box::pin(owned(speaker.clone(), side));
    let running = speaker.session.as_ref().map(|session| session.running(state, &request.id));
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
        "tools/call" if is_direct(state, context) => {
            direct::run(state, context, request, headers, side).await
        }
        "tools/call" => call::run_listened(state, context, request, side.as_ref()).await,
        "tasks/get" | "tasks/result" | "tasks/update" | "tasks/cancel" => {
            tasks::run(state, context, request, side).await
        }
        _ => others::run(state, context, request, side).await,
    }
}

fn is_direct(state: &ServerState, context: &CallContext) -> bool {
    context.resource != Resource::Default
        && state.broker.offer(context).is_ok_and(|offer| offer == Offer::Direct)
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

/// Plain JSON when the answer comes first, otherwise a stream.
async fn answer(speaker: Speaker, mut conversation: Conversation) -> Response<Body> {
    match conversation.step().await {
        Some(Step::Ended(outcome)) => speaker.response(outcome),
        Some(Step::Told(SideEvent::Question { method, params, reply })) if speaker.is_modern() => {
            speaker.input_required(conversation, (&method, params), reply)
        }
        Some(Step::Told(event)) => match speaker.session.clone() {
            Some(session) => flow::stream(speaker, conversation, event, &session),
            None => stream(speaker, conversation, event),
        },
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
                    return Some((Ok::<_, Infallible>(SIGN_OF_LIFE), Some((speaker, conversation, None))));
                }
            },
        };
        match step? {
            Step::Told(SideEvent::Question { method, params, reply }) if speaker.is_modern() => {
                let response = speaker.input_required(conversation, (&method, params), reply);
                Some((Ok(event_with(&message_of(response).await)), None))
            }
            Step::Told(event) => {
                let message = speaker.message(event);
                Some((Ok(event_with(&message)), Some((speaker, conversation, None))))
            }
            Step::Ended(outcome) => {
                Some((Ok(event_with(&message_of(speaker.response(outcome)).await)), None))
            }
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

/// A response of ours as the message that ends a stream.
async fn message_of(response: Response<Body>) -> Bytes {
    axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default()
}

/// Where the messages of a call go that its client does not read from here.
enum Sink {
    Flow(Arc<flow::Flow>),
    Relay(relay::Outlet),
}

/// Lets a call go on to its end, apart from whoever reads what it says.
async fn drive(
    mut speaker: Speaker,
    mut conversation: Conversation,
    first: Option<SideEvent>,
    mut sink: Sink,
) {
    let mut first = first.map(Step::Told);
    loop {
        let step = match first.take() {
            Some(step) => Some(step),
            None => conversation.step().await,
        };
        let response = match step {
            None => return,
            Some(Step::Told(SideEvent::Question { method, params, reply })) if speaker.is_modern() => {
                speaker.input_required(conversation, (&method, params), reply)
            }
            Some(Step::Told(event)) => {
                let is_note = matches!(event, SideEvent::Notification { .. });
                let message = speaker.message(event);
                match &mut sink {
                    Sink::Flow(flow) => flow.say(&speaker.state, message, is_note),
                    Sink::Relay(outlet) => outlet.say(&speaker.state, &message).await,
                }
                continue;
            }
            Some(Step::Ended(outcome)) => speaker.response(outcome),
        };
        match &mut sink {
            Sink::Flow(flow) => flow.end(&speaker.state, message_of(response).await),
            Sink::Relay(outlet) => outlet.end(&speaker.state, response).await,
        }
        return;
    }
}

impl Speaker {
    fn is_modern(&self) -> bool {
        self.context.era == Era::Modern
    }

    /// Of its request.
    fn id(&self) -> RequestId {
        match parse_incoming(&self.body, super::dispatch::MAX_DEPTH) {
            Ok(Incoming::Request(request)) => request.id,
            _ => RequestId::Number(0),
        }
    }

    fn response(&self, outcome: Result<direct::Outcome, ProtocolError>) -> Response<Body> {
        let Ok(Incoming::Request(request)) = parse_incoming(&self.body, super::dispatch::MAX_DEPTH) else {
            return super::protocol_error(&ProtocolError::invalid_request("not a request"));
        };
        match outcome {
            Ok(outcome) => finish(&self.state, &self.context, &request, outcome, self.session.as_deref()),
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
                Some(session) => session.question(&self.state, (&method, params.as_deref()), reply),
                // Without a session there is no way back: the upstream is told.
                None => Bytes::from_static(b"{}"),
            },
        }
    }
}
