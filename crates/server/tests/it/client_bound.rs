//! What is bound to the client that began it: a session of the older protocol, and the asking of a held call.

use http::{HeaderMap, HeaderValue, Method};
use serde_json::json;
use switchboard_domain::{COMMAND_LINE, Role};
use switchboard_storage::PolicyLayer;
use switchboard_testkit::{
    app::{App, McpClient},
    on_both,
    upstream::ReferenceUpstream,
};

use crate::{
    oauth::{code, exchange, field, post, public_client, refresh, request},
    support::{READ_WRITE, json_headers},
};

const MIA: &str = "mia@example.test";
const BEN: &str = "ben@example.test";
const ENDPOINT: &str = "/mcp/connections/demo";

async fn direct(app: &App, slug: &str) -> ReferenceUpstream {
    let upstream = ReferenceUpstream::start().await;
    let id =
        app.add_with(slug, &upstream.url(), |connection| connection.switches.expose_directly = true).await;
    app.grant_everyone(id).await;
    app.broker.check(app.organization, id, None).await.unwrap();
    upstream
}

/// Access and refresh token of this person, through this client, for an endpoint.
async fn signed_in(app: &App, email: &str, client: &str, endpoint: &str) -> (String, String) {
    let browser = app.signed_in(email).await;
    let asked = request(client, &[("resource", &app.url(endpoint))]);
    let tokens = exchange(app, client, &code(&browser, &asked).await, &[]).await;
    (field(&tokens, "access_token"), field(&tokens, "refresh_token"))
}

async fn session(client: &McpClient) -> HeaderMap {
    let greeting = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    let reply = client.legacy("initialize", greeting).await;
    let id = reply.header("mcp-session-id").expect("a session");
    let mut headers = json_headers();
    headers.insert("mcp-protocol-version", HeaderValue::from_static("2025-11-25"));
    headers.insert("mcp-session-id", HeaderValue::from_str(id).unwrap());
    headers
}

async fn status_of(app: &App, token: &str, endpoint: &str, session: &HeaderMap) -> u16 {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let client = app.client_at(endpoint, Some(token));
    client.send(Method::POST, session.clone(), body.to_string()).await.status.as_u16()
}

on_both! {
    async fn a_session_is_used_by_who_opened_it_through_the_same_client(database) {
        let app = App::start(database.db.clone()).await;
        let _upstream = direct(&app, "demo").await;
        app.member_with_password(MIA, Role::Member).await;
        app.member_with_password(BEN, Role::Member).await;
        let (client, other) = (public_client(&app).await, public_client(&app).await);
        let (mine, renews) = signed_in(&app, MIA, &client, ENDPOINT).await;
        let session = session(&app.client_at(ENDPOINT, Some(&mine))).await;
        assert_eq!(status_of(&app, &mine, ENDPOINT, &session).await, 200);

        let renewed = field(&refresh(&app, &client, &renews).await, "access_token");
        assert_eq!(status_of(&app, &renewed, ENDPOINT, &session).await, 200, "the same client's next token");
        let (bens, _) = signed_in(&app, BEN, &client, ENDPOINT).await;
        assert_eq!(status_of(&app, &bens, ENDPOINT, &session).await, 403, "another person, the same client");
        let (elsewhere, _) = signed_in(&app, MIA, &other, ENDPOINT).await;
        assert_eq!(status_of(&app, &elsewhere, ENDPOINT, &session).await, 403, "the same person, another client");
        assert_eq!(status_of(&app, &renewed, ENDPOINT, &session).await, 200, "it was not disturbed");
        app.stop().await;
    }

    async fn a_session_is_used_at_the_endpoint_that_opened_it(database) {
        let app = App::start(database.db.clone()).await;
        let (_demo, _other) = (direct(&app, "demo").await, direct(&app, "other").await);
        let token = app.token(app.owner, &READ_WRITE).await;
        let session = session(&app.client_at(ENDPOINT, Some(&token))).await;
        assert_eq!(status_of(&app, &token, ENDPOINT, &session).await, 200);
        assert_eq!(status_of(&app, &token, "/mcp/connections/other", &session).await, 403);
        app.stop().await;
    }

    async fn a_client_that_asked_never_decides_with_another_of_its_tokens(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let rules = json!([{ "pattern": "demo.echo", "action": "require_approval", "approvers": "caller" }]);
        let mut tx = app.db.write().await.unwrap();
        tx.policies().put(app.organization, PolicyLayer::Organization, &rules, 0, app.broker.clock().now()).await.unwrap();
        tx.commit().await.unwrap();
        app.broker.refresh_snapshots().await.unwrap();
        app.member_with_password(MIA, Role::Member).await;

        let (decides, renews) = signed_in(&app, MIA, COMMAND_LINE, "/api/v1").await;
        let fields = [
            ("grant_type", "refresh_token"), ("client_id", COMMAND_LINE), ("refresh_token", &*renews),
            ("resource", &*app.url("/mcp")),
        ];
        let asks = field(&post(&app, "/oauth/token", &fields).await, "access_token");
        let asked = app.client(&asks).execute("demo.echo", json!({ "text": "x" })).await;
        let id = asked["structuredContent"]["details"]["approval_id"].as_str().unwrap_or_else(|| panic!("{asked}"));
        let path = format!("/api/v1/approvals/{id}/approve");
        let decide = async |token: &str| {
            app.client_at(&path, Some(token)).send(Method::POST, HeaderMap::new(), "").await
        };
        let refused = decide(&decides).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (403, &json!("not_an_approver")), "the same grant");
        let (again, _) = signed_in(&app, MIA, COMMAND_LINE, "/api/v1").await;
        assert_eq!(decide(&again).await.status.as_u16(), 403, "another grant of the same client");
        assert_eq!(upstream.log().executions("echo"), 0);
        app.stop().await;
    }
}
