//! SQLite: one file, write-ahead log, one writer.
//!
//! Two pools and a connection on one file. `write` (one connection, `synchronous=FULL`): a commit is on disk when it
//! returns. `audit` (`sqlite_audit.rs`, `synchronous=NORMAL` unless strict): a commit is with the operating system, so it
//! survives `kill -9`, and the next FULL commit or checkpoint flushes it too. `read`: opened read-only.
//! <https://www.sqlite.org/wal.html>, <https://www.sqlite.org/pragma.html#pragma_synchronous>
//!
//! The write-ahead log is folded into the file in the background, by a connection of its own, so that no call
//! waits for it. Appending goes on meanwhile, so that the log may never be folded whole and started again; when it has
//! grown too long the background takes the writers' turn for the rest.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::{
    Connection as _, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::{Db, Options, StorageError, db::Backend, sqlite_audit::SqliteAudit};

/// Pages the log may gain before the background checkpoint runs: 4 MiB.
const BACKGROUND_CHECKPOINT_PAGES: usize = 1_000;
/// Pages of the log at which the background holds up the writers to fold it whole: 32 MiB.
const LONGEST_LOG_PAGES: i64 = 8_000;
/// Pages at which a writer folds the log itself: 64 MiB. Only reached when the background can't keep up.
const WRITER_CHECKPOINT_PAGES: &str = "16000";
/// What a small write is taken to add to the log, in pages.
pub(crate) const PAGES_OF_A_WRITE: usize = 8;

#[derive(Debug)]
pub(crate) struct Sqlite {
    pub(crate) path: PathBuf,
    pub(crate) read: SqlitePool,
    pub(crate) write: SqlitePool,
    pub(crate) audit: Arc<SqliteAudit>,
    /// For what takes long and must not hold up the writers: checkpoints and backups.
    maintenance: SqlitePool,
    turns: Arc<Semaphore>,
    turn_timeout: Duration,
    log: Arc<Log>,
    checkpoints: tokio::task::JoinHandle<()>,
}

/// How much was written since the log was last folded.
#[derive(Debug, Default)]
struct Log {
    pages: AtomicUsize,
    due: Notify,
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.checkpoints.abort();
    }
}

impl Sqlite {
    pub(crate) async fn open(path: &Path, options: &Options) -> Result<Self, StorageError> {
        make_private(path)?;
        let base = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .foreign_keys(true)
            .busy_timeout(options.acquire_timeout)
            .statement_cache_capacity(256)
            .row_buffer_size(256)
            .optimize_on_close(true, 400)
            .pragma("trusted_schema", "OFF")
            .pragma("wal_autocheckpoint", WRITER_CHECKPOINT_PAGES)
            .pragma("journal_size_limit", "67108864");
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                // Longer than SQLite's own wait for a lock, so that it is the one to say what is wrong.
                .acquire_timeout(options.acquire_timeout + Duration::from_secs(2))
                .idle_timeout(None)
                .max_lifetime(None)
                // A connection to a file can't go stale, and the question would cost as much as a statement.
                .test_before_acquire(false)
                // On a full disk SQLite itself rolls a transaction back and then refuses to roll back again: sqlx
                // takes it to be open for good, and the connection could never write again.
                .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
        };
        let writer = base.clone().journal_mode(SqliteJournalMode::Wal);
        let write = pool(1)
            .connect_with(writer.clone().synchronous(SqliteSynchronous::Full))
            .await
            .map_err(|error| unopenable(path, error))?;
        let audit = Arc::new(SqliteAudit::new(path, options));
        let maintenance = pool(1).connect_lazy_with(writer.synchronous(SqliteSynchronous::Normal));
        let read = pool(options.read_connections.max(1))
            .connect_lazy_with(base.read_only(true).pragma("query_only", "ON"));
        let log = Arc::new(Log::default());
        let turns = Arc::new(Semaphore::new(1));
        let checkpoints =
            tokio::spawn(checkpoint_when_due(maintenance.clone(), Arc::clone(&log), Arc::clone(&turns)));
        Ok(Self {
            path: path.to_path_buf(),
            read,
            write,
            audit,
            maintenance,
            turns,
            turn_timeout: options.acquire_timeout,
            checkpoints,
            log,
        })
    }

    /// Waits for the right to write: first come, first served among this process's writers.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, StorageError> {
        match tokio::time::timeout(self.turn_timeout, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) => Err(StorageError::Unavailable(sqlx::Error::PoolClosed.into())),
            Err(_) => Err(StorageError::Unavailable(sqlx::Error::PoolTimedOut.into())),
        }
    }

    /// The same without waiting; `None` while somebody writes or waits for it.
    pub(crate) fn turn_now(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.try_acquire().ok()
    }

    /// Counts what a write adds to the log.
    pub(crate) fn account(&self, pages: usize) {
        if self.log.pages.fetch_add(pages, Ordering::Relaxed) + pages >= BACKGROUND_CHECKPOINT_PAGES {
            self.log.due.notify_one();
        }
    }

    pub(crate) async fn close(&self) {
        self.checkpoints.abort();
        self.read.close().await;
        self.audit.close();
        self.maintenance.close().await;
        // The last to close folds the log into the file.
        self.write.close().await;
    }
}

