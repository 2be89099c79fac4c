//! A client signs in: with just the URL, through the browser, to a call of `/mcp`.

use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};
use switchboard_domain::Role;
use switchboard_testkit::{
    app::{App, Browser, McpReply},
    on_both,
};

pub(crate) const EMAIL: &str = "mia@example.test";
/// RFC 7636 appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const CALLBACK: &str = "http://127.0.0.1:41999/callback";

pub(crate) async fn register(app: &App, body: Value) -> McpReply {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    app.client_at("/oauth/register", None).send(Method::POST, headers, body.to_string()).await
}

pub(crate) async fn public_client(app: &App) -> String {
    let body = json!({ "client_name": "Agent <b>", "redirect_uris": ["http://127.0.0.1/callback"] });
    let reply = register(app, body).await;
    assert_eq!(reply.status.as_u16(), 201, "{}", reply.text());
    reply.json()["client_id"].as_str().unwrap().to_owned()
}

pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

pub(crate) async fn post(app: &App, path: &str, fields: &[(&str, &str)]) -> McpReply {
    let mut headers = HeaderMap::new();
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(header::CONTENT_TYPE, kind);
    app.client_at(path, None).send(Method::POST, headers, form(fields)).await
}

pub(crate) fn request(client: &str, more: &[(&str, &str)]) -> String {
    let mut fields = vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", CALLBACK),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("state", "s t"),
    ];
    fields.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    fields.extend(more.iter().filter(|(_, value)| !value.is_empty()));
    format!("/oauth/authorize?{}", form(&fields))
}

/// What the answer at the client's address says.
pub(crate) fn answer(reply: &McpReply, name: &str) -> Option<String> {
    let url: url::Url = reply.location().parse().unwrap();
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

pub(crate) async fn code(browser: &Browser, asked: &str) -> String {
    let begun = browser.get(asked).await;
    assert_eq!(begun.status.as_u16(), 303, "{}", begun.text());
    let page = browser.get(begun.location()).await;
    let fields = [("form_token", page.hidden("form_token")), ("decision", "allow".to_owned())];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let allowed = browser.post(begun.location(), &fields).await;
    assert!(allowed.location().starts_with(CALLBACK), "{}", allowed.location());
    answer(&allowed, "code").expect("a code")
}

pub(crate) async fn exchange(app: &App, client: &str, code: &str, more: &[(&str, &str)]) -> McpReply {
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    fields.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    fields.extend(more.iter().filter(|(_, value)| !value.is_empty()));
    post(app, "/oauth/token", &fields).await
}

pub(crate) async fn refresh(app: &App, client: &str, token: &str) -> McpReply {
    let fields = [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)];
    post(app, "/oauth/token", &fields).await
}

pub(crate) fn field(reply: &McpReply, name: &str) -> String {
    let answer = reply.json();
    answer[name].as_str().unwrap_or_else(|| panic!("no {name}: {answer}")).to_owned()
}

pub(crate) async fn status_of(app: &App, path: &str, token: &str) -> u16 {
    app.client_at(path, Some(token)).modern("tools/list", json!({})).await.status.as_u16()
}

