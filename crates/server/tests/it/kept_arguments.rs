//! Arguments in the audit log: their digest alone, until an organization wants them there; never what looks secret.

use http::Method;
use serde_json::{Value, json};
use switchboard_domain::Scope;
use switchboard_testkit::{app::App, on_both, upstream::ReferenceUpstream};

use crate::support::json_headers;

async fn rest(app: &App, method: Method, path: &str, body: Value) -> Value {
    let token = app.token(app.owner, &[Scope::Api]).await;
    let client = app.client_at(&format!("/api/v1{path}"), Some(&token));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client.send(method, json_headers(), body).await.json()
}

/// The newest end of a call.
async fn ended(app: &App) -> Value {
    for _ in 0..200 {
        let page = rest(app, Method::GET, "/audit?action=capability.execute&limit=1", Value::Null).await;
        if page["items"][0]["phase"] == "completed" {
            return page["items"][0].clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("no call ended");
}

on_both! {
    async fn they_are_kept_where_an_admin_said_so_without_what_is_secret(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let key = json!({ "header": "X-Key", "value": "canary-of-the-key" });
        let new = json!({ "slug": "demo", "url": upstream.url(), "auth_type": "api_key", "credential_mode": "shared", "api_key": key });
        let made = rest(&app, Method::POST, "/connections", new).await;
        let id = made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        rest(&app, Method::PUT, &format!("/connections/{id}/grants"), json!({ "everyone": true })).await;
        app.broker.check(app.organization, id.parse().unwrap(), None).await.unwrap();
        let client = app.client(&app.token(app.owner, &[Scope::McpRead, Scope::McpWrite]).await);
        let arguments = json!({ "text": "a word and canary-of-the-key" });
        let done = client.execute("demo.echo", arguments.clone()).await;
        assert_ne!(done["isError"], true, "{done}");
        let entry = ended(&app).await;
        assert!(entry["arguments"].is_null() && entry["arguments_digest"].is_string(), "off at first: {entry}");

        let settings = json!({ "settings": { "audit_arguments": true } });
        let organization = rest(&app, Method::PATCH, "/organization", settings).await;
        assert_eq!(organization["settings"]["audit_arguments"], true, "{organization}");
        client.execute("demo.echo", arguments).await;
        let kept = ended(&app).await["arguments"].clone();
        let text = kept["text"].as_str().unwrap();
        assert!(text.starts_with("a word and ") && !text.contains("canary"), "{kept}");
        client.execute("demo.echo", json!({ "text": "x", "password": "hunter2" })).await;
        let kept = ended(&app).await["arguments"].clone();
        assert!(kept["password"] != "hunter2" && !kept.to_string().contains("hunter2"), "{kept}");
        let log = rest(&app, Method::GET, "/audit?action=organization.update", Value::Null).await;
        assert_eq!(log["items"][0]["details"]["after"]["settings"]["audit_arguments"], true, "that it was switched on is on record");
        app.stop().await;
    }
}
