//! Hints of changes.

use std::time::Duration;

use switchboard_storage::{Change, Db, Migrations};
use switchboard_testkit::on_both;

on_both! {
    async fn a_commit_is_heard_and_a_rollback_is_not(database) {
        let (org, other) = (database.organization("acme").await.id, database.organization("other").await.id);
        let mut changes = database.db.changes().await.unwrap();
        let mut tx = database.db.write().await.unwrap();
        tx.organizations().touch(other).await.unwrap();
        tx.rollback().await.unwrap();
        let mut tx = database.db.write().await.unwrap();
        tx.organizations().touch(org).await.unwrap();
        tx.commit().await.unwrap();
        let heard = tokio::time::timeout(Duration::from_secs(20), changes.next()).await.unwrap();
        assert_eq!(heard, Some(Change::Organization(org)));
    }

    async fn another_replica_sees_the_version(database) {
        let org = database.organization("acme").await.id;
        let replica = Db::open(&database.options, Migrations::Require).await.unwrap();
        let mut tx = replica.write().await.unwrap();
        tx.organizations().touch(org).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = database.db.single().await.unwrap();
        assert_eq!(tx.organizations().versions().await.unwrap(), [(org, 2)]);
        replica.close().await;
    }
}
