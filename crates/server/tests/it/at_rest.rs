//! After all that can happen to a provider's tokens, the database holds none of them in any spelling.

use std::{path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde_json::json;
use switchboard_testkit::{database::TestDatabase, database::run, upstream::ProviderAnswer};

use crate::{support::owner, upstream_tokens::World};

/// What every token of the provider ends with.
const CANARY: &str = "canary/of+tests";

/// As it is, in hex, percent-encoded, and in base64 wherever in a longer text it stands.
fn spellings() -> Vec<Vec<u8>> {
    let hex = hex::encode(CANARY);
    let mut spellings = vec![
        CANARY.to_owned(),
        hex.to_uppercase(),
        hex,
        "canary%2Fof%2Btests".to_owned(),
        "canary%2fof%2btests".to_owned(),
    ];
    for before in 0..3 {
        let text = STANDARD_NO_PAD.encode([&vec![b'-'; before], CANARY.as_bytes()].concat());
        // The first and last characters also depend on what stands beside it.
        let inner = text[4..text.len() - 3].to_owned();
        spellings.push(inner.replace('+', "-").replace('/', "_"));
        spellings.push(inner);
    }
    spellings.into_iter().map(String::into_bytes).collect()
}

fn assert_no_canary(directory: &Path) {
    let mut files = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        files += 1;
        for spelling in spellings() {
            let found = memchr::memmem::find(&bytes, &spelling).is_some();
            assert!(!found, "{} holds {}", path.display(), String::from_utf8_lossy(&spelling));
        }
    }
    assert!(files > 0);
}

#[test]
fn the_search_finds_every_spelling() {
    for (index, spelling) in spellings().iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("dump"), [b"xx", &spelling[..]].concat()).unwrap();
        let found = std::panic::catch_unwind(|| assert_no_canary(directory.path())).is_err();
        assert!(found, "spelling {index}");
    }
    let whole = STANDARD_NO_PAD.encode(format!("Bearer refresh-000001-{CANARY} and more"));
    let found = spellings().iter().any(|spelling| memchr::memmem::find(whole.as_bytes(), spelling).is_some());
    assert!(found, "in the middle of a header");
}

#[test]
fn no_table_holds_a_token_in_any_spelling() {
    run(async {
        let database = TestDatabase::sqlite().await;
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
        assert_no_canary(database.file().parent().unwrap());
    });
}
