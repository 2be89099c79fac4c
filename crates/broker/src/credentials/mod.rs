//! Step 7 of a call: the stored secret becomes headers. The only module that opens one.
//!
//! Nothing falls back: without the credential that the permit names there is no call.

mod client_credentials;
mod connection_key;
mod identity_token;
mod renewal;
pub(crate) mod revocation;
mod sealed;
mod secret;
mod store;
mod tokens;

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use switchboard_domain::{
    AuthType, Clock, Connection, ConnectionId, CredentialId, CredentialOwner, OrganizationId, Random,
};
use switchboard_policy::{MaintenancePermit, Permit};
use switchboard_storage::{
    CredentialHealth, CredentialInfo, Db, SealedColumn, SealedRow, StorageError, StoredCredential,
};
use switchboard_vault::{SealContext, open};
use tokio_util::task::TaskTracker;

pub(crate) use connection_key::ConnectionKey;
pub(crate) use identity_token::of_accounts;
pub use revocation::RevocationReport;
pub use secret::NewSecret;
pub use tokens::{UpstreamClient, UpstreamTokens};

use crate::{
    Broker,
    keys::{DataKeyError, DataKeys},
    upstream::UpstreamAuth,
};
use renewal::{Pause, Renewing};
use secret::Plain;
use tokens::Life;

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
    /// Its provider says so, or the upstream: only whoever it belongs to can make it work again.
    #[error("its provider no longer accepts it")]
    ReauthRequired,
    /// The member has no account at the organization's identity provider, and is called with it.
    #[error("the member has not signed in with the identity provider")]
    NotSignedIn,
    /// They have one, and have to sign in with it again.
    #[error("the member's sign-in with the identity provider is over")]
    SignInOver,
    /// The access token is over, and its provider can't be asked for another right now.
    #[error("its provider does not renew it at the moment")]
    NotRenewed { after: Duration },
    /// Ours, and on record already.
    #[error("Switchboard can't reach its own records")]
    Unavailable,
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
    /// Of tokens that end.
    life: Option<Life>,
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
    /// Keys that connections sign with.
    signing: moka::sync::Cache<ConnectionId, ConnectionKey>,
    renewals: Mutex<Renewals>,
    /// Accounts whose token an upstream refused of late: it is not asked for another one with every call.
    refused: moka::sync::Cache<CredentialId, ()>,
    /// Renewals under way; the end of the process waits for them.
    tasks: TaskTracker,
}

/// What is known of renewals in this process.
#[derive(Debug, Default)]
struct Renewals {
    under_way: HashMap<CredentialId, Renewing>,
    pauses: HashMap<CredentialId, Pause>,
}

impl Credentials {
    pub(crate) fn new(db: Db, keys: Arc<DataKeys>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let open =
            moka::sync::Cache::builder().max_capacity(10_000).time_to_idle(Duration::from_secs(300)).build();
        let refused =
            moka::sync::Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(300)).build();
        let signing =
            moka::sync::Cache::builder().max_capacity(10_000).time_to_idle(Duration::from_secs(300)).build();
        let (renewals, tasks) = (Mutex::default(), TaskTracker::new());
        Self { db, keys, clock, random, open, signing, renewals, refused, tasks }
    }

    /// For a call: the credential that the permit names, and no other.
    async fn unlock(
        &self,
        permit: &Permit,
        connection: &Connection,
        info: Option<&CredentialInfo>,
    ) -> Result<Opened, CredentialError> {
        debug_assert_eq!(
            (permit.organization(), permit.connection()),
            (connection.organization, connection.id)
        );
        if info.is_some_and(|info| info.health == CredentialHealth::ReauthRequired && has_tokens(connection))
        {
            return Err(CredentialError::ReauthRequired);
        }
        self.unlocked(connection, permit.credential(), info).await
    }

    async fn unlocked(
        &self,
        connection: &Connection,
        owner: CredentialOwner,
        info: Option<&CredentialInfo>,
    ) -> Result<Opened, CredentialError> {
        if connection.auth_type == AuthType::None {
            return Ok(Opened { auth: UpstreamAuth::default(), revision: connection.revision, life: None });
        }
        let info = info.filter(|info| info.owner == owner).ok_or(CredentialError::Missing)?;
        if info.health == CredentialHealth::Unreadable {
            return Err(CredentialError::Unreadable);
        }
        let kept = self.open.get(&(connection.id, owner));
        if let Some(opened) = kept.filter(|opened| opened.is_current(connection, info)) {
            return Ok(opened);
        }
        let organization = connection.organization;
        let stored = self.db.single().await?.credentials().find(organization, connection.id, owner).await?;
        self.open_and_keep(connection, &stored.ok_or(CredentialError::Missing)?).await
    }

    /// Opens it, and keeps it for the next who asks.
    async fn open_and_keep(
        &self,
        connection: &Connection,
        stored: &StoredCredential,
    ) -> Result<Opened, CredentialError> {
        let info = &stored.info;
        let plain = self.open_plain(stored).await?;
        let auth = plain.authenticate(connection)?;
        let auth = UpstreamAuth { credential: Some(info.id), generation: info.generation, ..auth };
        let life = match &plain.tokens {
            Some(tokens) => tokens.life(info.expires_at, &*self.random),
            None => plain.client_secret.as_ref().map(|_| Life::OVER),
        };
        let opened = Opened { auth, revision: connection.revision, life };
        self.open.insert((connection.id, info.owner), opened.clone());
        Ok(opened)
    }

    async fn open_plain(&self, stored: &StoredCredential) -> Result<Plain, CredentialError> {
        let info = &stored.info;
        let key =
            self.keys.by_id(info.organization, info.data_key).await?.ok_or(CredentialError::Unreadable)?;
        let sealed = switchboard_vault::Sealed(stored.sealed.0.clone());
        let plain = open(&key.key, &context_of(info), &sealed).map_err(|error| {
            tracing::error!(connection = %info.connection, %error, "a stored credential can't be opened");
            CredentialError::Unreadable
        })?;
        Plain::read(&plain)
    }

    /// Takes no new renewals and waits for those under way: what they get can't be asked for again.
    pub(crate) async fn finish(&self) {
        self.tasks.close();
        let _ =
            tokio::time::timeout(crate::connect::PATIENCE + Duration::from_secs(5), self.tasks.wait()).await;
    }

    pub(crate) fn forget(&self, connection: ConnectionId) {
        let opened: Vec<_> =
            self.open.iter().map(|(key, _)| *key).filter(|key| key.0 == connection).collect();
        opened.iter().for_each(|key| self.open.invalidate(key));
        self.signing.invalidate(&connection);
    }
}

