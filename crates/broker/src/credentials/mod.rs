//! Step 7 of a call: the stored secret becomes headers. The only module that opens one.
//!
//! Nothing falls back: without the credential that the permit names there is no call.

mod sealed;
mod secret;
mod store;
mod tokens;

use std::{sync::Arc, time::Duration};

use switchboard_domain::{
    AuthType, Clock, Connection, ConnectionId, CredentialOwner, OrganizationId, Random,
};
use switchboard_policy::{MaintenancePermit, Permit};
use switchboard_storage::{CredentialHealth, CredentialInfo, Db, StorageError, StoredCredential};
use switchboard_vault::{SealContext, open};

pub use secret::NewSecret;
pub use tokens::{ClientAuthMethod, UpstreamClient, UpstreamTokens};

use crate::{
    keys::{DataKeyError, DataKeys},
    upstream::UpstreamAuth,
};
use secret::Plain;

/// Why there is no usable credential.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Nothing is stored for this owner.
    #[error("no credential is stored")]
    Missing,
    /// It does not open: moved, damaged, or its key is gone.
    #[error("the stored credential can't be opened")]
    Unreadable,
    /// It can't be sent as a header.
    #[error("the value for header `{0}` can't be sent: it has characters that no header may have")]
    NotAHeader(String),
    /// The provider issued a token of a type that we can't use.
    #[error("the provider issued a token that is no bearer token")]
    NotBearer,
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Key(#[from] DataKeyError),
}

/// An opened credential and what it was opened from.
#[derive(Debug, Clone)]
struct Opened {
    auth: UpstreamAuth,
    /// Of the connection, which says in which header a key goes.
    revision: i64,
}

impl Opened {
    /// A generation that we have renewed ourselves may be ahead of what the snapshot tells.
    fn is_current(&self, connection: &Connection, info: &CredentialInfo) -> bool {
        self.revision == connection.revision
            && self.auth.credential == Some(info.id)
            && self.auth.generation >= info.generation
    }
}

#[derive(Debug)]
pub(crate) struct Credentials {
    db: Db,
    keys: Arc<DataKeys>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// Opened credentials, for a short while: a call must not pay for opening what the last one opened.
    open: moka::sync::Cache<(ConnectionId, CredentialOwner), Opened>,
}

impl Credentials {
    pub(crate) fn new(db: Db, keys: Arc<DataKeys>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let open =
            moka::sync::Cache::builder().max_capacity(10_000).time_to_idle(Duration::from_secs(300)).build();
        Self { db, keys, clock, random, open }
    }

    /// For a call: the credential that the permit names, and no other.
    pub(crate) async fn unlock(
        &self,
        permit: &Permit,
        connection: &Connection,
        info: Option<&CredentialInfo>,
    ) -> Result<UpstreamAuth, CredentialError> {
        debug_assert_eq!(permit.connection(), connection.id);
        self.unlocked(permit.organization(), connection, permit.credential(), info).await
    }

    /// For work without a caller.
    pub(crate) async fn unlock_for_maintenance(
        &self,
        permit: &MaintenancePermit,
        connection: &Connection,
        info: Option<&CredentialInfo>,
    ) -> Result<UpstreamAuth, CredentialError> {
        let owner = info.map_or(CredentialOwner::Shared, |info| info.owner);
        self.unlocked(permit.organization(), connection, owner, info).await
    }

    async fn unlocked(
        &self,
        organization: OrganizationId,
        connection: &Connection,
        owner: CredentialOwner,
        info: Option<&CredentialInfo>,
    ) -> Result<UpstreamAuth, CredentialError> {
        if connection.auth_type == AuthType::None {
            return Ok(UpstreamAuth::default());
        }
        let info = info.filter(|info| info.owner == owner).ok_or(CredentialError::Missing)?;
        if info.health == CredentialHealth::Unreadable {
            return Err(CredentialError::Unreadable);
        }
        let key = (connection.id, owner);
        if let Some(opened) = self.open.get(&key).filter(|opened| opened.is_current(connection, info)) {
            return Ok(opened.auth);
        }
        let stored = self.db.single().await?.credentials().find(organization, connection.id, owner).await?;
        let stored = stored.ok_or(CredentialError::Missing)?;
        let auth = self.open_stored(connection, &stored).await?;
        self.open.insert(key, Opened { auth: auth.clone(), revision: connection.revision });
        Ok(auth)
    }

    async fn open_stored(
        &self,
        connection: &Connection,
        stored: &StoredCredential,
    ) -> Result<UpstreamAuth, CredentialError> {
        let info = &stored.info;
        let key =
            self.keys.by_id(info.organization, info.data_key).await?.ok_or(CredentialError::Unreadable)?;
        let sealed = switchboard_vault::Sealed(stored.sealed.0.clone());
        let plain = open(&key.key, &context_of(info), &sealed).map_err(|error| {
            tracing::error!(connection = %connection.id, %error, "a stored credential can't be opened");
            CredentialError::Unreadable
        })?;
        let auth = Plain::read(&plain)?.authenticate(connection)?;
        Ok(UpstreamAuth { credential: Some(info.id), generation: info.generation, ..auth })
    }

    pub(crate) fn forget(&self, connection: ConnectionId) {
        // Entries of older generations and revisions are never asked for again; this only hastens their end.
        let _ = self.open.invalidate_entries_if(move |key, _| key.0 == connection);
    }
}

/// Where a credential's secret belongs: everything here is authenticated by its envelope.
pub fn context_of(info: &CredentialInfo) -> SealContext {
    SealContext {
        organization: info.organization,
        table: "credential",
        row: info.id.as_uuid(),
        owner: match info.owner {
            CredentialOwner::Shared => None,
            CredentialOwner::Member(member) => Some(member.as_uuid()),
        },
        field: "secret",
        version: info.generation,
    }
}
