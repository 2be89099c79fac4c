//! Keys at rest: which key-encryption keys this database knows (by a sentinel each, never the key), and each
//! organization's data keys, wrapped.

use switchboard_domain::{DataKeyId, KeyEncryptionKeyId, OrganizationId, Timestamp};
use uuid::Uuid;

use crate::{
    Sealed, StorageError, Tx,
    row::word,
    statement::{execute, fetch_all, statements},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// Seals new rows; one data key per organization.
    Active,
    /// Opens what it sealed, seals nothing.
    Retired,
}

impl KeyState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Active, Self::Retired].into_iter().find(|state| state.as_str() == word)
    }
}

/// A key-encryption key as this database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEncryptionKey {
    pub id: KeyEncryptionKeyId,
    /// A known text sealed with it: opening this proves that the right key was given.
    pub sentinel: Sealed,
    pub state: KeyState,
    pub created_at: Timestamp,
}

/// One organization's key for its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataKey {
    pub id: DataKeyId,
    pub organization: OrganizationId,
    pub key_encryption_key: KeyEncryptionKeyId,
    pub wrapped: Sealed,
    pub state: KeyState,
    pub created_at: Timestamp,
}

statements! {
    INSERT_KEY_ENCRYPTION_KEY = "INSERT INTO key_encryption_key (id, sentinel, state, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    LIST_KEY_ENCRYPTION_KEYS = "SELECT id, sentinel, state, created_at FROM key_encryption_key ORDER BY created_at, id";
    SET_KEY_ENCRYPTION_KEY_STATE = "UPDATE key_encryption_key SET state = $2 WHERE id = $1";
    DELETE_KEY_ENCRYPTION_KEY = "DELETE FROM key_encryption_key WHERE id = $1";
    INSERT_DATA_KEY = "INSERT INTO data_key (organization_id, id, key_encryption_key_id, wrapped, state, created_at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    DATA_KEYS = "SELECT organization_id, id, key_encryption_key_id, wrapped, state, created_at FROM data_key WHERE organization_id = $1 ORDER BY created_at, id";
    /// Rotating a key-encryption key goes through every organization's data keys.
    WRAPPED_BY_OTHERS = "SELECT organization_id, id, key_encryption_key_id, wrapped, state, created_at FROM data_key WHERE key_encryption_key_id <> $1 ORDER BY organization_id, id LIMIT $2";
    REWRAP = "UPDATE data_key SET key_encryption_key_id = $3, wrapped = $4 WHERE organization_id = $1 AND id = $2 AND key_encryption_key_id = $5";
    RETIRE_ACTIVE = "UPDATE data_key SET state = 'retired' WHERE organization_id = $1 AND state = 'active'";
    DELETE_DATA_KEY = "DELETE FROM data_key WHERE organization_id = $1 AND id = $2 AND state = 'retired' AND NOT EXISTS (SELECT 1 FROM credential c WHERE c.organization_id = $1 AND c.data_key_id = $2) AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.organization_id = $1 AND r.data_key_id = $2) AND NOT EXISTS (SELECT 1 FROM identity_revocation i WHERE i.organization_id = $1 AND i.data_key_id = $2)";
}

#[derive(sqlx::FromRow)]
struct KeyEncryptionKeyRow {
    id: Uuid,
    sentinel: Vec<u8>,
    state: String,
    created_at: i64,
}

#[derive(sqlx::FromRow)]
struct DataKeyRow {
    organization_id: Uuid,
    id: Uuid,
    key_encryption_key_id: Uuid,
    wrapped: Vec<u8>,
    state: String,
    created_at: i64,
}

impl TryFrom<KeyEncryptionKeyRow> for KeyEncryptionKey {
    type Error = StorageError;

    fn try_from(row: KeyEncryptionKeyRow) -> Result<Self, StorageError> {
        Ok(Self {
            id: KeyEncryptionKeyId::from_uuid(row.id),
            sentinel: Sealed(row.sentinel),
            state: word(&row.state, KeyState::from_word, "key state")?,
            created_at: Timestamp::from_micros(row.created_at),
        })
    }
}

impl TryFrom<DataKeyRow> for DataKey {
    type Error = StorageError;

