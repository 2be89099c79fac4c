//! Service accounts at `/oauth/token`: their secret, what it opens, how it ends; and what clients may ask of tokens.

use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};
use switchboard_domain::Scope;
use switchboard_testkit::{
    app::{App, McpReply},
    on_both,
};

use crate::oauth::{field, post, public_client, status_of};

const ALL: [Scope; 3] = [Scope::McpRead, Scope::McpWrite, Scope::Api];

async fn ask(app: &App, token: &str, method: Method, path: &str, body: Value) -> McpReply {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    app.client_at(&format!("/api/v1{path}"), Some(token)).send(method, headers, body).await
}

/// A new service account with its secret: path, client id, secret.
async fn account(app: &App, owner: &str, scopes: Value) -> (String, String, String) {
    let made = ask(app, owner, Method::POST, "/service-accounts", json!({ "name": "reports" })).await.json();
    let path = format!("/service-accounts/{}", made["id"].as_str().unwrap());
    let (id, secret) = secret(app, owner, &path, scopes).await;
    assert_eq!(id, made["id"].as_str().unwrap());
    (path, id, secret)
}

async fn secret(app: &App, owner: &str, path: &str, body: Value) -> (String, String) {
    let made = ask(app, owner, Method::POST, &format!("{path}/secret"), body).await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.text());
    (field(&made, "client_id"), field(&made, "client_secret"))
}

async fn token(app: &App, id: &str, secret: &str, more: &[(&str, &str)]) -> McpReply {
    let mut fields = vec![("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
    fields.extend(more);
    post(app, "/oauth/token", &fields).await
}

async fn with_basic(app: &App, path: &str, id: &str, secret: &str, form: &'static str) -> McpReply {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut headers = HeaderMap::new();
    let pair = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&pair).unwrap());
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(header::CONTENT_TYPE, kind);
    app.client_at(path, None).send(Method::POST, headers, form).await
}

