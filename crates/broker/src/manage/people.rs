//! Members and teams.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use switchboard_domain::{Caller, MemberId, OrganizationId, Principal, Role, TeamId, Timestamp};
use switchboard_storage::{InsertTeam, Member, MemberStatus, StorageError, Team, Tx};

use super::{
    Operation, Page, PageRequest, Refusal, Target, authorize, connection_input::check_name, record::Change,
    refusal::Violations,
};
use crate::Broker;

/// A member.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Member)]
pub struct MemberView {
    #[schema(value_type = String)]
    pub id: MemberId,
    pub email: String,
    pub display_name: String,
    /// `member`, `admin` or `owner`.
    #[schema(value_type = String)]
    pub role: Role,
    /// `active` or `suspended`.
    pub status: &'static str,
    #[schema(value_type = Vec<String>)]
    pub teams: Vec<TeamId>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A team with its members.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Team)]
pub struct TeamView {
    #[schema(value_type = String)]
    pub id: TeamId,
    pub name: String,
    #[schema(value_type = Vec<String>)]
    pub members: Vec<MemberId>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A team as a list names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamSummary {
    pub id: TeamId,
    pub name: String,
    pub members: u64,
}

/// A team to make.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTeam {
    pub name: String,
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub members: Vec<MemberId>,
}

/// What to change of a team; an absent one stays.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamEdit {
    #[serde(default)]
    pub name: Option<String>,
}

/// Who is in a team: a full replacement.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamMembers {
    #[schema(value_type = Vec<String>)]
    pub members: Vec<MemberId>,
}

pub(super) fn member_view(member: Member, teams: Vec<TeamId>) -> MemberView {
    MemberView {
        id: member.id,
        email: member.email,
        display_name: member.display_name,
        role: member.role,
        status: member.status.as_str(),
        teams,
        created_at: member.created_at,
    }
}

/// The teams of each of these members.
pub(super) async fn teams_of(
    tx: &mut Tx,
    organization: OrganizationId,
    members: &[MemberId],
) -> Result<HashMap<MemberId, Vec<TeamId>>, StorageError> {
    let mut teams: HashMap<MemberId, Vec<TeamId>> = HashMap::new();
    for (member, team) in tx.teams().of_members(organization, members).await? {
        teams.entry(member).or_default().push(team);
    }
    Ok(teams)
}

async fn with_teams(
    tx: &mut Tx,
    organization: OrganizationId,
    members: Vec<Member>,
) -> Result<Vec<MemberView>, StorageError> {
    let ids: Vec<MemberId> = members.iter().map(|member| member.id).collect();
    let mut teams = teams_of(tx, organization, &ids).await?;
    let view = |member: Member| {
        let teams = teams.remove(&member.id).unwrap_or_default();
        member_view(member, teams)
    };
    Ok(members.into_iter().map(view).collect())
}

impl Broker {
    pub async fn list_members(
        &self,
        principal: &Principal,
        page: &PageRequest,
    ) -> Result<Page<MemberView>, Refusal> {
        let _allowed = authorize(principal, Operation::ListMembers, Target::Organization)?;
        let (limit, after) = (page.limit()?, page.after()?);
        let mut tx = self.db().read().await?;
        let most = u32::try_from(limit + 1).unwrap_or(u32::MAX);
        let mut members = tx.members().list(principal.organization, after.as_deref(), most).await?;
        let more = members.len() > limit;
        members.truncate(limit);
        let next_cursor = members.last().filter(|_| more).map(|last| super::page::write_cursor(&last.email));
        Ok(Page { items: with_teams(&mut tx, principal.organization, members).await?, next_cursor })
    }

    /// Those of them that are here, by address.
    pub async fn read_members(
        &self,
        principal: &Principal,
        ids: &[MemberId],
    ) -> Result<Vec<MemberView>, Refusal> {
        let _allowed = authorize(principal, Operation::ListMembers, Target::Organization)?;
        let mut tx = self.db().read().await?;
        let mut members = tx.members().find_all(principal.organization, ids).await?;
        members.retain(|member| member.status != MemberStatus::Removed);
        Ok(with_teams(&mut tx, principal.organization, members).await?)
    }

    pub async fn read_member(&self, principal: &Principal, id: MemberId) -> Result<MemberView, Refusal> {
        let _allowed = authorize(principal, Operation::ReadMember, Target::Of(Caller::Member(id)))?;
        let mut tx = self.db().read().await?;
        let found = tx.members().find(principal.organization, id).await?;
        let found = found.filter(|member| member.status != MemberStatus::Removed);
        let teams = tx.teams().of_member(principal.organization, id).await?;
        Ok(member_view(found.ok_or_else(Refusal::not_found)?, teams))
    }

    /// By email address, as people name each other.
    pub async fn find_member(&self, principal: &Principal, email: &str) -> Result<MemberView, Refusal> {
        let _allowed = authorize(principal, Operation::ListMembers, Target::Organization)?;
        let mut tx = self.db().read().await?;
        let found = tx.members().find_by_email(principal.organization, email).await?;
        let found = found.filter(|member| member.status != MemberStatus::Removed);
        let member = found.ok_or_else(|| {
            Refusal::invalid(
                "unknown_reference",
                format!("Nobody here has the address {email}. Invite them first."),
            )
        })?;
        let teams = tx.teams().of_member(principal.organization, member.id).await?;
        Ok(member_view(member, teams))
    }

