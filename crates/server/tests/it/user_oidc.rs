//! Connections that are called with the calling member's own sign-in at the identity provider.

use serde_json::json;
use switchboard_domain::{ConnectionId, ConnectionStatus, MemberId, Scope};
use switchboard_testkit::{
    app::App,
    identity_provider::{ProviderScript, ScriptedProvider},
    on_both,
    upstream::ReferenceUpstream,
};

use crate::{
    identity::{BUTTON, press, set_up, start},
    support::{READ_WRITE, api},
};

async fn add(app: &App, upstream: &ReferenceUpstream) -> ConnectionId {
    let new =
        json!({ "slug": "directory", "name": "Directory", "url": upstream.url(), "auth_type": "user_oidc" });
    let made = api(app, "POST", "/connections", Some(new)).await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.text());
    assert_eq!(made.json()["credential_mode"], "per_member");
    let id = made.json()["id"].as_str().unwrap().parse().unwrap();
    app.grant_everyone(id).await;
    id
}

async fn sign_in(app: &App, provider: &ScriptedProvider, name: &str, expires_in: u64) -> MemberId {
    let email = format!("{name}@example.test");
    let claims = json!({ "sub": format!("{name}-1"), "email": email, "email_verified": true });
    provider.says(ProviderScript { claims, expires_in, ..ProviderScript::default() });
    let back = press(&app.browser(), provider, BUTTON).await;
    assert_eq!(back.status.as_u16(), 303, "{}", back.text());
    let mut tx = app.db.read().await.unwrap();
    tx.members().find_by_email(app.organization, &email).await.unwrap().unwrap().id
}

/// The bearer tokens of the calls that reached the server.
fn bearers(upstream: &ReferenceUpstream) -> Vec<String> {
    let calls = upstream.log().of("tools/call").into_iter();
    calls.map(|call| call.header("authorization").unwrap_or_default().to_owned()).collect()
}

on_both! {
    async fn each_member_is_called_with_their_own_sign_in(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        let upstream = ReferenceUpstream::builder().start().await;
        let id = add(&app, &upstream).await;
        app.wait_for_status(id, ConnectionStatus::NeedsConnection).await;
        assert!(upstream.log().is_empty(), "nobody's token, no request");
        let mia = sign_in(&app, &provider, "mia", 3600).await;
        app.wait_for_status(id, ConnectionStatus::Connected).await;
        // The check's end is on record before this process has read it again.
        app.broker.refresh_snapshots().await.unwrap();
        let kai = sign_in(&app, &provider, "kai", 3600).await;
        for member in [mia, kai] {
            let client = app.client(&app.token(member, &READ_WRITE).await);
            let done = client.execute("directory.echo", json!({ "text": "hello" })).await;
            assert_eq!(done["isError"], false, "{done}");
        }
        let sent = bearers(&upstream);
        let token = |member| app.broker.idp_token(app.organization, member);
        for (member, sent) in [mia, kai].into_iter().zip(&sent) {
            assert_eq!(*sent, format!("Bearer {}", token(member).await.unwrap().access.expose()));
        }
        assert_ne!(sent[0], sent[1]);

        // The admin sees who is connected, and nothing of what is theirs.
        let listed = api(&app, "GET", &format!("/connections/{id}/credentials"), None).await;
        let members: Vec<_> = listed.json()["items"].as_array().unwrap().iter().map(|it| it["member"].clone()).collect();
        assert!(members.len() == 2 && members.contains(&json!(mia)) && members.contains(&json!(kai)), "{}", listed.text());
        let all = api(&app, "GET", "/credentials", None).await;
        assert_eq!(all.json()["items"].as_array().unwrap().len(), 2, "{}", all.text());
        assert!(sent.iter().all(|bearer| !all.text().contains(bearer.trim_start_matches("Bearer "))), "{}", all.text());

        // Who came in with a password has none: told so, and where to go.
        let owner = app.client(&app.token(app.owner, &READ_WRITE).await);
        let refused = owner.execute("directory.echo", json!({ "text": "no" })).await["structuredContent"].clone();
        assert_eq!((&refused["code"], &refused["actor"]), (&json!("needs_connection"), &json!("member")), "{refused}");
        assert_eq!(refused["action"]["url"], app.url("/account/identities"));
        assert!(refused["message"].as_str().unwrap().contains("have not signed in"), "{refused}");
        let found = owner.search(json!({ "query": "echo" })).await;
        assert_eq!(found["matches"][0]["status"], "needs_connection", "{found}");
        assert_eq!(bearers(&upstream).len(), 2, "nothing was sent for them");
        let shown = api(&app, "GET", &format!("/connections/{id}"), None).await.json();
        assert_eq!((&shown["status"], &shown["has_credential"]), (&json!("needs_connection"), &json!(false)));
        app.stop().await;
    }

    async fn a_sign_in_that_is_over_is_said_to_its_person(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        let upstream = ReferenceUpstream::builder().start().await;
        let id = add(&app, &upstream).await;
        let mia = sign_in(&app, &provider, "mia", 3600).await;
        app.wait_for_status(id, ConnectionStatus::Connected).await;
        // The check's end is on record before this process has read it again.
        app.broker.refresh_snapshots().await.unwrap();
        let client = app.client(&app.token(mia, &[Scope::McpRead, Scope::McpWrite, Scope::Api]).await);
        let call = || client.execute("directory.echo", json!({ "text": "hello" }));
        assert_eq!(call().await["isError"], false);

        // The server takes that token no more: another one, got once.
        let first = bearers(&upstream)[0].clone();
        upstream.refuse_token(first.trim_start_matches("Bearer "));
        assert_eq!(call().await["isError"], false);
        assert_eq!(provider.refreshes(), 1);
        let second = bearers(&upstream).pop().unwrap();
        assert_ne!(first, second);
        // Nor the next: the provider is not asked with every call.
        upstream.refuse_token(second.trim_start_matches("Bearer "));
        let refused = call().await["structuredContent"].clone();
        assert_eq!((&refused["code"], provider.refreshes()), (&json!("reauth_required"), 1), "{refused}");

        // Signing in again mends it, for as long as the provider refreshes.
        sign_in(&app, &provider, "mia", 1).await;
        provider.says(ProviderScript::default());
        provider.forget_refresh_tokens();
        let over = call().await["structuredContent"].clone();
        assert_eq!((&over["code"], &over["actor"]), (&json!("reauth_required"), &json!("member")), "{over}");
        assert_eq!(over["action"]["url"], app.url("/account/identities"));
        let found = client.search(json!({ "query": "echo" })).await;
        assert_eq!(found["matches"][0]["status"], "reauth_required", "{found}");
        sign_in(&app, &provider, "mia", 3600).await;
        assert_eq!(call().await["isError"], false);
        app.stop().await;
    }

    async fn only_an_organizations_connection_takes_sign_ins(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        let allowed = json!({ "settings": { "personal_connections": true } });
        api(&app, "PATCH", "/organization", Some(allowed)).await;
        let upstream = ReferenceUpstream::builder().start().await;
        let new = json!({ "slug": "mine", "url": upstream.url(), "auth_type": "user_oidc", "owner": "member" });
        let refused = api(&app, "POST", "/connections", Some(new)).await;
        assert_eq!(refused.status.as_u16(), 422, "{}", refused.text());
        assert_eq!(refused.json()["violations"][0]["path"], "auth_type", "{}", refused.text());
        let id = add(&app, &upstream).await;
        let taken = api(&app, "DELETE", &format!("/connections/{id}/credential"), None).await;
        assert_eq!(taken.json()["code"], "no_credential_kept");
        app.stop().await;
    }
}
