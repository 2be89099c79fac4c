//! The authorization server: AI clients become known, a person allows one, it gets tokens for one endpoint.
//!
//! Read in the order of a sign-in: [`clients`](self) (who asks), `requests` (a person decides), `tokens` (a code and
//! later refresh tokens become access tokens). Tokens are opaque: what they allow is looked up, so that what was
//! revoked is over at once (`docs/adr/0006-opaque-access-tokens.md`).

mod clients;
mod requests;
mod tokens;

use std::{net::IpAddr, num::NonZeroU32};

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};
use serde_json::json;
use switchboard_domain::{AuditOutcome, AuditPhase, AuditRecord};
use switchboard_oauth::{ErrorCode, OauthError};
use switchboard_storage::{OauthClient, OauthGrant, StorageError};

use crate::{Broker, DataKeyError, audit};

pub use clients::RegisteredClient;
pub use requests::{Asked, PendingAuthorization, ToolkitChoice};
pub use tokens::{CodeExchange, PresentedClient, Refresh, TokenAnswer};

/// Registrations a minute from one source: some clients register with every sign-in.
const REGISTRATIONS: NonZeroU32 = NonZeroU32::new(60).expect("it is not zero");
/// Sign-ins a minute begun from one source.
const REQUESTS: NonZeroU32 = NonZeroU32::new(120).expect("it is not zero");
/// Client documents fetched a minute, for everybody together.
const FETCHES: NonZeroU32 = NonZeroU32::new(120).expect("it is not zero");
/// The same for one source.
const FETCHES_PER_SOURCE: NonZeroU32 = NonZeroU32::new(20).expect("it is not zero");

#[derive(Debug)]
pub(crate) struct AuthorizationLimits {
    registrations: DefaultKeyedRateLimiter<Option<IpAddr>>,
    requests: DefaultKeyedRateLimiter<Option<IpAddr>>,
    fetches: DefaultDirectRateLimiter,
    fetches_of_source: DefaultKeyedRateLimiter<Option<IpAddr>>,
}

impl Default for AuthorizationLimits {
    fn default() -> Self {
        Self {
            registrations: RateLimiter::keyed(Quota::per_minute(REGISTRATIONS)),
            requests: RateLimiter::keyed(Quota::per_minute(REQUESTS)),
            fetches: RateLimiter::direct(Quota::per_minute(FETCHES)),
            fetches_of_source: RateLimiter::keyed(Quota::per_minute(FETCHES_PER_SOURCE)),
        }
    }
}

/// Why the authorization server does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizationError {
    #[error(transparent)]
    Refused(#[from] OauthError),
    #[error("too many requests: wait {retry_after} seconds (limit `{limit}`)")]
    TooMany { limit: &'static str, retry_after: u64 },
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Key(#[from] DataKeyError),
}

impl AuthorizationError {
    pub(crate) fn invalid_grant(text: &str) -> Self {
        OauthError::invalid_grant(text).into()
    }

    pub(crate) fn invalid_client(text: &str) -> Self {
        OauthError::new(ErrorCode::InvalidClient, text).into()
    }
}

fn check(
    limiter: &DefaultKeyedRateLimiter<Option<IpAddr>>,
    source: Option<IpAddr>,
    limit: &'static str,
) -> Result<(), AuthorizationError> {
    limiter.check_key(&source).map_err(|until| {
        let wait = until.wait_time_from(governor::clock::DefaultClock::default().now());
        AuthorizationError::TooMany { limit, retry_after: wait.as_secs() + 1 }
    })
}

impl Broker {
    /// Our issuer identifier: the public origin, without a path.
    pub fn issuer(&self) -> &str {
        self.public_url().as_str().trim_end_matches('/')
    }

    async fn record_authorization(
        &self,
        action: &'static str,
        grant: &OauthGrant,
        client: &OauthClient,
        outcome: AuditOutcome,
    ) {
        let record = AuditRecord {
            actor: Some(json!({ "type": "member", "id": grant.member })),
            client: Some(client.client_id.clone()),
            resource: Some(grant.resource.clone()),
            target: Some(grant.id.to_string()),
            outcome: Some(outcome),
            details: Some(json!({
                "scopes": grant.scopes, "redirect_uri": grant.redirect_uri, "toolkits": grant.toolkits,
            })),
            ..AuditRecord::default()
        };
        let event = audit::event(grant.organization, self.clock().now(), AuditPhase::Event, action, record);
        if self.audit().write(event).await.is_err() {
            tracing::error!(action, "a step of a client's sign-in could not be put on record");
        }
    }

    /// Removes requests, codes, tokens and clients that are over.
    pub(crate) async fn forget_expired_authorizations(&self) -> Result<(), StorageError> {
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        tx.oauth_requests().forget_expired(now).await?;
        tx.oauth_clients().forget_expired(now).await?;
        for organization in tx.organizations().list().await? {
            let id = organization.id;
            tx.oauth_grants().forget_expired(id, now.minus(tokens::GRACE), now.minus(tokens::KEPT)).await?;
        }
        tx.commit().await
    }
}
