//! The states of a connection: the same word in API, command line, console and MCP errors, each with a
//! reason code, one sentence, an action and whoever must take it.

use serde::{Deserialize, Serialize};

use crate::{Action, Actor, Timestamp, connection::words};

words!(ConnectionStatus {
    SetupIncomplete = "setup_incomplete",
    Checking = "checking",
    NeedsClient = "needs_client",
    NeedsConnection = "needs_connection",
    Authorizing = "authorizing",
    /// Its tools were listed.
    Connected = "connected",
    Degraded = "degraded",
    ReauthRequired = "reauth_required",
    Unreachable = "unreachable",
    Error = "error",
    Disabled = "disabled",
    /// By the operator's host rules.
    Blocked = "blocked",
});

impl ConnectionStatus {
    /// Whether calls are worth trying: a slow or failing upstream is tried (its breaker decides), one that
    /// lacks something is not.
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Connected | Self::Degraded | Self::Unreachable | Self::Error | Self::Checking)
    }
}

/// A status with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub status: ConnectionStatus,
    /// A stable code, such as `dns_not_found` or `api_key_missing`.
    pub reason: Option<String>,
    /// One sentence: what happened and what to do.
    pub message: Option<String>,
    pub since: Timestamp,
    pub checked_at: Option<Timestamp>,
    pub diagnosis: Option<Diagnosis>,
}

impl Status {
    pub fn new(status: ConnectionStatus, since: Timestamp) -> Self {
        Self { status, reason: None, message: None, since, checked_at: None, diagnosis: None }
    }
}

words!(
    /// The steps of a check, in order.
    Stage {
        NameResolution = "name_resolution",
        Tcp = "tcp",
        Tls = "tls",
        Http = "http",
        Auth = "auth",
        Mcp = "mcp",
        Tools = "tools",
    }
);

/// What a check found: the highest stage that worked, what stopped it, who must act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Highest stage reached; `None` when not even the name resolved.
    pub reached: Option<Stage>,
    /// The stage that failed; `None` when all passed.
    pub failed: Option<Stage>,
    /// Stable code of the failure.
    pub reason: Option<String>,
    pub message: String,
    pub actor: Option<Actor>,
    pub action: Option<Action>,
    /// Milliseconds the whole check took.
    pub duration_ms: u64,
}
