//! The operator's words for hosts: an exact host, every host below a domain, or a network.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::{Host, Url};

/// One entry of `egress.allowed_hosts`: `mcp.example.com`, `*.example.com`, `192.0.2.7`, `[2001:db8::7]`,
/// `10.1.0.0/16` or `[fd12::/32]`, each optionally followed by `:port`. A network is matched against the
/// addresses a name resolves to as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    subject: Subject,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    Exact(Host<String>),
    /// Any depth below the domain, without the domain itself.
    Below(String),
    Network(IpNet),
}

/// Why an entry was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a host pattern; write a host (`mcp.example.com`), a domain (`*.example.com`) or a network \
     (`10.1.0.0/16`), each with an optional `:port`"
)]
pub struct HostPatternError(String);

impl HostPattern {
    fn matches_port(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
    }

    /// Whether this entry names the host of the URL.
    #[must_use]
    pub fn names(&self, url: &Url) -> bool {
        let host = url.host().map(|host| host.to_owned());
        let port = url.port_or_known_default();
        host.zip(port).is_some_and(|(host, port)| self.matches_host(&host, port))
    }

    /// Whether this entry names the host as written in the URL.
    pub(crate) fn matches_host(&self, host: &Host<String>, port: u16) -> bool {
        self.matches_port(port)
            && match (&self.subject, host) {
                (Subject::Exact(own), Host::Domain(name)) => {
                    matches!(own, Host::Domain(own) if own == without_root(name))
                }
                (Subject::Exact(own), literal) => own == literal,
                (Subject::Below(domain), Host::Domain(name)) => without_root(name)
                    .strip_suffix(domain.as_str())
                    .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
                (Subject::Below(_), _) | (Subject::Network(_), Host::Domain(_)) => false,
                (Subject::Network(network), Host::Ipv4(v4)) => network.contains(&IpAddr::V4(*v4)),
                (Subject::Network(network), Host::Ipv6(v6)) => network.contains(&IpAddr::V6(*v6)),
            }
    }

    pub(crate) fn matches_address(&self, address: IpAddr, port: u16) -> bool {
        self.matches_port(port)
            && matches!(&self.subject, Subject::Network(network) if network.contains(&address))
    }

    /// Whether it names addresses and no host.
    #[must_use]
    pub const fn is_network(&self) -> bool {
        matches!(self.subject, Subject::Network(_))
    }
}

fn without_root(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        parse(text.trim()).ok_or_else(|| HostPatternError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<HostPattern> {
    let (subject, port) = split_port(text)?;
    let subject = if let Ok(network) = subject.parse::<IpNet>() {
        Subject::Network(network.trunc())
    } else if let Ok(address) = subject.parse::<IpAddr>() {
        Subject::Exact(match address {
            IpAddr::V4(v4) => Host::Ipv4(v4),
            IpAddr::V6(v6) => Host::Ipv6(v6),
        })
    } else if let Some(domain) = subject.strip_prefix("*.") {
        Subject::Below(domain_name(domain)?)
    } else {
        Subject::Exact(Host::Domain(domain_name(subject)?))
    };
    Some(HostPattern { subject, port })
}

fn domain_name(text: &str) -> Option<String> {
    match Host::parse(text).ok()? {
        Host::Domain(name) if !without_root(&name).is_empty() && !name.contains('*') => {
            Some(without_root(&name).to_owned())
        }
        _ => None,
    }
}

/// Separates a trailing `:port`; brackets keep the colons of IPv6 apart from it.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(inner) = text.strip_prefix('[') {
        let (subject, rest) = inner.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((subject, Some(port.parse().ok()?))),
            None => rest.is_empty().then_some((subject, None)),
        };
    }
    match text.split_once(':') {
        Some((subject, port)) if !port.contains(':') => Some((subject, Some(port.parse().ok()?))),
        _ => Some((text, None)),
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Exact(host) => write!(f, "{host}")?,
            Subject::Below(domain) => write!(f, "*.{domain}")?,
            Subject::Network(IpNet::V6(network)) => write!(f, "[{network}]")?,
            Subject::Network(network) => write!(f, "{network}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Serialize for HostPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host<String> {
        Host::parse(text).unwrap()
    }

    #[test]
    fn entries_survive_writing_and_reading() {
        for text in [
            "mcp.example.com",
            "mcp.example.com:8443",
            "*.example.com",
            "192.0.2.7:80",
            "10.1.0.0/16",
            "10.1.0.0/16:443",
            "[2001:db8::7]",
            "[2001:db8::7]:443",
            "[fd12::/32]:443",
        ] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_a_pattern_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "a b",
            "*.*.example.com",
            "mcp.*.com",
            "host:99999",
            "host:",
            "[::1",
            "https://a.b",
        ] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_domain_pattern_covers_what_lies_below_it_only() {
        let pattern: HostPattern = "*.example.com".parse().unwrap();
        assert!(pattern.matches_host(&host("a.b.example.com"), 443));
        assert!(pattern.matches_host(&host("a.example.com."), 443));
        assert!(!pattern.matches_host(&host("example.com"), 443));
        assert!(!pattern.matches_host(&host("badexample.com"), 443));
        assert!(!pattern.matches_host(&host("example.com.evil.net"), 443));
    }

    #[test]
    fn a_port_narrows() {
        let pattern: HostPattern = "mcp.example.com:8443".parse().unwrap();
        assert!(pattern.matches_host(&host("MCP.example.com"), 8443));
        assert!(!pattern.matches_host(&host("mcp.example.com"), 443));
    }

    #[test]
    fn a_network_covers_literals_and_answers() {
        let pattern: HostPattern = "10.1.0.0/16".parse().unwrap();
        assert!(pattern.matches_host(&host("10.1.2.3"), 443));
        assert!(!pattern.matches_host(&host("10.2.2.3"), 443));
        assert!(pattern.matches_address("10.1.9.9".parse().unwrap(), 1));
        assert!(!pattern.matches_address("10.9.9.9".parse().unwrap(), 1));
    }
}
