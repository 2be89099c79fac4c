//! Databases for tests: an SQLite file of its own, or a database of its own in one private PostgreSQL.
//!
//! [`on_both!`](crate::on_both) runs one test body on each. The PostgreSQL is the one that
//! `SWITCHBOARD_TEST_POSTGRES_URL` names; without it, `tests/postgres.sh` starts one for all test processes, and
//! it stops by itself when nobody uses it. A template database is migrated once; each test gets a copy.
//! Without PostgreSQL a test fails and says so, unless `SWITCHBOARD_TEST_SQLITE_ONLY=1`.

mod postgres;
mod rows;

use std::path::PathBuf;

use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
use switchboard_domain::{Clock as _, FixedClock, SeededRandom};
use switchboard_storage::{Db, Migrations, Options};

pub use postgres::{empty_postgres, postgres_options};

/// Microseconds at which the clock of a test stands: 2026-07-28T00:00:00Z.
pub const NOW: i64 = 1_785_196_800_000_000;

/// A migrated database of one test's own, removed when dropped; with a clock and randomness that repeat.
#[derive(Debug)]
pub struct TestDatabase {
    pub db: Db,
    /// How to open it again, as another process would.
    pub options: Options,
    pub clock: FixedClock,
    pub random: SeededRandom,
    /// Removes the files or the database; after `db`.
    home: Home,
}

#[derive(Debug)]
enum Home {
    Directory(tempfile::TempDir),
    Postgres(postgres::Database),
}

/// Small pools: many tests share one server.
fn small(mut options: Options) -> Options {
    options.read_connections = 2;
    options.write_connections = 4;
    options
}

impl TestDatabase {
    pub async fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let options = small(Options::sqlite(directory.path().join("switchboard.db")));
        Self::open(options, Home::Directory(directory)).await
    }

    pub async fn postgres() -> Self {
        let database = postgres::Database::from_template().await;
        let options = small(database.options());
        Self::open(options, Home::Postgres(database)).await
    }

    async fn open(options: Options, home: Home) -> Self {
        crate::canary::begin();
        let clock = FixedClock::at_micros(NOW);
        let migrations = Migrations::Apply { release: env!("CARGO_PKG_VERSION"), now: clock.now() };
        let db = Db::open(&options, migrations).await.expect("the test database opens");
        Self { db, options, clock, random: SeededRandom::new(2026), home }
    }

    /// What the database holds, deleted rows that still stand in files too.
    fn look_for_secrets(&self) {
        match &self.home {
            Home::Directory(directory) => {
                for entry in std::fs::read_dir(directory.path()).expect("the test's directory") {
                    let path = entry.expect("one of its files").path();
                    let bytes = std::fs::read(&path).unwrap_or_default();
                    crate::canary::look(&path.display().to_string(), &bytes);
                }
            }
            Home::Postgres(database) => crate::canary::look("a table", &database.dump()),
        }
    }

    /// Changes rows behind Switchboard's back, as somebody with the database in their hands would.
    pub async fn execute(&self, sql: &'static str) {
        let done = match &self.options.location {
            switchboard_storage::Location::Sqlite(path) => {
                let options = SqliteConnectOptions::new().filename(path).foreign_keys(true);
                let mut connection = options.connect().await.expect("the file opens");
                sqlx::raw_sql(sql).execute(&mut connection).await.map(drop)
            }
            switchboard_storage::Location::Postgres(url) => {
                let mut connection = sqlx::PgConnection::connect(url).await.expect("the database answers");
                sqlx::raw_sql(sql).execute(&mut connection).await.map(drop)
            }
        };
        done.expect("the statements run");
    }

    /// The SQLite file; tests of files ask for it.
    pub fn file(&self) -> PathBuf {
        match &self.options.location {
            switchboard_storage::Location::Sqlite(path) => path.clone(),
            switchboard_storage::Location::Postgres(_) => panic!("PostgreSQL has no file of ours"),
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // A test that failed already says why; this must not replace it.
        if std::thread::panicking() {
            return;
        }
        self.look_for_secrets();
        let found = crate::canary::found();
        assert!(found.is_empty(), "secrets were left behind:\n{}", found.join("\n"));
    }
}

/// Runs a test's body to its end on a runtime of its own.
pub fn run<F: Future<Output = ()>>(body: F) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(body);
}

/// Whether tests on PostgreSQL are left out.
pub fn sqlite_only() -> bool {
    std::env::var_os("SWITCHBOARD_TEST_SQLITE_ONLY").is_some_and(|value| value == "1")
}

/// Declares one test on both databases: `on_both! { async fn a_thing_holds(database) { … } }` becomes
/// `a_thing_holds::sqlite` and `a_thing_holds::postgres`; `database` is a [`TestDatabase`].
#[macro_export]
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $name:ident($database:ident) $body:block)*) => {$(
        mod $name {
            #[allow(unused_imports, reason = "what the body uses is up to it")]
            use super::*;

            async fn body($database: $crate::database::TestDatabase) $body

            #[test]
            $(#[$meta])*
            fn sqlite() {
                $crate::database::run(async { body($crate::database::TestDatabase::sqlite().await).await });
            }

            #[test]
            $(#[$meta])*
            fn postgres() {
                if $crate::database::sqlite_only() {
                    return;
                }
                $crate::database::run(async { body($crate::database::TestDatabase::postgres().await).await });
            }
        }
    )*};
}
