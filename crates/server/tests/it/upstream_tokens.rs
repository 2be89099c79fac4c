//! The life of tokens that a provider issued to us: stored sealed, sent as bearer, renewed once for all who wait,
//! given up when their provider says so.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use switchboard_broker::{UpstreamClient, UpstreamTokens};
use switchboard_domain::{
    AuthType, Clock as _, ConnectionId, CredentialOwner, FixedClock, SecretValue, SystemClock, Timestamp,
};
use switchboard_oauth::upstream::Authentication;
use switchboard_storage::{AuditFilter, Db};
use switchboard_testkit::{
    app::{App, AppOptions, McpClient},
    database::NOW,
    on_both,
    upstream::{ProviderAnswer, ReferenceUpstream, TokenProvider},
};

use crate::support::owner;

/// Longer than the tokens of the provider live.
const AN_AGE: Duration = Duration::from_secs(3700);

/// A provider, a server behind it, and replicas of ours that share a database and a clock.
pub(crate) struct World {
    pub(crate) provider: TokenProvider,
    pub(crate) upstream: ReferenceUpstream,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) apps: Vec<App>,
    pub(crate) id: ConnectionId,
}

impl World {
    /// Connected, with tokens that live for an hour.
    pub(crate) async fn start(db: &Db, replicas: usize) -> Self {
        Self::at(db, replicas, Timestamp::from_micros(NOW)).await
    }

    /// Beside processes that run on the machine's clock. What they hold in a lease is over by this one's.
    pub(crate) async fn on_the_machines_clock(db: &Db) -> Self {
        Self::at(db, 1, SystemClock.now().plus(Duration::from_secs(60))).await
    }

    async fn at(db: &Db, replicas: usize, now: Timestamp) -> Self {
        let provider = TokenProvider::start().await;
        let upstream = ReferenceUpstream::builder().accept_tokens_of(&provider).start().await;
        let clock = Arc::new(FixedClock::at_micros(now.as_micros()));
        let mut apps = Vec::new();
        for _ in 0..replicas {
            let clock = Arc::clone(&clock);
            let options = AppOptions { clock: Some(clock), ..AppOptions::default() };
            apps.push(App::start_with(db.clone(), options).await);
        }
        let app = &apps[0];
        let change = |connection: &mut switchboard_domain::Connection| connection.auth_type = AuthType::OAuth;
        let id = app.add_with("linear", &upstream.url(), change).await;
        app.grant_everyone(id).await;
        let world = Self { provider, upstream, clock, apps, id };
        world.sign_in().await;
        world
    }

    pub(crate) async fn sign_in(&self) {
        self.sign_in_as(CredentialOwner::Shared).await;
    }

    pub(crate) async fn sign_in_as(&self, owner: CredentialOwner) {
        let app = &self.apps[0];
        let (access_token, refresh_token) = self.provider.sign_in();
        let tokens = UpstreamTokens {
            access_token: SecretValue::new(access_token),
            token_type: "bearer".into(),
            refresh_token: Some(SecretValue::new(refresh_token)),
            scopes: vec!["tools".into()],
            issuer: self.provider.origin(),
            token_endpoint: format!("{}/token", self.provider.origin()),
            revocation_endpoint: Some(format!("{}/revoke", self.provider.origin())),
            client: UpstreamClient {
                id: "us".into(),
                secret: None,
                method: Authentication::None,
                terms: None,
            },
            resource: Some(self.upstream.url()),
            expires_at: Some(self.clock.now().plus(Duration::from_secs(3600))),
        };
        let mut tx = app.db.single().await.unwrap();
        let connection = tx.connections().find(app.organization, self.id).await.unwrap().unwrap();
        drop(tx);
        app.broker.store_tokens(&connection, owner, tokens).await.unwrap();
        app.broker.check(app.organization, self.id, None).await.unwrap();
        for app in &self.apps {
            app.broker.refresh_snapshots().await.unwrap();
        }
    }

    async fn clients(&self) -> Vec<McpClient> {
        let mut clients = Vec::new();
        for app in &self.apps {
            clients.push(owner(app).await);
        }
        clients
    }

