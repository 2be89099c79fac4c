//! What can go wrong between us and an upstream, and how a caller is told.

use std::time::Duration;

use switchboard_domain::{ActionType, Actor, CallError, ErrorCode, SecretValue, Stage};
use switchboard_egress::EgressError;
use switchboard_mcp::ErrorObject;

use crate::redact::redact_text;

/// Why a request to an upstream has no result.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The connection or exchange failed below MCP.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// It did not answer within the call's deadline.
    #[error("no answer within {} s (limit `{limit}`)", after.as_secs())]
    Timeout { after: Duration, limit: &'static str },
    /// It answered 401 or 403.
    #[error("it refused our credential (HTTP {status})")]
    Unauthorized { status: u16, challenge: Option<String> },
    /// Another HTTP status without a JSON-RPC answer.
    #[error("it answered HTTP {status}")]
    Http { status: u16, retry_after: Option<u64> },
    /// A JSON-RPC error.
    #[error("it answered error {}: {}", .0.code, .0.message)]
    Rpc(ErrorObject),
    /// It does not speak the protocol as it must.
    #[error("it broke the protocol: {0}")]
    Protocol(String),
    /// An answer above our limit.
    #[error("its answer is larger than {limit} bytes (limit `{name}`)")]
    TooLarge { name: &'static str, limit: u64 },
    /// A legacy session ended; nothing was executed.
    #[error("its session ended")]
    SessionExpired,
    /// The connection or child process went away.
    #[error("the connection to it was lost: {reason}")]
    Closed { reason: String, may_have_run: bool },
    /// Too many calls at once; nothing was sent.
    #[error("too many calls are waiting for it (limit `upstream.max_queued`)")]
    Busy,
    /// It failed several times in a row; nothing was sent.
    #[error("it failed several times in a row; the next try is in {} s", retry_after.as_secs().max(1))]
    BreakerOpen { retry_after: Duration },
    /// The operator's configuration does not allow it.
    #[error("{0}")]
    NotAllowed(String),
}

impl UpstreamError {
    /// Whether a tool may have been executed all the same, so that nothing may be sent again.
    pub fn may_have_run(&self) -> bool {
        match self {
            Self::Egress(error) => error.request_may_have_been_sent(),
            Self::Closed { may_have_run, .. } => *may_have_run,
            Self::SessionExpired | Self::Busy | Self::BreakerOpen { .. } | Self::NotAllowed(_) => false,
            _ => true,
        }
    }

    /// Whether this says that the upstream itself is unwell: what trips the breaker. A refusal is an answer, and so is
    /// a 500: one member's arguments may cause it, and must not close the connection for the others. A gateway's 502,
    /// 503 and 504 say that nobody is behind it.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Egress(
                EgressError::Refused(_)
                | EgressError::BodyTooLarge { .. }
                | EgressError::HeadersTooLarge { .. }
                | EgressError::UnsupportedEncoding
                | EgressError::RedirectRefused,
            ) => false,
            Self::Egress(_) | Self::Timeout { .. } | Self::Closed { .. } => true,
            Self::Http { status, .. } => matches!(status, 502..=504),
            _ => false,
        }
    }

    /// Whether nothing of the request left, for a reason that a look at the connection would find as well.
    pub(crate) fn never_got_there(&self) -> bool {
        match self {
            Self::Egress(error) => matches!(error.stage(), Stage::NameResolution | Stage::Tcp | Stage::Tls),
            Self::Closed { may_have_run, .. } => !may_have_run,
            Self::NotAllowed(_) => true,
            _ => false,
        }
    }

    /// Without our credential, where it quotes the upstream.
    #[must_use]
    pub(crate) fn without(self, secrets: &[SecretValue]) -> Self {
        match self {
            Self::Rpc(mut error) => {
                error.message = redact_text(&error.message, secrets);
                error.data = None;
                Self::Rpc(error)
            }
            Self::Protocol(text) => Self::Protocol(redact_text(&text, secrets)),
            Self::Closed { reason, may_have_run } => {
                Self::Closed { reason: redact_text(&reason, secrets), may_have_run }
            }
            other => other,
        }
    }

    /// The stage of a check that this failure belongs to.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Egress(error) => error.stage(),
            Self::Unauthorized { .. } => Stage::Auth,
            Self::Http { .. } | Self::Timeout { .. } => Stage::Http,
            _ => Stage::Mcp,
        }
    }

    /// A stable code for states and diagnoses.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Egress(error) => error.code(),
            Self::Timeout { .. } => "timeout",
            Self::Unauthorized { .. } => "credential_refused",
            Self::Http { status: 429, .. } => "upstream_rate_limited",
            Self::Http { status: 500.., .. } => "http_server_error",
            Self::Http { .. } => "http_error",
            Self::Rpc(_) => "mcp_error",
            Self::Protocol(_) => "protocol_error",
            Self::TooLarge { .. } => "response_too_large",
            Self::SessionExpired => "session_expired",
            Self::Closed { .. } => "connection_lost",
            Self::Busy => "too_many_calls",
            Self::BreakerOpen { .. } => "circuit_open",
            Self::NotAllowed(_) => "not_allowed",
        }
    }

    /// The error as `execute_capability` answers it. `connection` is the connection's display name.
    pub fn to_call_error(&self, connection: &str, console_url: Option<String>) -> CallError {
        let say = |code, message: String| CallError::new(code, message);
        match self {
            Self::Egress(EgressError::Refused(_)) => say(
                ErrorCode::UpstreamUnreachable,
                format!(
                    "{connection} can't be reached: its address is not allowed by this server's network rules. Private \
                     networks are open when Switchboard was started with --allow-private-networks."
                ),
            )
            .actor(Actor::Operator)
            .action(ActionType::Contact, "Ask the operator of Switchboard to look at its network rules", None),
            Self::NotAllowed(why) => {
                say(ErrorCode::UpstreamUnreachable, format!("{connection} can't be used: {why}."))
                    .actor(Actor::Operator)
                    .action(ActionType::Contact, "Ask the operator of Switchboard to allow it", None)
            }
            Self::Timeout { .. } | Self::Egress(EgressError::FirstByteTimeout { .. } | EgressError::IdleTimeout { .. }) => say(
                ErrorCode::UpstreamTimeout,
                format!("{connection} did not answer in time: {self}. It may have carried out the call."),
            )
            .actor(Actor::Provider)
            .action(ActionType::Retry, "Check whether it was carried out before trying again", None),
            Self::TooLarge { .. } | Self::Egress(EgressError::BodyTooLarge { .. }) => say(
                ErrorCode::ResponseTooLarge,
                format!("The answer of {connection} is too large: {self}. Ask for less, for example with a filter or a page size."),
            )
            .actor(Actor::Member),
            Self::Unauthorized { .. } => say(
                ErrorCode::ReauthRequired,
                format!("{connection} refused the credential that Switchboard has for it."),
            )
            .actor(Actor::OrganizationAdmin)
            .action(ActionType::Reconnect, format!("Give {connection} a new credential"), console_url)
            .retry("execute_capability", None),
            Self::Http { status: 429, retry_after } => {
                let wait = retry_after.unwrap_or(30);
                say(ErrorCode::RateLimited, format!("{connection} limits how often it is called; try again in {wait} s."))
                    .retryable()
                    .actor(Actor::Provider)
                    .retry("execute_capability", Some(wait))
                    .details(serde_json::json!({ "retry_after": wait }))
            }
            Self::Busy => say(ErrorCode::RateLimited, format!("{connection}: {self}."))
                .retryable()
                .actor(Actor::Member)
                .retry("execute_capability", Some(1))
                .details(serde_json::json!({ "retry_after": 1 })),
            Self::BreakerOpen { retry_after } => {
                let wait = retry_after.as_secs().max(1);
                say(ErrorCode::UpstreamUnreachable, format!("{connection} is not well: {self}."))
                    .retryable()
                    .actor(Actor::Provider)
                    .retry("execute_capability", Some(wait))
            }
            Self::Rpc(error) => say(
                ErrorCode::UpstreamError,
                format!("{connection} answered an error ({}): {}", error.code, plain(&error.message)),
            )
            .actor(Actor::Provider)
            .details(serde_json::json!({ "upstream_code": error.code })),
            Self::Protocol(_) | Self::Http { .. } => {
                say(ErrorCode::UpstreamError, format!("{connection} failed: {}.", plain(&self.to_string())))
                    .actor(Actor::Provider)
            }
            Self::Egress(_) | Self::Closed { .. } | Self::SessionExpired => {
                let after = if self.may_have_run() { " It may have carried out the call." } else { "" };
                let error = say(
                    ErrorCode::UpstreamUnreachable,
                    format!("{connection} can't be reached: {}.{after}", plain(&self.to_string())),
                )
                .actor(Actor::Provider);
                if self.may_have_run() {
                    error.action(ActionType::Retry, "Check whether it was carried out before trying again", None)
                } else {
                    error.retryable().retry("execute_capability", Some(5))
                }
            }
        }
    }
}

/// Text of an upstream made safe to pass on: one line, no control or invisible characters, bounded.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(1000));
    for character in text.chars().take(1000) {
        match character {
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control() => {}
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {}
            '\u{e0000}'..='\u{e007f}' => {}
            c => out.push(c),
        }
    }
    out
}
