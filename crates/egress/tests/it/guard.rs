//! What is reached and what is not, shown with a real listener.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use http::Method;
use proptest::prelude::*;
use switchboard_domain::Stage;
use switchboard_egress::{Egress, EgressConfig, EgressError};

use crate::support::*;

/// Spellings of 127.0.0.1 that a URL parser or the kernel understands.
fn spellings(port: u16) -> Vec<String> {
    let hosts = [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "127.0.0.1.",
        "localhost",
        "localhost.",
        "a.localhost",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::1]",
        "[::]",
        "１２７.０.０.１",
    ];
    hosts.iter().map(|host| format!("{host}:{port}/")).collect()
}

#[tokio::test]
async fn no_spelling_of_loopback_connects_by_default() {
    let server = Server::plain(|_| ok("secret")).await;
    let (closed, open) = (closed_egress(), open_egress());
    for spelling in spellings(server.port()) {
        for scheme in ["https", "http"] {
            let url = format!("{scheme}://{spelling}");
            assert!(closed.check_url(&url).is_err(), "{url}");
            // Even a URL that laxer rules let through is judged again by the rules that send it.
            if let Ok(smuggled) = open.check_url(&url) {
                let error = closed.send(request(&closed, Method::GET, smuggled.clone())).await.unwrap_err();
                assert!(matches!(error, EgressError::Refused(_)), "{url}: {error:?}");
                let stages = closed.diagnose(&smuggled).await;
                assert_eq!(stages.len(), 1, "{url}: {stages:?}");
                assert!(matches!(stages[0], (Stage::NameResolution, Err(EgressError::Refused(_)))));
            }
        }
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn a_name_that_resolves_inside_is_refused_like_a_literal() {
    let server = Server::plain(|_| ok("secret")).await;
    let resolver = StubResolver::new(&[("mcp.vendor.example.com", &[&["127.0.0.1"]])]);
    let egress = Egress::new(EgressConfig::with_resolver(resolver.clone())).unwrap();
    let url = format!("https://mcp.vendor.example.com:{}/", server.port());
    let by_answer = egress.send(get(&egress, &url)).await.unwrap_err();
    let by_literal = EgressError::from(egress.check_url("https://127.0.0.1/").unwrap_err());
    assert_eq!(by_answer, by_literal);
    assert_eq!(by_answer.to_string(), by_literal.to_string());
    assert!(!by_answer.request_may_have_been_sent());
    assert_eq!((server.accepted(), resolver.lookups()), (0, 1));
}

#[tokio::test]
async fn private_networks_open_loopback_but_never_metadata_or_ourselves() {
    let server = Server::plain(|_| ok("hello")).await;
    let egress = Egress::new(EgressConfig {
        own_listeners: vec!["0.0.0.0:9000".parse().unwrap(), "93.184.216.34:9443".parse().unwrap()],
        ..open_config()
    })
    .unwrap();
    let response = egress.send(get(&egress, &format!("http://127.0.0.1:{}/", server.port()))).await.unwrap();
    assert_eq!(response.peer, server.address);
    assert_eq!(response.body.collect_bytes().await.unwrap(), "hello");

    for allowed in [
        "https://10.0.0.1/",
        "http://192.168.1.10:8080/mcp",
        "http://[::1]:3000/",
        "http://redis:8443/",
        "https://mcp.corp/",
        "https://[fd12::1]/",
        "http://localhost:3000/mcp",
        "http://host.docker.internal:8080/mcp",
        "https://93.184.216.34:9000/",
    ] {
        assert!(egress.check_url(allowed).is_ok(), "{allowed}");
    }
    for refused in [
        "https://169.254.169.254/",
        "https://[::ffff:169.254.169.254]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[fe80::1]/",
        "https://[fd00:ec2::254]/",
        "https://[fd20:ce::1]/",
        "https://168.63.129.16/",
        "https://100.100.100.200/",
        "https://metadata/",
        "https://metadata.google.internal/",
        "https://metadata.tencentyun.com/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "http://127.0.0.1:9000/",
        "http://[::1]:9000/",
        "https://93.184.216.34:9443/",
        "http://93.184.216.34/",
        "http://127.0.0.1:22/",
    ] {
        assert!(egress.check_url(refused).is_err(), "{refused}");
    }
}

#[tokio::test]
async fn plain_http_needs_a_name_that_resolves_inside() {
    let server = Server::plain(|_| ok("hello")).await;
    let resolver = StubResolver::new(&[
        ("inside.example.com", &[&["127.0.0.1"]]),
        ("outside.example.com", &[&["93.184.216.34"]]),
    ]);
    let egress =
        Egress::new(EgressConfig { allow_private_networks: true, ..EgressConfig::with_resolver(resolver) })
            .unwrap();
    let inside = format!("http://inside.example.com:{}/", server.port());
    assert!(egress.send(get(&egress, &inside)).await.is_ok());
    let error = egress.send(get(&egress, "http://outside.example.com/")).await.unwrap_err();
    assert!(matches!(error, EgressError::Refused(_)), "{error:?}");
}

/// A listener on every interface is recognised by the addresses of this machine, not only by loopback.
#[tokio::test]
async fn a_wildcard_listener_is_refused_by_name_too() {
    let server = Server::plain(|_| ok("self")).await;
    let resolver = StubResolver::new(&[("me.example.com", &[&["127.0.0.1"]])]);
    let egress = Egress::new(EgressConfig {
        allow_private_networks: true,
        own_listeners: vec![format!("[::]:{}", server.port()).parse().unwrap()],
        ..EgressConfig::with_resolver(resolver)
    })
    .unwrap();
    let url = format!("http://me.example.com:{}/", server.port());
    let error = egress.send(get(&egress, &url)).await.unwrap_err();
    assert!(matches!(error, EgressError::Refused(_)), "{error:?}");
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn the_allow_list_narrows_and_never_loosens() {
    let patterns = |texts: &[&str]| Some(texts.iter().map(|text| text.parse().unwrap()).collect());
    let resolver = StubResolver::new(&[
        ("inside.example.com", &[&["127.0.1.2"]]),
        ("mixed.example.com", &[&["127.0.1.2", "127.0.2.2"]]),
    ]);
    let list = &["*.vendor.example.com", "127.0.1.0/24", "10.1.0.0/16", "169.254.0.0/16"];
    let narrowed = |private| {
        Egress::new(EgressConfig {
            allow_private_networks: private,
            allowed_hosts: patterns(list),
            ..EgressConfig::with_resolver(resolver.clone())
        })
        .unwrap()
    };
    let public = narrowed(false);
    assert!(public.check_url("https://mcp.vendor.example.com/").is_ok());
    assert!(public.check_url("https://1.1.1.1/").is_err());
    assert!(public.check_url("https://127.0.1.1/").is_err(), "the list opens nothing");
    let private = narrowed(true);
    assert!(private.check_url("https://10.1.9.9/").is_ok());
    assert!(private.check_url("https://10.2.9.9/").is_err());
    assert!(private.check_url("https://169.254.169.254/").is_err(), "the list opens nothing");
    // A name outside the list is judged by its addresses, and all of them have to be inside.
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (name, refused) in [("inside", false), ("mixed", true)] {
        let request = get(&private, &format!("https://{name}.example.com:{unused}/"));
        let error = private.send(request).await.unwrap_err();
        assert_eq!(matches!(error, EgressError::Refused(_)), refused, "{name}: {error:?}");
        assert_eq!(error == EgressError::ConnectRefused, !refused, "{name}: {error:?}");
    }
}

/// The contract's tables, written a second time and differently: prefixes instead of patterns.
fn is_public(address: IpAddr) -> bool {
    let inside = |networks: &[&str], address: IpAddr| {
        networks.iter().any(|network| network.parse::<ipnet::IpNet>().unwrap().contains(&address))
    };
    match address {
        IpAddr::V4(_) => !inside(
            &[
                "0.0.0.0/8",
                "10.0.0.0/8",
                "100.64.0.0/10",
                "127.0.0.0/8",
                "169.254.0.0/16",
                "172.16.0.0/12",
                "192.0.0.0/24",
                "192.0.2.0/24",
                "192.88.99.0/24",
                "192.168.0.0/16",
                "198.18.0.0/15",
                "198.51.100.0/24",
                "203.0.113.0/24",
                "224.0.0.0/4",
                "240.0.0.0/4",
                "168.63.129.16/32",
            ],
            address,
        ),
        IpAddr::V6(v6) => {
            let low = u32::try_from(u128::from(v6) & 0xffff_ffff).unwrap();
            if inside(&["::ffff:0:0/96", "64:ff9b::/96"], address) {
                return is_public(IpAddr::V4(Ipv4Addr::from(low)));
            }
            inside(&["2000::/3"], address)
                && !inside(&["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"], address)
        }
    }
}

/// Addresses near the edges of the tables, where mistakes live, as well as anywhere.
fn v6() -> impl Strategy<Value = Ipv6Addr> {
    let prefixes: &[u128] = &[
        0,
        0xffff << 32,
        0xffff_0000 << 32,
        0x64_ff9b << 96,
        0x64_ff9b_0001 << 80,
        0x2001 << 112,
        0x2001_0200 << 96,
        0x2001_0db8 << 96,
        0x2002 << 112,
        0x3fff << 112,
        0x2000 << 112,
        0x4000 << 112,
        0xfc00 << 112,
        0xfd00_0ec2 << 96,
        0xfe80 << 112,
        0xfec0 << 112,
        0xff00 << 112,
        0x0100 << 112,
    ];
    let near = (proptest::sample::select(prefixes), any::<u128>(), 0..128u32)
        .prop_map(|(prefix, noise, shift)| prefix.wrapping_add(noise >> shift));
    prop_oneof![any::<u128>(), near.clone(), near.prop_map(|n| n.wrapping_sub(1))].prop_map(Ipv6Addr::from)
}

static DEFAULTS: LazyLock<Egress> = LazyLock::new(closed_egress);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_v4_literal_is_accepted_exactly_if_it_is_public(bits in any::<u32>(), spelling in 0..3) {
        let address = Ipv4Addr::from(bits);
        let url = match spelling {
            0 => format!("https://{address}/"),
            1 => format!("https://{bits}/"),
            _ => format!("https://0x{bits:x}/"),
        };
        let accepted = DEFAULTS.check_url(&url).is_ok();
        prop_assert_eq!(accepted, is_public(address.into()), "{}", url);
    }

    #[test]
    fn a_v6_literal_is_accepted_exactly_if_it_is_public(address in v6()) {
        let url = format!("https://[{address}]/");
        let accepted = DEFAULTS.check_url(&url).is_ok();
        prop_assert_eq!(accepted, is_public(address.into()), "{}", url);
    }
}

/// What is wrong with the text may be told; what a name leads to may not.
#[tokio::test]
async fn a_refused_text_is_explained_and_a_refused_name_is_not() {
    let closed = closed_egress();
    for (url, said) in [
        ("linear.app/mcp", "must begin with https://"),
        ("ftp://example.com/", "must begin with https://"),
        ("http://127.0.0.1:3001/mcp", "--allow-private-networks"),
        ("https://127.0.0.1:3001/mcp", "the machine that Switchboard runs on"),
        ("https://10.0.0.7/mcp", "private network"),
        ("https://tools.corp/mcp", "private network"),
        ("https://192.0.2.1/mcp", "reserved"),
        ("https://169.254.169.254/", "metadata"),
        ("https://user:secret@example.com/", "without user name"),
        ("https://example.com:22/", "another protocol"),
        ("https://example.com /", "white space"),
        ("", "1 to 2048"),
    ] {
        let explained = closed.explain_url(url).unwrap_or_default();
        assert!(explained.contains(said), "{url}: {explained}");
        assert!(!explained.contains("secret@"), "{explained}");
    }
    let open = Egress::new(EgressConfig {
        allow_private_networks: true,
        own_listeners: vec!["127.0.0.1:8080".parse().unwrap()],
        ..EgressConfig::default()
    })
    .unwrap();
    assert!(open.explain_url("http://127.0.0.1:8080/mcp").unwrap().contains("this Switchboard itself"));
    assert_eq!(closed.explain_url("https://inside.example.com/"), None, "its addresses are nobody's to know");
}
