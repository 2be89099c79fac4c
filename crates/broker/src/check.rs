//! Checking a connection: greet the upstream, list its tools, and say how far that came.
//!
//! A check is the only thing that makes a connection `connected`: nothing is green that was not tried.

mod transport;
mod verdict;

use std::{sync::Arc, time::Duration};

use serde_json::json;
use switchboard_catalog::displayed;
use switchboard_domain::{
    Action, AuditOutcome, AuditPhase, AuditRecord, AuthType, Connection, ConnectionId, ConnectionStatus,
    CredentialMode, CredentialOwner, Diagnosis, OrganizationId, Stage, Status, Timestamp,
};
use switchboard_oauth::upstream::BearerChallenge;
use switchboard_policy::MaintenancePermit;
use switchboard_storage::{CredentialHealth, CredentialInfo, StorageError};

use crate::{
    Broker, audit,
    credentials::{CredentialError, has_tokens},
    listing::{self, Changed},
    maintenance,
    snapshot::Known,
    upstream::{Proof, UpstreamAuth, UpstreamError, UpstreamSession},
};

pub(crate) use transport::speaks_otherwise;

/// Why a connection could not even be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error("there is no such connection")]
    NotFound,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What stopped a check.
enum Stopped {
    Credential(CredentialError),
    Upstream(UpstreamError),
    /// It was reached; listing its tools failed.
    Listing(UpstreamError),
    Storage,
}

struct Passed {
    session: UpstreamSession,
    changed: Changed,
    excluded: usize,
    tools: usize,
    ttl: Option<Duration>,
}

impl Broker {
    /// Checks a connection now, stores what was found, and returns it. `owner` says whose credential is tried;
    /// without one the shared one, or any healthy one where each member has their own. Calls are let through again
    /// at once, also when several failed in a row.
    pub async fn check(
        &self,
        organization: OrganizationId,
        id: ConnectionId,
        owner: Option<CredentialOwner>,
    ) -> Result<Diagnosis, CheckError> {
        let diagnosis = self.look_at(organization, id, owner).await?;
        self.upstreams().gate(id).reset();
        Ok(diagnosis)
    }

    /// A check that nobody asked for: calls that fail in a row stay held back unless it finds the connection back.
    pub(crate) async fn look_at(
        &self,
        organization: OrganizationId,
        id: ConnectionId,
        owner: Option<CredentialOwner>,
    ) -> Result<Diagnosis, CheckError> {
        self.refresh_snapshots().await?;
        let snapshot = self.snapshot(organization).ok_or(CheckError::NotFound)?;
        let known = snapshot.connections.get(&id).ok_or(CheckError::NotFound)?;
        let started = tokio::time::Instant::now();
        let mut info = credential_to_try(known, owner).cloned();
        if known.connection.auth_type == AuthType::OAuth && info.is_none() {
            return Ok(self.check_without_tokens(&known.connection).await?);
        }
        let outcome = self.try_out(known, &mut info).await;
        let moved = self.try_other_transport(known, &mut info, &outcome).await?;
        let (known, outcome) = match moved {
            Some((moved, passed)) => (moved, Ok(passed)),
            None => (known.clone(), outcome),
        };
        let known = &known;
        let info = info.as_ref();
        let elapsed = started.elapsed();
        let (status, diagnosis) = self.judge(&known.connection, &outcome, elapsed);
        if status == ConnectionStatus::Connected && known.connection.status.status != status {
            self.upstreams().gate(id).reset();
        }
        self.record_check(known, &status, &diagnosis, info, &outcome).await?;
        if let Ok(passed) = outcome {
            self.note_ttl(id, passed.ttl);
            let owner = info.map_or(CredentialOwner::Shared, |info| info.owner);
            self.upstreams().adopt(&known.connection, owner, passed.session);
        }
        self.refresh_snapshots().await?;
        Ok(diagnosis)
    }

