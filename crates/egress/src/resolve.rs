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
    ResolverBuilder, TokioResolver,
    config::{LookupIpStrategy, ResolveHosts},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
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
        let resolver = TokioResolver::builder_tokio().and_then(Self::absolute_names_only);
        let resolver = resolver
            .inspect_err(|error| {
                tracing::warn!(
                    %error,
                    "no usable name server configuration: upstreams can be reached by address only"
                );
            })
            .ok();
        Self { resolver }
    }

    fn absolute_names_only(
        mut builder: ResolverBuilder<TokioRuntimeProvider>,
    ) -> Result<TokioResolver, NetError> {
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        options.use_hosts_file = ResolveHosts::Always;
        options.ndots = 0;
        builder.build()
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use hickory_resolver::{
        config::{NameServerConfig, ResolverConfig},
        proto::rr::Name,
    };
    use tokio::net::UdpSocket;

    use super::*;

    /// A name server that knows `known.example.com` (one address of each family), fails for `broken.…` and
    /// denies everything else. Returns the resolver that asks it and the names it was asked for.
    async fn resolver() -> (SystemResolver, Arc<Mutex<Vec<String>>>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut server = NameServerConfig::udp("127.0.0.1".parse().unwrap());
        server.connections[0].port = socket.local_addr().unwrap().port();
        let mut config = ResolverConfig::from_name_servers(vec![server]);
        config.set_domain(Name::from_ascii("corp.example.").unwrap());
        config.add_search(Name::from_ascii("cluster.example.").unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((_, client)) = socket.recv_from(&mut query).await {
                let (name, end) = question(&query);
                let _ = socket.send_to(&answer(&query[..end], &name), client).await;
                log.lock().unwrap().push(name);
            }
        });
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().attempts = 1;
        let resolver = SystemResolver::absolute_names_only(builder).unwrap();
        (SystemResolver { resolver: Some(resolver) }, asked)
    }

    /// RFC 1035 section 4.1.2: the name and where the question section ends.
    fn question(query: &[u8]) -> (String, usize) {
        let (mut name, mut at) = (String::new(), 12);
        while query[at] != 0 {
            let label = &query[at + 1..=at + usize::from(query[at])];
            name.push_str(std::str::from_utf8(label).unwrap());
            name.push('.');
            at += 1 + label.len();
        }
        (name, at + 5)
    }

    fn answer(question: &[u8], name: &str) -> Vec<u8> {
        let (code, data): (u8, &[u8]) = match (name, question[question.len() - 3]) {
            ("known.example.com.", 1) => (0, &[93, 184, 216, 34]),
            ("known.example.com.", _) => (0, &[0x26, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            ("broken.example.com.", _) => (2, &[]),
            _ => (3, &[]),
        };
        let mut message = question.to_vec();
        (message[2], message[3]) = (message[2] | 0x80, 0x80 | code);
        message[4..12].copy_from_slice(&[0, 1, 0, u8::from(!data.is_empty()), 0, 0, 0, 0]);
        if !data.is_empty() {
            let kind = question[question.len() - 3];
            message.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, u8::try_from(data.len()).unwrap()]);
            message.extend(data);
        }
        message
    }

    #[tokio::test]
    async fn all_addresses_of_both_families() {
        let (resolver, _) = resolver().await;
        let mut addresses = resolver.resolve("known.example.com").await.unwrap();
        addresses.sort();
        assert_eq!(addresses, ["93.184.216.34".parse::<IpAddr>().unwrap(), "2606::1".parse().unwrap()]);
    }

    #[tokio::test]
    async fn names_are_never_completed() {
        let (resolver, asked) = resolver().await;
        for name in ["mcp.vendor.example.com", "redis"] {
            assert_eq!(resolver.resolve(name).await.unwrap_err(), ResolveError::NotFound);
        }
        let asked = asked.lock().unwrap().clone();
        assert!(!asked.is_empty());
        assert!(
            asked.iter().all(|name| ["mcp.vendor.example.com.", "redis."].contains(&name.as_str())),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn a_failing_server_is_not_a_missing_name() {
        let (resolver, _) = resolver().await;
        assert_eq!(resolver.resolve("broken.example.com").await.unwrap_err(), ResolveError::Failed);
    }

    #[tokio::test]
    async fn localhost_is_not_asked_for() {
        let (resolver, asked) = resolver().await;
        for name in ["localhost", "app.localhost"] {
            assert!(resolver.resolve(name).await.unwrap().iter().all(IpAddr::is_loopback));
        }
        assert!(asked.lock().unwrap().is_empty());
    }
}