on_both! {
    async fn a_client_that_types_localhost_is_told_of_localhost(database) {
        let app = App::start(database.db.clone()).await;
        let own = app.url("");
        let spelled = own.replace("127.0.0.1", "localhost");
        assert_ne!(own, spelled);
        let refused = app.browser().get(&format!("{spelled}/mcp")).await;
        let challenge = refused.header("www-authenticate").expect("a challenge").to_owned();
        let metadata = format!("{spelled}/.well-known/oauth-protected-resource/mcp");
        assert!(challenge.contains(&format!("\"{metadata}\"")), "{challenge}");
        assert_eq!(app.browser().get(&metadata).await.json()["resource"], format!("{spelled}/mcp"));

        app.member_with_password(EMAIL, Role::Member).await;
        let client = public_client(&app).await;
        let browser = app.browser();
        let asked = request(&client, &[("resource", &format!("{spelled}/mcp"))]);
        let begun = browser.get(&asked).await;
        assert!(begun.location().contains("/oauth/authorize/"), "{}", begun.text());
    }

    async fn a_client_signs_in_with_just_the_url(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let unknown = app.client_at("/mcp", None).modern("tools/list", json!({})).await;
        let challenge = unknown.header("www-authenticate").unwrap().to_owned();
        assert!(unknown.status.as_u16() == 401 && challenge.contains("resource_metadata="), "{challenge}");
        let resource = app.browser().get("/.well-known/oauth-protected-resource/mcp").await.json();
        let issuer = resource["authorization_servers"][0].as_str().unwrap().to_owned();
        let metadata = app.browser().get("/.well-known/oauth-authorization-server").await.json();
        assert_eq!(metadata["issuer"].as_str().unwrap(), issuer);
        assert_eq!(app.browser().get("/.well-known/openid-configuration/mcp").await.json(), metadata);

        let client = public_client(&app).await;
        let browser = app.browser();
        let asked = request(&client, &[("resource", resource["resource"].as_str().unwrap())]);
        let begun = browser.get(&asked).await;
        let page = browser.get(begun.location()).await;
        assert!(page.location().starts_with("/sign-in?return_to=/oauth/authorize/"), "{}", page.location());
        let credentials = [("email", EMAIL), ("password", switchboard_testkit::app::PASSWORD), ("return_to", begun.location())];
        assert_eq!(browser.post("/sign-in", &credentials).await.location(), begun.location());
        let page = browser.get(begun.location()).await;
        let shown = page.text();
        assert!(shown.contains("Unverified") && shown.contains("127.0.0.1") && shown.contains(EMAIL), "{shown}");
        assert!(!shown.contains("<b>"), "a client's name is text");
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("form-action 'self' http://127.0.0.1:41999;") && policy.contains("frame-ancestors 'none'"));

        let forged = browser.post(begun.location(), &[("decision", "allow")]).await;
        assert_eq!(forged.status.as_u16(), 400, "without the form's token");
        let other = app.signed_in(EMAIL).await;
        assert_eq!(other.get(begun.location()).await.status.as_u16(), 400, "another browser, same person");
        let fields = [("form_token", page.hidden("form_token")), ("decision", "allow".to_owned())];
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let allowed = browser.post(begun.location(), &fields).await;
        assert_eq!((answer(&allowed, "state").as_deref(), answer(&allowed, "iss")), (Some("s t"), Some(issuer)));
        let again = browser.post(begun.location(), &fields).await;
        assert_eq!(again.status.as_u16(), 400, "decided once");

        let code = answer(&allowed, "code").unwrap();
        for wrong in [
            [("code_verifier", "")], [("code_verifier", CHALLENGE)], [("redirect_uri", "http://127.0.0.1/other")],
            [("resource", "https://elsewhere.example/mcp")], [("client_id", &*public_client(&app).await)],
        ] {
            let refused = exchange(&app, &client, &code, &wrong).await;
            assert_eq!(refused.status.as_u16(), 400, "{wrong:?}: {}", refused.text());
        }
        let tokens = exchange(&app, &client, &code, &[]).await;
        assert_eq!((tokens.status.as_u16(), tokens.header("cache-control")), (200, Some("no-store")), "{}", tokens.text());
        let access = field(&tokens, "access_token");
        assert_eq!(status_of(&app, "/mcp", &access).await, 200);
        let organization = app.broker.snapshot(app.organization).unwrap().organization.slug.to_string();
        let pinned = format!("/o/{organization}/mcp");
        for elsewhere in ["/mcp/toolkits/x", "/mcp/connections/x", "/api/v1/organization", &pinned] {
            assert_eq!(status_of(&app, elsewhere, &access).await, 401, "{elsewhere}");
        }
        let replayed = exchange(&app, &client, &code, &[]).await;
        assert_eq!(replayed.json()["error"], "invalid_grant");
        assert_eq!(status_of(&app, "/mcp", &access).await, 401, "a code used twice ends what it opened");
        app.stop().await;
    }

    async fn a_refresh_token_is_used_once(database) {
        let app = App::start(database.db.clone()).await;
        let mia = app.member_with_password(EMAIL, Role::Member).await;
        let (client, browser) = (public_client(&app).await, app.signed_in(EMAIL).await);
        let code = code(&browser, &request(&client, &[])).await;
        let first = field(&exchange(&app, &client, &code, &[]).await, "refresh_token");
        let other = public_client(&app).await;
        assert_eq!(refresh(&app, &other, &first).await.json()["error"], "invalid_grant", "another client's");
        let second = refresh(&app, &client, &first).await;
        let retried = refresh(&app, &client, &first).await;
        assert_eq!(field(&second, "refresh_token"), field(&retried, "refresh_token"), "within the grace");
        assert_ne!(field(&second, "access_token"), field(&retried, "access_token"));
        let access = field(&retried, "access_token");
        assert_eq!(status_of(&app, "/mcp", &access).await, 200);

        let mut tx = app.db.write().await.unwrap();
        let hash = switchboard_vault::parse(&first).unwrap().hash;
        let (grant, _) = tx.oauth_grants().find_by_refresh_token(hash.as_bytes()).await.unwrap().unwrap();
        assert_eq!(grant.caller, switchboard_domain::Caller::Member(mia));
        let future = app.broker.clock().now().plus(std::time::Duration::from_secs(60));
        tx.oauth_grants().forget_expired(app.organization, future, switchboard_domain::Timestamp::from_micros(0)).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(refresh(&app, &client, &first).await.json()["error"], "invalid_grant", "after the grace");
        assert_eq!(status_of(&app, "/mcp", &access).await, 401, "the family is closed");
        let next = field(&second, "refresh_token");
        assert_eq!(refresh(&app, &client, &next).await.json()["error"], "invalid_grant");
        app.stop().await;
    }

    async fn a_successor_that_was_used_is_given_to_nobody_again(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let (client, browser) = (public_client(&app).await, app.signed_in(EMAIL).await);
        let code = code(&browser, &request(&client, &[])).await;
        let first = field(&exchange(&app, &client, &code, &[]).await, "refresh_token");
        let second = field(&refresh(&app, &client, &first).await, "refresh_token");
        let third = refresh(&app, &client, &second).await;
        let access = field(&third, "access_token");
        assert_eq!(status_of(&app, "/mcp", &access).await, 200);
        let copied = refresh(&app, &client, &first).await;
        assert_eq!(copied.json()["error"], "invalid_grant", "the answer did arrive: this is a copy, grace or not");
        assert_eq!(status_of(&app, "/mcp", &access).await, 401, "the family is closed");
        assert_eq!(refresh(&app, &client, &field(&third, "refresh_token")).await.json()["error"], "invalid_grant");
        app.stop().await;
    }

    async fn nobody_registers_where_the_operator_says_so(database) {
        let mut options = switchboard_testkit::app::AppOptions::default();
        options.settings.authorization.dynamic_registration = false;
        let app = App::start_with(database.db.clone(), options).await;
        let refused = register(&app, json!({ "redirect_uris": ["http://127.0.0.1/callback"] })).await;
        assert_eq!((refused.status.as_u16(), refused.json()["error"].as_str()), (403, Some("access_denied")));
        assert!(refused.text().contains("oauth.dynamic_registration"), "{}", refused.text());
        let metadata = app.browser().get("/.well-known/oauth-authorization-server").await.json();
        assert!(metadata.get("registration_endpoint").is_none(), "{metadata}");
        app.stop().await;
    }

    async fn revoking_ends_it(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let (client, browser) = (public_client(&app).await, app.signed_in(EMAIL).await);
        let code = code(&browser, &request(&client, &[])).await;
        let tokens = exchange(&app, &client, &code, &[]).await;
        let (access, token) = (field(&tokens, "access_token"), field(&tokens, "refresh_token"));
        let other = public_client(&app).await;
        assert_eq!(post(&app, "/oauth/revoke", &[("client_id", &other), ("token", &token)]).await.status.as_u16(), 200);
        assert_eq!(status_of(&app, "/mcp", &access).await, 200, "another client's word ends nothing");
        assert_eq!(post(&app, "/oauth/revoke", &[("client_id", &client), ("token", &token)]).await.status.as_u16(), 200);
        assert_eq!(status_of(&app, "/mcp", &access).await, 401);
        let gone = refresh(&app, "ocl_gone", &token).await;
        assert_eq!((gone.status.as_u16(), gone.json()["error"].as_str()), (401, Some("invalid_client")));
        app.stop().await;
    }

    async fn a_bad_request_goes_back_only_to_an_address_that_is_known(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let (client, browser) = (public_client(&app).await, app.signed_in(EMAIL).await);
        for page in [
            request("ocl_unknown", &[]),
            request(&client, &[("redirect_uri", "https://evil.example/callback")]),
            request(&client, &[("redirect_uri", "http://localhost:1/callback")]),
            request(&client, &[("redirect_uri", "")]),
            format!("{}&redirect_uri=https%3A%2F%2Fevil.example", request(&client, &[])),
        ] {
            let reply = browser.get(&page).await;
            assert_eq!((reply.status.as_u16(), reply.header("location")), (400, None), "{page}");
        }
        let table: &[(&str, &str, &str)] = &[
            ("code_challenge", "", "invalid_request"),
            ("code_challenge_method", "plain", "invalid_request"),
            ("code_challenge_method", "", "invalid_request"),
            ("response_type", "token", "unsupported_response_type"),
            ("response_type", "code token", "unsupported_response_type"),
            ("resource", "https://elsewhere.example/mcp", "invalid_target"),
            ("scope", "api", "invalid_scope"),
            ("request", "e30.e30.", "invalid_request"),
            ("response_mode", "web_message", "invalid_request"),
        ];
        for (name, value, _) in table {
            let reply = browser.get(&request(&client, &[(name, value)])).await;
            assert_eq!((reply.status.as_u16(), reply.header("location")), (400, None), "{name}={value}: nobody allowed it yet");
            assert!(reply.text().contains("Back to 127.0.0.1"), "{}", reply.text());
        }
        code(&browser, &request(&client, &[])).await;
        let stranger = app.browser().get(&request(&client, &[table[0]].map(|(name, value, _)| (name, value)))).await;
        assert_eq!((stranger.status.as_u16(), stranger.header("location")), (400, None), "nobody is signed in");
        for (name, value, error) in table {
            let reply = browser.get(&request(&client, &[(name, value)])).await;
            assert_eq!(answer(&reply, "error").as_deref(), Some(*error), "{name}={value}");
            assert!(answer(&reply, "iss").is_some() && answer(&reply, "state").as_deref() == Some("s t"));
        }
        let begun = browser.get(&request(&client, &[])).await;
        let page = browser.get(begun.location()).await;
        let fields = [("form_token", page.hidden("form_token")), ("decision", "deny".to_owned())];
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let denied = browser.post(begun.location(), &fields).await;
        assert_eq!(answer(&denied, "error").as_deref(), Some("access_denied"));
        app.stop().await;
    }

    async fn a_client_with_a_secret_has_to_show_it(database) {
        let app = App::start(database.db.clone()).await;
        let body = json!({ "redirect_uris": ["http://[::1]:9000/cb"], "token_endpoint_auth_method": "client_secret_post" });
        let registered = register(&app, body).await.json();
        assert!(registered.get("client_name").is_none(), "nothing is null: {registered}");
        let (client, secret) = (registered["client_id"].as_str().unwrap(), registered["client_secret"].as_str().unwrap());
        let token = |fields: Vec<(&'static str, String)>| {
            let app = &app;
            async move {
                let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
                post(app, "/oauth/token", &fields).await.json()["error"].as_str().unwrap().to_owned()
            }
        };
        let named = || vec![("grant_type", "password".to_owned()), ("client_id", client.to_owned())];
        assert_eq!(token(named()).await, "invalid_client");
        let mut wrong = named();
        wrong.push(("client_secret", format!("{secret}x")));
        assert_eq!(token(wrong).await, "invalid_client");
        let mut right = named();
        right.push(("client_secret", secret.to_owned()));
        assert_eq!(token(right).await, "unsupported_grant_type");
        app.stop().await;
    }
}
