//! The body of an answer: counted on the wire and after inflation, and under both deadlines.
//!
//! Pieces are passed on as they were received, without copying. Trailers are dropped: nothing of an
//! upstream's framing reaches a caller. Dropping a body that has not ended closes its connection.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::{
    error::EgressError,
    gzip::Inflater,
    limits::{ByteLimit, Deadlines},
};

/// Counts towards a limit.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: ByteLimit,
    left: u64,
}

impl Meter {
    pub(crate) const fn new(limit: ByteLimit) -> Self {
        Self { limit, left: limit.bytes }
    }

    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), EgressError> {
        match self.left.checked_sub(bytes as u64) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.exceeded()),
        }
    }

    /// Refuses an announced length before a byte of it is read.
    pub(crate) fn announce(&self, bytes: u64) -> Result<(), EgressError> {
        if bytes > self.left { Err(self.exceeded()) } else { Ok(()) }
    }

    const fn exceeded(&self) -> EgressError {
        EgressError::BodyTooLarge { limit_name: self.limit.name, limit: self.limit.bytes }
    }
}

/// One timer for all deadlines of an exchange. It is set to the next of them and moved only when it fires, so
/// that a busy stream costs no timer operations.
#[derive(Debug)]
pub(crate) struct Timer {
    pub(crate) deadlines: Deadlines,
    started: Instant,
    last_piece: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    /// Set to the earlier of the first byte's and the total deadline.
    pub(crate) fn start(deadlines: Deadlines, started: Instant) -> Self {
        let now = Instant::now();
        let until = after(now, deadlines.first_byte).min(after(started, deadlines.total));
        Self { deadlines, started, last_piece: now, sleep: Box::pin(tokio::time::sleep_until(until)) }
    }

    /// Ends when the header section is overdue.
    pub(crate) async fn header_overdue(&mut self) -> Overdue {
        self.sleep.as_mut().await;
        if self.total_passed(Instant::now()) { Overdue::Total } else { Overdue::FirstByte }
    }

    pub(crate) fn piece_arrived(&mut self) -> Result<(), EgressError> {
        self.last_piece = Instant::now();
        if self.total_passed(self.last_piece) { Err(self.total_exceeded()) } else { Ok(()) }
    }

    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<EgressError> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let now = Instant::now();
            if self.total_passed(now) {
                return Poll::Ready(self.total_exceeded());
            }
            let idle_until = after(self.last_piece, self.deadlines.idle);
            if now >= idle_until {
                return Poll::Ready(EgressError::IdleTimeout { within: self.deadlines.idle });
            }
            let until = idle_until.min(self.total_until());
            self.sleep.as_mut().reset(until);
        }
    }

    /// Called once, when the header section is there: from now on the idle deadline counts.
    pub(crate) fn header_arrived(&mut self) {
        self.last_piece = Instant::now();
        let until = after(self.last_piece, self.deadlines.idle).min(self.total_until());
        // Only an earlier deadline needs the timer moved; a later one is found when it fires.
        if until < self.sleep.deadline() {
            self.sleep.as_mut().reset(until);
        }
    }

    fn total_passed(&self, now: Instant) -> bool {
        now >= self.total_until()
    }

    fn total_until(&self) -> Instant {
        after(self.started, self.deadlines.total)
    }

    const fn total_exceeded(&self) -> EgressError {
        EgressError::DeadlineExceeded { within: self.deadlines.total, sent: true }
    }

    pub(crate) const fn total(&self) -> Duration {
        self.deadlines.total
    }
}

pub(crate) enum Overdue {
    FirstByte,
    Total,
}

/// `Duration::MAX` stands for no deadline.
fn after(instant: Instant, duration: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    instant + duration.min(FAR)
}

/// The streamed body of a response.
pub struct Body {
    /// `None` once it ended or failed; dropping it closes an unfinished exchange.
    incoming: Option<Incoming>,
    timer: Timer,
    wire: Meter,
    inflated: Meter,
    inflater: Option<Inflater>,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("ended", &self.incoming.is_none()).finish_non_exhaustive()
    }
}

impl Body {
    pub(crate) fn new(
        incoming: Incoming,
        timer: Timer,
        wire: ByteLimit,
        inflated: ByteLimit,
        gzip: bool,
    ) -> Result<Self, EgressError> {
        let (wire, inflated) = (Meter::new(wire), Meter::new(inflated));
        if let Some(length) = incoming.size_hint().exact() {
            wire.announce(length)?;
            if !gzip {
                inflated.announce(length)?;
            }
        }
        Ok(Self { incoming: Some(incoming), timer, wire, inflated, inflater: gzip.then(Inflater::new) })
    }

    /// Moves the total deadline, counted from the beginning of the exchange, further away; never nearer. For
    /// calls that report progress.
    pub fn extend_total_deadline(&mut self, total: Duration) {
        self.timer.deadlines.total = self.timer.deadlines.total.max(total);
    }

    /// The whole body. A body of one piece is handed over as it is; several are joined once.
    pub async fn collect_bytes(mut self) -> Result<Bytes, EgressError> {
        let Some(first) = self.next_piece().await.transpose()? else { return Ok(Bytes::new()) };
        let Some(second) = self.next_piece().await.transpose()? else { return Ok(first) };
        let expected = usize::try_from(self.size_hint().lower()).unwrap_or(0);
        let mut whole = BytesMut::with_capacity(first.len() + second.len() + expected);
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        while let Some(piece) = self.next_piece().await.transpose()? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// The next piece of data; `None` at the end.
    pub async fn next_piece(&mut self) -> Option<Result<Bytes, EgressError>> {
        std::future::poll_fn(|cx| self.poll_piece(cx)).await
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, EgressError>>> {
        let outcome = ready!(self.poll_incoming(cx));
        if !matches!(outcome, Some(Ok(_))) {
            self.incoming = None;
        }
        Poll::Ready(outcome)
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, EgressError>>> {
        loop {
            let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
            match Pin::new(incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data().map(|data| self.accept(data)) {
                    Ok(Ok(piece)) if !piece.is_empty() => return Poll::Ready(Some(Ok(piece))),
                    Ok(Err(error)) => return Poll::Ready(Some(Err(error))),
                    // Trailers, or compressed input that has not yielded output yet.
                    Ok(Ok(_)) | Err(_) => {}
                },
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "answer broke off");
                    return Poll::Ready(Some(Err(lost(&error))));
                }
                Poll::Ready(None) => {
                    let cut_off = self.inflater.as_ref().is_some_and(|inflater| !inflater.is_complete());
                    return Poll::Ready(cut_off.then_some(Err(EgressError::ConnectionLost { sent: true })));
                }
                Poll::Pending => return self.timer.poll_overdue(cx).map(|error| Some(Err(error))),
            }
        }
    }

    fn accept(&mut self, data: Bytes) -> Result<Bytes, EgressError> {
        self.timer.piece_arrived()?;
        self.wire.add(data.len())?;
        match &mut self.inflater {
            Some(inflater) => inflater.inflate(&data, &mut self.inflated),
            None => self.inflated.add(data.len()).map(|()| data),
        }
    }
}

fn lost(error: &hyper::Error) -> EgressError {
    if error.is_parse() {
        EgressError::Protocol { sent: true }
    } else {
        EgressError::ConnectionLost { sent: true }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        self.get_mut().poll_piece(cx).map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(|incoming| self.inflater.is_none() && incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.incoming {
            Some(incoming) if self.inflater.is_none() => incoming.size_hint(),
            Some(_) => SizeHint::new(),
            None => SizeHint::with_exact(0),
        }
    }
}
