//! Transports where all messages share one pair of streams: a child's pipes, and HTTP with SSE of 2024-11-05.
//!
//! Answers find their request by an id of ours; whatever else arrives can't reach a caller.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use switchboard_mcp::{Answer, Incoming, Outcome, RequestId, parse_upstream};
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Ask, Hint, RawResult, UpstreamError,
    side::{Asked, Sides},
    wire::{params, share, timed_out, with_call},
};

/// Requests of an upstream that are answered at the same time.
const MOST_ASKED: usize = 256;

type Waiting = Mutex<HashMap<i64, oneshot::Sender<Result<RawResult, UpstreamError>>>>;

/// The shared half: what is waited for, and why it is over when it is over.
#[derive(Debug)]
pub(crate) struct Switch {
    waiting: Waiting,
    closed: Mutex<Option<String>>,
    outgoing: mpsc::Sender<Bytes>,
    hints: broadcast::Sender<Hint>,
    sides: Sides,
    /// Its requests that are being answered.
    asking: Arc<Semaphore>,
}

impl Switch {
    /// Takes one message from the upstream.
    pub(crate) fn receive(self: &Arc<Self>, message: &Bytes) {
        match parse_upstream(message) {
            Ok(Incoming::Response(Answer { id: Some(RequestId::Number(id)), outcome })) => {
                let Some(sender) = self.waiting.lock().remove(&id) else { return };
                // A caller that has gone no longer wants it.
                let _ = sender.send(match outcome {
                    Outcome::Result(raw) => Ok(share(message, raw)),
                    Outcome::Error(error) => Err(UpstreamError::Rpc(error)),
                });
            }
            Ok(Incoming::Notification { method, params }) => {
                if let Some(hint) = Hint::of(&method, params) {
                    let _ = self.hints.send(hint);
                } else if let Some((side, event)) = self.sides.hears(&method, params, None) {
                    // A client that does not read misses what it was told.
                    let _ = side.events.try_send(event);
                }
            }
            Ok(Incoming::Request(request)) => self.reply(Asked::of(&request)),
            Ok(Incoming::Response(_)) => {}
            Err(reason) => tracing::debug!(reason, "an upstream sent something that is no message"),
        }
    }

    /// Its requests are answered by the client that they are for, in its own time. One that asks ever more and reads no
    /// answer is not heard.
    fn reply(self: &Arc<Self>, asked: Asked) {
        let Ok(place) = Arc::clone(&self.asking).try_acquire_owned() else { return };
        let switch = Arc::clone(self);
        tokio::spawn(async move {
            let _place = place;
            let answer = switch.sides.answer(asked, None).await;
            // A closed queue means that the upstream is gone.
            let _ = switch.outgoing.send(answer).await;
        });
    }

    /// Nothing will come any more.
    pub(crate) fn close(&self, reason: &str) {
        self.closed.lock().get_or_insert_with(|| reason.to_owned());
        for (_, sender) in self.waiting.lock().drain() {
            let _ = sender.send(Err(UpstreamError::Closed { reason: reason.to_owned(), may_have_run: true }));
        }
    }

    fn why_closed(&self) -> Option<String> {
        self.closed.lock().clone()
    }
}

/// Our end of such a transport. Dropping it ends the tasks that feed it.
#[derive(Debug)]
pub(crate) struct ChannelWire {
    switch: Arc<Switch>,
    next_id: AtomicI64,
    modern_meta: Mutex<Option<String>>,
    _stop: DropGuard,
}

