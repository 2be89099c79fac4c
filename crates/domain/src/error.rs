//! What can go wrong with a call, as the caller is told: a code, who must act, what to do, when to retry.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::connection::words;

words!(
    /// Stable codes of `execute_capability` (see `docs/reference/errors.md`).
    ErrorCode {
        UnknownCapability = "unknown_capability",
        InsufficientScope = "insufficient_scope",
        NeedsConnection = "needs_connection",
        ReauthRequired = "reauth_required",
        PolicyBlocked = "policy_blocked",
        ApprovalRequired = "approval_required",
        ApprovalDeclined = "approval_declined",
        ApprovalExpired = "approval_expired",
        InvalidArguments = "invalid_arguments",
        CapabilityChanged = "capability_changed",
        ConnectionDisabled = "connection_disabled",
        ExcludedByMode = "excluded_by_mode",
        NotSelected = "not_selected",
        UpstreamUnreachable = "upstream_unreachable",
        UpstreamTimeout = "upstream_timeout",
        UpstreamError = "upstream_error",
        ResponseTooLarge = "response_too_large",
        RateLimited = "rate_limited",
        /// Ours: a store or key was unavailable, so the call was refused.
        Unavailable = "unavailable",
    }
);
words!(
    /// Who can put it right.
    Actor {
        Member = "member",
        OrganizationAdmin = "organization_admin",
        Provider = "provider",
        Operator = "operator",
    }
);
words!(ActionType {
    Connect = "connect",
    Reconnect = "reconnect",
    Configure = "configure",
    Enable = "enable",
    Approve = "approve",
    Review = "review",
    Retry = "retry",
    Search = "search",
    Contact = "contact",
});

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    #[serde(rename = "type")]
    pub kind: ActionType,
    pub label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What to call again afterwards, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// The tool to call again, with the same arguments unless `message` says otherwise.
    pub tool: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_seconds: Option<u64>,
}

/// A refused or failed call, as the surfaces show it. The message never holds a secret or a raw upstream text.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code:?}: {message}")]
pub struct CallError {
    pub code: ErrorCode,
    pub message: String,
    pub retryable: bool,
    pub actor: Option<Actor>,
    pub action: Option<Action>,
    pub retry: Option<Retry>,
    /// Code-specific facts: `suggestions`, `violations`, `approval_id`, `retry_after` …
    pub details: Option<Value>,
}

impl CallError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable: false,
            actor: None,
            action: None,
            retry: None,
            details: None,
        }
    }

    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    #[must_use]
    pub fn actor(mut self, actor: Actor) -> Self {
        self.actor = Some(actor);
        self
    }

    #[must_use]
    pub fn action(mut self, kind: ActionType, label: impl Into<String>, url: Option<String>) -> Self {
        self.action = Some(Action { kind, label: label.into(), url });
        self
    }

    #[must_use]
    pub fn retry(mut self, tool: &str, after_seconds: Option<u64>) -> Self {
        self.retry = Some(Retry { tool: tool.into(), after_seconds });
        self
    }

    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }
}