    fn try_from(row: DataKeyRow) -> Result<Self, StorageError> {
        Ok(Self {
            id: DataKeyId::from_uuid(row.id),
            organization: OrganizationId::from_uuid(row.organization_id),
            key_encryption_key: KeyEncryptionKeyId::from_uuid(row.key_encryption_key_id),
            wrapped: Sealed(row.wrapped),
            state: word(&row.state, KeyState::from_word, "key state")?,
            created_at: Timestamp::from_micros(row.created_at),
        })
    }
}

impl Tx {
    pub fn keys(&mut self) -> Keys<'_> {
        Keys { tx: self }
    }
}

/// See [`Tx::keys`].
#[derive(Debug)]
pub struct Keys<'t> {
    tx: &'t mut Tx,
}

impl Keys<'_> {
    /// `false` when it is known already.
    pub async fn insert_key_encryption_key(self, key: &KeyEncryptionKey) -> Result<bool, StorageError> {
        let created_at = key.created_at.as_micros();
        let (id, sentinel) = (key.id.as_uuid(), &key.sentinel.0[..]);
        Ok(execute!(self.tx, INSERT_KEY_ENCRYPTION_KEY, id, sentinel, key.state.as_str(), created_at)? == 1)
    }

    pub async fn key_encryption_keys(self) -> Result<Vec<KeyEncryptionKey>, StorageError> {
        fetch_all!(self.tx, LIST_KEY_ENCRYPTION_KEYS => KeyEncryptionKeyRow)?
            .into_iter()
            .map(KeyEncryptionKeyRow::try_into)
            .collect()
    }

    pub async fn set_key_encryption_key_state(
        self,
        id: KeyEncryptionKeyId,
        state: KeyState,
    ) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, SET_KEY_ENCRYPTION_KEY_STATE, id.as_uuid(), state.as_str())? == 1)
    }

    /// [`StorageError::Reference`] while a data key is wrapped with it.
    pub async fn delete_key_encryption_key(self, id: KeyEncryptionKeyId) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, DELETE_KEY_ENCRYPTION_KEY, id.as_uuid())? == 1)
    }

    /// `false` when the organization has an active data key already (another replica was first): read again.
    pub async fn insert_data_key(self, key: &DataKey) -> Result<bool, StorageError> {
        let inserted = execute!(
            self.tx,
            INSERT_DATA_KEY,
            key.organization.as_uuid(),
            key.id.as_uuid(),
            key.key_encryption_key.as_uuid(),
            &key.wrapped.0[..],
            key.state.as_str(),
            key.created_at.as_micros(),
        )?;
        Ok(inserted == 1)
    }

    pub async fn data_keys(self, organization: OrganizationId) -> Result<Vec<DataKey>, StorageError> {
        fetch_all!(self.tx, DATA_KEYS => DataKeyRow, organization.as_uuid())?
            .into_iter()
            .map(DataKeyRow::try_into)
            .collect()
    }

    /// Up to `limit` data keys, of any organization, that are wrapped with another key than `active`.
    pub async fn not_wrapped_with(
        self,
        active: KeyEncryptionKeyId,
        limit: u32,
    ) -> Result<Vec<DataKey>, StorageError> {
        fetch_all!(self.tx, WRAPPED_BY_OTHERS => DataKeyRow, active.as_uuid(), i64::from(limit))?
            .into_iter()
            .map(DataKeyRow::try_into)
            .collect()
    }

    /// The same data key wrapped with another key, if it is still wrapped as in `key`.
    pub async fn rewrap(
        self,
        key: &DataKey,
        key_encryption_key: KeyEncryptionKeyId,
        wrapped: &Sealed,
    ) -> Result<bool, StorageError> {
        let (org, id) = (key.organization.as_uuid(), key.id.as_uuid());
        let (new, old) = (key_encryption_key.as_uuid(), key.key_encryption_key.as_uuid());
        Ok(execute!(self.tx, REWRAP, org, id, new, &wrapped.0[..], old)? == 1)
    }

    /// Retires the active data key, before another is inserted in the same transaction.
    pub async fn retire_active_data_key(self, organization: OrganizationId) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, RETIRE_ACTIVE, organization.as_uuid())? == 1)
    }

    /// Removes a retired data key that seals nothing any more.
    pub async fn delete_data_key(
        self,
        organization: OrganizationId,
        id: DataKeyId,
    ) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, DELETE_DATA_KEY, organization.as_uuid(), id.as_uuid())? == 1)
    }
}
