//! `/sign-in`, `/sign-out` and what a session may do.

use std::{num::NonZeroU32, time::Duration};

use http::{HeaderMap, HeaderValue, Method, header};
use switchboard_broker::{SessionSettings, Settings, SignInSettings};
use switchboard_domain::{Role, Scope, Timestamp};
use switchboard_server::TrustedProxies;
use switchboard_storage::MemberStatus;
use switchboard_testkit::{
    app::{App, AppOptions, PASSWORD},
    on_both,
};

use crate::support::events;

const EMAIL: &str = "Mia@example.test";

on_both! {
    async fn the_right_password_opens_a_session_that_ends(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let browser = app.browser();
        let page = browser.get("/sign-in?return_to=/oauth/authorize%3Fx").await;
        assert_eq!((page.status.as_u16(), page.hidden("return_to").as_str()), (200, "/oauth/authorize?x"));
        for (email, password) in [(EMAIL, "wrong password!"), ("nobody@example.test", PASSWORD)] {
            let refused = browser.post("/sign-in", &[("email", email), ("password", password)]).await;
            assert_eq!(refused.status.as_u16(), 401);
            assert!(refused.text().contains("The address or the password is wrong"));
            assert!(refused.header("set-cookie").is_none() && !refused.text().contains(password));
        }
        let form = [("email", "mia@EXAMPLE.test"), ("password", PASSWORD), ("return_to", "//evil.example")];
        let welcome = browser.post("/sign-in", &form).await;
        assert_eq!((welcome.status.as_u16(), welcome.location()), (303, "/"), "{}", welcome.text());
        let cookie = welcome.header("set-cookie").unwrap();
        assert!(cookie.starts_with("switchboard=swb_ses_") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"));
        assert_eq!(events(&app, "session.sign_in").await, ["ok", "refused"]);

        let organization = browser.get("/api/v1/organization").await;
        assert_eq!(organization.status.as_u16(), 200, "{}", organization.text());
        assert_eq!(browser.get("/api/v1/members").await.status.as_u16(), 403, "she is no admin");
        let forged = browser.post("/sign-out", &[]).await;
        assert_eq!(forged.status.as_u16(), 400, "a form without the session's token");
        assert_eq!(browser.get("/api/v1/organization").await.status.as_u16(), 200);
        let value = browser.cookie("switchboard").unwrap();
        assert!(!database_has(&app, &value).await, "the cookie itself is not stored");
        app.stop().await;
    }

    async fn a_member_who_is_kept_out_is_out_at_once(database) {
        let app = App::start(database.db.clone()).await;
        let mia = app.member_with_password(EMAIL, Role::Admin).await;
        let browser = app.signed_in(EMAIL).await;
        assert_eq!(browser.get("/api/v1/members").await.status.as_u16(), 200);
        let mut tx = app.db.write().await.unwrap();
        let now = app.broker.clock().now();
        tx.members().set_status(app.organization, mia, MemberStatus::Suspended, now).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(browser.get("/api/v1/members").await.status.as_u16(), 401);
        let again = app.browser().post("/sign-in", &[("email", EMAIL), ("password", PASSWORD)]).await;
        assert_eq!(again.status.as_u16(), 401);
        app.stop().await;
    }

    async fn a_session_changes_nothing_for_another_site(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(EMAIL, Role::Admin).await;
        let browser = app.signed_in(EMAIL).await;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for site in ["same-origin", "cross-site", "same-site"] {
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            let body = r#"{"name":"Ops"}"#.to_owned();
            let refused = browser.send(Method::POST, "/api/v1/teams", headers.clone(), body).await;
            assert_eq!(refused.status.as_u16(), 403, "{site}: {}", refused.text());
        }
        let tokens = app.token(app.owner, &[Scope::Api]).await;
        let teams = app.client_at("/api/v1/teams", Some(&tokens)).send(Method::GET, HeaderMap::new(), "").await;
        assert_eq!(teams.json()["items"].as_array().unwrap().len(), 0, "nothing was made");
        app.stop().await;
    }

    async fn whoever_tries_the_work_is_the_same(database) {
        let app = App::start(database.db.clone()).await;
        let mia = app.member_with_password(EMAIL, Role::Member).await;
        app.member("kai@example.test", Role::Member).await;
        app.member_with_password("out@example.test", Role::Member).await;
        let out = app.broker.clock().now();
        let mut tx = app.db.write().await.unwrap();
        let found = tx.members().find_by_email(app.organization, "out@example.test").await.unwrap().unwrap();
        tx.members().set_status(app.organization, found.id, MemberStatus::Suspended, out).await.unwrap();
        tx.commit().await.unwrap();
        assert_ne!(found.id, mia);
        let mut pages = Vec::new();
        // Known, unknown, without a password, suspended: one verification each, and one answer.
        for email in [EMAIL, "nobody@example.test", "kai@example.test", "out@example.test"] {
            let before = app.broker.passwords_verified();
            let refused = app.browser().post("/sign-in", &[("email", email), ("password", "not the one at all")]).await;
            assert_eq!(refused.status.as_u16(), 401, "{email}");
            assert_eq!(app.broker.passwords_verified() - before, 1, "{email}");
            pages.push(refused.text().replace(email, ""));
        }
        assert!(pages.iter().all(|page| *page == pages[0]), "{pages:?}");
        // With a second organization there are two for everybody, in one of them, in both or in none.
        app.stranger(&[]).await;
        for email in [EMAIL, "nobody@example.test", "stranger@example.test"] {
            let before = app.broker.passwords_verified();
            app.browser().post("/sign-in", &[("email", email), ("password", "not the one at all")]).await;
            assert_eq!(app.broker.passwords_verified() - before, 2, "{email}");
        }
        app.stop().await;
    }

    async fn a_session_that_is_over_opens_nothing_and_is_cleared_away(database) {
        let clock = std::sync::Arc::new(switchboard_domain::FixedClock::at_micros(1_795_000_000_000_000));
        let settings = |session| AppOptions {
            settings: Settings { session, ..Settings::default() },
            clock: Some(clock.clone()),
            ..AppOptions::default()
        };
        let short = Duration::from_micros(1);
        let usual = SessionSettings::default();
        for session in [SessionSettings { idle: short, ..usual }, SessionSettings { absolute: short, ..usual }] {
            let app = App::start_with(database.db.clone(), settings(session)).await;
            let email = format!("{}@example.test", session.idle.as_secs());
            let member = app.member_with_password(&email, Role::Member).await;
            let browser = app.signed_in(&email).await;
            clock.advance(short);
            assert_eq!(browser.get("/api/v1/organization").await.status.as_u16(), 401, "{session:?}");
            clock.advance(Duration::from_secs(8 * 24 * 3600));
            app.broker.refresh_snapshots().await.unwrap();
            app.broker.forget_what_is_over().await.unwrap();
            let mut tx = app.db.single().await.unwrap();
            let left = tx.sessions().list(app.organization, member, Timestamp::from_micros(0)).await.unwrap();
            assert_eq!(left, []);
            app.stop().await;
        }
        let app = App::start_with(database.db.clone(), settings(usual)).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let browser = app.signed_in(EMAIL).await;
        app.broker.forget_what_is_over().await.unwrap();
        assert_eq!(browser.get("/api/v1/organization").await.status.as_u16(), 200, "one in use stays");
        app.stop().await;
    }

    async fn too_many_attempts_have_to_wait(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let browser = app.browser();
        let mut last = 0;
        for _ in 0..12 {
            let reply = browser.post("/sign-in", &[("email", EMAIL), ("password", "not the one at all")]).await;
            last = reply.status.as_u16();
            if last == 429 {
                assert!(reply.header("retry-after").is_some());
                assert!(reply.text().contains("sign_in.attempts_per_minute"), "{}", reply.text());
                break;
            }
        }
        assert_eq!(last, 429);
        app.stop().await;
    }

    async fn clients_behind_a_trusted_proxy_are_counted_apart(database) {
        let trusted_proxies = TrustedProxies::parse(&["127.0.0.1".to_owned()]).unwrap();
        let app = App::start_with(database.db.clone(), two_attempts(trusted_proxies)).await;
        assert_eq!(attempts(&app, &["203.0.113.7", "203.0.113.7", "203.0.113.7"]).await, [401, 401, 429]);
        assert_eq!(attempts(&app, &["203.0.113.8", "203.0.113.8"]).await, [401, 401], "somebody else's count");
        let invented = ["198.51.100.1, 203.0.113.8", "203.0.113.9, 203.0.113.8, 127.0.0.1"];
        assert_eq!(attempts(&app, &invented).await, [429, 429], "what a client adds itself changes nothing");
        assert_eq!(attempts(&app, &["nonsense", "", "127.0.0.1"]).await, [401, 401, 429], "the proxy's own count");
        app.stop().await;
    }

    async fn nobody_else_says_where_a_request_comes_from(database) {
        let trusted_proxies = TrustedProxies::parse(&["10.0.0.0/8".to_owned()]).unwrap();
        let app = App::start_with(database.db.clone(), two_attempts(trusted_proxies)).await;
        assert_eq!(attempts(&app, &["203.0.113.7", "203.0.113.8", "203.0.113.9"]).await, [401, 401, 429]);
        app.stop().await;
    }
}

fn two_attempts(trusted_proxies: TrustedProxies) -> AppOptions {
    let two = NonZeroU32::new(2).unwrap();
    let sign_in = SignInSettings {
        attempts_per_minute: two,
        attempts_per_minute_per_source: two,
        ..SignInSettings::default()
    };
    let settings = Settings { sign_in, ..Settings::default() };
    AppOptions { settings, trusted_proxies, ..AppOptions::default() }
}

/// How `/sign-in` answers one wrong password after the other, for a different account each, with these
/// `X-Forwarded-For`.
async fn attempts(app: &App, forwarded: &[&str]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for (index, from) in forwarded.iter().enumerate() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
        headers.insert("x-forwarded-for", HeaderValue::from_str(from).unwrap());
        let form = format!("email=person{index}%40example.test&password=not+the+one+at+all");
        let reply = app.browser().send(Method::POST, "/sign-in", headers, form).await;
        statuses.push(reply.status.as_u16());
    }
    statuses
}

async fn database_has(app: &App, secret: &str) -> bool {
    let parsed = switchboard_vault::parse(secret).unwrap();
    let mut tx = app.db.single().await.unwrap();
    let session = tx.sessions().find_by_hash(parsed.hash.as_bytes()).await.unwrap().unwrap();
    format!("{session:?}").contains(secret)
}
