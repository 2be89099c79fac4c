//! Who asks the API too often waits, and nobody else does.

use std::num::NonZeroU32;

use http::Method;
use switchboard_broker::{RequestSettings, Settings};
use switchboard_domain::Role;
use switchboard_testkit::{
    app::{App, AppOptions, McpReply},
    on_both,
};

use super::rest::Rest;

async fn limited(db: switchboard_storage::Db, per_minute: u32, per_minute_unauthenticated: u32) -> App {
    let count = |count| NonZeroU32::new(count).unwrap();
    let requests = RequestSettings {
        per_minute: count(per_minute),
        per_minute_unauthenticated: count(per_minute_unauthenticated),
    };
    let settings = Settings { requests, ..Settings::default() };
    App::start_with(db, AppOptions { settings, ..AppOptions::default() }).await
}

#[track_caller]
fn assert_waits(reply: &McpReply, limit: &str) {
    assert_eq!(reply.status.as_u16(), 429, "{}", reply.text());
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    let problem = reply.json();
    assert_eq!(problem["code"], "rate_limited");
    assert!(problem["detail"].as_str().unwrap().contains(&format!("`{limit}`")), "{problem}");
}

on_both! {
    async fn each_token_and_each_session_is_counted_by_itself(database) {
        let app = limited(database.db.clone(), 3, 1_000).await;
        let (busy, _) = Rest::member(&app, "busy", Role::Admin).await;
        for _ in 0..3 {
            assert_eq!(busy.ask(Method::GET, "/connections", None).await.status.as_u16(), 200);
        }
        assert_waits(&busy.ask(Method::GET, "/connections", None).await, "api.requests_per_minute");
        let refused = serde_json::json!({ "slug": "late", "url": "https://late.example", "auth_type": "none" });
        assert_waits(&busy.ask(Method::POST, "/connections", Some(&refused)).await, "api.requests_per_minute");
        let other = Rest::owner(&app).await;
        let listed = other.ask(Method::GET, "/connections", None).await;
        assert_eq!(listed.json()["items"], serde_json::json!([]), "what was refused did not happen");
        app.member_with_password("sam@example.test", Role::Admin).await;
        let browser = app.signed_in("sam@example.test").await;
        for _ in 0..3 {
            assert_eq!(browser.get("/api/v1/connections").await.status.as_u16(), 200);
        }
        assert_waits(&browser.get("/api/v1/connections").await, "api.requests_per_minute");
        app.stop().await;
    }

    async fn who_proves_nothing_is_counted_by_source(database) {
        let app = limited(database.db.clone(), 1_000, 3).await;
        let limit = "api.requests_per_minute_unauthenticated";
        let nobody = Rest::with_token(&app, None);
        assert_eq!(nobody.ask(Method::GET, "/openapi.json", None).await.status.as_u16(), 200);
        let wrong = Rest::with_token(&app, Some("swb_pat_not-one"));
        assert_eq!(wrong.ask(Method::GET, "/connections", None).await.status.as_u16(), 401);
        assert_eq!(nobody.ask(Method::GET, "/connections", None).await.status.as_u16(), 401);
        assert_waits(&nobody.ask(Method::GET, "/connections", None).await, limit);
        assert_waits(&wrong.ask(Method::GET, "/connections", None).await, limit);
        assert_waits(&nobody.ask(Method::GET, "/openapi.json", None).await, limit);
        let owner = Rest::owner(&app).await;
        let listed = owner.ask(Method::GET, "/connections", None).await;
        assert_eq!(listed.status.as_u16(), 200, "a good token from the same address goes on");
        app.stop().await;
    }
}
