//! Renewing tokens (RFC 6749 section 6): ahead of their expiry, and once when an upstream refuses one before.
//!
//! A provider that rotates refresh tokens takes each of them once; a second use looks like theft, and some then revoke
//! everything. So there is one renewal at a time, whoever asks:
//!
//! - **in this process** all callers wait for the same task. It is detached: a caller who goes away does not take
//!   with them a token that the provider has rotated already.
//! - **among replicas** a lease names who does it. Whoever gets it reads the row again first. Should a lease run out
//!   under its holder, the write compares and swaps on the generation, so that one of two wins and the other learns it;
//!   and a refusal counts only if the row is still the one that was refused.
//!
//! What the provider issued is on disk (`synchronous=FULL`) before anybody uses it. A process that is killed between
//! the provider's answer and our commit loses what only the provider can give back; nothing else is ever lost.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture, future::Shared};
use switchboard_domain::{
    AuditOutcome, AuditPhase, AuditRecord, AuthType, Connection, CredentialId, CredentialOwner, Timestamp,
};
use switchboard_oauth::upstream::{TokenAnswer, TokenError};
use switchboard_policy::{MaintenancePermit, Permit};
use switchboard_storage::{
    CredentialHealth, CredentialInfo, Lease, PutCredential, StorageError, StoredCredential,
};
use tokio::time::Instant;

use super::{CredentialError, Opened, UpstreamClient, secret::Plain, tokens::SealedTokens};
use crate::{Broker, audit, connect::TokenRequestError, upstream::UpstreamAuth};

/// Longer than an exchange with a provider and the commit after it.
const LEASE: Duration = Duration::from_secs(40);
/// How long to wait for somebody else's renewal.
const WAIT: Duration = Duration::from_secs(60);
/// Between two looks at somebody else's renewal.
const LOOK: Duration = Duration::from_millis(60);
/// For how long a commit is tried: what it would lose can't be asked for again.
const COMMIT: Duration = Duration::from_secs(120);
/// First pause after a provider that could not be asked; doubles.
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Words of providers that mean: never again with this. The first three are RFC 6749's; the others are met.
const FINAL: &[&str] = &[
    "invalid_grant",
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "access_denied",
    "bad_refresh_token",
    "invalid_refresh_token",
    "token_expired",
    "token_revoked",
];

/// Why tokens were not renewed.
#[derive(Debug, Clone)]
pub(super) enum NotRenewed {
    Gone,
    Unreadable,
    /// Its owner has to connect anew.
    Final,
    /// Worth another try.
    Later {
        after: Duration,
    },
    Unavailable,
}

impl From<NotRenewed> for CredentialError {
    fn from(error: NotRenewed) -> Self {
        match error {
            NotRenewed::Gone => Self::Missing,
            NotRenewed::Unreadable => Self::Unreadable,
            NotRenewed::Final => Self::ReauthRequired,
            NotRenewed::Later { after } => Self::NotRenewed { after },
            NotRenewed::Unavailable => Self::Unavailable,
        }
    }
}

impl From<CredentialError> for NotRenewed {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Missing | CredentialError::NotSignedIn => Self::Gone,
            CredentialError::ReauthRequired | CredentialError::SignInOver => Self::Final,
            CredentialError::NotRenewed { after } => Self::Later { after },
            CredentialError::Unreadable | CredentialError::NotAHeader(_) | CredentialError::NotBearer => {
                Self::Unreadable
            }
            CredentialError::Storage(_) | CredentialError::Key(_) | CredentialError::Unavailable => {
                tracing::error!(%error, "tokens can't be renewed");
                Self::Unavailable
            }
        }
    }
}

impl From<StorageError> for NotRenewed {
    fn from(error: StorageError) -> Self {
        CredentialError::Storage(error).into()
    }
}

pub(super) type Renewing = Shared<BoxFuture<'static, Result<Opened, NotRenewed>>>;

/// After a provider that could not be asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pause {
    failures: u32,
    until: Instant,
}

/// Which tokens a renewal is to replace.
#[derive(Debug, Clone)]
struct Old {
    connection: Arc<Connection>,
    owner: CredentialOwner,
    id: CredentialId,
    generation: i64,
}

impl Broker {
    /// Step 7 of a call: the credential that the permit names, renewed when it is due.
    pub(crate) async fn unlock(
        &self,
        permit: &Permit,
        connection: &Arc<Connection>,
        info: Option<&CredentialInfo>,
    ) -> Result<UpstreamAuth, CredentialError> {
        if connection.auth_type == AuthType::UserOidc {
            return self.token_of_person(connection, permit.credential(), None).await;
        }
        let opened = match self.credentials().unlock(permit, connection, info).await {
            Err(CredentialError::Unreadable) => {
                self.note_unreadable(connection, permit.credential());
                return Err(CredentialError::Unreadable);
            }
            outcome => outcome?,
        };
        self.in_time(connection, permit.credential(), opened).await
    }

