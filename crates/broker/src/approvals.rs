//! Calls that rules hold: asked for, decided by a person ([`crate::manage`]), run once.
//!
//! An approval is for one caller, one capability under one definition, exactly these arguments (the digest of their
//! canonical form), until it expires. It goes from `approved` to `used` in the database before the call, so that it
//! lets one call through however many try at once; a call that then fails has used it up all the same.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use switchboard_catalog::canonical_form;
use switchboard_domain::{
    ActionType, Actor, ApprovalId, ApprovalStatus, AuditOutcome, AuditPhase, AuditRecord, CallError, Caller,
    CapabilityName, DataKeyId, ErrorCode, Proof,
};
use switchboard_policy::{
    ApprovalRequirement, Arguments, ConsumedApproval, Decider, Decision, Permit, Purpose, Trace,
};
use switchboard_storage::{Approval, MemberStatus};
use switchboard_vault::{SealContext, open, seal};

use crate::{
    Broker, CallContext, audit,
    pipeline::actor_of,
    snapshot::{Capability, Known},
    surface::OnConnection,
    text,
};

/// How approvals are kept (setting `approval`).
#[derive(Debug, Clone, Copy)]
pub struct ApprovalSettings {
    /// From asking: within it somebody decides and the agent calls again.
    pub lifetime: Duration,
    /// How many calls of one caller may wait.
    pub max_waiting: u32,
    /// How long one that is over can still be looked at.
    pub kept: Duration,
}

impl Default for ApprovalSettings {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(3600),
            max_waiting: 50,
            kept: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// What a person has to see and a database need not: sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// JSON, as sent.
    pub(crate) arguments: String,
    pub(crate) intent: Option<String>,
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

/// Why the approval that was given is of no use, and which one that is.
#[derive(Debug, Clone, Copy)]
struct Why {
    text: Option<&'static str>,
    instead_of: Option<ApprovalId>,
}

impl Why {
    const NONE: Self = Self { text: None, instead_of: None };

    const fn of(text: &'static str) -> Self {
        Self { text: Some(text), instead_of: None }
    }
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

