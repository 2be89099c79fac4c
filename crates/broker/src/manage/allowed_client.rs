//! AI clients that people allowed on the consent page: which, to do what, and how to take it away again.

use serde::Serialize;
use serde_json::json;
use switchboard_domain::{MemberId, OauthGrantId, Principal, Scopes, Timestamp, ToolkitId};
use switchboard_storage::AllowedClient;

use super::{Operation, Page, PageRequest, Refusal, Target, authorize, record::Change};
use crate::Broker;

/// An AI client that somebody allowed to act as them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AllowedClient)]
pub struct AllowedClientView {
    #[schema(value_type = String)]
    pub id: OauthGrantId,
    /// What the client calls itself. Anybody can call themselves anything, unless `client_id` is a URL.
    pub name: String,
    pub client_id: String,
    #[schema(value_type = String)]
    pub member: MemberId,
    pub email: String,
    /// Path of the one endpoint that it is for.
    pub resource: String,
    #[schema(value_type = Vec<String>)]
    pub scopes: Scopes,
    /// Toolkits that it was narrowed to; null: everything the member may use.
    #[schema(value_type = Option<Vec<String>>)]
    pub toolkits: Option<Vec<ToolkitId>>,
    /// Where the person was sent back to.
    pub redirect_uri: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last took a new access token.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

impl From<AllowedClient> for AllowedClientView {
    fn from(client: AllowedClient) -> Self {
        Self {
            id: client.grant,
            name: client.name,
            client_id: client.client_id,
            member: client.member,
            email: client.email,
            resource: client.resource,
            scopes: client.scopes,
            toolkits: client.toolkits,
            redirect_uri: client.redirect_uri,
            created_at: client.created_at,
            last_used_at: client.last_used_at,
            expires_at: client.expires_at,
        }
    }
}

impl Broker {
    /// The caller's own, the newest first; for admins with `everyone` everybody's. A service account has none.
    pub async fn list_allowed_clients(
        &self,
        principal: &Principal,
        everyone: bool,
        page: &PageRequest,
    ) -> Result<Page<AllowedClientView>, Refusal> {
        let _allowed = authorize(principal, Operation::ListAllowedClients, Target::Organization)?;
        let all = everyone && principal.role.is_admin();
        let clients = match (all, principal.member()) {
            (false, None) => Vec::new(),
            (_, member) => {
                let member = member.filter(|_| !all);
                let now = self.clock().now();
                self.db().single().await?.allowed_clients().list(principal.organization, member, now).await?
            }
        };
        let key = |client: &AllowedClient| format!("{:032x}", u128::MAX - client.grant.as_uuid().as_u128());
        Ok(page.cut(clients, key)?.map(AllowedClientView::from))
    }

    /// Takes away what was allowed: one's own, an admin anybody's. Every token under it is over within a second.
    pub async fn revoke_allowed_client(
        &self,
        principal: &Principal,
        id: OauthGrantId,
    ) -> Result<(), Refusal> {
        let found = self.db().single().await?.oauth_grants().find(principal.organization, id).await?;
        let grant = found.ok_or_else(Refusal::not_found)?;
        let owner = grant.caller;
        let allowed = authorize(principal, Operation::RevokeAllowedClient, Target::Of(owner))?;
        let mut tx = self.db().write().await?;
        tx.oauth_grants().revoke(principal.organization, id, "taken away", self.clock().now()).await?;
        let details = json!({ "owner": owner.to_string(), "resource": grant.resource });
        self.commit_change(&allowed, tx, Change::of(id).with(details)).await
    }
}
