//! How many calls are taken a minute; what is over a limit does not reach the upstream, and is on record.

use std::num::NonZeroU32;

use serde_json::json;
use switchboard_broker::{CallSettings, Settings};
use switchboard_domain::{Role, Scope};
use switchboard_testkit::{
    app::{App, AppOptions, McpClient},
    database::TestDatabase,
    on_both,
    upstream::ReferenceUpstream,
};

use crate::support::{READ_WRITE, events};

async fn limited(database: &TestDatabase, calls: CallSettings) -> (App, ReferenceUpstream) {
    let settings = Settings { calls, ..Settings::default() };
    let app = App::start_with(database.db.clone(), AppOptions { settings, ..AppOptions::default() }).await;
    let upstream = ReferenceUpstream::start().await;
    app.connect("demo", &upstream.url()).await;
    (app, upstream)
}

/// The limit's name when it was refused for that.
async fn call(client: &McpClient, name: &str) -> String {
    let done = client.execute(name, json!({ "text": "x" })).await;
    let told = &done["structuredContent"];
    if told["code"] != "rate_limited" {
        return told["code"].as_str().unwrap_or("it ran").to_owned();
    }
    let limit = told["details"]["limit"].as_str().unwrap();
    assert!(told["message"].as_str().unwrap().contains(limit), "its name is in the message: {told}");
    assert!(told["details"]["retry_after"].as_u64().unwrap() >= 1, "{told}");
    assert_eq!(told["retryable"], true);
    limit.to_owned()
}

fn three() -> Option<NonZeroU32> {
    NonZeroU32::new(3)
}

on_both! {
    async fn one_token_is_limited_and_another_is_not(database) {
        let calls = CallSettings { per_minute_per_token: three(), ..CallSettings::default() };
        let (app, upstream) = limited(&database, calls).await;
        let mia = app.member("mia@example.test", Role::Member).await;
        let first = app.client(&app.token(mia, &READ_WRITE).await);
        for _ in 0..3 {
            assert_eq!(call(&first, "demo.echo").await, "it ran");
        }
        assert_eq!(call(&first, "demo.echo").await, "calls.per_minute_per_token");
        assert_eq!(upstream.log().executions("echo"), 3, "not called means not called");
        let second = app.client(&app.token(mia, &READ_WRITE).await);
        assert_eq!(call(&second, "demo.echo").await, "it ran");
        app.stop().await;
        let app = App::start(database.db.clone()).await;
        let refused = events(&app, "capability.execute").await.into_iter().filter(|it| it == "refused").count();
        assert_eq!(refused, 1, "on record");
        app.stop().await;
    }

    async fn a_member_is_limited_whatever_the_token(database) {
        let calls = CallSettings { per_minute_per_member: three(), ..CallSettings::default() };
        let (app, upstream) = limited(&database, calls).await;
        let mia = app.member("mia@example.test", Role::Member).await;
        for _ in 0..3 {
            let client = app.client(&app.token(mia, &READ_WRITE).await);
            assert_eq!(call(&client, "demo.unknown").await, "unknown_capability", "what is refused counts too");
        }
        let again = app.client(&app.token(mia, &READ_WRITE).await);
        assert_eq!(call(&again, "demo.echo").await, "calls.per_minute_per_member");
        let path = format!("/api/v1/connections/{}/tools/echo/call", app.broker.snapshot(app.organization).unwrap().connections.keys().next().unwrap());
        let api = app.client_at(&path, Some(&app.token(mia, &[Scope::Api]).await));
        let by_hand = api.send(http::Method::POST, crate::support::json_headers(), json!({ "arguments": { "text": "x" } }).to_string()).await;
        assert_eq!(by_hand.status.as_u16(), 429, "{}", by_hand.json());
        assert!(by_hand.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().unwrap() >= 1));
        assert_eq!(upstream.log().executions("echo"), 0);
        let kai = app.member("kai@example.test", Role::Member).await;
        assert_eq!(call(&app.client(&app.token(kai, &READ_WRITE).await), "demo.echo").await, "it ran");
        app.stop().await;
    }

    async fn an_organization_and_a_connection_are_limited_whoever_calls(database) {
        let calls = CallSettings { per_minute_per_organization: NonZeroU32::new(8), per_minute_per_connection: three(), ..CallSettings::default() };
        let (app, upstream) = limited(&database, calls).await;
        let other = ReferenceUpstream::start().await;
        app.connect("other", &other.url()).await;
        let mut outcomes = Vec::new();
        for (index, slug) in ["demo", "demo", "demo", "demo", "other", "other", "other", "other", "demo"].into_iter().enumerate() {
            let member = app.member(&format!("m{index}@example.test"), Role::Member).await;
            let client = app.client(&app.token(member, &READ_WRITE).await);
            outcomes.push(call(&client, &format!("{slug}.echo")).await);
        }
        let (ran, connection, organization) = ("it ran", "calls.per_minute_per_connection", "calls.per_minute_per_organization");
        assert_eq!(outcomes, [ran, ran, ran, connection, ran, ran, ran, connection, organization]);
        assert_eq!((upstream.log().executions("echo"), other.log().executions("echo")), (3, 3));
        let (_, _, token) = app.stranger(&READ_WRITE).await;
        assert_eq!(call(&app.client(&token), "demo.echo").await, "unknown_capability", "another organization's own limit");
        app.stop().await;
    }
}
