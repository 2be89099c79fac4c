//! `/api/v1/sessions`, `/reauthenticate` and `/account/password`.

use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use switchboard_domain::{Role, Scope};
use switchboard_testkit::{
    app::{App, Browser, McpReply, PASSWORD},
    on_both,
};

const EMAIL: &str = "mia@example.test";
const NEW: &str = "four unrelated words here";

async fn sessions(browser: &Browser) -> Vec<Value> {
    let listed: Value = browser.get("/api/v1/sessions").await.json();
    listed["items"].as_array().unwrap().clone()
}

/// As the console sends it.
async fn delete(browser: &Browser, path: &str) -> u16 {
    let mut headers = HeaderMap::new();
    let token = browser.get("/reauthenticate").await.hidden("form_token");
    headers.insert("switchboard-form-token", HeaderValue::from_str(&token).unwrap());
    headers.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
    browser.send(Method::DELETE, path, headers, String::new()).await.status.as_u16()
}

async fn is_in(browser: &Browser) -> bool {
    browser.get("/api/v1/organization").await.status.is_success()
}

async fn change(browser: &Browser, old: &str, new: &str) -> McpReply {
    let token = browser.get("/account/password").await.hidden("form_token");
    let form = [("form_token", token.as_str()), ("old_password", old), ("new_password", new)];
    browser.post("/account/password", &form).await
}

async fn audited(app: &App, action: &str) -> Vec<String> {
    let mut tx = app.db.read().await.unwrap();
    let filter = switchboard_storage::AuditFilter { action: Some(action.into()), ..Default::default() };
    let entries = tx.audit().page(app.organization, &filter, 100).await.unwrap();
    entries.into_iter().filter_map(|entry| entry.outcome.map(|it| it.as_str().to_owned())).collect()
}

on_both! {
    async fn people_see_and_end_their_own_sessions(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        app.member_with_password("kai@example.test", Role::Member).await;
        app.member_with_password("adm@example.test", Role::Admin).await;
        let (here, there, third) = (app.signed_in(EMAIL).await, app.signed_in(EMAIL).await, app.signed_in(EMAIL).await);
        let kai = app.signed_in("kai@example.test").await;
        let listed = sessions(&here).await;
        assert_eq!(listed.len(), 3, "her own, nobody else's: {listed:?}");
        let current: Vec<_> = listed.iter().filter(|session| session["current"] == true).collect();
        assert_eq!(current.len(), 1);
        assert_eq!((&current[0]["method"], &current[0]["source"]), (&"password".into(), &"127.0.0.1".into()));
        assert!(!listed.iter().any(|session| session.to_string().contains("swb_ses_")));

        let id_there = sessions(&there).await.into_iter().find(|it| it["current"] == true).unwrap()["id"].clone();
        let path = format!("/api/v1/sessions/{}", id_there.as_str().unwrap());
        assert_eq!(delete(&kai, &path).await, 404, "not hers");
        assert!(is_in(&there).await);
        assert_eq!(delete(&here, &path).await, 204);
        assert!(!is_in(&there).await && is_in(&here).await && is_in(&third).await);

        assert_eq!(delete(&here, "/api/v1/sessions").await, 204);
        assert!(is_in(&here).await && !is_in(&third).await && is_in(&kai).await);

        let id_here = sessions(&here).await[0]["id"].clone();
        let admin = app.signed_in("adm@example.test").await;
        assert_eq!(delete(&admin, &format!("/api/v1/sessions/{}", id_here.as_str().unwrap())).await, 204);
        assert!(!is_in(&here).await);
        assert_eq!(audited(&app, "session.revoke").await, ["ok", "ok", "refused"]);
        app.stop().await;
    }

    async fn a_token_ends_every_session_of_its_person(database) {
        let app = App::start(database.db.clone()).await;
        let mia = app.member_with_password(EMAIL, Role::Member).await;
        let (one, two) = (app.signed_in(EMAIL).await, app.signed_in(EMAIL).await);
        let token = app.token(mia, &[Scope::Api]).await;
        let client = app.client_at("/api/v1/sessions", Some(&token));
        assert_eq!(client.send(Method::DELETE, HeaderMap::new(), "").await.status.as_u16(), 204);
        assert!(!is_in(&one).await && !is_in(&two).await);
        app.stop().await;
    }

    async fn proving_it_again_gives_a_new_cookie(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let stranger = app.browser();
        assert_eq!(stranger.get("/reauthenticate").await.location(), "/sign-in?return_to=%2Freauthenticate");
        let browser = app.signed_in(EMAIL).await;
        let old = browser.cookie("switchboard").unwrap();
        let before = app.broker.session(&old).await.unwrap().unwrap();
        assert!(app.broker.recently(&before));
        let page = browser.get("/reauthenticate?return_to=/console/keys").await;
        let (token, back) = (page.hidden("form_token"), page.hidden("return_to"));
        let form = |password| [("form_token", token.as_str()), ("return_to", back.as_str()), ("password", password)];
        let forged = browser.post("/reauthenticate", &[("password", PASSWORD)]).await;
        assert_eq!(forged.status.as_u16(), 400);
        let wrong = browser.post("/reauthenticate", &form("not the one at all")).await;
        assert_eq!((wrong.status.as_u16(), browser.cookie("switchboard").unwrap()), (403, old.clone()));
        let right = browser.post("/reauthenticate", &form(PASSWORD)).await;
        assert_eq!((right.status.as_u16(), right.location()), (303, "/console/keys"));
        let new = browser.cookie("switchboard").unwrap();
        assert_ne!(new, old);
        assert!(app.broker.session(&old).await.unwrap().is_none(), "the old one is worth nothing");
        let after = app.broker.session(&new).await.unwrap().unwrap();
        assert_eq!(after.session, before.session);
        assert!(after.authenticated_at > before.authenticated_at);
        assert_eq!(audited(&app, "session.reauthenticate").await, ["ok", "refused"]);
        app.stop().await;
    }

    async fn a_new_password_ends_the_other_sessions(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let (here, there) = (app.signed_in(EMAIL).await, app.signed_in(EMAIL).await);
        assert_eq!(change(&here, "not the one at all", NEW).await.status.as_u16(), 403);
        let short = change(&here, PASSWORD, "short").await;
        assert_eq!(short.status.as_u16(), 422);
        assert!(short.text().contains("at least 12 characters"), "{}", short.text());
        assert!(is_in(&there).await, "nothing happened yet");
        let old = here.cookie("switchboard").unwrap();
        let changed = change(&here, PASSWORD, NEW).await;
        assert_eq!(changed.status.as_u16(), 200, "{}", changed.text());
        assert!(is_in(&here).await && !is_in(&there).await);
        assert!(app.broker.session(&old).await.unwrap().is_none());
        for (password, status) in [(PASSWORD, 401), (NEW, 303)] {
            let reply = app.browser().post("/sign-in", &[("email", EMAIL), ("password", password)]).await;
            assert_eq!(reply.status.as_u16(), status);
        }
        assert_eq!(audited(&app, "member.change_password").await, ["ok", "refused"]);
        app.stop().await;
    }

    async fn a_stolen_session_tries_passwords_no_faster(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let browser = app.signed_in(EMAIL).await;
        let mut last = 0;
        for _ in 0..12 {
            let reply = change(&browser, "not the one at all", NEW).await;
            last = reply.status.as_u16();
            if last == 429 {
                assert!(reply.text().contains("sign_in.attempts_per_minute"));
                break;
            }
        }
        assert_eq!(last, 429);
        app.stop().await;
    }
}
