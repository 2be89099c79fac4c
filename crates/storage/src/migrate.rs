//! Migrations: embedded, one transaction each, one process at a time, recorded with a checksum.
//!
//! SQLite serialises by `BEGIN IMMEDIATE`, PostgreSQL by an advisory lock held for the transaction. A process
//! that waited finds the work done and does nothing. A schema newer than this release is refused, and so is a
//! migration whose text changed after it was applied.

use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, Executor as _};
use switchboard_domain::Timestamp;

use crate::{Db, Dialect, StorageError, db::Backend, row::hex};

/// One step of the schema.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    pub version: i64,
    pub name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! migrations {
    ($($version:literal $name:literal),* $(,)?) => {
        &[$(Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../migrations/postgres/", $name, ".sql")),
        }),*]
    };
}

/// Every migration this release knows, in order.
pub const MIGRATIONS: &[Migration] = migrations![1 "0001_initial", 2 "0002_people", 3 "0003_approvals", 4 "0004_identity_providers",
    5 "0005_oauth_clients", 6 "0006_owners_and_parents", 7 "0007_revocations",
    8 "0008_connect", 9 "0009_audit_heads", 10 "0010_rollout", 11 "0011_identity_revocations", 12 "0012_webhooks",
    13 "0013_connection_keys",
    14 "0014_mcp_sessions", 15 "0015_usage", 16 "0016_pinned_kinds",
    17 "0017_people_lists", 18 "0018_mcp_tasks", 19 "0019_mcp_relay", 20 "0020_calls",
    21 "0021_guardrail", 22 "0022_webhook_format", 23 "0023_instructions_before",
    24 "0024_listed_order", 25 "0025_mcp_watched",
    26 "0026_mcp_task_place", 27 "0027_audit_pages", 28 "0028_kept_form"
];

impl Migration {
    /// Its SQL.
    pub const fn text(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        }
    }

    fn checksum(&self, dialect: Dialect) -> String {
        hex(&Sha256::digest(self.text(dialect)))
    }
}

/// Why this release can't work with the schema it found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    #[error(
        "the database has schema version {found}, made by Switchboard {release}; this release knows version {known}. \
         Install Switchboard {release} or newer, or restore a backup from before the upgrade"
    )]
    Newer { found: i64, known: i64, release: String },
    #[error(
        "migration {name} was applied with another text than this release has. Install the release that applied it \
         ({release}); don't edit migrations"
    )]
    Edited { name: String, release: String },
    #[error(
        "the database has schema version {found}, this release needs {needed}, and --no-migrate is set. \
         Run `switchboard migrate`, or start without --no-migrate"
    )]
    Pending { found: i64, needed: i64 },
    #[error("PostgreSQL {found} is too old: Switchboard needs {needed} or newer")]
    OldPostgres { found: u32, needed: u32 },
}

/// What is applied and what is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaStatus {
    /// Highest version applied; 0 for an empty database.
    pub applied: i64,
    /// Highest version this release knows.
    pub known: i64,
    /// Names of migrations to apply, in order.
    pub pending: Vec<&'static str>,
}

/// PostgreSQL's advisory locks are numbers; this one is ours ("switchbd").
const ADVISORY_LOCK: i64 = 0x7377_6974_6368_6264;

const CREATE: Statement = Statement {
    sqlite: "CREATE TABLE IF NOT EXISTS schema_migration (version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, \
             checksum TEXT NOT NULL, release TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT",
    postgres: "CREATE TABLE IF NOT EXISTS schema_migration (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, \
               checksum TEXT NOT NULL, release TEXT NOT NULL, applied_at BIGINT NOT NULL)",
};
const EXISTS: Statement = Statement {
    sqlite: "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_migration'",
    postgres: "SELECT count(*) FROM pg_class WHERE oid = to_regclass('schema_migration')",
};
const APPLIED: &str = "SELECT version, name, checksum, release FROM schema_migration ORDER BY version";
const RECORD: &str =
    "INSERT INTO schema_migration (version, name, checksum, release, applied_at) VALUES ($1, $2, $3, $4, $5)";

struct Statement {
    sqlite: &'static str,
    postgres: &'static str,
}

#[derive(sqlx::FromRow)]
struct Applied {
    version: i64,
    name: String,
    checksum: String,
    release: String,
}

/// The first migration that is not applied yet, after checking those that are.
fn next<'a>(
    applied: &[Applied],
    migrations: &'a [Migration],
    dialect: Dialect,
) -> Result<Option<&'a Migration>, SchemaError> {
    let known = migrations.last().map_or(0, |migration| migration.version);
    if let Some(newest) = applied.last().filter(|newest| newest.version > known) {
        return Err(SchemaError::Newer { found: newest.version, known, release: newest.release.clone() });
    }
    for row in applied {
        let same = migrations
            .iter()
            .any(|migration| migration.version == row.version && migration.checksum(dialect) == row.checksum);
        if !same {
            return Err(SchemaError::Edited { name: row.name.clone(), release: row.release.clone() });
        }
    }
    let last = applied.last().map_or(0, |row| row.version);
    Ok(migrations.iter().find(|migration| migration.version > last))
}

