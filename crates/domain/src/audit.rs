//! One record of one call or one change. A call has two entries, `started` and `completed`; a change has one,
//! `event`. Entries are chained per organization and writer by `storage`/`broker`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{OrganizationId, Timestamp, connection::words};

words!(AuditPhase {
    Started = "started",
    Completed = "completed",
    Event = "event",
});
words!(AuditOutcome {
    Ok = "ok",
    /// The upstream's own `isError`.
    ToolError = "tool_error",
    /// Refused by us: scope, grant, policy, pin, limits.
    Refused = "refused",
    /// A call that waits until a person lets it through: neither refused nor failed.
    Held = "held",
    /// Tried and failed.
    Failed = "failed",
});

/// What was done: `<noun>.<verb>`.
pub type AuditAction = &'static str;

/// What a use case says about itself; `audit` adds writer, sequence and hashes.
#[derive(Debug, Clone)]
pub struct AuditEvent {
    pub organization: OrganizationId,
    pub phase: AuditPhase,
    pub at: Timestamp,
    pub action: AuditAction,
    pub record: AuditRecord,
}

/// The body of an entry, in the order it is hashed. Never holds a secret; arguments only as a digest unless
/// the organization keeps them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditRecord {
    /// Both entries of one call carry it; errors show it as `reference_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// `{type, id, token}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Capability, member, token … the action is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The approval that was used up for the call, or that it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// What the organization's guardrail said before the call and about its result: `{before, after}`, each with
    /// `decision`, `reason` and `duration_ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guardrail: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<AuditOutcome>,
    /// Error code, when refused or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_bytes: Option<u64>,
    /// SHA-256 of the arguments as sent, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments_digest: Option<String>,
    /// The arguments, without what looks secret, where the organization keeps them: with the end of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Value>,
    /// Whose credential was used: `shared` or a member id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// The checked address that was dialled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_address: Option<String>,
    /// What changed, for events; secrets appear as `true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}
