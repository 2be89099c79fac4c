//! What a provider gave, sealed: its client secret, and each member's tokens; and how tokens stay fresh.
//!
//! A refresh token may work once only, so one refresh runs for any number of callers and replicas: under a lease row,
//! in a task of its own that no caller can cut off, and stored with compare-and-swap on the generation.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard_domain::{IdentityId, MemberId, OrganizationId, SecretValue, Timestamp};
use switchboard_storage::{
    CredentialHealth, Identity, IdentityProvider, IdentityRevocation, Lease, SealedWith, StorageError,
};
use switchboard_vault::SealContext;
use zeroize::{Zeroize as _, Zeroizing};

use super::{SignInError, answer::ProviderTokens, protocol::RefreshFailure};
use crate::{Broker, DataKeyError, credentials::CredentialError, keys::OpenKey};

/// A token with less life than this is refreshed first.
const LEFT: Duration = Duration::from_secs(60);
/// How long one refresh may hold the lease: longer than the exchange with the provider may take.
const LEASE: Duration = Duration::from_secs(45);
/// How long somebody waits for another's refresh, and how often they look.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// A member's access token at their identity provider, fresh enough to be used.
#[derive(Debug, Clone)]
pub struct IdpToken {
    pub access: SecretValue,
    /// None when the provider did not say.
    pub expires_at: Option<Timestamp>,
    /// Of which account.
    pub identity: IdentityId,
    /// Which generation it is of: name it when the token turns out not to work.
    pub generation: i64,
}

/// Why there is none.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IdpTokenError {
    /// The member never signed in with an identity provider that is still there.
    #[error("the member has no account at an identity provider")]
    NoAccount,
    /// Only the member can mend it, by signing in with the provider again.
    #[error("the member has to sign in with the identity provider again")]
    ReauthRequired,
    #[error("the identity provider can't be reached: {0}")]
    Unreachable(String),
    #[error("records can't be reached")]
    Unavailable,
}

impl From<StorageError> for IdpTokenError {
    fn from(error: StorageError) -> Self {
        tracing::error!(%error, "a member's token can't be read");
        Self::Unavailable
    }
}

impl From<SignInError> for IdpTokenError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Unreachable(text) | SignInError::Untrusted(text) => Self::Unreachable(text),
            _ => Self::Unavailable,
        }
    }
}

/// What is sealed, as JSON.
#[derive(Serialize, Deserialize)]
struct Plain {
    access_token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.access_token.zeroize();
        self.refresh_token.zeroize();
        self.id_token.zeroize();
    }
}

/// Where a provider's client secret belongs: everything here is authenticated by its envelope.
fn identity_provider_context(provider: &IdentityProvider) -> SealContext {
    SealContext {
        organization: provider.organization,
        table: "identity_provider",
        row: provider.id.as_uuid(),
        owner: None,
        field: "client_secret",
        version: provider.secret_version,
    }
}

/// Where a member's tokens belong.
fn identity_context(identity: &Identity) -> SealContext {
    tokens_context(identity.organization, identity.id, identity.member, identity.generation)
}

fn tokens_context(
    organization: OrganizationId,
    identity: IdentityId,
    member: MemberId,
    generation: i64,
) -> SealContext {
    SealContext {
        organization,
        table: "identity",
        row: identity.as_uuid(),
        owner: Some(member.as_uuid()),
        field: "tokens",
        version: generation,
    }
}

impl Broker {
    /// Seals a provider's secret for the row as it will be.
    pub(crate) async fn seal_provider_secret(
        &self,
        provider: &IdentityProvider,
        secret: &SecretValue,
    ) -> Result<SealedWith, DataKeyError> {
        let key = self.data_keys().active(provider.organization).await?;
        let context = identity_provider_context(provider);
        Ok(self.credentials().seal_value(&key, &context, secret.expose().as_bytes()))
    }

