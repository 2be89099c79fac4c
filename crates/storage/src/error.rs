//! What can go wrong with a store, as the caller can act on it.

use std::path::PathBuf;

use crate::SchemaError;

/// What a driver said.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a statement, a transaction or the store as a whole did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// Nothing answers, or not in time. Worth trying again.
    #[error("the database did not answer: {0}. Nothing was changed; try again once it is back")]
    Unavailable(#[source] Cause),
    /// No room: writes are refused, reads go on.
    #[error(
        "the database has no room left ({0}). Nothing was changed; reads go on. Free space on its disk, then try again"
    )]
    Full(#[source] Cause),
    #[error(
        "the database refuses writes ({0}). Check the permissions of the data directory, or that the server is not a read-only replica"
    )]
    ReadOnly(#[source] Cause),
    #[error("{path} is damaged: {detail}. Stop Switchboard, keep a copy of the file and restore the last backup", path = shown(.path))]
    Corrupt { path: Option<PathBuf>, detail: String },
    #[error("{path} is not an SQLite database. Point --data-dir at Switchboard's own directory, or restore the file from a backup", path = shown(.path))]
    NotADatabase { path: Option<PathBuf> },
    #[error("{path} is locked by another program. Close what has it open (a database browser, a copy in progress), then start again", path = shown(.path))]
    Locked { path: Option<PathBuf> },
    #[error("can't open {path}: {detail}. Check that the directory exists and that this user may write to it", path = .path.display())]
    Unopenable { path: PathBuf, detail: String },
    #[error("`{shown}` is not a database URL: {detail}. Use postgres://user:password@host/database", shown = shown_url(.url))]
    Url { url: String, detail: String },
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A row names something that does not exist, or that belongs to another organization.
    #[error("the row refers to something that does not exist in this organization")]
    Reference,
    /// A row breaks a uniqueness rule that the operation does not expect.
    #[error("a row like this exists already")]
    Duplicate,
    /// A row that this release can't read: written by hand or by a newer release.
    #[error("a stored {0} can't be read. Was the database edited by hand, or by a newer release?")]
    Unreadable(&'static str),
    #[error(
        "backups of this database are taken with pg_dump: run `pg_dump --format=custom --file=switchboard.dump DATABASE_URL`"
    )]
    UsePgDump,
    #[error("the database refused a statement: {0}")]
    Database(#[source] Cause),
}

fn shown(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or_else(|| "the database".into(), |path| path.display().to_string())
}

/// A database URL without what may be a password.
fn shown_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "…".into() };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{}", rest.split(['?', '/']).next().unwrap_or_default())
}

impl StorageError {
    /// Whether the same call may well work a little later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Full(_) | Self::Locked { .. })
    }

    /// Names the file in errors that SQLite reports without it.
    #[must_use]
    pub(crate) fn at(mut self, file: &std::path::Path) -> Self {
        if let Self::Corrupt { path, .. } | Self::NotADatabase { path } | Self::Locked { path } = &mut self {
            *path = Some(file.to_path_buf());
        }
        self
    }
}

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                if database.is_unique_violation() {
                    return Self::Duplicate;
                }
                if database.is_foreign_key_violation() {
                    return Self::Reference;
                }
                let code = database.code().unwrap_or_default().into_owned();
                let detail = database.message().to_owned();
                // SQLite's codes are numbers (extended: the low byte is the class), PostgreSQL's five characters.
                if database.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
                    classify_sqlite(error.into(), code.parse().unwrap_or(0), detail)
                } else {
                    classify_postgres(error.into(), &code)
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error.into()),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                tracing::error!(%error, "a stored row can't be read");
                Self::Unreadable("row")
            }
            _ => Self::Database(error.into()),
        }
    }
}

/// <https://www.sqlite.org/rescode.html>
pub(crate) fn classify_sqlite(error: Cause, code: i32, detail: String) -> StorageError {
    match code & 0xff {
        // SQLITE_IOERR_WRITE is how a used-up quota or a file size limit looks.
        10 if code == 778 => StorageError::Full(error),
        5 | 6 | 15 => StorageError::Locked { path: None },
        8 => StorageError::ReadOnly(error),
        10 | 14 => StorageError::Unavailable(error),
        11 => StorageError::Corrupt { path: None, detail },
        13 => StorageError::Full(error),
        26 => StorageError::NotADatabase { path: None },
        _ => StorageError::Database(error),
    }
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn classify_postgres(error: Cause, code: &str) -> StorageError {
    match code {
        "53100" => StorageError::Full(error),
        "25006" => StorageError::ReadOnly(error),
        "XX001" | "XX002" => StorageError::Corrupt { path: None, detail: error.to_string() },
        "57014" => StorageError::Unavailable(error),
        _ if ["08", "53", "57"].contains(&code.get(..2).unwrap_or_default()) => {
            StorageError::Unavailable(error)
        }
        // A deadlock or a serialisation failure: rolled back, nothing was changed.
        "40001" | "40P01" | "55P03" => StorageError::Unavailable(error),
        _ => StorageError::Database(error),
    }
}
