//! The only place of Switchboard that opens a connection to the outside or starts a process.
//!
//! Switchboard connects to addresses that tenants, upstream servers and their metadata name. Each of them may
//! point inward: at a cloud's metadata service, at a database beside us, at ourselves (server-side request
//! forgery). So a request accepts nothing but a [`GuardedUrl`], which only [`Egress::check_url`] makes, and
//! every new connection resolves the name once, judges all answers and dials one of the judged addresses.
//!
//! What comes back is bounded by [`Limits`] in bytes, header fields and time. Errors are precise for what
//! passed the guard and all alike for what did not. See `docs/adr/0003-egress-on-hyper.md` for why the HTTP
//! client is built here.

mod address;
mod body;
pub mod child;
mod config;
mod connect;
mod diagnose;
mod dial;
mod error;
mod exchange;
mod guard;
mod gzip;
mod host_pattern;
mod limits;
mod name;
mod proxy;
mod resolve;
mod setting;
mod tls;
#[cfg(test)]
mod vectors;

// The support code of the tests is shared with the integration tests, which see the crate from outside.
#[cfg(test)]
extern crate self as switchboard_egress;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tokio_rustls::TlsConnector;

pub use body::Body;
pub use config::{EgressConfig, EgressConfigError};
pub use diagnose::StageOutcome;
pub use error::{EgressError, TlsFailure};
pub use exchange::{Redirects, Request, Response};
pub use guard::{GuardedUrl, Refused};
pub use host_pattern::{HostPattern, HostPatternError};
pub use limits::{ByteLimit, Deadlines, Limits};
pub use resolve::{Resolve, ResolveError, SystemResolver};

use connect::{Connections, Connector};
use dial::{Dial, TcpDialer};
use exchange::Payload;
use guard::Guard;
use proxy::Proxy;

/// Room for the header section and for reading large bodies in large pieces. The header limit itself is
/// enforced on the parsed fields.
const READ_BUFFER: usize = 256 * 1024;
/// Lets a single h2 stream fill a fast link without letting an unread one hold much memory.
const H2_STREAM_WINDOW: u32 = 1024 * 1024;
const H2_CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// All calls to a host share an h2 connection; one whose other end vanished without a word must not swallow
/// them until the kernel notices.
const H2_PING_INTERVAL: Duration = Duration::from_secs(15);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The way out: the operator's rules, the connection pool and the limits. Cheap to clone; clones share all.
#[derive(Clone)]
pub struct Egress {
    shared: Arc<Shared>,
}

struct Shared {
    guard: Arc<Guard>,
    connections: Arc<Connections>,
    client: Client<Connector, Payload>,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("guard", &self.shared.guard).finish_non_exhaustive()
    }
}

impl Egress {
    /// Must be called within a Tokio runtime. Two instances share no connection: rules that differ, for
    /// instance between organizations, need an instance each.
    pub fn new(config: EgressConfig) -> Result<Self, EgressConfigError> {
        Self::with_dialer(config, Arc::new(TcpDialer))
    }

    fn with_dialer(config: EgressConfig, dialer: Arc<dyn Dial>) -> Result<Self, EgressConfigError> {
        let tls = tls::client_config(&config.extra_root_certificates)
            .map_err(EgressConfigError::RootCertificate)?;
        let proxy = config
            .proxy
            .as_ref()
            .map(|url| Proxy::new(url, config.proxy_resolves_names))
            .transpose()
            .map_err(EgressConfigError::Proxy)?;
        let guard = Arc::new(Guard {
            allow_private_networks: config.allow_private_networks,
            private_networks: config.private_networks,
            allowed_hosts: config.allowed_hosts,
            own_listeners: config.own_listeners,
        });
        let connections = Arc::new(Connections {
            guard: Arc::clone(&guard),
            resolver: config.resolver,
            dialer,
            tls: TlsConnector::from(Arc::new(tls)),
            proxy,
            limits: config.limits,
            opened: AtomicU64::new(0),
        });
        let client = pooled_client(&connections);
        Ok(Self { shared: Arc::new(Shared { guard, connections, client }) })
    }

    /// Judges a URL by its text alone: no lookup, no socket. The reason of a refusal goes to the log.
    pub fn check_url(&self, text: &str) -> Result<GuardedUrl, Refused> {
        self.shared.guard.check_url(text).map_err(|reason| reason.refuse(&host_for_log(text)))
    }

    /// What is wrong with a URL as written, for whoever wrote it; `None` when its text may be dialled. It says no more
    /// than the text and the operator's rules do: what a name resolves to is never looked at.
    pub fn explain_url(&self, text: &str) -> Option<&'static str> {
        self.shared.guard.check_url(text).err().map(guard::Reason::explanation)
    }

    pub fn limits(&self) -> &Limits {
        &self.shared.connections.limits
    }

    /// TCP connections opened so far.
    pub fn connections_opened(&self) -> u64 {
        self.shared.connections.opened.load(Ordering::Relaxed)
    }
}

/// The authority of a URL that may not even parse; the rest could hold a secret.
fn host_for_log(text: &str) -> String {
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.chars().take(256).collect()
}

#[expect(clippy::disallowed_methods, reason = "the one place that builds an HTTP client")]
fn pooled_client(connections: &Arc<Connections>) -> Client<Connector, Payload> {
    let limits = &connections.limits;
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(limits.pool_idle_timeout)
        .pool_max_idle_per_host(limits.pool_idle_per_host)
        // Only for requests no byte of which was written: see `exchange`.
        .retry_canceled_requests(true)
        .http1_max_headers(limits.header_count)
        .http1_max_buf_size(READ_BUFFER)
        .http2_max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .http2_initial_stream_window_size(H2_STREAM_WINDOW)
        .http2_initial_connection_window_size(H2_CONNECTION_WINDOW)
        .http2_keep_alive_interval(H2_PING_INTERVAL)
        .http2_keep_alive_timeout(H2_PING_TIMEOUT)
        .build(Connector(Arc::clone(connections)))
}