    /// A token that is due but still good is used while its successor is fetched; nobody waits for that.
    pub(super) async fn in_time(
        &self,
        connection: &Arc<Connection>,
        owner: CredentialOwner,
        opened: Opened,
    ) -> Result<UpstreamAuth, CredentialError> {
        let now = self.clock().now();
        let Some(life) = opened.life.filter(|life| now >= life.renew_at) else { return Ok(opened.auth) };
        let renewal = self.renewal(connection, owner, &opened.auth);
        if now < life.ends_at {
            return Ok(opened.auth);
        }
        Ok(renewal?.await?.auth)
    }

    /// An upstream refused a token that should still be good: another one, got once for all who were refused.
    pub(crate) async fn renew_refused(
        &self,
        permit: &Permit,
        connection: &Arc<Connection>,
        refused: &UpstreamAuth,
    ) -> Result<UpstreamAuth, CredentialError> {
        debug_assert_eq!(permit.connection(), connection.id);
        if connection.auth_type == AuthType::UserOidc {
            return self.token_of_person(connection, permit.credential(), Some(refused)).await;
        }
        Ok(self.renewal(connection, permit.credential(), refused)?.await?.auth)
    }

    /// The same where nobody calls.
    pub(crate) async fn renew_for_maintenance(
        &self,
        permit: &MaintenancePermit,
        connection: &Arc<Connection>,
        owner: CredentialOwner,
        refused: &UpstreamAuth,
    ) -> Result<UpstreamAuth, CredentialError> {
        debug_assert_eq!(permit.connection(), connection.id);
        Ok(self.renewal(connection, owner, refused)?.await?.auth)
    }

    /// Moved, damaged, or its key is gone: the connection says so from now on, and the audit log.
    fn note_unreadable(&self, connection: &Arc<Connection>, owner: CredentialOwner) {
        let (broker, connection) = (self.clone(), Arc::clone(connection));
        self.spawn(async move {
            let noted = async {
                let mut tx = broker.db().single().await?;
                let stored = tx.credentials().find(connection.organization, connection.id, owner).await?;
                drop(tx);
                let Some(stored) = stored else { return Ok(()) };
                let health = CredentialHealth::Unreadable;
                broker.mark_credential(&connection, &stored.info, health, "does_not_open").await
            };
            if let Err(error) = noted.await {
                tracing::warn!(%error, connection = %connection.id, "an unreadable credential can't be marked");
            }
        });
    }

    /// The renewal under way, or a new one.
    fn renewal(
        &self,
        connection: &Arc<Connection>,
        owner: CredentialOwner,
        auth: &UpstreamAuth,
    ) -> Result<Renewing, CredentialError> {
        let id = auth.credential.ok_or(CredentialError::Missing)?;
        let mut renewals = self.credentials().renewals.lock();
        if let Some(renewing) = renewals.under_way.get(&id) {
            return Ok(renewing.clone());
        }
        let now = Instant::now();
        if let Some(pause) = renewals.pauses.get(&id).filter(|pause| pause.until > now) {
            return Err(CredentialError::NotRenewed { after: pause.until.duration_since(now) });
        }
        let old = Old { connection: Arc::clone(connection), owner, id, generation: auth.generation };
        let broker = self.clone();
        let task = self.credentials().tasks.spawn(async move {
            let outcome = broker.renew(&old).await;
            broker.end_of_renewal(&old, &outcome);
            outcome
        });
        let renewing = task.map(|joined| joined.unwrap_or(Err(NotRenewed::Unavailable))).boxed().shared();
        renewals.under_way.insert(id, renewing.clone());
        Ok(renewing)
    }

    fn end_of_renewal(&self, old: &Old, outcome: &Result<Opened, NotRenewed>) {
        let word = match outcome {
            Ok(_) => "ok",
            Err(NotRenewed::Final) => "reauth_required",
            Err(NotRenewed::Later { .. }) => "later",
            Err(_) => "failed",
        };
        metrics::counter!("switchboard_token_renewals_total", "outcome" => word).increment(1);
        let mut renewals = self.credentials().renewals.lock();
        renewals.under_way.remove(&old.id);
        match outcome {
            Err(NotRenewed::Later { after }) => {
                let failures = renewals.pauses.get(&old.id).map_or(0, |pause| pause.failures) + 1;
                renewals.pauses.insert(old.id, Pause { failures, until: Instant::now() + *after });
            }
            _ => drop(renewals.pauses.remove(&old.id)),
        }
    }

