//! Switchboard's own command line (`switchboard login`): the one client that may be allowed the REST API. It is known
//! from the start, registers nowhere, and is allowed by the person like every other.

use switchboard_domain::{COMMAND_LINE, OauthClientId};
use switchboard_oauth::{Audience, fingerprint};
use switchboard_storage::{OauthClient, OauthClientKind};

use super::AuthorizationError;
use crate::Broker;

const REDIRECT_URIS: [&str; 2] = ["http://127.0.0.1/callback", "http://[::1]/callback"];

/// What a client may ask for.
pub fn audience(client: &OauthClient) -> Audience {
    match client.kind {
        OauthClientKind::FirstParty => Audience::FirstParty,
        _ => Audience::Agent,
    }
}

impl Broker {
    /// Its row, made when somebody uses it for the first time.
    pub(super) async fn first_party_client(&self) -> Result<OauthClient, AuthorizationError> {
        let client = OauthClient {
            id: OauthClientId::new(self.clock(), self.random()),
            client_id: COMMAND_LINE.to_owned(),
            kind: OauthClientKind::FirstParty,
            owner: None,
            name: "Switchboard command line".to_owned(),
            redirect_uris: REDIRECT_URIS.map(str::to_owned).to_vec(),
            secret_hash: None,
            fingerprint: fingerprint(COMMAND_LINE, &[], &[]),
            created_at: self.clock().now(),
            fresh_until: None,
            last_used_at: None,
            expires_at: None,
            disabled_at: None,
            source: None,
            scopes: None,
        };
        let mut tx = self.db().write().await?;
        tx.oauth_clients().insert(&client).await?;
        let found = tx.oauth_clients().find(COMMAND_LINE).await?;
        tx.commit().await?;
        Ok(found.unwrap_or(client))
    }
}
