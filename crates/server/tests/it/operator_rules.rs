//! A connection's state follows the operator's rules, which change from one start to the next.

use std::collections::BTreeMap;

use serde_json::json;
use switchboard_broker::StdioCommand;
use switchboard_domain::{ConnectionStatus, Transport};
use switchboard_testkit::{
    app::{App, AppOptions},
    on_both,
    upstream::ReferenceUpstream,
};

use crate::support::owner;

fn closed() -> AppOptions {
    AppOptions { allow_private_networks: false, ..AppOptions::default() }
}

on_both! {
    async fn a_start_with_other_network_rules_says_at_once_what_is_blocked_and_what_is_open_again(database) {
        let upstream = ReferenceUpstream::start().await;
        let app = App::start(database.db.clone()).await;
        let id = app.connect("demo", &upstream.url()).await;
        let other = app.connect("other", &upstream.url()).await;
        app.stop().await;

        let app = App::start_with(database.db.clone(), closed()).await;
        let found = owner(&app).await.search(json!({ "query": "echo" })).await;
        let status = &found["matches"][0];
        assert_eq!(status["kind"], "connection_status", "{found}");
        assert_eq!(status["status"], "blocked", "{found}");
        assert_eq!(status["actor"], "operator", "{found}");
        let message = status["message"].as_str().unwrap();
        assert!(message.contains("--allow-private-networks"), "{message}");
        let done = owner(&app).await.execute("demo.echo", json!({ "text": "x" })).await;
        let told = done["structuredContent"]["message"].as_str().unwrap();
        assert!(told.contains("--allow-private-networks"), "{done}");
        app.stop().await;

        let app = App::start(database.db.clone()).await;
        app.wait_for_status(id, ConnectionStatus::Connected).await;
        app.wait_for_status(other, ConnectionStatus::Connected).await;
        app.broker.refresh_snapshots().await.unwrap();
        let found = owner(&app).await.search(json!({ "query": "echo" })).await;
        assert_eq!(found["matches"][0]["name"], "demo.echo", "{found}");
        app.stop().await;
    }

    async fn a_child_process_that_may_no_longer_be_started_is_blocked_and_says_by_which_flag(database) {
        let command = StdioCommand {
            slug: "pipe".parse().unwrap(),
            command: "true".into(),
            args: Vec::new(),
            env: BTreeMap::new(),
        };
        let app = App::start(database.db.clone()).await;
        let id = app.add_with("pipe", "", |connection| {
            connection.transport = Transport::Stdio;
            connection.status.status = ConnectionStatus::Connected;
        }).await;
        app.grant_everyone(id).await;
        app.stop().await;
        // Started without --allow-stdio; then with it, but without this entry; then with both.
        let other = StdioCommand { slug: "another".parse().unwrap(), ..command.clone() };
        for (stdio, said) in [(Vec::new(), "--allow-stdio"), (vec![other], "[[stdio]]")] {
            let app = App::start_with(database.db.clone(), AppOptions { stdio, ..AppOptions::default() }).await;
            app.wait_for_status(id, ConnectionStatus::Blocked).await;
            let diagnosis = app.broker.check(app.organization, id, None).await.unwrap();
            assert!(diagnosis.message.contains(said), "{diagnosis:?}");
            app.stop().await;
        }
        let options = AppOptions { stdio: vec![command], ..AppOptions::default() };
        let app = App::start_with(database.db.clone(), options).await;
        // `true` speaks no MCP; but it was started.
        app.wait_for_status(id, ConnectionStatus::Unreachable).await;
        app.stop().await;
    }

    async fn a_call_that_did_not_get_there_leads_to_a_look_at_the_connection(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let id = app.connect("demo", &upstream.url()).await;
        drop(upstream);
        let client = owner(&app).await;
        // The first one may still meet the last connection just being closed; that one is not a look's business.
        for _ in 0..3 {
            let done = client.execute("demo.echo", json!({ "text": "x" })).await;
            assert_eq!(done["isError"], true, "{done}");
        }
        app.wait_for_status(id, ConnectionStatus::Unreachable).await;
        app.broker.check(app.organization, id, None).await.unwrap();
        let mut tx = app.db.read().await.unwrap();
        let found = tx.connections().find(app.organization, id).await.unwrap().unwrap();
        let actor = found.status.diagnosis.unwrap().actor.unwrap();
        assert_eq!(actor, switchboard_domain::Actor::OrganizationAdmin, "nobody listens: it is not the provider's");
        drop(tx);
        app.stop().await;
    }
}
