//! `/setup/{token}` and the pages around it.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use switchboard_domain::{Clock as _, SetupLinkId, SystemClock, SystemRandom};
use switchboard_storage::{Db, MemberStatus};
use switchboard_testkit::app::{App, McpReply};
use switchboard_vault::{TokenKind, issue};

use crate::support::sqlite;

async fn link(app: &App, lifetime: Duration) -> String {
    let issued = issue(TokenKind::SetupLink, &SystemRandom);
    let now = SystemClock.now();
    let mut tx = app.db.write().await.unwrap();
    let id = SetupLinkId::new(&SystemClock, &SystemRandom);
    tx.setup_links().insert(id, issued.hash.as_bytes(), now, now.plus(lifetime)).await.unwrap();
    tx.commit().await.unwrap();
    format!("/setup/{}", issued.secret.expose())
}

/// An app that nobody owns yet.
async fn unowned(db: Db) -> App {
    let app = App::start(db).await;
    let mut tx = app.db.write().await.unwrap();
    let now = SystemClock.now();
    tx.members().set_status(app.organization, app.owner, MemberStatus::Suspended, now).await.unwrap();
    tx.commit().await.unwrap();
    app
}

async fn get(app: &App, path: &str) -> McpReply {
    app.client_at(path, None).send(Method::GET, HeaderMap::new(), "").await
}

async fn send(app: &App, path: &str, form: &str, site: Option<&'static str>) -> McpReply {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
    if let Some(site) = site {
        headers.insert("sec-fetch-site", HeaderValue::from_static(site));
    }
    app.client_at(path, None).send(Method::POST, headers, form.to_owned()).await
}

fn text(reply: &McpReply) -> String {
    let policy = reply.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(reply.header("x-frame-options"), Some("DENY"));
    String::from_utf8(reply.body.to_vec()).unwrap()
}

const FORM: &str = "organization=Acme&email=ana%40example.test&password=a+long+enough+password";

#[tokio::test(flavor = "multi_thread")]
async fn a_link_makes_an_owner_once_whose_token_works() {
    let (db, _directory) = sqlite().await;
    let app = unowned(db).await;
    let path = link(&app, Duration::from_secs(60)).await;
    for _ in 0..2 {
        let page = get(&app, &path).await;
        assert_eq!(page.status.as_u16(), 200, "opening it burns nothing");
        assert!(text(&page).contains("name=\"password\""));
    }
    let wrong = send(&app, &path, "organization=&email=nobody&password=short", Some("same-origin")).await;
    assert_eq!(wrong.status.as_u16(), 422);
    let page = text(&wrong);
    assert!(page.contains("password-error") && page.contains("email-error"), "{page}");
    assert!(!page.contains("value=\"short\""), "a password is not sent back");
    let done = send(&app, &path, FORM, Some("same-origin")).await;
    assert_eq!(done.status.as_u16(), 200, "{}", text(&done));
    let cookie = done.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let mut signed_in = HeaderMap::new();
    signed_in.insert("cookie", HeaderValue::from_str(&cookie).unwrap());
    let next = app.client_at("/connections/new", None).send(Method::GET, signed_in, "").await;
    assert_eq!(next.status.as_u16(), 200, "whoever made themselves the owner is signed in");
    let page = text(&done);
    let start = page.find("swb_pat_").unwrap();
    let token: String =
        page[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let organization = app.client_at("/api/v1/organization", Some(&token));
    assert_eq!(organization.send(Method::GET, HeaderMap::new(), "").await.status.as_u16(), 200);
    for page in [get(&app, &path).await, send(&app, &path, FORM, None).await] {
        assert_eq!(page.status.as_u16(), 410);
        assert!(!text(&page).contains("swb_pat_"));
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_over_or_made_up_makes_nobody() {
    let (db, _directory) = sqlite().await;
    let app = unowned(db).await;
    let expired = link(&app, Duration::ZERO).await;
    assert_eq!(send(&app, &expired, FORM, None).await.status.as_u16(), 410);
    let made_up = format!("/setup/{}", issue(TokenKind::SetupLink, &SystemRandom).secret.expose());
    let other_kind = format!("/setup/{}", issue(TokenKind::Personal, &SystemRandom).secret.expose());
    for path in [made_up.as_str(), other_kind.as_str(), "/setup/not-a-token", "/setup/%00"] {
        assert_eq!(get(&app, path).await.status.as_u16(), 404, "{path}");
        assert_eq!(send(&app, path, FORM, None).await.status.as_u16(), 404, "{path}");
    }
    let good = link(&app, Duration::from_secs(60)).await;
    for site in ["cross-site", "same-site"] {
        assert_eq!(send(&app, &good, FORM, Some(site)).await.status.as_u16(), 403, "{site}");
    }
    for form in ["", "organization=A&email=a%40b", "organization=A&email=a%40b&password=x&role=owner"] {
        assert_eq!(send(&app, &good, form, None).await.status.as_u16(), 400, "{form}");
    }
    assert_eq!(get(&app, &good).await.status.as_u16(), 200, "none of that burned it");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_was_left_over_makes_no_second_owner() {
    let (db, _directory) = sqlite().await;
    let app = App::start(db).await;
    let path = link(&app, Duration::from_secs(60)).await;
    assert_eq!(get(&app, &path).await.status.as_u16(), 410);
    assert_eq!(send(&app, &path, FORM, None).await.status.as_u16(), 410);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_is_shown_as_text() {
    let (db, _directory) = sqlite().await;
    let app = unowned(db).await;
    let path = link(&app, Duration::from_secs(60)).await;
    let form = "organization=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E&email=x&password=short";
    let page = text(&send(&app, &path, form, None).await);
    assert!(!page.contains("<script"), "{page}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_landing_page_and_its_files() {
    let (db, _directory) = sqlite().await;
    let app = App::start(db).await;
    let page = get(&app, "/").await;
    assert_eq!(page.status.as_u16(), 200);
    assert!(text(&page).contains(&app.url("/mcp")));
    let style = get(&app, "/assets/switchboard.css").await;
    assert_eq!((style.status.as_u16(), style.header("content-type")), (200, Some("text/css; charset=utf-8")));
    for path in ["/assets/..%2fCargo.toml", "/assets/%2e%2e%2fCargo.toml", "/assets/nothing", "/assets/"] {
        assert_eq!(get(&app, path).await.status.as_u16(), 404, "{path}");
    }
    app.stop().await;
}

/// What a browser sends from a setup page over plain http on another machine: no `Sec-Fetch-Site`, `Origin: null`.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_from_a_private_network_without_tls_is_taken_for_the_token_in_its_path_alone() {
    let (db, _directory) = sqlite().await;
    let app = unowned(db).await;
    let path = link(&app, Duration::from_secs(60)).await;
    let post = |path: &str, site: Option<&'static str>| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert("origin", HeaderValue::from_static("null"));
        if let Some(site) = site {
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
        }
        let client = app.client_at(path, None);
        async move { client.send(Method::POST, headers, FORM.to_owned()).await.status.as_u16() }
    };
    assert_eq!(post(&path, Some("cross-site")).await, 403);
    for elsewhere in ["/mcp", "/api/v1/tokens", "/sign-in", "/setup/"] {
        assert_eq!(post(elsewhere, None).await, 403, "{elsewhere}");
    }
    assert_eq!(post("/setup/swb_set_madeup", None).await, 404, "it is the token that counts");
    assert_eq!(post(&path, None).await, 200);
    app.stop().await;
}
