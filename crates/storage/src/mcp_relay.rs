//! What processes tell each other about the requests of clients, and streams that are read at another process than the one
//! that runs their call.

use switchboard_domain::{DataKeyId, McpLetterId, OrganizationId, Timestamp};
use switchboard_vault::Sealed;
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    statement::{execute, fetch_all, statements},
};

/// A message from process to process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpLetter {
    pub id: McpLetterId,
    /// SHA-256 of what it is about: a session's id, or the handle of a call.
    pub about: [u8; 32],
    pub data_key: DataKeyId,
    pub body: Sealed,
}

/// A message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpEvent {
    pub id: McpLetterId,
    pub seq: i64,
    pub is_last: bool,
    pub data_key: DataKeyId,
    pub body: Sealed,
}

statements! {
    /// Unless too many about the same wait already.
    POST = "INSERT INTO mcp_letter (organization_id, id, about, created_at, data_key_id, body) SELECT $1, $2, $3, $4, $5, $6 WHERE (SELECT count(*) FROM mcp_letter WHERE organization_id = $1 AND about = $3) < $7";
    LETTERS = "SELECT id, data_key_id, body FROM mcp_letter WHERE organization_id = $1 AND created_at >= $2 ORDER BY created_at, id LIMIT $3";
    TELL = "INSERT INTO mcp_event (organization_id, stream, seq, is_last, created_at, data_key_id, body, id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
    TOLD = "SELECT id, seq, is_last, data_key_id, body FROM mcp_event WHERE organization_id = $1 AND stream = $2 AND seq > $3 ORDER BY seq LIMIT $4";
    FORGET_LETTERS = "DELETE FROM mcp_letter WHERE organization_id = $1 AND created_at < $2";
    FORGET_EVENTS = "DELETE FROM mcp_event WHERE organization_id = $1 AND created_at < $2";
}

impl Tx {
    pub fn mcp_relay(&mut self) -> McpRelay<'_> {
        McpRelay { tx: self }
    }
}

/// See [`Tx::mcp_relay`].
#[derive(Debug)]
pub struct McpRelay<'t> {
    tx: &'t mut Tx,
}

impl McpRelay<'_> {
    /// `false` when `most` letters about the same wait already.
    pub async fn post(
        self,
        organization: OrganizationId,
        letter: &McpLetter,
        now: Timestamp,
        most: i64,
    ) -> Result<bool, StorageError> {
        let posted = execute!(
            self.tx,
            POST,
            organization.as_uuid(),
            letter.id.as_uuid(),
            &letter.about[..],
            now.as_micros(),
            letter.data_key.as_uuid(),
            letter.body.as_bytes(),
            most
        )?;
        Ok(posted == 1)
    }

    /// Those that were posted since, the oldest first; what they are about is inside.
    pub async fn letters(
        self,
        organization: OrganizationId,
        since: Timestamp,
        most: i64,
    ) -> Result<Vec<(McpLetterId, DataKeyId, Sealed)>, StorageError> {
        type Row = (Uuid, Uuid, Vec<u8>);
        let rows = fetch_all!(self.tx, LETTERS => Row, organization.as_uuid(), since.as_micros(), most)?;
        let read =
            |(id, key, body): Row| (McpLetterId::from_uuid(id), DataKeyId::from_uuid(key), Sealed(body));
        Ok(rows.into_iter().map(read).collect())
    }

    pub async fn tell(
        self,
        organization: OrganizationId,
        stream: &[u8; 32],
        event: &McpEvent,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        execute!(
            self.tx,
            TELL,
            organization.as_uuid(),
            &stream[..],
            event.seq,
            event.is_last,
            now.as_micros(),
            event.data_key.as_uuid(),
            event.body.as_bytes(),
            event.id.as_uuid()
        )?;
        Ok(())
    }

    /// What was told of a stream after a place in it.
    pub async fn told(
        self,
        organization: OrganizationId,
        stream: &[u8; 32],
        after: i64,
        most: i64,
    ) -> Result<Vec<McpEvent>, StorageError> {
        type Row = (Uuid, i64, bool, Uuid, Vec<u8>);
        let rows = fetch_all!(self.tx, TOLD => Row, organization.as_uuid(), &stream[..], after, most)?;
        let read = |(id, seq, is_last, key, body): Row| McpEvent {
            id: McpLetterId::from_uuid(id),
            seq,
            is_last,
            data_key: DataKeyId::from_uuid(key),
            body: Sealed(body),
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// What is older than `before`.
    pub async fn forget(self, organization: OrganizationId, before: Timestamp) -> Result<u64, StorageError> {
        let letters = execute!(self.tx, FORGET_LETTERS, organization.as_uuid(), before.as_micros())?;
        Ok(letters + execute!(self.tx, FORGET_EVENTS, organization.as_uuid(), before.as_micros())?)
    }
}
