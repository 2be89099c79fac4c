//! Step 7 of a call: the stored secret becomes headers. The only module that opens one.
//!
//! Nothing falls back: without the credential that the permit names there is no call.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use switchboard_domain::{
    AuthType, Clock, Connection, ConnectionId, CredentialId, CredentialOwner, OrganizationId, Random,
    SecretValue,
};
use switchboard_policy::{MaintenancePermit, Permit};
use switchboard_storage::{
    CredentialHealth, CredentialInfo, Db, PutCredential, StorageError, StoredCredential,
};
use switchboard_vault::{SealContext, open, seal};
use zeroize::Zeroize as _;

use crate::{
    Broker,
    keys::{DataKeyError, DataKeys},
    upstream::UpstreamAuth,
};

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
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Key(#[from] DataKeyError),
}

/// What is sealed, as JSON.
#[derive(Serialize, Deserialize, Default)]
struct Plain {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api_key: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.api_key.zeroize();
        self.headers.values_mut().for_each(|value| value.zeroize());
    }
}

/// A secret to store.
#[derive(Debug)]
pub enum NewSecret {
    ApiKey(SecretValue),
    Headers(Vec<(String, SecretValue)>),
}

type CacheKey = (ConnectionId, CredentialOwner, i64, i64);

#[derive(Debug)]
pub(crate) struct Credentials {
    db: Db,
    keys: Arc<DataKeys>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// Opened credentials, for a short while: a call must not pay for opening what the last one opened.
    open: moka::sync::Cache<CacheKey, UpstreamAuth>,
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
        let key = (connection.id, owner, info.generation, connection.revision);
        if let Some(auth) = self.open.get(&key) {
            return Ok(auth);
        }
        let stored = self.db.single().await?.credentials().find(organization, connection.id, owner).await?;
        let stored = stored.ok_or(CredentialError::Missing)?;
        let auth = self.open_stored(connection, &stored).await?;
        self.open.insert((connection.id, owner, stored.info.generation, connection.revision), auth.clone());
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
        let plain: Plain = serde_json::from_slice(&plain).map_err(|_| CredentialError::Unreadable)?;
        let mut auth = UpstreamAuth { generation: info.generation, ..UpstreamAuth::default() };
        match connection.auth_type {
            AuthType::ApiKey => {
                let place = connection.auth.api_key.clone().unwrap_or_default();
                let secret = plain.api_key.as_deref().ok_or(CredentialError::Unreadable)?;
                let value = match place.scheme.as_deref().filter(|scheme| !scheme.is_empty()) {
                    Some(scheme) => format!("{scheme} {secret}"),
                    None => secret.to_owned(),
                };
                add(&mut auth, &place.header, &value, secret)?;
            }
            AuthType::Headers => {
                for (name, value) in &plain.headers {
                    add(&mut auth, name, value, value)?;
                }
            }
            _ => return Err(CredentialError::Unreadable),
        }
        Ok(auth)
    }

    /// Seals and stores a secret, in place of an older one. Durable when it returns.
    pub(crate) async fn put(
        &self,
        connection: &Connection,
        owner: CredentialOwner,
        secret: &NewSecret,
    ) -> Result<i64, CredentialError> {
        let mut plain = Plain::default();
        match secret {
            NewSecret::ApiKey(key) => plain.api_key = Some(key.expose().to_owned()),
            NewSecret::Headers(headers) => {
                plain.headers =
                    headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
            }
        }
        let bytes =
            zeroize::Zeroizing::new(serde_json::to_vec(&plain).map_err(|_| CredentialError::Unreadable)?);
        let key = self.keys.active(connection.organization).await?;
        // Somebody else may replace it at the same time: theirs counts, then ours.
        for _ in 0..5 {
            let before = self
                .db
                .single()
                .await?
                .credentials()
                .find(connection.organization, connection.id, owner)
                .await?;
            let info = CredentialInfo {
                id: before
                    .as_ref()
                    .map_or_else(|| CredentialId::new(&*self.clock, &*self.random), |before| before.info.id),
                organization: connection.organization,
                connection: connection.id,
                owner,
                data_key: key.id,
                generation: before.as_ref().map_or(1, |before| before.info.generation + 1),
                health: CredentialHealth::Healthy,
                expires_at: None,
                updated_at: self.clock.now(),
            };
            let sealed = seal(&key.key, &context_of(&info), &bytes, &*self.random);
            let generation = info.generation;
            let stored = StoredCredential { info, sealed: switchboard_storage::Sealed(sealed.0) };
            let mut tx = self.db.write().await?;
            if tx.credentials().put(&stored).await? == PutCredential::Stored {
                tx.commit().await?;
                return Ok(generation);
            }
        }
        Err(CredentialError::Unreadable)
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

fn add(auth: &mut UpstreamAuth, name: &str, value: &str, secret: &str) -> Result<(), CredentialError> {
    let refuse = || CredentialError::NotAHeader(name.to_owned());
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse())?;
    let mut header_value = HeaderValue::from_str(value).map_err(|_| refuse())?;
    header_value.set_sensitive(true);
    auth.headers.push((header, header_value));
    // Very short values would redact half of every answer.
    if secret.len() >= 8 {
        auth.secrets.push(SecretValue::new(secret));
        auth.secrets.push(SecretValue::new(STANDARD.encode(secret)));
    }
    Ok(())
}

impl Broker {
    /// Stores a credential in place of an older one; calls use it from now on.
    pub async fn put_credential(
        &self,
        organization: OrganizationId,
        connection: ConnectionId,
        owner: CredentialOwner,
        secret: NewSecret,
    ) -> Result<(), CredentialError> {
        let found = self.db().single().await?.connections().find(organization, connection).await?;
        let found = found.ok_or(CredentialError::Missing)?;
        self.credentials().put(&found, owner, &secret).await?;
        self.refresh_snapshots().await?;
        Ok(())
    }
}
