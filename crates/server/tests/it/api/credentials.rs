//! Credentials go in and never come out.

use http::Method;
use serde_json::{Value, json};
use switchboard_domain::{ConnectionStatus, Role};
use switchboard_testkit::{on_both, upstream::ReferenceUpstream};

use super::rest::{Expect as _, Rest, app};

const KEY: &str = "sk-very-secret-key-0123456789";

async fn protected() -> ReferenceUpstream {
    ReferenceUpstream::builder().require_header("authorization", &format!("Bearer {KEY}")).start().await
}

on_both! {
    async fn a_key_goes_in_and_never_comes_out(database) {
        let app = app(&database).await;
        let upstream = protected().await;
        let owner = Rest::owner(&app).await;
        let body = json!({ "slug": "keyed", "url": upstream.url(), "auth_type": "api_key" });
        let answer = owner.post("/connections", &body).await.ok(201);
        assert_eq!((&answer["status"], &answer["has_credential"]), (&json!("needs_connection"), &json!(false)));
        let id = answer["id"].as_str().unwrap().to_owned();
        let path = format!("/connections/{id}");
        let stored = owner.put(&format!("{path}/credential"), &json!({ "api_key": KEY })).await.ok(200);
        assert_eq!(stored["has_credential"], true);
        app.wait_for_status(id.parse().unwrap(), ConnectionStatus::Connected).await;

        owner.put(&format!("{path}/credential"), &json!({ "api_key": "wrong-key-0123456789" })).await.ok(200);
        app.wait_for_status(id.parse().unwrap(), ConnectionStatus::ReauthRequired).await;
        let refused = owner.get(&path).await.ok(200);
        assert_eq!(refused["action_owner"], "organization_admin");
        assert_eq!(refused["action"]["type"], "reconnect");
        owner.put(&format!("{path}/credential"), &json!({ "api_key": KEY })).await.ok(200);
        app.wait_for_status(id.parse().unwrap(), ConnectionStatus::Connected).await;

        let everything = [
            "/connections",
            path.as_str(),
            "/credentials",
            "/audit?limit=200",
            "/audit/export",
            "/audit/export?format=csv",
            "/organization",
        ];
        for path in everything {
            let answer = owner.get(path).await;
            assert_eq!(answer.status.as_u16(), 200, "{path}");
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(!text.contains("very-secret") && !text.contains("wrong-key"), "{path}: {text}");
        }
        let listed = owner.get("/credentials").await.ok(200);
        assert_eq!(listed["items"][0]["owner"], "shared");
        assert_eq!(listed["items"][0]["health"], "healthy");
        let taken = owner.delete(&format!("{path}/credential")).await.ok(200);
        assert_eq!(taken, json!({ "deleted": 1, "provider": { "confirmed": 0, "pending": 0, "unsupported": 0 } }));
        owner.delete(&format!("{path}/credential")).await.refused(404, "not_found");
        assert_eq!(owner.get(&path).await.ok(200)["status"], "needs_connection");
        app.stop().await;
    }
}

on_both! {
    async fn another_address_takes_the_credential_away(database) {
        let app = app(&database).await;
        let (first, second) = (protected().await, ReferenceUpstream::start().await);
        let owner = Rest::owner(&app).await;
        let body = json!({
            "slug": "keyed", "url": first.url(), "auth_type": "api_key", "api_key": { "value": KEY },
        });
        let id = owner.post("/connections", &body).await.ok(201)["id"].as_str().unwrap().to_owned();
        app.wait_for_status(id.parse().unwrap(), ConnectionStatus::Connected).await;
        let path = format!("/connections/{id}");
        let renamed = owner.patch(&path, &json!({ "name": "Other" })).await.ok(200);
        assert_eq!((&renamed["credentials_dropped"], &renamed["has_credential"]), (&Value::Null, &json!(true)));
        let moved = owner.patch(&path, &json!({ "url": second.url() })).await.ok(200);
        assert_eq!((&moved["credentials_dropped"], &moved["has_credential"]), (&json!(true), &json!(false)));
        assert_eq!(moved["status"], "needs_connection");
        owner.ask(Method::POST, &format!("{path}/check"), None).await.ok(200);
        let seen = second.log().all();
        assert!(seen.iter().all(|request| request.header("authorization").is_none()), "{seen:?}");
        app.stop().await;
    }
}

on_both! {
    async fn each_member_gives_their_own_where_the_connection_says_so(database) {
        let app = app(&database).await;
        let upstream = protected().await;
        let owner = Rest::owner(&app).await;
        let (ana, ana_id) = Rest::member(&app, "ana", Role::Member).await;
        let (ben, _) = Rest::member(&app, "ben", Role::Member).await;
        let body = json!({
            "slug": "own", "url": upstream.url(), "auth_type": "api_key", "credential_mode": "per_member",
        });
        let id = owner.post("/connections", &body).await.ok(201)["id"].as_str().unwrap().to_owned();
        let path = format!("/connections/{id}");
        owner.put(&format!("{path}/grants"), &json!({ "members": [ana_id.to_string()] })).await.ok(200);
        let before = ana.get(&path).await.ok(200);
        assert_eq!((&before["status"], &before["action_owner"]), (&json!("needs_connection"), &json!("member")));
        let credential = json!({ "api_key": KEY });
        ana.put(&format!("{path}/credential"), &credential).await.ok(200);
        ben.put(&format!("{path}/credential"), &credential).await.refused(404, "not_found");
        // An admin manages it and is not granted it: seeing is not using.
        owner.put(&format!("{path}/credential"), &credential).await.refused(404, "not_found");
        app.wait_for_status(id.parse().unwrap(), ConnectionStatus::Connected).await;
        assert_eq!(owner.get("/credentials").await.ok(200)["items"][0]["member"], ana_id.to_string());
        ana.get("/credentials").await.refused(403, "role_required");
        let deleted = owner.delete(&format!("/credentials?connection={id}")).await.ok(200);
        assert_eq!(deleted["deleted"], 1);
        assert_eq!(ana.get(&path).await.ok(200)["has_credential"], false);
        app.stop().await;
    }
}

on_both! {
    async fn a_member_can_t_choose_the_headers(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let body = json!({
            "slug": "own", "url": "http://127.0.0.1:4321/mcp", "auth_type": "headers", "credential_mode": "per_member",
            "member_headers": [{ "name": "X-User-Key", "description": "From your profile" }],
        });
        let id = owner.post("/connections", &body).await.ok(201)["id"].as_str().unwrap().to_owned();
        let path = format!("/connections/{id}/credential");
        owner.put(&format!("/connections/{id}/grants"), &json!({ "everyone": true })).await.ok(200);
        let other = json!({ "headers": { "X-User-Key": "v", "X-Other": "v" } });
        let problem = owner.put(&path, &other).await.refused(422, "validation_failed");
        assert_eq!(problem["violations"][0]["path"], "headers.X-Other");
        let missing = owner.put(&path, &json!({ "headers": {} })).await.refused(422, "validation_failed");
        assert_eq!(missing["violations"][0]["path"], "headers.X-User-Key");
        owner.put(&path, &json!({ "headers": { "x-user-key": "value" } })).await.ok(200);
        app.stop().await;
    }
}
