//! How many requests of the REST API are taken: from one token or session, and from one source that proves nothing.
//!
//! Counted per process with GCRA (<https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>): as many as a minute
//! allows may come at once, then they come in evenly. Calls are counted in `call_limits.rs`.

use std::{net::IpAddr, num::NonZeroU32};

use governor::{DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter, clock::Clock as _};
use switchboard_domain::{Principal, Proof, SessionId, TokenId};

use crate::{machine, sign_in::TooMany};

/// How many requests a minute are taken (setting `api`).
#[derive(Debug, Clone, Copy)]
pub struct RequestSettings {
    /// From one token or session.
    pub per_minute: NonZeroU32,
    /// From one source, without a token or session that is good for the API.
    pub per_minute_unauthenticated: NonZeroU32,
}

impl Default for RequestSettings {
    fn default() -> Self {
        Self {
            per_minute: NonZeroU32::new(1_200).expect("it is not zero"),
            per_minute_unauthenticated: NonZeroU32::new(120).expect("it is not zero"),
        }
    }
}

/// What is counted by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Shown {
    Token(TokenId),
    Session(SessionId),
}

impl Shown {
    /// `None` where nothing was shown: a question of our own about somebody.
    pub(crate) fn of(principal: &Principal) -> Option<Self> {
        match &principal.proof {
            Proof::Token(token) | Proof::Grant { token, .. } => Some(Self::Token(*token)),
            Proof::Session(session) => Some(Self::Session(*session)),
            Proof::Inquiry => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct RequestLimits {
    shown: DefaultKeyedRateLimiter<Shown>,
    sources: DefaultKeyedRateLimiter<IpAddr>,
}

impl RequestLimits {
    pub(crate) fn new(settings: RequestSettings) -> Self {
        Self {
            shown: RateLimiter::keyed(Quota::per_minute(settings.per_minute)),
            sources: RateLimiter::keyed(Quota::per_minute(settings.per_minute_unauthenticated)),
        }
    }

    pub(crate) fn check(&self, principal: &Principal) -> Result<(), TooMany> {
        let Some(shown) = Shown::of(principal) else { return Ok(()) };
        self.shown.check_key(&shown).map_err(|until| too_many(&until, "api.requests_per_minute"))
    }

    pub(crate) fn check_source(&self, source: IpAddr) -> Result<(), TooMany> {
        let limit = "api.requests_per_minute_unauthenticated";
        self.sources.check_key(&machine(source)).map_err(|until| too_many(&until, limit))
    }

    /// Drops what no longer limits anybody: otherwise every address ever seen would stay in memory.
    pub(crate) fn forget_old(&self) {
        self.shown.retain_recent();
        self.sources.retain_recent();
    }
}

pub(crate) fn too_many(
    until: &NotUntil<<governor::clock::DefaultClock as governor::clock::Clock>::Instant>,
    limit: &'static str,
) -> TooMany {
    let wait = until.wait_time_from(governor::clock::DefaultClock::default().now());
    TooMany { retry_after: wait.as_secs() + 1, limit }
}
