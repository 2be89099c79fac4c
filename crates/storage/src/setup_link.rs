//! Single-use links that make the first owner: stored as a hash, burned by the first to redeem.

use switchboard_domain::{SetupLinkId, Timestamp};

use crate::{
    StorageError, Tx,
    statement::{execute, fetch_optional, statements},
};

statements! {
    INSERT = "INSERT INTO setup_link (id, hash, created_at, expires_at, used_at) VALUES ($1, $2, $3, $4, NULL)";
    FIND = "SELECT expires_at, used_at FROM setup_link WHERE hash = $1";
    REDEEM = "UPDATE setup_link SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2";
    FORGET = "DELETE FROM setup_link WHERE used_at IS NULL OR expires_at < $1";
}

/// What is known of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetupLinkFacts {
    pub expires_at: Timestamp,
    pub used_at: Option<Timestamp>,
}

impl Tx {
    pub fn setup_links(&mut self) -> SetupLinks<'_> {
        SetupLinks { tx: self }
    }
}

/// See [`Tx::setup_links`].
#[derive(Debug)]
pub struct SetupLinks<'t> {
    tx: &'t mut Tx,
}

impl SetupLinks<'_> {
    pub async fn insert(
        self,
        id: SetupLinkId,
        hash: &[u8; 32],
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StorageError> {
        let (now, expires_at) = (now.as_micros(), expires_at.as_micros());
        execute!(self.tx, INSERT, id.as_uuid(), &hash[..], now, expires_at).map(drop)
    }

    /// For the page that the link opens; opening it burns nothing.
    pub async fn find(self, hash: &[u8; 32]) -> Result<Option<SetupLinkFacts>, StorageError> {
        let row = fetch_optional!(self.tx, FIND => (i64, Option<i64>), &hash[..])?;
        Ok(row.map(|(expires_at, used_at)| SetupLinkFacts {
            expires_at: Timestamp::from_micros(expires_at),
            used_at: used_at.map(Timestamp::from_micros),
        }))
    }

    /// Burns the link in this transaction; `false` when it is unknown, used or expired.
    pub async fn redeem(self, hash: &[u8; 32], now: Timestamp) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, REDEEM, &hash[..], now.as_micros())? == 1)
    }

    /// Removes links that nobody used or that are over: a new one replaces them.
    pub async fn forget_unused(self, now: Timestamp) -> Result<u64, StorageError> {
        execute!(self.tx, FORGET, now.as_micros())
    }
}
