//! What the listener bears: connections that hold their place, too many of them, headers and targets out of bounds.

use std::{net::SocketAddr, time::Duration};

use switchboard_testkit::app::{App, AppOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::support::sqlite;

async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    #[expect(clippy::disallowed_methods, reason = "what no well-behaved client does")]
    let connected = socket.connect(address).await;
    connected.unwrap()
}

fn request(app: &App, target: &str, more: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {}\r\n{more}\r\n", app.address)
}

/// All that comes until the other end closes; what was closed without a word says nothing.
async fn answer(stream: &mut TcpStream, request: &str) -> String {
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn once(app: &App, target: &str) -> String {
    answer(&mut connect(app.address).await, &request(app, target, "Connection: close\r\n")).await
}

/// Until it is answered with 200: somebody gives their place back.
async fn until_served(app: &App, target: &str) {
    for _ in 0..600 {
        if once(app, target).await.starts_with("HTTP/1.1 200") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{target} is not served any more");
}

#[tokio::test]
async fn who_never_reads_loses_their_place_and_signs_of_life_are_given_meanwhile() {
    let (db, _directory) = sqlite().await;
    let options = AppOptions {
        configure: |config| {
            config.max_connections = 2;
            config.write_timeout = Duration::from_secs(1);
        },
        ..AppOptions::default()
    };
    let app = App::start_with(db, options).await;
    let mut stalled = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(app.address).await;
        // Far more than the kernel takes for somebody who does not read.
        let many = request(&app, "/api/v1/openapi.json", "").repeat(400);
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.write_all(many.as_bytes())).await;
        stalled.push(stream);
    }
    let alive = once(&app, "/livez").await;
    assert!(alive.starts_with("HTTP/1.1 200"), "{alive}");
    until_served(&app, "/version").await;
    drop(stalled);
    app.stop().await;
}

#[tokio::test]
async fn beyond_the_bound_who_asks_is_told_so() {
    let (db, _directory) = sqlite().await;
    let options = AppOptions { configure: |config| config.max_connections = 1, ..AppOptions::default() };
    let app = App::start_with(db, options).await;
    let mut first = connect(app.address).await;
    first.write_all(request(&app, "/version", "").as_bytes()).await.unwrap();
    let mut served = [0; 12];
    first.read_exact(&mut served).await.unwrap();
    assert_eq!(&served, b"HTTP/1.1 200");
    let told = once(&app, "/version").await;
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("server.max_connections"), "{told}");
    assert!(once(&app, "/livez").await.starts_with("HTTP/1.1 200"));
    drop(first);
    until_served(&app, "/version").await;
    app.stop().await;
}

#[tokio::test]
async fn one_source_takes_a_part_of_the_connections_only() {
    let (db, _directory) = sqlite().await;
    let options =
        AppOptions { configure: |config| config.max_connections_per_source = 1, ..AppOptions::default() };
    let app = App::start_with(db, options).await;
    let mut first = connect(app.address).await;
    first.write_all(request(&app, "/version", "").as_bytes()).await.unwrap();
    let mut served = [0; 12];
    first.read_exact(&mut served).await.unwrap();
    assert_eq!(once(&app, "/version").await, "", "closed at once");
    drop(first);
    until_served(&app, "/version").await;
    app.stop().await;
}

#[tokio::test]
async fn headers_and_targets_have_bounds() {
    let (db, _directory) = sqlite().await;
    let app = App::start_with(db, AppOptions::default()).await;
    let ask = async |target: &str, more: &str| {
        let asked = request(&app, target, &format!("Connection: close\r\n{more}"));
        answer(&mut connect(app.address).await, &asked).await
    };
    for bytes in [33_000, 100_000, 1_000_000] {
        let large = ask("/version", &format!("X-Large: {}\r\n", "x".repeat(bytes))).await;
        assert!(large.is_empty() || large.starts_with("HTTP/1.1 431"), "{bytes}: {large}");
    }
    let told = ask("/version", &format!("X-Large: {}\r\n", "x".repeat(33_000))).await;
    assert!(told.contains("server.max_header_bytes"), "{told}");
    let many = (0..20).map(|at| format!("X-{at}: {}\r\n", "x".repeat(2_000))).collect::<String>();
    assert!(ask("/version", &many).await.starts_with("HTTP/1.1 431"));
    let fine = ask("/version", &format!("X-Large: {}\r\n", "x".repeat(30_000))).await;
    assert!(fine.starts_with("HTTP/1.1 200"), "{fine}");
    let ours = format!("http://{}/version", app.address);
    assert!(ask(&ours, "").await.starts_with("HTTP/1.1 200"), "both say the same");
    for other in ["http://evil.example/version", "http://127.0.0.1:1/version"] {
        assert!(ask(other, "").await.starts_with("HTTP/1.1 400"), "{other}");
    }
    app.stop().await;
}
