//! `/connections`: from created to called, edited, refused, gone.

use http::Method;
use serde_json::{Value, json};
use switchboard_domain::{ConnectionStatus, Role};
use switchboard_testkit::{on_both, upstream::ReferenceUpstream};

use super::rest::{Expect as _, Rest, app};

fn id_of(connection: &Value) -> String {
    connection["id"].as_str().unwrap().to_owned()
}

on_both! {
    async fn a_connection_is_added_granted_and_called(database) {
        let app = app(&database).await;
        let upstream = ReferenceUpstream::start().await;
        let owner = Rest::owner(&app).await;
        let body = json!({ "slug": "demo", "name": "Demo", "url": upstream.url(), "auth_type": "none" });
        let answer = owner.post("/connections", &body).await;
        let location = answer.header("location").unwrap().to_owned();
        assert_eq!(answer.header("etag"), Some("\"1\""));
        let created = answer.ok(201);
        let id = id_of(&created);
        assert_eq!(location, format!("/api/v1/connections/{id}"));
        assert_eq!(created["status"], "checking");
        assert_eq!(created["has_credential"], false);
        app.wait_for_status(id.parse().unwrap(), ConnectionStatus::Connected).await;
        let read = owner.get(&format!("/connections/{id}")).await.ok(200);
        assert_eq!(read["status"], "connected");
        assert_eq!(read["tools_count"], json!(upstream.tool_names().len()), "{read}");
        assert_eq!(read["diagnosis"]["reached"], "tools");
        assert!(read["checked_at"].is_string() && read["updated_at"].is_string());

        let client = app.client(owner.token.as_deref().unwrap());
        let before = client.execute("demo.echo", json!({ "text": "hi" })).await;
        assert_eq!(before["structuredContent"]["code"], "unknown_capability", "nobody may before a grant");
        let grants = owner.put(&format!("/connections/{id}/grants"), &json!({ "everyone": true })).await.ok(200);
        assert_eq!(grants, json!({ "everyone": true, "members": [], "teams": [] }));
        assert_eq!(owner.get(&format!("/connections/{id}/grants")).await.ok(200), grants);
        let after = client.execute("demo.echo", json!({ "text": "hi" })).await;
        assert!(after.to_string().contains("hi") && after["isError"] != true, "{after}");

        let checked = owner.ask(Method::POST, &format!("/connections/{id}/check"), None).await.ok(200);
        assert_eq!((&checked["reached"], &checked["failed"]), (&json!("tools"), &Value::Null));
        owner.delete(&format!("/connections/{id}")).await.ok(204);
        owner.get(&format!("/connections/{id}")).await.refused(404, "not_found");
        let gone = client.execute("demo.echo", json!({ "text": "hi" })).await;
        assert_eq!(gone["structuredContent"]["code"], "unknown_capability");
        app.stop().await;
    }
}

on_both! {
    async fn the_same_external_key_answers_the_first(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let body = |slug: &str| json!({ "slug": slug, "url": "http://127.0.0.1:4321/mcp", "auth_type": "none", "external_key": "k-1" });
        let first = owner.post("/connections", &body("one")).await.ok(201);
        let again = owner.post("/connections", &body("two")).await.ok(200);
        assert_eq!(again["id"], first["id"]);
        assert_eq!(again["slug"], "one");
        let list = owner.get("/connections?scope=manageable").await.ok(200);
        assert_eq!(list["items"].as_array().unwrap().len(), 1);
        let taken = json!({ "slug": "one", "url": "http://127.0.0.1:4321/mcp", "auth_type": "none" });
        owner.post("/connections", &taken).await.refused(409, "slug_taken");
        app.stop().await;
    }
}

on_both! {
    async fn an_edit_of_something_newer_is_refused(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let body = json!({ "slug": "one", "url": "http://127.0.0.1:4321/mcp", "auth_type": "none" });
        let id = id_of(&owner.post("/connections", &body).await.ok(201));
        let path = format!("/connections/{id}");
        let tag = owner.get(&path).await.header("etag").unwrap().to_owned();
        let edit = |tag: String, name: &'static str| {
            let (owner, path) = (owner.clone(), path.clone());
            async move {
                let headers = [("content-type", "application/json"), ("if-match", tag.as_str())];
                owner.send(Method::PATCH, &path, &headers, json!({ "name": name }).to_string()).await
            }
        };
        let renamed = edit(tag.clone(), "First").await;
        assert_ne!(renamed.header("etag"), Some(tag.as_str()));
        assert_eq!(renamed.ok(200)["name"], "First");
        edit(tag, "Second").await.refused(412, "stale");
        edit("\"nonsense\"".into(), "Second").await.refused(412, "stale");
        assert_eq!(owner.patch(&path, &json!({ "name": "Third" })).await.ok(200)["name"], "Third");
        assert_eq!(
            owner.patch(&path, &json!({ "slug": "uno", "enabled": false })).await.ok(200)["status"],
            "disabled"
        );
        app.stop().await;
    }
}

