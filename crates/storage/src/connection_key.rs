//! The key that a connection signs the identity of its callers with. Its public half is shown to whoever asks.

use switchboard_domain::{ConnectionId, OrganizationId, Timestamp};
use uuid::Uuid;

use crate::{
    SealedWith, StorageError, Tx,
    statement::{execute, fetch_optional, statements},
};

/// A key as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionKeyRow {
    pub public_key: Vec<u8>,
    pub created_at: Timestamp,
    pub sealed: SealedWith,
}

statements! {
    INSERT = "INSERT INTO connection_key (organization_id, connection_id, public_key, created_at, data_key_id, sealed) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    FIND = "SELECT public_key, created_at, data_key_id, sealed FROM connection_key WHERE organization_id = $1 AND connection_id = $2";
}

#[derive(sqlx::FromRow)]
struct Row {
    public_key: Vec<u8>,
    created_at: i64,
    data_key_id: Uuid,
    sealed: Vec<u8>,
}

impl Tx {
    pub fn connection_keys(&mut self) -> ConnectionKeys<'_> {
        ConnectionKeys { tx: self }
    }
}

/// See [`Tx::connection_keys`].
#[derive(Debug)]
pub struct ConnectionKeys<'t> {
    tx: &'t mut Tx,
}

impl ConnectionKeys<'_> {
    /// Whether there was none yet: the first of two replicas makes it.
    pub async fn insert(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
        key: &ConnectionKeyRow,
    ) -> Result<bool, StorageError> {
        let (org, connection) = (organization.as_uuid(), connection.as_uuid());
        let (public, at) = (&key.public_key[..], key.created_at.as_micros());
        let (data_key, sealed) = (key.sealed.data_key.as_uuid(), &key.sealed.sealed.0[..]);
        Ok(execute!(self.tx, INSERT, org, connection, public, at, data_key, sealed)? == 1)
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
    ) -> Result<Option<ConnectionKeyRow>, StorageError> {
        let row = fetch_optional!(self.tx, FIND => Row, organization.as_uuid(), connection.as_uuid())?;
        Ok(row.and_then(|row| {
            let sealed = SealedWith::read(Some(row.data_key_id), Some(row.sealed))?;
            let created_at = Timestamp::from_micros(row.created_at);
            Some(ConnectionKeyRow { public_key: row.public_key, created_at, sealed })
        }))
    }
}
