//! Every sign-in, consent, grant, token, role and invitation is on record, whether it came about or was refused.

use http::Method;
use serde_json::{Value, json};
use switchboard_domain::{Role, Scope};
use switchboard_testkit::{
    app::{App, McpReply, PASSWORD},
    on_both,
};

use crate::{
    oauth::{EMAIL, code, exchange, field, post, public_client, refresh, request},
    support::{events, json_headers},
};

const ALL: [Scope; 3] = [Scope::McpRead, Scope::McpWrite, Scope::Api];

async fn ask(app: &App, token: &str, method: Method, path: &str, body: Value) -> McpReply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    app.client_at(&format!("/api/v1{path}"), Some(token)).send(method, json_headers(), body).await
}

/// Signing in and out, and choosing a password.
async fn sessions(app: &App) {
    let browser = app.browser();
    browser.post("/sign-in", &[("email", EMAIL), ("password", "wrong and wrong")]).await;
    browser.post("/sign-in", &[("email", EMAIL), ("password", PASSWORD)]).await;
    for (path, wrong, right) in [
        ("/reauthenticate", vec![("password", "wrong and wrong")], vec![("password", PASSWORD)]),
        (
            "/account/password",
            vec![("old_password", "wrong and wrong"), ("new_password", "four unrelated words here")],
            vec![("old_password", PASSWORD), ("new_password", "four unrelated words here")],
        ),
    ] {
        for mut fields in [wrong, right] {
            let form_token = browser.get(path).await.hidden("form_token");
            fields.push(("form_token", &form_token));
            browser.post(path, &fields).await;
        }
    }
}

/// A client is allowed and denied, and what it holds is renewed, replayed, given back and taken away.
async fn clients(app: &App, owner: &str) {
    let client = public_client(app).await;
    let browser = app.signed_in("kai@example.test").await;
    let begun = browser.get(&request(&client, &[])).await;
    let form_token = browser.get(begun.location()).await.hidden("form_token");
    browser.post(begun.location(), &[("form_token", &*form_token), ("decision", "deny")]).await;
    let spoiled = code(&browser, &request(&client, &[])).await;
    exchange(app, &client, &spoiled, &[("code_verifier", "x".repeat(43).as_str())]).await;
    let tokens = exchange(app, &client, &code(&browser, &request(&client, &[])).await, &[]).await;
    let token = field(&tokens, "refresh_token");
    let other = public_client(app).await;
    assert_eq!(refresh(app, &other, &token).await.json()["error"], "invalid_grant");
    let token = field(&refresh(app, &client, &token).await, "refresh_token");
    post(app, "/oauth/revoke", &[("client_id", &client), ("token", &token)]).await;
    let used = code(&browser, &request(&client, &[])).await;
    for _ in 0..2 {
        exchange(app, &client, &used, &[]).await;
    }

    code(&browser, &request(&client, &[])).await;
    let mine = browser.get("/api/v1/allowed-clients").await.json();
    let grant = mine["items"][0]["id"].as_str().unwrap_or_else(|| panic!("{mine}")).to_owned();
    let mia = app.token(member_of(app, EMAIL).await, &ALL).await;
    for token in [&*mia, owner] {
        ask(app, token, Method::DELETE, &format!("/allowed-clients/{grant}"), Value::Null).await;
    }

    let seen = ask(app, owner, Method::GET, "/oauth-clients", Value::Null).await.json();
    let path = format!("/oauth-clients/{}", seen["items"][0]["id"].as_str().unwrap());
    for token in [&*mia, owner] {
        ask(app, token, Method::PATCH, &path, json!({ "enabled": false })).await;
    }
    let begun = browser.get(&request(&client, &[])).await;
    browser.get(begun.location()).await;
}

/// A program proves who it is, and does not.
async fn programs(app: &App, owner: &str) {
    let account =
        field(&ask(app, owner, Method::POST, "/service-accounts", json!({ "name": "bot" })).await, "id");
    let made = ask(app, owner, Method::POST, &format!("/service-accounts/{account}/secret"), json!({})).await;
    let (id, secret) = (field(&made, "client_id"), field(&made, "client_secret"));
    for secret in [&*secret, "swb_ocs_wrong"] {
        let fields = [("grant_type", "client_credentials"), ("client_id", &id), ("client_secret", secret)];
        post(app, "/oauth/token", &fields).await;
    }
}

