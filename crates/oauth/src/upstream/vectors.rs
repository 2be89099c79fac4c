//! The documents and answers of strangers in `testdata/security` (its README is the contract), judged by the guard
//! that judges them in production.

use std::{cell::Cell, fs, path::Path};

use serde_json::Value;
use switchboard_egress::{Egress, EgressConfig};

use super::{
    Authentication, AuthorizationAnswer, BearerChallenge, IssuedClient, MetadataKind, ProtectedResource,
    ServerMetadata, TokenAnswer,
};
use crate::Parameters;

/// About how something is fetched, or about who is at the browser: tested where that is decided.
const ELSEWHERE: &[(&str, &str)] = &[
    ("oauth-d017", "larger than `egress.limits.metadata_document_bytes`"),
    ("oauth-d018", "inflates beyond the same limit"),
    ("oauth-d020", "only status 200 is read"),
    ("oauth-d047", "redirects are not followed"),
    ("oauth-d048", "larger than the same limit"),
    ("oauth-d109", "redirects of a token endpoint are not followed"),
    ("oauth-d114", "a state nobody gave out"),
    ("oauth-d115", "a state that is over"),
    ("oauth-d116", "nobody is signed in"),
    ("oauth-d117", "another connection's callback"),
    ("oauth-d120", "`return_to` is read by nobody"),
    ("oauth-d121", "`return_to` is read by nobody"),
];

fn vectors(file: &str, kind: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/security").join(file);
    let text = fs::read_to_string(&path).expect("the vectors");
    let lines = text.split('\n').filter(|line| !line.is_empty());
    let all = lines.map(|line| serde_json::from_str::<Value>(line).expect("a vector"));
    all.filter(|vector| vector["kind"] == kind).collect()
}

fn document(vector: &Value) -> Vec<u8> {
    if vector["document_gen"]["type"] == "token_long" {
        let length =
            usize::try_from(vector["document_gen"]["bytes"].as_u64().expect("a size")).expect("a size");
        let token = "a".repeat(length);
        return format!(r#"{{"access_token":"{token}","token_type":"Bearer"}}"#).into_bytes();
    }
    match vector["document_raw"].as_str() {
        Some(raw) => raw.as_bytes().to_vec(),
        None => vector["document"].to_string().into_bytes(),
    }
}

fn text(vector: &Value, name: &str) -> String {
    vector["ctx"][name].as_str().unwrap_or_else(|| panic!("{}: no {name}", vector["id"])).to_owned()
}

/// What became of a vector: `Ok` when it was taken.
fn judged(vector: &Value, egress: &Egress) -> Result<(), String> {
    let asked = Cell::new(0);
    let allowed = |url: &str| {
        asked.set(asked.get() + 1);
        egress.check_url(url).is_ok()
    };
    let body = document(vector);
    match vector["kind"].as_str().expect("a kind") {
        "prm" => {
            let server = text(vector, "requested_resource").parse().expect("a URL");
            ProtectedResource::parse(&body, &server, &allowed).map(drop).map_err(|error| error.to_string())
        }
        kind @ ("asm" | "oidc") => {
            let kind = if kind == "asm" { MetadataKind::Oauth } else { MetadataKind::OpenId };
            let issuer = text(vector, "expected_issuer");
            ServerMetadata::parse(&body, kind, &issuer, &allowed).map(drop).map_err(|error| error.to_string())
        }
        "dcr_response" => {
            let now = 1_795_000_000;
            IssuedClient::parse(&body, Authentication::ClientSecretBasic, now, &allowed)
                .map(drop)
                .map_err(|error| error.to_string())
        }
        "token_response" => {
            let status = vector["status"].as_u64().map_or(200, |status| status as u16);
            TokenAnswer::parse(status, &body).map(drop).map_err(|error| error.to_string())
        }
        "authorization_response" => authorization_response(vector),
        "www_authenticate" => {
            let header = vector["headers"]["www-authenticate"].as_str().expect("a header");
            let header = header.replace("{{A*65536}}", &"A".repeat(65536));
            let challenge = BearerChallenge::parse([header.as_str()]).unwrap_or_default();
            let named = challenge.resource_metadata.ok_or("no metadata")?;
            if allowed(&named) { Ok(()) } else { Err("not allowed".into()) }
        }
        other => panic!("kind {other}: say here how it is judged"),
    }
}

fn authorization_response(vector: &Value) -> Result<(), String> {
    let pair = |name: &str, value: &Value| {
        let value = value.as_str().expect("a text").replace("{{A*1048576}}", &"A".repeat(1_048_576));
        (name.to_owned(), value)
    };
    let pairs: Vec<_> = match &vector["query"] {
        Value::Object(query) => query.iter().map(|(name, value)| pair(name, value)).collect(),
        list => {
            let list = list.as_array().expect("pairs");
            list.iter().map(|two| pair(two[0].as_str().expect("a name"), &two[1])).collect()
        }
    };
    let parameters = Parameters::new(pairs).ok_or("a parameter is there twice")?;
    let sends_issuer = vector["ctx"]["iss_supported"].as_bool().unwrap_or(false);
    let answer =
        AuthorizationAnswer::parse(&parameters, Some(&text(vector, "recorded_issuer")), sends_issuer);
    answer.map(drop).map_err(|error| error.to_string())
}

const KINDS: [&str; 7] =
    ["prm", "asm", "oidc", "dcr_response", "token_response", "authorization_response", "www_authenticate"];

#[tokio::test]
async fn what_is_bad_is_refused() {
    let egress = Egress::new(EgressConfig::default()).expect("the guard of production");
    let mut refused = 0;
    for vector in KINDS.into_iter().flat_map(|kind| vectors("bad_oauth_metadata.jsonl", kind)) {
        let id = vector["id"].as_str().expect("an id");
        if ELSEWHERE.iter().any(|(known, _)| *known == id) {
            continue;
        }
        match judged(&vector, &egress) {
            Err(_) => refused += 1,
            Ok(()) => assert_eq!(vector["expect"], "refuse_or_safe_default", "{id} {}", vector["why"]),
        }
    }
    assert!(refused > 60, "{refused}");
}

#[tokio::test]
async fn what_is_good_is_taken() {
    let egress = Egress::new(EgressConfig::default()).expect("the guard of production");
    let good = KINDS.into_iter().flat_map(|kind| vectors("good_oauth_metadata.jsonl", kind));
    for vector in good {
        judged(&vector, &egress).unwrap_or_else(|error| panic!("{}: {error}", vector["id"]));
    }
}

/// A lifetime that no clock can hold is none: the token is kept until it is refused.
#[test]
fn a_huge_lifetime_is_as_good_as_none() {
    let huge = vectors("bad_oauth_metadata.jsonl", "token_response");
    let huge = huge.iter().find(|vector| vector["id"] == "oauth-d106").expect("the vector");
    assert_eq!(TokenAnswer::parse(200, &document(huge)).expect("taken").expires_in, None);
}