    /// `info` becomes what was tried: it may have been renewed since it was last looked at.
    async fn try_out(&self, known: &Known, info: &mut Option<CredentialInfo>) -> Result<Passed, Stopped> {
        let connection = &*known.connection;
        let gate = self.upstreams().gate(connection.id);
        let _turn = gate.turn_to_list().await;
        let permit = maintenance::check(connection.organization, connection.id);
        let auth = self
            .unlock_for_maintenance(&permit, &known.connection, info.as_ref())
            .await
            .map_err(Stopped::Credential)?;
        let (opened, auth) = self.open_renewed(&permit, &known.connection, info.as_ref(), auth).await?;
        let secrets = auth.secrets;
        if let Some(info) = info {
            info.generation = auth.generation;
        }
        let session = opened.map_err(|error| Stopped::Upstream(error.without(&secrets)))?;
        let permit = maintenance::listing(connection.organization, connection.id);
        debug_assert_eq!(permit.connection(), connection.id);
        let listing = listing::list_tools(&session, &self.upstreams().limits).await;
        let mut listing = listing.map_err(|error| Stopped::Listing(error.without(&secrets)))?;
        listing::list_others(&session, connection, &self.upstreams().limits, &mut listing).await;
        for excluded in &listing.excluded {
            tracing::warn!(connection = %connection.slug, %excluded, "a definition is left out of the catalogue");
        }
        let now = self.clock().now();
        let changed = listing::store(self.db(), connection, session.greeting(), session.era(), &listing, now)
            .await
            .map_err(|error| {
                tracing::error!(connection = %connection.slug, %error, "a listing can't be stored");
                Stopped::Storage
            })?;
        self.note_harmless(connection, &changed.harmless, now).await;
        Ok(Passed {
            session,
            changed,
            excluded: listing.excluded.len(),
            tools: listing.tools(),
            ttl: listing.ttl_millis.map(Duration::from_millis),
        })
    }

    /// A session, and what it was opened with: when the server refuses a token before its time, another one, once.
    async fn open_renewed(
        &self,
        permit: &MaintenancePermit,
        connection: &Arc<Connection>,
        info: Option<&CredentialInfo>,
        auth: UpstreamAuth,
    ) -> Result<(Result<UpstreamSession, UpstreamError>, UpstreamAuth), Stopped> {
        let open =
            |auth: UpstreamAuth| self.upstreams().fresh_session(Proof::Background(permit), connection, auth);
        let opened = open(auth.clone()).await;
        let refused = matches!(opened, Err(UpstreamError::Unauthorized { status: 401, .. }));
        let Some(info) = info.filter(|it| it.health == CredentialHealth::Healthy && has_tokens(connection))
        else {
            return Ok((opened, auth));
        };
        if !refused {
            return Ok((opened, auth));
        }
        let renewed = self.renew_for_maintenance(permit, connection, info.owner, &auth).await;
        let auth = renewed.map_err(Stopped::Credential)?;
        Ok((open(auth.clone()).await, auth))
    }

    /// Approved by nobody, so on record as that.
    async fn note_harmless(&self, connection: &Connection, tools: &[String], now: Timestamp) {
        for tool in tools {
            let record = AuditRecord {
                actor: Some(json!({ "type": "system", "id": "harmless_changes" })),
                connection: Some(connection.id.to_string()),
                target: Some(format!("{}.{}", connection.name_prefix(), displayed(tool, 200))),
                outcome: Some(AuditOutcome::Ok),
                ..AuditRecord::default()
            };
            let action = "review.approve_harmless";
            self.audit()
                .queue(audit::event(connection.organization, now, AuditPhase::Event, action, record))
                .await;
        }
    }

