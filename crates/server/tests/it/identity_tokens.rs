//! The tokens of a member's identity provider: kept sealed, refreshed once for everybody, given up when they are dead.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use switchboard_broker::identity::IdpTokenError;
use switchboard_domain::{Clock as _, FixedClock, MemberId, SystemClock};
use switchboard_storage::CredentialHealth;
use switchboard_testkit::{
    app::{App, AppOptions},
    identity_provider::{ProviderScript, ScriptedProvider},
    on_both,
};

use crate::{
    identity::{BUTTON, press, set_up, start},
    support::events,
};

/// Mia signs in; her access token lives this many seconds.
async fn signed_in(app: &App, provider: &ScriptedProvider, expires_in: u64) -> MemberId {
    let claims = json!({ "sub": "mia-1", "email": "mia@example.test", "email_verified": true });
    provider.says(ProviderScript { claims, expires_in, ..ProviderScript::default() });
    let back = press(&app.browser(), provider, BUTTON).await;
    assert_eq!(back.status.as_u16(), 303, "{}", back.text());
    let mut tx = app.db.read().await.unwrap();
    tx.members().find_by_email(app.organization, "mia@example.test").await.unwrap().unwrap().id
}

async fn identity(app: &App, member: MemberId) -> switchboard_storage::Identity {
    let mut tx = app.db.read().await.unwrap();
    tx.identities().of_member(app.organization, member).await.unwrap().remove(0)
}

