//! What the surfaces need to know of the configuration.

use std::{borrow::Cow, net::SocketAddr, time::Duration};

use switchboard_domain::{Resource, Slug};
use url::{Host, Url};

use crate::{Doctor, TrustedProxies};

#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Origin under which clients reach us, without a trailing slash. Resource and metadata URLs are built from it
    /// and from nothing that a request says.
    pub public_url: Url,
    /// Address of the listener.
    pub listen: SocketAddr,
    /// Further hosts (`name` or `name:port`) that requests may name.
    pub allowed_hosts: Vec<String>,
    /// Origins of web pages that may call the MCP endpoints, exactly as written.
    pub allowed_origins: Vec<String>,
    /// Whose word counts on where a request comes from.
    pub trusted_proxies: TrustedProxies,
    pub max_request_bytes: usize,
    pub request_body_timeout: Duration,
    /// How long the head of a request may take to arrive, from its first byte on.
    pub request_head_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub keep_alive: Duration,
    /// Bytes of a request's header section.
    pub max_header_bytes: usize,
    /// Connections at once; beyond, a few more are told so, and others wait to be accepted.
    pub max_connections: usize,
    /// Of one source, unless it is a trusted proxy; beyond, new ones are closed at once.
    pub max_connections_per_source: usize,
    /// How long an answer may wait for the other end to read on.
    pub write_timeout: Duration,
    /// Streams of changes that one caller may have open.
    pub max_streams_per_caller: usize,
    /// Messages of one batch of MCP revision 2025-03-26.
    pub max_batch: usize,
    /// Resources that a session watches, and tasks that a stream tells of.
    pub max_watched: usize,
    /// Bytes of messages kept for clients of sessions that come back to a stream.
    pub max_replay_bytes: usize,
    /// How long calls may go on after SIGTERM.
    pub drain: Duration,
    /// Bearer token for `/metrics` on the main listener; without one it is only on its own listener.
    pub metrics_token: Option<switchboard_domain::SecretValue>,
    /// Makes the operator's checks for owners who ask for them in the console.
    pub doctor: Option<Doctor>,
}

impl ServerConfig {
    pub fn new(public_url: Url, listen: SocketAddr) -> Self {
        Self {
            public_url,
            listen,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            trusted_proxies: TrustedProxies::default(),
            max_request_bytes: 4 * 1024 * 1024,
            request_body_timeout: Duration::from_secs(30),
            request_head_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            max_header_bytes: 32 * 1024,
            max_connections: 10_000,
            max_connections_per_source: 1_000,
            write_timeout: Duration::from_secs(30),
            max_streams_per_caller: 32,
            max_batch: 50,
            max_watched: 100,
            max_replay_bytes: 32 * 1024 * 1024,
            drain: Duration::from_secs(30),
            metrics_token: None,
            doctor: None,
        }
    }

    /// `public_url` without a trailing slash.
    pub fn origin(&self) -> &str {
        self.public_url.as_str().trim_end_matches('/')
    }

    /// Our origin as a request spells it. To those who type the URL of a server on their own machine `localhost`,
    /// `127.0.0.1` and `[::1]` are one, but their clients compare what was typed with what the metadata names. Of any
    /// other deployment there is one spelling, whatever a request says.
    pub fn spelled_origin(&self, headers: &http::HeaderMap) -> Cow<'_, str> {
        let host = headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        let spellings = switchboard_oauth::loopback_spellings(self.origin());
        let spelled = spellings.into_iter().find(|origin| {
            origin.strip_prefix("http://").zip(host).is_some_and(|(own, host)| own.eq_ignore_ascii_case(host))
        });
        spelled.map_or(Cow::Borrowed(self.origin()), Cow::Owned)
    }

    /// The resource's own URL: what a token is bound to.
    pub fn resource_url(&self, resource: &Resource, organization: Option<&Slug>) -> String {
        let pinned = organization.map_or_else(String::new, |slug| format!("/o/{slug}"));
        format!("{}{pinned}{}", self.origin(), resource.path())
    }

    /// Where the resource's metadata is (RFC 9728 section 3.1: the well-known part comes before the path).
    pub fn metadata_url(&self, resource: &Resource, organization: Option<&Slug>) -> String {
        let pinned = organization.map_or_else(String::new, |slug| format!("/o/{slug}"));
        format!("{}/.well-known/oauth-protected-resource{pinned}{}", self.origin(), resource.path())
    }

    /// Whether a request may name this host: ours, what the operator allows, or a loopback spelling of the listener.
    pub fn accepts_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let is_public = |candidate: &str| {
            let default_port = self.public_url.port_or_known_default().unwrap_or(0);
            let name = self.public_url.host_str().unwrap_or("").to_ascii_lowercase();
            candidate == format!("{name}:{default_port}")
                || (self.public_url.port().is_none() && candidate == name)
        };
        let is_loopback = |candidate: &str| {
            let port = self.listen.port();
            ["localhost", "127.0.0.1", "[::1]"]
                .iter()
                .any(|name| candidate == format!("{name}:{port}") || (port == 80 && candidate == *name))
        };
        is_public(&host)
            || is_loopback(&host)
            || self.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(&host))
    }

    /// Whether browsers take our origin for trustworthy: https, or this very machine (Secure Contexts, section 3.1).
    pub fn is_trustworthy(&self) -> bool {
        let loopback = match self.public_url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        self.public_url.scheme() == "https" || loopback
    }

    /// Whether a page of this origin may call the MCP endpoints: the operator listed it.
    pub fn allows_page(&self, origin: &str) -> bool {
        self.allowed_origins.iter().any(|listed| listed == origin)
    }

    /// Whether a browser page of this origin may talk to us: our own pages only.
    pub fn accepts_origin(&self, origin: &str) -> bool {
        match Url::parse(origin) {
            Ok(url) if url.origin() == self.public_url.origin() => true,
            Ok(url) if url.scheme() == "http" => url.host_str().is_some_and(|host| {
                let port = url.port_or_known_default().unwrap_or(0);
                ["localhost", "127.0.0.1", "[::1]"].contains(&host) && port == self.listen.port()
            }),
            _ => false,
        }
    }
}
