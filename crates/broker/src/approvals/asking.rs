//! Putting a held call before a person.

use serde_json::{Value, json};
use switchboard_domain::{
    ApprovalId, ApprovalStatus, AuditOutcome, AuditPhase, AuditRecord, CallError, DataKeyId, Principal,
    Proof, TokenId,
};
use switchboard_storage::{Approval, StorageError};
use switchboard_vault::seal;

use super::{HeldCall, refusals::too_many, sealed::context_of};
use crate::{Broker, audit, pipeline::actor_of, text};

/// Why the approval that was given is of no use, and which one that is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Why {
    pub(super) text: Option<&'static str>,
    pub(super) instead_of: Option<ApprovalId>,
}

impl Why {
    pub(super) const NONE: Self = Self { text: None, instead_of: None };

    pub(super) const fn of(text: &'static str) -> Self {
        Self { text: Some(text), instead_of: None }
    }
}

/// What somebody asks with, as far as it may not decide: the token that its line began with, and the registered client that
/// it was given to, or that one was made through. A person at the console asks with neither.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asker {
    pub(crate) token: Option<TokenId>,
    pub(crate) client: Option<String>,
}

impl Broker {
    /// A token that was made with another one is of its line.
    pub(crate) async fn asker(&self, principal: &Principal) -> Result<Asker, StorageError> {
        let Some(token) = principal.proof.token() else { return Ok(Asker::default()) };
        let client = match &principal.proof {
            Proof::Grant { client, .. } => Some(client.to_string()),
            _ => None,
        };
        let origin = self.db().single().await?.tokens().origin(principal.organization, token).await?;
        let (began, through) = origin.map_or((token, None), |origin| (origin.token, origin.client));
        Ok(Asker { token: Some(began), client: client.or(through) })
    }

    pub(super) fn approval_event(
        &self,
        held: &HeldCall<'_>,
        approval: &Approval,
        action: &'static str,
    ) -> switchboard_domain::AuditEvent {
        let record = AuditRecord {
            actor: Some(actor_of(held.context)),
            approval: Some(approval.id.to_string()),
            rule: approval.rule.clone(),
            outcome: Some(AuditOutcome::Ok),
            ..held.record.clone()
        };
        let now = self.clock().now();
        audit::event(approval.organization, now, AuditPhase::Event, action, record)
    }

    /// Asks a person, unless the very same call waits already. `why` says what was wrong with the approval that was
    /// given.
    pub(super) async fn ask(&self, held: &HeldCall<'_>, digest: [u8; 32], why: Why) -> CallError {
        match self.asked(held, digest, why.instead_of).await {
            Ok(approval) if approval.status == ApprovalStatus::Approved => {
                self.waits(held, &approval, Some("It is approved already."))
            }
            Ok(approval) => self.waits(held, &approval, why.text),
            Err(error) => error,
        }
    }

    async fn asked(
        &self,
        held: &HeldCall<'_>,
        digest: [u8; 32],
        instead_of: Option<ApprovalId>,
    ) -> Result<Approval, CallError> {
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "a call can't be put before a person");
            text::unavailable()
        };
        let organization = held.context.principal.organization;
        let caller = held.context.principal.caller;
        let key = self.data_keys().active(organization).await.map_err(|error| failed(&error))?;
        let asker = self.asker(&held.context.principal).await.map_err(|error| failed(&error))?;
        let mut approval = self.new_approval(held, digest, (asker, key.id))?;
        let plain = serde_json::to_vec(&held.asked).map_err(|error| failed(&error))?;
        approval.sealed = seal(&key.key, &context_of(&approval), &plain, self.random());
        let mut tx = self.db().write().await.map_err(|error| failed(&error))?;
        let same = tx.approvals().find_same(&approval).await.map_err(|error| failed(&error))?;
        // With other approvers it is another question.
        let fits = |same: &Approval| same.requirement == approval.requirement && instead_of != Some(same.id);
        if let Some(same) = same.into_iter().find(fits) {
            return Ok(same);
        }
        let now = approval.created_at;
        let waiting =
            tx.approvals().count_waiting(organization, caller, now).await.map_err(|error| failed(&error))?;
        let most = self.settings().approval.max_waiting;
        if waiting >= i64::from(most) {
            return Err(too_many(most));
        }
        tx.approvals().insert(&approval).await.map_err(|error| failed(&error))?;
        self.queue_event(&mut tx, organization, "approval.requested", &self.told_of(&approval))
            .await
            .map_err(|error| failed(&error))?;
        let event = self.approval_event(held, &approval, "approval.request");
        self.commit_recorded(tx, event).await.map_err(|_| text::unavailable())?;
        self.deliver_soon();
        metrics::counter!("switchboard_approvals_requested_total").increment(1);
        Ok(approval)
    }

    fn new_approval(
        &self,
        held: &HeldCall<'_>,
        digest: [u8; 32],
        (asker, data_key): (Asker, DataKeyId),
    ) -> Result<Approval, CallError> {
        let principal = &held.context.principal;
        let now = self.clock().now();
        Ok(Approval {
            id: ApprovalId::new(self.clock(), self.random()),
            organization: principal.organization,
            requested_by: principal.caller,
            token: asker.token,
            oauth_client: asker.client,
            client: held.record.client.clone().unwrap_or_default(),
            resource: held.context.resource.path(),
            connection: held.known.connection.id,
            capability: held.name.to_string(),
            kind: held.capability.kind,
            fingerprint: held.capability.fingerprint,
            arguments_digest: digest,
            rule: held.trace.source.map(|source| source.to_string()),
            requirement: serde_json::to_value(held.requirement).map_err(|_| text::unavailable())?,
            status: ApprovalStatus::Pending,
            created_at: now,
            expires_at: now.plus(self.settings().approval.lifetime),
            decided_by: None,
            decided_at: None,
            used_at: None,
            data_key,
            sealed: switchboard_vault::Sealed(Vec::new()),
        })
    }

    /// What a webhook is told: what it takes to find somebody who decides. What the call is about stays here.
    pub(crate) fn told_of(&self, approval: &Approval) -> Value {
        json!({
            "id": approval.id,
            "status": approval.status_at(self.clock().now()),
            "capability": approval.capability,
            "requested_by": approval.requested_by.to_string(),
            "client": approval.client,
            "resource": approval.resource,
            "rule": approval.rule,
            "approvers": approval.requirement,
            "expires_at": approval.expires_at,
            "decided_by": approval.decided_by,
            "url": self.approval_page(approval.id),
        })
    }
}
