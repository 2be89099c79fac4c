//! A code becomes tokens, once; a refresh token becomes the next one.
//!
//! Whatever is used twice was copied: the whole grant ends (RFC 9700 section 4.14.2). A client that did not get the
//! answer asks again at once, so for [`GRACE`] the same refresh token gets the same successor.

use std::time::Duration;

use switchboard_domain::{AuditOutcome, Caller, RefreshTokenId, Scopes, SecretValue, Timestamp, TokenId};
use switchboard_oauth::{ErrorCode, OauthError, ResourceIndicator, narrowed_scopes, verify_challenge};
use switchboard_storage::{
    MemberStatus, OauthClient, OauthGrant, OauthRefreshToken, Sealed, StoredToken, TokenGrant,
    TokenKind as StoredKind, Tx,
};
use switchboard_vault::{IssuedToken, SealContext, TokenHash, TokenKind, issue, open, parse, seal};

use super::AuthorizationError;
use crate::{Broker, keys::OpenKey};

/// How long an access token lives.
const ACCESS: Duration = Duration::from_secs(3600);
/// A grant that is not used for this long is over.
pub(crate) const IDLE: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a refresh token that was used still gets its successor.
pub(crate) const GRACE: Duration = Duration::from_secs(30);
/// How long what is over is kept, so that a replay is seen as one.
pub(crate) const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Who says it is at the token endpoint.
#[derive(Debug)]
pub struct PresentedClient<'a> {
    pub client_id: &'a str,
    pub secret: Option<&'a SecretValue>,
}

/// `grant_type=authorization_code`
#[derive(Debug)]
pub struct CodeExchange<'a> {
    pub code: &'a str,
    pub redirect_uri: Option<&'a str>,
    pub verifier: &'a str,
    pub resources: &'a [&'a str],
}

/// `grant_type=refresh_token`
#[derive(Debug)]
pub struct Refresh<'a> {
    pub token: &'a str,
    pub scope: Option<&'a str>,
    pub resources: &'a [&'a str],
}

