//! Telling an identity provider that a member's tokens are over (RFC 7009), where its metadata says how. Nobody waits for
//! it: the transaction that ended the membership queued them sealed, and they are tried again until the provider answers.

use serde_json::json;
use switchboard_domain::{AuditOutcome, AuditPhase, AuditRecord, OrganizationId};
use switchboard_storage::{IdentityRevocation, StorageError};

use super::{SignInError, protocol::Known};
use crate::{
    Broker, audit,
    credentials::{
        CredentialError,
        revocation::{ATTEMPTS, pause},
    },
};

const BATCH: u32 = 100;

/// How it ended. What has no end yet is tried again.
enum Ended {
    Revoked,
    /// The provider takes no word of it, or is no longer ours to ask.
    Unsupported,
}

impl Broker {
    pub(crate) async fn revoke_due_identities(
        &self,
        organization: OrganizationId,
    ) -> Result<(), StorageError> {
        let now = self.clock().now();
        let all = self.db().single().await?.identity_revocations().due(organization, now, BATCH).await?;
        for due in &all {
            self.revoke_identity(due).await?;
        }
        Ok(())
    }

    async fn revoke_identity(&self, due: &IdentityRevocation) -> Result<(), StorageError> {
        let pause = pause(due.attempts).mul_f64(0.75 + 0.25 * self.random().unit());
        let mut tx = self.db().write().await?;
        let is_ours = tx.identity_revocations().claim(due, self.clock().now().plus(pause)).await?;
        tx.commit().await?;
        if !is_ours {
            return Ok(());
        }
        let ended = match self.tell_identity_provider(due).await {
            Ok(ended) => ended,
            Err(error) if due.attempts + 1 < ATTEMPTS => {
                tracing::info!(%error, "an identity provider can't be told yet that tokens are over");
                return Ok(());
            }
            Err(_) => Ended::Unsupported,
        };
        let mut tx = self.db().write().await?;
        tx.identity_revocations().delete(due).await?;
        tx.commit().await?;
        self.note_identity_revocation(due, &ended).await;
        Ok(())
    }

    async fn tell_identity_provider(&self, due: &IdentityRevocation) -> Result<Ended, SignInError> {
        let Some(known) = self.issuer_of(due).await? else { return Ok(Ended::Unsupported) };
        let tokens = match self.open_revoked(due).await {
            Ok(tokens) => tokens,
            Err(CredentialError::Unreadable) => return Ok(Ended::Unsupported),
            Err(_) => return Err(SignInError::Unavailable),
        };
        let mut ended = Ended::Unsupported;
        for (kind, token) in tokens {
            match self.providers().revoke(&known, kind, &token).await {
                Ok(Some(true)) => ended = Ended::Revoked,
                // Of a kind that it takes no word of (section 2.2.1).
                Ok(Some(false)) => {}
                Ok(None) | Err(SignInError::Untrusted(_)) => return Ok(Ended::Unsupported),
                Err(error) => return Err(error),
            }
        }
        Ok(ended)
    }

    /// The provider that issued the tokens: never another that took its place.
    async fn issuer_of(&self, due: &IdentityRevocation) -> Result<Option<Known>, SignInError> {
        let mut tx = self.db().single().await?;
        let found = tx.identity_providers().find(due.organization, due.provider).await?;
        drop(tx);
        match found.filter(|provider| provider.issuer == due.issuer) {
            Some(provider) => self.known(provider).await.map(Some),
            None => Ok(None),
        }
    }

    async fn note_identity_revocation(&self, due: &IdentityRevocation, ended: &Ended) {
        let (outcome, code) = match ended {
            Ended::Revoked => (AuditOutcome::Ok, None),
            Ended::Unsupported => (AuditOutcome::Failed, Some("not_revoked_at_provider".to_owned())),
        };
        let record = AuditRecord {
            target: Some(due.member.to_string()),
            outcome: Some(outcome),
            code,
            details: Some(json!({ "identity_provider": due.provider, "issuer": due.issuer })),
            ..AuditRecord::default()
        };
        let now = self.clock().now();
        let event = audit::event(due.organization, now, AuditPhase::Event, "identity.revoke", record);
        self.audit().queue(event).await;
    }
}
