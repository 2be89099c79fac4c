//! Revocation (RFC 7009) and introspection (RFC 7662): what a client may end, and what it may ask, of its own tokens.

use switchboard_domain::{Scopes, Timestamp};
use switchboard_oauth::{ErrorCode, OauthError};
use switchboard_storage::{MemberStatus, OauthClient, OauthGrant, Tx};
use switchboard_vault::{ParsedToken, TokenKind, parse};

use super::{AuthorizationError, record::Step};
use crate::Broker;

/// A token that is good right now, for the client it was given to.
#[derive(Debug)]
pub struct ActiveToken {
    /// The person or service account it acts for.
    pub subject: String,
    /// Path of the endpoint it is for.
    pub resource: String,
    pub scopes: Scopes,
    pub issued_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub is_access_token: bool,
}

impl Broker {
    /// A refresh token ends its grant, an access token itself. Others' and unknown: nothing.
    pub async fn revoke_oauth_token(
        &self,
        client: &OauthClient,
        token: &str,
    ) -> Result<(), AuthorizationError> {
        let Ok(parsed) = parse(token) else { return Ok(()) };
        let Some(grant) = grant_of(&mut self.db().single().await?, client, parsed).await? else {
            return Ok(());
        };
        self.prepare_record(grant.organization).await?;
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        let ended = match parsed.kind {
            TokenKind::RefreshToken => {
                tx.oauth_grants().revoke(grant.organization, grant.id, "client", now).await?
            }
            _ => match tx.tokens().find_by_hash(parsed.hash.as_bytes()).await? {
                Some(owner) => tx.tokens().revoke(grant.organization, owner.token.id, now).await?,
                None => false,
            },
        };
        if !ended {
            return Ok(());
        }
        self.commit_step(tx, Step::done("oauth.revoke", &grant, client)).await?;
        Ok(self.refresh_snapshots().await?)
    }

    /// `None` for whatever is not a good token of this client: expired, revoked, another's and made up are alike.
    pub async fn introspect(
        &self,
        client: &OauthClient,
        token: &str,
    ) -> Result<Option<ActiveToken>, AuthorizationError> {
        if client.secret_hash.is_none() {
            // Whoever knows a public client's id could ask (RFC 7662 section 4).
            let text = "introspection is for clients with a secret: show it";
            return Err(OauthError::new(ErrorCode::InvalidClient, text).into());
        }
        let Ok(parsed) = parse(token) else { return Ok(None) };
        let mut tx = self.db().read().await?;
        let Some(grant) = grant_of(&mut tx, client, parsed).await? else { return Ok(None) };
        if self.check_grant(&mut tx, &grant, client).await.is_err() {
            return Ok(None);
        }
        let found = match parsed.kind {
            TokenKind::RefreshToken => {
                let found = tx.oauth_grants().find_by_refresh_token(parsed.hash.as_bytes()).await?;
                let waiting = found.map(|(_, token)| token).filter(|token| token.used_at.is_none());
                waiting.map(|token| {
                    (token.created_at, Some(token.expires_at), grant.scopes, grant.resource.clone())
                })
            }
            _ => {
                let found = tx.tokens().find_by_hash(parsed.hash.as_bytes()).await?;
                let good = found
                    .filter(|owner| owner.token.revoked_at.is_none() && owner.status == MemberStatus::Active);
                good.map(|owner| {
                    let resource = owner.token.resource.unwrap_or_else(|| grant.resource.clone());
                    (owner.token.created_at, owner.token.expires_at, owner.token.scopes, resource)
                })
            }
        };
        let now = self.clock().now();
        let found = found.filter(|(_, expires_at, ..)| expires_at.is_none_or(|at| at > now));
        Ok(found.map(|(issued_at, expires_at, scopes, resource)| ActiveToken {
            subject: grant.caller.to_string(),
            resource,
            scopes,
            issued_at,
            expires_at,
            is_access_token: parsed.kind == TokenKind::AccessToken,
        }))
    }
}

/// The grant that a token of this client is under.
async fn grant_of(
    tx: &mut Tx,
    client: &OauthClient,
    parsed: ParsedToken,
) -> Result<Option<OauthGrant>, AuthorizationError> {
    let grant = match parsed.kind {
        TokenKind::RefreshToken => {
            tx.oauth_grants().find_by_refresh_token(parsed.hash.as_bytes()).await?.map(|(grant, _)| grant)
        }
        TokenKind::AccessToken => {
            let token = tx.tokens().find_by_hash(parsed.hash.as_bytes()).await?.map(|owner| owner.token);
            match token.and_then(|token| Some((token.organization, token.grant?.id))) {
                Some((organization, grant)) => tx.oauth_grants().find(organization, grant).await?,
                None => None,
            }
        }
        _ => None,
    };
    Ok(grant.filter(|grant| grant.client == client.id))
}
