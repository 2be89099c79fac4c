//! After all that can happen to a provider's tokens, the database holds none of them in any spelling: looked for when the
//! database is dropped, as after every test.

use std::time::Duration;

use serde_json::json;
use switchboard_testkit::{on_both, upstream::ProviderAnswer};

use crate::{support::owner, upstream_tokens::World};

on_both! {
    async fn no_table_holds_a_token_in_any_spelling(database) {
        let world = World::start(&database.db, 1).await;
        let client = owner(&world.apps[0]).await;
        let echo = async |text: &str| client.execute("linear.echo", json!({ "text": text })).await;
        echo("first").await;
        // Renewed, refused by a provider that repeats what it was sent, refused for good, taken away.
        world.clock.advance(Duration::from_secs(3700));
        echo("renewed").await;
        world.clock.advance(Duration::from_secs(3700));
        let repeated =
            r#"{"error": "refresh-000004-canary/of+tests", "error_description": "canary/of+tests"}"#;
        world.provider.answer([ProviderAnswer::Body(400, repeated)]);
        echo("refused").await;
        world.sign_in().await;
        world.provider.revoke_all();
        world.clock.advance(Duration::from_secs(3700));
        echo("for good").await;
        world.sign_in().await;
        let app = &world.apps[0];
        let mut tx = app.db.write().await.unwrap();
        let now = app.broker.clock().now();
        tx.revocations().queue_of_connection(app.organization, world.id, now).await.unwrap();
        tx.credentials().delete_all(app.organization, world.id).await.unwrap();
        tx.commit().await.unwrap();
        world.stop().await;
    }
}
