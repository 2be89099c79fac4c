//! `/mcp` as a protocol endpoint: both generations, challenges, hosts, tokens.

use std::time::Duration;

use http::{HeaderMap, Method};
use serde_json::json;
use switchboard_domain::{Grants, Role, Scope, Timestamp};
use switchboard_testkit::{
    app::{App, AppOptions},
    on_both,
    upstream::ReferenceUpstream,
};

use crate::support::{READ_WRITE, json_headers, owner};

on_both! {
    async fn both_generations_are_served(database) {
        let app = App::start(database.db.clone()).await;
        let client = owner(&app).await;
        let discovered = client.modern("server/discover", json!({})).await.result();
        assert_eq!(discovered["resultType"], "complete", "{discovered}");
        assert!(discovered["supportedVersions"].to_string().contains("2025-11-25"), "{discovered}");
        assert!(discovered["ttlMs"].is_number() && discovered["cacheScope"] == "private", "{discovered}");
        for (asked, agreed) in
            [("2025-03-26", "2025-03-26"), ("2025-06-18", "2025-06-18"), ("2026-07-28", "2025-11-25"), ("1999", "2025-11-25")]
        {
            let greeting = client
                .legacy("initialize", json!({ "protocolVersion": asked, "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } }))
                .await
                .result();
            assert_eq!(greeting["protocolVersion"], agreed, "{greeting}");
            assert!(greeting["instructions"].as_str().unwrap().len() <= 512);
        }
        for reply in [client.legacy("tools/list", json!({})).await, client.modern("tools/list", json!({})).await] {
            let tools = reply.result()["tools"].clone();
            let names: Vec<_> = tools.as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
            assert_eq!(names, ["search_capabilities", "execute_capability"]);
        }
        assert_eq!(client.legacy("ping", json!({})).await.result(), json!({}));
        let gone = client.modern("ping", json!({})).await;
        assert_eq!((gone.status.as_u16(), gone.error_code()), (404, -32601));
        let unknown = client.legacy("tools/destroy", json!({})).await;
        assert_eq!((unknown.status.as_u16(), unknown.error_code()), (200, -32601));
        app.stop().await;
    }

    async fn a_batch_is_served_to_the_one_revision_that_has_them(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let id = app.add("demo", &upstream.url()).await;
        app.grant_everyone(id).await;
        app.broker.check(app.organization, id, None).await.unwrap();
        let client = owner(&app).await;
        let request = |id: u64, method: &str, params: serde_json::Value| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let call = |id: u64, text: &str| {
            let arguments = json!({ "name": "demo.echo", "arguments": { "text": text } });
            request(id, "tools/call", json!({ "name": "execute_capability", "arguments": arguments }))
        };
        let note = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let batch = json!([request(1, "ping", json!({})), note, call(2, "two"), call(3, "three"), request(4, "none", json!({}))]);
        let reply = client.send(Method::POST, json_headers(), batch.to_string()).await;
        assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, Some("application/json")));
        let answers = reply.json();
        let ids: Vec<u64> = answers.as_array().unwrap().iter().map(|answer| answer["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, [1, 2, 3, 4], "{answers}");
        assert!(answers[1].to_string().contains("two") && answers[2].to_string().contains("three"), "{answers}");
        assert_eq!(answers[3]["error"]["code"], -32601);
        assert_eq!(upstream.log().executions("echo"), 2);

        let notes = client.send(Method::POST, json_headers(), json!([note]).to_string()).await;
        assert_eq!((notes.status.as_u16(), notes.body.len()), (202, 0));
        let many: Vec<_> = (0..51).map(|id| request(id, "ping", json!({}))).collect();
        let greeting = request(1, "initialize", json!({ "protocolVersion": "2025-03-26", "capabilities": {} }));
        for refused in [json!([]), json!(many), json!([greeting])] {
            let reply = client.send(Method::POST, json_headers(), refused.to_string()).await;
            assert_eq!((reply.status.as_u16(), reply.error_code()), (400, -32600));
        }
        for revision in ["2025-06-18", "2025-11-25", "2026-07-28"] {
            let mut headers = json_headers();
            headers.insert("mcp-protocol-version", revision.parse().unwrap());
            let reply = client.send(Method::POST, headers, batch.to_string()).await;
            assert_eq!((reply.status.as_u16(), reply.error_code()), (400, -32600), "{revision}");
        }
        assert_eq!(upstream.log().executions("echo"), 2);
        app.stop().await;
    }

    async fn nobody_without_a_token_learns_more_than_where_to_get_one(database) {
        let app = App::start(database.db.clone()).await;
        for path in ["/mcp", "/mcp/", "/mcp/toolkits/none", "/mcp/connections/none", "/o/acme/mcp"] {
            let reply = app.client_at(path, None).legacy("initialize", json!({})).await;
            assert_eq!(reply.status, 401, "{path}");
            let challenge = reply.header("www-authenticate").unwrap();
            let metadata = app.url(&format!("/.well-known/oauth-protected-resource{}", path.trim_end_matches('/')));
            assert!(challenge.contains(&format!("resource_metadata=\"{metadata}\"")), "{path}: {challenge}");
            let document = app.client_at(&metadata.replace(&app.url(""), ""), None);
            let document = document.send(Method::GET, HeaderMap::new(), "").await.json();
            assert_eq!(document["resource"], app.url(path.trim_end_matches('/')), "{document}");
        }
        let garbage = app.client("swb_pat_garbage").legacy("ping", json!({})).await;
        assert_eq!(garbage.status, 401);
        assert!(garbage.header("www-authenticate").unwrap().contains("invalid_token"));
        app.stop().await;
    }

    async fn a_token_is_good_for_its_resource_its_scopes_and_its_time(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let (bound, _) = app.token_for(app.owner, &READ_WRITE, Some("/mcp/toolkits/support"), None).await;
        assert_eq!(app.client(&bound).legacy("ping", json!({})).await.status, 401);
        let past = Timestamp::from_micros(1);
        let (expired, _) = app.token_for(app.owner, &READ_WRITE, None, Some(past)).await;
        assert_eq!(app.client(&expired).legacy("ping", json!({})).await.status, 401);
        let api_only = app.token(app.owner, &[Scope::Api]).await;
        for path in ["/mcp", "/mcp/toolkits/none", "/mcp/connections/none", "/o/acme/mcp"] {
            let refused = app.client_at(path, Some(&api_only)).legacy("ping", json!({})).await;
            assert_eq!((refused.status.as_u16(), refused.json()["code"].clone()), (403, json!("insufficient_scope")));
            let challenge = refused.header("www-authenticate").unwrap();
            let wanted = "scope=\"mcp:read mcp:write\"";
            assert!(challenge.starts_with("Bearer error=\"insufficient_scope\"") && challenge.contains(wanted), "{challenge}");
        }
        let (bound, _) = app.token_for(app.owner, &[Scope::Api], Some("/api/v1"), None).await;
        assert_eq!(app.client(&bound).legacy("ping", json!({})).await.status, 401, "the resource comes first");
        let reader = app.client(&app.token(app.owner, &[Scope::McpRead]).await);
        assert_eq!(reader.search(json!({ "query": "echo" })).await["matches"][0]["name"], "demo.echo");
        let refused = reader
            .modern("tools/call", json!({ "name": "execute_capability", "arguments": { "name": "demo.echo", "arguments": { "text": "x" } } }))
            .await;
        assert_eq!(refused.status, 403);
        assert!(refused.header("www-authenticate").unwrap().contains("insufficient_scope"));
        assert_eq!(refused.result()["structuredContent"]["code"], "insufficient_scope");
        assert_eq!(upstream.log().executions("echo"), 0);
        app.stop().await;
    }

    async fn a_revoked_token_and_a_removed_grant_end_on_every_replica_within_a_second(database) {
        let one = App::start(database.db.clone()).await;
        let options = AppOptions { keyring: Some(one.keyring.clone()), ..AppOptions::default() };
        let two = App::start_with(database.db.clone(), options).await;
        let upstream = ReferenceUpstream::start().await;
        let id = one.connect("demo", &upstream.url()).await;
        let member = one.member("alice@example.test", Role::Member).await;
        let (token, token_id) = one.token_for(member, &READ_WRITE, None, None).await;
        tokio::time::sleep(Duration::from_millis(900)).await;
        let there = two.client(&token);
        assert_ne!(there.execute("demo.echo", json!({ "text": "x" })).await["isError"], true);
        one.grant(id, Grants::default()).await;
        tokio::time::sleep(Duration::from_millis(900)).await;
        let refused = there.execute("demo.echo", json!({ "text": "x" })).await;
        assert_eq!(refused["structuredContent"]["code"], "unknown_capability", "{refused}");
        one.revoke(token_id).await;
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(there.legacy("ping", json!({})).await.status, 401);
        assert_eq!(upstream.log().executions("echo"), 1);
        one.stop().await;
        two.stop().await;
    }

    async fn foreign_hosts_and_origins_are_refused(database) {
        let app = App::start(database.db.clone()).await;
        let client = owner(&app).await;
        for origin in ["http://evil.example.net", "null", "http://127.0.0.1.evil.example.net"] {
            let reply = client.clone().with_header("origin", origin).legacy("ping", json!({})).await;
            assert_eq!(reply.status, 403, "{origin}");
        }
        let own = format!("http://localhost:{}", app.address.port());
        assert_eq!(client.clone().with_header("origin", &own).legacy("ping", json!({})).await.status, 200);
        let reply = client.send(Method::GET, HeaderMap::new(), "").await;
        assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, Some("POST")));
        app.stop().await;
    }

    async fn every_call_is_on_record_before_and_after(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let client = owner(&app).await;
        client.execute("demo.echo", json!({ "text": "x" })).await;
        let refused = client.execute("demo.none", json!({})).await;
        let reference = refused["structuredContent"]["reference_id"].as_str().unwrap().to_owned();
        app.broker.stop().await;
        let mut tx = app.db.read().await.unwrap();
        let page = tx.audit().page(app.organization, &switchboard_storage::AuditFilter::default(), 100).await.unwrap();
        let calls: Vec<_> = page.iter().filter(|entry| entry.action == "capability.execute").rev().collect();
        let phases: Vec<_> = calls.iter().map(|entry| entry.phase.as_str()).collect();
        assert_eq!(phases, ["started", "completed", "completed"]);
        assert_eq!(calls[0].call_id, calls[1].call_id);
        assert_eq!(calls[2].call_id.as_deref(), Some(reference.as_str()));
        assert!(calls[2].body.contains("\"outcome\":\"refused\""), "{}", calls[2].body);
        for (before, after) in page.iter().rev().zip(page.iter().rev().skip(1)) {
            assert_eq!((after.seq, after.previous_hash), (before.seq + 1, before.hash), "one chain");
        }
    }
}
