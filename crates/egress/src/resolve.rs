//! Names to addresses, with every answer in hand.
//!
//! A name is looked up as it stands: absolute, no search domains, no number-of-dots rule, because completing
//! `api` to `api.cluster.internal` would let a short public-looking name lead inside. All answers, of both
//! families, go to the guard.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use futures_util::future::BoxFuture;
use hickory_resolver::{
    TokioResolver,
    config::{LookupIpStrategy, ResolveHosts},
    net::{DnsError, NetError},
    proto::op::ResponseCode,
};

/// Why a name has no addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error("the name does not exist")]
    NotFound,
    #[error("the name servers did not answer")]
    Failed,
}

/// Where addresses come from. The guard judges every answer, so an implementation need not be trusted.
pub trait Resolve: Send + Sync + fmt::Debug {
    /// All IPv4 and IPv6 addresses of the absolute `name`, which has no trailing dot.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>>;
}

/// The machine's name servers and hosts file.
pub struct SystemResolver {
    /// `None` on a machine without name servers: literal addresses still work.
    resolver: Option<TokioResolver>,
}

impl SystemResolver {
    /// Reads the machine's resolver configuration, once.
    pub fn new() -> Self {
        let resolver = TokioResolver::builder_tokio().and_then(|mut builder| {
            let options = builder.options_mut();
            options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
            options.use_hosts_file = ResolveHosts::Always;
            options.ndots = 0;
            builder.build()
        });
        let resolver = resolver
            .inspect_err(|error| {
                tracing::warn!(%error, "no usable name server configuration: upstreams can be reached by address only");
            })
            .ok();
        Self { resolver }
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemResolver").field("usable", &self.resolver.is_some()).finish()
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>> {
        Box::pin(async move {
            // RFC 6761 section 6.3: never ask a server for it.
            if name == "localhost" || name.ends_with(".localhost") {
                return Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
            }
            let resolver = self.resolver.as_ref().ok_or(ResolveError::Failed)?;
            match resolver.lookup_ip(format!("{name}.")).await {
                Ok(answers) => Ok(answers.iter().collect()),
                Err(error) => Err(failure(name, &error)),
            }
        })
    }
}

fn failure(name: &str, error: &NetError) -> ResolveError {
    tracing::debug!(name, %error, "name resolution failed");
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none))
            if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
        {
            ResolveError::NotFound
        }
        _ => ResolveError::Failed,
    }
}
