//! Every bound on what leaves and what comes back: its default, its setting and its name in errors.
//!
//! The defaults follow what real MCP servers need (one of them lists 1,030 tools in a single 2.1 MB event)
//! and what a shared process can afford. Sizes in configuration are numbers of bytes or texts such as
//! `"16MiB"`; durations are numbers of seconds or texts such as `"500ms"`, `"30s"`, `"15m"`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::setting::{byte_size, duration};

/// A size limit together with the setting that changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteLimit {
    /// The full name of the setting, for the error message.
    pub name: &'static str,
    pub bytes: u64,
}

/// How long one exchange may take. `Duration::MAX` stands for no deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From the call of `send` to the last byte of the answer.
    pub total: Duration,
    /// From the call of `send` to the answer's header section.
    pub first_byte: Duration,
    /// Between two pieces of the answer's body.
    pub idle: Duration,
}

/// Declares the settings once: the struct, its defaults, and a [`ByteLimit`] accessor for each size.
macro_rules! limits {
    (
        sizes { $($(#[$size_doc:meta])* $size:ident = $bytes:expr,)* }
        durations { $($(#[$time_doc:meta])* $time:ident = $default:expr,)* }
        counts { $($(#[$count_doc:meta])* $count:ident = $number:expr,)* }
    ) => {
        /// Limits of everything outbound; the section `egress.limits` of the configuration.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Limits {
            $($(#[$size_doc])* #[serde(with = "byte_size")] pub $size: u64,)*
            $($(#[$time_doc])* #[serde(with = "duration")] pub $time: Duration,)*
            $($(#[$count_doc])* pub $count: usize,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self {
                    $($size: $bytes,)*
                    $($time: $default,)*
                    $($count: $number,)*
                }
            }
        }

        impl Limits {
            $($(#[$size_doc])*
            pub const fn $size(&self) -> ByteLimit {
                ByteLimit { name: concat!("egress.limits.", stringify!($size)), bytes: self.$size }
            })*
        }
    };
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

limits! {
    sizes {
        /// OAuth and protected-resource metadata documents.
        metadata_document_bytes = 256 * KIB,
        /// A client metadata document that a client id points to.
        client_metadata_bytes = 64 * KIB,
        /// The answer to a dynamic client registration.
        registration_response_bytes = 64 * KIB,
        /// The answer of a token endpoint.
        token_response_bytes = 64 * KIB,
        /// A server's logo.
        logo_bytes = 256 * KIB,
        /// One server-sent event, or one JSON answer.
        message_bytes = 16 * MIB,
        /// A whole answer with all its events, inflated.
        answer_bytes = 32 * MIB,
        /// A whole answer as it comes over the wire.
        answer_wire_bytes = 32 * MIB,
        /// The header section of an answer.
        header_bytes = 32 * KIB,
        /// One line from a child process (one JSON-RPC message).
        stdio_line_bytes = 16 * MIB,
    }
    durations {
        /// Looking up a host name.
        name_resolution_timeout = Duration::from_secs(5),
        /// TCP, over all addresses of a host, and the egress proxy's answer.
        connect_timeout = Duration::from_secs(5),
        tls_timeout = Duration::from_secs(5),
        /// Until the header section of the answer.
        first_byte_timeout = Duration::from_secs(30),
        /// Between two pieces of an answer.
        idle_timeout = Duration::from_secs(60),
        /// One call from beginning to end.
        call_timeout = Duration::from_secs(120),
        /// A call that keeps reporting progress may last this long.
        call_timeout_with_progress = Duration::from_secs(15 * 60),
        /// How long an unused connection is kept.
        pool_idle_timeout = Duration::from_secs(90),
        /// How long a child process may take to leave after its input was closed, and again after SIGTERM.
        child_exit_timeout = Duration::from_secs(2),
    }
    counts {
        /// Header fields of an answer.
        header_count = 100,
        /// Redirects a discovery GET may follow, within one origin.
        discovery_redirects = 3,
        /// Addresses a name may resolve to.
        name_addresses = 32,
        /// Unused connections kept for each upstream.
        pool_idle_per_host = 32,
        /// Calls in flight to one upstream.
        upstream_concurrency = 64,
        /// Calls that may wait for one upstream.
        upstream_queue = 64,
    }
}

impl Limits {
    /// The deadlines of an ordinary call.
    pub const fn call_deadlines(&self) -> Deadlines {
        Deadlines { total: self.call_timeout, first_byte: self.first_byte_timeout, idle: self.idle_timeout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_a_setting_with_a_readable_unit() {
        let limits: Limits = serde_json::from_str(
            r#"{"message_bytes": "2MiB", "logo_bytes": 1000, "connect_timeout": "500ms", "call_timeout": 7}"#,
        )
        .unwrap();
        assert_eq!(limits.message_bytes().bytes, 2 * MIB);
        assert_eq!(limits.message_bytes().name, "egress.limits.message_bytes");
        assert_eq!(limits.logo_bytes, 1000);
        assert_eq!(limits.connect_timeout, Duration::from_millis(500));
        assert_eq!(limits.call_timeout, Duration::from_secs(7));
        assert_eq!(limits.header_count, 100);
    }

    #[test]
    fn a_misspelt_limit_is_an_error() {
        let error = serde_json::from_str::<Limits>(r#"{"mesage_bytes": 1}"#).unwrap_err().to_string();
        assert!(error.contains("mesage_bytes") && error.contains("message_bytes"), "{error}");
    }

    #[test]
    fn limits_survive_writing_and_reading() {
        let limits = Limits { connect_timeout: Duration::from_millis(1500), ..Limits::default() };
        let text = serde_json::to_string(&limits).unwrap();
        assert_eq!(serde_json::from_str::<Limits>(&text).unwrap(), limits);
        assert!(text.contains(r#""connect_timeout":"1500ms""#), "{text}");
        assert!(text.contains(r#""message_bytes":"16MiB""#), "{text}");
    }
}
