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
        let password = std::fs::read_to_string(place.path("password")).unwrap();
        let server = place.serve(&[]);
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let form = format!("email=ana%40example.com&password={}", encode(password.trim_end()));
        let welcome = http(
            &server,
            &format!(
                "POST /sign-in HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}",
                form.len()
            ),
            &form,
        );
        let (_, rest) = welcome.split_once("set-cookie: ").unwrap_or_else(|| panic!("{welcome}"));
        let cookie = rest.split(';').next().unwrap();
        let status = || {
            let answer = http(&server, &format!("GET /api/v1/organization HTTP/1.1\r\ncookie: {cookie}"), "");
            answer.split(' ').nth(1).unwrap().to_owned()
        };
        assert_eq!(status(), "200");
        place
            .run(&["admin", "reset-password", "--email", "ana@example.com", "--password-file", "password"])
            .ok();
        assert_eq!(status(), "401");
    }
}

/// What the server answers to this request line with headers, and this body.
#[expect(clippy::disallowed_methods, reason = "the client of a test, to the server it started")]
fn http(server: &Server, head: &str, body: &str) -> String {
    let address = server.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("the server answers");
    write!(stream, "{head}\r\nhost: {address}\r\nconnection: close\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