/// A PASSIVE checkpoint: writers and readers go on meanwhile, unless the log has grown too long for that.
async fn checkpoint_when_due(pool: SqlitePool, log: Arc<Log>, turns: Arc<Semaphore>) {
    loop {
        log.due.notified().await;
        log.pages.store(0, Ordering::Relaxed);
        let folded = match checkpoint(&pool).await {
            Ok(pages) if pages >= LONGEST_LOG_PAGES => {
                // Nearly all of it is folded; what is left is what was written meanwhile.
                let Ok(_turn) = turns.acquire().await else { return };
                checkpoint(&pool).await.map(drop)
            }
            outcome => outcome.map(drop),
        };
        if let Err(error) = folded {
            tracing::warn!(%error, "folding the write-ahead log into the database failed; it is tried again");
        }
    }
}

/// How many pages the log had.
async fn checkpoint(pool: &SqlitePool) -> Result<i64, sqlx::Error> {
    let (_, pages, _): (i64, i64, i64) =
        sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(pool).await?;
    Ok(pages)
}

/// Makes the file readable by this user only; SQLite gives its log the same permissions.
fn make_private(path: &Path) -> Result<(), StorageError> {
    let mut create = std::fs::OpenOptions::new();
    create.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut create, 0o600);
    create
        .open(path)
        .map(drop)
        .map_err(|error| StorageError::Unopenable { path: path.to_path_buf(), detail: error.to_string() })
}

fn unopenable(path: &Path, error: sqlx::Error) -> StorageError {
    let detail = error.to_string();
    match StorageError::from(error).at(path) {
        // SQLITE_CANTOPEN, SQLITE_IOERR, SQLITE_READONLY: the file opened a moment ago, its log did not.
        StorageError::Unavailable(_) | StorageError::ReadOnly(_) | StorageError::Database(_) => {
            StorageError::Unopenable { path: path.to_path_buf(), detail }
        }
        error => error,
    }
}

/// What `integrity_check` found; empty when the database is sound.
pub type Faults = Vec<String>;

impl Db {
    /// Reads the whole database and reports what is wrong with it: pages, indexes and foreign keys on SQLite.
    /// PostgreSQL checks pages as it reads them; there is nothing to run here (see `pg_amcheck`).
    pub async fn integrity_check(&self) -> Result<Faults, StorageError> {
        let Backend::Sqlite(sqlite) = &self.inner.backend else { return Ok(Vec::new()) };
        let at = |error: sqlx::Error| StorageError::from(error).at(&sqlite.path);
        let mut faults: Faults =
            sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&sqlite.read).await.map_err(at)?;
        faults.retain(|line| line != "ok");
        let broken: Vec<(String, Option<i64>, String, i64)> =
            sqlx::query_as("PRAGMA foreign_key_check").fetch_all(&sqlite.read).await.map_err(at)?;
        faults.extend(broken.into_iter().map(|(table, row, parent, _)| {
            format!("row {} of {table} refers to a missing row of {parent}", row.unwrap_or_default())
        }));
        Ok(faults)
    }

    /// Writes a consistent copy to `target`, which must not exist, while everything goes on.
    /// The copy is one compact file without a log; it does not contain any key-encryption key.
    pub async fn backup(&self, target: &Path) -> Result<(), StorageError> {
        let Backend::Sqlite(sqlite) = &self.inner.backend else { return Err(StorageError::UsePgDump) };
        let unopenable = |detail: String| StorageError::Unopenable { path: target.to_path_buf(), detail };
        if target.exists() {
            return Err(unopenable("a file is there already; it is not overwritten".into()));
        }
        make_private(target)?;
        let name = target.to_str().ok_or_else(|| unopenable("its name is not UTF-8".into()))?;
        // VACUUM INTO accepts an existing empty file: the one made above, readable by this user only. It writes
        // no page of its own database, but SQLite refuses it on a `query_only` connection.
        let done = sqlx::query("VACUUM INTO $1").bind(name).execute(&sqlite.maintenance).await;
        if let Err(error) = done {
            let _ = std::fs::remove_file(target);
            return Err(StorageError::from(error));
        }
        std::fs::File::open(target)
            .and_then(|file| file.sync_all())
            .map_err(|error| unopenable(error.to_string()))
    }
}
