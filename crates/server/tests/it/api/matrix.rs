//! Every route with every role, and every id of another organization (THREATS Z2, Z3): walked from the table of
//! routes, so that a new route is in it by itself.

use std::{num::NonZeroU32, time::Duration};

use http::Method;
use serde_json::{Value, json};
use switchboard_broker::{
    RequestSettings, Settings,
    manage::{Needs, Operation},
};
use switchboard_domain::{Role, Scope};
use switchboard_server::{RouteFacts, route_facts};
use switchboard_testkit::{
    app::{App, AppOptions, McpReply},
    database::TestDatabase,
    identity_provider::ScriptedProvider,
    on_both,
    upstream::ReferenceUpstream,
};

use super::rest::{ALL, Expect as _, Rest, app};

/// What there is in the organization that is walked.
struct World {
    connection: String,
    toolkit: String,
    team: String,
    service_account: String,
    member: String,
    invitation: String,
    token: String,
    session: String,
    approval: String,
    identity_provider: String,
    _provider: ScriptedProvider,
    oauth_client: String,
    webhook: String,
    /// Of no client: that nobody sees another's is for `allowed_clients.rs`.
    allowed_client: String,
}

async fn world(app: &App, owner: &Rest<'_>) -> World {
    let id = |value: Value| value["id"].as_str().unwrap().to_owned();
    let connection = json!({ "slug": "walked", "url": "http://127.0.0.1:4321/mcp", "auth_type": "none", "enabled": false });
    let toolkit = json!({ "slug": "walked", "patterns": ["walked.*"], "members": [app.owner.to_string()] });
    let token = json!({ "name": "walked", "scopes": ["api"] });
    let provider = ScriptedProvider::start().await;
    let issuer = provider.issuer();
    let company = json!({ "slug": "walked", "name": "Walked", "issuer": issuer, "client_id": "walked" });
    World {
        connection: id(owner.post("/connections", &connection).await.ok(201)),
        toolkit: id(owner.post("/toolkits", &toolkit).await.ok(201)),
        team: id(owner.post("/teams", &json!({ "name": "Walked" })).await.ok(201)),
        service_account: id(owner.post("/service-accounts", &json!({ "name": "walked" })).await.ok(201)),
        member: app.owner.to_string(),
        invitation: id(owner.post("/invitations", &json!({ "email": "walked@example.test" })).await.ok(201)),
        token: id(owner.post("/tokens", &token).await.ok(201)),
        session: session(app).await,
        approval: approval(app, owner).await,
        identity_provider: id(owner.post("/identity-providers", &company).await.ok(201)),
        _provider: provider,
        webhook: {
            let created = owner.post("/webhooks", &webhook_body("Walked")).await.ok(201);
            id(created["webhook"].clone())
        },
        oauth_client: id(owner.post("/oauth-clients", &client_body("Walked")).await.ok(201)),
        allowed_client: switchboard_domain::OauthGrantId::new(app.broker.clock(), app.broker.random())
            .to_string(),
    }
}

fn webhook_body(name: &str) -> Value {
    json!({ "name": name, "url": "http://127.0.0.1:4321/hook", "events": ["approval.decided"] })
}

fn client_body(name: &str) -> Value {
    json!({ "name": name, "redirect_uris": ["https://app.example/callback"], "confidential": true })
}

/// One of the owner's, opened in a browser.
async fn session(app: &App) -> String {
    app.give_password(app.owner).await;
    let browser = app.signed_in("owner@example.test").await;
    let listed: Value = browser.get("/api/v1/sessions").await.json();
    listed["items"][0]["id"].as_str().unwrap().to_owned()
}

/// Nobody answers there, and calls go on without it.
fn guardrail_body() -> Value {
    json!({ "url": "http://127.0.0.1:4321/guard", "on_failure": "open" })
}

