//! Step 1 of a call: a bearer token becomes a principal, for exactly this resource.
//!
//! The checksum is looked at before the database. What was found is kept for as long as the organization's version
//! stays the same, so that a call costs no query and a revocation is in force everywhere within a second.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};
use parking_lot::Mutex;
use switchboard_domain::{
    Clock, OrganizationId, Principal, Proof, Resource, Scope, Slug, Timestamp, TokenId,
};
use switchboard_oauth::ResourceIndicator;
use switchboard_storage::{Db, MemberStatus, TokenOwner};
use switchboard_vault::{TokenHash, TokenKind, parse};

use crate::{AuthenticationError, machine, snapshot::Snapshots};

/// A token found before, at one version of its organization.
#[derive(Debug)]
struct Found {
    version: i64,
    principal: Principal,
    /// The one endpoint it is for.
    bound: Option<ResourceIndicator>,
    expires_at: Option<Timestamp>,
}

#[derive(Debug)]
pub(crate) struct Authentication {
    db: Db,
    clock: Arc<dyn Clock>,
    found: moka::sync::Cache<TokenHash, Arc<Found>>,
    failures: DefaultKeyedRateLimiter<IpAddr>,
    /// Tokens used since the last flush.
    used: Mutex<std::collections::HashMap<TokenId, (OrganizationId, Timestamp)>>,
}

impl Authentication {
    /// `wrong_tokens`: a minute from one source, before it has to wait.
    pub(crate) fn new(db: Db, clock: Arc<dyn Clock>, wrong_tokens: NonZeroU32) -> Self {
        Self {
            db,
            clock,
            found: moka::sync::Cache::builder()
                .max_capacity(100_000)
                .time_to_idle(Duration::from_secs(3600))
                .build(),
            failures: RateLimiter::keyed(Quota::per_minute(wrong_tokens)),
            used: Mutex::default(),
        }
    }

    /// `None` when the token is one of an organization that this process has not met yet.
    pub(crate) async fn authenticate(
        &self,
        snapshots: &Snapshots,
        token: &str,
        resource: &Resource,
        organization: Option<&Slug>,
        source: Option<IpAddr>,
    ) -> Result<Option<Principal>, AuthenticationError> {
        match self.attempt(snapshots, token, resource, organization).await {
            Err(AuthenticationError::InvalidToken) => Err(self.failed(source)),
            outcome => outcome,
        }
    }

    fn failed(&self, source: Option<IpAddr>) -> AuthenticationError {
        metrics::counter!("switchboard_authentication_failures_total").increment(1);
        let Some(source) = source else { return AuthenticationError::InvalidToken };
        match self.failures.check_key(&machine(source)) {
            Ok(()) => AuthenticationError::InvalidToken,
            Err(until) => {
                let wait = until.wait_time_from(governor::clock::DefaultClock::default().now());
                AuthenticationError::TooManyFailures { retry_after: wait.as_secs() + 1 }
            }
        }
    }

    /// Drops sources that need not wait: otherwise every address ever seen would stay in memory.
    pub(crate) fn forget_old_failures(&self) {
        self.failures.retain_recent();
    }

