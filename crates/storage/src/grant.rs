//! Grants: who may use a connection. No row, no use.

use std::collections::HashMap;

use switchboard_domain::{ConnectionId, Grant, GrantSubject, Grants, MemberId, OrganizationId, TeamId};
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    statement::{execute, fetch_all, statements},
};

statements! {
    ALL_OF_ORGANIZATION = "SELECT connection_id, subject, member_id, team_id FROM connection_grant WHERE organization_id = $1 ORDER BY connection_id, subject, member_id, team_id";
    OF_CONNECTION = "SELECT connection_id, subject, member_id, team_id FROM connection_grant WHERE organization_id = $1 AND connection_id = $2 ORDER BY subject, member_id, team_id";
    CLEAR = "DELETE FROM connection_grant WHERE organization_id = $1 AND connection_id = $2";
    ADD = "INSERT INTO connection_grant (organization_id, connection_id, subject, member_id, team_id) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
}

#[derive(sqlx::FromRow)]
struct Row {
    connection_id: Uuid,
    subject: String,
    member_id: Option<Uuid>,
    team_id: Option<Uuid>,
}

impl TryFrom<Row> for Grant {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        let subject = match (&*row.subject, row.member_id, row.team_id) {
            ("everyone", None, None) => GrantSubject::Everyone,
            ("member", Some(id), None) => GrantSubject::Member(MemberId::from_uuid(id)),
            ("team", None, Some(id)) => GrantSubject::Team(TeamId::from_uuid(id)),
            _ => return Err(StorageError::Unreadable("grant")),
        };
        Ok(Self { connection: ConnectionId::from_uuid(row.connection_id), subject })
    }
}

fn gather(grants: &mut Grants, subject: GrantSubject) {
    match subject {
        GrantSubject::Everyone => grants.everyone = true,
        GrantSubject::Member(id) => grants.members.push(id),
        GrantSubject::Team(id) => grants.teams.push(id),
    }
}

impl Tx {
    pub fn grants(&mut self) -> GrantRows<'_> {
        GrantRows { tx: self }
    }
}

/// See [`Tx::grants`].
#[derive(Debug)]
pub struct GrantRows<'t> {
    tx: &'t mut Tx,
}

impl GrantRows<'_> {
    /// Full replacement. A member or team of another organization is [`StorageError::Reference`].
    pub async fn replace(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
        grants: &Grants,
    ) -> Result<(), StorageError> {
        let (org, connection) = (organization.as_uuid(), connection.as_uuid());
        execute!(self.tx, CLEAR, org, connection)?;
        let none = None::<Uuid>;
        if grants.everyone {
            execute!(self.tx, ADD, org, connection, "everyone", none, none)?;
        }
        for member in &grants.members {
            execute!(self.tx, ADD, org, connection, "member", Some(member.as_uuid()), none)?;
        }
        for team in &grants.teams {
            execute!(self.tx, ADD, org, connection, "team", none, Some(team.as_uuid()))?;
        }
        self.tx.raise_version(organization).await
    }

    pub async fn for_connection(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
    ) -> Result<Grants, StorageError> {
        let mut grants = Grants::default();
        for row in fetch_all!(self.tx, OF_CONNECTION => Row, organization.as_uuid(), connection.as_uuid())? {
            gather(&mut grants, Grant::try_from(row)?.subject);
        }
        Ok(grants)
    }

    /// Grants of every connection that has any.
    pub async fn all(
        self,
        organization: OrganizationId,
    ) -> Result<HashMap<ConnectionId, Grants>, StorageError> {
        let mut all: HashMap<ConnectionId, Grants> = HashMap::new();
        for row in fetch_all!(self.tx, ALL_OF_ORGANIZATION => Row, organization.as_uuid())? {
            let grant = Grant::try_from(row)?;
            gather(all.entry(grant.connection).or_default(), grant.subject);
        }
        Ok(all)
    }
}