on_both! {
    async fn a_fresh_token_is_given_as_it_is(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        let mia = signed_in(&app, &provider, 3600).await;
        let token = app.broker.idp_token(app.organization, mia).await.unwrap();
        assert!(token.access.expose().starts_with("access-token-"));
        assert_eq!((provider.refreshes(), token.generation), (0, 1));
        let stored = identity(&app, mia).await;
        let sealed = stored.tokens.unwrap().sealed;
        assert!(!String::from_utf8_lossy(sealed.as_bytes()).contains("token"), "sealed");
        let nobody = app.broker.idp_token(app.organization, app.owner).await;
        assert!(matches!(nobody, Err(IdpTokenError::NoAccount)), "{nobody:?}");
        app.stop().await;
    }

    async fn one_refresh_serves_everybody_who_waits(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        let mia = signed_in(&app, &provider, 1).await;
        let other = App::start_with(
            database.db.clone(),
            AppOptions { keyring: Some(app.keyring.clone()), ..AppOptions::default() },
        ).await;
        let claims = json!({ "sub": "mia-1" });
        provider.says(ProviderScript { claims, expires_in: 3600, ..ProviderScript::default() });
        let ask = |index: usize| {
            let broker = if index.is_multiple_of(2) { app.broker.clone() } else { other.broker.clone() };
            let organization = app.organization;
            tokio::spawn(async move { broker.idp_token(organization, mia).await.unwrap() })
        };
        let asking: Vec<_> = (0..20).map(ask).collect();
        // Whoever hangs up does not take the refresh along.
        let impatient = tokio::time::timeout(Duration::ZERO, app.broker.idp_token(app.organization, mia)).await;
        drop(impatient);
        let mut seen = std::collections::BTreeSet::new();
        for asked in asking {
            let token = asked.await.unwrap();
            assert_eq!(token.generation, 2);
            seen.insert(token.access.expose().to_owned());
        }
        assert_eq!((provider.refreshes(), seen.len()), (1, 1));
        other.stop().await;
        app.stop().await;
    }

    async fn a_dead_refresh_token_asks_for_its_person(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        let mia = signed_in(&app, &provider, 1).await;
        provider.says(ProviderScript {
            token_answer: Some((503, "text/plain", "busy".into())),
            ..ProviderScript::default()
        });
        let busy = app.broker.idp_token(app.organization, mia).await;
        assert!(matches!(busy, Err(IdpTokenError::Unreachable(_))), "{busy:?}");
        assert_eq!(identity(&app, mia).await.health, CredentialHealth::Healthy, "a bad moment kills nothing");
        provider.says(ProviderScript::default());
        provider.forget_refresh_tokens();
        let dead = app.broker.idp_token(app.organization, mia).await;
        assert!(matches!(dead, Err(IdpTokenError::ReauthRequired)), "{dead:?}");
        assert_eq!(identity(&app, mia).await.health, CredentialHealth::ReauthRequired);
        let requests = provider.token_requests();
        let dead = app.broker.idp_token(app.organization, mia).await;
        assert!(matches!(dead, Err(IdpTokenError::ReauthRequired)), "{dead:?}");
        assert_eq!(provider.token_requests(), requests, "nobody is asked again");
        signed_in(&app, &provider, 3600).await;
        assert!(app.broker.idp_token(app.organization, mia).await.is_ok(), "signing in mends it");
        app.stop().await;
    }

    async fn a_suspended_member_leaves_no_token_behind(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        let mia = signed_in(&app, &provider, 3600).await;
        let body = json!({ "status": "suspended" });
        let done = crate::support::api(&app, "PATCH", &format!("/members/{mia}"), Some(body)).await;
        assert_eq!(done.status.as_u16(), 200, "{}", done.text());
        assert_eq!(identity(&app, mia).await.tokens, None);
        let gone = app.broker.idp_token(app.organization, mia).await;
        assert!(matches!(gone, Err(IdpTokenError::ReauthRequired)), "{gone:?}");
        app.stop().await;
    }

    async fn a_provider_hears_of_tokens_that_ended_with_their_member(database) {
        let clock = Arc::new(FixedClock::at_micros(SystemClock.now().as_micros()));
        let options = AppOptions { clock: Some(clock.clone()), ..AppOptions::default() };
        let (app, provider) = (App::start_with(database.db.clone(), options).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        let mia = signed_in(&app, &provider, 3600).await;
        // It is down, which delays nothing here.
        provider.says(ProviderScript { revocation: 503, ..ProviderScript::default() });
        let removed = crate::support::api(&app, "DELETE", &format!("/members/{mia}"), None).await;
        assert_eq!(removed.status.as_u16(), 204, "{}", removed.text());
        until(async || provider.revoked().len() == 1).await;
        assert_eq!(queued(&app).await, 1, "it is told again");
        app.broker.revoke_due().await.unwrap();
        assert_eq!(provider.revoked().len(), 1, "not before a pause");
        provider.says(ProviderScript::default());
        clock.advance(Duration::from_secs(120));
        app.broker.revoke_due().await.unwrap();
        let told = provider.revoked();
        assert!(told[1].starts_with("refresh-token-") && told[2].starts_with("access-token-"), "{told:?}");
        assert_eq!((told.len(), queued(&app).await), (3, 0));
        app.broker.revoke_due().await.unwrap();
        assert_eq!(provider.revoked().len(), 3, "once");
        until(async || events(&app, "identity.revoke").await == ["ok"]).await;
        app.stop().await;
    }

    async fn a_provider_that_takes_no_such_word_is_not_asked_again(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        let mia = signed_in(&app, &provider, 3600).await;
        provider.says(ProviderScript { revocation: 400, ..ProviderScript::default() });
        suspend(&app, mia).await;
        until(async || queued(&app).await == 0).await;
        assert_eq!(provider.revoked().len(), 2, "each token, once");
        until(async || events(&app, "identity.revoke").await == ["failed"]).await;
        app.stop().await;
    }

    async fn a_provider_without_an_endpoint_for_it_is_left_alone(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        let metadata = json!({ "revocation_endpoint": null });
        provider.says(ProviderScript { metadata, ..ProviderScript::default() });
        set_up(&app, &provider, json!({})).await;
        let mia = signed_in(&app, &provider, 3600).await;
        suspend(&app, mia).await;
        until(async || queued(&app).await == 0).await;
        assert!(provider.revoked().is_empty());
        until(async || events(&app, "identity.revoke").await == ["failed"]).await;
        app.stop().await;
    }
}

async fn suspend(app: &App, member: MemberId) {
    let body = json!({ "status": "suspended" });
    let done = crate::support::api(app, "PATCH", &format!("/members/{member}"), Some(body)).await;
    assert_eq!(done.status.as_u16(), 200, "{}", done.text());
}

/// What no provider has heard of yet.
async fn queued(app: &App) -> usize {
    let mut tx = app.db.read().await.unwrap();
    let later = app.broker.clock().now().plus(Duration::from_secs(24 * 3600));
    tx.identity_revocations().due(app.organization, later, 100).await.unwrap().len()
}

async fn until(condition: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not after half a minute");
}
