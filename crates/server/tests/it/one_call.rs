//! One call from client to upstream and back, asserted at the upstream's own log.

use serde_json::json;
use switchboard_domain::{Grants, Role};
use switchboard_testkit::{app::App, upstream::ReferenceUpstream};

use crate::support::{READ_WRITE, sqlite};

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_member_finds_and_runs_a_tool_and_nobody_else_does() {
    let (db, _directory) = sqlite().await;
    let app = App::start(db).await;
    let upstream = ReferenceUpstream::start().await;
    let id = app.add("demo", &upstream.url()).await;
    let diagnosis = app.broker.check(app.organization, id, None).await.unwrap();
    assert!(diagnosis.failed.is_none(), "{diagnosis:?}");
    let (alice, bob) = (
        app.member("alice@example.test", Role::Member).await,
        app.member("bob@example.test", Role::Member).await,
    );
    app.grant(id, Grants { members: vec![alice], ..Grants::default() }).await;
    let alice = app.client(&app.token(alice, &READ_WRITE).await);
    let bob = app.client(&app.token(bob, &READ_WRITE).await);

    let found = alice.search(json!({ "query": "echo a message" })).await;
    assert_eq!(found["matches"][0]["name"], "demo.echo", "{found}");
    let done = alice.execute("demo.echo", json!({ "text": "hello" })).await;
    assert_eq!(done["resultType"], "complete", "{done}");
    assert!(done.to_string().contains("hello"), "{done}");
    assert_eq!(upstream.log().executions("echo"), 1);

    let nothing = bob.search(json!({ "query": "echo" })).await;
    assert_eq!(nothing["total"], 0, "{nothing}");
    let refused = bob.execute("demo.echo", json!({ "text": "hello" })).await;
    assert_eq!(refused["structuredContent"]["code"], "unknown_capability", "{refused}");
    assert_eq!(upstream.log().executions("echo"), 1, "not called");
    app.stop().await;
}