/// Whether another token can be had when an upstream refuses the one it was sent.
pub(crate) const fn renews(connection: &Connection) -> bool {
    has_tokens(connection) || matches!(connection.auth_type, AuthType::UserOidc)
}

/// Whether its secret is tokens of a provider, which may say that they are over for good.
pub(crate) const fn has_tokens(connection: &Connection) -> bool {
    matches!(connection.auth_type, AuthType::OAuth | AuthType::ClientCredentials)
}

impl Broker {
    /// Forgets what this process has opened of a connection; the next call reads it again.
    pub fn forget_opened(&self, connection: ConnectionId) {
        self.credentials().forget(connection);
    }

    /// For work without a caller. Tokens that were refused are tried again while they live, and not renewed.
    pub(crate) async fn unlock_for_maintenance(
        &self,
        permit: &MaintenancePermit,
        connection: &Arc<Connection>,
        info: Option<&CredentialInfo>,
    ) -> Result<UpstreamAuth, CredentialError> {
        debug_assert_eq!(
            (permit.organization(), permit.connection()),
            (connection.organization, connection.id)
        );
        let owner = info.map_or(CredentialOwner::Shared, |info| info.owner);
        if connection.auth_type == AuthType::UserOidc {
            return self.token_of_person(connection, owner, None).await;
        }
        let opened = self.credentials().unlocked(connection, owner, info).await?;
        let is_over = opened.life.is_some_and(|life| self.clock().now() >= life.ends_at);
        if has_tokens(connection) && info.is_some_and(|info| info.health == CredentialHealth::ReauthRequired)
        {
            return if is_over { Err(CredentialError::ReauthRequired) } else { Ok(opened.auth) };
        }
        self.in_time(connection, owner, opened).await
    }
}

/// Where a value of any sealed column belongs, as its envelope says.
pub fn sealed_context(organization: OrganizationId, column: SealedColumn, row: &SealedRow) -> SealContext {
    let (table, field) = match column {
        // Tokens to revoke keep the envelope of the credential that they were.
        SealedColumn::Credential | SealedColumn::Revocation => ("credential", "secret"),
        SealedColumn::IdentityProvider => ("identity_provider", "client_secret"),
        SealedColumn::Identity | SealedColumn::IdentityRevocation => ("identity", "tokens"),
        SealedColumn::RefreshToken => ("oauth_refresh_token", "successor"),
        SealedColumn::Approval => ("approval", "sealed"),
        SealedColumn::UpstreamClient => ("upstream_client", "secret"),
        SealedColumn::UpstreamAuthorization => ("upstream_authorization", "verifier"),
        SealedColumn::ConnectionKey => ("connection_key", "sealed"),
        SealedColumn::Guardrail => ("guardrail", "secret"),
        SealedColumn::Webhook => ("webhook", "secret"),
        SealedColumn::KeptForm => ("kept_form", "sealed"),
    };
    SealContext { organization, table, row: row.row, owner: row.owner, field, version: row.version }
}

/// Where a credential's secret belongs: everything here is authenticated by its envelope.
pub(crate) fn context_of(info: &CredentialInfo) -> SealContext {
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
