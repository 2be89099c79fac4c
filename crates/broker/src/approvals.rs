//! Calls that rules hold: asked for, decided by a person ([`crate::manage`]), run once.
//!
//! An approval is for one caller, one capability under one definition, exactly these arguments (the digest of their
//! canonical form), until it expires. It goes from `approved` to `used` in the database before the call, so that it
//! lets one call through however many try at once; a call that then fails has used it up all the same.

mod asking;
mod refusals;
mod sealed;
mod waiting;

use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use switchboard_catalog::canonical_form;
use switchboard_domain::{ApprovalId, ApprovalStatus, AuditRecord, CallError, CapabilityName, ErrorCode};
use switchboard_policy::{
    ApprovalRequirement, Arguments, ConsumedApproval, Decider, Decision, Permit, Purpose, Trace,
};
use switchboard_storage::{Approval, MemberStatus};

use crate::{
    Broker, CallContext, connection_catalog::Capability, snapshot::Known, surface::OnConnection, text,
};
use asking::Why;
use refusals::{changed_since, declined, does_not_fit, expired, too_large};

pub(crate) use asking::Asker;
pub(crate) use sealed::Asked;
pub(crate) use waiting::Waits;

/// How approvals are kept (setting `approval`).
#[derive(Debug, Clone, Copy)]
pub struct ApprovalSettings {
    /// From asking: within it somebody decides and the agent calls again.
    pub lifetime: Duration,
    /// How many calls of one caller may wait.
    pub max_waiting: u32,
    /// How long one that is over can still be looked at.
    pub kept: Duration,
    /// Of one call: more no person looks through.
    pub max_argument_bytes: u64,
    /// The longest that a call may wait for the decision, where its client asks for that; zero for never.
    pub max_wait: Duration,
}

impl Default for ApprovalSettings {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(3600),
            max_waiting: 50,
            kept: Duration::from_secs(30 * 24 * 3600),
            max_argument_bytes: 256 << 10,
            max_wait: Duration::from_secs(300),
        }
    }
}

/// A call that a rule holds.
#[derive(Debug)]
pub(crate) struct HeldCall<'h> {
    pub(crate) context: &'h CallContext,
    pub(crate) known: &'h Known,
    pub(crate) name: &'h CapabilityName,
    pub(crate) capability: &'h Capability,
    pub(crate) requirement: &'h ApprovalRequirement,
    pub(crate) trace: Trace,
    pub(crate) arguments: &'h Value,
    pub(crate) asked: Asked,
    /// What its entries in the audit log have in common.
    pub(crate) record: &'h AuditRecord,
}

impl Broker {
    /// The permit for a held call, by the approval that the caller names. What is missing is an error, and the call does
    /// not happen.
    pub(crate) async fn permit_approved(
        &self,
        held: &HeldCall<'_>,
        given: Option<&str>,
        on: &OnConnection<'_>,
    ) -> Result<Permit, CallError> {
        let approval = self.approved(held, given).await?;
        let purpose = Purpose::ExecuteApproved(&approval);
        let arguments = Arguments::Given(held.arguments);
        match on.execute(&held.name.name, held.capability, arguments, purpose) {
            Decision::Allow(permit) => Ok(permit),
            Decision::RequireApproval { .. } | Decision::Deny(_) => Err(does_not_fit(held.name, approval.id)),
        }
    }

