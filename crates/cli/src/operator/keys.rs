//! Rotating keys while everything goes on.
//!
//! A *master key* (key-encryption key) wraps data keys: rotating it re-wraps them, one compare-and-swap each, and
//! then takes the old key away. A *data key* seals one organization's secrets: rotating it makes a new one and
//! reseals every credential, and what is sealed beside them (`sealed.rs`). Both stop anywhere and go on where they
//! stopped; a running server reads the key file again when it meets a key it does not know.

use serde_json::json;
use switchboard_broker::credential_context;
use switchboard_domain::{DataKeyId, KeyEncryptionKeyId, OrganizationId};
use switchboard_storage::{self as storage, KeyState, PutCredential, Sealed, StorageError, StoredCredential};
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
    pub(crate) async fn count_credentials(&self) -> Result<u64, Failure> {
        let mut tx = self.db.read().await?;
        let mut count = 0;
        for organization in tx.organizations().list().await? {
            count += tx.credentials().list(organization.id).await?.len() as u64;
            let providers = tx.identity_providers().list(organization.id).await?;
            count += providers.iter().filter(|provider| provider.secret.is_some()).count() as u64;
            count += tx.identities().count_sealed(organization.id).await?;
        }
        tx.rollback().await?;
        Ok(count)
    }

    /// A new data key for every organization, and every credential sealed with it.
    pub(crate) async fn rotate_data_keys(&self) -> Result<Rotated, Failure> {
        let mut rotated = Rotated::default();
        let organizations = self.db.single().await?.organizations().list().await?;
        for organization in organizations {
            let id = self.replace_data_key(organization.id).await?;
            rotated.new_data_keys += 1;
            rotated.resealed += self.reseal_with(organization.id, id).await?;
            let keys = self.opened_data_keys(organization.id).await?;
            rotated.resealed += self.reseal_beside_credentials(organization.id, id, &keys).await?;
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

    async fn reseal_with(&self, organization: OrganizationId, active: DataKeyId) -> Result<u64, Failure> {
        let (mut resealed, mut after) = (0, None);
        loop {
            let keys = self.opened_data_keys(organization).await?;
            let mut tx = self.db.single().await?;
            let batch = tx.credentials().not_sealed_with(organization, active, after, BATCH).await?;
            drop(tx);
            let Some(last) = batch.last() else { return Ok(resealed) };
            after = Some(last.info.id);
            for credential in &batch {
                resealed += u64::from(self.reseal_one(credential, active, &keys).await?);
            }
        }
    }

    async fn reseal_one(
        &self,
        credential: &StoredCredential,
        active: DataKeyId,
        keys: &[(DataKeyId, DataKey)],
    ) -> Result<bool, Failure> {
        let find = |id| keys.iter().find(|(known, _)| *known == id).map(|(_, key)| key);
        let (Some(old), Some(new)) = (find(credential.info.data_key), find(active)) else {
            return Err(Failure::failed(
                "A credential is sealed with a data key that is gone. Restore a backup.",
            ));
        };
        let sealed = vault::Sealed::from(credential.sealed.0.clone());
        let resealed = vault::reseal(old, new, &credential_context(&credential.info), &sealed, &*self.random)
            .map_err(|error| {
                Failure::failed(format!("Credential {} does not open: {error}.", credential.info.id))
            })?;
        let mut tx = self.db.write().await?;
        let stored = tx.credentials().reseal(&credential.info, active, &Sealed(resealed.into())).await?;
        // A stale row was replaced meanwhile, and sealed with the new key by whoever did.
        tx.organizations().touch(credential.info.organization).await?;
        tx.commit().await?;
        Ok(matches!(stored, PutCredential::Stored))
    }

    async fn opened_data_keys(
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

    /// Opens every data key and every credential; what does not open, in words.
    pub(crate) async fn verify_keys(&self) -> Result<(u64, Vec<String>), Failure> {
        let (mut checked, mut faults) = (0, Vec::new());
        let organizations = self.db.single().await?.organizations().list().await?;
        for organization in organizations {
            let keys = self.opened_data_keys(organization.id).await?;
            checked += keys.len() as u64;
            let (beside, wrong) = self.verify_beside_credentials(organization.id, &keys).await?;
            checked += beside;
            faults.extend(wrong);
            // No credential is sealed with the nil key: this lists all of them.
            let nobody = DataKeyId::from_uuid(uuid::Uuid::nil());
            let mut after = None;
            loop {
                let mut tx = self.db.single().await?;
                let batch = tx.credentials().not_sealed_with(organization.id, nobody, after, BATCH).await?;
                drop(tx);
                let Some(last) = batch.last() else { break };
                after = Some(last.info.id);
                for credential in &batch {
                    checked += 1;
                    faults.extend(fault_of(credential, &keys));
                }
            }
        }
        Ok((checked, faults))
    }

    /// The keys of the file as they are now: after one was added or removed.
    pub(crate) fn with_keyring(&mut self, keyring: Keyring) {
        self.keyring = std::sync::Arc::new(keyring);
    }
}

fn fault_of(credential: &StoredCredential, keys: &[(DataKeyId, DataKey)]) -> Option<String> {
    let info = &credential.info;
    let Some((_, key)) = keys.iter().find(|(id, _)| *id == info.data_key) else {
        return Some(format!("credential {} is sealed with {}, which is gone", info.id, info.data_key));
    };
    let sealed = vault::Sealed::from(credential.sealed.0.clone());
    vault::open(key, &credential_context(info), &sealed)
        .err()
        .map(|error| format!("credential {}: {error}", info.id))
}

fn damaged(id: DataKeyId, error: &vault::UnwrapError) -> Failure {
    Failure::failed(format!(
        "Data key {id} does not open: {error}. Restore the key file or the database from a backup."
    ))
}
