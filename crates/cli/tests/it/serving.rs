//! `serve` from the first start to the drain.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use rustix::process::Signal;
use switchboard_testkit::upstream::{Script, ScriptedUpstream};

use crate::program::{Finished, Place, mode};

#[test]
fn the_first_start_says_one_fact_a_line_and_how_to_become_the_owner() {
    let place = Place::sqlite();
    let mut server = place.serve(&[]);
    server.line_with("new link:");
    let text = server.transcript.join("\n");
    assert!(text.starts_with(&format!("switchboard {} (linux ", env!("CARGO_PKG_VERSION"))), "{text}");
    for part in [
        "\ndata      ",
        "(created)",
        "\ndatabase  sqlite ",
        "schema 0 → ",
        "\nkeys      generated ",
        "back this up",
        "\npublic    http://127.0.0.1:",
    ] {
        assert!(text.contains(part), "`{part}` is missing in\n{text}");
    }
    let link = server.line_with("/setup/");
    assert!(link.trim().starts_with(&format!("{}/setup/swb_set_", server.url)), "{link}");
    assert_eq!(mode(&place.data()), 0o700);
    assert_eq!(mode(&place.data().join("secrets/master.key")), 0o600);
    assert_eq!(mode(&place.data().join("switchboard.db")), 0o600);
    assert_eq!(server.stop().0, Some(0), "SIGTERM is an orderly end");
}

#[test]
fn a_second_start_keeps_everything() {
    for place in Place::each() {
        let (code, _) = place.serve(&[]).stop();
        assert_eq!(code, Some(0));
        place.create_owner();
        let token = place.create_token("mcp:read");
        let key = std::fs::read(place.data().join("secrets/master.key")).unwrap();
        let server = place.serve(&[]);
        let text = server.transcript.join("\n");
        assert!(!text.contains("(created)") && !text.contains("→") && !text.contains("generated"), "{text}");
        server.client(&place, &token, &["search", ""]).ok();
        assert_eq!(std::fs::read(place.data().join("secrets/master.key")).unwrap(), key);
        let (code, log) = server.stop();
        assert_eq!(code, Some(0), "{log}");
        assert!(!log.contains("/setup/"), "nothing offers the first owner's place again");
    }
}

#[test]
fn an_owner_from_the_settings_needs_no_link() {
    let place = Place::sqlite();
    let password = place.path("password");
    let toml = format!(
        "[bootstrap]\nowner_email = \"ana@example.com\"\nowner_password_file = \"{}\"\n",
        password.display()
    );
    std::fs::write(place.path("switchboard.toml"), toml).unwrap();
    let mut server = place.serve(&[]);
    server.line_with("Owner ana@example.com made");
    assert!(!server.transcript.join("\n").contains("/setup/"));
    let token = place.create_token("api");
    server.client(&place, &token, &["connection", "list"]).ok();
}

#[test]
fn a_setup_link_replaces_the_one_before_and_works_once() {
    let place = Place::sqlite();
    let mut server = place.serve(&[]);
    let first = server.line_with("/setup/").trim().to_owned();
    let listen = server.url.trim_start_matches("http://").to_owned();
    let second = place.run(&["admin", "setup-link", "--listen", &listen]).ok();
    assert!(second.trim().starts_with(&format!("{}/setup/", server.url)));
    assert_ne!(second.trim(), first);
    let host = listen.as_str();
    let over = ask(host, "GET", path_of(&first), "");
    assert!(!over.starts_with("HTTP/1.1 200"), "{over}");
    let path = path_of(second.trim());
    assert!(ask(host, "GET", path, "").starts_with("HTTP/1.1 200"), "looking at it changes nothing");
    let form = "organization=Acme&email=ana%40example.com&password=correct+horse+battery+staple";
    let done = ask(host, "POST", path, form);
    assert!(done.starts_with("HTTP/1.1 200") && done.contains("swb_pat_"), "{done}");
    let again = ask(host, "POST", path, form);
    assert!(!again.starts_with("HTTP/1.1 200") && !again.contains("swb_pat_"), "a link works once: {again}");
    place.run(&["admin", "setup-link"]).fails_with(1, &["There is an owner already", "reset-password"]);
    let (code, _) = server.stop();
    assert_eq!(code, Some(0));
    let mut server = place.serve(&[]);
    server.line_with("listening ");
    assert!(!server.transcript.join("\n").contains("/setup/"));
}