on_both! {
    async fn members_see_what_is_granted_to_them_without_what_is_the_admins(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let (ana, ana_id) = Rest::member(&app, "ana", Role::Member).await;
        let (ben, _) = Rest::member(&app, "ben", Role::Member).await;
        let url = "http://127.0.0.1:4321/mcp?tenant=secret-tenant";
        let body = json!({
            "slug": "one", "url": url, "auth_type": "headers", "headers": { "X-Hidden-Name": "hidden-value" },
            "external_key": "hidden-key",
        });
        let id = id_of(&owner.post("/connections", &body).await.ok(201));
        let path = format!("/connections/{id}");
        assert_eq!(ana.get("/connections").await.ok(200)["items"], json!([]));
        ana.get(&path).await.refused(404, "not_found");
        let grants = json!({ "members": [ana_id.to_string()] });
        owner.put(&format!("{path}/grants"), &grants).await.ok(200);
        let seen = ana.get(&path).await.ok(200);
        let text = seen.to_string();
        for hidden in ["secret-tenant", "X-Hidden-Name", "hidden-value", "hidden-key", "diagnosis", "tool_allow"]
        {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
        assert_eq!(ana.get("/connections?scope=usable").await.ok(200)["items"][0]["id"], json!(id));
        assert_eq!(ana.get("/connections?scope=manageable").await.ok(200)["items"], json!([]));
        assert_eq!(ben.get("/connections").await.ok(200)["items"], json!([]));
        assert_eq!(
            ben.get(&path).await.json(),
            ben.get("/connections/con_00000000000000000000000000").await.json()
        );
        owner.patch(&path, &json!({ "enabled": false })).await.ok(200);
        ana.get(&path).await.refused(404, "not_found");
        let full = owner.get(&path).await.ok(200);
        assert_eq!(full["url"], json!(url));
        assert_eq!(full["header_names"], json!(["X-Hidden-Name"]));
        assert!(!full.to_string().contains("hidden-value"));
        app.stop().await;
    }
}

on_both! {
    async fn a_personal_connection_is_nobody_elses(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let (ana, _) = Rest::member(&app, "ana", Role::Member).await;
        let body = json!({ "slug": "notes", "url": "http://127.0.0.1:4321/mcp", "auth_type": "none", "owner": "member" });
        ana.post("/connections", &body).await.refused(409, "personal_connections_off");
        let allowed = json!({ "settings": { "personal_connections": true, "max_personal_connections": 1 } });
        owner.patch("/organization", &allowed).await.ok(200);
        let created = ana.post("/connections", &body).await.ok(201);
        let mut second = body.clone();
        second["slug"] = json!("more");
        ana.post("/connections", &second).await.refused(409, "too_many_personal_connections");
        let path = format!("/connections/{}", id_of(&created));
        assert_eq!(created["owner"], "member");
        assert_eq!(ana.get("/connections").await.ok(200)["items"][0]["slug"], "notes");
        for (method, path) in [(Method::GET, path.clone()), (Method::DELETE, path.clone())] {
            owner.ask(method, &path, None).await.refused(404, "not_found");
        }
        assert_eq!(owner.get("/connections?scope=manageable").await.ok(200)["items"], json!([]));
        let organizations = json!({ "slug": "x", "url": "http://127.0.0.1:4321/mcp", "auth_type": "none" });
        ana.post("/connections", &organizations).await.refused(403, "role_required");
        ana.delete(&path).await.ok(204);
        app.stop().await;
    }
}

on_both! {
    async fn grants_name_members_and_teams_of_this_organization_only(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let (_, stranger, _) = app.stranger(&crate::api::rest::ALL).await;
        let body = json!({ "slug": "one", "url": "http://127.0.0.1:4321/mcp", "auth_type": "none" });
        let path = format!("/connections/{}/grants", id_of(&owner.post("/connections", &body).await.ok(201)));
        let unknown = "mem_00000000000000000000000000";
        for member in [stranger.to_string(), unknown.to_owned()] {
            owner.put(&path, &json!({ "members": [member] })).await.refused(422, "unknown_reference");
        }
        let problem =
            owner.put(&path, &json!({ "members": ["nonsense"] })).await.refused(422, "validation_failed");
        assert_eq!(problem["violations"][0]["path"], "members[0]");
        assert_eq!(owner.get(&path).await.ok(200)["members"], json!([]));
        app.stop().await;
    }
}
