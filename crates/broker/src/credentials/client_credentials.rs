//! Tokens for a program instead of a person (RFC 6749 section 4.4): our client at the provider asks for itself, with the
//! secret that an admin gave. They are got when the first call wants one, and again like any other tokens; there is
//! nothing to refresh.

use switchboard_domain::{Connection, SecretValue};
use switchboard_oauth::upstream::Authentication;

use super::{ClientAuthMethod, UpstreamClient, UpstreamTokens, secret::Plain};
use crate::{Broker, connect::ConnectFailure};

impl Broker {
    /// All that asking takes, as tokens that were not issued yet. Where to ask is found out anew each time, and another
    /// authorization server than before gets nothing.
    pub(super) async fn client_grant(
        &self,
        connection: &Connection,
        plain: &Plain,
    ) -> Result<UpstreamTokens, ConnectFailure> {
        let incomplete = || ConnectFailure::new("client_missing", "The client and its secret are not set.");
        let config = connection.auth.client_credentials.as_ref().ok_or_else(incomplete)?;
        let secret = plain.client_secret.as_deref().map(SecretValue::new).ok_or_else(incomplete)?;
        let found = self.discover(connection).await?;
        self.remember_issuer(connection, &found).await?;
        // There is nobody whose absence a refresh token would bridge.
        let needed = || found.scopes.iter().filter(|scope| *scope != "offline_access").cloned().collect();
        let scopes = config.scopes.clone().unwrap_or_else(needed);
        let method = match found.server.authentication.first() {
            Some(Authentication::ClientSecretPost) => ClientAuthMethod::ClientSecretPost,
            _ => ClientAuthMethod::ClientSecretBasic,
        };
        Ok(UpstreamTokens {
            access_token: SecretValue::new(""),
            token_type: "Bearer".into(),
            refresh_token: None,
            scopes,
            issuer: found.server.issuer,
            token_endpoint: found.server.token_endpoint,
            revocation_endpoint: found.server.revocation_endpoint,
            client: UpstreamClient { id: config.client_id.clone(), secret: Some(secret), method },
            resource: Some(found.resource),
            expires_at: None,
        })
    }
}
