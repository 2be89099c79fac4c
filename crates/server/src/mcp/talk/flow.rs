//! The stream of a session's request, which its client can take up where it was cut (2025-11-25, streamable HTTP: resumability
//! and redelivery).
//!
//! Each event has an id that names the process, the stream and its place. The call goes on when its client goes away; what it
//! says is kept in the memory of its process, bounded by `server.max_replay_bytes` for all streams together: finished streams
//! go first, then notifications, never a question or an answer of a call under way. A client that comes back to another
//! process is served there with what the first one writes to the database (`relay.rs`).

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{body::Body, http::Response};
use bytes::Bytes;
use parking_lot::Mutex;
use switchboard_broker::SideEvent;
use switchboard_domain::OrganizationId;
use switchboard_mcp::{ProtocolError, code};
use tokio::sync::watch;

use super::{
    Conversation, KEEP_ALIVE, Letter, LiveSession, Reads, SIGN_OF_LIFE, Sink, Speaker, drive, relay,
};
use crate::{ServerState, mcp::listen::Place};

/// How long a finished stream can be taken up.
const KEPT: Duration = Duration::from_secs(60);

/// The streams of this process that can be taken up, by id.
#[derive(Debug, Default)]
pub(super) struct Flows {
    all: Mutex<HashMap<Box<str>, Arc<Flow>>>,
    /// Of all their events.
    bytes: AtomicUsize,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Flow {
    id: Box<str>,
    session: Arc<str>,
    said: Mutex<Said>,
    /// How many events there were: whoever reads waits for it to grow.
    grown: watch::Sender<u64>,
    /// Of those that read it, the last one: the others end.
    reader: AtomicU64,
    _reads: Reads,
}

#[derive(Debug, Default)]
struct Said {
    next: u64,
    events: VecDeque<Event>,
    over: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Event {
    place: u64,
    is_note: bool,
    message: Bytes,
}

impl Flow {
    /// A message before the answer; of notifications the oldest may be forgotten.
    pub(super) fn say(&self, state: &ServerState, message: Bytes, is_note: bool) {
        self.append(&state.talks.flows, message, is_note, false);
        state.talks.flows.make_room(self, state.config.max_replay_bytes);
    }

    /// The answer.
    pub(super) fn end(&self, state: &ServerState, message: Bytes) {
        self.append(&state.talks.flows, message, false, true);
        state.talks.flows.make_room(self, state.config.max_replay_bytes);
    }

    fn append(&self, flows: &Flows, message: Bytes, is_note: bool, is_last: bool) {
        flows.bytes.fetch_add(message.len(), Ordering::Relaxed);
        let mut said = self.said.lock();
        said.next += 1;
        let place = said.next;
        said.events.push_back(Event { place, is_note, message });
        said.over = is_last.then(Instant::now);
        drop(said);
        self.grown.send_replace(place);
    }

    /// The next event after a place, or that there will be none.
    fn after(&self, place: u64) -> Option<Result<Event, Over>> {
        let said = self.said.lock();
        match said.events.iter().find(|event| event.place > place) {
            Some(event) => Some(Ok(event.clone())),
            None => said.over.map(|_| Err(Over)),
        }
    }

    /// Waits for it; `None` when there is none, or somebody else reads from here on.
    async fn next(&self, reader: u64, place: u64) -> Option<Event> {
        let mut grown = self.grown.subscribe();
        loop {
            grown.borrow_and_update();
            if self.reader.load(Ordering::Acquire) != reader {
                return None;
            }
            match self.after(place) {
                Some(Ok(event)) => return Some(event),
                Some(Err(Over)) => return None,
                None => grown.changed().await.ok()?,
            }
        }
    }

    fn read_by_another(&self) -> u64 {
        let reader = self.reader.fetch_add(1, Ordering::AcqRel) + 1;
        self.grown.send_modify(|_| {});
        reader
    }

    fn forget_oldest_note(&self) -> Option<usize> {
        let mut said = self.said.lock();
        let last = said.next;
        let at = said.events.iter().position(|event| event.is_note && event.place != last)?;
        said.events.remove(at).map(|event| event.message.len())
    }

    fn size(&self) -> usize {
        self.said.lock().events.iter().map(|event| event.message.len()).sum()
    }

    fn over_since(&self) -> Option<Instant> {
        self.said.lock().over
    }
}

struct Over;

impl Flows {
    fn open(&self, speaker: &Speaker, session: &LiveSession) -> Arc<Flow> {
        let broker = &speaker.state.broker;
        let id = format!("{}-{}", broker.process_name(), broker.new_handle());
        let flow = Arc::new(Flow {
            id: id.into(),
            session: session.audience(),
            said: Mutex::default(),
            grown: watch::Sender::new(0),
            reader: AtomicU64::new(0),
            _reads: Reads::begin(&speaker.state, speaker.context.principal.organization),
        });
        self.forget_old();
        self.all.lock().insert(flow.id.clone(), Arc::clone(&flow));
        flow
    }