    async fn attempt(
        &self,
        snapshots: &Snapshots,
        token: &str,
        resource: &Resource,
        organization: Option<&Slug>,
    ) -> Result<Option<Principal>, AuthenticationError> {
        let parsed = parse(token).map_err(|_| AuthenticationError::InvalidToken)?;
        if !matches!(parsed.kind, TokenKind::Personal | TokenKind::Service | TokenKind::AccessToken) {
            return Err(AuthenticationError::InvalidToken);
        }
        if !snapshots.is_fresh() {
            return Err(AuthenticationError::Unavailable);
        }
        let found = match self.found.get(&parsed.hash) {
            Some(found) if is_current(snapshots, &found) => found,
            _ => match self.look_up(snapshots, parsed.hash).await? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        self.admit(&found, snapshots, resource, organization).map(Some)
    }

    /// The same caller as things stand now, by the token that they came with; `None` when it no longer counts. For what
    /// goes on long after it was let in.
    pub(crate) async fn again(&self, snapshots: &Snapshots, principal: &Principal) -> Option<Principal> {
        let version = snapshots.get(principal.organization)?.version;
        let token = principal.proof.token()?;
        let found = async {
            let mut tx = self.db.read().await?;
            let Some(token) = tx.tokens().find(principal.organization, token).await? else { return Ok(None) };
            tx.tokens().find_by_hash(&token.hash).await
        };
        let owner = found.await.map_err(|error| tracing::error!(%error, "a token can't be looked up again"));
        let found = found_of(owner.ok()??, version)?;
        let is_over = found.expires_at.is_some_and(|expires_at| expires_at <= self.clock.now());
        (!is_over).then_some(found.principal)
    }

    /// Asks the database, once for all who wait for this token.
    async fn look_up(
        &self,
        snapshots: &Snapshots,
        hash: TokenHash,
    ) -> Result<Option<Arc<Found>>, AuthenticationError> {
        let organization = self.owner(&hash).await?.token.organization;
        let Some(version) = snapshots.get(organization).map(|snapshot| snapshot.version) else {
            return Ok(None);
        };
        // Read again, after the version: what changes from here on makes this stale, never too fresh.
        let owner = self.owner(&hash).await?;
        let found = Arc::new(found_of(owner, version).ok_or(AuthenticationError::InvalidToken)?);
        self.found.insert(hash, Arc::clone(&found));
        Ok(Some(found))
    }

    async fn owner(&self, hash: &TokenHash) -> Result<TokenOwner, AuthenticationError> {
        let unavailable = |error: switchboard_storage::StorageError| {
            tracing::error!(%error, "a token can't be looked up");
            AuthenticationError::Unavailable
        };
        let mut tx = self.db.single().await.map_err(unavailable)?;
        let owner = tx.tokens().find_by_hash(hash.as_bytes()).await.map_err(unavailable)?;
        owner.ok_or(AuthenticationError::InvalidToken)
    }

    fn admit(
        &self,
        found: &Found,
        snapshots: &Snapshots,
        resource: &Resource,
        organization: Option<&Slug>,
    ) -> Result<Principal, AuthenticationError> {
        let principal = &found.principal;
        let now = self.clock.now();
        let expired = found.expires_at.is_some_and(|expires_at| expires_at <= now);
        let elsewhere = found.bound.as_ref().is_some_and(|bound| {
            // A client's token is for the URL it was asked for, pinned or not; a person's own names no URL.
            let other_pin = principal.proof.is_grant() && bound.organization.as_ref() != organization;
            bound.resource != *resource || other_pin
        });
        let other_organization = organization
            .is_some_and(|slug| snapshots.organization_by_slug(slug) != Some(principal.organization));
        if expired || elsewhere || other_organization {
            return Err(AuthenticationError::InvalidToken);
        }
        let is_of_use = match resource {
            Resource::Api => principal.scopes.contains(Scope::Api),
            _ => [Scope::McpRead, Scope::McpWrite, Scope::McpPlan]
                .into_iter()
                .any(|scope| principal.scopes.contains(scope)),
        };
        if !is_of_use {
            return Err(AuthenticationError::InsufficientScope);
        }
        if let Some(token) = principal.proof.token() {
            self.used.lock().insert(token, (principal.organization, now));
        }
        Ok(principal.clone())
    }

    /// Writes when tokens were last used. Called now and then.
    pub(crate) async fn flush_used(&self) -> Result<(), switchboard_storage::StorageError> {
        let used: Vec<_> =
            self.used.lock().drain().map(|(token, (organization, at))| (organization, token, at)).collect();
        if used.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.write().await?;
        tx.tokens().touch_last_used(&used).await?;
        tx.commit().await
    }
}

fn is_current(snapshots: &Snapshots, found: &Found) -> bool {
    snapshots.get(found.principal.organization).is_some_and(|snapshot| snapshot.version == found.version)
}

/// `None` when the token or its owner is no longer welcome.
fn found_of(owner: TokenOwner, version: i64) -> Option<Found> {
    let token = owner.token;
    if token.revoked_at.is_some() || owner.status != MemberStatus::Active {
        return None;
    }
    let bound = match &token.resource {
        // A resource that can't be read admits nowhere.
        Some(path) => Some(ResourceIndicator::from_path(path)?),
        None => None,
    };
    let principal = Principal {
        organization: token.organization,
        caller: token.caller,
        role: owner.role,
        teams: owner.teams.into(),
        scopes: token.scopes,
        proof: match &token.grant {
            None => Proof::Token(token.id),
            Some(grant) => {
                Proof::Grant { token: token.id, grant: grant.id, client: grant.client.as_str().into() }
            }
        },
        toolkits: token.grant.and_then(|grant| grant.toolkits).map(Into::into),
    };
    Some(Found { version, principal, bound, expires_at: token.expires_at })
}