fn path_of(link: &str) -> &str {
    &link[link.find("/setup/").expect("a setup link")..]
}

/// One exchange, whole, as a browser without JavaScript makes it.
pub fn ask(host: &str, method: &str, path: &str, form: &str) -> String {
    let mut stream = connect(host);
    let length = form.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
    );
    stream.write_all(head.as_bytes()).expect("the request is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn admin_works_beside_a_running_server() {
    for place in Place::each() {
        let server = place.serve(&[]);
        place.create_owner();
        let token = place.create_token("mcp:read,mcp:write,api");
        server.client(&place, &token, &["connection", "list"]).ok();
        let other = ["admin", "create-organization", "--slug", "elsewhere", "--name", "Elsewhere"];
        place.run(&other).ok();
        let token_of = ["admin", "create-token", "--email", "ana@example.com", "--scope", "mcp:read"];
        place.run(&token_of).fails_with(2, &["--organization", "default", "elsewhere"]);
        assert_eq!(server.stop().0, Some(0));
    }
}

/// A server with a connection whose tool takes so long, called by the program. Once the call is at the
/// upstream, `signals` are sent, each after the one before was heard; how the call and the server ended.
fn stopped_during_a_call(takes: Duration, signals: &[Signal]) -> (Finished, Option<i32>) {
    let place = Place::sqlite();
    place.create_owner();
    let token = place.create_token("api,mcp:read,mcp:write");
    let mut server = place.serve(&["--allow-private-networks"]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let upstream = runtime.block_on(ScriptedUpstream::start(Script::new().call_delay(takes)));
    server.client(&place, &token, &["connection", "add", "slow", upstream.url(), "--everyone"]).ok();
    let (process, address) = (server.process(), server.url.trim_start_matches("http://").to_owned());
    let called = std::thread::scope(|scope| {
        scope.spawn(|| {
            runtime.block_on(upstream.log().wait_for("tools/call", 1));
            for (position, signal) in signals.iter().enumerate() {
                // Nobody is let in any more: the signal before was heard.
                while position > 0 && is_open(&address) {
                    std::thread::yield_now();
                }
                rustix::process::kill_process(process, *signal).expect("it runs");
            }
        });
        server.client(&place, &token, &["call", "slow.echo", r#"{"text": "still here"}"#])
    });
    (called, server.wait_for_end())
}

#[test]
fn a_call_in_progress_ends_before_the_program_does() {
    let (called, code) = stopped_during_a_call(Duration::from_secs(1), &[Signal::TERM]);
    assert!(called.ok().contains("still here"));
    assert_eq!(code, Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let (called, code) = stopped_during_a_call(Duration::from_secs(300), &[Signal::TERM, Signal::TERM]);
    called.fails_with(1, &["Can't reach"]);
    assert_eq!(code, Some(130));
}

#[expect(clippy::disallowed_methods, reason = "a client that only knocks")]
fn is_open(address: &str) -> bool {
    TcpStream::connect(address).is_ok()
}

#[expect(clippy::disallowed_methods, reason = "a client that does not behave, on purpose")]
fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address).expect("the server answers")
}

#[test]
fn the_service_manager_hears_of_readiness_and_of_the_end() {
    let place = Place::sqlite();
    let path = place.path("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let server = place.start_with(&["serve"], &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    let heard = || {
        let mut text = [0; 128];
        let length = manager.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    assert!(heard().starts_with("READY=1"));
    assert_eq!(server.stop().0, Some(0));
    assert!(heard().starts_with("STOPPING=1"));
}

#[test]
fn metrics_have_a_listener_of_their_own() {
    let place = Place::sqlite();
    let mut server = place.serve(&["--metrics-listen", "127.0.0.1:0"]);
    let line = server.line_with("metrics   ");
    let address = line.split("http://").nth(1).unwrap().trim_end_matches("/metrics").to_owned();
    let mut stream = connect(&address);
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("switchboard_build_info"), "{answer}");
}
