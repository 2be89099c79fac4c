//! What a member owns personally has names of its own: they neither take nor reveal what others have.

use serde_json::json;
use switchboard_domain::Role;
use switchboard_testkit::{on_both, upstream::ReferenceUpstream};

use super::rest::{ALL, Expect as _, Rest, app};

on_both! {
    async fn external_keys_are_their_owners(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let (ana, _) = Rest::member(&app, "ana", Role::Member).await;
        let (ben, _) = Rest::member(&app, "ben", Role::Member).await;
        let allowed = json!({ "settings": { "personal_connections": true } });
        owner.patch("/organization", &allowed).await.ok(200);
        let body = |slug: &str, whose: &str| {
            json!({ "slug": slug, "url": "http://127.0.0.1:4321/mcp", "auth_type": "none", "external_key": "k-1", "owner": whose })
        };
        let anas = ana.post("/connections", &body("one", "member")).await.ok(201);
        let organizations = owner.post("/connections", &body("one", "organization")).await.ok(201);
        let bens = ben.post("/connections", &body("one", "member")).await.ok(201);
        assert!(anas["id"] != organizations["id"] && anas["id"] != bens["id"] && bens["id"] != organizations["id"]);
        for (who, whose, first) in [(&ana, "member", &anas), (&owner, "organization", &organizations), (&ben, "member", &bens)] {
            let again = who.post("/connections", &body("two", whose)).await.ok(200);
            assert_eq!(again["id"], first["id"], "the same owner's key answers the first");
        }
        app.stop().await;
    }
}

on_both! {
    async fn personal_toolkits_are_reached_with_a_tilde(database) {
        let app = app(&database).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Rest::owner(&app).await;
        let (ana, _) = Rest::member(&app, "ana", Role::Member).await;
        let (ben, _) = Rest::member(&app, "ben", Role::Member).await;
        let body = |whose: &str, pattern: &str| json!({ "slug": "kit", "owner": whose, "patterns": [pattern] });
        let anas = ana.post("/toolkits", &body("member", "demo.echo")).await.ok(201);
        assert_eq!(anas["url"], json!(app.url("/mcp/toolkits/~kit")));
        ben.post("/toolkits", &body("member", "demo.*")).await.ok(201);
        let shared = owner.post("/toolkits", &body("organization", "demo.add")).await.ok(201);
        assert_eq!(shared["url"], json!(app.url("/mcp/toolkits/kit")));
        ana.post("/toolkits", &body("member", "*")).await.refused(409, "slug_taken");
        let runs = async |who: &Rest<'_>, path: &str| {
            let client = app.client_at(path, who.token.as_deref());
            let done = client.execute("demo.echo", json!({ "text": "x" })).await;
            done["isError"] != json!(true)
        };
        assert!(runs(&ana, "/mcp/toolkits/~kit").await, "her own");
        assert!(!runs(&ana, "/mcp/toolkits/kit").await, "the organization's shows something else");
        let (bound, _) = app.token_for(app.owner, &ALL, Some("/mcp/toolkits/~kit"), None).await;
        let nobodys = app.client_at("/mcp/toolkits/~kit", Some(&bound)).modern("tools/list", json!({})).await;
        let unknown = app.client_at("/mcp/toolkits/~nothing", owner.token.as_deref()).modern("tools/list", json!({})).await;
        assert_eq!(nobodys.status, unknown.status, "another member's is not there");
        assert_eq!(nobodys.json()["error"]["code"], unknown.json()["error"]["code"]);
        app.stop().await;
    }
}

on_both! {
    async fn a_url_that_holds_a_secret_is_for_who_manages_it(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let (ana, _) = Rest::member(&app, "ana", Role::Member).await;
        let url = "http://127.0.0.1:4321/s/0f3c9a7b1d2e4f5061728394/mcp";
        let body = json!({ "slug": "one", "url": url, "auth_type": "none" });
        let created = owner.post("/connections", &body).await.ok(201);
        assert!(created["warnings"][0].as_str().unwrap().contains("`api_key` or `headers`"), "{created}");
        let path = format!("/connections/{}", created["id"].as_str().unwrap());
        owner.put(&format!("{path}/grants"), &json!({ "everyone": true })).await.ok(200);
        assert_eq!(owner.get(&path).await.ok(200)["url"], json!(url));
        assert_eq!(ana.get(&path).await.ok(200)["url"], "http://127.0.0.1:4321");
        let log = owner.get("/audit?limit=200").await.ok(200).to_string();
        assert!(log.contains("127.0.0.1:4321") && !log.contains("0f3c9a7b"), "{log}");
        let plain = owner.patch(&path, &json!({ "url": "http://127.0.0.1:4321/mcp" })).await.ok(200);
        assert!(plain.get("warnings").is_none(), "{plain}");
        app.stop().await;
    }
}