    pub async fn list_teams(
        &self,
        principal: &Principal,
        page: &PageRequest,
    ) -> Result<Page<TeamView>, Refusal> {
        let _allowed = authorize(principal, Operation::ListTeams, Target::Organization)?;
        let mut tx = self.db().read().await?;
        let page = cut_teams(page, tx.teams().list(principal.organization).await?)?;
        let ids: Vec<TeamId> = page.items.iter().map(|team| team.id).collect();
        let mut members: HashMap<TeamId, Vec<MemberId>> = HashMap::new();
        for (member, team) in tx.teams().of_teams(principal.organization, &ids).await? {
            members.entry(team).or_default().push(member);
        }
        Ok(page.map(|team| team_view(members.remove(&team.id).unwrap_or_default(), team)))
    }

    /// Their names, and how many are in each: not who.
    pub async fn find_teams(
        &self,
        principal: &Principal,
        page: &PageRequest,
    ) -> Result<Page<TeamSummary>, Refusal> {
        let _allowed = authorize(principal, Operation::ListTeams, Target::Organization)?;
        let mut tx = self.db().read().await?;
        let page = cut_teams(page, tx.teams().list(principal.organization).await?)?;
        let counts = tx.teams().counts(principal.organization).await?;
        Ok(page.map(|team| TeamSummary {
            members: counts.get(&team.id).copied().unwrap_or_default(),
            id: team.id,
            name: team.name,
        }))
    }

    pub(super) async fn team(&self, organization: OrganizationId, id: TeamId) -> Result<TeamView, Refusal> {
        let mut tx = self.db().read().await?;
        let team = tx.teams().find(organization, id).await?.ok_or_else(Refusal::not_found)?;
        Ok(team_view(tx.teams().members(organization, id).await?, team))
    }

    pub async fn create_team(&self, principal: &Principal, new: NewTeam) -> Result<TeamView, Refusal> {
        let allowed = authorize(principal, Operation::CreateTeam, Target::Organization)?;
        let mut violations = Violations::default();
        check_name(&new.name, &mut violations);
        violations.into_result()?;
        let team = Team {
            id: TeamId::new(self.clock(), self.random()),
            organization: principal.organization,
            name: new.name.trim().to_owned(),
            created_at: self.clock().now(),
        };
        let mut tx = self.db().write().await?;
        if tx.teams().insert(&team).await? == InsertTeam::NameTaken {
            return Err(Refusal::conflict("name_taken", format!("There is a team `{}` already.", team.name)));
        }
        for member in &new.members {
            tx.teams().add_member(principal.organization, team.id, *member).await?;
        }
        let change = Change::of(team.id).with(json!({ "name": team.name, "members": new.members }));
        self.commit_change(&allowed, tx, change).await?;
        self.team(principal.organization, team.id).await
    }

    pub async fn put_team_members(
        &self,
        principal: &Principal,
        id: TeamId,
        wanted: TeamMembers,
    ) -> Result<TeamView, Refusal> {
        let allowed = authorize(principal, Operation::PutTeamMembers, Target::Organization)?;
        let before = self.team(principal.organization, id).await?;
        let mut tx = self.db().write().await?;
        for member in before.members.iter().filter(|member| !wanted.members.contains(member)) {
            tx.teams().remove_member(principal.organization, id, *member).await?;
        }
        for member in wanted.members.iter().filter(|member| !before.members.contains(member)) {
            tx.teams().add_member(principal.organization, id, *member).await?;
        }
        let details = json!({ "before": before.members, "after": wanted.members });
        self.commit_change(&allowed, tx, Change::of(id).with(details)).await?;
        self.team(principal.organization, id).await
    }

    pub async fn read_team(&self, principal: &Principal, id: TeamId) -> Result<TeamView, Refusal> {
        let _allowed = authorize(principal, Operation::ListTeams, Target::Organization)?;
        self.team(principal.organization, id).await
    }

    pub async fn update_team(
        &self,
        principal: &Principal,
        id: TeamId,
        edit: TeamEdit,
    ) -> Result<TeamView, Refusal> {
        let allowed = authorize(principal, Operation::UpdateTeam, Target::Organization)?;
        let before = self.team(principal.organization, id).await?;
        let name = edit.name.map_or_else(|| before.name.clone(), |name| name.trim().to_owned());
        if name == before.name {
            return Ok(before);
        }
        let mut violations = Violations::default();
        check_name(&name, &mut violations);
        violations.into_result()?;
        let mut tx = self.db().write().await?;
        if !tx.teams().rename(principal.organization, id, &name).await? {
            return Err(Refusal::conflict("name_taken", format!("There is a team `{name}` already.")));
        }
        let details = json!({ "before": before.name, "after": name });
        self.commit_change(&allowed, tx, Change::of(id).with(details)).await?;
        self.team(principal.organization, id).await
    }

    /// What was granted to it goes with it.
    pub async fn delete_team(&self, principal: &Principal, id: TeamId) -> Result<(), Refusal> {
        let allowed = authorize(principal, Operation::DeleteTeam, Target::Organization)?;
        let before = self.team(principal.organization, id).await?;
        let mut tx = self.db().write().await?;
        if !tx.teams().delete(principal.organization, id).await? {
            return Err(Refusal::not_found());
        }
        self.commit_change(&allowed, tx, Change::of(id).with(json!({ "name": before.name }))).await
    }
}

fn team_view(members: Vec<MemberId>, team: Team) -> TeamView {
    TeamView { id: team.id, name: team.name, members, created_at: team.created_at }
}

fn cut_teams(page: &PageRequest, mut teams: Vec<Team>) -> Result<Page<Team>, Refusal> {
    let key = |team: &Team| format!("{}|{}", team.name, team.id);
    teams.sort_by_key(key);
    page.cut(teams, key)
}
