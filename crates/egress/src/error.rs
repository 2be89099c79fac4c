//! What can go wrong on the way out, as the caller may know it.
//!
//! Everything the guard refuses is one error with one text: whoever supplies a URL must not learn from our
//! answers what lies inside the network (a port scan by error message). The reason goes to the operator's
//! log only. All other errors concern addresses that passed the guard, so they may be precise.

use std::time::Duration;

use switchboard_domain::Stage;

use crate::guard::Refused;

/// Why a certificate or handshake was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFailure {
    Expired,
    WrongHost,
    UnknownIssuer,
    /// No common version or cipher, or not TLS at all.
    Protocol,
    Other,
}

impl TlsFailure {
    const fn explanation(self) -> &'static str {
        match self {
            Self::Expired => "its certificate has expired or is not valid yet",
            Self::WrongHost => "its certificate is for another host",
            Self::UnknownIssuer => {
                "its certificate comes from an authority that is not trusted; the operator can add a private \
                 authority with `egress.extra_root_certificates`"
            }
            Self::Protocol => "the server does not speak a TLS version or cipher that is still safe",
            Self::Other => "the handshake failed",
        }
    }
}

/// An outbound exchange that did not work. Cheap to clone; holds no secret, no body and no header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the host name does not exist; check its spelling")]
    NameNotFound,
    #[error("the host name could not be looked up; the name servers did not answer, try again later")]
    NameResolutionFailed,
    #[error("the server refused the connection; nothing listens on this port or a firewall rejects it")]
    ConnectRefused,
    #[error("the server could not be reached; no network route leads to it")]
    ConnectFailed,
    #[error(
        "no connection within {within:?} (setting `{setting}`); the server or a firewall does not answer"
    )]
    ConnectTimeout { stage: Stage, setting: &'static str, within: Duration },
    #[error("the egress proxy did not open the connection{}", status.map_or(String::new(), |s| format!(": it answered {s}")))]
    ProxyFailed { status: Option<u16> },
    #[error("no secure connection to the server: {}", kind.explanation())]
    TlsFailed { kind: TlsFailure },
    #[error("the server sent no answer within {within:?} (setting `egress.limits.first_byte_timeout`)")]
    FirstByteTimeout { within: Duration, sent: bool },
    #[error("the server's answer stopped for {within:?} (setting `egress.limits.idle_timeout`)")]
    IdleTimeout { within: Duration },
    #[error("the exchange was not finished within {within:?} (setting `egress.limits.call_timeout`)")]
    DeadlineExceeded { within: Duration, sent: bool },
    #[error("the answer is larger than {limit} bytes (setting `{limit_name}`)")]
    BodyTooLarge { limit_name: &'static str, limit: u64 },
    #[error(
        "the answer has more than {count} header fields or {bytes} bytes of them (settings \
         `egress.limits.header_count`, `egress.limits.header_bytes`)"
    )]
    HeadersTooLarge { count: usize, bytes: u64 },
    #[error("the answer has a content coding other than gzip or more than one")]
    UnsupportedEncoding,
    #[error("the server redirects, which is not followed here; enter the address it redirects to")]
    RedirectRefused,
    #[error("the server closed the connection before the exchange was complete")]
    ConnectionLost { sent: bool },
    #[error("the server's answer is not valid HTTP")]
    Protocol { sent: bool },
}

impl EgressError {
    /// The step of a connection check that failed.
    pub const fn stage(&self) -> Stage {
        match self {
            Self::Refused(_) | Self::NameNotFound | Self::NameResolutionFailed => Stage::NameResolution,
            Self::ConnectRefused | Self::ConnectFailed | Self::ProxyFailed { .. } => Stage::Tcp,
            Self::ConnectTimeout { stage, .. } => *stage,
            Self::TlsFailed { .. } => Stage::Tls,
            _ => Stage::Http,
        }
    }

    /// A stable code for APIs, metrics and logs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "address_refused",
            Self::NameNotFound => "dns_not_found",
            Self::NameResolutionFailed => "dns_failed",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout { .. } => "connect_timeout",
            Self::ProxyFailed { .. } => "egress_proxy_failed",
            Self::TlsFailed { kind } => match kind {
                TlsFailure::Expired => "tls_certificate_expired",
                TlsFailure::WrongHost => "tls_wrong_host",
                TlsFailure::UnknownIssuer => "tls_unknown_issuer",
                TlsFailure::Protocol => "tls_protocol",
                TlsFailure::Other => "tls_failed",
            },
            Self::FirstByteTimeout { .. } => "first_byte_timeout",
            Self::IdleTimeout { .. } => "idle_timeout",
            Self::DeadlineExceeded { .. } => "deadline_exceeded",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::HeadersTooLarge { .. } => "headers_too_large",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::RedirectRefused => "redirect_refused",
            Self::ConnectionLost { .. } => "connection_lost",
            Self::Protocol { .. } => "http_protocol",
        }
    }

    /// Whether the upstream may have received and acted on the request. `false` is a promise: no byte of it
    /// left, so sending it again cannot run anything twice. `true` is the careful answer.
    pub const fn request_may_have_been_sent(&self) -> bool {
        match self {
            Self::Refused(_)
            | Self::NameNotFound
            | Self::NameResolutionFailed
            | Self::ConnectRefused
            | Self::ConnectFailed
            | Self::ConnectTimeout { .. }
            | Self::ProxyFailed { .. }
            | Self::TlsFailed { .. } => false,
            Self::FirstByteTimeout { sent, .. }
            | Self::DeadlineExceeded { sent, .. }
            | Self::ConnectionLost { sent }
            | Self::Protocol { sent } => *sent,
            Self::IdleTimeout { .. }
            | Self::BodyTooLarge { .. }
            | Self::HeadersTooLarge { .. }
            | Self::UnsupportedEncoding
            | Self::RedirectRefused => true,
        }
    }

    /// Whether the server was too slow rather than wrong or absent.
    pub const fn is_timeout(&self) -> bool {
        matches!(
            self,
            Self::ConnectTimeout { .. }
                | Self::FirstByteTimeout { .. }
                | Self::IdleTimeout { .. }
                | Self::DeadlineExceeded { .. }
        )
    }
}
