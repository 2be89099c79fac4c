//! What people and scripts send wrong: each gets one clear answer, and nothing is stored.

use http::Method;
use serde_json::{Value, json};
use switchboard_testkit::on_both;

use super::rest::{Expect as _, Rest, app};

on_both! {
    async fn a_wrong_connection_is_refused_with_the_place(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let good = json!({ "slug": "one", "url": "http://127.0.0.1:4321/mcp", "auth_type": "none" });
        let table: Vec<(Value, u16, &str, &str)> = vec![
            (json!({ "slug": "Not A Slug" }), 422, "validation_failed", "slug"),
            (json!({ "slug": "" }), 422, "validation_failed", "slug"),
            (json!({ "name": " " }), 422, "validation_failed", "name"),
            (json!({ "name": "a\nb" }), 422, "validation_failed", "name"),
            (json!({ "url": "" }), 422, "validation_failed", "url"),
            (json!({ "url": "ftp://example.com" }), 422, "validation_failed", "url"),
            (json!({ "url": "https://user:pass@example.com/mcp" }), 422, "validation_failed", "url"),
            (json!({ "url": "http://169.254.169.254/latest" }), 422, "validation_failed", "url"),
            (json!({ "url": 7 }), 422, "validation_failed", "url"),
            (json!({ "tool_dney": ["x"] }), 422, "validation_failed", "tool_dney"),
            (json!({ "enabled": "yes" }), 422, "validation_failed", "enabled"),
            (json!({ "transport": "carrier-pigeon" }), 422, "validation_failed", "transport"),
            (json!({ "transport": "stdio" }), 422, "stdio_not_allowed", ""),
            (json!({ "transport": "in_process" }), 422, "stdio_not_allowed", ""),
            (json!({ "command": "sh" }), 422, "stdio_not_allowed", ""),
            (json!({ "args": ["-c", "id"] }), 422, "stdio_not_allowed", ""),
            (json!({ "env": { "A": "b" } }), 422, "stdio_not_allowed", ""),
            (
                json!({ "auth_type": "user_oidc", "credential_mode": "shared" }),
                422,
                "validation_failed",
                "credential_mode",
            ),
            (json!({ "auth_type": "client_credentials" }), 422, "validation_failed", "client_credentials"),
            (json!({ "oauth": {} }), 422, "validation_failed", "oauth"),
            (json!({ "auth_type": "oauth", "oauth": { "client_id": "x" } }), 422, "validation_failed", "oauth.client_id"),
            (
                json!({ "auth_type": "oauth", "oauth": { "token_endpoint": "https://as.example.com/token" } }),
                422,
                "validation_failed",
                "oauth",
            ),
            (
                json!({ "auth_type": "oauth", "oauth": { "client_secret": "x" } }),
                422,
                "validation_failed",
                "oauth.client_secret",
            ),
            (json!({ "api_key": { "value": "x" } }), 422, "validation_failed", "api_key"),
            (json!({ "auth_type": "headers" }), 422, "validation_failed", "headers"),
            (
                json!({ "auth_type": "headers", "headers": { "Host": "evil" } }),
                422,
                "validation_failed",
                "headers.Host",
            ),
            (
                json!({ "auth_type": "headers", "headers": { "Mcp-Session-Id": "x" } }),
                422,
                "validation_failed",
                "headers.Mcp-Session-Id",
            ),
            (
                json!({ "auth_type": "headers", "headers": { "X-A": "a\r\nX-B: b" } }),
                422,
                "validation_failed",
                "headers.X-A",
            ),
            (
                json!({ "auth_type": "headers", "headers": { "X-A": "1", "x-a": "2" } }),
                422,
                "validation_failed",
                "headers.x-a",
            ),
            (
                json!({ "auth_type": "api_key", "api_key": { "header": "Transfer-Encoding", "value": "x" } }),
                422,
                "validation_failed",
                "api_key.header",
            ),
            (
                json!({ "auth_type": "api_key", "credential_mode": "per_member", "api_key": { "value": "key" } }),
                422,
                "validation_failed",
                "api_key.value",
            ),
            (json!({ "external_key": "" }), 422, "validation_failed", "external_key"),
            (json!({ "tool_allow": [""] }), 422, "validation_failed", "tool_allow"),
        ];
        for (wrong, status, code, place) in table {
            let mut body = good.clone();
            for (name, value) in wrong.as_object().unwrap() {
                body[name] = value.clone();
            }
            let problem = owner.post("/connections", &body).await.refused(status, code);
            if !place.is_empty() {
                let violations = problem["violations"].as_array().unwrap();
                assert!(violations.iter().any(|it| it["path"] == place), "{wrong}: {problem}");
            }
        }
        assert_eq!(owner.get("/connections").await.ok(200)["items"], json!([]));
        app.stop().await;
    }
}

