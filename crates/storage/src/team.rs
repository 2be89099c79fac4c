//! Teams: named sets of members.

use std::collections::HashMap;

use switchboard_domain::{MemberId, OrganizationId, TeamId, Timestamp};
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    row::text,
    statement::{execute, fetch_all, fetch_optional, statements},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    pub id: TeamId,
    pub organization: OrganizationId,
    pub name: String,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertTeam {
    Inserted,
    NameTaken,
}

statements! {
    INSERT = "INSERT INTO team (organization_id, id, name, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    LIST = "SELECT organization_id, id, name, created_at FROM team WHERE organization_id = $1 ORDER BY name";
    FIND = "SELECT organization_id, id, name, created_at FROM team WHERE organization_id = $1 AND id = $2";
    COUNTS = "SELECT team_id, count(*) FROM team_member WHERE organization_id = $1 GROUP BY team_id";
    OF_TEAMS = {
        sqlite: "SELECT member_id, team_id FROM team_member WHERE organization_id = $1 AND team_id IN (SELECT unhex(value) FROM json_each($2)) ORDER BY member_id, team_id",
        postgres: "SELECT member_id, team_id FROM team_member WHERE organization_id = $1 AND team_id IN (SELECT value::uuid FROM json_array_elements_text($2::json)) ORDER BY member_id, team_id"
    };
    RENAME = "UPDATE team SET name = $3 WHERE organization_id = $1 AND id = $2 AND NOT EXISTS (SELECT 1 FROM team o WHERE o.organization_id = $1 AND o.name = $3 AND o.id <> $2)";
    DELETE = "DELETE FROM team WHERE organization_id = $1 AND id = $2";
    ADD_MEMBER = "INSERT INTO team_member (organization_id, team_id, member_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    REMOVE_MEMBER = "DELETE FROM team_member WHERE organization_id = $1 AND team_id = $2 AND member_id = $3";
    OF_MEMBER = "SELECT team_id FROM team_member WHERE organization_id = $1 AND member_id = $2 ORDER BY team_id";
    /// Of many in one turn.
    OF_MEMBERS = {
        sqlite: "SELECT member_id, team_id FROM team_member WHERE organization_id = $1 AND member_id IN (SELECT unhex(value) FROM json_each($2)) ORDER BY member_id, team_id",
        postgres: "SELECT member_id, team_id FROM team_member WHERE organization_id = $1 AND member_id IN (SELECT value::uuid FROM json_array_elements_text($2::json)) ORDER BY member_id, team_id"
    };
    MEMBERS = "SELECT member_id FROM team_member WHERE organization_id = $1 AND team_id = $2 ORDER BY member_id";
    MEMBERSHIPS = "SELECT member_id, team_id FROM team_member WHERE organization_id = $1 ORDER BY member_id, team_id";
}

#[derive(sqlx::FromRow)]
struct Row {
    organization_id: Uuid,
    id: Uuid,
    name: String,
    created_at: i64,
}

impl From<Row> for Team {
    fn from(row: Row) -> Self {
        Self {
            id: TeamId::from_uuid(row.id),
            organization: OrganizationId::from_uuid(row.organization_id),
            name: row.name,
            created_at: Timestamp::from_micros(row.created_at),
        }
    }
}

impl Tx {
    pub fn teams(&mut self) -> Teams<'_> {
        Teams { tx: self }
    }
}

/// See [`Tx::teams`].
#[derive(Debug)]
pub struct Teams<'t> {
    tx: &'t mut Tx,
}

