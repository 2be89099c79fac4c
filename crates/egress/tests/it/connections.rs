//! The pool: what is reused, what is closed, and that nothing is sent twice.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use hyper_util::rt::{TokioExecutor, TokioIo};
use switchboard_domain::Stage;
use switchboard_egress::{Egress, EgressConfig, EgressError};
use tokio_rustls::TlsAcceptor;

use crate::support::*;

#[tokio::test]
async fn one_warm_connection_serves_call_after_call() {
    let server = Server::plain(|_| ok("hello")).await;
    let resolver = StubResolver::new(&[("mcp.example.com", &[&["127.0.0.1"]])]);
    let egress = Egress::new(EgressConfig {
        allow_private_networks: true,
        ..EgressConfig::with_resolver(resolver.clone())
    })
    .unwrap();
    let url = format!("http://mcp.example.com:{}/", server.port());
    for _ in 0..50 {
        let response = egress.send(post(&egress, &url, "{}")).await.unwrap();
        response.body.collect_bytes().await.unwrap();
    }
    assert_eq!((server.accepted(), server.received().len(), resolver.lookups()), (1, 50, 1));
    assert_eq!(egress.connections_opened(), 1);
}

#[tokio::test]
async fn hosts_do_not_share_connections() {
    let server = Server::plain(|_| ok("hello")).await;
    let resolver =
        StubResolver::new(&[("a.example.com", &[&["127.0.0.1"]]), ("b.example.com", &[&["127.0.0.1"]])]);
    let egress =
        Egress::new(EgressConfig { allow_private_networks: true, ..EgressConfig::with_resolver(resolver) })
            .unwrap();
    for name in ["a", "b", "a", "b"] {
        let url = format!("http://{name}.example.com:{}/", server.port());
        egress.send(get(&egress, &url)).await.unwrap().body.collect_bytes().await.unwrap();
    }
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_dropped_body_closes_its_connection() {
    let server =
        Server::plain(|_| vec![send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"), Step::Hang]).await;
    let egress = open_egress();
    let url = format!("http://{}/", server.address);
    let mut response = egress.send(get(&egress, &url)).await.unwrap();
    assert_eq!(response.body.next_piece().await.unwrap().unwrap(), "half");
    drop(response);
    server.closed_by_client(1).await;
}

#[tokio::test]
async fn a_dropped_future_closes_its_connection() {
    let server = Server::plain(|_| vec![Step::Hang]).await;
    let egress = open_egress();
    let url = format!("http://{}/", server.address);
    let sending = tokio::spawn({
        let (egress, request) = (egress.clone(), post(&egress, &url, "{}"));
        async move { egress.send(request).await.map(drop) }
    });
    eventually(|| server.received().len() == 1).await;
    sending.abort();
    server.closed_by_client(1).await;
}

/// A kept connection that the server has closed meanwhile: the request was never begun, so it may go again.
#[tokio::test]
async fn a_stale_connection_costs_no_error() {
    let server = Server::plain(|_| vec![answer("200 OK", "", "x"), Step::Close]).await;
    let egress = open_egress();
    let url = format!("http://{}/", server.address);
    for call in 1..=20 {
        let response = egress.send(post(&egress, &url, "{}")).await.unwrap();
        response.body.collect_bytes().await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(server.received().len(), call);
    }
}

/// The server reads a request on a kept connection and dies: it may have run, so it must not go again.
#[tokio::test]
async fn a_request_that_may_have_run_is_never_sent_twice() {
    let calls = AtomicUsize::new(0);
    let server = Server::plain(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => ok("first"),
        _ => vec![Step::Close],
    })
    .await;
    let egress = open_egress();
    let url = format!("http://{}/", server.address);
    egress.send(post(&egress, &url, "1")).await.unwrap().body.collect_bytes().await.unwrap();
    let error = egress.send(post(&egress, &url, "2")).await.unwrap_err();
    assert_eq!(error, EgressError::ConnectionLost { sent: true });
    assert!(error.request_may_have_been_sent());
    tokio::time::sleep(Duration::from_millis(50)).await;
    let bodies: Vec<_> = server.received().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, [b"1", b"2"]);
}

/// Every race between the server's close and our next request, many times: each body arrives at most once.
#[tokio::test]
async fn closing_races_never_duplicate_a_request() {
    let server = Server::plain(|request| match request.body.last() {
        Some(b'0') => vec![answer("200 OK", "", "x"), Step::Close],
        Some(b'5') => vec![Step::Close],
        _ => ok("x"),
    })
    .await;
    let egress = open_egress();
    let url = format!("http://{}/", server.address);
    for number in 0..300 {
        let mut request = post(&egress, &url, "");
        request.body = number.to_string().into();
        let outcome = egress.send(request).await;
        if let Ok(response) = outcome {
            response.body.collect_bytes().await.unwrap();
        } else {
            assert!(outcome.unwrap_err().request_may_have_been_sent());
        }
    }
    let mut bodies: Vec<_> = server.received().into_iter().map(|request| request.body).collect();
    let received = bodies.len();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), received);
}

