//! `ssrf_cases.jsonl`: cases that need a resolver, a server, a proxy or several steps.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::HeaderValue;
use rustls::HandshakeKind;
use tokio::{io::AsyncReadExt as _, net::TcpListener};

use super::{
    support::{Server, Step, StubResolver, answer, closed_egress, get, ok, send},
    world::*,
};
use crate::{
    Egress, EgressConfig, EgressError, Redirects, Request,
    child::{self, ChildSpec, Exit},
    dial::{Dial, Dialled, TcpDialer},
};

#[test]
fn raw_urls() {
    let egress = closed_egress();
    let cases = cases("url_raw");
    assert_eq!(cases.len(), 8);
    for case in cases {
        assert_eq!(case.expect, "refuse_before_connect");
        assert!(egress.check_url(&case.url.unwrap()).is_err(), "{} {}", case.id, case.name);
    }
}

#[tokio::test]
async fn answers_of_the_name_server() {
    let cases = cases("dns");
    assert_eq!(cases.len(), 14);
    for case in cases {
        // Networks opened for everybody, or for tenant A only: rules that differ are another `Egress`.
        let opened = match case.tenant.as_deref() {
            None => case.config.get("egress_allow_cidrs"),
            Some(tenant) => case.config.get(&format!("egress_allow_cidrs_tenant_{tenant}")),
        };
        let networks = opened.into_iter().flatten().map(|network| network.parse().unwrap()).collect();
        let world =
            World::new(&case.answers, |config| config.private_networks = networks, |_| ok("hello")).await;
        let outcome = world.fetch(case.url.as_deref().unwrap()).await;
        match case.expect.as_str() {
            "refuse_before_connect" => {
                assert_refused(outcome, &case.id);
                assert!(world.dialled().is_empty(), "{}", case.id);
            }
            "error_no_connect" => {
                assert_eq!(outcome.unwrap_err(), EgressError::NameNotFound, "{}", case.id);
                assert!(world.dialled().is_empty(), "{}", case.id);
            }
            "connect_or_refuse" => assert_eq!(outcome.unwrap(), "hello", "{}", case.id),
            other => {
                let address: IpAddr = other.strip_prefix("connect_to:").unwrap().parse().unwrap();
                assert_eq!(outcome.unwrap(), "hello", "{}", case.id);
                assert_eq!(world.dialled(), [address], "{}", case.id);
            }
        }
        assert_eq!(world.resolver.lookups(), 1, "{}", case.id);
    }
}

/// The allow list of d021 opens private networks, but neither loopback nor metadata nor ourselves.
#[tokio::test]
async fn opened_networks_never_reach_loopback_metadata_or_ourselves() {
    for answer in ["127.0.0.1", "169.254.169.254", "100.100.100.200", "10.1.0.1", "fd00:ec2::254"] {
        let open = |config: &mut EgressConfig| {
            config.private_networks = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
            config.own_listeners = vec!["10.1.0.1:443".parse().unwrap()];
        };
        let world = World::new(&[vec![answer.into()]], open, |_| ok("x")).await;
        assert_refused(world.fetch(&format!("https://{HOST}/")).await, answer);
        assert!(world.dialled().is_empty());
    }
}

#[tokio::test]
async fn rebinding() {
    let cases = cases("rebind");
    assert_eq!(cases.len(), 4);
    for case in cases {
        let world = World::new(&case.answers, |_| {}, |_| one_answer_a_connection()).await;
        let url = case.url.as_deref().unwrap();
        let mut outcomes = Vec::new();
        for step in &case.steps {
            let times = step.split_once('*').map_or(1, |(_, times)| times.parse().unwrap());
            for _ in 0..times {
                outcomes.push(world.fetch(url).await);
            }
        }
        // One lookup for each connection, and only what the first list names is ever dialled.
        assert_eq!(world.resolver.lookups(), outcomes.len(), "{}", case.id);
        let good: IpAddr = case.answers[0][0].parse().unwrap();
        assert!(world.dialled().iter().all(|address| *address == good), "{}", case.id);
        for (n, outcome) in outcomes.into_iter().enumerate() {
            if n % case.answers.len() == 0 {
                assert_eq!(outcome.unwrap(), "hello", "{}", case.id);
            } else {
                assert_refused(outcome, &case.id);
            }
        }
    }
}

