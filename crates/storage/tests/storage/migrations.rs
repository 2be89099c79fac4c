//! Migrating: once, by one process at a time, all or nothing, and never backwards.

use switchboard_domain::Timestamp;
use switchboard_storage::{Db, MIGRATIONS, Migration, Migrations, Options, SchemaError, StorageError};
use switchboard_testkit::{
    database::{empty_postgres, run, sqlite_only},
    on_both,
};

use crate::{at, durability::child};

const APPLY: Migrations<'static> = Migrations::Apply { release: "1.0.0", now: Timestamp::from_micros(0) };

/// Runs `body` on an empty database of each kind.
fn on_both_empty(body: impl AsyncFn(Options)) {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        body(Options::sqlite(directory.path().join("switchboard.db"))).await;
        if !sqlite_only() {
            let (options, _home) = empty_postgres().await;
            body(options).await;
        }
    });
}

#[test]
fn an_empty_database_is_brought_up_to_date_once() {
    on_both_empty(async |options| {
        let refused = Db::open(&options, Migrations::Require).await.unwrap_err();
        assert!(matches!(refused, StorageError::Schema(SchemaError::Pending { found: 0, .. })), "{refused}");
        assert!(refused.to_string().contains("switchboard migrate"), "{refused}");
        let db = Db::open(&options, Migrations::Ignore).await.unwrap();
        let before = db.schema_status().await.unwrap();
        assert_eq!((before.applied, before.pending.len()), (0, MIGRATIONS.len()));
        let after = db.migrate("1.0.0", at(0)).await.unwrap();
        assert_eq!((after.applied, after.pending.len()), (after.known, 0));
        assert_eq!(db.migrate("1.0.1", at(1)).await.unwrap(), after);
        db.close().await;
        Db::open(&options, Migrations::Require).await.unwrap().close().await;
    });
}

#[test]
fn a_newer_schema_is_refused_with_the_release_to_install() {
    on_both_empty(async |options| {
        let newer =
            [MIGRATIONS, &[Migration::for_test(9_000, "9000_later", "CREATE TABLE later (id BIGINT)")]]
                .concat();
        let db = Db::open(&options, Migrations::Ignore).await.unwrap();
        db.migrate_with(&newer, "7.8.9", at(0)).await.unwrap();
        db.close().await;
        for migrations in [APPLY, Migrations::Require] {
            let refused = Db::open(&options, migrations).await.unwrap_err();
            let StorageError::Schema(SchemaError::Newer { found, known, release }) = &refused else {
                panic!("{refused}")
            };
            let newest = MIGRATIONS.last().unwrap().version;
            assert_eq!((*found, *known, &**release), (9_000, newest, "7.8.9"));
            let message = refused.to_string();
            assert!(message.contains("version 9000") && message.contains("7.8.9"), "{message}");
        }
    });
}

#[test]
fn an_edited_migration_is_refused() {
    on_both_empty(async |options| {
        let first = [Migration::for_test(1, "0001_first", "CREATE TABLE first (id BIGINT)")];
        let edited = [Migration::for_test(1, "0001_first", "CREATE TABLE first (id BIGINT, more BIGINT)")];
        let db = Db::open(&options, Migrations::Ignore).await.unwrap();
        db.migrate_with(&first, "1.0.0", at(0)).await.unwrap();
        let refused = db.migrate_with(&edited, "1.0.1", at(0)).await.unwrap_err();
        assert!(matches!(refused, StorageError::Schema(SchemaError::Edited { .. })), "{refused}");
        db.close().await;
    });
}

#[test]
fn a_migration_that_fails_half_way_leaves_nothing() {
    on_both_empty(async |options| {
        const GOOD: Migration = Migration::for_test(1, "0001_good", "CREATE TABLE good (id BIGINT)");
        let broken = [
            GOOD,
            Migration::for_test(
                2,
                "0002_broken",
                "CREATE TABLE half (id BIGINT); CREATE TABLE half (id BIGINT)",
            ),
        ];
        let repaired = [GOOD, Migration::for_test(2, "0002_broken", "CREATE TABLE half (id BIGINT)")];
        let db = Db::open(&options, Migrations::Ignore).await.unwrap();
        assert!(db.migrate_with(&broken, "1.0.0", at(0)).await.is_err());
        let status = db.migrate_with(&repaired, "1.0.1", at(0)).await.unwrap();
        assert_eq!(status.applied, 2, "the first stayed, the second was undone and could be done again");
        db.close().await;
    });
}

#[test]
fn four_processes_migrate_at_once() {
    on_both_empty(async |options| {
        let children: Vec<_> = (0..4).map(|_| child("migrate", &options)).collect();
        for mut process in children {
            assert!(process.wait().unwrap().success(), "every process finds a database it can use");
        }
        let db = Db::open(&options, Migrations::Require).await.unwrap();
        assert!(db.integrity_check().await.unwrap().is_empty());
        db.close().await;
    });
}

on_both! {
    async fn reopening_changes_nothing(database) {
        let status = database.db.schema_status().await.unwrap();
        let again = Db::open(&database.options, APPLY).await.unwrap();
        assert_eq!(again.schema_status().await.unwrap(), status);
        again.close().await;
    }
}
