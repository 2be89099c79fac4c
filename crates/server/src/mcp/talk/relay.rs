//! Letters between processes about requests of clients, and streams that are read at another process than the one that runs
//! their call (`switchboard_broker::relay`).

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use switchboard_domain::{McpLetterId, OrganizationId};
use switchboard_mcp::{ErrorObject, ProtocolError, RequestId, code};

use super::{KEEP_ALIVE, SIGN_OF_LIFE, Speaker, Talks, event_stream, event_with, flow, message_of, waiting};
use crate::{
    ServerState,
    mcp::{self, listen::Place},
};

/// How often letters are read while something is under way here, and events while somebody waits for them.
const LOOK: Duration = Duration::from_millis(250);
/// Until a process that does not answer counts as gone.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// Letters are known for longer than they are read back.
const KNOWN: Duration = Duration::from_secs(180);

/// What one process tells another. A session's id is in it, and so it is sealed.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::mcp) enum Letter {
    /// A client's answer to a question of that process.
    Answer { session: String, question: String, result: Option<Box<RawValue>>, error: Option<ErrorObject> },
    /// A client waits no longer for a request, whichever process runs it.
    Cancelled { session: String, request: Box<RawValue> },
    /// What a session watches changed, for whoever has its stream.
    Watches { session: String },
    /// A client ended its session.
    Ended { session: String },
    /// A client came back elsewhere: what its stream says from here on is relayed.
    TakeUp { session: String, flow: String, after: u64, stream: String },
    /// A client tried again elsewhere, with an answer for the call that waits.
    GoOn { handle: String, whose: String, answer: Box<RawValue>, body: String, stream: String },
}

impl Letter {
    /// What it is about.
    pub(in crate::mcp) fn about(&self) -> &str {
        match self {
            Self::Answer { session, .. }
            | Self::Cancelled { session, .. }
            | Self::Watches { session }
            | Self::Ended { session }
            | Self::TakeUp { session, .. } => session,
            Self::GoOn { handle, .. } => handle,
        }
    }
}

/// What this process reads.
#[derive(Debug, Default)]
pub(super) struct Post(Mutex<Reading>);

#[derive(Debug, Default)]
struct Reading {
    /// How much is under way, by organization.
    live: HashMap<OrganizationId, usize>,
    known: VecDeque<(McpLetterId, Instant)>,
    is_reading: bool,
}

/// While it is there, letters to this process are read.
#[derive(Debug)]
pub(in crate::mcp) struct Reads {
    talks: Arc<Talks>,
    organization: OrganizationId,
}

impl Reads {
    pub(in crate::mcp) fn begin(state: &ServerState, organization: OrganizationId) -> Self {
        let mut reading = state.talks.post.0.lock();
        *reading.live.entry(organization).or_default() += 1;
        if !std::mem::replace(&mut reading.is_reading, true) {
            tokio::spawn(read_letters(state.clone()));
        }
        Self { talks: Arc::clone(&state.talks), organization }
    }
}

impl Drop for Reads {
    fn drop(&mut self) {
        let mut reading = self.talks.post.0.lock();
        if let Some(count) = reading.live.get_mut(&self.organization) {
            *count -= 1;
            if *count == 0 {
                reading.live.remove(&self.organization);
            }
        }
    }
}

async fn read_letters(state: ServerState) {
    loop {
        tokio::time::sleep(LOOK).await;
        state.talks.flows.forget_old();
        state.talks.waiting.forget_old();
        let organizations: Vec<OrganizationId> = {
            let mut reading = state.talks.post.0.lock();
            if reading.live.is_empty() {
                reading.is_reading = false;
                return;
            }
            while reading.known.front().is_some_and(|(_, at)| at.elapsed() > KNOWN) {
                reading.known.pop_front();
            }
            reading.live.keys().copied().collect()
        };
        for organization in organizations {
            let is_known = |id| state.talks.post.0.lock().known.iter().any(|(known, _)| *known == id);
            let Ok(letters) = state.broker.letters(organization, is_known).await else { continue };
            for letter in letters {
                state.talks.post.0.lock().known.push_back((letter.id, Instant::now()));
                if let Ok(letter) = serde_json::from_slice(&letter.body) {
                    take(&state, organization, letter);
                }
            }
        }
    }
}

/// A letter that is for nobody here is for another process.
fn take(state: &ServerState, organization: OrganizationId, letter: Letter) {
    let session = |id: &str| state.talks.sessions.find(id);
    match letter {
        Letter::Answer { session: id, question, result, error } => {
            if let Some(session) = session(&id) {
                session.answer(
                    &question,
                    error.map_or_else(|| Ok(result.unwrap_or_else(|| RawValue::NULL.to_owned())), Err),
                );
            }
        }
        Letter::Cancelled { session: id, request } => {
            if let (Some(session), Some(request)) = (session(&id), RequestId::parse(&request)) {
                session.cancel(&request);
            }
        }
        Letter::Watches { session: id } => {
            if let Some(session) = session(&id) {
                session.watching.look_again();
            }
        }
        Letter::Ended { session: id } => {
            if let Some(session) = session(&id) {
                session.cancel_all();
                state.talks.sessions.forget(&id);
            }
        }
        Letter::TakeUp { session, flow, after, stream } => {
            if let Some(flow) = state.talks.flows.find(&flow, &session) {
                flow::tell_another(state, flow, after, Outlet::new(organization, stream));
            }
        }
        Letter::GoOn { handle, whose, answer, body, stream } => {
            waiting::go_on_for_another(state, (&handle, &whose), answer, (body, stream));
        }
    }
}