impl ChannelWire {
    /// The wire, the half that the reading task feeds, the messages that the writing task sends, and the signal
    /// on which both end.
    pub(crate) fn new(
        hints: broadcast::Sender<Hint>,
        sides: Sides,
    ) -> (Self, Arc<Switch>, mpsc::Receiver<Bytes>, CancellationToken) {
        let (outgoing, queue) = mpsc::channel(64);
        let switch = Arc::new(Switch {
            waiting: Mutex::default(),
            closed: Mutex::new(None),
            outgoing,
            hints,
            sides,
            asking: Arc::new(Semaphore::new(MOST_ASKED)),
        });
        let stop = CancellationToken::new();
        let wire = Self {
            switch: Arc::clone(&switch),
            next_id: AtomicI64::new(1),
            modern_meta: Mutex::new(None),
            _stop: stop.clone().drop_guard(),
        };
        (wire, switch, queue, stop)
    }

    /// From now on every request carries the metadata of the modern generation.
    pub(crate) fn speak_modern(&self) {
        *self.modern_meta.lock() = Some(super::wire::modern_meta());
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.switch.closed.lock().is_some()
    }

    pub(crate) async fn notify(&self, method: &str) -> Result<(), UpstreamError> {
        self.send(switchboard_mcp::notification(method, None)).await
    }

    pub(crate) async fn request(&self, ask: &Ask<'_>) -> Result<RawResult, UpstreamError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let is_modern = self.modern_meta.lock().is_some();
        let _listening = self.switch.sides.add(id, ask.side);
        let meta = match ask.side {
            Some(side) => with_call(side.meta(id, is_modern).as_deref(), ask.identity),
            None => with_call(self.modern_meta.lock().as_deref(), ask.identity),
        };
        let params = params(&ask.members(is_modern), meta.as_deref());
        let body = switchboard_mcp::request(id, ask.method, params.as_deref());
        let (sender, receiver) = oneshot::channel();
        self.switch.waiting.lock().insert(id, sender);
        let _pending = Pending { switch: &self.switch, id, tell: ask.method != "initialize" };
        if let Some(reason) = self.switch.why_closed() {
            return Err(UpstreamError::Closed { reason, may_have_run: false });
        }
        let exchange = async {
            self.send(body).await?;
            receiver.await.unwrap_or_else(|_| {
                let reason = self.switch.why_closed().unwrap_or_else(|| "it went away".into());
                Err(UpstreamError::Closed { reason, may_have_run: true })
            })
        };
        let result = match tokio::time::timeout(ask.deadline, exchange).await {
            Ok(result) => result?,
            Err(_) => return Err(timed_out(ask)),
        };
        if result.len() as u64 > ask.max_bytes {
            return Err(UpstreamError::TooLarge { name: "upstream.max_answer_bytes", limit: ask.max_bytes });
        }
        Ok(result)
    }

    async fn send(&self, message: Bytes) -> Result<(), UpstreamError> {
        self.switch.outgoing.send(message).await.map_err(|_| UpstreamError::Closed {
            reason: self.switch.why_closed().unwrap_or_else(|| "it went away".into()),
            may_have_run: false,
        })
    }
}

/// Tells the upstream when its caller went away before the answer.
struct Pending<'w> {
    switch: &'w Switch,
    id: i64,
    tell: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let was_waiting = self.switch.waiting.lock().remove(&self.id).is_some();
        if was_waiting && self.tell {
            let id = self.id;
            let cancelled = format!(
                "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\
                 \"params\":{{\"requestId\":{id},\"reason\":\"the caller went away\"}}}}"
            );
            let _ = self.switch.outgoing.try_send(cancelled.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_asks_ever_more_is_not_heard() {
        let (hints, _) = broadcast::channel(1);
        let (_wire, switch, mut queue, _stop) = ChannelWire::new(hints, Sides::new(true));
        for number in 0..10_000 {
            let asked = format!("{{\"jsonrpc\":\"2.0\",\"id\":{number},\"method\":\"ping\"}}");
            switch.receive(&asked.into());
        }
        tokio::task::yield_now().await;
        assert!(Arc::strong_count(&switch) <= MOST_ASKED + 2, "{}", Arc::strong_count(&switch));
        assert!(queue.recv().await.is_some(), "the first are answered");
        tokio::task::yield_now().await;
    }
}