    async fn generation(&self) -> i64 {
        let app = &self.apps[0];
        let mut tx = app.db.single().await.unwrap();
        let found = tx.credentials().find(app.organization, self.id, CredentialOwner::Shared).await.unwrap();
        found.unwrap().info.generation
    }

    pub(crate) async fn stop(self) {
        for app in self.apps {
            app.stop().await;
        }
    }
}

pub(crate) async fn echo(client: &McpClient) -> Value {
    client.execute("linear.echo", json!({ "text": "hello" })).await
}

fn assert_ok(done: &Value) {
    assert_eq!(done["isError"], json!(false), "{done}");
}

pub(crate) fn code(refused: &Value) -> &str {
    refused["structuredContent"]["code"].as_str().unwrap_or("none")
}

on_both! {
    async fn a_token_is_sent_as_bearer_until_another_is_stored(database) {
        let world = World::start(&database.db, 1).await;
        let client = owner(&world.apps[0]).await;
        assert_ok(&echo(&client).await);
        let first = world.upstream.log().all().pop().unwrap();
        world.sign_in().await;
        assert_ok(&echo(&client).await);
        let second = world.upstream.log().all().pop().unwrap();
        assert!(first.header("authorization").unwrap().starts_with("Bearer access-"));
        assert_ne!(first.header("authorization"), second.header("authorization"));
        assert!(world.provider.log().is_empty(), "nobody asked the provider");
        world.stop().await;
    }

    async fn a_token_is_renewed_before_it_ends_and_nobody_waits_for_that(database) {
        let world = World::start(&database.db, 1).await;
        let client = owner(&world.apps[0]).await;
        world.provider.answer([ProviderAnswer::Slow(Duration::from_secs(1))]);
        world.clock.advance(Duration::from_secs(3600 - 60));
        assert_ok(&echo(&client).await);
        assert_eq!(world.provider.refreshes(), 0, "the old one still served");
        while world.generation().await < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        world.clock.advance(Duration::from_secs(600));
        assert_ok(&echo(&client).await);
        assert_eq!((world.provider.refreshes(), world.provider.replays()), (1, 0));
        world.stop().await;
    }

    async fn whoever_waits_for_a_token_waits_for_the_same_one(database) {
        rounds(&database.db, 3).await;
    }

    #[ignore = "takes minutes: run by ./test --long"]
    async fn of_a_thousand_rounds_none_loses_the_connection(database) {
        rounds(&database.db, 1000).await;
    }

    async fn a_token_that_is_refused_early_is_replaced_once(database) {
        let world = World::start(&database.db, 2).await;
        let clients = world.clients().await;
        world.provider.end_access();
        let calls = (0..20).map(|turn| echo(&clients[turn % 2]));
        futures_util::future::join_all(calls).await.iter().for_each(assert_ok);
        assert_eq!((world.provider.refreshes(), world.provider.replays()), (1, 0));
        assert_eq!(world.generation().await, 2);
        world.stop().await;
    }

    async fn a_check_replaces_a_token_that_is_refused_early_too(database) {
        let world = World::start(&database.db, 1).await;
        let app = &world.apps[0];
        world.provider.end_access();
        let checked = app.broker.check(app.organization, world.id, None).await.unwrap();
        assert_eq!((checked.failed, world.provider.refreshes()), (None, 1), "{}", checked.message);
        assert_ok(&echo(&owner(app).await).await);
        world.provider.revoke_all();
        let checked = app.broker.check(app.organization, world.id, None).await.unwrap();
        assert_eq!(checked.failed, Some(switchboard_domain::Stage::Auth), "{}", checked.message);
        assert_eq!(code(&echo(&owner(app).await).await), "reauth_required");
        world.stop().await;
    }

    async fn a_refresh_token_that_the_answer_leaves_out_is_kept(database) {
        let world = World::start(&database.db, 1).await;
        let client = owner(&world.apps[0]).await;
        world.provider.answer([ProviderAnswer::KeepRefreshToken]);
        for _ in 0..2 {
            world.clock.advance(AN_AGE);
            assert_ok(&echo(&client).await);
        }
        assert_eq!((world.provider.refreshes(), world.generation().await), (2, 3));
        world.stop().await;
    }

    async fn a_provider_that_says_never_again_is_not_asked_again(database) {
        let world = World::start(&database.db, 1).await;
        let (app, client) = (&world.apps[0], owner(&world.apps[0]).await);
        world.provider.revoke_all();
        world.clock.advance(AN_AGE);
        for _ in 0..3 {
            let refused = echo(&client).await;
            assert_eq!(code(&refused), "reauth_required", "{refused}");
            let action = &refused["structuredContent"]["action"];
            assert!(action["url"].as_str().unwrap().contains(&world.id.to_string()), "{action}");
        }
        assert_eq!(world.provider.log().all().len(), 1);
        let found = client.search(json!({ "query": "echo", "connection": "linear" })).await;
        assert_eq!(found["matches"][0]["status"], "reauth_required", "{found}");
        let mut tx = app.db.single().await.unwrap();
        let entries = tx.audit().page(app.organization, &AuditFilter::default(), 50).await.unwrap();
        let noted = entries.iter().filter(|entry| entry.action == "credential.health").count();
        assert_eq!(noted, 1);
        drop(tx);
        // Connecting again makes it work again.
        world.sign_in().await;
        assert_ok(&echo(&client).await);
        world.stop().await;
    }

    async fn a_provider_out_of_order_costs_no_connection(database) {
        let world = World::start(&database.db, 1).await;
        let client = owner(&world.apps[0]).await;
        let answers = [
            ProviderAnswer::Body(200, "<html>Sign in</html>"),
            ProviderAnswer::Body(200, r#"{"error": "slow_down"}"#),
            ProviderAnswer::Body(200, r#"{"access_token": 1, "token_type": "Bearer"}"#),
            ProviderAnswer::Body(503, "down"),
            ProviderAnswer::HangUp,
        ];
        for answer in answers {
            world.clock.advance(AN_AGE);
            let before = world.provider.refreshes();
            world.provider.answer([answer.clone()]);
            let refused = echo(&client).await;
            assert_eq!(code(&refused), "upstream_unreachable", "{answer:?}: {refused}");
            assert_eq!(refused["structuredContent"]["retryable"], true);
            // It is left alone for a moment, then asked again.
            while echo(&client).await["isError"] != json!(false) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            assert_eq!(world.provider.refreshes(), before + 1);
        }
        assert_eq!(world.provider.replays(), 0);
        world.stop().await;
    }

    async fn callers_who_go_away_take_no_token_with_them(database) {
        let world = World::start(&database.db, 1).await;
        let client = owner(&world.apps[0]).await;
        for round in 1..=5 {
            world.clock.advance(AN_AGE);
            world.provider.answer([ProviderAnswer::Slow(Duration::from_millis(30))]);
            let asked = world.provider.log().all().len();
            let call = tokio::spawn({
                let client = client.clone();
                async move { echo(&client).await }
            });
            while world.provider.log().all().len() == asked {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            call.abort();
            let _ = call.await;
            assert_ok(&echo(&client).await);
            assert_eq!((world.provider.refreshes(), world.provider.replays()), (round, 0));
        }
        world.stop().await;
    }
}

/// Each round: tokens have ended, and fifty calls at four replicas want one.
async fn rounds(db: &Db, count: usize) {
    let world = World::start(db, 4).await;
    let clients = world.clients().await;
    for round in 1..=count {
        // By the clock and by the upstream's word, in turn.
        if round % 2 == 0 {
            world.provider.end_access();
        } else {
            world.clock.advance(AN_AGE);
        }
        let calls = (0..50).map(|turn| echo(&clients[turn % clients.len()]));
        futures_util::future::join_all(calls).await.iter().for_each(assert_ok);
        assert_eq!((world.provider.refreshes(), world.provider.replays()), (round, 0));
    }
    world.stop().await;
}
