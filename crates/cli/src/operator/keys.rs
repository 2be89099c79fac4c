//! Rotating keys while everything goes on.
//!
//! A *master key* (key-encryption key) wraps data keys: rotating it re-wraps them, one compare-and-swap each, and
//! then takes the old key away. A *data key* seals one organization's secrets: rotating it makes a new one and
//! reseals everything that is sealed with the old one (`sealed.rs`). Both stop anywhere and go on where they
//! stopped; a running server reads the key file again when it meets a key it does not know.

use serde_json::json;
use switchboard_domain::{DataKeyId, KeyEncryptionKeyId, OrganizationId};
use switchboard_storage::{self as storage, KeyState, Sealed, SealedColumn, StorageError};
use switchboard_vault::{self as vault, DataKey, Keyring, WrappedKey};

use super::{Operator, audit::Change};
use crate::failure::Failure;

const BATCH: u32 = 100;

/// What a rotation of data keys did.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Rotated {
    pub(crate) resealed: u64,
    pub(crate) new_data_keys: u64,
}

/// One master key as `keys list` shows it.
pub(crate) struct KeyInUse {
    pub(crate) id: KeyEncryptionKeyId,
    pub(crate) is_primary: bool,
    pub(crate) is_here: bool,
    pub(crate) is_recorded: bool,
    pub(crate) data_keys: u64,
}

impl Operator {
    /// Every master key that is here or that the database knows.
    pub(crate) async fn keys_in_use(&self) -> Result<Vec<KeyInUse>, Failure> {
        let all = self.data_keys().await?;
        let recorded = self.db.single().await?.keys().key_encryption_keys().await?;
        let mut ids: Vec<_> = self.keyring.ids().collect();
        for id in recorded.iter().map(|kek| kek.id) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let shown = ids.into_iter().map(|id| KeyInUse {
            id,
            is_primary: id == self.keyring.primary(),
            is_here: self.keyring.contains(id),
            is_recorded: recorded.iter().any(|kek| kek.id == id && kek.state == KeyState::Active),
            data_keys: all.iter().filter(|key| key.key_encryption_key == id).count() as u64,
        });
        Ok(shown.collect())
    }

    async fn data_keys(&self) -> Result<Vec<storage::DataKey>, StorageError> {
        let mut tx = self.db.read().await?;
        let mut keys = Vec::new();
        for organization in tx.organizations().list().await? {
            keys.extend(tx.keys().data_keys(organization.id).await?);
        }
        tx.rollback().await?;
        Ok(keys)
    }

    /// Wraps every data key with the primary.
    pub(crate) async fn rewrap_all(&self) -> Result<u64, Failure> {
        let primary = self.keyring.primary();
        let mut rewrapped = 0;
        loop {
            let left = self.db.single().await?.keys().not_wrapped_with(primary, BATCH).await?;
            if left.is_empty() {
                return Ok(rewrapped);
            }
            for key in left {
                let wrapped = WrappedKey { kek_id: key.key_encryption_key, bytes: key.wrapped.0.clone() };
                let again = self
                    .keyring
                    .rewrap(&wrapped, key.organization, key.id, &*self.random)
                    .map_err(|error| damaged(key.id, &error))?;
                let mut tx = self.db.write().await?;
                // Another process may have been first: then there is nothing to do.
                rewrapped += u64::from(tx.keys().rewrap(&key, again.kek_id, &Sealed(again.bytes)).await?);
                tx.commit().await?;
            }
        }
    }

    /// Forgets master keys that wrap nothing any more; the database refuses while one does.
    pub(crate) async fn forget_unused(&self) -> Result<Vec<KeyEncryptionKeyId>, Failure> {
        let mut forgotten = Vec::new();
        for key in self.keys_in_use().await? {
            if key.is_primary || key.data_keys > 0 {
                continue;
            }
            let mut tx = self.db.write().await?;
            match tx.keys().delete_key_encryption_key(key.id).await {
                Ok(_) => {
                    tx.commit().await?;
                    forgotten.push(key.id);
                }
                Err(StorageError::Reference) => tx.rollback().await?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(forgotten)
    }

    /// What [`Self::rotate_data_keys`] would reseal.
    pub(crate) async fn count_sealed(&self) -> Result<u64, Failure> {
        let mut tx = self.db.read().await?;
        let mut count = 0;
        for organization in tx.organizations().list().await? {
            for column in SealedColumn::ALL {
                count += tx.sealed().count(column, organization.id).await?;
            }
        }
        tx.rollback().await?;
        Ok(count)
    }

    /// A new data key for every organization, and everything that is sealed sealed with it.
    pub(crate) async fn rotate_data_keys(&self) -> Result<Rotated, Failure> {
        let mut rotated = Rotated::default();
        let organizations = self.db.single().await?.organizations().list().await?;
        for organization in organizations {
            let id = self.replace_data_key(organization.id).await?;
            rotated.new_data_keys += 1;
            for column in SealedColumn::ALL {
                rotated.resealed += self.reseal_column(column, organization.id, id).await?;
            }
        }
        Ok(rotated)
    }

    async fn replace_data_key(&self, organization: OrganizationId) -> Result<DataKeyId, Failure> {
        let id = DataKeyId::new(&*self.clock, &*self.random);
        let wrapped = self.keyring.wrap(&DataKey::generate(&*self.random), organization, id, &*self.random);
        let mut tx = self.db.write().await?;
        tx.keys().retire_active_data_key(organization).await?;
        let key = storage::DataKey {
            id,
            organization,
            key_encryption_key: wrapped.kek_id,
            wrapped: Sealed(wrapped.bytes),
            state: KeyState::Active,
            created_at: self.clock.now(),
        };
        tx.keys().insert_data_key(&key).await?;
        let change = Change {
            organization,
            action: "key.rotate",
            target: id.to_string(),
            details: json!({"kind": "data_key"}),
        };
        self.record(&mut tx, change).await?;
        tx.organizations().touch(organization).await?;
        tx.commit().await?;
        Ok(id)
    }

    pub(super) async fn opened_data_keys(
        &self,
        organization: OrganizationId,
    ) -> Result<Vec<(DataKeyId, DataKey)>, Failure> {
        let stored = self.db.single().await?.keys().data_keys(organization).await?;
        let opened = stored.into_iter().map(|key| {
            let wrapped = WrappedKey { kek_id: key.key_encryption_key, bytes: key.wrapped.0 };
            let opened = self
                .keyring
                .unwrap(&wrapped, organization, key.id)
                .map_err(|error| damaged(key.id, &error))?;
            Ok((key.id, opened))
        });
        opened.collect()
    }

    /// Opens every data key and everything that is sealed; what does not open, in words.
    pub(crate) async fn verify_keys(&self) -> Result<(u64, Vec<String>), Failure> {
        let (mut checked, mut faults) = (0, Vec::new());
        let organizations = self.db.single().await?.organizations().list().await?;
        for organization in organizations {
            let keys = self.opened_data_keys(organization.id).await?;
            checked += keys.len() as u64;
            for column in SealedColumn::ALL {
                let (values, wrong) = self.verify_column(column, organization.id, &keys).await?;
                checked += values;
                faults.extend(wrong);
            }
        }
        Ok((checked, faults))
    }

    /// The keys of the file as they are now: after one was added or removed.
    pub(crate) fn with_keyring(&mut self, keyring: Keyring) {
        self.keyring = std::sync::Arc::new(keyring);
    }
}

fn damaged(id: DataKeyId, error: &vault::UnwrapError) -> Failure {
    Failure::failed(format!(
        "Data key {id} does not open: {error}. Restore the key file or the database from a backup."
    ))
}
