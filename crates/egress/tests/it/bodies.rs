//! Sizes, codings and header sections of answers.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use http::{HeaderValue, header::CONTENT_ENCODING};
use http_body_util::BodyExt as _;
use switchboard_egress::{Body, ByteLimit, EgressError, Request};

use crate::support::*;

const LIMIT: ByteLimit = ByteLimit { name: "egress.limits.answer_bytes", bytes: 1000 };
const TOO_LARGE: EgressError =
    EgressError::BodyTooLarge { limit_name: "egress.limits.answer_bytes", limit: 1000 };

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Sends one GET to a server that answers with `steps` and takes the whole body.
async fn fetch(steps: Vec<Step>, change: impl FnOnce(&mut Request)) -> Result<Vec<u8>, EgressError> {
    let server = Server::plain(move |_| steps.clone()).await;
    let egress = open_egress();
    let mut request = get(&egress, &format!("http://{}/", server.address));
    change(&mut request);
    let body: Body = egress.send(request).await?.body;
    body.collect_bytes().await.map(|bytes| bytes.to_vec())
}

fn limited(request: &mut Request) {
    (request.max_wire_bytes, request.max_inflated_bytes) = (LIMIT, LIMIT);
}

#[tokio::test]
async fn a_body_up_to_the_limit_passes_and_one_more_byte_does_not() {
    assert_eq!(fetch(ok([b'a'; 1000]), limited).await.unwrap().len(), 1000);
    assert_eq!(fetch(ok([b'a'; 1001]), limited).await.unwrap_err(), TOO_LARGE);
    assert!(TOO_LARGE.to_string().contains("egress.limits.answer_bytes"));
}

