//! Telling a provider that tokens are over (RFC 7009). What is taken away here is sealed and queued by the transaction
//! that takes it away, then tried at once, and again in the background for as long as the provider can't be asked.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use switchboard_domain::{AuditOutcome, AuditPhase, AuditRecord, AuthType, CredentialOwner, OrganizationId};
use switchboard_storage::{Revocation, StorageError};

use super::{UpstreamClient, tokens::SealedTokens};
use crate::{Broker, audit};

/// For what somebody waits for; the rest is done in the background.
const AT_ONCE: Duration = Duration::from_secs(10);
/// Providers that are asked at the same time.
const SIDE_BY_SIDE: usize = 8;
const BATCH: u32 = 100;
/// First pause after a provider that could not be asked; doubles.
const PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);
/// Over about three days.
pub(crate) const ATTEMPTS: i64 = 20;

/// How long after the attempts so far the next one is due, at the most.
pub(crate) fn pause(attempts: i64) -> Duration {
    PAUSE.saturating_mul(1 << attempts.clamp(0, 9)).min(LONGEST_PAUSE)
}

/// What the providers of tokens that were taken away said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RevocationReport {
    /// Confirmed by their provider: nobody can use them any more.
    pub confirmed: u64,
    /// The provider could not be asked yet; it is tried again in the background.
    pub pending: u64,
    /// The provider takes no word of it: end them in the account settings there.
    pub unsupported: u64,
}

enum Told {
    Confirmed,
    Pending,
    Unsupported,
}

impl Broker {
    /// Tries what the transaction before has queued, for as long as somebody may be kept waiting.
    pub(crate) async fn revoke_queued(&self, organization: OrganizationId, queued: u64) -> RevocationReport {
        if queued == 0 {
            return RevocationReport::default();
        }
        let mut report = match tokio::time::timeout(AT_ONCE, self.revoke_due_of(organization)).await {
            Ok(Ok(report)) => report,
            Ok(Err(error)) => {
                tracing::warn!(%error, "revocations are left to the background");
                RevocationReport::default()
            }
            Err(_) => RevocationReport::default(),
        };
        // Others of the organization may have been due as well; this answer is about what was taken away now.
        report.confirmed = report.confirmed.min(queued);
        report.unsupported = report.unsupported.min(queued - report.confirmed);
        report.pending = queued - report.confirmed - report.unsupported;
        report
    }

    /// The same where nobody waits for the answer.
    pub(crate) fn revoke_soon(&self, queued: u64) {
        if queued == 0 {
            return;
        }
        let broker = self.clone();
        self.spawn(async move {
            if let Err(error) = broker.revoke_due().await {
                tracing::warn!(%error, "revocations are left for later");
            }
        });
    }

    /// Tries every revocation that is due.
    pub async fn revoke_due(&self) -> Result<(), StorageError> {
        for snapshot in self.all_snapshots() {
            self.revoke_due_of(snapshot.organization.id).await?;
            self.revoke_due_identities(snapshot.organization.id).await?;
        }
        Ok(())
    }

    async fn revoke_due_of(&self, organization: OrganizationId) -> Result<RevocationReport, StorageError> {
        let due =
            self.db().single().await?.revocations().due(organization, self.clock().now(), BATCH).await?;
        let told: Vec<Told> = stream::iter(due)
            .map(|it| async move { self.revoke(&it).await })
            .buffer_unordered(SIDE_BY_SIDE)
            .collect()
            .await;
        let mut report = RevocationReport::default();
        for told in told {
            match told {
                Told::Confirmed => report.confirmed += 1,
                Told::Pending => report.pending += 1,
                Told::Unsupported => report.unsupported += 1,
            }
        }
        Ok(report)
    }

    /// One turn at one.
    async fn revoke(&self, revocation: &Revocation) -> Told {
        let outcome = async {
            let pause = pause(revocation.attempts).mul_f64(0.75 + 0.25 * self.random().unit());
            let next_at = self.clock().now().plus(pause);
            let mut tx = self.db().write().await?;
            let is_ours = tx.revocations().claim(revocation, next_at).await?;
            tx.commit().await?;
            if !is_ours {
                return Ok(Told::Pending);
            }
            let mut told = self.tell_provider(revocation).await;
            if matches!(told, Told::Pending) && revocation.attempts + 1 >= ATTEMPTS {
                told = Told::Unsupported;
            }
            if !matches!(told, Told::Pending) {
                let mut tx = self.db().write().await?;
                tx.revocations().delete(revocation).await?;
                tx.commit().await?;
                self.note_revocation(revocation, &told).await;
            }
            Ok::<_, StorageError>(told)
        };
        outcome.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "a revocation is left for later");
            Told::Pending
        })
    }

    /// The refresh token first: most providers end with it what came of it.
    async fn tell_provider(&self, revocation: &Revocation) -> Told {
        let plain = match self.credentials().open_plain(&revocation.credential).await {
            Ok(plain) => plain,
            Err(super::CredentialError::Unreadable) => return Told::Unsupported,
            Err(_) => return Told::Pending,
        };
        let Some(tokens) = plain.tokens.as_ref() else { return Told::Unsupported };
        let Some(endpoint) = tokens.revocation_endpoint() else { return Told::Unsupported };
        let client = self.client_to_revoke_as(revocation, tokens).await;
        for (hint, token) in tokens.to_revoke() {
            let form = [("token", token), ("token_type_hint", hint)];
            match self.send_form(endpoint, &client, &form).await {
                Ok(answer) if (200..300).contains(&answer.status) => {}
                // Of a kind that it takes no word of (section 2.2.1), or a client that it no longer knows.
                Ok(answer) if (400..500).contains(&answer.status) && ![408, 429].contains(&answer.status) => {
                    if hint == "refresh_token" || answer.status == 401 {
                        return Told::Unsupported;
                    }
                }
                Ok(_) => return Told::Pending,
                Err(switchboard_egress::EgressError::Refused(_)) => return Told::Unsupported,
                Err(error) => {
                    tracing::info!(%error, "a provider can't be told of a revocation yet");
                    return Told::Pending;
                }
            }
        }
        Told::Confirmed
    }

    /// With the secret or key of today, where the connection still has that client; else as it was then.
    async fn client_to_revoke_as(&self, revocation: &Revocation, tokens: &SealedTokens) -> UpstreamClient {
        let info = &revocation.credential.info;
        let found =
            async { self.db().single().await?.connections().find(info.organization, info.connection).await };
        let today = match found.await {
            Ok(Some(connection)) if connection.auth_type == AuthType::OAuth => {
                self.client_of_today(&connection, (tokens.client(), tokens.issuer())).await.ok().flatten()
            }
            _ => None,
        };
        today.unwrap_or_else(|| tokens.client())
    }

    async fn note_revocation(&self, revocation: &Revocation, told: &Told) {
        let info = &revocation.credential.info;
        let (outcome, code) = match told {
            Told::Confirmed => (AuditOutcome::Ok, None),
            _ => (AuditOutcome::Failed, Some("not_revoked_at_provider".to_owned())),
        };
        let record = AuditRecord {
            connection: Some(info.connection.to_string()),
            target: Some(info.connection.to_string()),
            credential: Some(match info.owner {
                CredentialOwner::Shared => "shared".into(),
                CredentialOwner::Member(member) => member.to_string(),
            }),
            outcome: Some(outcome),
            code,
            ..AuditRecord::default()
        };
        let now = self.clock().now();
        let event = audit::event(info.organization, now, AuditPhase::Event, "credential.revoke", record);
        self.audit().queue(event).await;
    }
}