impl Teams<'_> {
    pub async fn insert(self, team: &Team) -> Result<InsertTeam, StorageError> {
        let (org, id) = (team.organization.as_uuid(), team.id.as_uuid());
        let inserted = execute!(self.tx, INSERT, org, id, text(&team.name), team.created_at.as_micros())?;
        Ok(if inserted == 1 { InsertTeam::Inserted } else { InsertTeam::NameTaken })
    }

    pub async fn list(self, organization: OrganizationId) -> Result<Vec<Team>, StorageError> {
        Ok(fetch_all!(self.tx, LIST => Row, organization.as_uuid())?.into_iter().map(Team::from).collect())
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        team: TeamId,
    ) -> Result<Option<Team>, StorageError> {
        let found = fetch_optional!(self.tx, FIND => Row, organization.as_uuid(), team.as_uuid())?;
        Ok(found.map(Team::from))
    }

    /// How many are in each team that somebody is in.
    pub async fn counts(self, organization: OrganizationId) -> Result<HashMap<TeamId, u64>, StorageError> {
        let rows = fetch_all!(self.tx, COUNTS => (Uuid, i64), organization.as_uuid())?;
        Ok(rows.into_iter().map(|(id, count)| (TeamId::from_uuid(id), count.unsigned_abs())).collect())
    }

    /// `false` when another team has the name, or there is no such team.
    pub async fn rename(
        self,
        organization: OrganizationId,
        team: TeamId,
        name: &str,
    ) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, RENAME, organization.as_uuid(), team.as_uuid(), text(name))? == 1)
    }

    /// Removes the team, its memberships and what was granted to it.
    pub async fn delete(self, organization: OrganizationId, team: TeamId) -> Result<bool, StorageError> {
        let deleted = execute!(self.tx, DELETE, organization.as_uuid(), team.as_uuid())? == 1;
        self.tx.raise_version(organization).await?;
        Ok(deleted)
    }

    pub async fn add_member(
        self,
        organization: OrganizationId,
        team: TeamId,
        member: MemberId,
    ) -> Result<(), StorageError> {
        execute!(self.tx, ADD_MEMBER, organization.as_uuid(), team.as_uuid(), member.as_uuid())?;
        self.tx.raise_version(organization).await
    }

    pub async fn remove_member(
        self,
        organization: OrganizationId,
        team: TeamId,
        member: MemberId,
    ) -> Result<(), StorageError> {
        execute!(self.tx, REMOVE_MEMBER, organization.as_uuid(), team.as_uuid(), member.as_uuid())?;
        self.tx.raise_version(organization).await
    }

    pub async fn of_member(
        self,
        organization: OrganizationId,
        member: MemberId,
    ) -> Result<Vec<TeamId>, StorageError> {
        let rows = fetch_all!(self.tx, OF_MEMBER => (Uuid,), organization.as_uuid(), member.as_uuid())?;
        Ok(rows.into_iter().map(|(id,)| TeamId::from_uuid(id)).collect())
    }

    pub async fn members(
        self,
        organization: OrganizationId,
        team: TeamId,
    ) -> Result<Vec<MemberId>, StorageError> {
        let rows = fetch_all!(self.tx, MEMBERS => (Uuid,), organization.as_uuid(), team.as_uuid())?;
        Ok(rows.into_iter().map(|(id,)| MemberId::from_uuid(id)).collect())
    }

    /// Who of them is in which team.
    pub async fn of_members(
        self,
        organization: OrganizationId,
        members: &[MemberId],
    ) -> Result<Vec<(MemberId, TeamId)>, StorageError> {
        let ids = listed(members.iter().map(|id| id.as_uuid()))?;
        let rows = fetch_all!(self.tx, OF_MEMBERS => (Uuid, Uuid), organization.as_uuid(), &ids)?;
        Ok(rows.into_iter().map(pair).collect())
    }

    /// Who is in which of them.
    pub async fn of_teams(
        self,
        organization: OrganizationId,
        teams: &[TeamId],
    ) -> Result<Vec<(MemberId, TeamId)>, StorageError> {
        let ids = listed(teams.iter().map(|id| id.as_uuid()))?;
        let rows = fetch_all!(self.tx, OF_TEAMS => (Uuid, Uuid), organization.as_uuid(), &ids)?;
        Ok(rows.into_iter().map(pair).collect())
    }

    /// Who is in which team, all of an organization.
    pub async fn memberships(
        self,
        organization: OrganizationId,
    ) -> Result<Vec<(MemberId, TeamId)>, StorageError> {
        let rows = fetch_all!(self.tx, MEMBERSHIPS => (Uuid, Uuid), organization.as_uuid())?;
        Ok(rows.into_iter().map(pair).collect())
    }
}

fn pair((member, team): (Uuid, Uuid)) -> (MemberId, TeamId) {
    (MemberId::from_uuid(member), TeamId::from_uuid(team))
}

/// As one parameter of a statement, a JSON text.
fn listed(ids: impl Iterator<Item = Uuid>) -> Result<String, StorageError> {
    let ids: Vec<String> = ids.map(|id| id.simple().to_string()).collect();
    serde_json::to_string(&ids).map_err(|_| StorageError::Unreadable("id"))
}