    pub(super) async fn provider_secret(
        &self,
        provider: &IdentityProvider,
    ) -> Result<Option<SecretValue>, SignInError> {
        let Some(sealed) = &provider.secret else { return Ok(None) };
        let context = identity_provider_context(provider);
        let opened = self.credentials().open_value(&context, sealed).await.map_err(|error| {
            tracing::error!(provider = %provider.id, %error, "an identity provider's secret can't be opened");
            SignInError::Unavailable
        })?;
        let text = std::str::from_utf8(&opened).map_err(|_| SignInError::Unavailable)?;
        Ok(Some(SecretValue::new(text)))
    }

    pub(super) fn seal_tokens(
        &self,
        key: &OpenKey,
        identity: &Identity,
        tokens: &ProviderTokens,
    ) -> Result<SealedWith, SignInError> {
        let exposed = |secret: &SecretValue| secret.expose().to_owned();
        let plain = Plain {
            access_token: exposed(&tokens.access),
            refresh_token: tokens.refresh.as_ref().map(exposed),
            id_token: tokens.id.as_ref().map(exposed),
        };
        let bytes = Zeroizing::new(serde_json::to_vec(&plain).map_err(|_| SignInError::Unavailable)?);
        Ok(self.credentials().seal_value(key, &identity_context(identity), &bytes))
    }

    async fn open_tokens(&self, identity: &Identity) -> Result<Plain, IdpTokenError> {
        let sealed = identity.tokens.as_ref().ok_or(IdpTokenError::ReauthRequired)?;
        let opened = self.credentials().open_value(&identity_context(identity), sealed).await;
        let opened = opened.map_err(|error| {
            tracing::error!(identity = %identity.id, %error, "a member's tokens can't be opened");
            IdpTokenError::Unavailable
        })?;
        serde_json::from_slice(&opened).map_err(|_| IdpTokenError::Unavailable)
    }

    /// Of tokens that were taken away: kind and token, the refresh token first.
    pub(super) async fn open_revoked(
        &self,
        it: &IdentityRevocation,
    ) -> Result<Vec<(&'static str, SecretValue)>, CredentialError> {
        let context = tokens_context(it.organization, it.identity, it.member, it.generation);
        let opened = self.credentials().open_value(&context, &it.tokens).await?;
        let Ok(plain) = serde_json::from_slice::<Plain>(&opened) else { return Ok(Vec::new()) };
        let refresh = plain.refresh_token.as_deref().map(|token| ("refresh_token", SecretValue::new(token)));
        let access = ("access_token", SecretValue::new(plain.access_token.as_str()));
        Ok(refresh.into_iter().chain([access]).collect())
    }

    /// The member's access token at the identity provider they used last, refreshed when it has to be.
    pub async fn idp_token(
        &self,
        organization: OrganizationId,
        member: MemberId,
    ) -> Result<IdpToken, IdpTokenError> {
        self.idp_token_after(organization, member, None).await
    }

    /// The same, and another one than the generation that was refused somewhere.
    pub(crate) async fn idp_token_after(
        &self,
        organization: OrganizationId,
        member: MemberId,
        refused: Option<i64>,
    ) -> Result<IdpToken, IdpTokenError> {
        let broker = self.clone();
        // A caller that hangs up must not leave a used refresh token whose successor nobody kept.
        let work = async move { broker.fresh_token(organization, member, refused).await };
        self.0.tasks.spawn(work).await.map_err(|_| IdpTokenError::Unavailable)?
    }

