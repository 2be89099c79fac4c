//! Behind a reverse proxy every connection comes from the proxy. Who is behind it stands in `X-Forwarded-For`, to which
//! each proxy appends the address it was called from; whatever stands further left came with the request and can be
//! anybody's invention. So the list is read from the right, through the proxies that the operator trusts, and the first
//! address that is none of them is the client's. It decides whose attempts are counted together, and nothing else:
//! the host and scheme that a proxy may forward are never believed, nor is `Forwarded` (RFC 7239), which proxies pass
//! on unchanged unless they are told otherwise.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use http::HeaderMap;
use ipnet::IpNet;

/// The reverse proxies whose `X-Forwarded-For` is believed; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("has `{0}`, which is neither an address nor a range: write 127.0.0.1, 10.1.0.0/16 or fd00::/8")]
pub struct NotANetwork(String);

impl TrustedProxies {
    /// Of addresses and CIDR ranges, as the operator writes them.
    pub fn parse(texts: &[String]) -> Result<Self, NotANetwork> {
        let networks = texts.iter().map(|text| {
            let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| NotANetwork(text.clone()))
        });
        networks.collect::<Result<_, _>>().map(Self)
    }

    /// A listener on `::` sees IPv4 peers as mapped addresses; the operator doesn't write them so.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whose request this is. What can't be read, or names nobody but proxies, leaves the peer itself.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if self.contains(peer) { self.forwarded(headers).unwrap_or(peer) } else { peer }
    }

    fn forwarded(&self, headers: &HeaderMap) -> Option<IpAddr> {
        // Header lines are one list, in their order.
        for line in headers.get_all("x-forwarded-for").iter().rev() {
            for entry in line.as_bytes().rsplit(|byte| *byte == b',') {
                let address = address(entry)?;
                if !self.contains(address) {
                    return Some(address);
                }
            }
        }
        None
    }
}

/// An address, some proxies add a port: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = match bare {
        Some(bare) => bare.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().or_else(|| SocketAddr::from_str(text).ok().map(|it| it.ip())),
    };
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let trusted = ["127.0.0.1", "10.1.0.0/16", "fd00::/8"].map(str::to_owned);
        let trusted = TrustedProxies::parse(&trusted).unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        headers.insert("forwarded", HeaderValue::from_static("for=198.51.100.99"));
        headers.insert("x-real-ip", HeaderValue::from_static("198.51.100.98"));
        trusted.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_trusted_proxy() {
        for (lines, expected) in [
            (&["203.0.113.7"][..], "203.0.113.7"),
            // What the request brought along stands left of what the proxies added.
            (&["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
            (&["nonsense, 10.1.0.9,\t203.0.113.7 "], "203.0.113.7"),
            (&[", 203.0.113.7"], "203.0.113.7"),
            // Through several proxies of ours.
            (&["198.51.100.1,203.0.113.7,10.1.2.3,fd00::2"], "203.0.113.7"),
            (&["198.51.100.1", "203.0.113.7, 10.1.2.3", "10.1.2.4"], "203.0.113.7"),
            (&["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
            (&["203.0.113.7:4711"], "203.0.113.7"),
            (&["2001:db8::7"], "2001:db8::7"),
            (&["[2001:db8::7]"], "2001:db8::7"),
            (&["[2001:db8::7]:4711, [fd00::2]:80, 10.1.2.3:80"], "2001:db8::7"),
            (&["203.0.113.7, ::ffff:10.1.2.3"], "203.0.113.7"),
            (&["::ffff:203.0.113.7"], "203.0.113.7"),
        ] {
            assert_eq!(client("127.0.0.1", lines), expected, "{lines:?}");
        }
        assert_eq!(client("fd00::1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("::ffff:127.0.0.1", &["203.0.113.7"]), "203.0.113.7", "a listener on [::]");
    }

    #[test]
    fn what_cannot_be_read_leaves_the_proxy_itself() {
        for lines in [
            &[][..],
            &[""],
            &["unknown"],
            &["203.0.113.7,"],
            &["203.0.113.7", ""],
            &["203.0.113.7, 10.1.2.3, _hidden"],
            &["203.0.113"],
            &["203.0.113.7:port"],
            &["203.0.113.7:99999"],
            &["[203.0.113.7]"],
            &["[2001:db8::7"],
            &["fe80::1%eth0"],
            &["\"203.0.113.7\""],
            &["for=203.0.113.7"],
            &["203.0.113.7 198.51.100.1"],
            &["203.0.113.7\u{e9}"],
            // Nobody but proxies.
            &["10.1.2.3, 10.1.2.4"],
        ] {
            assert_eq!(client("10.1.0.1", lines), "10.1.0.1", "{lines:?}");
        }
    }

    #[test]
    fn nobody_else_is_believed() {
        for peer in ["203.0.113.50", "10.2.0.1", "127.0.0.2", "::1", "2001:db8::1"] {
            assert_eq!(client(peer, &["198.51.100.1"]), peer);
        }
        let headers = HeaderMap::from_iter([(
            "x-forwarded-for".parse().unwrap(),
            HeaderValue::from_static("192.0.2.1"),
        )]);
        let peer: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(TrustedProxies::default().client(peer, &headers), peer, "the default");
    }

    #[test]
    fn a_wrong_range_is_named() {
        for wrong in ["localhost", "10.1.0.0/33", "10.1/16", "", "127.0.0.1:80"] {
            let error = TrustedProxies::parse(&["10.0.0.1".to_owned(), wrong.to_owned()]).unwrap_err();
            assert!(error.to_string().contains(&format!("`{wrong}`")), "{error}");
        }
    }
}
