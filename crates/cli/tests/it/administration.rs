//! `admin` on an empty directory, and its refusals.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use crate::program::{Place, Server};

#[test]
fn an_empty_directory_is_enough() {
    for place in Place::each() {
        place.create_owner();
        let token = place.create_token("mcp:read");
        assert!(token.starts_with("swb_pat_"));
        place
            .run(&["admin", "create-owner", "--email", "ANA@example.com", "--password-file", "password"])
            .fails_with(1, &["already", "reset-password"]);
        place
            .run(&["admin", "reset-password", "--email", "ana@example.com", "--password-file", "password"])
            .ok();
        let nobody = ["admin", "create-token", "--email", "bob@example.com", "--scope", "api"];
        place.run(&nobody).fails_with(1, &["bob@example.com"]);
    }
}

#[test]
fn where_nothing_is_only_a_first_owner_or_organization_is_made() {
    for place in Place::each() {
        for command in [
            &["create-token", "--email", "ana@example.com", "--scope", "api"] as &[&str],
            &["setup-link"],
            &["reset-password", "--email", "ana@example.com", "--password-file", "password"],
        ] {
            place.run(&[&["admin"], command].concat()).fails_with(1, &["no Switchboard data", "--data-dir"]);
        }
        place.run(&["keys", "list"]).fails_with(1, &["no Switchboard data"]);
        assert!(!place.data().exists(), "nothing was made");
        place.run(&["admin", "create-organization", "--slug", "labs"]).ok();
        assert!(place.run(&["admin", "setup-link"]).ok().contains("/setup/"));
    }
}

#[test]
fn the_hint_for_a_new_setup_link_makes_one_that_works() {
    let place = Place::sqlite();
    let mut server = place.serve(&[]);
    let hint = server.line_with("new link:");
    let port = server.url.rsplit(':').next().unwrap();
    assert!(
        hint.contains("--data-dir /") && hint.contains(&format!("--public-url http://127.0.0.1:{port}")),
        "{hint}"
    );
    let (_, command) = hint.split_once("admin ").unwrap();
    let words: Vec<&str> = command.trim_end_matches(')').split_whitespace().collect();
    let link = place.run(&[&["admin"], &words[..]].concat()).ok();
    let path = link.trim().strip_prefix(&server.url).expect("a link to where it is served").to_owned();
    assert!(http(&server, &format!("GET {path} HTTP/1.1"), "").contains("Set up Switchboard"));
    // Without any flag too: the data directory says where it is served.
    let again = place.run(&["admin", "setup-link"]).ok();
    assert!(again.starts_with(&server.url), "{again}");
}

#[test]
fn wrong_input_is_refused_with_what_would_be_right() {
    let place = Place::sqlite();
    let scope = ["admin", "create-token", "--email", "ana@example.com", "--scope", "write"];
    place.run(&scope).fails_with(2, &["mcp:write"]);
    std::fs::write(place.path("short"), "short").unwrap();
    place
        .run(&["admin", "create-owner", "--email", "ana@example.com", "--password-file", "short"])
        .fails_with(1, &["at least 12"]);
    place
        .run(&["admin", "create-owner", "--email", "nobody", "--password-file", "password"])
        .fails_with(2, &["email address"]);
    place.create_owner();
    let resource =
        ["admin", "create-token", "--email", "ana@example.com", "--scope", "api", "--resource", "/nothing"];
    place.run(&resource).fails_with(2, &["/mcp/toolkits/"]);
    let lifetime =
        ["admin", "create-token", "--email", "ana@example.com", "--scope", "api", "--expires-in", "soon"];
    place.run(&lifetime).fails_with(2, &["30d"]);
}

#[test]
fn a_token_for_one_endpoint_is_no_use_elsewhere() {
    let place = Place::sqlite();
    place.create_owner();
    let bound = [
        "admin",
        "create-token",
        "--email",
        "ana@example.com",
        "--scope",
        "mcp:read,api",
        "--resource",
        "/mcp",
        "--json",
    ];
    let token = place.run(&bound).json()["token"].as_str().unwrap().to_owned();
    let server = place.serve(&[]);
    server.client(&place, &token, &["search", ""]).ok();
    server.client(&place, &token, &["connection", "list"]).fails_with(1, &["token"]);
}

#[test]
fn a_reset_password_ends_the_sessions_of_its_person() {
    for place in Place::each() {
        place.create_owner();
        let server = place.serve(&[]);
        let welcome = sign_in(&place, &server);
        let status = || status_with(&server, cookie(&welcome));
        assert_eq!(status(), "200");
        place
            .run(&["admin", "reset-password", "--email", "ana@example.com", "--password-file", "password"])
            .ok();
        assert_eq!(status(), "401");
    }
}

#[test]
fn how_long_a_session_holds_and_how_often_one_may_try_is_the_operators_to_say() {
    let place = Place::sqlite();
    place.create_owner();
    let settings = [("SWITCHBOARD_SESSION_IDLE", "0s"), ("SWITCHBOARD_SIGN_IN_ATTEMPTS_PER_MINUTE", "2")];
    let server = place.start_with(&["serve"], &settings);
    let welcome = sign_in(&place, &server);
    assert_eq!(status_with(&server, cookie(&welcome)), "401", "over as soon as it is not used");
    sign_in(&place, &server);
    let third = sign_in(&place, &server);
    assert!(third.starts_with("HTTP/1.1 429 ") && third.contains("sign_in.attempts_per_minute"), "{third}");
}

fn sign_in(place: &Place, server: &Server) -> String {
    let password = std::fs::read_to_string(place.path("password")).expect("a password");
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("email", "ana@example.com")
        .append_pair("password", password.trim_end())
        .finish();
    let head = format!(
        "POST /sign-in HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}",
        form.len()
    );
    http(server, &head, &form)
}

/// The session's cookie in an answer, as it is sent back.
fn cookie(answer: &str) -> &str {
    let (_, rest) = answer.split_once("set-cookie: ").unwrap_or_else(|| panic!("no session: {answer}"));
    rest.split(';').next().expect("a cookie")
}

fn status_with(server: &Server, cookie: &str) -> String {
    let head = format!("GET /api/v1/organization HTTP/1.1\r\ncookie: {cookie}");
    http(server, &head, "").split(' ').nth(1).expect("a status").to_owned()
}

/// What the server answers to this request line with headers, and this body.
#[expect(clippy::disallowed_methods, reason = "the client of a test, to the server it started")]
fn http(server: &Server, head: &str, body: &str) -> String {
    let address = server.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("the server answers");
    write!(stream, "{head}\r\nhost: {address}\r\nconnection: close\r\n\r\n{body}")
        .expect("a request is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
