//! The authorization server: AI clients become known, a person allows one, it gets tokens for one endpoint.
//!
//! Read in the order of a sign-in: [`clients`](self) (who asks), `requests` (a person decides), `exchange` (a code
//! becomes tokens), `refresh` (they go on), `revoke` (they end). A service account asks for itself
//! (`client_credentials`). Tokens are opaque: what they allow is looked up, so that what was
//! revoked is over at once (`docs/adr/0006-opaque-access-tokens.md`).

mod client_credentials;
mod clients;
mod exchange;
mod first_party;
mod record;
mod refresh;
mod requests;
mod revoke;
mod settings;
mod tokens;

use switchboard_oauth::{ErrorCode, OauthError};
use switchboard_storage::StorageError;

use crate::{Broker, DataKeyError};

pub use client_credentials::ClientCredentials;
pub use clients::RegisteredClient;
pub use exchange::CodeExchange;
pub use first_party::audience;
pub use refresh::Refresh;
pub use requests::{Asked, PendingAuthorization, ToolkitChoice};
pub use revoke::ActiveToken;
pub(crate) use settings::AuthorizationLimits;
pub use settings::AuthorizationSettings;
pub use tokens::{PresentedClient, TokenAnswer};

/// Why the authorization server does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizationError {
    #[error(transparent)]
    Refused(#[from] OauthError),
    #[error("too many requests: wait {retry_after} seconds (limit `{limit}`)")]
    TooMany { limit: &'static str, retry_after: u64 },
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Key(#[from] DataKeyError),
    #[error("it can't be put on record, so it is not done")]
    Unrecorded,
}

impl AuthorizationError {
    pub(crate) fn invalid_grant(text: &str) -> Self {
        OauthError::invalid_grant(text).into()
    }

    pub(crate) fn invalid_client(text: &str) -> Self {
        OauthError::new(ErrorCode::InvalidClient, text).into()
    }
}

impl Broker {
    /// Our issuer identifier: the public origin, without a path.
    pub fn issuer(&self) -> &str {
        self.public_url().as_str().trim_end_matches('/')
    }

    /// Removes requests, codes, tokens and clients that are over.
    pub(crate) async fn forget_expired_authorizations(&self) -> Result<(), StorageError> {
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        tx.oauth_requests().forget_expired(now).await?;
        tx.oauth_clients().forget_expired(now).await?;
        for organization in tx.organizations().list().await? {
            let id = organization.id;
            let grace = now.minus(self.settings().authorization.refresh_grace);
            tx.oauth_grants().forget_expired(id, grace, now.minus(tokens::KEPT)).await?;
        }
        tx.commit().await
    }
}
