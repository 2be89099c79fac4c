//! `admin` on an empty directory, and its refusals.

use crate::program::Place;

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
