//! What the operator decides of the authorization server.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};
use switchboard_domain::OrganizationId;

use super::AuthorizationError;
use crate::machine;

/// See `docs/reference/configuration.md`, `oauth.*`.
#[derive(Debug, Clone, Copy)]
pub struct AuthorizationSettings {
    /// Whether clients may register themselves (RFC 7591).
    pub dynamic_registration: bool,
    pub code_lifetime: Duration,
    pub access_token_lifetime: Duration,
    /// A grant that is not used for this long is over.
    pub refresh_token_lifetime: Duration,
    /// How long a refresh token that was used still gets its successor.
    pub refresh_grace: Duration,
    /// A client that nobody allowed is forgotten after this.
    pub unused_client_lifetime: Duration,
    /// Clients that nobody allowed, at the most.
    pub max_unused_clients: u32,
    /// Registrations a minute from one source: some clients register with every sign-in.
    pub registrations_per_minute: NonZeroU32,
    /// Sign-ins a minute begun from one source.
    pub requests_per_minute: NonZeroU32,
    /// Client documents fetched a minute, for everybody together.
    pub client_documents_per_minute: NonZeroU32,
    /// The same for one source.
    pub client_documents_per_source_per_minute: NonZeroU32,
    /// Refusals at the token endpoint that one organization's audit log takes a minute: a flood must not fill it.
    pub recorded_refusals_per_minute: NonZeroU32,
    /// To fetch one, and how long it takes to say that it can't be had.
    pub client_document_timeout: Duration,
}

impl Default for AuthorizationSettings {
    fn default() -> Self {
        const DAY: u64 = 24 * 3600;
        Self {
            dynamic_registration: true,
            code_lifetime: Duration::from_secs(60),
            access_token_lifetime: Duration::from_secs(3600),
            refresh_token_lifetime: Duration::from_secs(30 * DAY),
            refresh_grace: Duration::from_secs(30),
            unused_client_lifetime: Duration::from_secs(DAY),
            max_unused_clients: 10_000,
            registrations_per_minute: const { NonZeroU32::new(60).expect("it is not zero") },
            requests_per_minute: const { NonZeroU32::new(120).expect("it is not zero") },
            client_documents_per_minute: const { NonZeroU32::new(120).expect("it is not zero") },
            client_documents_per_source_per_minute: const { NonZeroU32::new(20).expect("it is not zero") },
            recorded_refusals_per_minute: const { NonZeroU32::new(30).expect("it is not zero") },
            client_document_timeout: Duration::from_secs(5),
        }
    }
}

#[derive(Debug)]
pub(crate) struct AuthorizationLimits {
    pub(super) registrations: DefaultKeyedRateLimiter<Option<IpAddr>>,
    pub(super) requests: DefaultKeyedRateLimiter<Option<IpAddr>>,
    pub(super) fetches: DefaultDirectRateLimiter,
    pub(super) fetches_of_source: DefaultKeyedRateLimiter<Option<IpAddr>>,
    pub(super) recorded_refusals: DefaultKeyedRateLimiter<OrganizationId>,
}

impl AuthorizationLimits {
    pub(crate) fn new(settings: &AuthorizationSettings) -> Self {
        Self {
            registrations: RateLimiter::keyed(Quota::per_minute(settings.registrations_per_minute)),
            requests: RateLimiter::keyed(Quota::per_minute(settings.requests_per_minute)),
            fetches: RateLimiter::direct(Quota::per_minute(settings.client_documents_per_minute)),
            fetches_of_source: RateLimiter::keyed(Quota::per_minute(
                settings.client_documents_per_source_per_minute,
            )),
            recorded_refusals: RateLimiter::keyed(Quota::per_minute(settings.recorded_refusals_per_minute)),
        }
    }
}

impl AuthorizationLimits {
    /// Drops what no longer limits anybody: otherwise every address ever seen would stay in memory.
    pub(crate) fn forget_old(&self) {
        for limiter in [&self.registrations, &self.requests, &self.fetches_of_source] {
            limiter.retain_recent();
        }
        self.recorded_refusals.retain_recent();
    }
}

pub(super) fn check(
    limiter: &DefaultKeyedRateLimiter<Option<IpAddr>>,
    source: Option<IpAddr>,
    limit: &'static str,
) -> Result<(), AuthorizationError> {
    limiter.check_key(&source.map(machine)).map_err(|until| {
        let wait = until.wait_time_from(governor::clock::DefaultClock::default().now());
        AuthorizationError::TooMany { limit, retry_after: wait.as_secs() + 1 }
    })
}
