//! SQLite's connection for the audit log alone.
//!
//! A call waits for one append. sqlx runs SQLite on a thread of its own, and going there and back costs more than the
//! append itself; this connection is used on the thread that is at hand. Without a flush to disk a commit is a few
//! writes into the operating system's memory. What may take long is not done on it: it folds no log (the background
//! does), and when it would have to wait for a lock it says so instead, unless the caller can wait.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use switchboard_domain::AuditOutcome;

use crate::{AuditDurability, AuditEntry, Dialect, Options, StorageError, audit::APPEND_ONE, row::text};

#[derive(Debug)]
pub(crate) struct SqliteAudit {
    path: PathBuf,
    durability: AuditDurability,
    /// How long to wait for another program's lock.
    patience: Duration,
    connection: Mutex<Slot>,
}

#[derive(Debug)]
enum Slot {
    Unopened,
    Open(Connection),
    Closed,
}

impl SqliteAudit {
    pub(crate) fn new(path: &Path, options: &Options) -> Self {
        Self {
            path: path.to_path_buf(),
            durability: options.audit_durability,
            patience: options.acquire_timeout,
            connection: Mutex::new(Slot::Unopened),
        }
    }

    /// Whether a commit waits for no disk.
    pub(crate) fn is_quick(&self) -> bool {
        self.durability == AuditDurability::Process
    }

    /// Appends without waiting for anything; `false`, with nothing done, when that can't be.
    pub(crate) fn try_append(&self, entries: &[AuditEntry]) -> Result<bool, StorageError> {
        let Some(mut slot) = self.connection.try_lock() else { return Ok(false) };
        if !matches!(*slot, Slot::Open(_)) || !self.is_quick() {
            return Ok(false);
        }
        match self.append_on(&mut slot, entries, Duration::ZERO) {
            Err(StorageError::Locked { .. }) => Ok(false),
            outcome => outcome.map(|()| true),
        }
    }

    /// Appends, waiting for locks and opening the connection when need be. Blocks: not for an async thread.
    pub(crate) fn append(&self, entries: &[AuditEntry]) -> Result<(), StorageError> {
        let mut slot = self.connection.lock();
        if matches!(*slot, Slot::Unopened) {
            *slot = Slot::Open(self.open().map_err(|error| StorageError::from(error).at(&self.path))?);
        }
        self.append_on(&mut slot, entries, self.patience)
    }

    pub(crate) fn close(&self) {
        *self.connection.lock() = Slot::Closed;
    }

    fn append_on(
        &self,
        slot: &mut Slot,
        entries: &[AuditEntry],
        patience: Duration,
    ) -> Result<(), StorageError> {
        let Slot::Open(connection) = &*slot else {
            return Err(StorageError::Unavailable(sqlx::Error::PoolClosed.into()));
        };
        let appended = connection.busy_timeout(patience).and_then(|()| insert(connection, entries));
        if !connection.is_autocommit() {
            // It could not even be rolled back: closing it does that.
            *slot = Slot::Unopened;
        }
        appended.map_err(|error| StorageError::from(error).at(&self.path))
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(self.patience)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        let synchronous = if self.is_quick() { "NORMAL" } else { "FULL" };
        connection.pragma_update(None, "synchronous", synchronous)?;
        Ok(connection)
    }
}

/// One transaction: all or none.
fn insert(connection: &Connection, entries: &[AuditEntry]) -> rusqlite::Result<()> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let committed = insert_rows(connection, entries)
        .and_then(|()| connection.prepare_cached("COMMIT")?.execute([]).map(drop));
    if committed.is_err() && !connection.is_autocommit() {
        // The first error is the one to tell.
        let _ = connection.execute_batch("ROLLBACK");
    }
    committed
}

fn insert_rows(connection: &Connection, entries: &[AuditEntry]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(APPEND_ONE.on(Dialect::Sqlite))?;
    for entry in entries {
        statement.execute(params![
            entry.organization.as_uuid().as_bytes(),
            entry.writer.as_uuid().as_bytes(),
            entry.seq,
            entry.at.as_micros(),
            entry.phase.as_str(),
            text(&entry.action),
            entry.call_id,
            entry.actor.as_deref().map(text),
            entry.target.as_deref().map(text),
            entry.outcome.map(AuditOutcome::as_str),
            entry.previous_hash,
            entry.hash,
            entry.body,
        ])?;
    }
    Ok(())
}

impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> Self {
        let Some(told) = error.sqlite_error().copied() else { return Self::Database(error.into()) };
        match (told.code, told.extended_code) {
            (ErrorCode::ConstraintViolation, 1555 | 2067) => Self::Duplicate,
            (ErrorCode::ConstraintViolation, 787) => Self::Reference,
            (_, code) => {
                let detail = error.to_string();
                crate::error::classify_sqlite(error.into(), code, detail)
            }
        }
    }
}
