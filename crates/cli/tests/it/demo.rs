//! `demo`: what it prints works as it stands.

use crate::program::{Place, Server};

fn demo(place: &Place) -> (Server, String) {
    demo_with(place, &["demo"])
}

fn demo_with(place: &Place, command: &[&str]) -> (Server, String) {
    let mut server = place.start(command);
    server.line_with("An AI client connects");
    let exported = server.line_with("SWITCHBOARD_TOKEN=");
    let token = exported.split("SWITCHBOARD_TOKEN=").nth(1).expect("a token").trim().to_owned();
    (server, token)
}

#[test]
fn the_first_call_works_from_the_shell() {
    let place = Place::sqlite();
    let (server, token) = demo(&place);
    let found = server.client(&place, &token, &["search", "remember something"]).ok();
    assert!(found.contains("sample.add_note"), "{found}");
    let note = server.client(&place, &token, &["call", "sample.add_note", r#"{"text": "first call"}"#]).ok();
    assert!(note.contains("first call"), "{note}");
    let listed = server.client(&place, &token, &["call", "sample.list_notes", "--json"]).json();
    assert_eq!(listed["structuredContent"]["notes"][0]["text"], "first call");
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn failures_say_who_failed() {
    let place = Place::sqlite();
    let (server, token) = demo(&place);
    let run = |arguments: &[&str]| server.client(&place, &token, arguments);
    run(&["call", "sample.always_fails"]).fails_with(1, &["The tool failed", "always fails"]);
    run(&["call", "sample.add_nte"]).fails_with(1, &["unknown_capability", "sample.add_note"]);
    run(&["call", "sample.add_note", r#"{"text": 1}"#]).fails_with(1, &["invalid_arguments"]);
    run(&["call", "sample.add_note", "{text"]).fails_with(2, &["not JSON"]);
    let hostile = run(&["call", "sample.calculate", r#"{"expression": "\u001b[31m1"}"#]);
    assert!(!hostile.stderr.contains('\u{1b}'), "an upstream's text can't drive the terminal: {hostile:?}");
    place
        .run_with(
            &["search", "x"],
            &[("SWITCHBOARD_SERVER", &server.url), ("SWITCHBOARD_TOKEN", "swb_pat_wrong")],
        )
        .fails_with(1, &["token"]);
    let bearer = format!("Bearer {token}");
    let quoted = format!("\"{token}\"");
    for (wrong, said) in [(bearer, "the word Bearer"), (quoted, "quotation marks")] {
        let environment = [("SWITCHBOARD_SERVER", &*server.url), ("SWITCHBOARD_TOKEN", &*wrong)];
        let refused = place.run_with(&["search", "x"], &environment);
        let told = refused.fails_with(2, &["SWITCHBOARD_TOKEN", said]);
        assert!(!told.contains(&token), "{told}");
    }
}

#[test]
fn everything_is_listed_page_by_page_and_removals_say_what_is_gone() {
    let place = Place::sqlite();
    let (server, token) = demo(&place);
    let run = |arguments: &[&str]| server.client(&place, &token, arguments);
    let first = run(&["search", "--limit", "2"]);
    let cursor = first.stderr.split("--cursor ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let second = run(&["search", "--limit", "2", "--cursor", &cursor]).ok();
    assert!(second.contains("sample.") && second != first.ok(), "{second}");
    assert!(run(&["connections", "list"]).ok().contains("sample"));
    assert!(run(&["policies", "list", "--json"]).json().is_array());
    let quota = ["--connection", "sample", "--per", "month"];
    run(&[&["quota", "set", "500"][..], &quota].concat()).ok();
    assert!(run(&["quota", "list"]).ok().contains("500"));
    let removed = run(&[&["quota", "delete"][..], &quota].concat());
    assert!(removed.stderr.contains("The quota of sample a month is removed."), "{removed:?}");
    run(&["guardrail", "set", "http://127.0.0.1:8099/guard"]).ok();
    let removed = run(&["guardrail", "remove", "--yes"]);
    assert!(removed.stderr.contains("The guardrail is removed"), "{removed:?}");
    run(&["webhook", "add", "ours", "http://127.0.0.1:8099/hook", "--event", "approval.requested"]).ok();
    assert!(run(&["webhook", "disable", "ours"]).stderr.contains("ours is off."));
    assert!(run(&["webhook", "delete", "ours", "--yes"]).stderr.contains("ours is removed."));
    let removed = run(&["connection", "delete", "mail", "--yes"]);
    assert!(removed.stderr.contains("mail is removed."), "{removed:?}");
}

#[test]
fn connections_grants_and_tokens_by_command() {
    let place = Place::sqlite();
    let (server, token) = demo(&place);
    let run = |arguments: &[&str]| server.client(&place, &token, arguments);
    let listed = run(&["connection", "list"]).ok();
    assert!(listed.contains("sample") && listed.contains("connected"), "{listed}");
    assert!(run(&["connection", "check", "sample"]).ok().contains("tools"));
    assert_eq!(run(&["grant", "sample"]).ok().trim(), "everyone");
    run(&["connection", "show", "sampel"]).fails_with(1, &["did you mean `sample`?"]);
    run(&["connection", "add", "inner", "https://169.254.169.254/mcp"]).fails_with(1, &["never opened"]);
    let explain = ["policy", "explain", "sample.add_note"];
    assert!(run(&explain).ok().starts_with("allow\n"));
    std::fs::write(place.path("rules.json"), r#"[{"pattern": "sample.add_note", "action": "block"}]"#)
        .unwrap();
    run(&["policy", "set", "rules.json", "--mine"]).ok();
    let why = run(&explain).ok();
    assert!(
        why.starts_with("deny\n") && why.contains("member rule 1: sample.add_note block  <- decides"),
        "{why}"
    );
    let made = run(&["token", "create", "--name", "laptop", "--scope", "mcp:read"]).ok();
    let made = made.trim();
    server.client(&place, made, &["search", ""]).ok();
    let listed = run(&["token", "list", "--json"]).json();
    let row = listed["items"].as_array().unwrap().iter().find(|row| row["name"] == "laptop").unwrap();
    run(&["token", "revoke", row["id"].as_str().unwrap()]).ok();
    server.client(&place, made, &["search", ""]).fails_with(1, &["revoked"]);
}

#[test]
fn a_held_call_is_approved_from_the_shell() {
    let place = Place::sqlite();
    let (server, token) = demo_with(&place, &["demo", "--data-dir", "kept"]);
    let run = |arguments: &[&str]| server.client(&place, &token, arguments);
    let rules = r#"[{"pattern": "sample.add_note", "action": "require_approval"}]"#;
    std::fs::write(place.path("rules.json"), rules).unwrap();
    run(&["policy", "set", "rules.json"]).ok();
    let note = ["call", "sample.add_note", r#"{"text": "held"}"#];
    let held = run(&note);
    let listed = run(&["approval", "list", "--all", "--json"]).json();
    let id = listed["items"][0]["id"].as_str().unwrap().to_owned();
    let again = format!("call sample.add_note '{{\"text\": \"held\"}}' --approval {id}");
    let told = held.fails_with(1, &["approval_required", "have it approved at", &again]);
    assert!(!told.contains("approval_id"), "that is for agents: {told}");
    run(&["approval", "approve", &id]).fails_with(1, &["You may not decide this call"]);
    let made = run(&["token", "create", "--name", "its own", "--scope", "api"]).ok();
    let own = server.client(&place, made.trim(), &["approval", "approve", &id]);
    own.fails_with(1, &["You may not decide this call"]);
    let token_of =
        ["admin", "create-token", "--email", "owner@demo.invalid", "--scope", "api", "--data-dir", "kept"];
    let made = place.run(&token_of).ok();
    let person = |arguments: &[&str]| server.client(&place, made.trim(), arguments);
    assert!(person(&["approval", "list"]).ok().contains("sample.add_note"));
    let shown = person(&["approval", "show", &id]).ok();
    assert!(shown.contains("\"text\": \"held\"") && shown.contains("pending"), "{shown}");
    person(&["approval", "approve", "nonsense"]).fails_with(2, &["approval list"]);
    person(&["approval", "approve", &id]).ok();
    let approved = [&note[..], &["--approval", &id]].concat();
    assert!(run(&approved).ok().contains("held"));
    run(&approved).fails_with(1, &["approval_required"]);
    person(&["approval", "decline", &id]).fails_with(1, &["already"]);
}

#[test]
fn a_demo_that_is_kept_starts_again() {
    let place = Place::sqlite();
    for _ in 0..2 {
        let mut server = place.start(&["demo", "--data-dir", "kept"]);
        server.line_with("An AI client connects");
        let (code, log) = server.stop();
        assert_eq!(code, Some(0));
        assert!(!log.contains("of the audit log is signed"), "nothing breaks what it tells: {log}");
    }
    assert!(place.path("kept/switchboard.db").exists());
}

#[test]
fn no_server_is_a_message_with_the_next_step() {
    let place = Place::sqlite();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let environment =
        [("SWITCHBOARD_SERVER", format!("http://{free}")), ("SWITCHBOARD_TOKEN", "swb_pat_x".into())];
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    place.run_with(&["search", "x"], &environment).fails_with(1, &["Can't reach", "switchboard serve"]);
    place
        .run_with(&["search", "x", "--server", "http://8.8.8.8"], &environment)
        .fails_with(2, &["https://host"]);
}
