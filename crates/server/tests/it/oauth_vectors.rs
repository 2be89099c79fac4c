//! What clients ask the authorization server in `testdata/security` (its README is the contract).
//!
//! What clients say of themselves, and what servers say to us as a client, is read without a server: it is run in `oauth`.

use std::{fs, path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};
use switchboard_domain::{Role, SystemRandom};
use switchboard_storage::{MemberStatus, OauthCode};
use switchboard_testkit::{
    app::{App, Browser, McpReply},
    on_both,
};
use switchboard_vault::{TokenKind, issue, parse};

use crate::oauth::{EMAIL, VERIFIER, answer, field, form, post, register, status_of};

const RUN_HERE: &[&str] = &["authorization_request", "token_request", "access_token_jwt"];
/// What clients say of themselves, and what third-party servers say to us as their client.
const RUN_IN_OAUTH: &[&str] = &[
    "cimd",
    "dcr_request",
    "prm",
    "asm",
    "dcr_response",
    "token_response",
    "authorization_response",
    "www_authenticate",
];
const RUN_BY_IDENTITY_VECTORS: &[&str] = &["oidc"];
const REGISTERED: &[&str] = &["https://app.example.net/cb", "http://127.0.0.1/cb"];

fn vectors() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/security");
    let read = |file: &str| fs::read_to_string(folder.join(file)).expect("the vectors");
    let text = read("bad_oauth_metadata.jsonl") + &read("good_oauth_metadata.jsonl");
    let lines = text.split('\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).expect("a vector")).collect()
}

fn of_kind(kind: &str) -> Vec<Value> {
    let found: Vec<_> = vectors().into_iter().filter(|vector| vector["kind"] == kind).collect();
    assert!(!found.is_empty(), "no {kind}");
    found
}

fn id(vector: &Value) -> &str {
    vector["id"].as_str().expect("an id")
}

/// Names and values of an object, or of a list of pairs.
fn pairs(value: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        Value::Array(pairs) => pairs.iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
        _ => Vec::new(),
    }
}

fn fill(pairs: Vec<(String, String)>, values: &[(&str, &str)]) -> Vec<(String, String)> {
    let filled = pairs.into_iter().map(|(name, text)| {
        let value =
            values.iter().fold(text, |text, (known, value)| text.replace(&format!("{{{{{known}}}}}"), value));
        assert!(!value.contains("{{"), "{value}: say what stands for it");
        (name, value)
    });
    filled.collect()
}

fn as_form(pairs: &[(String, String)]) -> String {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
    form(&pairs)
}

async fn client(app: &App) -> String {
    let registered = register(app, json!({ "client_name": "Vectors", "redirect_uris": REGISTERED })).await;
    field(&registered, "client_id")
}

/// Goes as far as a person gets who allows whatever they are asked: the last answer.
async fn allow(browser: &Browser, query: &str) -> McpReply {
    let begun = browser.get(&format!("/oauth/authorize?{query}")).await;
    let Some(consent) = begun.header("location").filter(|to| to.starts_with("/oauth/authorize/")) else {
        return begun;
    };
    let page = browser.get(consent).await;
    if page.status.as_u16() != 200 {
        return page;
    }
    browser.post(consent, &[("form_token", &page.hidden("form_token")), ("decision", "allow")]).await
}

fn plain_request(client: &str, resource: &str) -> String {
    form(&[
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", REGISTERED[0]),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
        ("resource", resource),
    ])
}

async fn code(browser: &Browser, client: &str, resource: &str) -> String {
    answer(&allow(browser, &plain_request(client, resource)).await, "code").expect("a code")
}

async fn tokens(app: &App, client: &str, code: &str) -> McpReply {
    let named = [("grant_type", "authorization_code"), ("client_id", client), ("code", code)];
    let more = [("redirect_uri", REGISTERED[0]), ("code_verifier", VERIFIER)];
    post(app, "/oauth/token", &[&named[..], &more[..]].concat()).await
}

/// A code of the same grant that was good until a moment ago.
async fn expired_code(app: &App, code: &str) -> String {
    let mut tx = app.db.write().await.unwrap();
    let hash = parse(code).unwrap().hash;
    let (grant, known) = tx.oauth_grants().find_by_code(hash.as_bytes()).await.unwrap().unwrap();
    let old = issue(TokenKind::AuthorizationCode, &SystemRandom);
    let now = app.broker.clock().now();
    let stored = OauthCode { hash: old.hash.0, expires_at: now.minus(Duration::from_secs(1)), ..known };
    tx.oauth_grants().insert_code(&grant, &stored, now).await.unwrap();
    tx.commit().await.unwrap();
    old.secret.expose().to_owned()
}