    fn judge(
        &self,
        connection: &Connection,
        outcome: &Result<Passed, Stopped>,
        elapsed: Duration,
    ) -> (ConnectionStatus, Diagnosis) {
        let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let name = &connection.name;
        let page = self.connection_page(connection.id);
        let verdict = match outcome {
            Ok(passed) => {
                let left_out = match passed.excluded {
                    0 => String::new(),
                    count => format!(" {count} more were left out because their definitions break a limit."),
                };
                let held = match passed.changed.held {
                    0 => String::new(),
                    count => format!(" {count} new or changed ones wait for an admin's review."),
                };
                return (
                    ConnectionStatus::Connected,
                    Diagnosis {
                        reached: Some(Stage::Tools),
                        failed: None,
                        reason: None,
                        message: format!("{name} works and lists {} tools.{left_out}{held}", passed.tools),
                        actor: None,
                        action: None,
                        duration_ms,
                    },
                );
            }
            Err(stopped) => self.verdict(connection, stopped),
        };
        let action = verdict.action.map(|(kind, label)| Action { kind, label, url: page });
        (
            verdict.status,
            Diagnosis {
                reached: before(verdict.failed),
                failed: Some(verdict.failed),
                reason: Some(verdict.reason),
                message: verdict.message,
                actor: Some(verdict.actor),
                action,
                duration_ms,
            },
        )
    }

    async fn record_check(
        &self,
        known: &Known,
        status: &ConnectionStatus,
        diagnosis: &Diagnosis,
        info: Option<&CredentialInfo>,
        outcome: &Result<Passed, Stopped>,
    ) -> Result<(), StorageError> {
        let connection = &*known.connection;
        let now = self.clock().now();
        let since = if connection.status.status == *status { connection.status.since } else { now };
        let failed = diagnosis.failed.is_some();
        let stored = if is_about_one_account(connection, diagnosis) {
            Status { checked_at: Some(now), ..connection.status.clone() }
        } else {
            Status {
                status: *status,
                reason: diagnosis.reason.clone(),
                message: failed.then(|| diagnosis.message.clone()),
                since,
                checked_at: Some(now),
                diagnosis: Some(diagnosis.clone()),
            }
        };
        let mut tx = self.db().write().await?;
        tx.connections().set_status(connection.organization, connection.id, &stored).await?;
        if let Some(info) = info {
            let health = match outcome {
                Ok(_) => Some(CredentialHealth::Healthy),
                Err(Stopped::Upstream(UpstreamError::Unauthorized { .. })) => {
                    Some(CredentialHealth::ReauthRequired)
                }
                Err(Stopped::Credential(CredentialError::Unreadable)) => Some(CredentialHealth::Unreadable),
                Err(_) => None,
            };
            if let Some(health) = health.filter(|health| *health != info.health) {
                tx.credentials().set_health(info, health, now).await?;
            }
        }
        tx.commit().await?;
        if connection.status.status != stored.status {
            let event = audit::event(
                connection.organization,
                now,
                AuditPhase::Event,
                "connection.status",
                AuditRecord {
                    connection: Some(connection.id.to_string()),
                    target: Some(connection.slug.to_string()),
                    outcome: Some(if failed { AuditOutcome::Failed } else { AuditOutcome::Ok }),
                    code: Some(stored.status.as_str().to_owned()),
                    ..AuditRecord::default()
                },
            );
            self.audit().queue(event).await;
        }
        Ok(())
    }

    /// A call was refused for its credential: look at the connection, which then says so. One account's tokens are
    /// marked themselves, because a look may well be with another's.
    pub(crate) fn credential_refused(
        &self,
        known: &Known,
        owner: CredentialOwner,
        generation: i64,
        error: &UpstreamError,
    ) {
        tracing::warn!(connection = %known.connection.slug, %error, "a credential was refused");
        let connection = Arc::clone(&known.connection);
        let is_own = connection.credential_mode == CredentialMode::PerMember || has_tokens(&connection);
        // An account at the identity provider is not marked: other servers may take its token.
        let is_marked = is_own && connection.auth_type != AuthType::UserOidc;
        let info = known.credential(owner).filter(|_| is_marked).cloned();
        let scopes = lacking_scopes(error).filter(|_| connection.auth_type == AuthType::OAuth);
        if let (Some(scopes), Some(info)) = (scopes, info.clone()) {
            return self.note_step_up(connection, info, scopes);
        }
        let (UpstreamError::Unauthorized { status: 401, .. }, Some(info)) = (error, info) else {
            return self.refresh_soon(connection.organization, connection.id);
        };
        let broker = self.clone();
        self.spawn(async move {
            let refused = CredentialInfo { generation, ..info };
            let health = CredentialHealth::ReauthRequired;
            if let Err(error) =
                broker.mark_credential(&connection, &refused, health, "credential_refused").await
            {
                tracing::warn!(%error, connection = %connection.id, "a refused credential can't be marked");
            }
            broker.refresh_soon(connection.organization, connection.id);
        });
    }