on_both! {
    async fn a_program_asks_with_its_secret(database) {
        let app = App::start(database.db.clone()).await;
        let owner = app.token(app.owner, &ALL).await;
        let (path, id, secret) = account(&app, &owner, json!({})).await;
        let answer = token(&app, &id, &secret, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, Some("no-store")), "{}", answer.text());
        let body = answer.json();
        assert!(body.get("refresh_token").is_none(), "it has the secret: {body}");
        assert_eq!(body["scope"], "mcp:read mcp:write");
        let access = field(&answer, "access_token");
        assert_eq!(status_of(&app, "/mcp", &access).await, 200);
        let organization = app.broker.snapshot(app.organization).unwrap().organization.slug.to_string();
        for elsewhere in ["/mcp/connections/x", "/api/v1/organization", &format!("/o/{organization}/mcp")] {
            assert_eq!(status_of(&app, elsewhere, &access).await, 401, "{elsewhere}");
        }
        let pinned = app.url(&format!("/o/{organization}/mcp"));
        let answer = token(&app, &id, &secret, &[("resource", &pinned), ("scope", "mcp:read offline_access")]).await;
        assert_eq!(answer.json()["scope"], "mcp:read");
        assert_eq!(status_of(&app, &format!("/o/{organization}/mcp"), &field(&answer, "access_token")).await, 200);
        let basic = with_basic(&app, "/oauth/token", &id, &secret, "grant_type=client_credentials&scope=mcp:read").await;
        assert_eq!(basic.status.as_u16(), 200, "{}", basic.text());
        for (more, error) in [
            ([("scope", "api")], "invalid_scope"),
            ([("scope", "mcp:plan")], "invalid_scope"),
            ([("resource", "https://elsewhere.example/mcp")], "invalid_target"),
            ([("resource", &*app.url("/o/elsewhere/mcp"))], "invalid_target"),
            ([("resource", &*app.url("/api/v1"))], "invalid_target"),
        ] {
            assert_eq!(token(&app, &id, &secret, &more).await.json()["error"], error, "{more:?}");
        }
        let entries = ask(&app, &owner, Method::GET, "/audit?limit=50", Value::Null).await.json();
        let issued = entries["items"].as_array().unwrap().iter().find(|entry| entry["action"] == "oauth.token").unwrap();
        assert_eq!((issued["actor"]["id"].as_str(), issued["client"].as_str()), (Some(&*id), Some(&*id)), "{issued}");
        let shown = ask(&app, &owner, Method::GET, &path, Value::Null).await.json();
        assert!(shown["has_secret"] == true && shown["last_used_at"].is_string(), "{shown}");
        app.stop().await;
    }

    async fn nobody_else_asks_for_a_program(database) {
        let app = App::start(database.db.clone()).await;
        let owner = app.token(app.owner, &ALL).await;
        let (_, id, secret) = account(&app, &owner, json!({})).await;
        let missing = post(&app, "/oauth/token", &[("grant_type", "client_credentials"), ("client_id", &id)]).await;
        let unknown = token(&app, "svc_00000000000000000000000000", &secret, &[]).await;
        for refused in [token(&app, &id, &format!("{secret}x"), &[]).await, missing, unknown] {
            assert_eq!((refused.status.as_u16(), refused.json()["error"].as_str()), (401, Some("invalid_client")));
        }
        let client = public_client(&app).await;
        let refused = post(&app, "/oauth/token", &[("grant_type", "client_credentials"), ("client_id", &client)]).await;
        assert_eq!((refused.status.as_u16(), refused.json()["error"].as_str()), (400, Some("unauthorized_client")));
        let page = app.browser().get(&crate::oauth::request(&id, &[])).await;
        assert_eq!((page.status.as_u16(), page.header("location")), (400, None), "it signs nobody in");
        app.stop().await;
    }

    async fn a_program_is_out_at_once(database) {
        let app = App::start(database.db.clone()).await;
        let owner = app.token(app.owner, &ALL).await;
        let (path, id, first) = account(&app, &owner, json!({ "scopes": ["mcp:read"] })).await;
        let access = field(&token(&app, &id, &first, &[]).await, "access_token");
        assert_eq!(token(&app, &id, &first, &[("scope", "mcp:write")]).await.json()["error"], "invalid_scope", "its bound");
        let (_, second) = secret(&app, &owner, &path, json!({})).await;
        assert_eq!(token(&app, &id, &first, &[]).await.status.as_u16(), 401, "the secret before");
        assert_eq!(status_of(&app, "/mcp", &access).await, 401, "what it opened");
        let access = field(&token(&app, &id, &second, &[]).await, "access_token");
        ask(&app, &owner, Method::PATCH, &path, json!({ "status": "suspended" })).await;
        assert_eq!(status_of(&app, "/mcp", &access).await, 401);
        assert_eq!(token(&app, &id, &second, &[]).await.json()["error"], "invalid_client");
        ask(&app, &owner, Method::PATCH, &path, json!({ "status": "active" })).await;
        assert_eq!(status_of(&app, "/mcp", &access).await, 200);
        assert_eq!(ask(&app, &owner, Method::DELETE, &path, Value::Null).await.status.as_u16(), 204);
        assert_eq!(status_of(&app, "/mcp", &access).await, 401);
        assert_eq!(token(&app, &id, &second, &[]).await.json()["error"], "invalid_client");
        app.stop().await;
    }

    async fn no_secret_may_more_than_whoever_makes_it(database) {
        let app = App::start(database.db.clone()).await;
        let owner = app.token(app.owner, &ALL).await;
        let (path, ..) = account(&app, &owner, json!({})).await;
        let path = format!("{path}/secret");
        for scopes in [json!(["api"]), json!([]), json!(["offline_access"])] {
            let refused = ask(&app, &owner, Method::POST, &path, json!({ "scopes": scopes })).await;
            assert_eq!(refused.json()["code"], "validation_failed", "{scopes}");
        }
        let api_only = app.token(app.owner, &[Scope::Api]).await;
        let refused = ask(&app, &api_only, Method::POST, &path, json!({})).await;
        assert_eq!(refused.json()["code"], "insufficient_scope");
        app.stop().await;
    }

    async fn a_client_asks_about_its_own_tokens_only(database) {
        let app = App::start(database.db.clone()).await;
        let owner = app.token(app.owner, &ALL).await;
        let (path, id, secret) = account(&app, &owner, json!({})).await;
        let access = field(&token(&app, &id, &secret, &[]).await, "access_token");
        let introspect = async |id: &str, secret: &str, token: &str| {
            post(&app, "/oauth/introspect", &[("client_id", id), ("client_secret", secret), ("token", token)]).await
        };
        let facts = introspect(&id, &secret, &access).await.json();
        assert_eq!(facts["active"], true, "{facts}");
        assert_eq!(facts["aud"], app.url("/mcp"));
        assert_eq!((facts["sub"].as_str(), facts["client_id"].as_str()), (Some(&*id), Some(&*id)));
        assert_eq!((facts["scope"].as_str(), facts["token_type"].as_str()), (Some("mcp:read mcp:write"), Some("Bearer")));
        let lives = facts["exp"].as_i64().unwrap() - facts["iat"].as_i64().unwrap();
        assert_eq!(lives, 3600);
        let other = json!({ "redirect_uris": ["https://a.example/cb"], "token_endpoint_auth_method": "client_secret_basic" });
        let other = crate::oauth::register(&app, other).await;
        let (other_id, other_secret) = (field(&other, "client_id"), field(&other, "client_secret"));
        let alike = introspect(&id, &secret, "swb_oat_made_up").await;
        assert_eq!(alike.text(), r#"{"active":false}"#);
        for (id, secret, token) in [(&other_id, &other_secret, &access), (&id, &secret, &owner), (&id, &secret, &secret)] {
            assert_eq!(introspect(id, secret, token).await.text(), alike.text());
        }
        let public = public_client(&app).await;
        let refused = post(&app, "/oauth/introspect", &[("client_id", &public), ("token", &access)]).await;
        assert_eq!((refused.status.as_u16(), refused.json()["error"].as_str()), (401, Some("invalid_client")));
        assert_eq!(introspect(&id, "wrong", &access).await.status.as_u16(), 401);
        post(&app, "/oauth/revoke", &[("client_id", &id), ("client_secret", &secret), ("token", &access)]).await;
        assert_eq!(introspect(&id, &secret, &access).await.text(), alike.text(), "revoked");
        let access = field(&token(&app, &id, &secret, &[]).await, "access_token");
        ask(&app, &owner, Method::PATCH, &path, json!({ "status": "suspended" })).await;
        assert_eq!(introspect(&id, &secret, &access).await.text(), alike.text(), "disabled");
        let metadata = app.browser().get("/.well-known/oauth-authorization-server").await.json();
        assert_eq!(metadata["introspection_endpoint"], app.url("/oauth/introspect"));
        assert!(metadata["grant_types_supported"].as_array().unwrap().contains(&json!("client_credentials")));
        assert_eq!(app.browser().get("/oauth/jwks.json").await.json(), json!({ "keys": [] }));
        app.stop().await;
    }
}