    /// How long a provider is left alone after the next failure: longer each time, and not all at once.
    fn next_pause(&self, id: CredentialId) -> Duration {
        let failures = self.credentials().renewals.lock().pauses.get(&id).map_or(0, |pause| pause.failures);
        let pause = PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
        pause.mul_f64(0.5 + 0.5 * self.random().unit())
    }

    async fn renew(&self, old: &Old) -> Result<Opened, NotRenewed> {
        let name = format!("token:{}", old.id);
        let give_up = Instant::now() + WAIT;
        loop {
            if let Some(newer) = self.newer_than(old).await? {
                return Ok(newer);
            }
            if let Some(lease) = self.token_lease(&name).await? {
                let outcome = self.renew_alone(old, &lease).await;
                self.let_go(&lease).await;
                return outcome;
            }
            if Instant::now() > give_up {
                return Err(NotRenewed::Later { after: self.next_pause(old.id) });
            }
            tokio::time::sleep(LOOK.mul_f64(0.5 + self.random().unit())).await;
        }
    }

    /// What somebody else has stored since. Tokens whose provider said no stay refused.
    async fn newer_than(&self, old: &Old) -> Result<Option<Opened>, NotRenewed> {
        let stored = self.stored(old).await?.ok_or(NotRenewed::Gone)?;
        if stored.info.id == old.id && stored.info.generation <= old.generation {
            return match stored.info.health {
                CredentialHealth::ReauthRequired => Err(NotRenewed::Final),
                CredentialHealth::Unreadable => Err(NotRenewed::Unreadable),
                CredentialHealth::Healthy => Ok(None),
            };
        }
        Ok(Some(self.credentials().open_and_keep(&old.connection, &stored).await?))
    }

    async fn stored(&self, old: &Old) -> Result<Option<StoredCredential>, StorageError> {
        let connection = &old.connection;
        self.db().single().await?.credentials().find(connection.organization, connection.id, old.owner).await
    }

    async fn token_lease(&self, name: &str) -> Result<Option<Lease>, StorageError> {
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        let lease = tx.leases().acquire(name, self.schedule().holder(), now, now.plus(LEASE)).await?;
        tx.commit().await?;
        Ok(lease)
    }

    /// A lease that can't be let go runs out.
    async fn let_go(&self, lease: &Lease) {
        let done = async {
            let mut tx = self.db().write().await?;
            tx.leases().release(lease).await?;
            tx.commit().await
        };
        if let Err(error) = done.await {
            tracing::warn!(%error, lease = lease.name, "a lease can't be let go; it runs out by itself");
        }
    }

    /// With the lease in hand.
    async fn renew_alone(&self, old: &Old, lease: &Lease) -> Result<Opened, NotRenewed> {
        if let Some(newer) = self.newer_than(old).await? {
            return Ok(newer);
        }
        let stored = self.stored(old).await?.ok_or(NotRenewed::Gone)?;
        let mut plain = self.credentials().open_plain(&stored).await?;
        if old.connection.auth_type == AuthType::ClientCredentials {
            let asked = self.client_grant(&old.connection, &plain).await.map_err(|failure| {
                tracing::warn!(connection = %old.connection.slug, reason = failure.reason, "no token can be asked for");
                NotRenewed::Later { after: self.next_pause(old.id) }
            })?;
            plain.tokens = Some(SealedTokens::new(&asked, self.clock().now()));
        }
        let tokens = plain.tokens.as_ref().ok_or(NotRenewed::Unreadable)?;
        let scope = tokens.scope();
        let Some(grant) = tokens.grant(&old.connection, &scope) else {
            return self.no_more(old, &stored.info, "no_refresh_token").await;
        };
        let asked_at = self.clock().now();
        let Some(client) = self.client_to_renew_as(old, tokens).await? else {
            return self.no_more(old, &stored.info, "client_changed").await;
        };
        let answer = self.request_tokens(tokens.token_endpoint(), &client, &grant).await;
        let answer = match answer {
            Ok(answer) => Ok(answer),
            Err(TokenRequestError::Answer(error)) => Err(error),
            Err(TokenRequestError::Egress(error)) => {
                tracing::warn!(connection = %old.connection.slug, %error, "a provider can't be asked for new tokens");
                return Err(NotRenewed::Later { after: self.next_pause(old.id) });
            }
        };
        if let Some(tokens) = plain.tokens.as_mut() {
            tokens.prove_as(&client);
        }
        match answer {
            Ok(answer) => self.keep((old, lease), &stored.info, plain, &answer, asked_at).await,
            Err(TokenError::Refused { code, .. }) if FINAL.contains(&code.as_str()) => {
                // Somebody whose lease had run out may have been first after all.
                if let Some(newer) = self.newer_than(old).await? {
                    return Ok(newer);
                }
                self.no_more(old, &stored.info, &code).await
            }
            Err(error) => {
                // Its code alone: what else it says is a stranger's text.
                let code = error.code().unwrap_or("no answer of the standard");
                tracing::warn!(connection = %old.connection.slug, code, "a provider did not renew tokens");
                Err(NotRenewed::Later { after: self.next_pause(old.id) })
            }
        }
    }

