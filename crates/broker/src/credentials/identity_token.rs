//! Connections of `auth_type: user_oidc`: a member is called with their own token of the organization's identity
//! provider, the one that they signed in to Switchboard with. Nothing is kept for the connection; how the token stays
//! fresh is `identity/tokens.rs`.

use std::time::Duration;

use switchboard_domain::{
    AuthType, Connection, ConnectionStatus, CredentialId, CredentialOwner, DataKeyId, OrganizationId,
};
use switchboard_storage::{CredentialHealth, CredentialInfo, IdentityAccount, IdentityProvider};

use super::{CredentialError, secret::add};
use crate::{Broker, identity::IdpTokenError, upstream::UpstreamAuth};

/// When to ask again after a provider could not be asked.
const PAUSE: Duration = Duration::from_secs(5);

impl From<IdpTokenError> for CredentialError {
    fn from(error: IdpTokenError) -> Self {
        match error {
            IdpTokenError::NoAccount => Self::NotSignedIn,
            IdpTokenError::ReauthRequired => Self::SignInOver,
            IdpTokenError::Unreachable(why) => {
                tracing::warn!(why, "an identity provider can't be asked for a new token");
                Self::NotRenewed { after: PAUSE }
            }
            IdpTokenError::Unavailable => Self::Unavailable,
        }
    }
}

impl Broker {
    /// The member's token, and another one than what was refused. A refusal is believed once in a while only: a server
    /// that takes no token at all must not have the provider asked with every call.
    pub(super) async fn token_of_person(
        &self,
        connection: &Connection,
        owner: CredentialOwner,
        refused: Option<&UpstreamAuth>,
    ) -> Result<UpstreamAuth, CredentialError> {
        let CredentialOwner::Member(member) = owner else { return Err(CredentialError::NotSignedIn) };
        let believed = refused.filter(|refused| {
            let credential = refused.credential;
            let is_new = credential.is_some_and(|id| !self.credentials().refused.contains_key(&id));
            credential.inspect(|id| self.credentials().refused.insert(*id, ()));
            is_new
        });
        let generation = believed.map(|refused| refused.generation);
        let token = self.idp_token_after(connection.organization, member, generation).await?;
        let mut auth = UpstreamAuth {
            credential: Some(CredentialId::from_uuid(token.identity.as_uuid())),
            generation: token.generation,
            ..UpstreamAuth::default()
        };
        let secret = token.access.expose();
        add(&mut auth, "Authorization", &format!("Bearer {secret}"), secret)?;
        Ok(auth)
    }

    /// Somebody signed in: servers that take such sign-ins and had nobody's are looked at.
    pub(crate) fn note_sign_in(&self, organization: OrganizationId) {
        let Some(snapshot) = self.snapshot(organization) else { return };
        for known in snapshot.connections.values() {
            let connection = &*known.connection;
            let works = matches!(
                connection.status.status,
                ConnectionStatus::Connected | ConnectionStatus::Degraded | ConnectionStatus::Blocked
            );
            if connection.auth_type == AuthType::UserOidc && connection.switches.enabled && !works {
                self.check_in_background(organization, connection.id);
            }
        }
    }
}

/// Members' accounts as what a connection is called with: of each member the one they used last, at a provider that is
/// still what it was.
pub(crate) fn of_accounts(
    connection: &Connection,
    accounts: &[IdentityAccount],
    providers: &[IdentityProvider],
) -> Vec<CredentialInfo> {
    let mut found: Vec<CredentialInfo> = Vec::new();
    for account in accounts {
        let owner = CredentialOwner::Member(account.member);
        let same =
            |it: &IdentityProvider| it.id == account.provider && it.issuer == account.issuer && it.enabled;
        if found.iter().any(|known| known.owner == owner) || !providers.iter().any(same) {
            continue;
        }
        let health =
            if account.data_key.is_some() { account.health } else { CredentialHealth::ReauthRequired };
        found.push(CredentialInfo {
            id: CredentialId::from_uuid(account.id.as_uuid()),
            organization: connection.organization,
            connection: connection.id,
            owner,
            // Nothing is opened by way of this.
            data_key: account.data_key.unwrap_or(DataKeyId::from_uuid(account.id.as_uuid())),
            generation: account.generation,
            health,
            expires_at: account.expires_at,
            updated_at: account.last_sign_in_at,
        });
    }
    found
}
