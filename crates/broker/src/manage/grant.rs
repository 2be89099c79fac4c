//! Who may use a connection. An empty list is nobody: nothing is granted by creating.

use serde::{Deserialize, Serialize};
use serde_json::json;
use switchboard_domain::{ConnectionId, ConnectionOwner, Grants, MemberId, Principal, TeamId};

use super::{Operation, Refusal, Target, authorize, record::Change, refusal::Violations};
use crate::Broker;

const MAX_SUBJECTS: usize = 5_000;

/// Grants of one connection; a missing member is empty.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Grants)]
pub struct GrantsInput {
    pub everyone: bool,
    #[schema(value_type = Vec<String>)]
    pub members: Vec<MemberId>,
    #[schema(value_type = Vec<String>)]
    pub teams: Vec<TeamId>,
}

/// Grants as they are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = GrantsRead)]
pub struct GrantsView {
    pub everyone: bool,
    #[schema(value_type = Vec<String>)]
    pub members: Vec<MemberId>,
    #[schema(value_type = Vec<String>)]
    pub teams: Vec<TeamId>,
}

impl From<Grants> for GrantsView {
    fn from(grants: Grants) -> Self {
        Self { everyone: grants.everyone, members: grants.members, teams: grants.teams }
    }
}

impl Broker {
    pub async fn read_grants(&self, principal: &Principal, id: ConnectionId) -> Result<GrantsView, Refusal> {
        let known = self.known_connection(principal.organization, id).await?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let _allowed = authorize(principal, Operation::ReadGrants, target)?;
        let mut tx = self.db().single().await?;
        Ok(tx.grants().for_connection(principal.organization, id).await?.into())
    }

    /// Full replacement: there is no way to lose one between two requests.
    pub async fn put_grants(
        &self,
        principal: &Principal,
        id: ConnectionId,
        input: GrantsInput,
    ) -> Result<GrantsView, Refusal> {
        let known = self.known_connection(principal.organization, id).await?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let allowed = authorize(principal, Operation::PutGrants, target)?;
        if known.connection.owner != ConnectionOwner::Organization {
            return Err(Refusal::conflict(
                "personal_connection",
                "A personal connection is its owner's alone and can't be granted.",
            ));
        }
        let GrantsInput { everyone, mut members, mut teams } = input;
        members.sort();
        members.dedup();
        teams.sort();
        teams.dedup();
        let mut violations = Violations::default();
        for (path, count) in [("members", members.len()), ("teams", teams.len())] {
            if count > MAX_SUBJECTS {
                violations
                    .add(path, format!("Name at most {MAX_SUBJECTS}; a team or `everyone` reaches more."));
            }
        }
        violations.into_result()?;
        let grants = Grants { everyone, members, teams };
        let mut tx = self.db().write().await?;
        // The connection may have gone meanwhile: then the row refers to nothing.
        tx.grants().replace(principal.organization, id, &grants).await?;
        let details = json!({ "before": &*known.grants, "after": &grants });
        let change = Change::of(known.connection.slug.as_str()).on(id).with(details);
        self.commit_change(&allowed, tx, change).await?;
        Ok(grants.into())
    }
}
