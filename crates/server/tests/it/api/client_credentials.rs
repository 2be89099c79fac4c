//! A connection that acts as a client of its own at its provider: no person signs in.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use switchboard_domain::ConnectionStatus;
use switchboard_testkit::{
    client_assertion::verified_assertion,
    on_both,
    upstream::{ReferenceUpstream, TokenProvider},
};

use super::rest::{Expect as _, Rest, app};

const SECRET: &str = "client-secret-0123456789";

/// RFC 7515 appendix A.3.
const RFC_7515_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;

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
        let client = json!({
            "client_id": "us", "token_endpoint_auth_method": null, "public_key": null,
            "assertion_audience": "issuer", "scopes": ["read", "run"],
        });
        assert_eq!(created["client_credentials"], client);
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

    async fn a_client_proves_itself_with_a_key_that_never_leaves(database) {
        let app = app(&database).await;
        let provider = TokenProvider::start().await;
        let upstream = ReferenceUpstream::builder().accept_tokens_of(&provider).start().await;
        let owner = Rest::owner(&app).await;
        let body = json!({
            "slug": "reports", "url": upstream.url(), "auth_type": "client_credentials",
            "client_credentials": { "client_id": "us", "token_endpoint_auth_method": "private_key_jwt" },
        });
        let created = owner.post("/connections", &body).await.ok(201);
        let public = &created["client_credentials"]["public_key"];
        assert_eq!((&public["kty"], &public["alg"], &public["d"]), (&json!("EC"), &json!("ES256"), &Value::Null));
        let (id, path) = (created["id"].as_str().unwrap(), format!("/connections/{}", created["id"].as_str().unwrap()));
        let address = format!("/oauth/client-jwks/{id}.json");
        assert!(created["client_keys_url"].as_str().unwrap().ends_with(&address), "{created}");
        assert_eq!(app.browser().get(&address).await.json(), json!({ "keys": [public] }), "anybody reads it");
        app.wait_for_status(id.parse().unwrap(), ConnectionStatus::Connected).await;
        app.grant_everyone(id.parse().unwrap()).await;
        let client = app.client(owner.token.as_deref().unwrap());
        provider.end_access();
        let done = client.execute("reports.echo", json!({ "text": "hello" })).await;
        assert_eq!((&done["isError"], provider.client_grants()), (&json!(false), 2), "{done}");
        let claims: Vec<Value> = provider.forms("/token").iter().map(|form| verified_assertion(public, form)).collect();
        assert_eq!((&claims[0]["iss"], &claims[0]["sub"]), (&json!("us"), &json!("us")));
        assert_eq!(claims[0]["aud"], provider.origin(), "its issuer alone");
        assert_ne!(claims[0]["jti"], claims[1]["jti"], "each is good once");
        let life = claims[0]["exp"].as_i64().unwrap() - claims[0]["iat"].as_i64().unwrap();
        assert_eq!(life, 60);

        // The same client keeps its key; another audience is asked for with the next token.
        let edit = json!({ "client_credentials": {
            "client_id": "us", "token_endpoint_auth_method": "private_key_jwt", "assertion_audience": "token_endpoint",
        } });
        let edited = owner.patch(&path, &edit).await.ok(200);
        assert_eq!(&edited["client_credentials"]["public_key"], public);
        provider.end_access();
        let done = client.execute("reports.echo", json!({ "text": "hello" })).await;
        assert_eq!(done["isError"], false, "{done}");
        let last = verified_assertion(public, provider.forms("/token").last().unwrap());
        assert_eq!(last["aud"], format!("{}/token", provider.origin()));

        // Another client has another key, and what the first was issued is given back in its name.
        let edit = json!({ "client_credentials": {
            "client_id": "another", "token_endpoint_auth_method": "private_key_jwt",
        } });
        let edited = owner.patch(&path, &edit).await.ok(200);
        assert_ne!(&edited["client_credentials"]["public_key"], public);
        app.broker.revoke_due().await.unwrap();
        let revoked = provider.forms("/revoke");
        assert_eq!(verified_assertion(public, revoked.last().unwrap())["iss"], "us");
        owner.delete(&path).await.ok(204);
        assert_eq!(app.browser().get(&address).await.status, 404);
        app.stop().await;
    }

    async fn a_pasted_key_is_taken_or_refused_with_what_is_wrong_with_it(database) {
        let app = app(&database).await;
        let provider = TokenProvider::start().await;
        let upstream = ReferenceUpstream::builder().accept_tokens_of(&provider).start().await;
        let owner = Rest::owner(&app).await;
        let with = |client: Value| json!({
            "slug": "reports", "url": upstream.url(), "auth_type": "client_credentials", "client_credentials": client,
        });
        for (client, path, says) in [
            (json!({ "client_id": "us" }), "client_secret", "private_key_jwt"),
            (json!({ "client_id": "us", "client_secret": SECRET, "private_key": RFC_7515_KEY }), "private_key", "not both"),
            (json!({ "client_id": "us", "private_key": SECRET }), "private_key", "PEM"),
            (json!({ "client_id": "us", "private_key": "{\"kty\":\"EC\"}" }), "private_key", "public key"),
            (json!({ "client_id": "us", "client_secret": SECRET, "token_endpoint_auth_method": "private_key_jwt" }), "client_secret", "no secret"),
            (json!({ "client_id": "us", "client_secret": SECRET, "token_endpoint_auth_method": "tls" }), "token_endpoint_auth_method", "private_key_jwt"),
        ] {
            let problem = owner.post("/connections", &with(client)).await.refused(422, "validation_failed");
            let violation = &problem["violations"][0];
            assert_eq!(violation["path"], format!("client_credentials.{path}"), "{problem}");
            assert!(violation["message"].as_str().unwrap().contains(says), "{problem}");
            assert!(!problem.to_string().contains(SECRET), "{problem}");
        }
        let client = json!({ "client_id": "us", "private_key": RFC_7515_KEY });
        let created = owner.post("/connections", &with(client)).await.ok(201);
        let public = &created["client_credentials"]["public_key"];
        app.wait_for_status(created["id"].as_str().unwrap().parse().unwrap(), ConnectionStatus::Connected).await;
        let asked = provider.forms("/token");
        verified_assertion(public, &asked[0]);
        let path = format!("/connections/{}", created["id"].as_str().unwrap());
        for path in [path.as_str(), "/connections", "/credentials", "/audit?limit=200"] {
            let text = String::from_utf8_lossy(&owner.get(path).await.body).into_owned();
            assert!(!text.contains("jpsQnnGQmL"), "{path}: {text}");
        }
        app.stop().await;
    }
}