/// What the client gets.
#[derive(Debug)]
pub struct TokenAnswer {
    pub access_token: SecretValue,
    pub refresh_token: SecretValue,
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
        match (client.secret_hash, presented.secret) {
            (None, None) => Ok(client),
            (Some(known), Some(secret)) => {
                let given = parse(secret.expose()).map_err(|_| wrong())?;
                let fits = given.kind == TokenKind::ClientSecret && given.hash == TokenHash(known);
                fits.then_some(client).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }

    pub async fn exchange_code(
        &self,
        client: &OauthClient,
        exchange: &CodeExchange<'_>,
    ) -> Result<TokenAnswer, AuthorizationError> {
        let refuse = || AuthorizationError::invalid_grant("this code is not good: sign in again");
        let parsed = parse(exchange.code).map_err(|_| refuse())?;
        let hash = parsed.hash;
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        let (grant, code) = tx.oauth_grants().find_by_code(hash.as_bytes()).await?.ok_or_else(refuse)?;
        if code.used_at.is_some() {
            return self.replayed(tx, &grant, client).await;
        }
        let fits = grant.client == client.id
            && code.expires_at > now
            && exchange.redirect_uri.is_none_or(|uri| uri == code.redirect_uri)
            && verify_challenge(&code.code_challenge, exchange.verifier);
        if !fits {
            return Err(refuse());
        }
        self.check_grant(&mut tx, &grant, client).await?;
        self.check_resource(&grant, exchange.resources)?;
        if !tx.oauth_grants().use_code(grant.organization, hash.as_bytes(), now).await? {
            return self.replayed(tx, &grant, client).await;
        }
        let refresh = self.insert_refresh_token(&mut tx, &grant, None).await?;
        let answer = self.insert_access_token(&mut tx, &grant, client, grant.scopes, refresh).await?;
        tx.commit().await?;
        self.record_authorization("oauth.token", &grant, client, AuditOutcome::Ok).await;
        Ok(answer)
    }

    pub async fn refresh(
        &self,
        client: &OauthClient,
        refresh: &Refresh<'_>,
    ) -> Result<TokenAnswer, AuthorizationError> {
        let refuse = || AuthorizationError::invalid_grant("this refresh token is not good: sign in again");
        let hash = parse(refresh.token).map_err(|_| refuse())?.hash;
        let look = |found: Option<(OauthGrant, OauthRefreshToken)>| {
            found.filter(|(grant, _)| grant.client == client.id).ok_or_else(refuse)
        };
        let (grant, _) =
            look(self.db().single().await?.oauth_grants().find_by_refresh_token(hash.as_bytes()).await?)?;
        self.check_resource(&grant, refresh.resources)?;
        let scopes = narrowed_scopes(grant.scopes, refresh.scope)?;
        // Keys may have to be made, which is a change of its own: before this one begins.
        let key = self.0.keys.active(grant.organization).await?;
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        let (grant, token) = look(tx.oauth_grants().find_by_refresh_token(hash.as_bytes()).await?)?;
        self.check_grant(&mut tx, &grant, client).await?;
        if token.expires_at <= now {
            return Err(refuse());
        }
        let issued = issue(TokenKind::RefreshToken, self.random());
        let sealed = seal_successor(&key, &grant, token.id, &issued.secret, self);
        let first = token.used_at.is_none()
            && tx
                .oauth_grants()
                .use_refresh_token(grant.organization, token.id, (key.id, &sealed), now)
                .await?;
        if !first {
            drop(tx);
            return self.refresh_again(client, hash, scopes).await;
        }
        let successor = self.insert_refresh_token(&mut tx, &grant, Some(issued)).await?;
        tx.oauth_grants().used(&grant, now, now.plus(IDLE)).await?;
        let answer = self.insert_access_token(&mut tx, &grant, client, scopes, successor).await?;
        tx.commit().await?;
        self.record_authorization("oauth.refresh", &grant, client, AuditOutcome::Ok).await;
        Ok(answer)
    }

    /// The token was used before: a client that asks again, or somebody who has a copy.
    async fn refresh_again(
        &self,
        client: &OauthClient,
        hash: TokenHash,
        scopes: Scopes,
    ) -> Result<TokenAnswer, AuthorizationError> {
        let found = self.db().single().await?.oauth_grants().find_by_refresh_token(hash.as_bytes()).await?;
        let gone = || AuthorizationError::invalid_grant("this refresh token is not good: sign in again");
        let (grant, token) = found.ok_or_else(gone)?;
        let now = self.clock().now();
        let in_grace = token.used_at.is_some_and(|used| now.since(used) <= GRACE);
        let successor = match &token.successor {
            Some((id, sealed)) if in_grace => {
                let key = self.0.keys.by_id(grant.organization, *id).await?.ok_or_else(gone)?;
                let plain = open(&key.key, &context(&grant, token.id), sealed).map_err(|_| gone())?;
                SecretValue::new(std::str::from_utf8(&plain).map_err(|_| gone())?)
            }
            _ => {
                let tx = self.db().write().await?;
                return self.replayed(tx, &grant, client).await;
            }
        };
        let mut tx = self.db().write().await?;
        self.check_grant(&mut tx, &grant, client).await?;
        let answer = self.insert_access_token(&mut tx, &grant, client, scopes, successor).await?;
        tx.commit().await?;
        self.record_authorization("oauth.refresh", &grant, client, AuditOutcome::Ok).await;
        Ok(answer)
    }

    /// Ends a grant of which something was used twice.
    async fn replayed(
        &self,
        mut tx: Tx,
        grant: &OauthGrant,
        client: &OauthClient,
    ) -> Result<TokenAnswer, AuthorizationError> {
        tx.oauth_grants().revoke(grant.organization, grant.id, "replay", self.clock().now()).await?;
        tx.commit().await?;
        self.refresh_snapshots().await?;
        self.record_authorization("oauth.replay", grant, client, AuditOutcome::Refused).await;
        Err(AuthorizationError::invalid_grant(
            "this was used before, so what it opened is closed: sign in again",
        ))
    }

    /// Revocation (RFC 7009): a refresh token ends its grant, an access token itself. Others' and unknown: nothing.
    pub async fn revoke_oauth_token(
        &self,
        client: &OauthClient,
        token: &str,
    ) -> Result<(), AuthorizationError> {
        let Ok(parsed) = parse(token) else { return Ok(()) };
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        let grant = match parsed.kind {
            TokenKind::RefreshToken => {
                let found = tx.oauth_grants().find_by_refresh_token(parsed.hash.as_bytes()).await?;
                let Some((grant, _)) = found.filter(|(grant, _)| grant.client == client.id) else {
                    return Ok(());
                };
                tx.oauth_grants().revoke(grant.organization, grant.id, "client", now).await?;
                grant
            }
            TokenKind::AccessToken => {
                let found = tx.tokens().find_by_hash(parsed.hash.as_bytes()).await?.map(|owner| owner.token);
                let under = found.and_then(|token| Some((token.organization, token.id, token.grant?.id)));
                let Some((organization, token, grant)) = under else { return Ok(()) };
                let found = tx.oauth_grants().find(organization, grant).await?;
                let Some(grant) = found.filter(|grant| grant.client == client.id) else { return Ok(()) };
                tx.tokens().revoke(organization, token, now).await?;
                grant
            }
            _ => return Ok(()),
        };
        tx.commit().await?;
        self.refresh_snapshots().await?;
        self.record_authorization("oauth.revoke", &grant, client, AuditOutcome::Ok).await;
        Ok(())
    }

    /// Whether a grant still stands: not ended, the client as it was allowed, its member welcome.
    async fn check_grant(
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
        let member = tx.members().find(grant.organization, grant.member).await?;
        match member.is_some_and(|member| member.status == MemberStatus::Active) {
            true => Ok(()),
            false => over("whoever allowed this is no longer a member"),
        }
    }

    /// A token is for what was allowed and nothing else; saying nothing keeps that.
    fn check_resource(&self, grant: &OauthGrant, named: &[&str]) -> Result<(), AuthorizationError> {
        if named.is_empty() || ResourceIndicator::parse(self.issuer(), named)?.path() == grant.resource {
            return Ok(());
        }
        let text = "`resource` is another endpoint than the one that was allowed";
        Err(OauthError::new(ErrorCode::InvalidTarget, text).into())
    }

    async fn insert_refresh_token(
        &self,
        tx: &mut Tx,
        grant: &OauthGrant,
        issued: Option<IssuedToken>,
    ) -> Result<SecretValue, AuthorizationError> {
        let issued = issued.unwrap_or_else(|| issue(TokenKind::RefreshToken, self.random()));
        let now: Timestamp = self.clock().now();
        let token = OauthRefreshToken {
            id: RefreshTokenId::new(self.clock(), self.random()),
            hash: issued.hash.0,
            created_at: now,
            expires_at: now.plus(IDLE),
            used_at: None,
            successor: None,
        };
        tx.oauth_grants().insert_refresh_token(grant, &token).await?;
        Ok(issued.secret)
    }

    async fn insert_access_token(
        &self,
        tx: &mut Tx,
        grant: &OauthGrant,
        client: &OauthClient,
        scopes: Scopes,
        refresh_token: SecretValue,
    ) -> Result<TokenAnswer, AuthorizationError> {
        let IssuedToken { secret, hash, prefix, last_four } = issue(TokenKind::AccessToken, self.random());
        let now = self.clock().now();
        let token = StoredToken {
            id: TokenId::new(self.clock(), self.random()),
            organization: grant.organization,
            kind: StoredKind::Oauth,
            caller: Caller::Member(grant.member),
            name: client.name.clone(),
            hash: hash.0,
            prefix,
            last_four,
            scopes,
            resource: Some(grant.resource.clone()),
            expires_at: Some(now.plus(ACCESS)),
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
        Ok(TokenAnswer { access_token: secret, refresh_token, expires_in: ACCESS.as_secs(), scopes })
    }
}

/// The associated data names the row, so that a successor moved to another token does not open.
fn context(grant: &OauthGrant, row: RefreshTokenId) -> SealContext {
    SealContext {
        organization: grant.organization,
        table: "oauth_refresh_token",
        row: row.as_uuid(),
        owner: Some(grant.member.as_uuid()),
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