/// Tokens that are made and revoked, roles that are given, people who are invited and removed.
async fn administration(app: &App, owner: &str) {
    let kai = member_of(app, "kai@example.test").await;
    let mia = app.token(member_of(app, EMAIL).await, &ALL).await;
    let reader = app.token(member_of(app, EMAIL).await, &[Scope::McpRead, Scope::Api]).await;
    let token = |scope: &str| json!({ "name": "ci", "scopes": [scope] });
    ask(app, &reader, Method::POST, "/tokens", token("mcp:write")).await;
    let made = ask(app, owner, Method::POST, "/tokens", token("mcp:write")).await.json();
    let path = format!("/tokens/{}", made["id"].as_str().unwrap());
    let invite = json!({ "email": "new@example.test" });
    let account =
        field(&ask(app, owner, Method::POST, "/service-accounts", json!({ "name": "ci" })).await, "id");
    let of_program = json!({ "name": "ci", "scopes": ["mcp:read"], "service_account": account });
    let mut links = Vec::new();
    for token in [&*mia, owner] {
        ask(app, token, Method::POST, "/tokens", of_program.clone()).await;
        ask(app, token, Method::DELETE, &path, Value::Null).await;
        ask(app, token, Method::PATCH, &format!("/members/{kai}"), json!({ "role": "admin" })).await;
        links.push(ask(app, token, Method::POST, "/invitations", invite.clone()).await.json());
    }
    let link = links[1]["url"].as_str().unwrap().replace(&app.url(""), "");
    for (name, password) in [("New", "password1234"), ("New", PASSWORD), ("Again", PASSWORD)] {
        app.browser().post(&link, &[("name", name), ("password", password)]).await;
    }
    let other =
        ask(app, owner, Method::POST, "/invitations", json!({ "email": "newer@example.test" })).await.json();
    let path = format!("/invitations/{}", other["id"].as_str().unwrap());
    for token in [&*mia, owner] {
        ask(app, token, Method::DELETE, &path, Value::Null).await;
        ask(app, token, Method::DELETE, &format!("/members/{kai}"), Value::Null).await;
    }
}

async fn member_of(app: &App, email: &str) -> switchboard_domain::MemberId {
    let mut tx = app.db.read().await.unwrap();
    tx.members().find_by_email(app.organization, email).await.unwrap().unwrap().id
}

on_both! {
    async fn whatever_came_about_and_whatever_was_refused_is_on_record(database) {
        let app = App::start(database.db.clone()).await;
        let owner = app.token(app.owner, &ALL).await;
        app.member_with_password(EMAIL, Role::Member).await;
        app.member_with_password("kai@example.test", Role::Member).await;
        sessions(&app).await;
        clients(&app, &owner).await;
        programs(&app, &owner).await;
        administration(&app, &owner).await;
        for action in [
            "session.sign_in", "session.reauthenticate", "member.change_password",
            "oauth.consent", "oauth.token", "oauth.refresh", "allowed_client.revoke", "oauth_client.update",
            "token.create", "token.revoke",
            "member.update", "member.remove",
            "invitation.create", "invitation.accept", "invitation.revoke",
        ] {
            let seen = events(&app, action).await;
            for outcome in ["ok", "refused"] {
                assert!(seen.iter().any(|it| it == outcome), "{action}: no {outcome} among {seen:?}");
            }
        }
        assert_eq!(events(&app, "token.create_service").await, ["ok"]);
        let of_tokens = events(&app, "token.create").await;
        assert_eq!(of_tokens.iter().filter(|it| *it == "refused").count(), 2, "for oneself and for a program: {of_tokens:?}");
        assert_eq!(events(&app, "oauth.deny").await, ["refused"]);
        assert_eq!(events(&app, "oauth.replay").await, ["refused"]);
        assert_eq!(events(&app, "oauth.revoke").await, ["ok"]);
        assert_eq!(events(&app, "oauth.authenticate").await, ["refused"]);
        assert_eq!(events(&app, "invitation.accept").await, ["refused", "ok", "refused"], "guessed, accepted, used");
        app.stop().await;
    }
}