/// Posts a letter about a session or a call.
pub(in crate::mcp) async fn post(
    state: &ServerState,
    organization: OrganizationId,
    letter: &Letter,
) -> Result<(), ProtocolError> {
    let body =
        serde_json::to_vec(letter).map_err(|_| ProtocolError::invalid_request("it can't be passed on"))?;
    match state.broker.post_letter(organization, letter.about(), &body).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(ProtocolError::new(429, code::INVALID_REQUEST, "too much at once about one session"))
        }
        Err(error) => Err(mcp::dispatch::refused(&error)),
    }
}

/// Where a call writes for a client that is served by another process.
pub(super) struct Outlet {
    organization: OrganizationId,
    stream: String,
    place: u64,
}

impl Outlet {
    pub(super) const fn new(organization: OrganizationId, stream: String) -> Self {
        Self { organization, stream, place: 0 }
    }

    pub(super) async fn say(&mut self, state: &ServerState, message: &[u8]) {
        self.write(state, (StatusCode::OK, message), false).await;
    }

    pub(super) async fn end(&mut self, state: &ServerState, response: Response<Body>) {
        let status = response.status();
        let message = message_of(response).await;
        self.write(state, (status, &message), true).await;
    }

    /// An event that has its place already.
    pub(super) async fn pass_on(
        &mut self,
        state: &ServerState,
        place: u64,
        (message, is_last): (&[u8], bool),
    ) {
        self.place = place - 1;
        self.write(state, (StatusCode::OK, message), is_last).await;
    }

    async fn write(&mut self, state: &ServerState, (status, message): (StatusCode, &[u8]), is_last: bool) {
        self.place += 1;
        let place = i64::try_from(self.place).unwrap_or(i64::MAX);
        let mut body = status.as_u16().to_be_bytes().to_vec();
        body.extend_from_slice(message);
        let written =
            state.broker.relay_event(self.organization, &self.stream, (place, is_last), &body).await;
        if let Err(error) = written {
            tracing::warn!(error = %error.message, "a client elsewhere misses a message");
        }
    }
}

/// What another process writes of a stream.
struct Inlet {
    state: ServerState,
    organization: OrganizationId,
    stream: String,
    place: u64,
    queue: VecDeque<Relayed>,
    since: Instant,
    heard: bool,
    is_over: bool,
}

struct Relayed {
    place: u64,
    is_last: bool,
    status: StatusCode,
    message: Bytes,
}

impl Inlet {
    fn new(state: &ServerState, organization: OrganizationId, stream: String, place: u64) -> Self {
        Self {
            state: state.clone(),
            organization,
            stream,
            place,
            queue: VecDeque::new(),
            since: Instant::now(),
            heard: false,
            is_over: false,
        }
    }

    /// The next event; `None` at the end, and when nobody writes.
    async fn next(&mut self) -> Option<Relayed> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                self.heard = true;
                self.is_over = event.is_last;
                self.place = event.place;
                return Some(event);
            }
            let silent = !self.heard && self.since.elapsed() > ANSWERS_WITHIN;
            if self.is_over || silent {
                return None;
            }
            let after = i64::try_from(self.place).unwrap_or(i64::MAX);
            match self.state.broker.relayed_events(self.organization, &self.stream, after).await {
                Ok(events) => self.queue.extend(events.into_iter().filter_map(Relayed::of)),
                Err(_) => return None,
            }
            if self.queue.is_empty() {
                tokio::time::sleep(LOOK / 2).await;
            }
        }
    }
}

impl Relayed {
    fn of(event: switchboard_broker::RelayedEvent) -> Option<Self> {
        let (status, message) = event.body.split_first_chunk::<2>()?;
        Some(Self {
            place: u64::try_from(event.seq).ok()?,
            is_last: event.is_last,
            status: StatusCode::from_u16(u16::from_be_bytes(*status)).ok()?,
            message: Bytes::copy_from_slice(message),
        })
    }
}

/// The answer to a request whose call runs elsewhere: plain JSON, or a stream when something comes before it.
pub(super) async fn answer(speaker: &Speaker, stream: &str) -> Response<Body> {
    let organization = speaker.context.principal.organization;
    let mut inlet = Inlet::new(&speaker.state, organization, stream.to_owned(), 0);
    match inlet.next().await {
        None => {
            let gone = "the call that asked for this is over: call again without `requestState`";
            mcp::protocol_error(&ProtocolError::invalid_params(gone).for_request(&speaker.id()))
        }
        Some(event) if event.is_last => {
            let mut response = mcp::json(event.status, switchboard_mcp::Payload::one(event.message));
            *response.status_mut() = event.status;
            response
        }
        Some(event) => {
            inlet.queue.push_front(event);
            events(inlet, None)
        }
    }
}

/// The rest of a session's stream whose call runs elsewhere. `flow` is its name in the ids of its events.
pub(super) fn read(
    state: &ServerState,
    organization: OrganizationId,
    (stream, flow): (String, String),
    (after, place): (u64, Place),
) -> Response<Body> {
    events(Inlet::new(state, organization, stream, after), Some((flow, place)))
}

/// As a session's stream the events have ids, and a place among its caller's streams.
fn events(inlet: Inlet, of_session: Option<(String, Place)>) -> Response<Body> {
    let events = futures_util::stream::unfold((inlet, of_session), |(mut inlet, of_session)| async move {
        let written = match tokio::time::timeout(KEEP_ALIVE, inlet.next()).await {
            Ok(None) => return None,
            Ok(Some(event)) => match &of_session {
                Some((flow, _)) => flow::write(flow, event.place, &event.message),
                None => event_with(&event.message),
            },
            Err(_) => SIGN_OF_LIFE,
        };
        Some((Ok::<_, Infallible>(written), (inlet, of_session)))
    });
    event_stream(Body::from_stream(events))
}