/// A call of the owner's agent that a rule holds.
async fn approval(app: &App, owner: &Rest<'_>) -> String {
    let upstream = ReferenceUpstream::start().await;
    app.connect("held", &upstream.url()).await;
    let rules = json!([{ "pattern": "held.*", "action": "require_approval", "approvers": "admins" }]);
    owner.put("/policies", &rules).await.ok(200);
    let client = app.client(owner.token.as_deref().unwrap());
    let refused = client.execute("held.echo", json!({ "text": "x" })).await;
    // Nothing waits for the entry that says how a call ended, but for this.
    while owner.get("/audit?outcome=held").await.ok(200)["items"].as_array().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    owner.put("/guardrail", &guardrail_body()).await.ok(200);
    refused["structuredContent"]["details"]["approval_id"].as_str().unwrap().to_owned()
}

fn path_of(route: &RouteFacts, world: &World) -> String {
    let id = match route.path.split('/').nth(1).unwrap() {
        "connections" => &world.connection,
        "toolkits" => &world.toolkit,
        "teams" => &world.team,
        "service-accounts" => &world.service_account,
        "members" => &world.member,
        "invitations" => &world.invitation,
        "tokens" => &world.token,
        "sessions" => &world.session,
        "allowed-clients" => &world.allowed_client,
        "approvals" => &world.approval,
        "identity-providers" => &world.identity_provider,
        "oauth-clients" => &world.oauth_client,
        "webhooks" => &world.webhook,
        // Of nobody: a sign-in takes a provider.
        "authorizations" => "aut_01jb2m3x8ye0bvnr8z3h2q5c7d",
        _ => "",
    };
    let path = route.path.replace("{id}", id).replace("{name}", "echo");
    let query = match (route.method.as_str(), route.path) {
        ("DELETE", "/credentials") => format!("?connection={}", world.connection),
        (_, "/policies/explain") => format!("?capability=walked.echo&member={}", world.member),
        (_, "/connections/resolve") => "?query=linear".into(),
        _ => String::new(),
    };
    format!("{path}{query}")
}

/// A body that the route would take.
fn body_of(route: &RouteFacts) -> Option<Value> {
    let body = match (route.method.as_str(), route.path) {
        ("PATCH", _) => json!({}),
        ("POST", "/connections") => {
            json!({ "slug": "new", "url": "http://127.0.0.1:4321/mcp", "auth_type": "none" })
        }
        ("POST", "/toolkits") => json!({ "slug": "new", "patterns": ["*"] }),
        ("POST", "/teams" | "/service-accounts") => json!({ "name": "New" }),
        ("POST", "/service-accounts/{id}/secret") => json!({}),
        ("POST", "/webhooks") => webhook_body("New"),
        ("POST", "/oauth-clients") => client_body("New"),
        ("POST", "/invitations") => json!({ "email": "new@example.test" }),
        ("POST", "/tokens") => json!({ "name": "new", "scopes": ["api"] }),
        ("POST", "/identity-providers") => {
            json!({ "slug": "new", "name": "New", "issuer": "http://127.0.0.1:4321/", "client_id": "new" })
        }
        ("POST", "/connections/resolve") => json!({ "query": "http://127.0.0.1:4321/mcp" }),
        ("POST", "/connections/{id}/tools/review") => {
            json!({ "name": "echo", "decision": "approve", "fingerprint": "00" })
        }
        ("POST", "/connections/{id}/tools/review/decisions") => {
            json!({ "decisions": [{ "name": "echo", "decision": "approve", "fingerprint": "00" }] })
        }
        ("POST", "/audit/verify") => json!({}),
        ("POST", "/connections/{id}/tools/{name}/call") => json!({ "arguments": {} }),
        ("PUT", "/connections/{id}/grants") => json!({}),
        ("PUT", "/connections/{id}/credential") => json!({ "api_key": "key" }),
        ("PUT", "/teams/{id}/members") => json!({ "members": [] }),
        ("PUT", "/guardrail") => guardrail_body(),
        ("PUT", _) => json!([]),
        _ => return None,
    };
    Some(body)
}

async fn ask(caller: &Rest<'_>, route: &RouteFacts, world: &World) -> McpReply {
    caller.ask(route.method.clone(), &path_of(route, world), body_of(route).as_ref()).await
}

