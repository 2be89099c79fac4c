//! Signed statements about the audit log's chains, and the one way in which entries leave: from the front of a chain, up
//! to a signed checkpoint, when the organization's retention says so.

use switchboard_domain::{OrganizationId, Timestamp, WriterId};
use switchboard_vault::{HeadStatement, StatementKind};
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    row::{digest, word},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// A statement with its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    pub statement: HeadStatement,
    pub public_key: [u8; 32],
    pub signature: [u8; 64],
}

statements! {
    /// A statement never goes back.
    PUT = "INSERT INTO audit_head (organization_id, writer_id, kind, seq, at, hash, public_key, signature) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (organization_id, writer_id, kind) DO UPDATE SET seq = excluded.seq, at = excluded.at, hash = excluded.hash, public_key = excluded.public_key, signature = excluded.signature WHERE excluded.seq > audit_head.seq";
    LIST = "SELECT organization_id, writer_id, kind, seq, at, hash, public_key, signature FROM audit_head WHERE organization_id = $1 ORDER BY writer_id, kind";
    FIND = "SELECT organization_id, writer_id, kind, seq, at, hash, public_key, signature FROM audit_head WHERE organization_id = $1 AND writer_id = $2 AND kind = $3";
    FIRST = "SELECT seq FROM audit_entry WHERE organization_id = $1 AND writer_id = $2 ORDER BY seq LIMIT 1";
    /// The first entry that is not old yet.
    FIRST_KEPT = "SELECT seq FROM audit_entry WHERE organization_id = $1 AND writer_id = $2 AND at >= $3 ORDER BY seq LIMIT 1";
    AT = "SELECT hash FROM audit_entry WHERE organization_id = $1 AND writer_id = $2 AND seq = $3";
    /// Only after a checkpoint for `seq` was put in the same transaction.
    DELETE_UP_TO_CHECKPOINT = "DELETE FROM audit_entry WHERE organization_id = $1 AND writer_id = $2 AND seq <= $3 AND EXISTS (SELECT 1 FROM audit_head h WHERE h.organization_id = $1 AND h.writer_id = $2 AND h.kind = 'checkpoint' AND h.seq >= $3)";
}

#[derive(sqlx::FromRow)]
struct Row {
    organization_id: Uuid,
    writer_id: Uuid,
    kind: String,
    seq: i64,
    at: i64,
    hash: Vec<u8>,
    public_key: Vec<u8>,
    signature: Vec<u8>,
}

impl TryFrom<Row> for SignedHead {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        let signature = row.signature.as_slice().try_into();
        Ok(Self {
            statement: HeadStatement {
                kind: word(&row.kind, StatementKind::from_word, "audit head")?,
                organization: OrganizationId::from_uuid(row.organization_id),
                writer: WriterId::from_uuid(row.writer_id),
                seq: row.seq,
                hash: digest(&row.hash, "audit head")?,
                at: Timestamp::from_micros(row.at),
            },
            public_key: digest(&row.public_key, "audit head")?,
            signature: signature.map_err(|_| StorageError::Unreadable("audit head"))?,
        })
    }
}

impl Tx {
    pub fn audit_heads(&mut self) -> AuditHeads<'_> {
        AuditHeads { tx: self }
    }
}

/// See [`Tx::audit_heads`].
#[derive(Debug)]
pub struct AuditHeads<'t> {
    tx: &'t mut Tx,
}

impl AuditHeads<'_> {
    /// Keeps a statement, unless there is one that goes as far.
    pub async fn put(self, head: &SignedHead) -> Result<(), StorageError> {
        let said = &head.statement;
        execute!(
            self.tx,
            PUT,
            said.organization.as_uuid(),
            said.writer.as_uuid(),
            said.kind.as_str(),
            said.seq,
            said.at.as_micros(),
            said.hash.as_slice(),
            head.public_key.as_slice(),
            head.signature.as_slice(),
        )
        .map(drop)
    }

    pub async fn list(self, organization: OrganizationId) -> Result<Vec<SignedHead>, StorageError> {
        let rows = fetch_all!(self.tx, LIST => Row, organization.as_uuid())?;
        rows.into_iter().map(Row::try_into).collect()
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        writer: WriterId,
        kind: StatementKind,
    ) -> Result<Option<SignedHead>, StorageError> {
        let (organization, writer) = (organization.as_uuid(), writer.as_uuid());
        let row = fetch_optional!(self.tx, FIND => Row, organization, writer, kind.as_str())?;
        row.map(Row::try_into).transpose()
    }

    /// What of one chain is older than `before`: from its first entry, at most `limit` of them. The sequence number and
    /// hash of the last one.
    pub async fn expired(
        self,
        organization: OrganizationId,
        writer: WriterId,
        before: Timestamp,
        limit: i64,
    ) -> Result<Option<(i64, [u8; 32])>, StorageError> {
        let (organization, writer) = (organization.as_uuid(), writer.as_uuid());
        let Some((first,)) = fetch_optional!(self.tx, FIRST => (i64,), organization, writer)? else {
            return Ok(None);
        };
        let kept = fetch_optional!(self.tx, FIRST_KEPT => (i64,), organization, writer, before.as_micros())?;
        let mut last = first.saturating_add(limit - 1);
        match kept {
            Some((kept,)) => last = last.min(kept - 1),
            None => {
                let head =
                    fetch_optional!(self.tx, crate::audit::HEAD => (i64, Vec<u8>), organization, writer)?;
                last = last.min(head.map_or(0, |(seq, _)| seq));
            }
        }
        if last < first {
            return Ok(None);
        }
        let found = fetch_optional!(self.tx, AT => (Vec<u8>,), organization, writer, last)?;
        found.map(|(hash,)| Ok((last, digest(&hash, "audit hash")?))).transpose()
    }

    /// Deletes the front of a chain, up to the checkpoint that was put before.
    pub async fn delete_up_to(self, checkpoint: &HeadStatement) -> Result<u64, StorageError> {
        let (organization, writer) = (checkpoint.organization.as_uuid(), checkpoint.writer.as_uuid());
        execute!(self.tx, DELETE_UP_TO_CHECKPOINT, organization, writer, checkpoint.seq)
    }
}
