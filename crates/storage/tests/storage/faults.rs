//! What goes wrong around a database, and what people are told.

use std::{
    io::{Seek as _, SeekFrom, Write as _},
    str::FromStr as _,
    time::Duration,
};

use switchboard_domain::Timestamp;
use switchboard_storage::{Db, Migrations, Options, StorageError};
use switchboard_testkit::{
    database::{TestDatabase, run},
    on_both,
};

use crate::durability::limited_child;

const APPLY: Migrations<'static> = Migrations::Apply { release: "1.0.0", now: Timestamp::from_micros(0) };

async fn refused(options: &Options) -> StorageError {
    Db::open(options, APPLY).await.expect_err("it must not open")
}

#[test]
fn a_file_that_is_no_database() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("switchboard.db");
        std::fs::write(&path, "Dear diary, \n".repeat(1_000)).unwrap();
        let error = refused(&Options::sqlite(&path)).await;
        assert!(matches!(error, StorageError::NotADatabase { .. }), "{error:?}");
        assert!(error.to_string().contains("switchboard.db"), "{error}");
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("Dear diary"), "it is left as it was");
    });
}

#[test]
fn a_damaged_file() {
    run(async {
        let database = TestDatabase::sqlite().await;
        let org = database.organization("acme").await.id;
        for number in 0..200 {
            database.connection(org, &format!("c{number}")).await;
        }
        database.db.close().await;
        let path = database.file();
        let length = std::fs::metadata(&path).unwrap().len();
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        for page in 2..length / 4096 {
            file.seek(SeekFrom::Start(page * 4096)).unwrap();
            file.write_all(&[0xa5; 512]).unwrap();
        }
        drop(file);
        match Db::open(&database.options, APPLY).await {
            Err(error) => assert!(matches!(error, StorageError::Corrupt { .. }), "{error:?}"),
            Ok(db) => {
                let mut tx = db.single().await.unwrap();
                let error = tx.connections().list(org).await.unwrap_err();
                assert!(matches!(error, StorageError::Corrupt { .. }), "{error:?}");
                assert!(error.to_string().contains("restore the last backup"), "{error}");
                drop(tx);
                match db.integrity_check().await {
                    Ok(faults) => assert!(!faults.is_empty()),
                    Err(error) => assert!(matches!(error, StorageError::Corrupt { .. }), "{error:?}"),
                }
                db.close().await;
            }
        }
    });
}

#[test]
fn a_directory_that_does_not_exist_or_is_none() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let error = refused(&Options::sqlite(directory.path().join("no/such/place.db"))).await;
        assert!(matches!(error, StorageError::Unopenable { .. }), "{error:?}");
        assert!(error.to_string().contains("no/such/place.db"), "{error}");
        let error = refused(&Options::sqlite(directory.path())).await;
        assert!(matches!(error, StorageError::Unopenable { .. }), "{error:?}");
    });
}

#[test]
fn a_file_that_another_program_has_locked() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("switchboard.db");
        let other = sqlx::sqlite::SqliteConnectOptions::from_str("sqlite://")
            .unwrap()
            .filename(&path)
            .create_if_missing(true);
        let other =
            sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect_with(other).await.unwrap();
        sqlx::query("CREATE TABLE theirs (id INTEGER)").execute(&other).await.unwrap();
        let mut lock = other.begin_with("BEGIN EXCLUSIVE").await.unwrap();
        sqlx::query("INSERT INTO theirs VALUES (1)").execute(&mut *lock).await.unwrap();
        let mut options = Options::sqlite(&path);
        options.acquire_timeout = Duration::from_millis(300);
        let error = refused(&options).await;
        assert!(matches!(error, StorageError::Locked { .. }), "{error:?}");
        assert!(error.to_string().contains("locked by another program"), "{error}");
    });
}

#[test]
fn a_server_that_does_not_answer_and_a_url_that_is_none() {
    run(async {
        let mut options = Options::postgres("postgres://switchboard:hunter2@127.0.0.1:1/switchboard");
        options.acquire_timeout = Duration::from_millis(500);
        let error = refused(&options).await;
        assert!(error.is_transient(), "{error:?}");
        let error =
            refused(&Options::postgres("postgres://switchboard:hunter2@host:port/db?sslmode=perhaps")).await;
        assert!(matches!(error, StorageError::Url { .. }), "{error:?}");
        assert!(!error.to_string().contains("hunter2") && !format!("{error}").contains("hunter2"), "{error}");
    });
}

#[test]
fn a_full_disk_refuses_writes_and_goes_on_reading() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options::sqlite(directory.path().join("switchboard.db"));
    // No file may grow beyond 2 MB: to SQLite the same as a disk or a quota that is used up.
    let output = limited_child("fill", &options, 2_000);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let acknowledged: usize = said
        .lines()
        .find_map(|line| line.strip_prefix("filled after "))
        .expect("the child found the disk full")
        .parse()
        .unwrap();
    assert!(acknowledged > 5);
    run(async {
        let db = Db::open(&options, APPLY).await.unwrap();
        assert!(db.integrity_check().await.unwrap().is_empty());
        let mut tx = db.single().await.unwrap();
        assert_eq!(tx.organizations().list().await.unwrap().len(), acknowledged, "all that was acknowledged");
        drop(tx);
        db.close().await;
    });
}

on_both! {
    async fn a_backup_is_a_whole_database(database) {
        let org = database.organization("acme").await;
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("copy.db");
        let done = database.db.backup(&target).await;
        if database.db.dialect() == switchboard_storage::Dialect::Postgres {
            assert!(done.unwrap_err().to_string().contains("pg_dump"));
            return;
        }
        done.unwrap();
        assert!(database.db.backup(&target).await.is_err(), "a file that is there is not overwritten");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            for file in [&target, &database.file()] {
                assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
            }
        }
        let copy = Db::open(&Options::sqlite(&target), Migrations::Require).await.unwrap();
        assert!(copy.integrity_check().await.unwrap().is_empty());
        let mut tx = copy.single().await.unwrap();
        assert_eq!(tx.organizations().list().await.unwrap(), [org]);
        drop(tx);
        copy.close().await;
    }

    async fn a_sound_database_has_no_faults(database) {
        database.organization("acme").await;
        database.db.ping().await.unwrap();
        assert_eq!(database.db.integrity_check().await.unwrap(), Vec::<String>::new());
    }

    async fn an_abandoned_transaction_frees_the_writer(database) {
        let org = database.organization("acme").await.id;
        for _ in 0..20 {
            let mut tx = database.db.write().await.unwrap();
            tx.organizations().touch(org).await.unwrap();
        }
        let begun = tokio::time::timeout(Duration::from_millis(1), database.db.write()).await;
        drop(begun);
        let mut tx = database.db.write().await.unwrap();
        tx.organizations().touch(org).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = database.db.single().await.unwrap();
        assert_eq!(tx.organizations().versions().await.unwrap(), [(org, 2)]);
    }
}