    fn approval_event(
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
    async fn ask(&self, held: &HeldCall<'_>, digest: [u8; 32], why: Why) -> CallError {
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
        let mut approval = self.new_approval(held, digest, key.id)?;
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
        data_key: DataKeyId,
    ) -> Result<Approval, CallError> {
        let principal = &held.context.principal;
        let now = self.clock().now();
        Ok(Approval {
            id: ApprovalId::new(self.clock(), self.random()),
            organization: principal.organization,
            requested_by: principal.caller,
            token: principal.proof.token(),
            oauth_client: match &principal.proof {
                Proof::Grant { client, .. } => Some(client.to_string()),
                _ => None,
            },
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

    /// What the agent is told: whom to ask, where, and how to go on.
    fn waits(&self, held: &HeldCall<'_>, approval: &Approval, why: Option<&str>) -> CallError {
        let url = self.approval_page(approval.id);
        let who = whom(held.requirement, approval.requested_by);
        let why = why.map_or_else(String::new, |why| format!("{why} "));
        let message = match approval.status {
            ApprovalStatus::Approved => {
                format!("{why}Call again with the same arguments and approval_id \"{}\".", approval.id)
            }
            _ => format!(
                "{why}A rule wants {who} to approve {} first. Give them this address: {url} Once it is approved, call \
                 again with the same arguments and approval_id \"{}\".",
                held.name, approval.id
            ),
        };
        CallError::new(ErrorCode::ApprovalRequired, message)
            .retryable()
            .actor(actor_for(held.requirement, approval.requested_by))
            .action(ActionType::Approve, format!("Approve {}", held.name), Some(url))
            .retry("execute_capability", None)
            .details(json!({
                "approval_id": approval.id,
                "status": approval.status_at(self.clock().now()),
                "expires_at": approval.expires_at,
            }))
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

    /// Where a person decides.
    pub(crate) fn approval_page(&self, id: ApprovalId) -> String {
        format!("{}/approvals/{id}", self.public_url().as_str().trim_end_matches('/'))
    }

    /// Arguments and intent of a stored one.
    pub(crate) async fn open_approval(&self, approval: &Approval) -> Option<Asked> {
        let key = self.data_keys().by_id(approval.organization, approval.data_key).await.ok()??;
        let plain = open(&key.key, &context_of(approval), &approval.sealed).map_err(|error| {
            tracing::error!(approval = %approval.id, %error, "what an approval is for can't be opened");
        });
        serde_json::from_slice(&plain.ok()?).ok()
    }
}

/// Everything here is authenticated by the envelope: a sealed text moved to another row, or beside another digest by
/// way of its row, does not open.
fn context_of(approval: &Approval) -> SealContext {
    SealContext {
        organization: approval.organization,
        table: "approval",
        row: approval.id.as_uuid(),
        owner: match approval.requested_by {
            Caller::Member(member) => Some(member.as_uuid()),
            Caller::ServiceAccount(account) => Some(account.as_uuid()),
        },
        field: "sealed",
        version: 1,
    }
}

/// SHA-256 of the canonical form: white space and the order of members make no difference, anything else does.
pub(crate) fn digest_of(arguments: &str) -> Result<[u8; 32], CallError> {
    let canonical = canonical_form(arguments).map_err(|error| {
        CallError::new(ErrorCode::InvalidArguments, format!("`arguments` can't be read: {error}."))
    })?;
    Ok(Sha256::new().chain_update(b"switchboard arguments 1\0").chain_update(canonical).finalize().into())
}

fn whom(requirement: &ApprovalRequirement, requested_by: Caller) -> &'static str {
    let second = requirement.second_person;
    match (requirement.admin, requirement.teams.is_empty(), requested_by) {
        (true, true, _) if second => "an admin other than you",
        (true, true, _) | (false, true, Caller::ServiceAccount(_)) => "an admin",
        (false, true, Caller::Member(_)) => "you",
        (_, false, _) if second => "somebody else of a certain team",
        (_, false, _) => "somebody of a certain team",
    }
}

fn actor_for(requirement: &ApprovalRequirement, requested_by: Caller) -> Actor {
    match requested_by {
        Caller::Member(_) if !requirement.admin => Actor::Member,
        _ => Actor::OrganizationAdmin,
    }
}

fn too_many(most: u32) -> CallError {
    CallError::new(
        ErrorCode::RateLimited,
        format!(
            "{most} calls of yours wait for an approval already (limit `approval.max_waiting`). Have some of them \
             decided first."
        ),
    )
    .actor(Actor::Member)
    .details(json!({ "retry_after": 60 }))
    .retry("execute_capability", Some(60))
}

fn changed_since(name: &CapabilityName) -> CallError {
    CallError::new(
        ErrorCode::CapabilityChanged,
        format!(
            "The definition of {name} is another one than when this call was approved. Search again, then call without \
             approval_id to ask anew."
        ),
    )
    .actor(Actor::Member)
    .retry("search_capabilities", None)
}

fn declined(name: &CapabilityName, id: ApprovalId) -> CallError {
    CallError::new(
        ErrorCode::ApprovalDeclined,
        format!("A person declined this call of {name}. Don't call it again; ask what to do instead."),
    )
    .actor(Actor::Member)
    .details(json!({ "approval_id": id }))
}

/// What was approved is no longer what would run: the rules changed between two looks at them.
fn does_not_fit(name: &CapabilityName, id: ApprovalId) -> CallError {
    CallError::new(
        ErrorCode::ApprovalExpired,
        format!(
            "The rules changed while {name} was called, so its approval is over. Call without approval_id."
        ),
    )
    .actor(Actor::Member)
    .retry("execute_capability", None)
    .details(json!({ "approval_id": id }))
}

fn expired(name: &CapabilityName, id: ApprovalId) -> CallError {
    CallError::new(
        ErrorCode::ApprovalExpired,
        format!("The approval of this call of {name} is over. Call without approval_id to ask anew."),
    )
    .actor(Actor::Member)
    .retry("execute_capability", None)
    .details(json!({ "approval_id": id }))
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
