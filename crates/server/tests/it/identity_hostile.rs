//! Identity providers that lie, answers that are not meant for this browser: each is refused, on record, and nobody is
//! signed in.

use serde_json::{Value, json};
use switchboard_domain::Role;
use switchboard_storage::{AuditFilter, MemberStatus};
use switchboard_testkit::{
    app::App,
    identity_provider::{ProviderScript, ScriptedProvider, Signing},
    on_both,
};

use crate::{
    identity::{BUTTON, press, set_up, start},
    support::{api, events},
};

fn mia() -> Value {
    json!({ "sub": "mia-1", "email": "mia@example.test", "email_verified": true })
}

fn with(changes: Value) -> ProviderScript {
    let mut claims = mia();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    ProviderScript { claims, ..ProviderScript::default() }
}

fn tokens(changes: Value) -> ProviderScript {
    ProviderScript { tokens: changes, ..with(json!({})) }
}

fn answers(status: u16, kind: &'static str, body: impl ToString) -> ProviderScript {
    ProviderScript { token_answer: Some((status, kind, body.to_string())), ..with(json!({})) }
}

/// What a lie is called, what is said, and which code the audit log has.
fn lies() -> Vec<(&'static str, ProviderScript, &'static str)> {
    let now = 4_000_000_000_u64;
    let untrusted = "identity_provider_untrusted";
    let signed = |signing| ProviderScript { signing, ..with(json!({})) };
    let answer = |answer: &[(&'static str, &'static str)]| ProviderScript {
        answer: answer.to_vec(),
        ..with(json!({}))
    };
    vec![
        ("another issuer", with(json!({ "iss": "https://login.honest.example.org" })), untrusted),
        ("no issuer", with(json!({ "iss": null })), untrusted),
        ("another audience", with(json!({ "aud": "somebody-else" })), untrusted),
        ("a second audience", with(json!({ "aud": ["switchboard-tests", "somebody-else"] })), untrusted),
        ("made for another client", with(json!({ "azp": "somebody-else" })), untrusted),
        ("another nonce", with(json!({ "nonce": "of another sign-in" })), untrusted),
        ("no nonce", with(json!({ "nonce": null })), untrusted),
        ("expired", with(json!({ "exp": 1_000_000 })), untrusted),
        ("no expiry", with(json!({ "exp": null })), untrusted),
        ("issued in the future", with(json!({ "iat": now, "exp": now + 300 })), untrusted),
        ("an empty subject", with(json!({ "sub": "" })), untrusted),
        ("of another access token", with(json!({ "at_hash": "AAAAAAAAAAAAAAAAAAAAAA" })), untrusted),
        ("signed with another key", signed(Signing::Another), untrusted),
        ("alg none", signed(Signing::Not), untrusted),
        ("HS256 with the public key", signed(Signing::PublicKeyAsSecret), untrusted),
        ("no ID token", tokens(json!({ "id_token": null })), untrusted),
        ("an ID token that is none", tokens(json!({ "id_token": "no.token.atall" })), untrusted),
        ("no access token", tokens(json!({ "access_token": null })), untrusted),
        ("an empty access token", tokens(json!({ "access_token": "" })), untrusted),
        ("an access token with a space", tokens(json!({ "access_token": "abc def" })), untrusted),
        (
            "a huge access token",
            tokens(json!({ "access_token": "a".repeat(1024 * 1024) })),
            "identity_provider_unreachable",
        ),
        ("a token of another type", tokens(json!({ "token_type": "mac" })), untrusted),
        ("a life beyond all numbers", tokens(json!({ "expires_in": 1e25 })), untrusted),
        ("a refresh token with a line break", tokens(json!({ "refresh_token": "r\r\n" })), untrusted),
        (
            "an error with status 200",
            answers(200, "application/json", json!({ "error": "bad_code" })),
            untrusted,
        ),
        ("an error", answers(400, "application/json", json!({ "error": "invalid_grant" })), untrusted),
        ("HTML", answers(200, "text/html", "<html>Sign in</html>"), untrusted),
        (
            "an access token twice",
            answers(
                200,
                "application/json",
                r#"{"access_token":"good","access_token":"evil","token_type":"Bearer"}"#,
            ),
            untrusted,
        ),
        ("another issuer in the answer", answer(&[("iss", "https://login.honest.example.org")]), untrusted),
        ("an issuer nearly right", answer(&[("iss", "http://127.0.0.1/realm/")]), untrusted),
        ("no issuer in the answer", answer(&[("iss", "")]), untrusted),
        (
            "an error in the answer",
            answer(&[("code", ""), ("error", "access_denied")]),
            "identity_provider_declined",
        ),
        ("no code", answer(&[("code", "")]), untrusted),
        ("an address nobody verified", with(json!({ "email_verified": false })), "not_invited"),
        ("an address nobody says is verified", with(json!({ "email_verified": null })), "not_invited"),
        (
            "an address of another domain",
            with(json!({ "email": "mia@example.test.evil.test" })),
            "not_invited",
        ),
        (
            "an address with two at signs",
            with(json!({ "email": "mia@evil.test@example.test" })),
            "not_invited",
        ),
        ("no address", with(json!({ "email": null, "email_verified": null })), "not_invited"),
    ]
}

