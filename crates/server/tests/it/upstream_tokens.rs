//! The life of tokens that a provider issued to us: stored sealed, sent as bearer, replaced, taken away.

use serde_json::json;
use switchboard_broker::{ClientAuthMethod, UpstreamClient, UpstreamTokens};
use switchboard_domain::{AuthType, ConnectionId, CredentialOwner, SecretValue};
use switchboard_testkit::{app::App, on_both, upstream::ReferenceUpstream};

use crate::support::owner;

fn tokens(access_token: &str) -> UpstreamTokens {
    UpstreamTokens {
        access_token: SecretValue::new(access_token),
        token_type: "bearer".into(),
        refresh_token: None,
        scopes: vec!["tools".into()],
        issuer: "http://127.0.0.1:9".into(),
        token_endpoint: "http://127.0.0.1:9/token".into(),
        revocation_endpoint: None,
        client: UpstreamClient { id: "us".into(), secret: None, method: ClientAuthMethod::None },
        resource: None,
        expires_at: None,
    }
}

async fn connected(app: &App, url: &str, first: &UpstreamTokens) -> ConnectionId {
    let id = app.add_with("linear", url, |connection| connection.auth_type = AuthType::OAuth).await;
    app.grant_everyone(id).await;
    store(app, id, first).await;
    app.broker.check(app.organization, id, None).await.unwrap();
    id
}

async fn store(app: &App, id: ConnectionId, tokens: &UpstreamTokens) {
    let mut tx = app.db.single().await.unwrap();
    let connection = tx.connections().find(app.organization, id).await.unwrap().unwrap();
    drop(tx);
    app.broker.store_tokens(&connection, CredentialOwner::Shared, tokens.clone()).await.unwrap();
}

on_both! {
    async fn a_token_is_sent_as_bearer_until_another_is_stored(database) {
        let app = App::start(database.db.clone()).await;
        let upstream =
            ReferenceUpstream::builder().require_header("authorization", "Bearer first-access-token").start().await;
        let id = connected(&app, &upstream.url(), &tokens("first-access-token")).await;
        let client = owner(&app).await;

        let done = client.execute("linear.echo", json!({ "text": "hello" })).await;
        assert_eq!(done["isError"], json!(false), "{done}");

        store(&app, id, &tokens("second-access-token")).await;
        let refused = client.execute("linear.echo", json!({ "text": "hello" })).await;
        assert_eq!(refused["structuredContent"]["code"], "reauth_required");
        let last = upstream.log().all().pop().unwrap();
        assert_eq!(last.header("authorization"), Some("Bearer second-access-token"));
        app.stop().await;
    }
}
