//! `/policies`, `/me/policies`, `/toolkits` and their rules: whole arrays, in force when they are answered.

use http::Method;
use serde_json::{Value, json};
use switchboard_domain::Role;
use switchboard_testkit::{on_both, upstream::ReferenceUpstream};

use super::rest::{Expect as _, Rest, app};

on_both! {
    async fn rules_are_in_force_when_they_are_answered(database) {
        let app = app(&database).await;
        let upstream = ReferenceUpstream::start().await;
        let id = app.connect("demo", &upstream.url()).await;
        let owner = Rest::owner(&app).await;
        let (ana, ana_id) = Rest::member(&app, "ana", Role::Member).await;
        let client = app.client(ana.token.as_deref().unwrap());
        let run = || async { client.execute("demo.echo", json!({ "text": "x" })).await["isError"].clone() };
        assert_ne!(run().await, json!(true));
        assert_eq!(owner.get("/policies").await.ok(200), json!([]));
        let block = json!([{ "pattern": "demo.echo", "action": "block" }]);
        let put = owner.put("/policies", &block).await;
        assert_eq!(put.header("etag"), Some("\"1\""));
        let stored = put.ok(200);
        assert_eq!((&stored[0]["pattern"], &stored[0]["action"]), (&json!("demo.echo"), &json!("block")));
        assert_eq!(run().await, json!(true));
        ana.get("/policies").await.refused(403, "role_required");
        ana.put("/policies", &json!([])).await.refused(403, "role_required");

        let why = owner.get(&format!("/policies/explain?capability=demo.echo&member={ana_id}")).await.ok(200);
        assert_eq!((&why["decision"], &why["reason"]), (&json!("deny"), &json!("blocked")));
        assert_eq!(why["matches"][0]["layer"], "organization");
        let own = ana.get("/policies/explain?capability=demo.echo").await.ok(200);
        assert_eq!(own["decision"], "deny");
        let tools = ana.get(&format!("/connections/{id}/tools")).await.ok(200);
        assert!(tools["items"].as_array().unwrap().iter().all(|tool| tool["name"] != "echo"), "{tools}");

        owner.put("/policies", &json!([])).await.ok(200);
        ana.put("/me/policies", &block).await.ok(200);
        assert_eq!(run().await, json!(true), "a member tightens for themselves");
        let others = app.client(owner.token.as_deref().unwrap());
        assert_ne!(others.execute("demo.echo", json!({ "text": "x" })).await["isError"], json!(true));
        app.stop().await;
    }
}

on_both! {
    async fn rules_that_can_t_hold_are_not_stored(database) {
        let app = app(&database).await;
        let owner = Rest::owner(&app).await;
        let team = json!({ "teams": ["team_00000000000000000000000000"] });
        for (rules, place) in [
            (json!([{ "pattern": "demo.del*", "action": "block" }]), "[0].pattern"),
            (json!([{ "pattern": "*", "action": "deny" }]), "[0].action"),
            (json!([{ "pattern": "*", "action": "block", "extra": 1 }]), "[0].extra"),
            (json!([{ "pattern": "*", "action": "require_approval", "second_person": true }]), "0"),
            (json!([{ "pattern": "*", "action": "block", "condition": "true" }]), "0"),
            (json!([{ "pattern": "*", "action": "block", "condition": "args.amount >" }]), "0"),
            (json!([{ "pattern": "*", "action": "block", "condition": "args.text.matches('.*')" }]), "0"),
            (json!([{ "pattern": "*", "action": "allow", "condition": "tool.read_only_hint == true" }]), "0"),
            (json!([{ "pattern": "*", "action": "require_approval", "approvers": team }]), "0.approvers"),
        ] {
            let problem = owner.put("/policies", &rules).await.refused(422, "validation_failed");
            assert_eq!(problem["violations"][0]["path"], place, "{problem}");
        }
        owner.put("/policies", &json!({})).await.refused(422, "validation_failed");
        let one = json!([{ "pattern": "*", "action": "allow" }]);
        owner.put("/policies", &one).await.ok(200);
        let headers = [("content-type", "application/json"), ("if-match", "\"0\"")];
        let stale = owner.send(Method::PUT, "/policies", &headers, "[]").await;
        stale.refused(412, "stale");
        assert_eq!(owner.get("/policies").await.ok(200).as_array().map(Vec::len), Some(1));
        app.stop().await;
    }
}