#[tokio::test]
async fn an_endless_chunked_body_stops_at_the_limit() {
    let mut steps = vec![send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")];
    steps.extend((0..20).map(|_| Step::Send(chunk(&[b'a'; 100]))));
    steps.push(Step::Hang);
    assert_eq!(fetch(steps, limited).await.unwrap_err(), TOO_LARGE);
}

#[tokio::test]
async fn many_pieces_are_joined_in_order() {
    let mut steps = vec![send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")];
    for n in 0..10 {
        steps.push(Step::Send(chunk(format!("{n},").as_bytes())));
        steps.push(Step::Wait(std::time::Duration::from_millis(2)));
    }
    steps.push(send("0\r\n\r\n"));
    assert_eq!(fetch(steps, |_| {}).await.unwrap(), b"0,1,2,3,4,5,6,7,8,9,");
}

#[tokio::test]
async fn a_listing_of_two_megabytes_passes_with_the_defaults() {
    let listing = vec![b'x'; 2_200_000];
    assert_eq!(fetch(ok(&listing), |_| {}).await.unwrap().len(), listing.len());
}

#[tokio::test]
async fn gzip_is_asked_for_only_on_request_and_inflated_always() {
    let packed = gzip(b"hello hello hello");
    let server = Server::plain(move |_| vec![answer("200 OK", "content-encoding: GZIP\r\n", &packed)]).await;
    let egress = open_egress();
    for (accept_gzip, asked) in [(false, "identity"), (true, "gzip")] {
        let request = Request { accept_gzip, ..get(&egress, &format!("http://{}/", server.address)) };
        let response = egress.send(request).await.unwrap();
        assert!(!response.headers.contains_key(CONTENT_ENCODING));
        assert_eq!(response.body.collect_bytes().await.unwrap(), "hello hello hello");
        assert_eq!(server.received().last().unwrap().header("accept-encoding"), Some(asked));
    }
}

#[tokio::test]
async fn a_gzip_bomb_stops_at_the_inflated_limit() {
    let bomb = gzip(&vec![0; 20 << 20]);
    assert!(bomb.len() < 32_000);
    let steps = vec![answer("200 OK", "content-encoding: gzip\r\n", &bomb)];
    let error = fetch(steps, |request| request.max_inflated_bytes = LIMIT).await.unwrap_err();
    assert_eq!(error, TOO_LARGE);
}

#[tokio::test]
async fn other_or_stacked_codings_are_refused() {
    for coding in [
        "content-encoding: br\r\n",
        "content-encoding: deflate\r\n",
        "content-encoding: gzip, gzip\r\n",
        "content-encoding: gzip\r\ncontent-encoding: gzip\r\n",
        "content-encoding: identity, gzip\r\n",
    ] {
        let error = fetch(vec![answer("200 OK", coding, gzip(b"x"))], |_| {}).await.unwrap_err();
        assert_eq!(error, EgressError::UnsupportedEncoding, "{coding}");
    }
}

#[tokio::test]
async fn a_truncated_answer_is_an_error() {
    let mut packed = gzip(&[b'z'; 5000]);
    packed.truncate(packed.len() - 9);
    let error = fetch(vec![answer("200 OK", "content-encoding: gzip\r\n", &packed)], |_| {}).await;
    assert_eq!(error.unwrap_err(), EgressError::ConnectionLost { sent: true });
    let cut = vec![send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"), Step::Close];
    assert_eq!(fetch(cut, |_| {}).await.unwrap_err(), EgressError::ConnectionLost { sent: true });
}

#[tokio::test]
async fn header_sections_are_bounded() {
    let many: String = (0..101).map(|n| format!("x-{n}: v\r\n")).collect();
    let long = format!("x-long: {}\r\n", "v".repeat(33 * 1024));
    let huge = format!("x-huge: {}\r\n", "v".repeat(1024 * 1024));
    for headers in [many, long, huge] {
        let error = fetch(vec![answer("200 OK", &headers, "x"), Step::Close], |_| {}).await.unwrap_err();
        assert_eq!(error, EgressError::HeadersTooLarge { count: 100, bytes: 32 * 1024 });
    }
    let fits: String = (0..90).map(|n| format!("x-{n}: v\r\n")).collect();
    assert!(fetch(vec![answer("200 OK", &fits, "x")], |_| {}).await.is_ok());
}

#[tokio::test]
async fn what_is_not_http_and_what_switches_protocols_is_refused() {
    for text in [
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ] {
        let error = fetch(vec![send(text), Step::Close], |_| {}).await.unwrap_err();
        assert_eq!(error, EgressError::Protocol { sent: true }, "{text}");
    }
}

#[tokio::test]
async fn early_hints_and_trailers_are_not_passed_on() {
    let steps = vec![
        send("HTTP/1.1 103 Early Hints\r\nlink: <http://127.0.0.1/>; rel=preload\r\n\r\n"),
        send(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n2\r\nhi\r\n0\r\nx-t: 1\r\n\r\n",
        ),
    ];
    let server = Server::plain(move |_| steps.clone()).await;
    let egress = open_egress();
    let response = egress.send(get(&egress, &format!("http://{}/", server.address))).await.unwrap();
    assert!(!response.headers.contains_key("link"));
    let collected = response.body.collect().await.unwrap();
    assert!(collected.trailers().is_none());
    assert_eq!(collected.to_bytes(), "hi");
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn connection_headers_of_the_caller_do_not_frame_the_request() {
    let server = Server::plain(|_| ok("x")).await;
    let egress = open_egress();
    let mut request = post(&egress, &format!("http://{}/", server.address), "body");
    for (name, value) in [
        ("host", "evil.example"),
        ("content-length", "1"),
        ("transfer-encoding", "chunked"),
        ("x-key", "kept"),
    ] {
        request.headers.insert(name, HeaderValue::from_static(value));
    }
    egress.send(request).await.unwrap();
    let received = server.received().remove(0);
    assert_eq!(received.header("host"), Some(server.address.to_string().as_str()));
    assert_eq!(received.header("content-length"), Some("4"));
    assert_eq!(received.header("transfer-encoding"), None);
    assert_eq!(received.header("x-key"), Some("kept"));
    assert_eq!(received.body, b"body");
}