    /// The client that the tokens were issued to, with the secret or key that it has now; `None` when the connection has
    /// another one.
    async fn client_to_renew_as(
        &self,
        old: &Old,
        tokens: &SealedTokens,
    ) -> Result<Option<UpstreamClient>, NotRenewed> {
        let then = tokens.client();
        if old.connection.auth_type != AuthType::OAuth {
            return Ok(Some(then));
        }
        self.client_of_today(&old.connection, (then, tokens.issuer())).await.map_err(|failure| {
            tracing::warn!(connection = %old.connection.slug, reason = failure.reason, "no token can be asked for");
            NotRenewed::Later { after: self.next_pause(old.id) }
        })
    }

    /// Stores what was issued. It is tried for long: nobody else has it.
    async fn keep(
        &self,
        (old, lease): (&Old, &Lease),
        info: &CredentialInfo,
        mut plain: Plain,
        answer: &TokenAnswer,
        asked_at: Timestamp,
    ) -> Result<Opened, NotRenewed> {
        let expires_at = answer.expires_in.map(|seconds| asked_at.plus(Duration::from_secs(seconds)));
        plain.renew(answer, asked_at);
        let give_up = Instant::now() + COMMIT;
        let mut pause = Duration::from_millis(50);
        loop {
            let error = match self.credentials().put_renewed(info, &plain, expires_at, lease).await {
                Ok((PutCredential::Stored, stored)) => {
                    return Ok(self.credentials().open_and_keep(&old.connection, &stored).await?);
                }
                // Connected anew or disconnected meanwhile: that counts.
                Ok((PutCredential::Stale, ours)) => {
                    let newer = self.newer_than(old).await;
                    // What was issued for nobody must not live on at the provider.
                    let mut tx = self.db().write().await?;
                    tx.revocations().insert(&ours, self.clock().now()).await?;
                    tx.commit().await?;
                    return newer?.ok_or(NotRenewed::Unavailable);
                }
                Err(error) => error,
            };
            tracing::error!(connection = %old.connection.slug, %error, "renewed tokens can't be stored yet");
            if Instant::now() > give_up {
                return Err(NotRenewed::Unavailable);
            }
            tokio::time::sleep(pause.mul_f64(0.5 + self.random().unit())).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// Says for everybody to see that only their owner can make these tokens work again.
    async fn no_more(&self, old: &Old, info: &CredentialInfo, code: &str) -> Result<Opened, NotRenewed> {
        self.mark_credential(&old.connection, info, CredentialHealth::ReauthRequired, code).await?;
        Err(NotRenewed::Final)
    }

    /// Marks this generation, and puts on record that it was.
    pub(crate) async fn mark_credential(
        &self,
        connection: &Connection,
        info: &CredentialInfo,
        health: CredentialHealth,
        code: &str,
    ) -> Result<(), StorageError> {
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        let changed = tx.credentials().set_health(info, health, now).await?;
        tx.commit().await?;
        if !changed {
            return Ok(());
        }
        tracing::warn!(connection = %connection.slug, health = health.as_str(), code, "a credential no longer works");
        let record = AuditRecord {
            connection: Some(connection.id.to_string()),
            target: Some(connection.slug.to_string()),
            credential: Some(match info.owner {
                CredentialOwner::Shared => "shared".into(),
                CredentialOwner::Member(member) => member.to_string(),
            }),
            outcome: Some(AuditOutcome::Failed),
            code: Some(health.as_str().to_owned()),
            details: Some(serde_json::json!({ "reason": crate::text::one_line(code, 100) })),
            ..AuditRecord::default()
        };
        let event =
            audit::event(connection.organization, now, AuditPhase::Event, "credential.health", record);
        self.audit().queue(event).await;
        if let Err(error) = self.refresh_snapshots().await {
            tracing::warn!(%error, "what is known of the organizations can't be refreshed");
        }
        Ok(())
    }
}
