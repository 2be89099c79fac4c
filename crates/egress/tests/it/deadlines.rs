//! Slow and silent servers. The deadlines are short, and only the kind of the error is asserted.

use std::time::Duration;

use switchboard_egress::{Deadlines, EgressError, Request};

use crate::support::*;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);

async fn fetch(steps: Vec<Step>, deadlines: Deadlines) -> (EgressError, Server) {
    let server = Server::plain(move |_| steps.clone()).await;
    let egress = open_egress();
    let request = Request { deadlines, ..get(&egress, &format!("http://{}/", server.address)) };
    let error = match egress.send(request).await {
        Ok(response) => response.body.collect_bytes().await.unwrap_err(),
        Err(error) => error,
    };
    (error, server)
}

fn drip(every: Duration) -> Vec<Step> {
    let mut steps = vec![send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")];
    for _ in 0..10_000 {
        steps.push(Step::Send(chunk(b": keep-alive\n")));
        steps.push(Step::Wait(every));
    }
    steps
}

#[tokio::test]
async fn no_header_in_time() {
    let deadlines = Deadlines { total: LONG, first_byte: SHORT, idle: LONG };
    let (error, server) = fetch(vec![Step::Hang], deadlines).await;
    assert_eq!(error, EgressError::FirstByteTimeout { within: SHORT, sent: true });
    assert!(error.to_string().contains("egress.limits.first_byte_timeout"));
    server.closed_by_client(1).await;
}

#[tokio::test]
async fn a_dripping_header_counts_as_no_header() {
    let mut steps = vec![send("HTTP/1.1 200 OK\r\nx: ")];
    for _ in 0..10_000 {
        steps.push(send("a"));
        steps.push(Step::Wait(Duration::from_millis(20)));
    }
    let deadlines = Deadlines { total: LONG, first_byte: SHORT, idle: LONG };
    let (error, server) = fetch(steps, deadlines).await;
    assert_eq!(error, EgressError::FirstByteTimeout { within: SHORT, sent: true });
    server.closed_by_client(1).await;
}

#[tokio::test]
async fn silence_in_the_body() {
    let steps = vec![send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"), Step::Hang];
    let deadlines = Deadlines { total: LONG, first_byte: LONG, idle: SHORT };
    let (error, server) = fetch(steps, deadlines).await;
    assert_eq!(error, EgressError::IdleTimeout { within: SHORT });
    server.closed_by_client(1).await;
}

#[tokio::test]
async fn a_drip_that_never_idles_meets_the_total_deadline() {
    let total = Duration::from_secs(1);
    let deadlines = Deadlines { total, first_byte: LONG, idle: LONG };
    let (error, server) = fetch(drip(Duration::from_millis(10)), deadlines).await;
    assert_eq!(error, EgressError::DeadlineExceeded { within: total, sent: true });
    server.closed_by_client(1).await;
}

#[tokio::test]
async fn a_slow_answer_that_keeps_coming_is_not_idle() {
    let mut steps = vec![send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")];
    for _ in 0..6 {
        steps.push(Step::Send(chunk(b"x")));
        steps.push(Step::Wait(Duration::from_millis(200)));
    }
    steps.push(send("0\r\n\r\n"));
    let server = Server::plain(move |_| steps.clone()).await;
    let egress = open_egress();
    // Six pauses are longer than the idle deadline, each of them is shorter.
    let deadlines = Deadlines { total: LONG, first_byte: LONG, idle: Duration::from_millis(1_000) };
    let request = Request { deadlines, ..get(&egress, &format!("http://{}/", server.address)) };
    let response = egress.send(request).await.unwrap();
    assert_eq!(response.body.collect_bytes().await.unwrap(), "xxxxxx");
}

#[tokio::test]
async fn the_total_deadline_before_the_header() {
    let deadlines = Deadlines { total: SHORT, first_byte: LONG, idle: LONG };
    let (error, _) = fetch(vec![Step::Hang], deadlines).await;
    assert_eq!(error, EgressError::DeadlineExceeded { within: SHORT, sent: true });
}

#[tokio::test]
async fn progress_moves_the_total_deadline_and_the_longest_duration_is_none() {
    let mut steps = vec![send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")];
    steps.extend([
        Step::Send(chunk(b"a")),
        Step::Wait(Duration::from_millis(1_500)),
        Step::Send(chunk(b"b")),
    ]);
    steps.push(send("0\r\n\r\n"));
    let server = Server::plain(move |_| steps.clone()).await;
    let egress = open_egress();
    let deadlines =
        Deadlines { total: Duration::from_secs(1), first_byte: Duration::MAX, idle: Duration::MAX };
    let request = Request { deadlines, ..get(&egress, &format!("http://{}/", server.address)) };
    let mut response = egress.send(request).await.unwrap();
    response.body.extend_total_deadline(LONG);
    assert_eq!(response.body.collect_bytes().await.unwrap(), "ab");
}
