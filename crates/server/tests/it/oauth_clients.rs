//! Admins and the clients of their organization: what they see, make, keep out and forget.

use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};
use switchboard_domain::{Role, Scope};
use switchboard_testkit::{
    app::{App, AppOptions, McpReply},
    on_both,
};

use crate::oauth::{EMAIL, code, exchange, field, post, public_client, refresh, request, status_of};

const ALL: [Scope; 3] = [Scope::McpRead, Scope::McpWrite, Scope::Api];
const CALLBACK: &str = "http://127.0.0.1/callback";

async fn ask(app: &App, token: &str, method: Method, path: &str, body: Value) -> McpReply {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    app.client_at(&format!("/api/v1/oauth-clients{path}"), Some(token)).send(method, headers, body).await
}

async fn listed(app: &App, token: &str) -> Vec<Value> {
    ask(app, token, Method::GET, "", Value::Null).await.json()["items"].as_array().unwrap().clone()
}

on_both! {
    async fn an_admin_makes_a_client_for_an_app_that_cannot_register(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let owner = app.token(app.owner, &ALL).await;
        let body = json!({ "name": "Studio", "redirect_uris": [CALLBACK], "confidential": true });
        let made = ask(&app, &owner, Method::POST, "", body).await;
        assert_eq!(made.status.as_u16(), 201, "{}", made.text());
        let (client, secret, path) = (field(&made, "client_id"), field(&made, "client_secret"), format!("/{}", field(&made, "id")));
        let browser = app.signed_in(EMAIL).await;
        let with = |secret: &str| [("client_secret", secret.to_owned())];
        let first_code = code(&browser, &request(&client, &[])).await;
        let without = exchange(&app, &client, &first_code, &[]).await;
        assert_eq!((without.status.as_u16(), without.json()["error"].as_str()), (401, Some("invalid_client")));
        let shown = with(&secret);
        let tokens = exchange(&app, &client, &first_code, &[("client_secret", &shown[0].1)]).await;
        let (access, token) = (field(&tokens, "access_token"), field(&tokens, "refresh_token"));
        assert_eq!(status_of(&app, "/mcp", &access).await, 200);
        let seen = &listed(&app, &owner).await[0];
        assert_eq!((seen["kind"].as_str(), seen["grants"].as_i64(), seen["confidential"].as_bool()), (Some("static"), Some(1), Some(true)));
        assert!(seen.get("client_secret").is_none() && seen["last_used_at"].is_string(), "{seen}");

        let rotated = ask(&app, &owner, Method::POST, &format!("{path}/secret"), Value::Null).await;
        let again = |secret: String| {
            let (app, client, token) = (&app, &client, &token);
            async move {
                let fields = [("grant_type", "refresh_token"), ("client_id", client), ("client_secret", &secret), ("refresh_token", token)];
                post(app, "/oauth/token", &fields).await
            }
        };
        assert_eq!(again(secret).await.json()["error"], "invalid_client", "the secret before");
        let secret = field(&rotated, "client_secret");
        assert_eq!(again(secret.clone()).await.status.as_u16(), 200, "whoever is signed in stays");
        let moved = json!({ "name": "Studio 2", "redirect_uris": ["https://studio.example/cb", CALLBACK] });
        assert_eq!(ask(&app, &owner, Method::PATCH, &path, moved).await.json()["name"], "Studio 2");
        assert_eq!(status_of(&app, "/mcp", &access).await, 200);

        let disabled = ask(&app, &owner, Method::PATCH, &path, json!({ "enabled": false })).await.json();
        assert_eq!((disabled["enabled"].as_bool(), disabled["grants"].as_i64()), (Some(false), Some(0)), "{disabled}");
        assert_eq!(status_of(&app, "/mcp", &access).await, 401);
        assert_eq!(again(secret.clone()).await.json()["error"], "invalid_client");
        assert_eq!(browser.get(&request(&client, &[])).await.status.as_u16(), 400);
        ask(&app, &owner, Method::PATCH, &path, json!({ "enabled": true })).await;
        assert_eq!(browser.get(&request(&client, &[])).await.status.as_u16(), 303);
        assert_eq!(ask(&app, &owner, Method::DELETE, &path, Value::Null).await.status.as_u16(), 204);
        assert_eq!(again(secret).await.json()["error"], "invalid_client");
        assert!(listed(&app, &owner).await.is_empty());
        app.stop().await;
    }

    async fn a_client_that_registered_is_seen_kept_out_and_forgotten(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let owner = app.token(app.owner, &ALL).await;
        let client = public_client(&app).await;
        assert!(listed(&app, &owner).await.is_empty(), "nobody here allowed it");
        let browser = app.signed_in(EMAIL).await;
        let tokens = exchange(&app, &client, &code(&browser, &request(&client, &[])).await, &[]).await;
        let (access, token) = (field(&tokens, "access_token"), field(&tokens, "refresh_token"));
        let seen = listed(&app, &owner).await.remove(0);
        assert_eq!((seen["client_id"].as_str(), seen["kind"].as_str()), (Some(&*client), Some("dynamic")));
        let path = format!("/{}", seen["id"].as_str().unwrap());
        for (method, path, body) in [
            (Method::PATCH, path.clone(), json!({ "name": "Mine" })),
            (Method::POST, format!("{path}/secret"), Value::Null),
        ] {
            assert_eq!(ask(&app, &owner, method, &path, body).await.json()["code"], "not_a_static_client");
        }
        let (_, _, stranger) = app.stranger(&ALL).await;
        assert_eq!(ask(&app, &stranger, Method::GET, &path, Value::Null).await.status.as_u16(), 404);
        let begun = browser.get(&request(&client, &[])).await;
        let form_token = browser.get(begun.location()).await.hidden("form_token");
        ask(&app, &owner, Method::PATCH, &path, json!({ "enabled": false })).await;
        assert_eq!(status_of(&app, "/mcp", &access).await, 401);
        assert_eq!(refresh(&app, &client, &token).await.json()["error"], "invalid_grant");
        let page = browser.get(begun.location()).await;
        assert!(page.status.as_u16() == 403 && page.text().contains("kept out"), "{}", page.text());
        let forced = browser.post(begun.location(), &[("form_token", &*form_token), ("decision", "allow")]).await;
        assert_eq!(forced.status.as_u16(), 403);
        assert_eq!(ask(&app, &owner, Method::DELETE, &path, Value::Null).await.status.as_u16(), 204);
        let gone = refresh(&app, &client, &token).await;
        assert_eq!((gone.status.as_u16(), gone.json()["error"].as_str()), (401, Some("invalid_client")), "it registers again");
        app.stop().await;
    }

    async fn what_a_deleted_client_held_ends_on_every_replica(database) {
        let app = App::start(database.db.clone()).await;
        let second = switchboard_storage::Db::open(&database.options, switchboard_storage::Migrations::Require).await.unwrap();
        let options = AppOptions { keyring: Some(app.keyring.clone()), ..Default::default() };
        let replica = App::start_with(second, options).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let owner = app.token(app.owner, &ALL).await;
        let client = public_client(&app).await;
        let tokens = exchange(&app, &client, &code(&app.signed_in(EMAIL).await, &request(&client, &[])).await, &[]).await;
        let access = field(&tokens, "access_token");
        assert_eq!(status_of(&replica, "/mcp", &access).await, 200);
        let path = format!("/{}", listed(&app, &owner).await[0]["id"].as_str().unwrap());
        ask(&app, &owner, Method::DELETE, &path, Value::Null).await;
        let refused = refresh(&replica, &client, &field(&tokens, "refresh_token")).await;
        assert_eq!(refused.json()["error"], "invalid_client", "at once: clients are asked of the database");
        let started = std::time::Instant::now();
        while status_of(&replica, "/mcp", &access).await != 401 {
            assert!(started.elapsed().as_secs() < 10, "the token still works");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        replica.stop().await;
        app.stop().await;
    }

    async fn a_client_of_one_organization_signs_nobody_of_another_in(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let (_, _, stranger) = app.stranger(&ALL).await;
        let body = json!({ "name": "Theirs", "redirect_uris": [CALLBACK] });
        let made = ask(&app, &stranger, Method::POST, "", body).await;
        let client = field(&made, "client_id");
        assert!(made.json().get("client_secret").is_none());
        let browser = app.signed_in(EMAIL).await;
        let begun = browser.get(&request(&client, &[])).await;
        assert_eq!(browser.get(begun.location()).await.status.as_u16(), 403);
        let bad = json!({ "name": "", "redirect_uris": ["javascript:alert(1)", "https://ok.example/cb"] });
        let refused = ask(&app, &stranger, Method::POST, "", bad).await.json();
        assert_eq!(refused["violations"].as_array().unwrap().len(), 2, "{refused}");
        app.stop().await;
    }
}
