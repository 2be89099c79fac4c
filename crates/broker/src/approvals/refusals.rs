//! What an agent is told about a held call: whom to ask and where, or that it is over.

use serde_json::json;
use switchboard_domain::{
    ActionType, Actor, ApprovalId, ApprovalStatus, CallError, Caller, CapabilityName, ErrorCode,
};
use switchboard_policy::ApprovalRequirement;
use switchboard_storage::Approval;

use super::HeldCall;
use crate::Broker;

impl Broker {
    /// What the agent is told: whom to ask, where, and how to go on.
    pub(super) fn waits(&self, held: &HeldCall<'_>, approval: &Approval, why: Option<&str>) -> CallError {
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

    /// Where a person decides.
    pub(crate) fn approval_page(&self, id: ApprovalId) -> String {
        format!("{}/approvals/{id}", self.public_url().as_str().trim_end_matches('/'))
    }
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

pub(super) fn too_many(most: u32) -> CallError {
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

pub(super) fn changed_since(name: &CapabilityName) -> CallError {
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

pub(super) fn declined(name: &CapabilityName, id: ApprovalId) -> CallError {
    CallError::new(
        ErrorCode::ApprovalDeclined,
        format!("A person declined this call of {name}. Don't call it again; ask what to do instead."),
    )
    .actor(Actor::Member)
    .details(json!({ "approval_id": id }))
}

pub(super) fn too_large(name: &CapabilityName, most: u64) -> CallError {
    CallError::new(
        ErrorCode::InvalidArguments,
        format!(
            "A rule wants a person to approve {name}, and nobody looks through arguments of more than {most} bytes (limit \
             `approval.max_argument_bytes`). Send less at once."
        ),
    )
    .actor(Actor::Member)
}

/// What was approved is no longer what would run: the rules changed between two looks at them.
pub(super) fn does_not_fit(name: &CapabilityName, id: ApprovalId) -> CallError {
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

pub(super) fn expired(name: &CapabilityName, id: ApprovalId) -> CallError {
    CallError::new(
        ErrorCode::ApprovalExpired,
        format!("The approval of this call of {name} is over. Call without approval_id to ask anew."),
    )
    .actor(Actor::Member)
    .retry("execute_capability", None)
    .details(json!({ "approval_id": id }))
}