on_both! {
    async fn a_condition_decides_by_the_arguments(database) {
        let app = app(&database).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Rest::owner(&app).await;
        let (ana, _) = Rest::member(&app, "ana", Role::Member).await;
        let client = app.client(ana.token.as_deref().unwrap());
        let code = async |text: &str| {
            let done = client.execute("demo.echo", json!({ "text": text })).await;
            done["structuredContent"]["code"].as_str().unwrap_or("it ran").to_owned()
        };
        let rules = json!([
            { "pattern": "demo.echo", "action": "block", "condition": "args.text.contains('secret')" },
            { "pattern": "demo.*", "action": "require_approval", "condition": "size(args.text) > 10" },
            { "pattern": "demo.*", "action": "allow" }
        ]);
        owner.put("/policies", &rules).await.ok(200);
        let shown = client.search(json!({ "query": "echo", "limit": 20 })).await;
        let echo = shown["matches"].as_array().unwrap().iter().find(|found| found["name"] == "demo.echo").unwrap();
        assert_eq!(echo["decision"], "allow", "what is shown is the mildest it may come to");
        assert_eq!(code("a secret").await, "policy_blocked");
        assert_eq!(code("a long text for it").await, "approval_required");
        assert_eq!(upstream.log().executions("echo"), 0);
        assert_eq!(code("short").await, "it ran");
        assert_eq!(upstream.log().executions("echo"), 1);

        let explained = async |arguments: &str| {
            let query = if arguments.is_empty() { String::new() } else { format!("&arguments={arguments}") };
            let path = format!("/policies/explain?capability=demo.echo{query}");
            ana.get(&path).await.ok(200)["decision"].clone()
        };
        assert_eq!(explained("").await, "depends");
        assert_eq!(explained("%7B%22text%22:%22a%20secret%22%7D").await, "deny");
        assert_eq!(explained("%7B%22text%22:%22short%22%7D").await, "allow");
        ana.get("/policies/explain?capability=demo.echo&arguments=%5B%5D").await.refused(422, "validation_failed");

        // What can't be told blocks, whatever the rule says.
        let rules = json!([{ "pattern": "demo.echo", "action": "allow", "condition": "args.missing > 1" }]);
        owner.put("/policies", &rules).await.ok(200);
        assert_eq!(code("short").await, "policy_blocked");
        // A member tightens for themselves with conditions too, and never loosens.
        let rules = json!([{ "pattern": "demo.echo", "action": "block", "condition": "size(args.text) > 5" }]);
        owner.put("/policies", &rules).await.ok(200);
        let own = json!([{ "pattern": "*", "action": "allow", "condition": "size(args.text) > 3" }]);
        ana.put("/me/policies", &own).await.ok(200);
        assert_eq!(code("longer").await, "policy_blocked");
        let own = json!([{ "pattern": "*", "action": "block", "condition": "args.text == 'tiny'" }]);
        ana.put("/me/policies", &own).await.ok(200);
        assert_eq!(code("tiny").await, "policy_blocked");
        assert_eq!(upstream.log().executions("echo"), 1);
        assert_eq!(code("fine").await, "it ran");
        assert_eq!(upstream.log().executions("echo"), 2);
        app.stop().await;
    }
}

on_both! {
    async fn a_toolkit_is_an_endpoint_of_its_own(database) {
        let app = app(&database).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Rest::owner(&app).await;
        let (ana, _) = Rest::member(&app, "ana", Role::Member).await;
        let body = json!({ "slug": "support", "name": "Support", "patterns": ["demo.echo"] });
        let created = owner.post("/toolkits", &body).await.ok(201);
        let path = format!("/toolkits/{}", created["id"].as_str().unwrap());
        assert_eq!(created["url"], json!(app.url("/mcp/toolkits/support")));
        let client = app.client_at("/mcp/toolkits/support", ana.token.as_deref());
        assert_ne!(client.execute("demo.echo", json!({ "text": "x" })).await["isError"], json!(true));
        assert_eq!(ana.get(&path).await.ok(200)["members"], Value::Null, "whom it is for is the admins'");
        let block = json!([{ "pattern": "*", "action": "block" }]);
        owner.put(&format!("{path}/policies"), &block).await.ok(200);
        ana.get(&format!("{path}/policies")).await.refused(404, "not_found");
        let refused = client.execute("demo.echo", json!({ "text": "x" })).await;
        assert_eq!(refused["structuredContent"]["code"], "policy_blocked");
        let edit = json!({ "members": [app.owner.to_string()], "surface": "direct" });
        assert_eq!(owner.patch(&path, &edit).await.ok(200)["surface"], "direct");
        ana.get(&path).await.refused(404, "not_found");
        ana.patch(&path, &json!({ "patterns": ["*"] })).await.refused(404, "not_found");
        for (wrong, place) in [
            (json!({ "slug": "support2", "patterns": [] }), "patterns"),
            (json!({ "slug": "support2", "patterns": ["a.b*"] }), "patterns.0"),
            (
                json!({ "slug": "support2", "patterns": ["*"], "teams": ["team_00000000000000000000000000"] }),
                "teams.0",
            ),
        ] {
            let problem = owner.post("/toolkits", &wrong).await.refused(422, "validation_failed");
            assert_eq!(problem["violations"][0]["path"], place, "{problem}");
        }
        owner.post("/toolkits", &body).await.refused(409, "slug_taken");
        owner.delete(&path).await.ok(204);
        owner.get(&path).await.refused(404, "not_found");
        app.stop().await;
    }
}
