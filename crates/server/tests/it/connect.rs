//! Signing in at third-party servers: from the address of a server to its tools, and everything that must not work.

use http::Method;
use serde_json::{Value, json};
use switchboard_domain::{ConnectionId, ConnectionStatus, Role, Scope};
use switchboard_testkit::{
    app::{App, Browser, McpReply},
    on_both,
    upstream::ProtectedUpstream,
};

const OWNER: &str = "owner@example.test";

/// A caller of the REST API.
pub(crate) async fn api(app: &App, token: &str, method: Method, path: &str, body: Option<Value>) -> McpReply {
    let mut headers = http::HeaderMap::new();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    let body = body.map_or_else(String::new, |body| body.to_string());
    app.client_at(&format!("/api/v1{path}"), Some(token)).send(method, headers, body).await
}

/// An admin with a password, their token, and a browser in which they are signed in.
pub(crate) struct Person {
    pub(crate) token: String,
    pub(crate) browser: Browser,
}

impl Person {
    pub(crate) async fn owner(app: &App) -> Self {
        app.give_password(app.owner).await;
        Self { token: app.token(app.owner, &[Scope::Api]).await, browser: app.signed_in(OWNER).await }
    }

    pub(crate) async fn member(app: &App, email: &str) -> Self {
        let id = app.member_with_password(email, Role::Member).await;
        Self { token: app.token(id, &[Scope::Api]).await, browser: app.signed_in(email).await }
    }

    pub(crate) async fn add(
        &self,
        app: &App,
        slug: &str,
        upstream: &ProtectedUpstream,
        more: Value,
    ) -> Value {
        let mut connection = json!({ "slug": slug, "url": upstream.url(), "auth_type": "oauth" });
        for (name, value) in more.as_object().into_iter().flatten() {
            connection[name] = value.clone();
        }
        let made = api(app, &self.token, Method::POST, "/connections", Some(connection)).await;
        assert_eq!(made.status.as_u16(), 201, "{}", made.text());
        made.json()
    }

    pub(crate) async fn start(&self, app: &App, connection: &Value) -> McpReply {
        let path = format!("/connections/{}/authorize", connection["id"].as_str().unwrap());
        api(app, &self.token, Method::POST, &path, None).await
    }

    /// To the provider: where it sends the browser back to.
    pub(crate) async fn agree(&self, app: &App, started: &Value) -> String {
        let left = self.browser.get(started["authorization_url"].as_str().unwrap()).await;
        assert_eq!(left.status.as_u16(), 303, "{}", left.text());
        let agreed = app.browser().get(left.location()).await;
        agreed.location().to_owned()
    }

    pub(crate) async fn became(&self, app: &App, started: &Value) -> Value {
        let path = format!("/authorizations/{}", started["state_id"].as_str().unwrap());
        api(app, &self.token, Method::GET, &path, None).await.json()
    }
}

pub(crate) fn id_of(connection: &Value) -> ConnectionId {
    connection["id"].as_str().unwrap().parse().unwrap()
}

on_both! {
    async fn a_server_is_connected_from_its_address_alone(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ProtectedUpstream::start().await;
        let owner = Person::owner(&app).await;
        let connection = owner.add(&app, "vendor", &upstream, json!({})).await;
        app.wait_for_status(id_of(&connection), ConnectionStatus::NeedsConnection).await;
        assert!(upstream.requests("/register").is_empty(), "looking registers nobody");

        let started = owner.start(&app, &connection).await;
        assert_eq!(started.status.as_u16(), 201, "{}", started.text());
        let started = started.json();
        assert_eq!(owner.became(&app, &started).await["status"], "pending");
        let back = owner.agree(&app, &started).await;
        let asked = &upstream.requests("/authorize")[0].parameters;
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(asked["resource"], upstream.url());
        assert_eq!(asked["scope"], "read offline_access", "the challenge's scope, and what refreshes");
        assert!(back.starts_with(connection["callback_url"].as_str().unwrap()), "{back}");

        let done = owner.browser.get(&back).await;
        assert_eq!(done.status.as_u16(), 303, "{}", done.text());
        let page = owner.browser.get(done.location()).await;
        assert!(page.text().contains("vendor is connected"), "{}", page.text());
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(owner.became(&app, &started).await["status"], "connected");
        let token = &upstream.requests("/token")[0];
        assert_eq!(token.parameters["resource"], upstream.url());
        assert!(token.authorization.as_deref().unwrap().starts_with("Basic "), "{token:?}");
        app.wait_for_status(id_of(&connection), ConnectionStatus::Connected).await;

        app.grant_everyone(id_of(&connection)).await;
        let client = app.client(&app.token(app.owner, &[Scope::McpRead, Scope::McpWrite]).await);
        let answer = client.execute("vendor.echo", json!({ "text": "through" })).await;
        assert_eq!(answer["content"][0]["text"], "{\"text\":\"through\"}", "{answer}");
        app.stop().await;
    }
}
