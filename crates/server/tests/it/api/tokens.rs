//! `/tokens`: shown once, never more than its maker, gone at once.

use serde_json::json;
use switchboard_domain::{Role, Scope};
use switchboard_testkit::on_both;

use super::rest::{ALL, Expect as _, Rest, app};

on_both! {
    async fn a_token_is_shown_once_and_revoked_at_once(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let new = json!({ "name": "laptop", "scopes": ["mcp:read", "api"] });
        let made = owner.post("/tokens", &new).await.ok(201);
        let token = made["token"].as_str().unwrap();
        assert!(token.starts_with("swb_pat_") && token.ends_with(made["last_four"].as_str().unwrap()));
        assert!(made["expires_at"].is_string());
        let fresh = Rest::with_token(&app, Some(token));
        fresh.get("/organization").await.ok(200);
        let listed = owner.get("/tokens").await;
        assert!(!String::from_utf8_lossy(&listed.body).contains(token));
        let listed = listed.ok(200);
        assert_eq!(listed["items"][0]["name"], "laptop");
        owner.delete(&format!("/tokens/{}", made["id"].as_str().unwrap())).await.ok(204);
        let challenge = fresh.get("/organization").await;
        let header = challenge.header("www-authenticate").unwrap().to_owned();
        assert!(header.contains("scope=\"api\"") && header.contains("error=\"invalid_token\""), "{header}");
        challenge.refused(401, "unauthenticated");
        app.stop().await;
    }
}

on_both! {
    async fn no_token_makes_one_that_may_more(database) {
        let app = app(&database).await;
        let api_only = Rest::with_token(&app, Some(&app.token(app.owner, &[Scope::Api]).await));
        let more = json!({ "name": "x", "scopes": ["mcp:write"] });
        api_only.post("/tokens", &more).await.refused(403, "insufficient_scope");
        for (body, path) in [
            (json!({ "name": "x", "scopes": [] }), "scopes"),
            (json!({ "name": "", "scopes": ["api"] }), "name"),
            (json!({ "name": "x", "scopes": ["api"], "expires_in_days": 0 }), "expires_in_days"),
            (json!({ "name": "x", "scopes": ["api"], "expires_in_days": 9999 }), "expires_in_days"),
            (json!({ "name": "x", "scopes": ["api"], "resource": "/elsewhere" }), "resource"),
            (json!({ "name": "x", "scopes": ["admin"] }), "scopes[0]"),
            (json!({ "name": "x", "scopes": ["offline_access"] }), "scopes"),
        ] {
            let problem = api_only.post("/tokens", &body).await.refused(422, "validation_failed");
            assert_eq!(problem["violations"][0]["path"], path, "{problem}");
        }
        app.stop().await;
    }
}

on_both! {
    async fn a_member_sees_and_revokes_their_own_only(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let (ana, ana_id) = Rest::member(&app, "ana", Role::Member).await;
        let all = owner.get("/tokens?everyone=true").await.ok(200);
        let items = all["items"].as_array().unwrap();
        let of = |who: String| items.iter().find(|token| token["owner"] == json!(who)).unwrap()["id"].clone();
        let (owners, anas) = (of(app.owner.to_string()), of(ana_id.to_string()));
        let seen = ana.get("/tokens?everyone=true").await.ok(200);
        assert!(
            seen["items"].as_array().unwrap().iter().all(|token| token["owner"] == json!(ana_id.to_string()))
        );
        ana.delete(&format!("/tokens/{}", owners.as_str().unwrap())).await.refused(404, "not_found");
        owner.delete(&format!("/tokens/{}", anas.as_str().unwrap())).await.ok(204);
        ana.get("/organization").await.refused(401, "unauthenticated");
        app.stop().await;
    }
}

on_both! {
    async fn only_a_token_with_the_scope_api_gets_in(database) {
        let app = app(&database).await;
        let reader = app.token(app.owner, &[Scope::McpRead, Scope::McpWrite]).await;
        let elsewhere = app.token_for(app.owner, &crate::api::rest::ALL, Some("/mcp"), None).await.0;
        let here = app.token_for(app.owner, &crate::api::rest::ALL, Some("/api/v1"), None).await.0;
        for token in [None, Some(elsewhere.as_str()), Some("nonsense")] {
            Rest::with_token(&app, token).get("/organization").await.refused(401, "unauthenticated");
        }
        let refused = Rest::with_token(&app, Some(&reader)).get("/organization").await;
        let challenge = refused.header("www-authenticate").unwrap().to_owned();
        assert!(challenge.starts_with("Bearer error=\"insufficient_scope\""), "{challenge}");
        assert!(challenge.ends_with("scope=\"api\""), "{challenge}");
        refused.refused(403, "insufficient_scope");
        Rest::with_token(&app, Some(&here)).get("/organization").await.ok(200);
        app.stop().await;
    }
}

on_both! {
    async fn what_a_token_makes_is_held_to_it_and_ends_with_it(database) {
        let app = app(&database).await;
        let now = app.broker.clock().now();
        let ends = now.plus(std::time::Duration::from_secs(3600));
        let (parent, parent_id) = app.token_for(app.owner, &ALL, Some("/api/v1"), Some(ends)).await;
        let parent = Rest::with_token(&app, Some(&parent));
        let elsewhere = json!({ "name": "wider", "scopes": ["mcp:write"], "resource": "/mcp" });
        parent.post("/tokens", &elsewhere).await.refused(403, "insufficient_scope");
        let made = parent.post("/tokens", &json!({ "name": "child", "scopes": ["api"] })).await.ok(201);
        assert_eq!(made["resource"], "/api/v1", "bound as what made it");
        let at = |text: &serde_json::Value| text.as_str().unwrap().to_owned();
        let until: switchboard_domain::Timestamp = serde_json::from_value(made["expires_at"].clone()).unwrap();
        assert!(until <= ends, "it ends no later: {until:?} after {ends:?}");
        let child = Rest::with_token(&app, made["token"].as_str());
        let account = child.post("/service-accounts", &json!({ "name": "robot" })).await.ok(201);
        let body = json!({ "name": "grandchild", "scopes": ["api"], "service_account": account["id"] });
        let grandchild = at(&child.post("/tokens", &body).await.ok(201)["token"]);
        let grandchild = Rest::with_token(&app, Some(&grandchild));
        grandchild.get("/organization").await.ok(200);
        let owner = Rest::owner(&app).await;
        let apart = at(&owner.post("/tokens", &json!({ "name": "apart", "scopes": ["api"] })).await.ok(201)["token"]);
        owner.delete(&format!("/tokens/{parent_id}")).await.ok(204);
        for ended in [&parent, &child, &grandchild] {
            ended.get("/organization").await.refused(401, "unauthenticated");
        }
        Rest::with_token(&app, Some(&apart)).get("/organization").await.ok(200);
        app.stop().await;
    }
}

on_both! {
    async fn tokens_of_the_organization_outlive_the_admin_who_made_them(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let (admin, admin_id) = Rest::member(&app, "adm", Role::Admin).await;
        let account = admin.post("/service-accounts", &json!({ "name": "robot" })).await.ok(201);
        let body = json!({ "name": "ci", "scopes": ["api"], "service_account": account["id"] });
        let made = admin.post("/tokens", &body).await.ok(201);
        owner.delete(&format!("/members/{admin_id}")).await.ok(204);
        admin.get("/organization").await.refused(401, "unauthenticated");
        Rest::with_token(&app, made["token"].as_str()).get("/organization").await.ok(200);
        app.stop().await;
    }
}