/// A token signed by nobody we know: access tokens of ours are opaque, so there is no key to sign one with.
fn signed(vector: &Value, app: &App) -> String {
    let resource = app.url("/mcp");
    let claims = vector["claims"].to_string().replace("{{GW_RESOURCE}}", &resource);
    let claims = claims.replace("{{GW_ISSUER}}", app.broker.issuer());
    let signature = match vector["sign"].as_str() {
        Some("none") => Vec::new(),
        Some("zero_signature") => vec![0; 64],
        _ => vec![7; 64],
    };
    let parts = [vector["header"].to_string().into_bytes(), claims.into_bytes(), signature];
    parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

#[test]
fn every_vector_is_of_a_kind_that_is_run() {
    for vector in vectors() {
        let kind = vector["kind"].as_str().expect("a kind");
        let run = [RUN_HERE, RUN_IN_OAUTH, RUN_BY_IDENTITY_VECTORS].concat();
        assert!(run.contains(&kind), "{} ({kind}): say where it is run", id(&vector));
    }
}

on_both! {
    async fn bad_requests_for_authorization_get_no_code(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        app.stranger(&[]).await;
        let (client, browser) = (client(&app).await, app.signed_in(EMAIL).await);
        let (resource, other) = (app.url("/mcp"), app.url("/o/elsewhere/mcp"));
        let values = [("CLIENT", &*client), ("GW_RESOURCE", &*resource), ("GW_RESOURCE_TENANT_B", &*other)];
        for vector in of_kind("authorization_request") {
            let query = fill(pairs(&vector["query"]), &values);
            let reply = allow(&browser, &as_form(&query)).await;
            let to = reply.header("location");
            let told = to.is_some_and(|to| to.starts_with("https://app.example.net/cb?error="));
            let redirect_uris: Vec<_> = query.iter().filter(|(name, _)| name == "redirect_uri").collect();
            let known = matches!(&redirect_uris[..], [(_, uri)] if REGISTERED.contains(&&**uri));
            let refused = reply.status.is_client_error() && to.is_none();
            assert!(refused || (known && told), "{}: {} {to:?}", id(&vector), reply.status);
        }
        assert!(!code(&browser, &client, &resource).await.is_empty(), "the request that they start from");
        let own = form(&[("response_type", "code"), ("redirect_uri", REGISTERED[0]),
            ("client_id", &app.url("/api/admin").replace("http://", "https://"))]);
        let reply = allow(&browser, &own).await;
        assert_eq!((reply.status.as_u16(), reply.header("location")), (400, None), "oauth-d060: a document of our own");
        app.stop().await;
    }

    async fn bad_requests_for_tokens_get_none(database) {
        let app = App::start(database.db.clone()).await;
        let mia = app.member_with_password(EMAIL, Role::Member).await;
        let (one, other, browser) = (client(&app).await, client(&app).await, app.signed_in(EMAIL).await);
        let resource = app.url("/mcp");
        let used = code(&browser, &one, &resource).await;
        let first = tokens(&app, &one, &used).await;
        let access = field(&first, "access_token");
        let kept = field(&tokens(&app, &one, &code(&browser, &one, &resource).await).await, "refresh_token");
        let leaving = field(&tokens(&app, &one, &code(&browser, &one, &resource).await).await, "refresh_token");
        for vector in of_kind("token_request") {
            let fresh = code(&browser, &one, &resource).await;
            let old = expired_code(&app, &fresh).await;
            let values = [
                ("CODE", &*fresh), ("CODE_USED", &used), ("CODE_OLD", &old), ("VERIFIER", VERIFIER), ("RT", &kept),
                ("RT_DISABLED_USER", &leaving), ("CLIENT", &one), ("CLIENT_2", &other), ("GW_RESOURCE", &resource),
            ];
            if vector["form"]["refresh_token"] == "{{RT_DISABLED_USER}}" {
                set_status(&app, mia, MemberStatus::Suspended).await;
            }
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
            if let Some(value) = vector["ctx"]["headers"]["authorization"].as_str() {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            let path = format!("/oauth/token?{}", as_form(&pairs(&vector["ctx"]["query"])));
            let body = as_form(&fill(pairs(&vector["form"]), &values));
            let reply = app.client_at(&path, None).send(Method::POST, headers, body).await;
            assert!(reply.status.is_client_error(), "{}: {} {}", id(&vector), reply.status, reply.text());
            assert!(reply.json()["error"].is_string() && reply.json().get("access_token").is_none());
            set_status(&app, mia, MemberStatus::Active).await;
        }
        assert_eq!(status_of(&app, "/mcp", &access).await, 401, "oauth-d136 ends what the first use gave");
        let good = tokens(&app, &one, &code(&browser, &one, &resource).await).await;
        assert_eq!(status_of(&app, "/mcp", &field(&good, "access_token")).await, 200);
        app.stop().await;
    }

    async fn no_signature_makes_an_access_token(database) {
        let app = App::start(database.db.clone()).await;
        for vector in of_kind("access_token_jwt") {
            assert_eq!(status_of(&app, "/mcp", &signed(&vector, &app)).await, 401, "{}", id(&vector));
        }
        app.stop().await;
    }
}

async fn set_status(app: &App, member: switchboard_domain::MemberId, status: MemberStatus) {
    let mut tx = app.db.write().await.unwrap();
    tx.members().set_status(app.organization, member, status, app.broker.clock().now()).await.unwrap();
    tx.commit().await.unwrap();
    app.broker.refresh_snapshots().await.unwrap();
}