/// The same address with an id that nobody has.
fn made_up(path: &str) -> Option<String> {
    let id = path.split(['/', '?']).nth(2)?;
    let (prefix, letters) = id.split_once('_')?;
    (letters.len() == 26).then(|| path.replacen(id, &format!("{prefix}_{}", "0".repeat(26)), 1))
}

/// All that a caller is told, but for the id of this very request.
fn whole(reply: &McpReply) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let headers = reply.headers.iter().filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()));
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut headers: Vec<_> = headers.map(|(name, value)| (name.to_string(), text(value))).collect();
    headers.sort();
    (reply.status.as_u16(), headers, reply.body.to_vec())
}

/// Whether somebody who is an ordinary member, with nothing granted and nothing here their own, is let in.
fn is_for_members(operation: Operation) -> bool {
    operation.needs() == Needs::Membership
}

/// Whoever walks the table asks more often than anybody who has no token may.
async fn walked(database: &TestDatabase) -> App {
    let many = NonZeroU32::new(100_000).unwrap();
    let requests = RequestSettings { per_minute_unauthenticated: many, ..RequestSettings::default() };
    let settings = Settings { requests, ..Settings::default() };
    App::start_with(database.db.clone(), AppOptions { settings, ..AppOptions::default() }).await
}

on_both! {
    async fn every_route_refuses_whom_it_is_not_for(database) {
        let app = walked(&database).await;
        let owner = Rest::owner(&app).await;
        let world = world(&app, &owner).await;
        let (member, _) = Rest::member(&app, "ana", Role::Member).await;
        let (admin, _) = Rest::member(&app, "adm", Role::Admin).await;
        let nobody = Rest::with_token(&app, None);
        let reader = Rest::with_token(&app, Some(&app.token(app.owner, &[Scope::McpRead]).await));
        let (_, _, token) = app.stranger(&ALL).await;
        let stranger = Rest::with_token(&app, Some(&token));
        let mut routes = route_facts();
        // What takes things away comes last.
        routes.sort_by_key(|route| route.method == Method::DELETE);
        assert!(routes.len() > 40, "the table is whole");
        for route in &routes {
            let path = path_of(route, &world);
            let name = format!("{} {}", route.method, route.path);
            for (unknown, status) in [(&nobody, 401), (&reader, 403)] {
                let answer = ask(unknown, route, &world).await;
                assert_eq!(answer.status.as_u16(), status, "{name}");
                assert!(
                    answer.header("www-authenticate").is_some_and(|it| it.contains("scope=\"api\"")),
                    "{name}"
                );
            }
            let answer = ask(&member, route, &world).await;
            if is_for_members(route.operation) {
                assert!(
                    answer.status.is_success() || answer.status.as_u16() == 409,
                    "{name}: {:?}",
                    answer.status
                );
            } else if route.operation.needs() == Needs::Admin && !route.path.contains("{id}") {
                answer.refused(403, "role_required");
            } else {
                answer.refused(404, "not_found");
            }
            // Ids of another organization are as good as made up; lists are of one's own.
            let names_something = route.path.contains("{id}") || path.contains('?') && !path.contains("linear");
            if names_something {
                assert_eq!(ask(&stranger, route, &world).await.status.as_u16(), 404, "{name}");
            }
            let answer = ask(&admin, route, &world).await;
            assert_ne!(answer.status.as_u16(), 401, "{name}");
            assert!(answer.status.as_u16() < 500, "{name}: {}", String::from_utf8_lossy(&answer.body));
        }
        app.stop().await;
    }
}

on_both! {
    async fn reading_changes_nothing(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let world = world(&app, &owner).await;
        let version = || async {
            let tag = owner.get("/organization").await.header("etag").map(str::to_owned);
            let entries = owner.get("/audit?limit=200").await.ok(200)["items"].as_array().unwrap().len();
            (tag, entries)
        };
        let before = version().await;
        for route in route_facts().iter().filter(|route| route.method == Method::GET) {
            assert!(!route.operation.is_write(), "{} {}", route.method, route.path);
            let answer = owner.get(&path_of(route, &world)).await;
            assert!(answer.status.as_u16() < 500, "{}", route.path);
        }
        assert_eq!(version().await, before);
        app.stop().await;
    }
}

