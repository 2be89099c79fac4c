//! `/audit` and `/usage`

use serde_json::{Value, json};
use switchboard_domain::Role;
use switchboard_testkit::{on_both, upstream::ReferenceUpstream};

use super::rest::{Expect as _, Rest, app};

on_both! {
    async fn changes_and_refusals_are_on_record(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let (ana, ana_id) = Rest::member(&app, "ana", Role::Member).await;
        let body =
            json!({ "slug": "one", "url": "http://127.0.0.1:4321/mcp?key=in-the-url", "auth_type": "none" });
        let created = owner.post("/connections", &body).await.ok(201);
        let path = format!("/connections/{}", created["id"].as_str().unwrap());
        owner.put(&format!("{path}/grants"), &json!({ "everyone": true })).await.ok(200);
        owner.post("/connections", &json!({ "slug": "A" })).await.refused(422, "validation_failed");
        ana.delete(&path).await.refused(404, "not_found");
        ana.delete("/connections/con_00000000000000000000000000").await.refused(404, "not_found");

        let page = owner.get("/audit?limit=200").await.ok(200);
        let items = page["items"].as_array().unwrap();
        let find = |action: &str, outcome: &str| -> Vec<&Value> {
            items.iter().filter(|entry| entry["action"] == action && entry["outcome"] == outcome).collect()
        };
        let create = find("connection.create", "ok")[0];
        assert_eq!(create["target"], "one");
        assert_eq!(create["actor"]["id"], json!(app.owner.to_string()));
        assert!(!create.to_string().contains("in-the-url"), "{create}");
        assert_eq!(find("grants.put", "ok")[0]["details"]["after"]["everyone"], true);
        assert_eq!(find("connection.create", "refused")[0]["code"], "validation_failed");
        let refused = find("connection.delete", "refused");
        let codes: Vec<&Value> = refused.iter().map(|entry| &entry["code"]).collect();
        assert_eq!(codes, [&json!("not_found"), &json!("forbidden")], "the log tells them apart");
        assert!(refused.iter().all(|entry| entry["actor"]["id"] == json!(ana_id.to_string())));

        let filtered = owner.get(&format!("/audit?actor={ana_id}&action=connection.delete")).await.ok(200);
        assert_eq!(filtered["items"].as_array().unwrap().len(), 2);
        ana.get("/audit").await.refused(403, "role_required");
        owner.get("/audit?outcome=perhaps").await.refused(422, "invalid_query");
        app.stop().await;
    }
}

on_both! {
    async fn the_log_is_read_in_pages_and_exported_whole(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        owner.post("/teams", &json!({ "name": "" })).await.refused(422, "validation_failed");
        for name in ["=1+1", "plain", "@SUM(A1)"] {
            owner.post("/teams", &json!({ "name": name })).await.ok(201);
        }
        let mut seqs = Vec::new();
        let mut path = "/audit?limit=2".to_owned();
        loop {
            let page = owner.get(&path).await.ok(200);
            seqs.extend(page["items"].as_array().unwrap().iter().map(|entry| entry["seq"].as_i64().unwrap()));
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("/audit?limit=2&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(seqs, [3, 2, 1, 1], "the chain of changes, and before it the one of what was refused");
        let export = owner.get("/audit/export").await;
        assert_eq!(export.header("content-type"), Some("application/jsonl"));
        let text = String::from_utf8(export.body.to_vec()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0]["previous_hash"], lines[1]["hash"]);
        let csv = owner.get("/audit/export?format=csv").await;
        let text = String::from_utf8(csv.body.to_vec()).unwrap();
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(text.starts_with("at,action,"), "{text}");
        owner.get("/audit/export?format=xlsx").await.refused(422, "validation_failed");
        app.stop().await;
    }
}

on_both! {
    async fn usage_counts_calls(database) {
        let app = app(&database).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Rest::owner(&app).await;
        let client = app.client(owner.token.as_deref().unwrap());
        for _ in 0..3 {
            client.execute("demo.echo", json!({ "text": "x" })).await;
        }
        client.execute("demo.echo", json!({})).await;
        for _ in 0..200 {
            let usage = owner.get("/usage?days=1").await.ok(200);
            let row = &usage["rows"][0];
            if row["calls"] == 4 {
                assert_eq!(row["connection"], "demo");
                assert_eq!((&row["ok"], &row["refused"]), (&json!(3), &json!(1)));
                owner.get("/usage?days=0").await.refused(422, "validation_failed");
                app.stop().await;
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("the calls were not counted");
    }
}