/// With a kept connection the second step stays at the address that was judged.
#[tokio::test]
async fn a_warm_connection_does_not_follow_a_rebound_name() {
    let answers = [vec!["93.184.216.34".to_owned()], vec!["127.0.0.1".to_owned()]];
    let world = World::new(&answers, |_| {}, |_| ok("hello")).await;
    for _ in 0..100 {
        assert_eq!(world.fetch(&format!("https://{HOST}/")).await.unwrap(), "hello");
    }
    assert_eq!((world.dialled(), world.resolver.lookups()), (vec!["93.184.216.34".parse().unwrap()], 1));
}

#[tokio::test]
async fn too_many_addresses_are_refused() {
    let many = |count: u8| vec![(1..=count).map(|n| format!("93.184.216.{n}")).collect::<Vec<_>>()];
    let world = World::new(&many(33), |_| {}, |_| ok("hello")).await;
    assert_refused(world.fetch(&format!("https://{HOST}/")).await, "33 addresses");
    let world = World::new(&many(32), |_| {}, |_| ok("hello")).await;
    assert_eq!(world.fetch(&format!("https://{HOST}/")).await.unwrap(), "hello");
}

fn chain_answer(hop: &Hop) -> Vec<Step> {
    let mut headers = String::new();
    for (name, value) in hop
        .location
        .iter()
        .map(|location| ("location", location))
        .chain(hop.headers.iter().map(|(n, v)| (n.as_str(), v)))
    {
        headers.push_str(&format!("{name}: {value}\r\n"));
    }
    vec![answer(&format!("{} X", hop.status), &headers, hop.body.as_deref().unwrap_or_default())]
}

#[tokio::test]
async fn redirects() {
    let cases = cases("redirect");
    assert_eq!(cases.len(), 13);
    for case in cases {
        for redirects in
            [Redirects::Refuse, Redirects::SameOrigin { max: 3 }, Redirects::AnyOrigin { max: 3 }]
        {
            redirect_case(&case, redirects).await;
        }
    }
}

async fn redirect_case(case: &Case, redirects: Redirects) {
    let (chain, next) = (case.chain.clone(), Mutex::new(0));
    let world = World::new(
        &public(),
        |_| {},
        move |_| {
            let mut next = next.lock().unwrap();
            *next += 1;
            chain.get(*next - 1).map_or_else(|| ok("end of the chain"), chain_answer)
        },
    )
    .await;
    let mut request = Request { redirects, ..get(&world.egress, case.url.as_deref().unwrap()) };
    for (name, value) in &case.request_headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers.insert(name, HeaderValue::from_str(value).unwrap());
    }
    let outcome = world.egress.send(request).await;
    let id = format!("{} {redirects:?}", case.id);
    match case.expect.as_str() {
        "refuse_hop" => {
            let error = outcome.unwrap_err();
            assert!(
                matches!(error, EgressError::Refused(_) | EgressError::RedirectRefused),
                "{id}: {error:?}"
            );
            if redirects == (Redirects::AnyOrigin { max: 3 }) {
                assert!(matches!(error, EgressError::Refused(_)), "{id}: {error:?}");
                assert_eq!(world.server.received().len(), case.chain.len(), "{id}");
            }
        }
        "no_credentials_to_new_origin" => {
            let received = world.server.received();
            assert!(case.request_headers.keys().all(|name| received[0].header(name).is_some()), "{id}");
            for later in &received[1..] {
                assert!(case.request_headers.keys().all(|name| later.header(name).is_none()), "{id}");
            }
            assert_eq!(received.len(), if outcome.is_ok() { 2 } else { 1 }, "{id}");
            assert_eq!(outcome.is_ok(), matches!(redirects, Redirects::AnyOrigin { .. }), "{id}");
        }
        "not_followed" | "never_connects_to:127.0.0.1" => {
            outcome.unwrap().body.collect_bytes().await.unwrap();
            // A second request is not led astray by what the first answer advertised.
            world.fetch(case.url.as_deref().unwrap()).await.unwrap();
        }
        "error" => assert_eq!(outcome.unwrap_err(), EgressError::Protocol { sent: true }, "{id}"),
        other => panic!("{id}: unknown expectation {other}"),
    }
    let allowed: [IpAddr; 2] = ["93.184.216.34".parse().unwrap(), ELSEWHERE.parse().unwrap()];
    assert!(world.dialled().iter().all(|address| allowed.contains(address)), "{id}");
}

