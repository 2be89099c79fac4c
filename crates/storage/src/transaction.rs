//! A transaction on either database. Dropped without a commit, it is rolled back.

use std::fmt;

use sqlx::{Database, Pool, Postgres, Sqlite, Transaction, pool::PoolConnection};
use switchboard_domain::OrganizationId;
use tokio::sync::OwnedSemaphorePermit;

use crate::{Change, Dialect, StorageError, changes::Hint};

/// A connection of one driver, with or without an open transaction.
pub(crate) enum Link<D: Database> {
    Single(PoolConnection<D>),
    Open(Transaction<'static, D>),
}

impl<D: Database> Link<D> {
    pub(crate) async fn single(pool: &Pool<D>) -> Result<Self, StorageError> {
        Ok(Self::Single(pool.acquire().await?))
    }

    pub(crate) async fn begin(pool: &Pool<D>, statement: &'static str) -> Result<Self, StorageError> {
        Ok(Self::Open(pool.begin_with(statement).await?))
    }

    pub(crate) fn connection(&mut self) -> &mut D::Connection {
        match self {
            Self::Single(connection) => connection,
            Self::Open(transaction) => transaction,
        }
    }

    async fn commit(self) -> Result<(), StorageError> {
        match self {
            Self::Single(_) => Ok(()),
            Self::Open(transaction) => Ok(transaction.commit().await?),
        }
    }

    async fn rollback(self) -> Result<(), StorageError> {
        match self {
            Self::Single(_) => Ok(()),
            Self::Open(transaction) => Ok(transaction.rollback().await?),
        }
    }
}

/// The link of a transaction, in its own driver's type.
pub(crate) enum Driver {
    Sqlite(Link<Sqlite>),
    Postgres(Link<Postgres>),
}

/// A transaction, or, from [`crate::Db::single`], a connection for one statement.
pub struct Tx {
    driver: Driver,
    changed: Vec<OrganizationId>,
    hint: Hint,
    /// SQLite has one writer at a time: waiting here is fair and immediate, its own busy handler sleeps.
    /// Declared last: given up only after the connection went back.
    turn: Option<OwnedSemaphorePermit>,
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("dialect", &self.dialect()).finish_non_exhaustive()
    }
}

impl Tx {
    pub(crate) fn new(driver: Driver, hint: Hint, turn: Option<OwnedSemaphorePermit>) -> Self {
        Self { driver, changed: Vec::new(), hint, turn }
    }

    pub(crate) fn driver(&mut self) -> &mut Driver {
        &mut self.driver
    }

    pub const fn dialect(&self) -> Dialect {
        match self.driver {
            Driver::Sqlite(_) => Dialect::Sqlite,
            Driver::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Remembers whose version was raised, to tell in-process listeners after the commit.
    pub(crate) fn note_change(&mut self, organization: OrganizationId) {
        if !self.changed.contains(&organization) {
            self.changed.push(organization);
        }
    }

    /// Makes everything in this transaction durable, as the pool it came from promises.
    pub async fn commit(self) -> Result<(), StorageError> {
        let Self { driver, changed, hint, turn } = self;
        match driver {
            // PostgreSQL tells every process by itself, this one too.
            Driver::Postgres(link) => link.commit().await,
            Driver::Sqlite(link) => {
                link.commit().await?;
                drop(turn);
                for organization in changed {
                    hint.send(Change::Organization(organization));
                }
                Ok(())
            }
        }
    }

    /// Undoes everything in this transaction; dropping it does the same, a little later.
    pub async fn rollback(self) -> Result<(), StorageError> {
        match self.driver {
            Driver::Sqlite(link) => link.rollback().await,
            Driver::Postgres(link) => link.rollback().await,
        }
    }
}
