//! An open database, and the three ways into it: [`Db::single`] for one reading statement, [`Db::read`] for a
//! consistent read of several, [`Db::write`] for changes.

use std::{path::PathBuf, sync::Arc, time::Duration};

use switchboard_domain::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    Changes, Dialect, StorageError, Tx,
    changes::{Hint, forward_notifications},
    postgres::Postgres,
    sqlite::{PAGES_OF_A_WRITE, Sqlite},
    transaction::{Driver, Link},
};

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A file; made when it does not exist.
    Sqlite(PathBuf),
    /// `postgres://user:password@host/database`
    Postgres(String),
}

/// What an acknowledged audit entry survives. Credentials and tokens always survive power loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuditDurability {
    /// The end of this process by any means, `kill -9` too.
    #[default]
    Process,
    /// Power loss, at the price of one flush to disk per group of entries.
    Strict,
}

/// How to open a database.
#[derive(Debug, Clone)]
pub struct Options {
    pub location: Location,
    pub audit_durability: AuditDurability,
    /// Connections that read at the same time.
    pub read_connections: u32,
    /// Connections that write at the same time; PostgreSQL only, SQLite has one.
    pub write_connections: u32,
    /// How long to wait for a connection, or for SQLite's write lock.
    pub acquire_timeout: Duration,
    /// When PostgreSQL gives up on one statement.
    pub statement_timeout: Duration,
}

impl Options {
    pub const fn new(location: Location) -> Self {
        Self {
            location,
            audit_durability: AuditDurability::Process,
            read_connections: 4,
            write_connections: 8,
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
        }
    }

    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self::new(Location::Sqlite(path.into()))
    }

    pub fn postgres(url: impl Into<String>) -> Self {
        Self::new(Location::Postgres(url.into()))
    }
}

/// What to do about the schema when opening.
#[derive(Debug, Clone, Copy)]
pub enum Migrations<'a> {
    /// Bring it up to date; `release` is this program's version, `now` is when.
    Apply { release: &'a str, now: Timestamp },
    /// Refuse to start unless it is up to date (`--no-migrate`).
    Require,
    /// Don't look: for commands that only show its state.
    Ignore,
}

#[derive(Debug)]
pub(crate) enum Backend {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) backend: Backend,
    hint: Hint,
    listening: tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(task) = self.listening.get_mut().take() {
            task.abort();
        }
    }
}

/// An open database; clones share it.
#[derive(Debug, Clone)]
pub struct Db {
    pub(crate) inner: Arc<Inner>,
}

impl Db {
    pub async fn open(options: &Options, migrations: Migrations<'_>) -> Result<Self, StorageError> {
        let backend = match &options.location {
            Location::Sqlite(path) => Backend::Sqlite(Sqlite::open(path, options).await?),
            Location::Postgres(url) => Backend::Postgres(Postgres::open(url, options).await?),
        };
        let inner = Inner { backend, hint: Hint::new(), listening: tokio::sync::Mutex::default() };
        let db = Self { inner: Arc::new(inner) };
        let prepared = match migrations {
            Migrations::Apply { release, now } => db.migrate(release, now).await.map(drop),
            Migrations::Require => db.require_current_schema().await,
            Migrations::Ignore => Ok(()),
        };
        match prepared {
            Ok(()) => Ok(db),
            Err(error) => {
                db.close().await;
                Err(db.named(error))
            }
        }
    }

    pub fn dialect(&self) -> Dialect {
        match self.inner.backend {
            Backend::Sqlite(_) => Dialect::Sqlite,
            Backend::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Adds the file's name to errors that SQLite reports without it.
    fn named(&self, error: StorageError) -> StorageError {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => error.at(&sqlite.path),
            Backend::Postgres(_) => error,
        }
    }

    /// For one reading statement: no `BEGIN`, no `COMMIT`, no round trip for them.
    pub async fn single(&self) -> Result<Tx, StorageError> {
        let driver = match &self.inner.backend {
            Backend::Sqlite(sqlite) => Driver::Sqlite(Link::single(&sqlite.read).await?),
            Backend::Postgres(postgres) => Driver::Postgres(Link::single(&postgres.read).await?),
        };
        Ok(self.tx(driver, None))
    }

    /// Several reads of one state of the database. Writing in it is refused by the database.
    pub async fn read(&self) -> Result<Tx, StorageError> {
        const POSTGRES: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let driver = match &self.inner.backend {
            Backend::Sqlite(sqlite) => Driver::Sqlite(Link::begin(&sqlite.read, "BEGIN").await?),
            Backend::Postgres(postgres) => Driver::Postgres(Link::begin(&postgres.read, POSTGRES).await?),
        };
        Ok(self.tx(driver, None))
    }

    /// A change. Durable against power loss once `commit` returns.
    pub async fn write(&self) -> Result<Tx, StorageError> {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => {
                let turn = sqlite.turn().await?;
                sqlite.account(PAGES_OF_A_WRITE);
                let link = Link::begin(&sqlite.write, "BEGIN IMMEDIATE").await;
                let link = link.map_err(|error| error.at(&sqlite.path))?;
                Ok(self.tx(Driver::Sqlite(link), Some(turn)))
            }
            Backend::Postgres(postgres) => {
                Ok(self.tx(Driver::Postgres(Link::begin(&postgres.write, "BEGIN").await?), None))
            }
        }
    }

    pub(crate) fn tx(&self, driver: Driver, turn: Option<OwnedSemaphorePermit>) -> Tx {
        Tx::new(driver, self.inner.hint.clone(), turn)
    }

    /// Hints of changes: by this process on SQLite, by every replica on PostgreSQL. Sooner than the poll of
    /// versions, never instead of it.
    pub async fn changes(&self) -> Result<Changes, StorageError> {
        let changes = self.inner.hint.listen();
        if let Backend::Postgres(postgres) = &self.inner.backend {
            let mut listening = self.inner.listening.lock().await;
            if listening.is_none() {
                let mut listener = sqlx::postgres::PgListener::connect_with(&postgres.audit).await?;
                listener.ignore_pool_close_event(false);
                listener.listen("switchboard_changes").await?;
                let forward = forward_notifications(listener, self.inner.hint.clone());
                *listening = Some(tokio::spawn(forward));
            }
        }
        Ok(changes)
    }

    /// Whether the database answers: for readiness.
    pub async fn ping(&self) -> Result<(), StorageError> {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlx::query("SELECT 1").execute(&sqlite.read).await.map(drop)?,
            Backend::Postgres(postgres) => {
                sqlx::query("SELECT 1").execute(&postgres.write).await.map(drop)?
            }
        }
        Ok(())
    }

    /// Closes every connection. On SQLite this also folds the write-ahead log into the file.
    pub async fn close(&self) {
        if let Some(task) = self.inner.listening.lock().await.take() {
            task.abort();
        }
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite.close().await,
            Backend::Postgres(postgres) => postgres.close().await,
        }
    }
}