impl Db {
    /// Applies what is missing. `release` is written beside each, for the message an older release will show.
    pub async fn migrate(&self, release: &str, now: Timestamp) -> Result<SchemaStatus, StorageError> {
        self.migrate_with(MIGRATIONS, release, now).await
    }

    /// [`Db::migrate`] with migrations of the caller's: for tests of migrating itself.
    #[doc(hidden)]
    pub async fn migrate_with(
        &self,
        migrations: &[Migration],
        release: &str,
        now: Timestamp,
    ) -> Result<SchemaStatus, StorageError> {
        let is_new = self.schema_status_with(migrations).await?.applied == 0;
        while self.apply_one(migrations, (release, now), is_new).await? {}
        self.schema_status_with(migrations).await
    }

    /// What is applied; changes nothing. A schema this release can't work with is an error.
    pub async fn schema_status(&self) -> Result<SchemaStatus, StorageError> {
        self.schema_status_with(MIGRATIONS).await
    }

    /// Refuses a schema that is older than this release needs.
    pub async fn require_current_schema(&self) -> Result<(), StorageError> {
        let status = self.schema_status().await?;
        if status.pending.is_empty() {
            Ok(())
        } else {
            Err(SchemaError::Pending { found: status.applied, needed: status.known }.into())
        }
    }

    async fn schema_status_with(&self, migrations: &[Migration]) -> Result<SchemaStatus, StorageError> {
        let (exists, applied): (i64, Vec<Applied>) = match &self.inner.backend {
            Backend::Sqlite(sqlite) => {
                let exists = sqlx::query_scalar(EXISTS.sqlite).fetch_one(&sqlite.write).await?;
                let rows = if exists == 0 {
                    Vec::new()
                } else {
                    sqlx::query_as(APPLIED).fetch_all(&sqlite.write).await?
                };
                (exists, rows)
            }
            Backend::Postgres(postgres) => {
                let exists = sqlx::query_scalar(EXISTS.postgres).fetch_one(&postgres.write).await?;
                let rows = if exists == 0 {
                    Vec::new()
                } else {
                    sqlx::query_as(APPLIED).fetch_all(&postgres.write).await?
                };
                (exists, rows)
            }
        };
        debug_assert!(exists > 0 || applied.is_empty());
        next(&applied, migrations, self.dialect())?;
        let last = applied.last().map_or(0, |row| row.version);
        Ok(SchemaStatus {
            applied: last,
            known: migrations.last().map_or(0, |migration| migration.version),
            pending: migrations.iter().filter(|m| m.version > last).map(|m| m.name).collect(),
        })
    }

    /// Applies one migration in one transaction; whether there was one to apply.
    async fn apply_one(
        &self,
        migrations: &[Migration],
        (release, now): (&str, Timestamp),
        is_new: bool,
    ) -> Result<bool, StorageError> {
        macro_rules! apply {
            ($tx:ident, $dialect:expr, $create:expr) => {{
                $tx.execute(sqlx::raw_sql($create)).await?;
                let applied: Vec<Applied> = sqlx::query_as(APPLIED).fetch_all(&mut *$tx).await?;
                let Some(migration) = next(&applied, migrations, $dialect)? else {
                    $tx.commit().await?;
                    return Ok(false);
                };
                $tx.execute(sqlx::raw_sql(migration.text($dialect))).await?;
                sqlx::query(RECORD)
                    .bind(migration.version)
                    .bind(migration.name)
                    .bind(migration.checksum($dialect))
                    .bind(release)
                    .bind(now.as_micros())
                    .execute(&mut *$tx)
                    .await?;
                $tx.commit().await?;
                // Of a new database the start says once that all were applied.
                if is_new {
                    tracing::debug!(migration = migration.name, "database schema migrated");
                } else {
                    tracing::info!(migration = migration.name, "database schema migrated");
                }
            }};
        }
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => {
                let mut connection = sqlite.write.acquire().await?;
                let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
                apply!(tx, Dialect::Sqlite, CREATE.sqlite);
            }
            Backend::Postgres(postgres) => {
                let mut connection = postgres.write.acquire().await?;
                let mut tx = connection.begin().await?;
                // Another process may be migrating for long: wait for it, whatever the usual limits.
                tx.execute(sqlx::raw_sql("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"))
                    .await?;
                sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(ADVISORY_LOCK).execute(&mut *tx).await?;
                apply!(tx, Dialect::Postgres, CREATE.postgres);
            }
        }
        Ok(true)
    }
}

impl Migration {
    /// A migration of a test's own.
    #[doc(hidden)]
    pub const fn for_test(version: i64, name: &'static str, both: &'static str) -> Self {
        Self { version, name, sqlite: both, postgres: both }
    }
}
