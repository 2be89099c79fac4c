//! Invitations: single use, with an end. The link's token is here as SHA-256.

use sqlx::types::Json;
use switchboard_domain::{Caller, InvitationId, OrganizationId, Role, TeamId, Timestamp};
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    member::email_key,
    row::{document, role, text},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// An invitation as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    pub id: InvitationId,
    pub organization: OrganizationId,
    pub email: String,
    pub role: Role,
    pub teams: Vec<TeamId>,
    /// Id of the member or service account that invited.
    pub invited_by: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub accepted_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

impl Invitation {
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.accepted_at.is_none() && self.revoked_at.is_none() && self.expires_at > now
    }
}

statements! {
    INSERT = "INSERT INTO invitation (organization_id, id, email, email_key, role, teams, hash, invited_by, created_at, expires_at, accepted_at, revoked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, NULL, NULL)";
    /// The link itself says which organization it is of: its hash is unique among all.
    FIND_BY_HASH = "SELECT organization_id, id, email, role, teams, invited_by, created_at, expires_at, accepted_at, revoked_at FROM invitation WHERE hash = $1";
    LIST = "SELECT organization_id, id, email, role, teams, invited_by, created_at, expires_at, accepted_at, revoked_at FROM invitation WHERE organization_id = $1 ORDER BY id DESC";
    ACCEPT = "UPDATE invitation SET accepted_at = $3 WHERE organization_id = $1 AND id = $2 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $3";
    REVOKE = "UPDATE invitation SET revoked_at = $3 WHERE organization_id = $1 AND id = $2 AND accepted_at IS NULL AND revoked_at IS NULL";
    /// What somebody asked others in with ends with their right to.
    REVOKE_OF_INVITER = "UPDATE invitation SET revoked_at = $3 WHERE organization_id = $1 AND invited_by = $2 AND accepted_at IS NULL AND revoked_at IS NULL";
    /// One address has one open invitation: a newer one takes the place of an older.
    REPLACE = "UPDATE invitation SET revoked_at = $3 WHERE organization_id = $1 AND email_key = $2 AND accepted_at IS NULL AND revoked_at IS NULL";
}

#[derive(sqlx::FromRow)]
struct Row {
    organization_id: Uuid,
    id: Uuid,
    email: String,
    role: String,
    teams: Json<Vec<TeamId>>,
    invited_by: String,
    created_at: i64,
    expires_at: i64,
    accepted_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl TryFrom<Row> for Invitation {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        Ok(Self {
            id: InvitationId::from_uuid(row.id),
            organization: OrganizationId::from_uuid(row.organization_id),
            email: row.email,
            role: role(&row.role)?,
            teams: row.teams.0,
            invited_by: row.invited_by,
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: Timestamp::from_micros(row.expires_at),
            accepted_at: row.accepted_at.map(Timestamp::from_micros),
            revoked_at: row.revoked_at.map(Timestamp::from_micros),
        })
    }
}

impl Tx {
    pub fn invitations(&mut self) -> Invitations<'_> {
        Invitations { tx: self }
    }
}

/// See [`Tx::invitations`].
#[derive(Debug)]
pub struct Invitations<'t> {
    tx: &'t mut Tx,
}

impl Invitations<'_> {
    /// Stores an invitation in place of an open one to the same address. `hash` is the link's SHA-256.
    pub async fn insert(self, invitation: &Invitation, hash: &[u8; 32]) -> Result<(), StorageError> {
        let (org, key) = (invitation.organization.as_uuid(), email_key(&invitation.email));
        execute!(self.tx, REPLACE, org, &key, invitation.created_at.as_micros())?;
        execute!(
            self.tx,
            INSERT,
            org,
            invitation.id.as_uuid(),
            text(invitation.email.trim()),
            key,
            invitation.role.as_str(),
            &document(&invitation.teams, "invitation teams")?,
            &hash[..],
            &invitation.invited_by,
            invitation.created_at.as_micros(),
            invitation.expires_at.as_micros(),
        )
        .map(drop)
    }

    pub async fn find_by_hash(self, hash: &[u8; 32]) -> Result<Option<Invitation>, StorageError> {
        fetch_optional!(self.tx, FIND_BY_HASH => Row, &hash[..])?.map(Row::try_into).transpose()
    }

    /// Newest first, those that are over too.
    pub async fn list(self, organization: OrganizationId) -> Result<Vec<Invitation>, StorageError> {
        fetch_all!(self.tx, LIST => Row, organization.as_uuid())?.into_iter().map(Row::try_into).collect()
    }

    /// Burns it in this transaction; `false` when somebody was first, or it is over.
    pub async fn accept(
        self,
        organization: OrganizationId,
        id: InvitationId,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, ACCEPT, organization.as_uuid(), id.as_uuid(), now.as_micros())? == 1)
    }

    pub async fn revoke(
        self,
        organization: OrganizationId,
        id: InvitationId,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, REVOKE, organization.as_uuid(), id.as_uuid(), now.as_micros())? == 1)
    }

    /// Ends the open invitations that somebody made; how many.
    pub async fn revoke_of_inviter(
        self,
        organization: OrganizationId,
        inviter: &Caller,
        now: Timestamp,
    ) -> Result<u64, StorageError> {
        execute!(self.tx, REVOKE_OF_INVITER, organization.as_uuid(), &inviter.to_string(), now.as_micros())
    }
}
