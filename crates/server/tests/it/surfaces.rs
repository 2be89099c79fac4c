//! Every endpoint beside the API with every kind of caller, and what callers of the API may not see: as good as made up,
//! byte for byte (THREATS Z9).

use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};
use switchboard_domain::{Role, Scope};
use switchboard_testkit::{
    app::{App, McpReply},
    on_both,
};

use crate::oauth::{EMAIL, code, exchange, field, post, public_client, request};

const ALL: [Scope; 3] = [Scope::McpRead, Scope::McpWrite, Scope::Api];

async fn program(app: &App, owner: &str) -> String {
    let rest = async |path: &str, body: Value| {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        app.client_at(path, Some(owner)).send(Method::POST, headers, body.to_string()).await
    };
    let account = field(&rest("/api/v1/service-accounts", json!({ "name": "bot" })).await, "id");
    let new = json!({ "name": "bot", "scopes": ["mcp:read", "api"], "service_account": account });
    field(&rest("/api/v1/tokens", new).await, "token")
}

/// Status, headers but the request's id, and body.
fn whole(reply: &McpReply) -> String {
    let mut headers: Vec<String> = reply
        .headers
        .iter()
        .filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    headers.sort();
    format!("{} {headers:?} {}", reply.status, reply.text())
}

on_both! {
    async fn every_endpoint_of_agents_with_every_caller(database) {
        let app = App::start(database.db.clone()).await;
        let owner = app.token(app.owner, &ALL).await;
        let mia = app.member_with_password(EMAIL, Role::Member).await;
        let adm = app.member("adm@example.test", Role::Admin).await;
        let (_, _, stranger) = app.stranger(&ALL).await;
        let slug = app.broker.snapshot(app.organization).unwrap().organization.slug.to_string();
        let client = public_client(&app).await;
        let granted = exchange(&app, &client, &code(&app.signed_in(EMAIL).await, &request(&client, &[])).await, &[]).await;
        let callers = [
            ("nobody", None, [401; 5]),
            ("a made-up token", Some("swb_pat_made_up".to_owned()), [401; 5]),
            ("a token for the API alone", Some(app.token(mia, &[Scope::Api]).await), [403; 5]),
            ("a token for plan mode", Some(app.token(mia, &[Scope::McpPlan]).await), [200; 5]),
            ("a member", Some(app.token(mia, &[Scope::McpRead]).await), [200; 5]),
            ("an admin", Some(app.token(adm, &ALL).await), [200; 5]),
            ("the owner", Some(owner.clone()), [200; 5]),
            ("a service account", Some(program(&app, &owner).await), [200; 5]),
            ("a token for /mcp alone", Some(app.token_for(mia, &ALL, Some("/mcp"), None).await.0), [200, 200, 200, 401, 401]),
            ("a client that was allowed /mcp", Some(field(&granted, "access_token")), [200, 200, 401, 401, 401]),
            ("somebody of another organization", Some(stranger), [200, 200, 401, 200, 200]),
        ];
        let pinned = format!("/o/{slug}/mcp");
        let endpoints = ["/mcp", "/mcp/", &pinned, "/mcp/toolkits/unknown", "/mcp/connections/unknown"];
        for (caller, token, expected) in &callers {
            for (endpoint, status) in endpoints.iter().zip(expected) {
                let reply = app.client_at(endpoint, token.as_deref()).modern("tools/list", json!({})).await;
                assert_eq!(reply.status.as_u16(), *status, "{caller} at {endpoint}: {}", reply.text());
                let challenged = reply.header("www-authenticate").is_some();
                assert_eq!(challenged, [401, 403].contains(status), "{caller} at {endpoint}");
            }
        }
        // One that is not there is empty, whoever asks.
        for endpoint in &endpoints[3..] {
            let search = json!({ "name": "search_capabilities", "arguments": { "query": "" } });
            let reply = app.client_at(endpoint, Some(&owner)).modern("tools/call", search).await;
            assert_eq!(reply.json()["result"]["structuredContent"]["total"], 0, "{endpoint}: {}", reply.text());
        }
        // A console's session counts for nothing at the endpoints of agents.
        let with_cookie = app.signed_in(EMAIL).await.get("/mcp").await;
        assert_eq!(with_cookie.status.as_u16(), 401);
        app.stop().await;
    }

    async fn a_forbidden_endpoint_is_as_good_as_made_up(database) {
        let app = App::start(database.db.clone()).await;
        let owner = app.token(app.owner, &ALL).await;
        let mia = app.member(EMAIL, Role::Member).await;
        let token = app.token(mia, &ALL).await;
        let (_, _, stranger) = app.stranger(&ALL).await;
        app.add("hidden", "http://127.0.0.1:4321/mcp").await;
        app.broker.refresh_snapshots().await.unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let toolkit = json!({ "slug": "secret", "patterns": ["*"], "members": [app.owner.to_string()] });
        let made = app.client_at("/api/v1/toolkits", Some(&owner)).send(Method::POST, headers, toolkit.to_string()).await;
        assert_eq!(made.status.as_u16(), 201, "{}", made.text());
        for token in [&token, &stranger] {
            for (forbidden, unknown) in [("/mcp/connections/hidden", "/mcp/connections/unheard"), ("/mcp/toolkits/secret", "/mcp/toolkits/untold")] {
                let forbidden = app.client_at(forbidden, Some(token)).modern("tools/list", json!({})).await;
                let unknown = app.client_at(unknown, Some(token)).modern("tools/list", json!({})).await;
                assert_eq!(whole(&forbidden), whole(&unknown));
            }
        }
        app.stop().await;
    }

    async fn every_endpoint_of_clients_with_every_caller(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let (mine, other) = (public_client(&app).await, public_client(&app).await);
        let tokens = exchange(&app, &mine, &code(&app.signed_in(EMAIL).await, &request(&mine, &[])).await, &[]).await;
        let (access, token) = (field(&tokens, "access_token"), field(&tokens, "refresh_token"));
        for path in ["/oauth/token", "/token", "/oauth/revoke", "/oauth/introspect"] {
            let nobody = post(&app, path, &[("token", &access), ("grant_type", "refresh_token"), ("refresh_token", &token)]).await;
            let unknown = post(&app, path, &[("client_id", "ocl_unknown"), ("token", &access), ("grant_type", "refresh_token"), ("refresh_token", &token)]).await;
            for reply in [nobody, unknown] {
                assert_eq!((reply.status.as_u16(), reply.json()["error"].as_str()), (401, Some("invalid_client")), "{path}");
                assert!(reply.header("www-authenticate").is_some(), "{path}");
            }
        }
        // Another client learns nothing of a token that is not its own: neither that it is one, nor what became of it.
        let refresh = async |client: &str, token: &str| {
            post(&app, "/oauth/token", &[("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)]).await
        };
        let made_up = refresh(&other, "swb_ort_made_up").await;
        assert_eq!(whole(&refresh(&other, &token).await), whole(&made_up));
        let revoke = async |client: &str, token: &str| post(&app, "/oauth/revoke", &[("client_id", client), ("token", token)]).await;
        assert_eq!(whole(&revoke(&other, &access).await), whole(&revoke(&other, "nonsense").await));
        assert_eq!(crate::oauth::status_of(&app, "/mcp", &access).await, 200, "it still works");
        app.stop().await;
    }
}
