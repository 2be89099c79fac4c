//! `/organization`, `/members`, `/teams`, `/service-accounts`

use serde_json::json;
use switchboard_domain::Role;
use switchboard_testkit::on_both;

use super::rest::{Expect as _, Rest, app};

on_both! {
    async fn settings_are_the_admins(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let (ana, _) = Rest::member(&app, "ana", Role::Member).await;
        let read = ana.get("/organization").await.ok(200);
        assert_eq!((&read["slug"], &read["settings"]["hold_destructive"]), (&json!("acme"), &json!(false)));
        let edit = json!({ "settings": { "hold_destructive": true } });
        ana.patch("/organization", &edit).await.refused(403, "role_required");
        let changed = owner.patch("/organization", &edit).await.ok(200);
        assert_eq!(changed["settings"], json!({
            "hold_destructive": true, "max_token_days": 365, "password_sign_in": true,
            "personal_connections": false, "max_personal_connections": 10, "audit_retention_days": 0,
            "audit_arguments": false, "approve_harmless_changes": false,
        }));
        let days = json!({ "name": "Acme 2", "settings": { "max_token_days": 30 } });
        let changed = owner.patch("/organization", &days).await.ok(200);
        assert_eq!(changed["settings"]["max_token_days"], 30);
        assert_eq!(changed["name"], "Acme 2");
        owner.patch("/organization", &json!({ "slug": "other" })).await.refused(422, "validation_failed");
        app.stop().await;
    }
}

on_both! {
    async fn a_team_reaches_its_members_and_goes_with_its_grants(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let (ana, ana_id) = Rest::member(&app, "ana", Role::Member).await;
        let team = owner.post("/teams", &json!({ "name": "Support" })).await.ok(201);
        let team_id = team["id"].as_str().unwrap();
        owner.post("/teams", &json!({ "name": "Support" })).await.refused(409, "name_taken");
        let body = json!({ "slug": "one", "url": "http://127.0.0.1:4321/mcp", "auth_type": "none" });
        let created = owner.post("/connections", &body).await.ok(201);
        let path = format!("/connections/{}", created["id"].as_str().unwrap());
        owner.put(&format!("{path}/grants"), &json!({ "teams": [team_id] })).await.ok(200);
        ana.get(&path).await.refused(404, "not_found");
        let members = json!({ "members": [ana_id.to_string()] });
        let with_ana = owner.put(&format!("/teams/{team_id}/members"), &members).await.ok(200);
        assert_eq!(with_ana["members"], members["members"]);
        ana.get(&path).await.ok(200);
        assert_eq!(owner.get(&format!("/members/{ana_id}")).await.ok(200)["teams"], json!([team_id]));
        owner.delete(&format!("/teams/{team_id}")).await.ok(204);
        ana.get(&path).await.refused(404, "not_found");
        assert_eq!(owner.get(&format!("{path}/grants")).await.ok(200)["teams"], json!([]));
        app.stop().await;
    }
}

on_both! {
    async fn a_disabled_service_account_is_out_at_once(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let account = owner.post("/service-accounts", &json!({ "name": "ci" })).await.ok(201);
        assert_eq!(account["role"], "member");
        let id = account["id"].as_str().unwrap();
        let new = json!({ "name": "ci", "scopes": ["api", "mcp:read"], "service_account": id });
        let made = owner.post("/tokens", &new).await.ok(201);
        let token = made["token"].as_str().unwrap();
        assert!(token.starts_with("swb_svc_"), "{token}");
        let program = Rest::with_token(&app, Some(token));
        program.get("/organization").await.ok(200);
        program.get("/members").await.refused(403, "role_required");
        let path = format!("/service-accounts/{id}");
        owner.patch(&path, &json!({ "status": "suspended" })).await.ok(200);
        program.get("/organization").await.refused(401, "unauthenticated");
        owner.post("/tokens", &new).await.refused(409, "service_account_disabled");
        let again = owner.patch(&path, &json!({ "status": "active", "role": "admin" })).await.ok(200);
        assert_eq!((again["status"].as_str(), again["role"].as_str()), (Some("active"), Some("admin")));
        program.get("/members").await.ok(200);
        owner.post("/service-accounts", &json!({ "name": "other" })).await.ok(201);
        owner.patch(&path, &json!({ "name": "other" })).await.refused(409, "name_taken");
        owner.patch(&path, &json!({ "role": "owner" })).await.refused(422, "validation_failed");
        owner.delete(&path).await.ok(204);
        program.get("/organization").await.refused(401, "unauthenticated");
        owner.get(&path).await.refused(404, "not_found");
        owner.delete(&path).await.refused(404, "not_found");
        app.stop().await;
    }
}

on_both! {
    async fn members_are_listed_in_pages(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        for name in ["ana", "ben", "cem"] {
            app.member(&format!("{name}@example.test"), Role::Member).await;
        }
        let mut seen = Vec::new();
        let mut path = "/members?limit=2".to_owned();
        loop {
            let page = owner.get(&path).await.ok(200);
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= 2);
            seen.extend(items.iter().map(|member| member["email"].as_str().unwrap().to_owned()));
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("/members?limit=2&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(seen, ["ana@example.test", "ben@example.test", "cem@example.test", "owner@example.test"]);
        owner.get("/members?cursor=%25%25").await.refused(422, "invalid_cursor");
        owner.get("/members?limit=0").await.refused(422, "validation_failed");
        app.stop().await;
    }
}
