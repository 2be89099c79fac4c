//! What the token endpoint works with: who asks, whether a grant still stands, new tokens under it.

use std::time::Duration;

use switchboard_domain::{Caller, OrganizationId, RefreshTokenId, Scopes, SecretValue, TokenId};
use switchboard_oauth::{Audience, ErrorCode, OauthError, ResourceIndicator};
use switchboard_storage::{
    MemberStatus, OauthClient, OauthClientKind, OauthGrant, OauthRefreshToken, StoredToken, TokenGrant,
    TokenKind as StoredKind, Tx,
};
use switchboard_vault::{IssuedToken, TokenHash, TokenKind, issue, parse};

use super::{AuthorizationError, first_party::audience};
use crate::Broker;

/// How long what is over is kept, so that a replay is seen as one.
pub(crate) const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Who says it is at the token endpoint.
#[derive(Debug)]
pub struct PresentedClient<'a> {
    pub client_id: &'a str,
    pub secret: Option<&'a SecretValue>,
}

/// What the client gets.
#[derive(Debug)]
pub struct TokenAnswer {
    pub access_token: SecretValue,
    /// A service account asks again with its secret instead.
    pub refresh_token: Option<SecretValue>,
    pub expires_in: u64,
    pub scopes: Scopes,
}

impl Broker {
    /// The client, when it is who it says.
    pub async fn authenticate_oauth_client(
        &self,
        presented: &PresentedClient<'_>,
    ) -> Result<OauthClient, AuthorizationError> {
        let unknown = || {
            AuthorizationError::invalid_client(
                "this client is not known here, or no longer: register it again",
            )
        };
        let found = self.db().single().await?.oauth_clients().find(presented.client_id).await?;
        let client = found.filter(|client| client.disabled_at.is_none()).ok_or_else(unknown)?;
        let wrong = || AuthorizationError::invalid_client("the client's secret is missing or wrong");
        let is_proven = match (client.secret_hash, presented.secret) {
            (None, None) => client.kind != OauthClientKind::ServiceAccount,
            (Some(known), Some(secret)) => parse(secret.expose())
                .is_ok_and(|given| given.kind == TokenKind::ClientSecret && given.hash == TokenHash(known)),
            _ => false,
        };
        if !is_proven {
            self.record_unproven(&client).await;
            return Err(wrong());
        }
        Ok(client)
    }

    /// The organization's key, made when there is none: that is a change of its own, so it comes before the one that
    /// is put on record with it.
    pub(super) async fn prepare_record(
        &self,
        organization: OrganizationId,
    ) -> Result<(), AuthorizationError> {
        Ok(self.0.keys.active(organization).await.map(drop)?)
    }

    /// Why a grant no longer stands: ended, the client another than was allowed, its owner gone.
    pub(super) async fn check_grant(
        &self,
        tx: &mut Tx,
        grant: &OauthGrant,
        client: &OauthClient,
    ) -> Result<(), AuthorizationError> {
        let over = |text| Err(AuthorizationError::invalid_grant(text));
        if grant.revoked_at.is_some() || grant.expires_at <= self.clock().now() {
            return over("what was allowed is over: sign in again");
        }
        if grant.client_fingerprint != client.fingerprint {
            return over("this client says something else of itself than when it was allowed: sign in again");
        }
        let organization = grant.organization;
        let status = match grant.caller {
            Caller::Member(id) => tx.members().find(organization, id).await?.map(|it| it.status),
            Caller::ServiceAccount(id) => {
                tx.service_accounts().find(organization, id).await?.map(|it| it.status)
            }
        };
        match status {
            Some(MemberStatus::Active) => Ok(()),
            _ => over("whoever allowed this is no longer a member"),
        }
    }

    /// The endpoint that a token is to be for: what was allowed and nothing else, saying nothing keeps that. The
    /// command line names one of the person's endpoints each time: it was allowed all that they may use themselves.
    pub(super) fn resource_for(
        &self,
        grant: &OauthGrant,
        client: &OauthClient,
        named: &[&str],
    ) -> Result<String, AuthorizationError> {
        if named.is_empty() {
            return Ok(grant.resource.clone());
        }
        let audience = audience(client);
        let named = ResourceIndicator::parse(audience, self.issuer(), named)?.path();
        if named == grant.resource || audience == Audience::FirstParty {
            return Ok(named);
        }
        let text = "`resource` is another endpoint than the one that was allowed";
        Err(OauthError::new(ErrorCode::InvalidTarget, text).into())
    }

    pub(super) async fn insert_refresh_token(
        &self,
        tx: &mut Tx,
        grant: &OauthGrant,
        issued: IssuedToken,
    ) -> Result<SecretValue, AuthorizationError> {
        let now = self.clock().now();
        let token = OauthRefreshToken {
            id: RefreshTokenId::new(self.clock(), self.random()),
            hash: issued.hash.0,
            created_at: now,
            expires_at: now.plus(self.settings().authorization.refresh_token_lifetime),
            used_at: None,
            successor: None,
        };
        tx.oauth_grants().insert_refresh_token(grant, &token).await?;
        Ok(issued.secret)
    }

    /// `grant.resource` is the endpoint it is for.
    pub(super) async fn insert_access_token(
        &self,
        tx: &mut Tx,
        grant: &OauthGrant,
        client: &OauthClient,
        scopes: Scopes,
    ) -> Result<TokenAnswer, AuthorizationError> {
        let lifetime = self.settings().authorization.access_token_lifetime;
        let IssuedToken { secret, hash, prefix, last_four } = issue(TokenKind::AccessToken, self.random());
        let now = self.clock().now();
        let token = StoredToken {
            id: TokenId::new(self.clock(), self.random()),
            organization: grant.organization,
            kind: StoredKind::Oauth,
            caller: grant.caller,
            name: client.name.clone(),
            hash: hash.0,
            prefix,
            last_four,
            scopes,
            resource: Some(grant.resource.clone()),
            expires_at: Some(now.plus(lifetime)),
            last_used_at: None,
            revoked_at: None,
            created_at: now,
            grant: Some(TokenGrant {
                id: grant.id,
                client: client.client_id.clone(),
                toolkits: grant.toolkits.clone(),
            }),
        };
        tx.tokens().insert(&token).await?;
        Ok(TokenAnswer { access_token: secret, refresh_token: None, expires_in: lifetime.as_secs(), scopes })
    }
}
