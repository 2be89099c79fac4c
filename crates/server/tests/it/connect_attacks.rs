//! What must not work when people sign in at third-party servers (THREATS O3 to O6): no token is asked for, nothing is
//! stored, and the audit log says who tried what.

use http::Method;
use serde_json::{Value, json};
use switchboard_domain::{Role, Scope};
use switchboard_testkit::{
    app::{App, McpReply},
    on_both,
    upstream::{ProtectedUpstream, Says},
};

use crate::connect::{Person, api, id_of};

/// Entries of the audit log with this code, as the owner reads them.
async fn on_record(app: &App, code: &str) -> usize {
    let token = app.token(app.owner, &[Scope::Api]).await;
    let entries = api(app, &token, Method::GET, "/audit?limit=200", None).await.json();
    entries["items"].as_array().unwrap().iter().filter(|entry| entry["code"] == code).count()
}

async fn credentials(app: &App) -> usize {
    let token = app.token(app.owner, &[Scope::Api]).await;
    api(app, &token, Method::GET, "/credentials", None).await.json()["items"].as_array().unwrap().len()
}

async fn start(app: &App, person: &Person, connection: &Value) -> Value {
    let started = person.start(app, connection).await;
    assert_eq!(started.status.as_u16(), 201, "{}", started.text());
    started.json()
}

/// Nothing was asked, nothing was stored.
async fn nothing_happened(app: &App, upstream: &ProtectedUpstream, answer: &McpReply) {
    let told = answer.status.is_client_error() || answer.location().ends_with("/result");
    assert!(told, "{} {}", answer.status, answer.text());
    assert!(upstream.requests("/token").is_empty(), "a token was asked for");
    assert_eq!(credentials(app).await, 0);
}

