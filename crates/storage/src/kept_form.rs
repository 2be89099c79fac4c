//! Forms that wait for their member to sign in again, sealed: they may hold a key. The handle that finds one is here as
//! SHA-256 only.

use switchboard_domain::{DataKeyId, KeptFormId, MemberId, OrganizationId, Timestamp};
use switchboard_vault::Sealed;
use uuid::Uuid;

use crate::{
    SealedWith, StorageError, Tx,
    statement::{execute, fetch_optional, statements},
};

/// A form as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFormRow {
    pub organization: OrganizationId,
    pub id: KeptFormId,
    pub member: MemberId,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub form: SealedWith,
}

statements! {
    INSERT = "INSERT INTO kept_form (organization_id, id, member_id, handle_hash, data_key_id, created_at, expires_at, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    FIND = "SELECT id, data_key_id, created_at, expires_at, sealed FROM kept_form WHERE organization_id = $1 AND member_id = $2 AND handle_hash = $3 AND expires_at > $4";
    /// All of a member's but the newest.
    GIVE_WAY = "DELETE FROM kept_form WHERE organization_id = $1 AND member_id = $2 AND id NOT IN (SELECT id FROM kept_form WHERE organization_id = $1 AND member_id = $2 ORDER BY created_at DESC, id DESC LIMIT $3)";
    DELETE = "DELETE FROM kept_form WHERE organization_id = $1 AND member_id = $2 AND handle_hash = $3";
    FORGET = "DELETE FROM kept_form WHERE organization_id = $1 AND expires_at <= $2";
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    data_key_id: Uuid,
    created_at: i64,
    expires_at: i64,
    sealed: Vec<u8>,
}

impl Tx {
    pub fn kept_forms(&mut self) -> KeptForms<'_> {
        KeptForms { tx: self }
    }
}

/// See [`Tx::kept_forms`].
#[derive(Debug)]
pub struct KeptForms<'t> {
    tx: &'t mut Tx,
}

impl KeptForms<'_> {
    /// Keeps one, and of its member's others the newest: `most` in all.
    pub async fn insert(self, row: &KeptFormRow, handle: &[u8; 32], most: u32) -> Result<(), StorageError> {
        let (org, member) = (row.organization.as_uuid(), row.member.as_uuid());
        execute!(
            self.tx,
            INSERT,
            org,
            row.id.as_uuid(),
            member,
            &handle[..],
            row.form.data_key.as_uuid(),
            row.created_at.as_micros(),
            row.expires_at.as_micros(),
            &row.form.sealed.0[..],
        )?;
        execute!(self.tx, GIVE_WAY, org, member, i64::from(most)).map(drop)
    }

    pub async fn find(
        self,
        (organization, member): (OrganizationId, MemberId),
        handle: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<KeptFormRow>, StorageError> {
        let (org, owner) = (organization.as_uuid(), member.as_uuid());
        let found = fetch_optional!(self.tx, FIND => Row, org, owner, &handle[..], now.as_micros())?;
        Ok(found.map(|row| KeptFormRow {
            organization,
            id: KeptFormId::from_uuid(row.id),
            member,
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: Timestamp::from_micros(row.expires_at),
            form: SealedWith { data_key: DataKeyId::from_uuid(row.data_key_id), sealed: Sealed(row.sealed) },
        }))
    }

    pub async fn delete(
        self,
        (organization, member): (OrganizationId, MemberId),
        handle: &[u8; 32],
    ) -> Result<(), StorageError> {
        execute!(self.tx, DELETE, organization.as_uuid(), member.as_uuid(), &handle[..]).map(drop)
    }

    /// Those that nobody may send any more.
    pub async fn forget(self, organization: OrganizationId, now: Timestamp) -> Result<u64, StorageError> {
        execute!(self.tx, FORGET, organization.as_uuid(), now.as_micros())
    }
}
