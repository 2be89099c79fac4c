//! Signing in at third-party servers: from the address of a server to its tools, and everything that must not work.

use http::Method;
use serde_json::{Value, json};
use switchboard_broker::connect::{ConnectSettings, OperatorClient};
use switchboard_domain::{AssertionAudience, ConnectionId, ConnectionStatus, Role, Scope};
use switchboard_testkit::{
    app::{App, AppOptions, Browser, McpReply},
    on_both,
    upstream::{ProtectedUpstream, Says},
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

    async fn a_client_of_the_older_generation_is_told_the_address_in_the_way_it_said(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ProtectedUpstream::start().await;
        let owner = Person::owner(&app).await;
        let mode = json!({ "credential_mode": "per_member" });
        let connection = owner.add(&app, "vendor", &upstream, mode).await;
        let id = id_of(&connection);
        app.wait_for_status(id, ConnectionStatus::NeedsConnection).await;
        app.grant_everyone(id).await;
        let token = app.token(app.owner, &[Scope::McpRead, Scope::McpWrite]).await;
        let call = json!({ "name": "execute_capability", "arguments": { "name": "vendor.echo", "arguments": { "text": "hi" } } });
        let initialize = |version: &str, elicitation: Value| json!({
            "protocolVersion": version, "capabilities": { "elicitation": elicitation },
            "clientInfo": { "name": "older", "version": "1" },
        });
        let client = app.client(&token);
        let opened = client.legacy("initialize", initialize("2025-11-25", json!({ "form": {}, "url": {} }))).await;
        let session = opened.header("mcp-session-id").expect("a session").to_owned();
        let client = client.with_header("mcp-session-id", &session);
        let asked = client.legacy("tools/call", call.clone()).await;
        assert_eq!((asked.status.as_u16(), &asked.json()["error"]["code"]), (200, &json!(-32042)), "{}", asked.text());
        let question = asked.json()["error"]["data"]["elicitations"][0].clone();
        assert_eq!((&question["mode"], &question["url"]), (&json!("url"), &json!(app.url(&format!("/connections/{id}/connect")))));
        assert!(question["elicitationId"].as_str().unwrap().starts_with("connect-"), "{question}");
        let get = client.send(Method::GET, http::HeaderMap::new(), "").await;
        assert_eq!(get.status.as_u16(), 405, "there is nothing to hear");

        // Who did not say so, or not in that revision, or in another's session, reads it in the result.
        for (version, elicitation) in [("2025-11-25", json!({ "form": {} })), ("2025-11-25", json!({})), ("2025-06-18", json!({ "url": {} }))] {
            let opened = app.client(&token).legacy("initialize", initialize(version, elicitation)).await;
            assert_eq!(opened.header("mcp-session-id"), None, "{version}");
        }
        let other = app.token(app.owner, &[Scope::McpRead, Scope::McpWrite]).await;
        for stranger in [app.client(&token), app.client(&other).with_header("mcp-session-id", &session), app.client(&token).with_header("mcp-session-id", "none-of-ours")] {
            let told = stranger.legacy("tools/call", call.clone()).await.result();
            assert_eq!(told["structuredContent"]["code"], "needs_connection", "{told}");
        }
        let started = owner.start(&app, &connection).await.json();
        let back = owner.agree(&app, &started).await;
        owner.browser.get(&back).await;
        let done = client.legacy("tools/call", call).await.result();
        assert_eq!(done["content"][0]["text"], "{\"text\":\"hi\"}", "{done}");
        assert_eq!(client.send(Method::DELETE, http::HeaderMap::new(), "").await.status.as_u16(), 204);
        app.stop().await;
    }

    async fn an_operators_client_serves_every_connection_of_its_issuer(database) {
        let upstream = ProtectedUpstream::start().await;
        upstream.add_client("of-the-operator", Some("operators-secret-canary"));
        let client = OperatorClient {
            name: "vendors".parse().unwrap(),
            issuer: upstream.origin().to_owned(),
            hosts: vec!["127.0.0.1".parse().unwrap()],
            client_id: "of-the-operator".into(),
            client_secret: Some(switchboard_domain::SecretValue::new("operators-secret-canary")),
            authentication: None,
            assertion_audience: AssertionAudience::Issuer,
        };
        let connect = ConnectSettings { clients: vec![client], ..ConnectSettings::default() };
        let app = App::start_with(database.db.clone(), AppOptions { connect, ..AppOptions::default() }).await;
        let owner = Person::owner(&app).await;
        let one = owner.add(&app, "one", &upstream, json!({})).await;
        let two = owner.add(&app, "two", &upstream, json!({})).await;
        let started = owner.start(&app, &one).await.json();
        let back = owner.agree(&app, &started).await;
        assert!(back.starts_with(&app.url("/oauth/callback/client/vendors?")), "{back}");
        assert_eq!(upstream.requests("/authorize")[0].parameters["client_id"], "of-the-operator");
        assert!(upstream.requests("/register").is_empty(), "nobody registers who is known");
        // The state belongs to the connection that began, wherever the callback is shared.
        let elsewhere = back.replace("/client/vendors", &format!("/{}", id_of(&two)));
        assert!(owner.browser.get(&elsewhere).await.location().ends_with("/result"));
        let became = owner.became(&app, &started).await;
        assert_eq!((&became["status"], &became["reason"]), (&json!("error"), &json!("wrong_callback")), "{became}");
        assert!(upstream.requests("/token").is_empty(), "no token was asked for");
        for connection in [&one, &two] {
            let started = owner.start(&app, connection).await.json();
            let back = owner.agree(&app, &started).await;
            owner.browser.get(&back).await;
            assert_eq!(owner.became(&app, &started).await["status"], "connected");
            app.wait_for_status(id_of(connection), ConnectionStatus::Connected).await;
        }
        let shown = api(&app, &owner.token, Method::GET, "/connections", None).await.text();
        assert!(!shown.contains("operators-secret-canary"));
        app.stop().await;
    }

    async fn an_operators_client_gets_no_tokens_for_servers_it_is_not_for(database) {
        let [vendor, other] = [ProtectedUpstream::start().await, ProtectedUpstream::start().await];
        vendor.add_client("of-the-operator", Some("operators-secret-canary"));
        // It trusts the vendor's provider, or says so.
        other.says("/.well-known/oauth-protected-resource/mcp", Says::json(&json!({
            "resource": other.url(), "authorization_servers": [vendor.origin()],
        })));
        let host = vendor.origin().strip_prefix("http://").unwrap();
        let client = OperatorClient {
            name: "vendors".parse().unwrap(),
            issuer: vendor.origin().to_owned(),
            hosts: vec!["*.example.com".parse().unwrap(), host.parse().unwrap()],
            client_id: "of-the-operator".into(),
            client_secret: Some(switchboard_domain::SecretValue::new("operators-secret-canary")),
            authentication: None,
            assertion_audience: AssertionAudience::Issuer,
        };
        let now = switchboard_domain::Clock::now(&switchboard_domain::SystemClock);
        let clock = std::sync::Arc::new(switchboard_domain::FixedClock::at_micros(now.as_micros()));
        let options = |clients: Vec<OperatorClient>, keyring| AppOptions {
            connect: ConnectSettings { clients, ..ConnectSettings::default() },
            clock: Some(clock.clone()),
            keyring,
            ..AppOptions::default()
        };
        let app = App::start_with(database.db.clone(), options(vec![client.clone()], None)).await;
        let owner = Person::owner(&app).await;
        for (slug, upstream, is_for_it) in [("vendor", &vendor, true), ("other", &other, false)] {
            let connection = owner.add(&app, slug, upstream, json!({})).await;
            let started = owner.start(&app, &connection).await.json();
            let back = owner.agree(&app, &started).await;
            let asked = vendor.requests("/authorize");
            let client = &asked.last().unwrap().parameters["client_id"];
            assert_eq!(client == "of-the-operator", is_for_it, "{slug}: {client}");
            if is_for_it {
                owner.browser.get(&back).await;
                app.wait_for_status(id_of(&connection), ConnectionStatus::Connected).await;
                app.grant_everyone(id_of(&connection)).await;
            }
        }
        // Taken off the list, the host gets no fresh tokens either.
        let moved = OperatorClient { hosts: vec!["*.example.com".parse().unwrap()], ..client };
        let later = App::start_with(database.db.clone(), options(vec![moved], Some(app.keyring.clone()))).await;
        clock.advance(std::time::Duration::from_secs(30 * 24 * 3_600));
        let (asked, token) = (vendor.requests("/token").len(), later.token(later.owner, &[Scope::McpRead, Scope::McpWrite]).await);
        let refused = later.client(&token).execute("vendor.echo", json!({ "text": "hi" })).await;
        assert_eq!(refused["structuredContent"]["code"], "reauth_required", "{refused}");
        assert_eq!(vendor.requests("/token").len(), asked);
        later.stop().await;
        assert_eq!(vendor.requests("/register").len(), 1, "the other one's client is its own");
        app.stop().await;
    }

    async fn what_a_provider_wants_beside_the_standard_is_sent_along(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ProtectedUpstream::start().await;
        let owner = Person::owner(&app).await;
        let more = json!({ "oauth": { "authorization_parameters": { "access_type": "offline", "prompt": "login" } } });
        let connection = owner.add(&app, "vendor", &upstream, more).await;
        let started = owner.start(&app, &connection).await.json();
        owner.agree(&app, &started).await;
        let asked = &upstream.requests("/authorize")[0].parameters;
        assert_eq!((&*asked["access_type"], &*asked["prompt"]), ("offline", "login"));
        for reserved in ["state", "Redirect_URI", "code_challenge"] {
            let new = json!({
                "slug": "bad", "url": upstream.url(), "auth_type": "oauth",
                "oauth": { "authorization_parameters": { reserved: "x" } },
            });
            let refused = api(&app, &owner.token, Method::POST, "/connections", Some(new)).await;
            assert_eq!(refused.status.as_u16(), 422, "{reserved}: {}", refused.text());
        }
        app.stop().await;
    }

    async fn a_call_that_needs_more_scopes_has_them_asked_for(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ProtectedUpstream::start().await;
        let owner = Person::owner(&app).await;
        let connection = owner.add(&app, "vendor", &upstream, json!({})).await;
        let id = id_of(&connection);
        let connect = async || {
            let started = owner.start(&app, &connection).await.json();
            let back = owner.agree(&app, &started).await;
            owner.browser.get(&back).await;
            started
        };
        connect().await;
        app.wait_for_status(id, ConnectionStatus::Connected).await;
        app.grant_everyone(id).await;
        let client = app.client(&app.token(app.owner, &[Scope::McpRead, Scope::McpWrite]).await);
        let challenge = "Bearer error=\"insufficient_scope\", scope=\"read write\"";
        upstream.says("/mcp", Says::status(403).with_header("www-authenticate", challenge));
        let refused = client.execute("vendor.echo", json!({ "text": "x" })).await["structuredContent"].clone();
        assert_eq!(refused["code"], "reauth_required", "{refused}");
        assert_eq!(refused["details"]["scope"], "read write", "{refused}");
        assert_eq!(refused["action"]["url"], json!(app.url(&format!("/connections/{id}/connect"))));
        while api(&app, &owner.token, Method::GET, &format!("/connections/{id}"), None).await.json()["status"]
            != "reauth_required"
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        upstream.says_as_usual("/mcp");
        connect().await;
        let asked = upstream.requests("/authorize").pop().unwrap().parameters;
        assert_eq!(asked["scope"], "read write offline_access", "what was there before, and more");
        app.wait_for_status(id, ConnectionStatus::Connected).await;
        // Refused for the same scopes again: asking again would not help, and nobody is asked.
        upstream.says("/mcp", Says::status(403).with_header("www-authenticate", challenge));
        client.execute("vendor.echo", json!({ "text": "x" })).await;
        upstream.says_as_usual("/mcp");
        let done = client.execute("vendor.echo", json!({ "text": "after" })).await;
        assert_eq!(done["content"][0]["text"], "{\"text\":\"after\"}", "{done}");
        app.stop().await;
    }
}
