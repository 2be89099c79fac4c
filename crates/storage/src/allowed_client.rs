//! What people allowed AI clients, as people read it: the grants that are in force, each with its client.

use sqlx::types::Json;
use switchboard_domain::{MemberId, OauthGrantId, OrganizationId, Scopes, Timestamp, ToolkitId};
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    statement::{fetch_all, statements},
};

/// A grant in force, with what its client says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedClient {
    pub grant: OauthGrantId,
    pub member: MemberId,
    pub email: String,
    pub client_id: String,
    /// What the client calls itself. Untrusted.
    pub name: String,
    pub resource: String,
    pub scopes: Scopes,
    pub toolkits: Option<Vec<ToolkitId>>,
    pub redirect_uri: String,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
    pub expires_at: Timestamp,
}

statements! {
    LIST = "SELECT g.id, g.member_id, m.email, c.client_id, c.name, g.resource, g.scopes, g.toolkits, g.redirect_uri, g.created_at, g.last_used_at, g.expires_at FROM oauth_grant g JOIN oauth_client c ON c.id = g.oauth_client_id JOIN member m ON m.organization_id = g.organization_id AND m.id = g.member_id WHERE g.organization_id = $1 AND g.revoked_at IS NULL AND g.expires_at > $2 ORDER BY g.id DESC";
    LIST_OF_MEMBER = "SELECT g.id, g.member_id, m.email, c.client_id, c.name, g.resource, g.scopes, g.toolkits, g.redirect_uri, g.created_at, g.last_used_at, g.expires_at FROM oauth_grant g JOIN oauth_client c ON c.id = g.oauth_client_id JOIN member m ON m.organization_id = g.organization_id AND m.id = g.member_id WHERE g.organization_id = $1 AND g.revoked_at IS NULL AND g.expires_at > $2 AND g.member_id = $3 ORDER BY g.id DESC";
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    member_id: Uuid,
    email: String,
    client_id: String,
    name: String,
    resource: String,
    scopes: Json<Scopes>,
    toolkits: Option<Json<Vec<ToolkitId>>>,
    redirect_uri: String,
    created_at: i64,
    last_used_at: Option<i64>,
    expires_at: i64,
}

impl From<Row> for AllowedClient {
    fn from(row: Row) -> Self {
        Self {
            grant: OauthGrantId::from_uuid(row.id),
            member: MemberId::from_uuid(row.member_id),
            email: row.email,
            client_id: row.client_id,
            name: row.name,
            resource: row.resource,
            scopes: row.scopes.0,
            toolkits: row.toolkits.map(|toolkits| toolkits.0),
            redirect_uri: row.redirect_uri,
            created_at: Timestamp::from_micros(row.created_at),
            last_used_at: row.last_used_at.map(Timestamp::from_micros),
            expires_at: Timestamp::from_micros(row.expires_at),
        }
    }
}

impl Tx {
    pub fn allowed_clients(&mut self) -> AllowedClients<'_> {
        AllowedClients { tx: self }
    }
}

/// See [`Tx::allowed_clients`].
#[derive(Debug)]
pub struct AllowedClients<'t> {
    tx: &'t mut Tx,
}

impl AllowedClients<'_> {
    /// In force at `now`, the newest first: one member's, or everybody's.
    pub async fn list(
        self,
        organization: OrganizationId,
        member: Option<MemberId>,
        now: Timestamp,
    ) -> Result<Vec<AllowedClient>, StorageError> {
        let (org, now) = (organization.as_uuid(), now.as_micros());
        let rows = match member {
            None => fetch_all!(self.tx, LIST => Row, org, now)?,
            Some(member) => fetch_all!(self.tx, LIST_OF_MEMBER => Row, org, now, member.as_uuid())?,
        };
        Ok(rows.into_iter().map(AllowedClient::from).collect())
    }
}