on_both! {
    async fn everything_that_is_wrong_is_told_at_once(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let body = json!({ "slug": "A", "name": "", "url": "nonsense", "auth_type": "none" });
        let problem = owner.post("/connections", &body).await.refused(422, "validation_failed");
        let places: Vec<&str> =
            problem["violations"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap()).collect();
        assert_eq!(places, ["slug", "name", "url"]);
        app.stop().await;
    }
}

on_both! {
    async fn a_body_that_is_no_json_a_wrong_type_a_wrong_method(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let json_type = [("content-type", "application/json")];
        for body in ["", "{", "{\"slug\": \"a\",}", "not json", "{} {}", "\u{0}"] {
            let answer = owner.send(Method::POST, "/connections", &json_type, body.to_owned()).await;
            let status = answer.status.as_u16();
            assert!(matches!(status, 400 | 422), "{body:?}: {status}");
            assert!(
                matches!(answer.json()["code"].as_str(), Some("malformed_json" | "validation_failed")),
                "{body:?}"
            );
        }
        let twice = "{\"slug\": \"a\", \"slug\": \"b\", \"auth_type\": \"none\"}";
        owner.send(Method::POST, "/connections", &json_type, twice).await.refused(422, "validation_failed");
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
            let answer = owner.send(Method::POST, "/connections", &[("content-type", kind)], "{}").await;
            answer.refused(415, "unsupported_media_type");
        }
        owner.send(Method::POST, "/connections", &[], "{}").await.refused(415, "unsupported_media_type");
        let large = format!("{{\"slug\": \"{}\"}}", "a".repeat(1_100_000));
        owner.send(Method::POST, "/connections", &json_type, large).await.refused(413, "request_too_large");
        let answer = owner.ask(Method::DELETE, "/connections", None).await;
        assert_eq!(answer.header("allow"), Some("GET, POST"));
        answer.refused(405, "method_not_allowed");
        for path in ["/nothing", "/connections/", "/connections/con_x/nothing", "/tokens/not-an-id"] {
            let answer = owner.get(path).await;
            assert!(matches!(answer.status.as_u16(), 404 | 405), "{path}: {}", answer.status);
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        }
        owner.get("/connections?scope=everything").await.refused(422, "invalid_query");
        owner.get("/connections?colour=red").await.refused(422, "invalid_query");
        app.stop().await;
    }
}

on_both! {
    async fn a_misplaced_secret_is_not_sent_back(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        for wrong in [
            json!({ "headers": "my-secret-value" }),
            json!({ "api_key": "my-secret-value" }),
            json!({ "headers": { "X-Key": ["my-secret-value"] } }),
        ] {
            let mut body = json!({ "slug": "one", "url": "http://127.0.0.1:4321/mcp", "auth_type": "headers" });
            for (name, value) in wrong.as_object().unwrap() {
                body[name] = value.clone();
            }
            let problem = owner.post("/connections", &body).await.refused(422, "validation_failed");
            assert!(!problem["detail"].as_str().unwrap().contains("my-secret"), "{problem}");
        }
        app.stop().await;
    }
}
