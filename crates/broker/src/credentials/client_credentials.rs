//! Tokens for a program instead of a person (RFC 6749 section 4.4): our client at the provider asks for itself, with the
//! secret or the private key that an admin gave. They are got when the first call wants one, and again like any other tokens; there is
//! nothing to refresh.

use switchboard_domain::{Connection, SecretValue};
use switchboard_oauth::upstream::Authentication;

use super::{UpstreamClient, UpstreamTokens, secret::Plain};
use crate::{
    Broker,
    connect::{ConnectFailure, assertion_terms},
};

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
        let (method, terms) = match (&config.public_key, found.server.authentication.first()) {
            (Some(_), _) => {
                let terms = assertion_terms(&secret, config.assertion_audience, &found)?;
                (Authentication::PrivateKeyJwt, Some(terms))
            }
            (None, Some(Authentication::ClientSecretPost)) => (Authentication::ClientSecretPost, None),
            (None, _) => (Authentication::ClientSecretBasic, None),
        };
        Ok(UpstreamTokens {
            access_token: SecretValue::new(""),
            token_type: "Bearer".into(),
            refresh_token: None,
            scopes,
            issuer: found.server.issuer,
            token_endpoint: found.server.token_endpoint,
            revocation_endpoint: found.server.revocation_endpoint,
            client: UpstreamClient { id: config.client_id.clone(), secret: Some(secret), method, terms },
            resource: Some(found.resource),
            expires_at: None,
        })
    }
}
