//! Certificates of a private authority: right, wrong host, expired, unknown, and no TLS at all.

use rcgen::date_time_ymd;
use rustls::HandshakeKind;
use switchboard_domain::Stage;
use switchboard_egress::{Egress, EgressConfig, EgressConfigError, EgressError, TlsFailure};

use crate::support::*;

const NAME: &str = "mcp.vendor.example.com";

fn egress(certificates: Vec<Vec<u8>>) -> Egress {
    Egress::new(EgressConfig {
        allow_private_networks: true,
        extra_root_certificates: certificates,
        ..EgressConfig::with_resolver(StubResolver::new(&[(NAME, &[&["127.0.0.1"]])]))
    })
    .unwrap()
}

async fn failure(server: &Server, egress: &Egress) -> EgressError {
    let error = egress.send(get(egress, &format!("https://{NAME}:{}/", server.port()))).await.unwrap_err();
    assert_eq!(error.stage(), Stage::Tls);
    assert!(!error.request_may_have_been_sent());
    assert!(server.received().is_empty());
    error
}

#[tokio::test]
async fn a_private_authority_of_the_operator_is_trusted() {
    let authority = Authority::new();
    let server = Server::tls(authority.server(&[NAME]), |_| ok("secure")).await;
    let egress = egress(vec![authority.pem()]);
    let url = format!("https://{NAME}:{}/", server.port());
    let response = egress.send(get(&egress, &url)).await.unwrap();
    assert_eq!(response.peer, server.address);
    assert_eq!(response.body.collect_bytes().await.unwrap(), "secure");
    let with_root_dot = format!("https://{NAME}.:{}/", server.port());
    assert!(egress.send(get(&egress, &with_root_dot)).await.is_ok());
}

#[tokio::test]
async fn an_address_needs_a_certificate_for_the_address() {
    let authority = Authority::new();
    let server = Server::tls(authority.server(&["127.0.0.1"]), |_| ok("secure")).await;
    let egress = egress(vec![authority.pem()]);
    assert!(egress.send(get(&egress, &format!("https://{}/", server.address))).await.is_ok());
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_named() {
    let authority = Authority::new();
    let trusting = egress(vec![authority.pem()]);
    let cases = [
        (authority.server(&["other.example.com"]), &trusting, TlsFailure::WrongHost),
        (
            authority.server_with(&[NAME], |params| {
                params.not_before = date_time_ymd(2019, 1, 1);
                params.not_after = date_time_ymd(2020, 1, 1);
            }),
            &trusting,
            TlsFailure::Expired,
        ),
        (
            authority.server_with(&[NAME], |params| params.not_before = date_time_ymd(2900, 1, 1)),
            &trusting,
            TlsFailure::Expired,
        ),
        (authority.server(&[NAME]), &egress(vec![]), TlsFailure::UnknownIssuer),
        (Authority::new().server(&[NAME]), &trusting, TlsFailure::UnknownIssuer),
    ];
    for (config, egress, kind) in cases {
        let server = Server::tls(config, |_| ok("x")).await;
        assert_eq!(failure(&server, egress).await, EgressError::TlsFailed { kind });
    }
}

#[tokio::test]
async fn a_plain_server_does_not_get_a_request() {
    let server = Server::plain(|_| ok("plain")).await;
    // The handshake never looks like a request to it; it waits for more until the deadline of the handshake.
    let mut config = EgressConfig {
        allow_private_networks: true,
        ..EgressConfig::with_resolver(StubResolver::new(&[(NAME, &[&["127.0.0.1"]])]))
    };
    config.limits.tls_timeout = std::time::Duration::from_millis(200);
    let egress = Egress::new(config).unwrap();
    let error = failure(&server, &egress).await;
    assert!(matches!(error, EgressError::ConnectTimeout { stage: Stage::Tls, .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_in_plain_text_is_a_protocol_failure() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    });
    let egress = egress(vec![]);
    let error = egress.send(get(&egress, &format!("https://{NAME}:{port}/"))).await.unwrap_err();
    assert_eq!(error, EgressError::TlsFailed { kind: TlsFailure::Protocol });
}

/// A ticket handed out at one address is not shown to another: every connection is a full handshake.
#[tokio::test]
async fn sessions_are_not_resumed() {
    let authority = Authority::new();
    let server = Server::tls(authority.server(&[NAME]), |_| {
        vec![answer("200 OK", "connection: close\r\n", "x"), Step::Close]
    })
    .await;
    let egress = egress(vec![authority.pem()]);
    for _ in 0..3 {
        let url = format!("https://{NAME}:{}/", server.port());
        egress.send(get(&egress, &url)).await.unwrap().body.collect_bytes().await.unwrap();
    }
    let handshakes = server.handshakes();
    assert_eq!(handshakes.len(), 3);
    assert!(handshakes.iter().all(|kind| *kind != HandshakeKind::Resumed), "{handshakes:?}");
}

#[tokio::test]
async fn an_unusable_certificate_file_is_named_at_start() {
    for file in [
        b"not a certificate".to_vec(),
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(),
    ] {
        let config = EgressConfig { extra_root_certificates: vec![file], ..open_config() };
        assert!(matches!(Egress::new(config).unwrap_err(), EgressConfigError::RootCertificate(_)));
    }
}