    async fn fresh_token(
        &self,
        organization: OrganizationId,
        member: MemberId,
        refused: Option<i64>,
    ) -> Result<IdpToken, IdpTokenError> {
        let until = self.clock().now().plus(PATIENCE);
        loop {
            let (provider, identity) = self.account_of(organization, member).await?;
            let now = self.clock().now();
            let lives = identity.expires_at.is_none_or(|at| at > now.plus(LEFT));
            let fresh = lives && refused.is_none_or(|generation| identity.generation > generation);
            let plain = self.open_tokens(&identity).await?;
            if fresh {
                return Ok(IdpToken {
                    access: SecretValue::new(plain.access_token.as_str()),
                    expires_at: identity.expires_at,
                    identity: identity.id,
                    generation: identity.generation,
                });
            }
            if plain.refresh_token.is_none() {
                // A server that refuses it does not speak for the provider: other servers may take it still.
                if lives {
                    return Err(IdpTokenError::ReauthRequired);
                }
                return Err(self.has_to_sign_in_again(&identity).await?);
            }
            match self.take_refresh(&identity, now).await? {
                Some(lease) => {
                    let refreshed = self.refresh_tokens(provider, identity, &plain, &lease).await;
                    let mut tx = self.db().write().await?;
                    tx.leases().release(&lease).await?;
                    tx.commit().await?;
                    refreshed?;
                }
                None if now > until => {
                    return Err(IdpTokenError::Unreachable("another refresh takes too long".into()));
                }
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// The account that was used last, of a provider that is still what it was.
    async fn account_of(
        &self,
        organization: OrganizationId,
        member: MemberId,
    ) -> Result<(IdentityProvider, Identity), IdpTokenError> {
        let mut tx = self.db().read().await?;
        let providers = tx.identity_providers().list(organization).await?;
        let identities = tx.identities().of_member(organization, member).await?;
        let found = identities.into_iter().find_map(|identity| {
            // A token goes to the issuer that gave it, never to another that took its place.
            let same = |it: &&IdentityProvider| {
                it.id == identity.provider && it.issuer == identity.issuer && it.enabled
            };
            let provider = providers.iter().find(same)?.clone();
            Some((provider, identity))
        });
        let (provider, identity) = found.ok_or(IdpTokenError::NoAccount)?;
        if identity.health != CredentialHealth::Healthy || identity.tokens.is_none() {
            return Err(IdpTokenError::ReauthRequired);
        }
        Ok((provider, identity))
    }

    async fn take_refresh(
        &self,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<Option<Lease>, IdpTokenError> {
        let mut tx = self.db().write().await?;
        let name = format!("identity:{}", identity.id);
        let lease = tx.leases().acquire(&name, self.schedule().holder(), now, now.plus(LEASE)).await?;
        tx.commit().await?;
        Ok(lease)
    }

    async fn refresh_tokens(
        &self,
        provider: IdentityProvider,
        read: Identity,
        plain: &Plain,
        lease: &Lease,
    ) -> Result<(), IdpTokenError> {
        // Whoever had the lease before may have been done already: then the token that was read is used up.
        let (_, now_stored) = self.account_of(read.organization, read.member).await?;
        if (now_stored.id, now_stored.generation) != (read.id, read.generation) {
            return Ok(());
        }
        let refresh = SecretValue::new(plain.refresh_token.as_deref().unwrap_or_default());
        let known = self.known(provider).await?;
        let now = self.clock().now();
        let mut tokens = match self.providers().refresh(&known, &refresh, now).await {
            Ok(tokens) => tokens,
            Err(RefreshFailure::Refused) => return Err(self.has_to_sign_in_again(&read).await?),
            Err(RefreshFailure::Other(error)) => return Err(error.into()),
        };
        // A refresh that brings no new one leaves the old one good (RFC 6749 section 6).
        tokens.refresh = tokens.refresh.or(Some(refresh));
        tokens.id = tokens.id.or_else(|| plain.id_token.as_deref().map(SecretValue::new));
        let mut identity =
            Identity { generation: read.generation + 1, expires_at: tokens.expires_at, ..read };
        let key = self.data_keys().active(identity.organization).await.map_err(SignInError::from)?;
        identity.tokens = Some(self.seal_tokens(&key, &identity, &tokens)?);
        let mut tx = self.db().write().await?;
        if !tx.leases().holds(lease, self.clock().now()).await? {
            tracing::warn!(identity = %identity.id, "a refresh took longer than its lease");
        }
        if tx.identities().refreshed(&identity).await? {
            tx.commit().await?;
        }
        Ok(())
    }

    async fn has_to_sign_in_again(&self, identity: &Identity) -> Result<IdpTokenError, IdpTokenError> {
        let mut tx = self.db().write().await?;
        tx.identities().set_health(identity, CredentialHealth::ReauthRequired).await?;
        tx.commit().await?;
        self.refresh_snapshots().await?;
        Ok(IdpTokenError::ReauthRequired)
    }
}
