//! What clients say of themselves in `testdata/security` (its README is the contract): documents and registrations.
//!
//! Requests of clients take a whole Switchboard, so they are not run here.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{ClientDocument, RedirectUri, Registration, is_client_document_url};

/// About how a document is fetched, not what is in it.
const OF_THE_FETCH: &[&str] = &["oauth-d060", "oauth-d061"];

fn vectors(file: &str, kind: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/security").join(file);
    let text = fs::read_to_string(&path).expect("the vectors");
    let lines = text.split('\n').filter(|line| !line.is_empty());
    let all = lines.map(|line| serde_json::from_str::<Value>(line).expect("a vector"));
    let found: Vec<_> = all.filter(|vector| vector["kind"] == kind).collect();
    assert!(!found.is_empty(), "{file} has no {kind}");
    found
}

fn document(vector: &Value) -> Vec<u8> {
    match (vector["document_raw"].as_str(), vector["document_gen"]["type"].as_str()) {
        (Some(raw), _) => raw.as_bytes().to_vec(),
        (None, Some(kind)) => generated(kind, vector["document_gen"]["bytes"].as_u64().expect("a size")),
        (None, None) => vector["document"].to_string().into_bytes(),
    }
}

fn generated(kind: &str, bytes: u64) -> Vec<u8> {
    let filling = "a".repeat(usize::try_from(bytes).expect("a size"));
    let body = match kind {
        "dcr_long_redirect" => json!({ "redirect_uris": [format!("https://app.example.net/{filling}")] }),
        "dcr_long_name" => json!({ "client_name": filling, "redirect_uris": ["http://127.0.0.1/cb"] }),
        unknown => panic!("generator {unknown}: say here what it makes"),
    };
    body.to_string().into_bytes()
}

fn texts(uris: &[RedirectUri]) -> Vec<&str> {
    uris.iter().map(RedirectUri::as_str).collect()
}

/// What is bad in a vector that may be taken without it; nothing of it is in `kept`, which is all that is stored.
fn check_stripped(vector: &Value, kept: &[&str]) {
    assert_eq!(vector["expect"], "refuse_or_strip", "{}: taken, with {kept:?}", vector["id"]);
    let bad = ["javascript:", "data:", "169.254.", "10.0.0.1", "192.168.", "admin"];
    assert!(kept.iter().all(|text| bad.iter().all(|bad| !text.contains(bad))), "{}: {kept:?}", vector["id"]);
}

#[test]
fn bad_documents_make_no_client() {
    for vector in vectors("bad_oauth_metadata.jsonl", "cimd") {
        let id = vector["id"].as_str().expect("an id");
        if OF_THE_FETCH.contains(&id) {
            continue;
        }
        let client_id = vector["ctx"]["client_id"].as_str().expect("a client_id");
        if !is_client_document_url(client_id) {
            continue;
        }
        if let Ok(client) = ClientDocument::parse(client_id, &document(&vector)) {
            let mut kept = texts(&client.redirect_uris);
            kept.push(&client.name);
            check_stripped(&vector, &kept);
        }
    }
}

#[test]
fn good_documents_make_one() {
    for vector in vectors("good_oauth_metadata.jsonl", "cimd") {
        let client_id = vector["ctx"]["client_id"].as_str().expect("a client_id");
        assert!(is_client_document_url(client_id), "{client_id}");
        let client = ClientDocument::parse(client_id, &document(&vector));
        let client = client.unwrap_or_else(|error| panic!("{}: {error}", vector["id"]));
        assert_eq!(client.name, vector["document"]["client_name"], "{}", vector["id"]);
    }
}

#[test]
fn bad_registrations_make_no_client() {
    for vector in vectors("bad_oauth_metadata.jsonl", "dcr_request") {
        if let Ok(client) = Registration::parse(&document(&vector)) {
            let mut kept = texts(&client.redirect_uris);
            kept.push(&client.name);
            check_stripped(&vector, &kept);
        }
    }
}

#[test]
fn good_registrations_make_one() {
    for vector in vectors("good_oauth_metadata.jsonl", "dcr_request") {
        let client = Registration::parse(&document(&vector));
        let client = client.unwrap_or_else(|error| panic!("{}: {error}", vector["id"]));
        assert_eq!(
            json!(texts(&client.redirect_uris)),
            vector["document"]["redirect_uris"],
            "{}",
            vector["id"]
        );
        assert_eq!(client.authentication.as_str(), vector["document"]["token_endpoint_auth_method"]);
    }
}
