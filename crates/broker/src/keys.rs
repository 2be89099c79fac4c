//! Each organization's data keys, unwrapped and kept while the process runs.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use parking_lot::RwLock;
use switchboard_domain::{Clock, DataKeyId, OrganizationId, Random};
use switchboard_storage::{self as storage, Db, KeyState, StorageError};
use switchboard_vault::{self as vault, Keyring, WrappedKey};

/// Why a data key is not to be had: nothing is sealed or opened then.
#[derive(Debug, thiserror::Error)]
pub enum DataKeyError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the organization's data key does not open: {0}")]
    Unwrap(#[from] vault::UnwrapError),
}

/// A data key with its id.
#[derive(Debug, Clone)]
pub(crate) struct OpenKey {
    pub(crate) id: DataKeyId,
    pub(crate) key: Arc<vault::DataKey>,
}

/// Reads the master keys again: another process may have rotated them while this one runs.
type KeyringSource = Box<dyn Fn() -> Option<Keyring> + Send + Sync>;

pub(crate) struct DataKeys {
    db: Db,
    keyring: RwLock<Arc<Keyring>>,
    source: OnceLock<KeyringSource>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// All keys of an organization that were met, the active one first.
    open: RwLock<HashMap<OrganizationId, Vec<OpenKey>>>,
}

impl fmt::Debug for DataKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKeys").field("keyring", &self.keyring).finish_non_exhaustive()
    }
}

impl DataKeys {
    pub(crate) fn new(db: Db, keyring: Arc<Keyring>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self {
            db,
            keyring: RwLock::new(keyring),
            source: OnceLock::new(),
            clock,
            random,
            open: RwLock::default(),
        }
    }

    /// Where to look when a data key is wrapped with a master key that is not here. Set once.
    pub(crate) fn read_again_from(&self, source: KeyringSource) {
        let _ = self.source.set(source);
    }

    fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.keyring.read())
    }

    /// Whether there was something to read again.
    fn read_again(&self) -> bool {
        let Some(keyring) = self.source.get().and_then(|source| source()) else { return false };
        tracing::info!(primary = %keyring.primary(), "the master keys were read again");
        *self.keyring.write() = Arc::new(keyring);
        true
    }

    fn unwrap(
        &self,
        wrapped: &WrappedKey,
        organization: OrganizationId,
        id: DataKeyId,
    ) -> Result<vault::DataKey, vault::UnwrapError> {
        match self.keyring().unwrap(wrapped, organization, id) {
            Err(vault::UnwrapError::UnknownKey(_)) if self.read_again() => {
                self.keyring().unwrap(wrapped, organization, id)
            }
            outcome => outcome,
        }
    }

    /// The key to seal with, if there is one already: asking makes none.
    pub(crate) async fn existing(
        &self,
        organization: OrganizationId,
    ) -> Result<Option<OpenKey>, DataKeyError> {
        if let Some(first) = self.open.read().get(&organization).and_then(|keys| keys.first().cloned()) {
            return Ok(Some(first));
        }
        Ok(self.load(organization).await?.into_iter().next())
    }

    /// The key to seal with, made when the organization has none.
    pub(crate) async fn active(&self, organization: OrganizationId) -> Result<OpenKey, DataKeyError> {
        if let Some(first) = self.existing(organization).await? {
            return Ok(first);
        }
        self.make(organization).await?;
        let keys = self.load(organization).await?;
        keys.into_iter().next().ok_or(DataKeyError::Unwrap(vault::UnwrapError::NotAuthentic))
    }

    /// The key of this id, retired ones too.
    pub(crate) async fn by_id(
        &self,
        organization: OrganizationId,
        id: DataKeyId,
    ) -> Result<Option<OpenKey>, DataKeyError> {
        let find = |keys: &[OpenKey]| keys.iter().find(|key| key.id == id).cloned();
        if let Some(known) = self.open.read().get(&organization).and_then(|keys| find(keys)) {
            return Ok(Some(known));
        }
        Ok(find(&self.load(organization).await?))
    }

    /// Every key there is: old entries of the audit log were hashed with old ones.
    pub(crate) async fn all(&self, organization: OrganizationId) -> Result<Vec<OpenKey>, DataKeyError> {
        self.load(organization).await
    }

    /// Forgets what is open: keys were rotated.
    pub(crate) fn forget(&self) {
        self.open.write().clear();
    }

    async fn load(&self, organization: OrganizationId) -> Result<Vec<OpenKey>, DataKeyError> {
        let mut stored = self.db.single().await?.keys().data_keys(organization).await?;
        stored.sort_by_key(|key| key.state != KeyState::Active);
        let mut open = Vec::with_capacity(stored.len());
        for key in stored {
            let wrapped = WrappedKey { kek_id: key.key_encryption_key, bytes: key.wrapped.0 };
            let data_key = self.unwrap(&wrapped, organization, key.id)?;
            open.push(OpenKey { id: key.id, key: Arc::new(data_key) });
        }
        self.open.write().insert(organization, open.clone());
        Ok(open)
    }

    async fn make(&self, organization: OrganizationId) -> Result<(), DataKeyError> {
        match self.insert(organization).await {
            // The master key at hand is no longer one of this database's.
            Err(StorageError::Reference) if self.read_again() => Ok(self.insert(organization).await?),
            outcome => Ok(outcome?),
        }
    }

    async fn insert(&self, organization: OrganizationId) -> Result<(), StorageError> {
        let id = DataKeyId::new(&*self.clock, &*self.random);
        let key = vault::DataKey::generate(&*self.random);
        let wrapped = self.keyring().wrap(&key, organization, id, &*self.random);
        let mut tx = self.db.write().await?;
        // When another replica was first, its key is read next.
        tx.keys()
            .insert_data_key(&storage::DataKey {
                id,
                organization,
                key_encryption_key: wrapped.kek_id,
                wrapped: storage::Sealed(wrapped.bytes),
                state: KeyState::Active,
                created_at: self.clock.now(),
            })
            .await?;
        tx.commit().await
    }
}
