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

    async fn an_agent_whose_person_has_no_account_is_told_where_to_get_one(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ProtectedUpstream::start().await;
        let owner = Person::owner(&app).await;
        let mode = json!({ "credential_mode": "per_member" });
        let connection = owner.add(&app, "vendor", &upstream, mode).await;
        let id = id_of(&connection);
        app.wait_for_status(id, ConnectionStatus::NeedsConnection).await;
        app.grant_everyone(id).await;
        let client = app.client(&app.token(app.owner, &[Scope::McpRead, Scope::McpWrite]).await);
        let address = app.url(&format!("/connections/{id}/connect"));
        let refused = client.execute("vendor.echo", json!({})).await["structuredContent"].clone();
        assert_eq!((&refused["code"], &refused["action"]["url"]), (&json!("needs_connection"), &json!(address)));

        // A client that shows addresses is asked to, once.
        let capable = |more: Value| {
            let capabilities = json!({ "elicitation": { "url": {} } });
            let mut params = json!({
                "name": "execute_capability", "arguments": { "name": "vendor.echo", "arguments": { "text": "hi" } },
                "_meta": { "io.modelcontextprotocol/clientCapabilities": capabilities },
            });
            for (name, value) in more.as_object().unwrap() {
                params[name] = value.clone();
            }
            params
        };
        let asked = client.modern("tools/call", capable(json!({}))).await.result();
        assert_eq!(asked["resultType"], "input_required", "{asked}");
        let question = &asked["inputRequests"]["switchboard/connect"];
        assert_eq!((&question["method"], &question["params"]["mode"]), (&json!("elicitation/create"), &json!("url")));
        assert_eq!(question["params"]["url"], json!(address), "{asked}");
        let answered = json!({ "inputResponses": { "switchboard/connect": { "action": "accept" } } });
        let told = client.modern("tools/call", capable(answered.clone())).await.result();
        assert_eq!(told["structuredContent"]["code"], "needs_connection", "{told}");
        let shared = json!({ "_meta": { "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} } } });
        let told = client.modern("tools/call", capable(shared)).await.result();
        assert_eq!(told["isError"], true, "without `url` it can't: {told}");

        // The address asks a stranger to sign in, and begins for whoever is there.
        let stranger = app.browser().get(&address).await;
        assert!(stranger.location().starts_with("/sign-in?return_to="), "{}", stranger.location());
        let begun = owner.browser.get(&address).await;
        assert!(begun.location().starts_with("/connect/"), "{}", begun.text());
        let path = format!("/connections/{id}");
        let shown = api(&app, &owner.token, Method::GET, &path, None).await.json();
        assert_eq!((&shown["status"], &shown["action_owner"]), (&json!("authorizing"), &json!("member")), "{shown}");
        let found = client.search(json!({ "query": "" })).await;
        assert_eq!(found["matches"][0]["status"], "authorizing", "{found}");
        let left = owner.browser.get(begun.location()).await;
        let back = app.browser().get(left.location()).await.location().to_owned();
        owner.browser.get(&back).await;
        let shown = api(&app, &owner.token, Method::GET, &path, None).await.json();
        assert_eq!(shown["status"], "connected", "{shown}");
        let done = client.modern("tools/call", capable(answered)).await.result();
        assert_eq!((&done["resultType"], &done["content"][0]["text"]), (&json!("complete"), &json!("{\"text\":\"hi\"}")), "{done}");

        // Somebody else's account is not it; and in an organization of strangers there is no such page.
        let other = Person::member(&app, "mia@example.test").await;
        let shown = api(&app, &other.token, Method::GET, &path, None).await.json();
        assert_eq!(shown["status"], "needs_connection", "{shown}");
        app.stop().await;
    }
}