    /// The account has to be connected again, with more scopes; unless they were asked for already.
    fn note_step_up(&self, connection: Arc<Connection>, info: CredentialInfo, scopes: Vec<String>) {
        let broker = self.clone();
        self.spawn(async move {
            match broker.step_up(&connection, &scopes).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(failure) => {
                    tracing::warn!(connection = %connection.slug, reason = failure.reason, "scopes can't be noted");
                    return;
                }
            }
            let health = CredentialHealth::ReauthRequired;
            if let Err(error) = broker.mark_credential(&connection, &info, health, "insufficient_scope").await {
                tracing::warn!(%error, connection = %connection.id, "a credential can't be marked");
            }
        });
    }

    /// Checks a connection in the background, at most every few seconds.
    pub(crate) fn refresh_soon(&self, organization: OrganizationId, id: ConnectionId) {
        if !self.may_refresh_now(id) {
            return;
        }
        let broker = self.clone();
        self.spawn(async move {
            if let Err(error) = broker.look_at(organization, id, None).await {
                tracing::warn!(%error, connection = %id, "a background check failed");
            }
        });
    }

    /// The operator's rules may have changed since the last start. What they close now is `blocked` before anybody is
    /// let in; what they may have opened is looked at in the background. No lease: a look at each start, by each
    /// process, is what makes the state tell the truth.
    pub(crate) async fn judge_again(&self) {
        for snapshot in self.all_snapshots() {
            for known in snapshot.connections.values().filter(|known| known.connection.switches.enabled) {
                let connection = &*known.connection;
                let closed = self.upstreams().judge(connection).is_err();
                let blocked = connection.status.status == ConnectionStatus::Blocked;
                if closed && !blocked {
                    if let Err(error) = self.look_at(connection.organization, connection.id, None).await {
                        tracing::warn!(%error, connection = %connection.slug, "a check at the start failed");
                    }
                } else if blocked && !closed {
                    self.refresh_soon(connection.organization, connection.id);
                }
            }
        }
    }
}

/// What the token was refused for (RFC 6750 section 3.1, RFC 9470 in spirit): scopes that it lacks.
pub(crate) fn lacking_scopes(error: &UpstreamError) -> Option<Vec<String>> {
    let UpstreamError::Unauthorized { status: 403, challenge: Some(challenge) } = error else { return None };
    let challenge = BearerChallenge::parse([challenge.as_str()])?;
    challenge.scopes.filter(|_| challenge.error.as_deref() == Some("insufficient_scope"))
}

/// Whether what failed is one member's account, at a connection that works for others: that is said of their credential,
/// not of the connection.
fn is_about_one_account(connection: &Connection, diagnosis: &Diagnosis) -> bool {
    connection.credential_mode == CredentialMode::PerMember
        && diagnosis.failed == Some(Stage::Auth)
        && connection.status.status == ConnectionStatus::Connected
}

fn credential_to_try(known: &Known, owner: Option<CredentialOwner>) -> Option<&CredentialInfo> {
    match owner {
        Some(owner) => known.credential(owner),
        None if known.connection.credential_mode == CredentialMode::Shared => {
            known.credential(CredentialOwner::Shared)
        }
        None => known
            .credentials
            .iter()
            .find(|credential| credential.health == CredentialHealth::Healthy)
            .or_else(|| known.credentials.first()),
    }
}

/// The stage before: what was reached when `failed` was not.
fn before(failed: Stage) -> Option<Stage> {
    let at = Stage::ALL.iter().position(|stage| *stage == failed)?;
    at.checked_sub(1).map(|index| Stage::ALL[index])
}
