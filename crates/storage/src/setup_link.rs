//! Single-use links that make the first owner: stored as a hash, burned by the first to redeem.

use switchboard_domain::{SetupLinkId, Timestamp};

use crate::{
    StorageError, Tx,
    statement::{execute, statements},
};

statements! {
    INSERT = "INSERT INTO setup_link (id, hash, created_at, expires_at, used_at) VALUES ($1, $2, $3, $4, NULL)";
    REDEEM = "UPDATE setup_link SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2";
    FORGET = "DELETE FROM setup_link WHERE used_at IS NULL OR expires_at < $1";
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

    /// Burns the link in this transaction; `false` when it is unknown, used or expired.
    pub async fn redeem(self, hash: &[u8; 32], now: Timestamp) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, REDEEM, &hash[..], now.as_micros())? == 1)
    }

    /// Removes links that nobody used or that are over: a new one replaces them.
    pub async fn forget_unused(self, now: Timestamp) -> Result<u64, StorageError> {
        execute!(self.tx, FORGET, now.as_micros())
    }
}