    /// Uses up the approval that the caller names. Without one that fits, a person is asked.
    async fn approved(
        &self,
        held: &HeldCall<'_>,
        given: Option<&str>,
    ) -> Result<ConsumedApproval, CallError> {
        let most = self.settings().approval.max_argument_bytes;
        if held.asked.arguments.len() as u64 > most {
            return Err(too_large(held.name, most));
        }
        let digest = digest_of(&held.asked.arguments)?;
        let Some(given) = given else { return Err(self.ask(held, digest, Why::NONE).await) };
        let organization = held.context.principal.organization;
        let found = match given.parse::<ApprovalId>() {
            Ok(id) => self.find_approval(organization, id).await?,
            Err(_) => None,
        };
        // Somebody else's is as good as none.
        let own = found.filter(|approval| approval.requested_by == held.context.principal.caller);
        let Some(approval) = own else {
            return Err(self.ask(held, digest, Why::of("The approval you named is none of yours.")).await);
        };
        let instead = |why| Why { text: Some(why), instead_of: Some(approval.id) };
        let same_call = approval.connection == held.known.connection.id
            && approval.capability == held.name.to_string()
            && approval.kind == held.capability.kind
            && approval.arguments_digest == digest;
        if !same_call {
            let why = "The approval you named is for another call: an approval is for exactly the arguments \
                       that were shown.";
            return Err(self.ask(held, digest, instead(why)).await);
        }
        if approval.fingerprint != held.capability.fingerprint {
            return Err(changed_since(held.name));
        }
        match approval.status_at(self.clock().now()) {
            ApprovalStatus::Approved => {}
            ApprovalStatus::Pending => return Err(self.waits(held, &approval, None)),
            ApprovalStatus::Declined => return Err(declined(held.name, approval.id)),
            ApprovalStatus::Expired => return Err(expired(held.name, approval.id)),
            ApprovalStatus::Used => {
                let why = "The approval you named was used already: it lets one call through.";
                return Err(self.ask(held, digest, instead(why)).await);
            }
        }
        let Some(decided_by) = self.decider_of(&approval).await? else {
            let why = "Whoever approved it may not decide any more.";
            return Err(self.ask(held, digest, instead(why)).await);
        };
        if !held.requirement.admits(&decided_by, approval.requested_by) {
            let why = "The rules changed since: today somebody else has to approve it.";
            return Err(self.ask(held, digest, instead(why)).await);
        }
        self.use_up(held, &approval).await?;
        Ok(ConsumedApproval {
            id: approval.id,
            organization,
            requested_by: approval.requested_by,
            connection: approval.connection,
            capability: held.name.clone(),
            kind: approval.kind,
            decided_by,
        })
    }

    async fn find_approval(
        &self,
        organization: switchboard_domain::OrganizationId,
        id: ApprovalId,
    ) -> Result<Option<Approval>, CallError> {
        let found = async { self.db().single().await?.approvals().find(organization, id).await };
        found.await.map_err(|error| {
            tracing::error!(%error, "an approval can't be looked up");
            text::unavailable()
        })
    }

    /// Who approved it, with role and teams of today; `None` when they have left.
    async fn decider_of(&self, approval: &Approval) -> Result<Option<Decider>, CallError> {
        let Some(member) = approval.decided_by else { return Ok(None) };
        let found = async {
            let mut tx = self.db().read().await?;
            let found = tx.members().find(approval.organization, member).await?;
            let teams = tx.teams().of_member(approval.organization, member).await?;
            Ok::<_, switchboard_storage::StorageError>((found, teams))
        };
        let (found, teams) = found.await.map_err(|error| {
            tracing::error!(%error, "who approved a call can't be looked up");
            text::unavailable()
        })?;
        let found = found.filter(|member| member.status == MemberStatus::Active);
        Ok(found.map(|found| Decider { member, role: found.role, teams }))
    }

    /// From `approved` to `used`, with its entry in the audit log in the same transaction.
    async fn use_up(&self, held: &HeldCall<'_>, approval: &Approval) -> Result<(), CallError> {
        let now = self.clock().now();
        let used = async {
            let mut tx = self.db().write().await?;
            let used = tx.approvals().use_up(approval, now).await?;
            Ok::<_, switchboard_storage::StorageError>(used.then_some(tx))
        };
        let used = used.await.map_err(|error| {
            tracing::error!(%error, "an approval can't be used");
            text::unavailable()
        })?;
        // Another call was quicker, or it was declined or expired this moment.
        let Some(tx) = used else { return Err(expired(held.name, approval.id)) };
        let event = self.approval_event(held, approval, "approval.use");
        self.commit_recorded(tx, event).await.map_err(|_| text::unavailable())
    }
}

/// SHA-256 of the canonical form: white space and the order of members make no difference, anything else does.
pub(crate) fn digest_of(arguments: &str) -> Result<[u8; 32], CallError> {
    let canonical = canonical_form(arguments).map_err(|error| {
        CallError::new(ErrorCode::InvalidArguments, format!("`arguments` can't be read: {error}."))
    })?;
    Ok(Sha256::new().chain_update(b"switchboard arguments 1\0").chain_update(canonical).finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_arguments_say_counts() {
        let one = digest_of(r#"{"a":1,"b":[1,2]}"#).unwrap();
        assert_eq!(one, digest_of("{ \"b\" : [1, 2],\n\"a\": 1 }").unwrap());
        for other in [r#"{"a":1,"b":[2,1]}"#, r#"{"a":"1","b":[1,2]}"#, r#"{"a":1,"b":[1,2],"c":null}"#] {
            assert_ne!(one, digest_of(other).unwrap(), "{other}");
        }
        assert!(digest_of(r#"{"a":1,"a":2}"#).is_err(), "readers disagree about it");
    }
}