    /// Those that are over for long enough.
    pub(super) fn forget_old(&self) {
        let old = |flow: &Arc<Flow>| flow.over_since().is_some_and(|over| over.elapsed() > KEPT);
        let forgotten: Vec<_> = self.all.lock().extract_if(|_, flow| old(flow)).collect();
        for (_, flow) in forgotten {
            self.bytes.fetch_sub(flow.size(), Ordering::Relaxed);
        }
    }

    /// A stream of this session.
    pub(super) fn find(&self, id: &str, session: &str) -> Option<Arc<Flow>> {
        self.all.lock().get(id).filter(|flow| &*flow.session == session).cloned()
    }

    /// Streams that are over go first, the oldest before the others; then what `current` need not say again.
    fn make_room(&self, current: &Flow, most: usize) {
        while self.bytes.load(Ordering::Relaxed) > most {
            let oldest = {
                let mut all = self.all.lock();
                let over = all.values().filter(|flow| flow.id != current.id);
                let over = over.filter_map(|flow| Some((flow.over_since()?, flow.id.clone())));
                over.min().and_then(|(_, id)| all.remove(&id))
            };
            let freed = match oldest {
                Some(flow) => flow.size(),
                None => match current.forget_oldest_note() {
                    Some(freed) => freed,
                    None => return,
                },
            };
            self.bytes.fetch_sub(freed, Ordering::Relaxed);
        }
    }
}

/// A call that has something to say before its answer, on a stream that can be taken up.
pub(super) fn stream(
    speaker: Speaker,
    conversation: Conversation,
    first: SideEvent,
    session: &LiveSession,
) -> Response<Body> {
    let flow = speaker.state.talks.flows.open(&speaker, session);
    tokio::spawn(drive(speaker, conversation, Some(first), Sink::Flow(Arc::clone(&flow))));
    read(flow, 0, None)
}

/// `place`: among its caller's streams, of one that was taken up.
fn read(flow: Arc<Flow>, after: u64, place: Option<Place>) -> Response<Body> {
    let reader = flow.read_by_another();
    let events = futures_util::stream::unfold((flow, after, place), move |(flow, at, place)| async move {
        match tokio::time::timeout(KEEP_ALIVE, flow.next(reader, at)).await {
            Ok(None) => None,
            Ok(Some(event)) => {
                let written = write(&flow.id, event.place, &event.message);
                Some((Ok::<_, Infallible>(written), (flow, event.place, place)))
            }
            Err(_) => Some((Ok(SIGN_OF_LIFE), (flow, at, place))),
        }
    });
    super::event_stream(Body::from_stream(events))
}

/// An event with its id.
pub(in crate::mcp) fn write(flow: &str, place: u64, message: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(message.len() + flow.len() + 40);
    switchboard_mcp::write_event(&mut out, Some(&format!("{flow}.{place}")), message);
    out.into()
}

/// GET with `Last-Event-ID`: the rest of the stream that has this event.
pub(in crate::mcp) async fn take_up(
    state: &ServerState,
    session: &LiveSession,
    (organization, stream_place): (OrganizationId, Place),
    last: &str,
) -> Result<Response<Body>, ProtocolError> {
    let unknown = || {
        ProtocolError::new(
            400,
            code::INVALID_REQUEST,
            "`Last-Event-ID` is not of a stream of this session that is still kept (limit `server.max_replay_bytes`)",
        )
    };
    let (id, place) = last.rsplit_once('.').ok_or_else(unknown)?;
    let place: u64 = place.parse().map_err(|_| unknown())?;
    let (process, _) = id.split_once('-').filter(|(process, _)| is_process(process)).ok_or_else(unknown)?;
    if process == state.broker.process_name() {
        let flow = state.talks.flows.find(id, &session.audience()).ok_or_else(unknown)?;
        return Ok(read(flow, place, Some(stream_place)));
    }
    let stream = state.broker.new_handle();
    let letter = Letter::TakeUp {
        session: session.audience().to_string(),
        flow: id.to_owned(),
        after: place,
        stream: stream.clone(),
    };
    relay::post(state, organization, &letter).await?;
    Ok(relay::read(state, organization, (stream, id.to_owned()), (place, stream_place)))
}

/// Whether a text can be the name of a process.
fn is_process(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A letter from the process that the client came back to.
pub(super) fn tell_another(state: &ServerState, flow: Arc<Flow>, after: u64, mut outlet: relay::Outlet) {
    let state = state.clone();
    let reader = flow.read_by_another();
    tokio::spawn(async move {
        let mut place = after;
        while let Some(event) = flow.next(reader, place).await {
            place = event.place;
            let is_last = flow.over_since().is_some() && flow.after(place).is_some_and(|next| next.is_err());
            outlet.pass_on(&state, place, (&event.message, is_last)).await;
        }
    });
}
