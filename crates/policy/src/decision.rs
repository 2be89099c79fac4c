//! Answers, and why.

use std::fmt;

use switchboard_domain::{CapabilityState, ErrorCode, Scope};

use crate::{approval::ApprovalRequirement, permit::Permit, rule::RuleAction, set::Layer};

/// What decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// A rule; `index` counts from 0.
    Rule { layer: Layer, index: u32 },
    /// The organization's setting that holds capabilities which call themselves destructive.
    HoldDestructive,
}

/// `organization/3`: the list and the position in it, counted from 1.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { layer, index } => write!(f, "{layer}/{}", u64::from(*index) + 1),
            Self::HoldDestructive => f.write_str("organization/hold_destructive"),
        }
    }
}

/// How the rules came to their answer, for the audit record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    pub action: RuleAction,
    /// `None` when no rule matched.
    pub source: Option<Source>,
}

/// The answer to an execute.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    Allow(Permit),
    /// A person has to approve first; [`Trace::source`] is the first of the strictest rules.
    RequireApproval {
        requirement: ApprovalRequirement,
        trace: Trace,
    },
    Deny(Reason),
}

/// Why not. From outside, several of these look alike ([`Reason::error_code`]); the audit log keeps them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No grant reaches the caller, or it is another organization's, or somebody else's personal connection.
    NotGranted,
    /// The connection is not published yet, and the caller is no admin.
    Staged,
    /// This endpoint or this token does not include it.
    NotOffered,
    /// The connection's allow and deny lists leave it out.
    Filtered,
    /// The upstream no longer lists it.
    Gone,
    /// The definition is not the approved one: held for review, or rejected.
    Changed(CapabilityState),
    /// The connection is switched off.
    Disabled,
    /// Not allowed in plan mode.
    ExcludedByMode,
    /// Not in this session's selection.
    NotSelected,
    /// A rule blocks it.
    Blocked { source: Source },
    /// The token lacks this scope.
    InsufficientScope { needed: Scope },
    /// A service account on a connection where each member has an account of their own.
    NoAccount,
}

impl Reason {
    /// Whether the caller may not even know that there is such a connection.
    pub const fn hides_connection(&self) -> bool {
        matches!(self, Self::NotGranted | Self::Staged)
    }

    /// The code the caller sees. Unknown and forbidden look alike.
    pub const fn error_code(self) -> ErrorCode {
        match self {
            Self::NotGranted | Self::Staged | Self::NotOffered | Self::Filtered | Self::Gone => {
                ErrorCode::UnknownCapability
            }
            Self::Changed(_) => ErrorCode::CapabilityChanged,
            Self::Disabled => ErrorCode::ConnectionDisabled,
            Self::ExcludedByMode => ErrorCode::ExcludedByMode,
            Self::NotSelected => ErrorCode::NotSelected,
            Self::Blocked { .. } => ErrorCode::PolicyBlocked,
            Self::InsufficientScope { .. } => ErrorCode::InsufficientScope,
            Self::NoAccount => ErrorCode::NeedsConnection,
        }
    }

    /// The word in the audit record, which tells apart what looks alike outside.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotGranted => "not_granted",
            Self::Staged => "staged",
            Self::NotOffered => "not_offered",
            Self::Filtered => "filtered",
            Self::Gone => "gone",
            Self::Changed(_) => "changed",
            Self::Disabled => "disabled",
            Self::ExcludedByMode => "excluded_by_mode",
            Self::NotSelected => "not_selected",
            Self::Blocked { .. } => "blocked",
            Self::InsufficientScope { .. } => "insufficient_scope",
            Self::NoAccount => "no_account",
        }
    }
}

/// One sentence for people who may know (admins, the audit log); callers get the sentence of the error code.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGranted => f.write_str("no grant of the connection reaches the caller"),
            Self::Staged => f.write_str("the connection is staged: for admins only, until it is published"),
            Self::NotOffered => f.write_str("this endpoint or this token does not include the capability"),
            Self::Filtered => f.write_str("the connection's allow and deny lists leave the capability out"),
            Self::Gone => f.write_str("the upstream no longer lists the capability"),
            Self::Changed(CapabilityState::Rejected) => f.write_str("an admin rejected the capability's definition"),
            Self::Changed(_) => f.write_str("the capability's definition changed and waits for an admin's review"),
            Self::Disabled => f.write_str("the connection is switched off"),
            Self::ExcludedByMode => f.write_str("the connection is not allowed in plan mode"),
            Self::NotSelected => f.write_str("the connection is not in this session's selection"),
            Self::Blocked { source } => write!(f, "a rule blocks it ({source})"),
            Self::InsufficientScope { needed } => write!(f, "the token lacks the scope {needed}"),
            Self::NoAccount => f.write_str(
                "each member uses this connection with an account of their own, and a service account has none",
            ),
        }
    }
}
