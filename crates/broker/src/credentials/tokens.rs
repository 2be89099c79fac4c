//! The tokens that a provider issued for a connection, with all that using, renewing and revoking them takes.
//!
//! They are sealed together: whoever could change the token endpoint of a stored refresh token would be sent it.
//! Only the expiry is kept in clear beside them, so that what must be renewed can be found without opening anything.

use serde::{Deserialize, Serialize};
use switchboard_domain::{SecretValue, Timestamp};
use zeroize::Zeroize as _;

/// How our client proves itself at the provider's token endpoint (RFC 6749 section 2.3, RFC 7591 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthMethod {
    /// A public client: it names itself and proves nothing.
    None,
    ClientSecretBasic,
    ClientSecretPost,
}

/// Our client at a provider: tokens are bound to the one they were issued to.
#[derive(Debug, Clone)]
pub struct UpstreamClient {
    pub id: String,
    pub secret: Option<SecretValue>,
    pub method: ClientAuthMethod,
}

/// Tokens of one owner at one provider.
#[derive(Debug, Clone)]
pub struct UpstreamTokens {
    pub access_token: SecretValue,
    /// As the provider wrote it; only `Bearer`, in any case, is stored.
    pub token_type: String,
    pub refresh_token: Option<SecretValue>,
    /// What was granted.
    pub scopes: Vec<String>,
    /// The authorization server; its tokens and our client there go to no other (THREATS O6).
    pub issuer: String,
    pub token_endpoint: String,
    /// RFC 7009; `None` when the provider has none.
    pub revocation_endpoint: Option<String>,
    pub client: UpstreamClient,
    /// RFC 8707: sent again with each refresh.
    pub resource: Option<String>,
    /// Of the access token; `None` when the provider does not say.
    pub expires_at: Option<Timestamp>,
}

/// The same as JSON, only ever within a sealed envelope.
#[derive(Serialize, Deserialize)]
pub(super) struct SealedTokens {
    access_token: String,
    token_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    issuer: String,
    token_endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revocation_endpoint: Option<String>,
    client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    client_auth_method: ClientAuthMethod,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
}

impl Drop for SealedTokens {
    fn drop(&mut self) {
        self.access_token.zeroize();
        self.refresh_token.zeroize();
        self.client_secret.zeroize();
    }
}

impl From<&UpstreamTokens> for SealedTokens {
    fn from(tokens: &UpstreamTokens) -> Self {
        let exposed = |secret: &Option<SecretValue>| secret.as_ref().map(|secret| secret.expose().to_owned());
        Self {
            access_token: tokens.access_token.expose().to_owned(),
            token_type: tokens.token_type.clone(),
            refresh_token: exposed(&tokens.refresh_token),
            scopes: tokens.scopes.clone(),
            issuer: tokens.issuer.clone(),
            token_endpoint: tokens.token_endpoint.clone(),
            revocation_endpoint: tokens.revocation_endpoint.clone(),
            client_id: tokens.client.id.clone(),
            client_secret: exposed(&tokens.client.secret),
            client_auth_method: tokens.client.method,
            resource: tokens.resource.clone(),
        }
    }
}

impl SealedTokens {
    pub(super) fn access_token(&self) -> &str {
        &self.access_token
    }
}
