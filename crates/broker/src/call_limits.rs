//! How many calls are taken a minute: from one token, of one member or service account, of one organization, and to one
//! connection. Off unless the operator sets them: what runs at once is bounded by each connection's gate in any case.
//!
//! Counted in memory with GCRA, as in [`crate::request_limits`], by each process for itself: behind a load balancer,
//! several of them allow several times as much. Nothing on the way of a call asks the database for it.

use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde_json::json;
use switchboard_domain::{Actor, CallError, Caller, ConnectionId, ErrorCode, OrganizationId, Principal};

use crate::{
    request_limits::{Shown, too_many},
    sign_in::TooMany,
};

/// Calls a minute (setting `calls`); `None`: no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallSettings {
    /// With one token, or from one console session.
    pub per_minute_per_token: Option<NonZeroU32>,
    /// Of one member or service account, whatever the tokens.
    pub per_minute_per_member: Option<NonZeroU32>,
    pub per_minute_per_organization: Option<NonZeroU32>,
    /// To one connection, by everybody together.
    pub per_minute_per_connection: Option<NonZeroU32>,
}

#[derive(Debug)]
struct Limit<K: std::hash::Hash + Eq + Clone> {
    most: NonZeroU32,
    counted: DefaultKeyedRateLimiter<K>,
    name: &'static str,
}

impl<K: std::hash::Hash + Eq + Clone> Limit<K> {
    fn new(most: Option<NonZeroU32>, name: &'static str) -> Option<Self> {
        most.map(|most| Self { most, counted: RateLimiter::keyed(Quota::per_minute(most)), name })
    }
}

fn check<K: std::hash::Hash + Eq + Clone>(limit: &Option<Limit<K>>, key: K) -> Result<(), CallError> {
    let Some(limit) = limit else { return Ok(()) };
    let counted = limit.counted.check_key(&key);
    counted.map_err(|until| refused(limit.most, &too_many(&until, limit.name)))
}

fn refused(most: NonZeroU32, over: &TooMany) -> CallError {
    let (wait, name) = (over.retry_after, over.limit);
    CallError::new(
        ErrorCode::RateLimited,
        format!("Too many calls: `{name}` allows {most} a minute. Nothing ran; try again in {wait} s."),
    )
    .retryable()
    .actor(Actor::Operator)
    .retry("execute_capability", Some(wait))
    .details(json!({ "limit": name, "retry_after": wait }))
}

#[derive(Debug)]
pub(crate) struct CallLimits {
    tokens: Option<Limit<Shown>>,
    callers: Option<Limit<Caller>>,
    organizations: Option<Limit<OrganizationId>>,
    connections: Option<Limit<ConnectionId>>,
}

impl CallLimits {
    pub(crate) fn new(settings: &CallSettings) -> Self {
        Self {
            tokens: Limit::new(settings.per_minute_per_token, "calls.per_minute_per_token"),
            callers: Limit::new(settings.per_minute_per_member, "calls.per_minute_per_member"),
            organizations: Limit::new(
                settings.per_minute_per_organization,
                "calls.per_minute_per_organization",
            ),
            connections: Limit::new(settings.per_minute_per_connection, "calls.per_minute_per_connection"),
        }
    }

    /// Counts a call for who makes it, whatever becomes of it.
    pub(crate) fn check(&self, principal: &Principal) -> Result<(), CallError> {
        if let Some(shown) = Shown::of(principal) {
            check(&self.tokens, shown)?;
        }
        check(&self.callers, principal.caller)?;
        check(&self.organizations, principal.organization)
    }

    /// Counts a call that may be made for the connection it goes to.
    pub(crate) fn check_connection(&self, connection: ConnectionId) -> Result<(), CallError> {
        check(&self.connections, connection)
    }

    /// Drops what no longer limits anybody.
    pub(crate) fn forget_old(&self) {
        self.tokens.iter().for_each(|limit| limit.counted.retain_recent());
        self.callers.iter().for_each(|limit| limit.counted.retain_recent());
        self.organizations.iter().for_each(|limit| limit.counted.retain_recent());
        self.connections.iter().for_each(|limit| limit.counted.retain_recent());
    }
}