on_both! {
    async fn every_writing_route_refuses_members_it_does_not_know(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let world = world(&app, &owner).await;
        for route in route_facts() {
            let Some(Value::Object(mut body)) = body_of(&route) else { continue };
            // Who may give which role is decided; it is no member that slips through.
            let gives_roles =
                matches!(route.path, "/invitations" | "/members/{id}" | "/service-accounts" | "/service-accounts/{id}");
            for extra in ["role", "organization", "organization_id", "owner_member_id", "is_admin"] {
                if extra == "role" && gives_roles {
                    continue;
                }
                body.insert(extra.into(), json!("owner"));
                let answer =
                    owner.ask(route.method.clone(), &path_of(&route, &world), Some(&body.clone().into())).await;
                answer.refused(422, "validation_failed");
                body.remove(extra);
            }
        }
        app.stop().await;
    }
}

on_both! {
    async fn what_is_forbidden_is_as_good_as_made_up(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let world = world(&app, &owner).await;
        let (member, _) = Rest::member(&app, "ana", Role::Member).await;
        let (_, _, token) = app.stranger(&ALL).await;
        let stranger = Rest::with_token(&app, Some(&token));
        let program = json!({ "name": "bot", "scopes": ["api"], "service_account": world.service_account });
        let token = owner.post("/tokens", &program).await.ok(201)["token"].as_str().unwrap().to_owned();
        let program = Rest::with_token(&app, Some(&token));
        let mut compared = 0;
        for route in route_facts().iter().filter(|route| route.path.contains("{id}")) {
            let path = path_of(route, &world);
            let made_up = made_up(&path).unwrap_or_else(|| {
                panic!("{} {}: this test has no id for it: give the world one", route.method, route.path)
            });
            let body = body_of(route);
            for caller in [&member, &stranger, &program] {
                let forbidden = caller.ask(route.method.clone(), &path, body.as_ref()).await;
                if forbidden.status.is_success() {
                    continue;
                }
                let unknown = caller.ask(route.method.clone(), &made_up, body.as_ref()).await;
                assert_eq!(whole(&forbidden), whole(&unknown), "{} {}", route.method, route.path);
                compared += 1;
            }
        }
        assert!(compared > 60, "{compared}");
        app.stop().await;
    }
}

on_both! {
    async fn a_program_administers_what_its_role_allows(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let world = world(&app, &owner).await;
        let program = json!({ "name": "bot", "scopes": ["mcp:read", "mcp:write", "api"], "service_account": world.service_account });
        let token = owner.post("/tokens", &program).await.ok(201)["token"].as_str().unwrap().to_owned();
        let program = Rest::with_token(&app, Some(&token));
        let path = format!("/service-accounts/{}", world.service_account);
        for role in ["member", "admin"] {
            owner.patch(&path, &json!({ "role": role })).await.ok(200);
            let routes = route_facts();
            for route in routes.iter().filter(|route| !route.operation.is_write()) {
                let answer = ask(&program, route, &world).await;
                let name = format!("{role}: {} {}: {}", route.method, route.path, String::from_utf8_lossy(&answer.body));
                match (route.operation.needs(), role) {
                    (Needs::Admin, "member") if route.path.contains("{id}") => assert_eq!(answer.status.as_u16(), 404, "{name}"),
                    (Needs::Admin, "member") => assert_eq!(answer.status.as_u16(), 403, "{name}"),
                    (Needs::Admin, _) => assert!(answer.status.is_success(), "{name}"),
                    _ => assert!(answer.status.as_u16() < 500 && answer.status.as_u16() != 401, "{name}"),
                }
            }
        }
        app.stop().await;
    }
}