async fn sessions(app: &App) -> usize {
    let mut count = 0;
    let mut tx = app.db.read().await.unwrap();
    for member in tx.members().list(app.organization, None, 100).await.unwrap() {
        let from = switchboard_domain::Timestamp::from_micros(0);
        count += tx.sessions().list(app.organization, member.id, from).await.unwrap().len();
    }
    count
}

/// The code of the newest entry of this action.
async fn code(app: &App) -> Option<String> {
    let mut tx = app.db.read().await.unwrap();
    let filter = AuditFilter { action: Some("session.sign_in".into()), ..AuditFilter::default() };
    let entries = tx.audit().page(app.organization, &filter, 1).await.unwrap();
    let body: Value = serde_json::from_str(&entries.first()?.body).unwrap();
    body["code"].as_str().map(str::to_owned)
}

on_both! {
    async fn no_lie_lets_anybody_in(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        for (count, (lie, script, expected)) in lies().into_iter().enumerate() {
            let browser = app.browser();
            provider.says(script);
            let refused = press(&browser, &provider, BUTTON).await;
            assert!(refused.status.is_client_error() || refused.status.is_server_error(), "{lie}: {}", refused.status);
            assert!(browser.cookie("switchboard").is_none(), "{lie}");
            assert!(!refused.text().contains("bad_code") && !refused.text().contains("access_denied"), "{lie}");
            assert_eq!(events(&app, "session.sign_in").await.len(), count + 1, "{lie} is on record");
            assert_eq!(code(&app).await.as_deref(), Some(expected), "{lie}");
        }
        assert_eq!(sessions(&app).await, 0);
        assert_eq!(api(&app, "GET", "/members", None).await.json()["items"].as_array().unwrap().len(), 1);
        provider.knows(mia());
        let browser = app.browser();
        assert_eq!(press(&browser, &provider, BUTTON).await.status.as_u16(), 303, "the truth does");
        assert_eq!(sessions(&app).await, 1);
        app.stop().await;
    }

    async fn an_answer_is_for_one_browser_once_and_soon(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        provider.knows(mia());
        let browser = app.browser();
        let back = provider.authorize(browser.get(BUTTON).await.location());
        let twice = format!("{back}&state=x");
        assert_eq!(browser.get(&twice).await.status.as_u16(), 400, "`state` twice");
        let invented = format!("{}/sign-in/callback/acme/company?code=x&state=AAAAAAAAAAAAAAAAAAAAAA", app.url(""));
        assert_eq!(browser.get(&invented).await.status.as_u16(), 400, "a state that was never ours");
        assert_eq!(browser.get(&back).await.status.as_u16(), 303);
        let requests = provider.token_requests();
        assert_eq!(browser.get(&back).await.status.as_u16(), 400, "used");

        let stolen = provider.authorize(app.browser().get(BUTTON).await.location());
        assert_eq!(app.browser().get(&stolen).await.status.as_u16(), 400, "a browser without the cookie");
        let victim = app.browser();
        victim.get(BUTTON).await;
        let stolen = provider.authorize(app.browser().get(BUTTON).await.location());
        assert_eq!(victim.get(&stolen).await.status.as_u16(), 400, "a browser with another one");
        assert_eq!(provider.token_requests(), requests, "no code went anywhere");
        assert_eq!(sessions(&app).await, 1);
        app.stop().await;
    }

    async fn a_provider_that_was_changed_meanwhile_is_asked_anew(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        let made = set_up(&app, &provider, json!({})).await;
        let path = format!("/identity-providers/{}", made["id"].as_str().unwrap());
        provider.knows(mia());
        let browser = app.browser();
        let back = provider.authorize(browser.get(BUTTON).await.location());
        assert_eq!(api(&app, "PATCH", &path, Some(json!({ "name": "New" }))).await.status.as_u16(), 200);
        assert_eq!(browser.get(&back).await.status.as_u16(), 409);
        let back = provider.authorize(browser.get(BUTTON).await.location());
        assert_eq!(api(&app, "PATCH", &path, Some(json!({ "enabled": false }))).await.status.as_u16(), 200);
        assert_eq!(browser.get(&back).await.status.as_u16(), 404, "switched off");
        assert_eq!((provider.token_requests(), sessions(&app).await), (0, 0));
        app.stop().await;
    }

    async fn the_address_of_a_member_is_not_the_member(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        provider.knows(mia());
        let browser = app.browser();
        assert_eq!(press(&browser, &provider, BUTTON).await.status.as_u16(), 303);
        provider.says(with(json!({ "sub": "mia-2" })));
        let refused = press(&app.browser(), &provider, BUTTON).await;
        assert_eq!(refused.status.as_u16(), 403, "another subject with her address: {}", refused.text());
        assert_eq!(code(&app).await.as_deref(), Some("other_account"));
        assert_eq!(sessions(&app).await, 1);
        app.stop().await;
    }

    async fn who_is_kept_out_stays_out(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        provider.knows(mia());
        assert_eq!(press(&app.browser(), &provider, BUTTON).await.status.as_u16(), 303);
        let mut tx = app.db.read().await.unwrap();
        let member = tx.members().find_by_email(app.organization, "mia@example.test").await.unwrap().unwrap();
        drop(tx);
        let path = format!("/members/{}", member.id);
        assert_eq!(api(&app, "PATCH", &path, Some(json!({ "status": "suspended" }))).await.status.as_u16(), 200);
        assert_eq!(press(&app.browser(), &provider, BUTTON).await.status.as_u16(), 403, "suspended");
        assert_eq!(api(&app, "DELETE", &path, None).await.status.as_u16(), 204);
        assert_eq!(press(&app.browser(), &provider, BUTTON).await.status.as_u16(), 403, "removed");
        provider.says(with(json!({ "email": "mia.two@example.test" })));
        assert_eq!(press(&app.browser(), &provider, BUTTON).await.status.as_u16(), 403, "under a new address too");
        provider.says(with(json!({ "sub": "mia-9" })));
        assert_eq!(press(&app.browser(), &provider, BUTTON).await.status.as_u16(), 403, "and as somebody new with the old");
        assert_eq!(sessions(&app).await, 0);

        let suspended = app.member("leo@example.test", Role::Member).await;
        let mut tx = app.db.write().await.unwrap();
        let now = app.broker.clock().now();
        tx.members().set_status(app.organization, suspended, MemberStatus::Suspended, now).await.unwrap();
        tx.commit().await.unwrap();
        provider.knows(json!({ "sub": "leo-1", "email": "leo@example.test", "email_verified": true }));
        assert_eq!(press(&app.browser(), &provider, BUTTON).await.status.as_u16(), 403, "never came in this way before");
        assert_eq!(code(&app).await.as_deref(), Some("kept_out"));

        let invited = api(&app, "POST", "/invitations", Some(json!({ "email": "mia@example.test" }))).await.json();
        let link = invited["url"].as_str().unwrap().replace(&app.url(""), "");
        provider.knows(mia());
        let back = press(&app.browser(), &provider, &format!("{link}/with/acme/company")).await;
        assert_eq!(back.status.as_u16(), 303, "invited again: {}", back.text());
        app.stop().await;
    }

    async fn metadata_that_can_not_be_used_is_refused_when_it_is_typed(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        let realm = |path: &str| provider.issuer().replace("/realm", path);
        let bad = [
            json!({ "issuer": realm("/other") }),
            json!({ "id_token_signing_alg_values_supported": ["none"] }),
            json!({ "id_token_signing_alg_values_supported": ["HS256"] }),
            json!({ "jwks_uri": null }),
            json!({ "jwks_uri": realm("/nothing") }),
            json!({ "token_endpoint": null }),
            json!({ "token_endpoint": "http://169.254.169.254/latest" }),
            json!({ "userinfo_endpoint": "http://169.254.169.254/latest" }),
            json!({ "authorization_endpoint": "javascript:alert(1)" }),
            json!({ "code_challenge_methods_supported": ["plain"] }),
        ];
        let new = json!({ "slug": "company", "name": "Acme", "issuer": provider.issuer(), "client_id": "x" });
        for metadata in bad {
            provider.says(ProviderScript { metadata: metadata.clone(), ..ProviderScript::default() });
            let refused = api(&app, "POST", "/identity-providers", Some(new.clone())).await;
            assert_eq!(refused.status.as_u16(), 422, "{metadata}: {}", refused.text());
            assert_eq!(refused.json()["violations"][0]["path"], "issuer", "{metadata}");
        }
        provider.says(ProviderScript::default());
        for issuer in ["http://169.254.169.254/", "ftp://example.com", "x", "", "http://127.0.0.1:1/"] {
            let mut new = new.clone();
            new["issuer"] = issuer.into();
            let refused = api(&app, "POST", "/identity-providers", Some(new)).await;
            assert_eq!(refused.status.as_u16(), 422, "{issuer}: {}", refused.text());
        }
        let made = api(&app, "POST", "/identity-providers", Some(new)).await;
        assert_eq!(made.status.as_u16(), 201, "{}", made.text());
        app.stop().await;
    }
}
