//! A service account asks for itself, with its secret (RFC 6749 section 4.4): an access token for one endpoint, for as
//! long as any, and never a refresh token: it has the secret.

use switchboard_domain::{Caller, OauthGrantId, Scopes, ServiceAccountId};
use switchboard_oauth::{
    Audience, ErrorCode, OauthError, ResourceIndicator, narrowed_scopes, requested_scopes,
};
use switchboard_storage::{MemberStatus, OauthClient, OauthClientKind, OauthGrant};

use super::{AuthorizationError, TokenAnswer, record::Step};
use crate::Broker;

/// `grant_type=client_credentials`
#[derive(Debug)]
pub struct ClientCredentials<'a> {
    pub scope: Option<&'a str>,
    pub resources: &'a [&'a str],
}

impl Broker {
    pub async fn client_credentials(
        &self,
        client: &OauthClient,
        asked: &ClientCredentials<'_>,
    ) -> Result<TokenAnswer, AuthorizationError> {
        let is_program = client.kind == OauthClientKind::ServiceAccount;
        let account = client.client_id.parse::<ServiceAccountId>().ok().filter(|_| is_program);
        let (Some(id), Some(organization)) = (account, client.owner) else {
            let text = "client_credentials are for service accounts: this client signs a person in";
            return Err(OauthError::new(ErrorCode::UnauthorizedClient, text).into());
        };
        let resource = ResourceIndicator::parse(Audience::Agent, self.issuer(), asked.resources)?;
        let pinned = resource.organization.as_ref();
        if pinned.is_some_and(|slug| self.0.snapshots.organization_by_slug(slug) != Some(organization)) {
            let text = "`resource` is an endpoint of another organization";
            return Err(OauthError::new(ErrorCode::InvalidTarget, text).into());
        }
        let scopes = scopes_for(client, asked.scope)?;
        let now = self.clock().now();
        let grant = OauthGrant {
            id: OauthGrantId::new(self.clock(), self.random()),
            organization,
            caller: Caller::ServiceAccount(id),
            client: client.id,
            client_fingerprint: client.fingerprint,
            resource: resource.path(),
            scopes,
            toolkits: None,
            redirect_uri: String::new(),
            created_at: now,
            expires_at: now.plus(self.settings().authorization.access_token_lifetime),
            revoked_at: None,
        };
        self.prepare_record(organization).await?;
        let step = Step::done("oauth.token", &grant, client);
        let mut tx = self.db().write().await?;
        let account = tx.service_accounts().find(organization, id).await?;
        if account.is_none_or(|account| account.status != MemberStatus::Active) {
            drop(tx);
            self.record_refused_step(step.refused("service_account_disabled")).await;
            return Err(AuthorizationError::invalid_client("this service account is disabled"));
        }
        tx.oauth_grants().insert(&grant).await?;
        let answer = self.insert_access_token(&mut tx, &grant, client, scopes).await?;
        tx.oauth_clients().used(client.id, now).await?;
        self.commit_step(tx, step).await?;
        Ok(answer)
    }
}

/// What its secret was made for, or fewer: whatever a program asks for, it gets no more.
fn scopes_for(client: &OauthClient, asked: Option<&str>) -> Result<Scopes, OauthError> {
    match client.scopes {
        Some(most) => narrowed_scopes(most, asked),
        None => requested_scopes(Audience::Agent, asked),
    }
}