on_both! {
    async fn who_did_not_begin_can_not_finish(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ProtectedUpstream::start().await;
        let owner = Person::owner(&app).await;
        let connection = owner.add(&app, "vendor", &upstream, json!({ "credential_mode": "per_member" })).await;
        app.grant_everyone(id_of(&connection)).await;
        let mallory = Person::member(&app, "mallory@example.test").await;
        let bob = Person::member(&app, "bob@example.test").await;

        let started = start(&app, &mallory, &connection).await;
        let page = started["authorization_url"].as_str().unwrap();
        let opened = bob.browser.get(page).await;
        assert_eq!(opened.status.as_u16(), 400, "bob is not sent away with mallory's link");
        assert!(opened.text().contains("Somebody else began"), "{}", opened.text());
        assert_eq!(on_record(&app, "wrong_member").await, 1);

        // Mallory goes herself, and hands bob what the provider would have sent her back with.
        let back = mallory.agree(&app, &started).await;
        let answer = bob.browser.get(&back).await;
        nothing_happened(&app, &upstream, &answer).await;
        assert_eq!(on_record(&app, "wrong_member").await, 2);
        // And what bob was shown is worth nothing to mallory either.
        let again = mallory.browser.get(&back).await;
        nothing_happened(&app, &upstream, &again).await;
        assert_eq!(mallory.became(&app, &started).await["reason"], "wrong_member");
        let path = format!("/authorizations/{}", started["state_id"].as_str().unwrap());
        assert_eq!(api(&app, &bob.token, Method::GET, &path, None).await.status.as_u16(), 404);
        app.stop().await;
    }

    async fn who_may_no_longer_connect_does_not_finish(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ProtectedUpstream::start().await;
        let owner = Person::owner(&app).await;
        let shared = owner.add(&app, "vendor", &upstream, json!({ "credential_mode": "shared" })).await;
        let mallory = app.member_with_password("mallory@example.test", Role::Admin).await;
        let person = Person { token: app.token(mallory, &[Scope::Api]).await, browser: app.signed_in("mallory@example.test").await };
        let started = start(&app, &person, &shared).await;
        let back = person.agree(&app, &started).await;
        let role = |role: &str| Some(json!({ "role": role }));
        let path = format!("/members/{mallory}");
        assert_eq!(api(&app, &owner.token, Method::PATCH, &path, role("member")).await.status.as_u16(), 200);
        nothing_happened(&app, &upstream, &person.browser.get(&back).await).await;
        assert_eq!(on_record(&app, "connection_changed").await, 1);

        // Nor does what was begun for an account of one's own become the one that all share.
        assert_eq!(api(&app, &owner.token, Method::PATCH, &path, role("admin")).await.status.as_u16(), 200);
        let own = owner.add(&app, "own", &upstream, json!({ "credential_mode": "per_member" })).await;
        app.grant_everyone(id_of(&own)).await;
        let started = start(&app, &person, &own).await;
        let back = person.agree(&app, &started).await;
        let path = format!("/connections/{}", own["id"].as_str().unwrap());
        let mode = Some(json!({ "credential_mode": "shared" }));
        assert_eq!(api(&app, &owner.token, Method::PATCH, &path, mode).await.status.as_u16(), 200);
        nothing_happened(&app, &upstream, &person.browser.get(&back).await).await;
        app.stop().await;
    }

    async fn another_browser_or_none_signed_in_gets_nothing(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ProtectedUpstream::start().await;
        let owner = Person::owner(&app).await;
        let connection = owner.add(&app, "vendor", &upstream, json!({})).await;

        let started = start(&app, &owner, &connection).await;
        let back = owner.agree(&app, &started).await;
        let elsewhere = app.signed_in("owner@example.test").await;
        nothing_happened(&app, &upstream, &elsewhere.get(&back).await).await;
        assert_eq!(owner.became(&app, &started).await["reason"], "wrong_browser");
        assert_eq!(on_record(&app, "wrong_browser").await, 1);

        let started = start(&app, &owner, &connection).await;
        let back = owner.agree(&app, &started).await;
        nothing_happened(&app, &upstream, &app.browser().get(&back).await).await;
        assert_eq!(owner.became(&app, &started).await["reason"], "signed_out");
        let nobody = app.browser().get(started["authorization_url"].as_str().unwrap()).await;
        assert!(nobody.location().starts_with("/sign-in?return_to=/connect/"), "{}", nobody.location());
        app.stop().await;
    }

    async fn an_answer_at_the_wrong_address_is_no_answer(database) {
        let app = App::start(database.db.clone()).await;
        let (upstream, evil) = (ProtectedUpstream::start().await, ProtectedUpstream::start().await);
        let owner = Person::owner(&app).await;
        let honest = owner.add(&app, "honest", &upstream, json!({})).await;
        let other = owner.add(&app, "other", &evil, json!({})).await;

        // The evil provider sends the browser on to the honest connection's address, and the reverse.
        for (from, to) in [(&other, &honest), (&honest, &other)] {
            let started = start(&app, &owner, from).await;
            let back = owner.agree(&app, &started).await;
            let swapped = back.replace(from["id"].as_str().unwrap(), to["id"].as_str().unwrap());
            let answer = owner.browser.get(&swapped).await;
            assert_eq!(answer.status.as_u16(), 303, "told on a page of its own");
            assert_eq!(owner.became(&app, &started).await["reason"], "wrong_callback");
        }
        assert!(upstream.requests("/token").is_empty() && evil.requests("/token").is_empty());
        assert_eq!((credentials(&app).await, on_record(&app, "wrong_callback").await), (0, 2));

        // A connection of another organization is no address for it either.
        let (_, stranger, token) = app.stranger(&[Scope::Api]).await;
        let theirs = json!({ "slug": "theirs", "url": evil.url(), "auth_type": "oauth" });
        let theirs = api(&app, &token, Method::POST, "/connections", Some(theirs)).await.json();
        let started = start(&app, &owner, &honest).await;
        let back = owner.agree(&app, &started).await;
        let swapped = back.replace(honest["id"].as_str().unwrap(), theirs["id"].as_str().unwrap());
        owner.browser.get(&swapped).await;
        assert_eq!(owner.became(&app, &started).await["reason"], "wrong_callback", "{stranger}");
        assert!(upstream.requests("/token").is_empty() && evil.requests("/token").is_empty());
        app.stop().await;
    }

    async fn an_answer_counts_once(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ProtectedUpstream::start().await;
        let owner = Person::owner(&app).await;
        let connection = owner.add(&app, "vendor", &upstream, json!({})).await;
        let started = start(&app, &owner, &connection).await;
        let back = owner.agree(&app, &started).await;
        assert_eq!(owner.browser.get(&back).await.status.as_u16(), 303);
        assert_eq!(owner.became(&app, &started).await["status"], "connected");
        let again = owner.browser.get(&back).await;
        assert_eq!(again.status.as_u16(), 400, "{}", again.text());
        assert_eq!(upstream.requests("/token").len(), 1, "the code is exchanged once");
        assert_eq!((credentials(&app).await, on_record(&app, "expired").await), (1, 1));
        assert_eq!(owner.became(&app, &started).await["status"], "connected", "the first answer stands");
        let page = owner.browser.get(started["authorization_url"].as_str().unwrap()).await;
        assert_eq!(page.status.as_u16(), 400, "nobody is sent away with it again");
        app.stop().await;
    }

    async fn answers_of_another_issuer_are_not_read(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ProtectedUpstream::start().await;
        let owner = Person::owner(&app).await;
        let connection = owner.add(&app, "vendor", &upstream, json!({})).await;
        let tamper = [
            ("iss=http", "iss=https"),
            ("&iss=", "&other="),
            ("code=", "error_description=Call+555&error=access_denied&x="),
        ];
        for (from, to) in tamper {
            let started = start(&app, &owner, &connection).await;
            let mut back = owner.agree(&app, &started).await.replace(from, to);
            if to.starts_with("error_description") {
                back = back.replace("iss=http", "iss=https");
            }
            owner.browser.get(&back).await;
            let became = owner.became(&app, &started).await;
            assert_eq!(became["reason"], "issuer_mismatch", "{back}");
            assert!(!became["message"].as_str().unwrap().contains("555"));
        }
        for odd in ["?state=made-up&code=c", "?code=c", "?state=a&state=b&code=c", ""] {
            let path = format!("{}{odd}", connection["callback_url"].as_str().unwrap());
            assert_eq!(owner.browser.get(&path).await.status.as_u16(), 400, "{odd}");
        }
        assert!(upstream.requests("/token").is_empty());
        assert_eq!(credentials(&app).await, 0);
        app.stop().await;
    }

    async fn another_authorization_server_than_before_is_an_admins_decision(database) {
        let app = App::start(database.db.clone()).await;
        let (upstream, moved) = (ProtectedUpstream::start().await, ProtectedUpstream::start().await);
        let owner = Person::owner(&app).await;
        let connection = owner.add(&app, "vendor", &upstream, json!({})).await;
        let started = start(&app, &owner, &connection).await;
        let back = owner.agree(&app, &started).await;
        owner.browser.get(&back).await;
        assert_eq!(owner.became(&app, &started).await["status"], "connected");

        let metadata = json!({ "resource": upstream.url(), "authorization_servers": [moved.origin()] });
        upstream.says("/.well-known/oauth-protected-resource/mcp", Says::json(&metadata));
        let refused = owner.start(&app, &connection).await;
        assert_eq!((refused.status.as_u16(), refused.json()["code"].as_str()), (409, Some("authorization_server_changed")));
        assert!(moved.requests("/register").is_empty(), "nothing is sent there");

        let id = connection["id"].as_str().unwrap();
        let accept = json!({ "oauth": { "issuer": moved.origin() } });
        let accepted = api(&app, &owner.token, Method::PATCH, &format!("/connections/{id}"), Some(accept)).await;
        assert_eq!(accepted.json()["credentials_dropped"], true, "{}", accepted.text());
        start(&app, &owner, &connection).await;
        assert_eq!(moved.requests("/register").len(), 1, "known there as somebody new");
        app.stop().await;
    }
}
