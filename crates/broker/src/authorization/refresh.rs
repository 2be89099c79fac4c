//! A refresh token becomes the next one (RFC 9700 section 4.14.2).
//!
//! Whatever is used twice was copied: the whole grant ends. A client that did not get the answer asks again at once, so
//! for `oauth.refresh_grace` the same refresh token gets the same successor, as long as that was not used itself: then
//! the answer did arrive, and somebody else has a copy.

use switchboard_domain::{Caller, RefreshTokenId, Scopes, SecretValue};
use switchboard_oauth::narrowed_scopes;
use switchboard_storage::{OauthClient, OauthGrant, OauthRefreshToken, Sealed, Tx};
use switchboard_vault::{SealContext, TokenHash, TokenKind, issue, open, parse, seal};

use super::{AuthorizationError, TokenAnswer, record::Step};
use crate::{Broker, keys::OpenKey};

/// `grant_type=refresh_token`
#[derive(Debug)]
pub struct Refresh<'a> {
    pub token: &'a str,
    pub scope: Option<&'a str>,
    pub resources: &'a [&'a str],
}

/// What the new access token is to be for.
struct Wanted {
    resource: String,
    scopes: Scopes,
}

const ACTION: &str = "oauth.refresh";

impl Broker {
    pub async fn refresh(
        &self,
        client: &OauthClient,
        refresh: &Refresh<'_>,
    ) -> Result<TokenAnswer, AuthorizationError> {
        let hash = parse(refresh.token).map_err(|_| not_good())?.hash;
        let (grant, _) = look_up(&mut self.db().single().await?, hash).await?;
        if grant.client != client.id {
            self.record_refused_step(Step::done(ACTION, &grant, client).refused("wrong_client")).await;
            return Err(not_good());
        }
        let wanted = Wanted {
            resource: self.resource_for(&grant, client, refresh.resources)?,
            scopes: narrowed_scopes(grant.scopes, refresh.scope)?,
        };
        let key = self.0.keys.active(grant.organization).await?;
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        let (grant, token) = look_up(&mut tx, hash).await?;
        if let Err(refused) = self.check_refresh(&mut tx, &grant, client, &token).await {
            drop(tx);
            self.record_refused_step(Step::done(ACTION, &grant, client).refused("refresh_token_over")).await;
            return Err(refused);
        }
        let issued = issue(TokenKind::RefreshToken, self.random());
        let sealed = seal_successor(&key, &grant, token.id, &issued.secret, self);
        let successor = (key.id, &sealed);
        let organization = grant.organization;
        let first = token.used_at.is_none()
            && tx.oauth_grants().use_refresh_token(organization, token.id, successor, now).await?;
        if !first {
            drop(tx);
            return self.refresh_again(client, hash, wanted).await;
        }
        let refresh_token = Some(self.insert_refresh_token(&mut tx, &grant, issued).await?);
        let until = now.plus(self.settings().authorization.refresh_token_lifetime);
        tx.oauth_grants().used(&grant, now, until).await?;
        let answer = self.insert_wanted(&mut tx, &grant, client, wanted).await?;
        self.commit_step(tx, Step::done(ACTION, &grant, client)).await?;
        Ok(TokenAnswer { refresh_token, ..answer })
    }

    async fn check_refresh(
        &self,
        tx: &mut Tx,
        grant: &OauthGrant,
        client: &OauthClient,
        token: &OauthRefreshToken,
    ) -> Result<(), AuthorizationError> {
        self.check_grant(tx, grant, client).await?;
        if token.expires_at <= self.clock().now() { Err(not_good()) } else { Ok(()) }
    }

    /// The token was used before: a client that asks again, or somebody who has a copy.
    async fn refresh_again(
        &self,
        client: &OauthClient,
        hash: TokenHash,
        wanted: Wanted,
    ) -> Result<TokenAnswer, AuthorizationError> {
        let (grant, token) = look_up(&mut self.db().single().await?, hash).await?;
        let successor = self.successor(&grant, &token).await?;
        let mut tx = self.db().write().await?;
        let still_waits = match &successor {
            Some(successor) => {
                let hash = parse(successor.expose()).map_err(|_| not_good())?.hash;
                look_up(&mut tx, hash).await?.1.used_at.is_none()
            }
            None => false,
        };
        if !still_waits {
            return self.replayed(tx, &grant, client).await;
        }
        self.check_grant(&mut tx, &grant, client).await?;
        let answer = self.insert_wanted(&mut tx, &grant, client, wanted).await?;
        self.commit_step(tx, Step::done(ACTION, &grant, client)).await?;
        Ok(TokenAnswer { refresh_token: successor, ..answer })
    }

    async fn insert_wanted(
        &self,
        tx: &mut Tx,
        grant: &OauthGrant,
        client: &OauthClient,
        wanted: Wanted,
    ) -> Result<TokenAnswer, AuthorizationError> {
        let target = OauthGrant { resource: wanted.resource, ..grant.clone() };
        self.insert_access_token(tx, &target, client, wanted.scopes).await
    }

    /// What took this token's place, within the grace.
    async fn successor(
        &self,
        grant: &OauthGrant,
        token: &OauthRefreshToken,
    ) -> Result<Option<SecretValue>, AuthorizationError> {
        let grace = self.settings().authorization.refresh_grace;
        let in_grace = token.used_at.is_some_and(|used| self.clock().now().since(used) <= grace);
        let Some((id, sealed)) = token.successor.as_ref().filter(|_| in_grace) else { return Ok(None) };
        let key = self.0.keys.by_id(grant.organization, *id).await?.ok_or_else(not_good)?;
        let plain = open(&key.key, &context(grant, token.id), sealed).map_err(|_| not_good())?;
        let text = std::str::from_utf8(&plain).map_err(|_| not_good())?;
        Ok(Some(SecretValue::new(text)))
    }
}

async fn look_up(
    tx: &mut Tx,
    hash: TokenHash,
) -> Result<(OauthGrant, OauthRefreshToken), AuthorizationError> {
    tx.oauth_grants().find_by_refresh_token(hash.as_bytes()).await?.ok_or_else(not_good)
}

fn not_good() -> AuthorizationError {
    AuthorizationError::invalid_grant("this refresh token is not good: sign in again")
}

/// The associated data names the row, so that a successor moved to another token does not open.
fn context(grant: &OauthGrant, row: RefreshTokenId) -> SealContext {
    let owner = match grant.caller {
        Caller::Member(id) => id.as_uuid(),
        Caller::ServiceAccount(id) => id.as_uuid(),
    };
    SealContext {
        organization: grant.organization,
        table: "oauth_refresh_token",
        row: row.as_uuid(),
        owner: Some(owner),
        field: "successor",
        version: 1,
    }
}

fn seal_successor(
    key: &OpenKey,
    grant: &OauthGrant,
    row: RefreshTokenId,
    successor: &SecretValue,
    broker: &Broker,
) -> Sealed {
    seal(&key.key, &context(grant, row), successor.expose().as_bytes(), broker.random())
}
