//! What the operator decides about the way out.

use std::{fmt, net::SocketAddr, sync::Arc};

use ipnet::IpNet;
use url::Url;

use crate::{
    host_pattern::HostPattern,
    limits::Limits,
    resolve::{Resolve, SystemResolver},
};

/// Settings of [`crate::Egress`]. They come from the operator's configuration only, never from an API.
#[derive(Clone)]
pub struct EgressConfig {
    /// Opens loopback, RFC 1918, shared and unique local addresses, private names, and plain http to them.
    /// Link-local, metadata and own addresses stay closed.
    pub allow_private_networks: bool,
    /// Opens private addresses in these networks only; never loopback.
    pub private_networks: Vec<IpNet>,
    /// If present, nothing else is reachable. It narrows what the other rules leave, and opens nothing.
    pub allowed_hosts: Option<Vec<HostPattern>>,
    /// An egress proxy (`http://[user:password@]host:port`).
    pub proxy: Option<Url>,
    /// Hands the proxy the name instead of the judged address.
    pub proxy_resolves_names: bool,
    /// PEM files with authorities to trust beside the public ones.
    pub extra_root_certificates: Vec<Vec<u8>>,
    /// Where this process listens: never dialled. An unspecified address stands for every interface.
    pub own_listeners: Vec<SocketAddr>,
    pub resolver: Arc<dyn Resolve>,
    pub limits: Limits,
}

impl EgressConfig {
    /// The defaults, with a resolver of choice.
    pub fn with_resolver(resolver: Arc<dyn Resolve>) -> Self {
        Self {
            allow_private_networks: false,
            private_networks: Vec::new(),
            allowed_hosts: None,
            proxy: None,
            proxy_resolves_names: false,
            extra_root_certificates: Vec::new(),
            own_listeners: Vec::new(),
            resolver,
            limits: Limits::default(),
        }
    }
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self::with_resolver(Arc::new(SystemResolver::new()))
    }
}

/// The proxy's password stays out of logs.
impl fmt::Debug for EgressConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EgressConfig")
            .field("allow_private_networks", &self.allow_private_networks)
            .field("private_networks", &self.private_networks)
            .field("allowed_hosts", &self.allowed_hosts)
            .field("proxy", &self.proxy.as_ref().and_then(Url::host_str))
            .field("own_listeners", &self.own_listeners)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressConfigError {
    #[error("`egress.proxy` cannot be used: {0}")]
    Proxy(String),
    #[error("`egress.extra_root_certificates` cannot be used: {0}")]
    RootCertificate(String),
}