/// The environment of a process cannot be changed safely while it runs, so each case runs in a process of
/// its own: this test binary again, with the one test below.
#[tokio::test]
async fn proxies_of_the_environment() {
    let cases = cases("proxy_env");
    assert_eq!(cases.len(), 4);
    for case in cases {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let mut env: BTreeMap<String, String> =
            case.env.iter().map(|(name, value)| (name.clone(), value.replace("{{PROXY}}", &port))).collect();
        env.insert("EGRESS_TEST_URL".into(), case.url.clone().unwrap());
        let spec = ChildSpec {
            command: std::env::current_exe().unwrap().to_str().unwrap().into(),
            args: ["--exact", "vectors::cases::fetch_in_this_environment", "--ignored", "--nocapture"]
                .map(str::to_owned)
                .to_vec(),
            env,
            working_dir: None,
        };
        let mut child = child::spawn(&spec, &crate::Limits::default()).unwrap();
        let contacted = tokio::select! {
            connection = listener.accept() => {
                let mut method = [0; 8];
                connection.unwrap().0.read_exact(&mut method).await.unwrap();
                assert_eq!(&method, b"CONNECT ", "{}", case.id);
                true
            }
            exit = child.process.wait() => {
                assert_eq!(exit, Exit::Code(0), "{}: {}", case.id, child.process.stderr().text());
                false
            }
        };
        match case.expect.as_str() {
            "proxy_not_contacted" => assert!(!contacted, "{}", case.id),
            "proxy_contacted_with_connect" => assert!(contacted, "{}", case.id),
            other => panic!("{}: unknown expectation {other}", case.id),
        }
    }
}

#[tokio::test]
#[ignore = "run by `proxies_of_the_environment` in a process of its own"]
async fn fetch_in_this_environment() {
    let url = std::env::var("EGRESS_TEST_URL").unwrap();
    // The only proxy there is comes from the operator's configuration.
    let proxy = std::env::var("GW_EGRESS_PROXY").ok().map(|proxy| proxy.parse().unwrap());
    let configured = proxy.is_some();
    let world = World::new(&public(), |config| config.proxy = proxy, |_| ok("hello")).await;
    if configured {
        // The recording dialler would lead the proxy connection astray: the real one is wanted here.
        let resolver = StubResolver::new(&[(HOST, &[&["93.184.216.34"]])]);
        let proxy = std::env::var("GW_EGRESS_PROXY").unwrap().parse().unwrap();
        let config = EgressConfig { proxy: Some(proxy), ..EgressConfig::with_resolver(resolver) };
        let egress = Egress::new(config).unwrap();
        let _ = egress.send(get(&egress, &url)).await;
        return;
    }
    let outcome = world.fetch(&url).await;
    if url.starts_with("https://") {
        assert_eq!(outcome.unwrap(), "hello");
        assert_eq!(world.dialled(), ["93.184.216.34".parse::<IpAddr>().unwrap()]);
    } else {
        assert_refused(outcome, "plain http to a public host");
    }
}

#[tokio::test]
async fn miscellaneous() {
    let cases = cases("misc");
    assert_eq!(cases.len(), 7);
    for case in cases {
        match case.name.as_str() {
            "literal-bypasses-resolver" => literal_never_needs_the_resolver(&case).await,
            "self-connection" => own_listener_is_refused(&case).await,
            "response-not-reflected" => errors_do_not_quote_the_answer(&case).await,
            "tls-session-resumption" => sessions_do_not_move_between_addresses(&case).await,
            // Ran with a paused clock: `a_black_hole_ends_in_time`.
            "connect-timeout" => assert_eq!(case.expect, "error_within:15s"),
            // Whoever exports, notifies or logs in has nothing but `Egress::send`, which takes nothing but a
            // guarded URL.
            "webhook-and-siem" | "idp-config" => {
                assert_eq!(case.expect, "guarded");
                for url in ["https://10.0.0.1/export", "https://siem.corp/", "http://127.0.0.1:9200/_bulk"] {
                    assert!(closed_egress().check_url(url).is_err(), "{}: {url}", case.id);
                }
            }
            other => panic!("{}: unknown case {other}", case.id),
        }
    }
}

