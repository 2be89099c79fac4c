//! PostgreSQL 14 and newer, through three pools: `read` (its sessions refuse writes), `write`, and `audit`,
//! whose commits don't wait for the disk unless the setting is strict
//! (<https://www.postgresql.org/docs/current/wal-async-commit.html>: an acknowledged entry survives the end of
//! this process; the database server's own crash may lose the last moments).

use std::{str::FromStr as _, time::Duration};

use sqlx::{
    Connection as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{AuditDurability, Options, SchemaError, StorageError};

const OLDEST: u32 = 14;
/// A pooled connection that was idle for longer is asked whether it still lives before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) read: PgPool,
    pub(crate) write: PgPool,
    pub(crate) audit: PgPool,
}

impl Postgres {
    pub(crate) async fn open(url: &str, options: &Options) -> Result<Self, StorageError> {
        let base = PgConnectOptions::from_str(url)
            .map_err(|error| StorageError::Url { url: url.into(), detail: error.to_string() })?
            .application_name("switchboard")
            .statement_cache_capacity(256)
            .options([
                ("statement_timeout", options.statement_timeout.as_millis().to_string()),
                ("lock_timeout", options.acquire_timeout.as_millis().to_string()),
                ("idle_in_transaction_session_timeout", "60000".into()),
            ]);
        let pool = |connections: u32| {
            PgPoolOptions::new()
                .max_connections(connections.max(1))
                .acquire_timeout(options.acquire_timeout)
                .test_before_acquire(false)
                .before_acquire(|connection, meta| {
                    Box::pin(
                        async move { Ok(meta.idle_for < TRUSTED_IDLE || connection.ping().await.is_ok()) },
                    )
                })
        };
        let write = pool(options.write_connections).connect_with(base.clone()).await?;
        let found = write.acquire().await?.server_version_num().unwrap_or(0) / 10_000;
        if found < OLDEST {
            return Err(SchemaError::OldPostgres { found, needed: OLDEST }.into());
        }
        let read = pool(options.read_connections)
            .connect_lazy_with(base.clone().options([("default_transaction_read_only", "on")]));
        let audit = match options.audit_durability {
            AuditDurability::Process => base.options([("synchronous_commit", "off")]),
            AuditDurability::Strict => base,
        };
        // Two for groups of entries, one for listening.
        let audit = pool(3).connect_lazy_with(audit);
        Ok(Self { read, write, audit })
    }

    pub(crate) async fn close(&self) {
        self.read.close().await;
        self.audit.close().await;
        self.write.close().await;
    }
}
