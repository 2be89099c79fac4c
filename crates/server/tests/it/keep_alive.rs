//! How long a connection is kept: for the head of a request a short while, for the next request a long one.

use std::time::Duration;

use switchboard_server::ServerConfig;
use switchboard_testkit::app::{App, AppOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::sqlite;

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(150);

/// A connection that a test sends what it likes on.
struct Wire(TcpStream);

impl Wire {
    #[expect(clippy::disallowed_methods, reason = "a client that does not behave, on purpose")]
    async fn to(app: &App) -> Self {
        Self(TcpStream::connect(app.address).await.unwrap())
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// One request and its answer.
    async fn ask(&mut self, app: &App) -> String {
        self.send(&format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", app.address)).await;
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok\n") {
            let mut piece = [0; 1024];
            let read = self.0.read(&mut piece).await.unwrap();
            assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&piece[..read]);
        }
        String::from_utf8(answer).unwrap()
    }

    /// A head, and as much after it as it says.
    async fn answer(&mut self) -> String {
        let mut answer = String::new();
        loop {
            if let Some((head, body)) = answer.split_once("\r\n\r\n") {
                let length =
                    head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
                if body.len() >= length.parse().unwrap() {
                    return answer;
                }
            }
            let mut piece = [0; 1024];
            let read = self.0.read(&mut piece).await.unwrap();
            assert!(read > 0, "closed after {answer}");
            answer.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        }
    }

    /// Waits until the other side closes, and gives what came before.
    async fn closed(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = tokio::time::timeout(LONG / 60, self.0.read_to_end(&mut rest)).await.expect("it is closed");
        rest
    }
}

async fn app(configure: fn(&mut ServerConfig)) -> (App, tempfile::TempDir) {
    let (db, directory) = sqlite().await;
    (App::start_with(db, AppOptions { configure, ..AppOptions::default() }).await, directory)
}

#[tokio::test]
async fn a_connection_outlives_the_time_for_a_head_while_it_waits_for_its_next_request() {
    let (app, _directory) = app(|config| {
        config.request_head_timeout = SHORT;
        config.keep_alive = LONG;
    })
    .await;
    let mut kept = Wire::to(&app).await;
    assert!(kept.ask(&app).await.starts_with("HTTP/1.1 200"));
    // Three heads that never end, one after the other: when the last is cut, the kept one has waited longer than a head may.
    for _ in 0..3 {
        let mut slow = Wire::to(&app).await;
        slow.send("GET /livez HTTP/1.1\r\nHost: ").await;
        assert_eq!(slow.closed().await, b"");
    }
    assert!(kept.ask(&app).await.starts_with("HTTP/1.1 200"), "the client may use it again");
    app.stop().await;
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_on_a_connection_that_was_good_before() {
    let (app, _directory) = app(|config| {
        config.request_head_timeout = SHORT;
        config.keep_alive = LONG;
    })
    .await;
    let mut slow = Wire::to(&app).await;
    slow.ask(&app).await;
    slow.ask(&app).await;
    slow.send("GET /livez HTTP/1.1\r\nX-A: b\r\n").await;
    assert_eq!(slow.closed().await, b"");
    let silent = Wire::to(&app).await;
    assert_eq!(silent.closed().await, b"", "nor may the first head be waited for");
    app.stop().await;
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed_in_the_end() {
    let (app, _directory) = app(|config| {
        config.request_head_timeout = LONG;
        config.keep_alive = SHORT;
    })
    .await;
    let mut kept = Wire::to(&app).await;
    assert!(kept.ask(&app).await.starts_with("HTTP/1.1 200"));
    assert_eq!(kept.closed().await, b"");
    app.stop().await;
}

#[tokio::test]
async fn a_request_that_is_refused_by_its_head_leaves_the_connection_good() {
    let (app, _directory) = app(|_| ()).await;
    let head = |more: &str| format!("POST /mcp HTTP/1.1\r\nHost: {}\r\n{more}\r\n", app.address);
    let mut kept = Wire::to(&app).await;
    for _ in 0..2 {
        kept.send(&head("Content-Type: application/json\r\nContent-Length: 2\r\n")).await;
        // The body comes when the head was judged.
        tokio::time::sleep(SHORT).await;
        kept.send("{}").await;
        let refused = kept.answer().await;
        assert!(refused.starts_with("HTTP/1.1 401") && !refused.contains("close"), "{refused}");
    }
    assert!(kept.ask(&app).await.starts_with("HTTP/1.1 200"), "and goes on with what comes next");

    for (more, body) in [
        ("Content-Length: 1000000\r\n", "x".repeat(100_000)),
        ("Content-Length: 5\r\nExpect: 100-continue\r\n", String::new()),
        ("Content-Length: 5\r\n", "four".into()),
    ] {
        let mut told = Wire::to(&app).await;
        told.send(&head(more)).await;
        told.send(&body).await;
        let refused = String::from_utf8(told.closed().await).unwrap();
        assert!(
            refused.starts_with("HTTP/1.1 401") && refused.contains("connection: close"),
            "{more}{refused}"
        );
    }
    app.stop().await;
}
