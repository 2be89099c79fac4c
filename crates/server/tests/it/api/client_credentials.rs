//! A connection that acts as a client of its own at its provider: no person signs in.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use switchboard_domain::ConnectionStatus;
use switchboard_testkit::{
    on_both,
    upstream::{ReferenceUpstream, TokenProvider},
};

use super::rest::{Expect as _, Rest, app};

const SECRET: &str = "client-secret-0123456789";

on_both! {
    async fn a_client_gets_its_tokens_when_the_first_call_wants_one(database) {
        let app = app(&database).await;
        let provider = TokenProvider::start().await;
        let upstream = ReferenceUpstream::builder().accept_tokens_of(&provider).start().await;
        let owner = Rest::owner(&app).await;
        let mut body = json!({ "slug": "reports", "url": upstream.url(), "auth_type": "client_credentials" });
        let problem = owner.post("/connections", &body).await.refused(422, "validation_failed");
        assert_eq!(problem["violations"][0]["path"], "client_credentials");
        body["client_credentials"] = json!({ "client_id": "us", "client_secret": SECRET, "scopes": ["read", "run"] });
        body["credential_mode"] = json!("per_member");
        owner.post("/connections", &body).await.refused(422, "validation_failed");
        body["credential_mode"] = json!("shared");
        let created = owner.post("/connections", &body).await.ok(201);
        assert_eq!(created["client_credentials"], json!({ "client_id": "us", "scopes": ["read", "run"] }));
        let id = created["id"].as_str().unwrap().to_owned();
        app.wait_for_status(id.parse().unwrap(), ConnectionStatus::Connected).await;
        app.grant_everyone(id.parse().unwrap()).await;
        let client = app.client(owner.token.as_deref().unwrap());
        let done = client.execute("reports.echo", json!({ "text": "hello" })).await;
        assert_eq!(done["isError"], false, "{done}");
        assert_eq!(provider.client_grants(), 1, "the check had got one already");
        let asked = provider.log().all().into_iter().find(|request| request.path == "/token").unwrap();
        let basic = format!("Basic {}", STANDARD.encode(format!("us:{SECRET}")));
        assert_eq!(asked.header("authorization"), Some(basic.as_str()));

        // Refused before its time: another one, and the call succeeds.
        provider.end_access();
        let done = client.execute("reports.echo", json!({ "text": "again" })).await;
        assert_eq!((&done["isError"], provider.client_grants()), (&json!(false), 2), "{done}");

        let path = format!("/connections/{id}");
        owner.put(&format!("{path}/credential"), &json!({ "api_key": "k" })).await.refused(409, "no_secret_taken");
        for path in [path.as_str(), "/connections", "/credentials", "/audit?limit=200"] {
            let text = String::from_utf8_lossy(&owner.get(path).await.body).into_owned();
            assert!(!text.contains(SECRET), "{path}: {text}");
        }
        let taken = owner.delete(&format!("{path}/credential")).await.ok(200);
        assert_eq!(taken["provider"]["confirmed"], 1);
        let refused = client.execute("reports.echo", json!({ "text": "gone" })).await;
        assert_eq!(refused["structuredContent"]["code"], "needs_connection");
        app.stop().await;
    }
}