#[tokio::test]
async fn nothing_was_sent_when_nobody_listens() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let egress = open_egress();
    let error = egress.send(post(&egress, &format!("http://127.0.0.1:{port}/"), "{}")).await.unwrap_err();
    assert_eq!(error, EgressError::ConnectRefused);
    assert_eq!((error.stage(), error.code()), (Stage::Tcp, "connect_refused"));
    assert!(!error.request_may_have_been_sent());
    let unknown = egress.send(get(&egress, "https://nowhere.example.com/")).await.unwrap_err();
    assert_eq!((unknown.stage(), unknown.code()), (Stage::NameResolution, "dns_not_found"));
}

#[tokio::test]
async fn a_second_address_is_tried() {
    let server = Server::plain(|_| ok("hello")).await;
    let resolver = StubResolver::new(&[("two.example.com", &[&["127.0.0.9", "127.0.0.1"]])]);
    let egress =
        Egress::new(EgressConfig { allow_private_networks: true, ..EgressConfig::with_resolver(resolver) })
            .unwrap();
    let url = format!("http://two.example.com:{}/", server.port());
    assert_eq!(egress.send(get(&egress, &url)).await.unwrap().peer, server.address);
}

#[tokio::test]
async fn h2_is_negotiated_and_shares_one_connection() {
    let authority = Authority::new();
    let mut config = authority.server(&["mcp.example.com"]);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let stream = acceptor.accept(stream).await.unwrap();
            let service =
                hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                    let text = format!("{:?}", request.version());
                    Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::new(
                        bytes::Bytes::from(text),
                    )))
                });
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move {
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    let egress = Egress::new(EgressConfig {
        allow_private_networks: true,
        extra_root_certificates: vec![authority.pem()],
        ..EgressConfig::with_resolver(StubResolver::new(&[("mcp.example.com", &[&["127.0.0.1"]])]))
    })
    .unwrap();
    let url = format!("https://mcp.example.com:{port}/");
    for _ in 0..3 {
        let response = egress.send(post(&egress, &url, "{}")).await.unwrap();
        assert_eq!(response.body.collect_bytes().await.unwrap(), "HTTP/2.0");
    }
    let calls = (0..20).map(|_| egress.send(post(&egress, &url, "{}")));
    for response in futures_util::future::join_all(calls).await {
        assert_eq!(response.unwrap().body.collect_bytes().await.unwrap(), "HTTP/2.0");
    }
    assert_eq!(egress.connections_opened(), 1);
}

#[tokio::test]
async fn diagnosis_goes_step_by_step() {
    let authority = Authority::new();
    let server = Server::tls(authority.server(&["other.example.com"]), |_| ok("x")).await;
    let egress = Egress::new(EgressConfig {
        allow_private_networks: true,
        extra_root_certificates: vec![authority.pem()],
        ..EgressConfig::with_resolver(StubResolver::new(&[
            ("mcp.example.com", &[&["127.0.0.1"]]),
            ("other.example.com", &[&["127.0.0.1"]]),
        ]))
    })
    .unwrap();
    let stages = async |host: &str, port: u16| {
        let url = egress.check_url(&format!("https://{host}:{port}/")).unwrap();
        let outcomes = egress.diagnose(&url).await;
        outcomes
            .into_iter()
            .map(|(stage, outcome)| (stage, outcome.err().map(|e| e.code())))
            .collect::<Vec<_>>()
    };
    let (resolution, tcp) = ((Stage::NameResolution, None), (Stage::Tcp, None));
    assert_eq!(stages("other.example.com", server.port()).await, [resolution, tcp, (Stage::Tls, None)]);
    assert_eq!(
        stages("mcp.example.com", server.port()).await,
        [resolution, tcp, (Stage::Tls, Some("tls_wrong_host"))]
    );
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(stages("mcp.example.com", unused).await, [resolution, (Stage::Tcp, Some("connect_refused"))]);
    assert_eq!(stages("x.example.com", 443).await, [(Stage::NameResolution, Some("dns_not_found"))]);
}
