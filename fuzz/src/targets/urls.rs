//! The guard of outbound URLs: whatever is written, nothing inner is reached.

use std::{net::IpAddr, sync::LazyLock};

use switchboard_egress::{Egress, EgressConfig};
use url::{Host, Url};

use super::Target;
use crate::corpus;

pub(super) const TARGET: Target = Target {
    name: "urls",
    corpus: || {
        let files = ["ssrf_block.txt", "ssrf_allow.txt"];
        files.iter().flat_map(|file| corpus::lines(file)).map(String::into_bytes).collect()
    },
    words: &[
        "https://",
        "http://",
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0x7f.1",
        "2130706433",
        "017700000001",
        "169.254.169.254",
        "metadata.google.internal",
        "10.0.0.1",
        "example.com",
        "api.example.com",
        ".",
        ":443",
        ":22",
        "@",
        "user:pass@",
        "#",
        "?",
        "\\",
        "/",
        "//",
        "..",
        "xn--",
        "①②⑦",
        "[fe80::1%25eth0]",
        "[64:ff9b::7f00:1]",
    ],
    check,
};

struct Guards {
    closed: Egress,
    open: Egress,
}

static GUARDS: LazyLock<Guards> = LazyLock::new(|| {
    // Kept for as long as the guards, which may belong to it.
    let runtime = Box::leak(Box::new(tokio::runtime::Runtime::new().expect("a runtime")));
    let _within = runtime.enter();
    let guard = |allow_private_networks| {
        Egress::new(EgressConfig { allow_private_networks, ..EgressConfig::default() }).expect("an egress")
    };
    Guards { closed: guard(false), open: guard(true) }
});

fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(passed) = GUARDS.closed.check_url(&text) {
        let again = GUARDS.closed.check_url(passed.as_str()).expect("what passed passes again");
        assert_eq!(again.as_str(), passed.as_str(), "and stays the same");
        let url = plain(passed.as_str());
        assert_eq!(url.scheme(), "https", "{url}");
        if let Some(address) = address(&url) {
            assert!(is_public(address), "{text:?} leads to {address}");
        }
    }
    if let Ok(passed) = GUARDS.open.check_url(&text)
        && let Some(address) = address(&plain(passed.as_str()))
    {
        assert!(!is_metadata(address), "{text:?} leads to {address}");
    }
}

fn plain(text: &str) -> Url {
    let url = Url::parse(text).expect("what passed is a URL");
    assert!(url.username().is_empty() && url.password().is_none(), "{url}");
    assert!(url.host().is_some(), "{url}");
    url
}

fn address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(IpAddr::V6(address).to_canonical()),
        // What a careless resolver would take for an address.
        Host::Domain(name) => name.trim_end_matches('.').parse().ok(),
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_documentation())
                && !(v4.is_unspecified() || v4.is_broadcast() || shared || a == 0 || a >= 240)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local())
        }
    }
}

/// Where clouds keep credentials: closed even to who opened private networks.
fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