async fn literal_never_needs_the_resolver(case: &Case) {
    let world = World::new(&public(), |_| {}, |_| ok("x")).await;
    let url = case.url.as_deref().unwrap().replace("{{CLOSED}}", "8443");
    assert_refused(world.fetch(&url).await, &case.id);
    assert_eq!((world.dialled().len(), world.resolver.lookups()), (0, 0));
}

async fn own_listener_is_refused(case: &Case) {
    let own = |config: &mut EgressConfig| config.own_listeners = vec!["93.184.216.34:8443".parse().unwrap()];
    let world = World::new(&public(), own, |_| ok("x")).await;
    let url = |port| {
        let url = case.url.as_deref().unwrap().replace("{{GW_PUBLIC_IP}}", "93.184.216.34");
        url.replace("{{GW_PORT}}", port)
    };
    assert_refused(world.fetch(&url("8443")).await, &case.id);
    assert_refused(world.fetch(&format!("https://{HOST}:8443/")).await, &case.id);
    assert!(world.dialled().is_empty());
    assert!(world.egress.check_url(&url("9443")).is_ok());
}

async fn errors_do_not_quote_the_answer(case: &Case) {
    const CANARY: &str = "AKIAIOSFODNN7EXAMPLE";
    for steps in [
        vec![answer("200 OK", "content-encoding: br\r\n", CANARY)],
        vec![answer("302 Found", &format!("location: https://127.0.0.1/{CANARY}\r\n"), CANARY)],
        vec![answer("101 Switching", "", CANARY)],
        vec![send(format!("{CANARY}\r\n\r\n")), Step::Close],
    ] {
        let world = World::new(&public(), |_| {}, move |_| steps.clone()).await;
        let error = world.fetch(case.url.as_deref().unwrap()).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains(CANARY), "{}: {error:?}", case.id);
    }
}

async fn sessions_do_not_move_between_addresses(case: &Case) {
    let answers = [vec!["93.184.216.34".to_owned()], vec!["93.184.216.99".to_owned()]];
    let world = World::new(&answers, |_| {}, |_| one_answer_a_connection()).await;
    for _ in 0..4 {
        world.fetch(&format!("https://{HOST}/")).await.unwrap();
    }
    let handshakes = world.server.handshakes();
    assert_eq!(handshakes.len(), 4, "{}", case.id);
    assert!(!handshakes.contains(&HandshakeKind::Resumed), "{}", case.id);
}

/// Several black holes cost the connect deadline once, not once each.
#[tokio::test(start_paused = true)]
async fn a_black_hole_ends_in_time() {
    let dialer = Arc::new(RecordingDialer { dialled: Mutex::default(), server: None });
    let name = "192.0.2.1.blackhole.example.net";
    let addresses: &[&str] = &["93.184.216.34", "93.184.216.35", "2606:4700::1"];
    let config = EgressConfig::with_resolver(StubResolver::new(&[(name, &[addresses])]));
    let egress = Egress::with_dialer(config, dialer.clone()).unwrap();
    let started = tokio::time::Instant::now();
    let error = egress.send(get(&egress, &format!("https://{name}/"))).await.unwrap_err();
    assert!(matches!(error, EgressError::ConnectTimeout { .. }), "{error:?}");
    assert!(!error.request_may_have_been_sent());
    assert!(started.elapsed() <= Duration::from_secs(15));
    assert_eq!(dialer.dialled.lock().unwrap().len(), 3, "every address had its turn");
}

/// A network that leads a connection somewhere else is noticed.
#[tokio::test]
async fn a_peer_that_was_not_judged_is_refused() {
    #[derive(Debug)]
    struct Misled(SocketAddr);
    impl Dial for Misled {
        fn dial(&self, _: SocketAddr) -> BoxFuture<'static, io::Result<Dialled>> {
            TcpDialer.dial(self.0)
        }
    }
    let server = Server::plain(|_| ok("x")).await;
    let config = EgressConfig::with_resolver(StubResolver::new(&[]));
    let egress = Egress::with_dialer(config, Arc::new(Misled(server.address))).unwrap();
    let error = egress.send(get(&egress, "https://93.184.216.34/")).await.unwrap_err();
    assert!(matches!(error, EgressError::Refused(_)), "{error:?}");
    assert!(server.received().is_empty());
}
