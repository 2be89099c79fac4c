//! A code becomes tokens, once. One that is used twice was copied: the whole grant ends (RFC 6749 section 4.1.2).

use switchboard_oauth::verify_challenge;
use switchboard_storage::{OauthClient, OauthCode, OauthGrant, Tx};
use switchboard_vault::{TokenHash, TokenKind, issue, parse};

use super::{AuthorizationError, TokenAnswer, record::Step};
use crate::{Broker, Stranger};

/// `grant_type=authorization_code`
#[derive(Debug)]
pub struct CodeExchange<'a> {
    pub code: &'a str,
    pub redirect_uri: Option<&'a str>,
    pub verifier: &'a str,
    pub resources: &'a [&'a str],
    /// Who sends it: its first steps go on record with the token.
    pub sent_by: Option<Stranger>,
}

const ACTION: &str = "oauth.token";

impl Broker {
    pub async fn exchange_code(
        &self,
        client: &OauthClient,
        exchange: &CodeExchange<'_>,
    ) -> Result<TokenAnswer, AuthorizationError> {
        let hash = parse(exchange.code).map_err(|_| not_good())?.hash;
        let (grant, _) = look_up(&mut self.db().single().await?, hash).await?;
        self.prepare_record(grant.organization).await?;
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        let (grant, code) = look_up(&mut tx, hash).await?;
        let step = Step::done(ACTION, &grant, client);
        let wrong = if code.used_at.is_some() {
            return self.replayed(tx, &grant, client).await;
        } else if grant.client != client.id {
            Some("wrong_client")
        } else if code.expires_at <= now {
            Some("code_expired")
        } else if exchange.redirect_uri.is_some_and(|uri| uri != code.redirect_uri) {
            Some("wrong_redirect_uri")
        } else if !verify_challenge(&code.code_challenge, exchange.verifier) {
            Some("wrong_verifier")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            drop(tx);
            self.record_refused_step(step.refused(wrong)).await;
            return Err(not_good());
        }
        let resource = self.resource_for(&grant, client, exchange.resources)?;
        if let Err(error) = self.check_grant(&mut tx, &grant, client).await {
            drop(tx);
            self.record_refused_step(step.refused("grant_over")).await;
            return Err(error);
        }
        if !tx.oauth_grants().use_code(grant.organization, hash.as_bytes(), now).await? {
            return self.replayed(tx, &grant, client).await;
        }
        let issued = issue(TokenKind::RefreshToken, self.random());
        let refresh_token = Some(self.insert_refresh_token(&mut tx, &grant, issued).await?);
        let target = OauthGrant { resource, ..grant.clone() };
        let answer = self.insert_access_token(&mut tx, &target, client, grant.scopes).await?;
        let trail = exchange.sent_by.as_ref().map(|who| self.0.attempts.end(who, &client.client_id));
        self.commit_step(tx, step.after(trail.unwrap_or_default())).await?;
        Ok(TokenAnswer { refresh_token, ..answer })
    }

    /// Ends a grant of which something was used twice.
    pub(super) async fn replayed(
        &self,
        mut tx: Tx,
        grant: &OauthGrant,
        client: &OauthClient,
    ) -> Result<TokenAnswer, AuthorizationError> {
        let step = Step::done("oauth.replay", grant, client).refused("replay");
        let now = self.clock().now();
        if tx.oauth_grants().revoke(grant.organization, grant.id, "replay", now).await? {
            self.commit_step(tx, step).await?;
            self.refresh_snapshots().await?;
        } else {
            // It ended before; whoever goes on trying changes nothing any more.
            drop(tx);
            self.record_refused_step(step).await;
        }
        Err(AuthorizationError::invalid_grant(
            "this was used before, so what it opened is closed: sign in again",
        ))
    }
}

async fn look_up(tx: &mut Tx, hash: TokenHash) -> Result<(OauthGrant, OauthCode), AuthorizationError> {
    tx.oauth_grants().find_by_code(hash.as_bytes()).await?.ok_or_else(not_good)
}

fn not_good() -> AuthorizationError {
    AuthorizationError::invalid_grant("this code is not good: sign in again")
}
