//! What stands before every upstream: a bound on calls at once, a bounded queue, a circuit breaker.
//!
//! One gate per connection, so that one slow or dead upstream costs its own callers and nobody else.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use switchboard_domain::{Clock, Random, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{UpstreamError, UpstreamLimits};

#[derive(Debug)]
enum Breaker {
    /// Calls pass; so many failed in a row.
    Closed { failures: u32 },
    /// Calls are refused until the instant; the count of openings in a row sets how long.
    Open { until: Timestamp, openings: u32 },
    /// One call is under way to find out.
    Probing { openings: u32 },
}

#[derive(Debug)]
pub(crate) struct Gate {
    calls: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    breaker: Mutex<Breaker>,
    listing: tokio::sync::Mutex<()>,
    limits: Arc<UpstreamLimits>,
}

/// Leave to make one call; tell it how the call ended, or dropping it counts as cancelled.
#[derive(Debug)]
pub(crate) struct Passage {
    gate: Arc<Gate>,
    probing: bool,
    reported: bool,
    _slot: OwnedSemaphorePermit,
}

impl Gate {
    pub(crate) fn new(limits: Arc<UpstreamLimits>) -> Self {
        Self {
            calls: Arc::new(Semaphore::new(limits.max_concurrent)),
            waiting: Arc::new(Semaphore::new(limits.max_queued)),
            breaker: Mutex::new(Breaker::Closed { failures: 0 }),
            listing: tokio::sync::Mutex::default(),
            limits,
        }
    }

    /// A turn to list tools and to store what was listed. Of two listings at once the older could be stored last, and
    /// a definition that the newer one held would pass again.
    pub(crate) async fn turn_to_list(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.listing.lock().await
    }

    /// Waits for a place, at most until the caller's own deadline; refuses at once when the queue is full or the
    /// breaker is open.
    pub(crate) async fn enter(self: &Arc<Self>, clock: &dyn Clock) -> Result<Passage, UpstreamError> {
        let slot = match Arc::clone(&self.calls).try_acquire_owned() {
            Ok(slot) => slot,
            Err(_) => {
                let _place = self.waiting.try_acquire().map_err(|_| UpstreamError::Busy)?;
                Arc::clone(&self.calls).acquire_owned().await.map_err(|_| UpstreamError::Busy)?
            }
        };
        let probing = self.admit(clock.now())?;
        Ok(Passage { gate: Arc::clone(self), probing, reported: false, _slot: slot })
    }

    fn admit(&self, now: Timestamp) -> Result<bool, UpstreamError> {
        let mut breaker = self.breaker.lock();
        match *breaker {
            Breaker::Closed { .. } => Ok(false),
            Breaker::Open { until, openings } if until <= now => {
                *breaker = Breaker::Probing { openings };
                Ok(true)
            }
            Breaker::Open { until, .. } => Err(UpstreamError::BreakerOpen { retry_after: until.since(now) }),
            Breaker::Probing { .. } => {
                Err(UpstreamError::BreakerOpen { retry_after: Duration::from_secs(1) })
            }
        }
    }

    /// Forgets past failures: the connection was edited or checked by hand.
    pub(crate) fn reset(&self) {
        *self.breaker.lock() = Breaker::Closed { failures: 0 };
    }

    fn failed(&self, clock: &dyn Clock, random: &dyn Random) {
        let mut breaker = self.breaker.lock();
        let openings = match *breaker {
            Breaker::Closed { failures } if failures + 1 < self.limits.breaker_failures => {
                *breaker = Breaker::Closed { failures: failures + 1 };
                return;
            }
            Breaker::Closed { .. } => 0,
            Breaker::Open { .. } => return,
            Breaker::Probing { openings } => openings + 1,
        };
        *breaker = Breaker::Open { until: clock.now().plus(self.pause(openings, random)), openings };
    }

    /// Doubles with each opening in a row, up to the maximum, with jitter of half its length.
    fn pause(&self, openings: u32, random: &dyn Random) -> Duration {
        let full = self.limits.breaker_pause.saturating_mul(1 << openings.min(10));
        full.min(self.limits.breaker_max_pause).mul_f64(0.5 + random.unit() / 2.0)
    }
}

impl Passage {
    pub(crate) fn succeeded(mut self) {
        self.reported = true;
        self.gate.reset();
    }

    pub(crate) fn failed(mut self, error: &UpstreamError, clock: &dyn Clock, random: &dyn Random) {
        self.reported = true;
        if error.is_failure() {
            self.gate.failed(clock, random);
        } else {
            self.gate.reset();
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if self.probing && !self.reported {
            // Nobody learnt anything: let the next caller try.
            let mut breaker = self.gate.breaker.lock();
            if let Breaker::Probing { openings } = *breaker {
                *breaker = Breaker::Open { until: Timestamp::default(), openings };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use switchboard_domain::{FixedClock, SeededRandom};

    use super::*;

    fn failure() -> UpstreamError {
        UpstreamError::Http { status: 503, retry_after: None }
    }

    async fn fail(gate: &Arc<Gate>, clock: &FixedClock, random: &SeededRandom) {
        gate.enter(clock).await.unwrap().failed(&failure(), clock, random);
    }

    #[tokio::test]
    async fn opens_after_failures_in_a_row_and_probes_once() {
        let (clock, random) = (FixedClock::at_micros(1_000_000), SeededRandom::new(1));
        let gate = Arc::new(Gate::new(Arc::new(UpstreamLimits::default())));
        for _ in 0..4 {
            fail(&gate, &clock, &random).await;
        }
        gate.enter(&clock).await.unwrap().failed(
            &UpstreamError::Unauthorized { status: 401, challenge: None },
            &clock,
            &random,
        );
        for _ in 0..5 {
            fail(&gate, &clock, &random).await;
        }
        assert!(matches!(gate.enter(&clock).await, Err(UpstreamError::BreakerOpen { .. })));
        clock.advance(Duration::from_secs(61));
        let probe = gate.enter(&clock).await.unwrap();
        assert!(matches!(gate.enter(&clock).await, Err(UpstreamError::BreakerOpen { .. })), "one probe");
        drop(probe);
        let probe = gate.enter(&clock).await.expect("a cancelled probe gives its place back");
        probe.succeeded();
        gate.enter(&clock).await.unwrap().succeeded();
    }

    #[tokio::test]
    async fn answers_do_not_open_it() {
        let (clock, random) = (FixedClock::at_micros(1_000_000), SeededRandom::new(1));
        let gate = Arc::new(Gate::new(Arc::new(UpstreamLimits::default())));
        for _ in 0..20 {
            for error in [
                UpstreamError::Http { status: 500, retry_after: None },
                UpstreamError::Http { status: 501, retry_after: None },
                UpstreamError::Protocol("two results".into()),
                UpstreamError::TooLarge { name: "upstream.max_answer_bytes", limit: 1 },
            ] {
                let passage = gate.enter(&clock).await.expect("one member's arguments close it for nobody");
                passage.failed(&error, &clock, &random);
            }
        }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let clock = FixedClock::at_micros(1);
        let limits = UpstreamLimits { max_concurrent: 1, max_queued: 1, ..UpstreamLimits::default() };
        let gate = Arc::new(Gate::new(Arc::new(limits)));
        let first = gate.enter(&clock).await.unwrap();
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter(&FixedClock::at_micros(1)).await.map(|passage| passage.succeeded()) }
        });
        tokio::task::yield_now().await;
        assert!(matches!(gate.enter(&clock).await, Err(UpstreamError::Busy)));
        first.succeeded();
        waiting.await.unwrap().unwrap();
    }
}
