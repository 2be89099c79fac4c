//! Trying connections out among admins before everybody has them: staged one by one, published in one switch, taken
//! back in one switch. Grants stay as they are; what is staged is for the admins among those it is granted to.

use serde::Serialize;
use serde_json::json;
use switchboard_domain::{ConnectionId, Principal, Rollout};

use super::{Operation, Refusal, Target, authorize, record::Change, refusal::Violations};
use crate::Broker;

/// One connection that takes part.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct StagedConnection {
    #[schema(value_type = String)]
    pub id: ConnectionId,
    pub slug: String,
    pub name: String,
}

/// What is held back, and what was published and can be taken back.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[schema(as = Rollout)]
pub struct RolloutView {
    pub staged: Vec<StagedConnection>,
    pub published: Vec<StagedConnection>,
}

/// What a written `staged` means.
pub(super) fn rollout_of(staged: bool, is_personal: bool, violations: &mut Violations) -> Rollout {
    if staged && is_personal {
        let why = "A personal connection is its owner's alone: there is nobody to hold it back from.";
        violations.add("staged", why);
    }
    if staged { Rollout::Staged } else { Rollout::Open }
}

impl Broker {
    pub async fn read_rollout(&self, principal: &Principal) -> Result<RolloutView, Refusal> {
        let _allowed = authorize(principal, Operation::ReadRollout, Target::Organization)?;
        let mut view = RolloutView::default();
        for row in self.db().single().await?.connections().list(principal.organization).await? {
            let list = match row.switches.rollout {
                Rollout::Open => continue,
                Rollout::Staged => &mut view.staged,
                Rollout::Published => &mut view.published,
            };
            list.push(StagedConnection { id: row.id, slug: row.slug.to_string(), name: row.name });
        }
        Ok(view)
    }

    /// Everybody it is granted to has now what was staged.
    pub async fn publish_connections(&self, principal: &Principal) -> Result<RolloutView, Refusal> {
        self.move_rollout(principal, Operation::PublishConnections, (Rollout::Staged, Rollout::Published))
            .await
    }

    /// What was published is the admins' again.
    pub async fn take_back_connections(&self, principal: &Principal) -> Result<RolloutView, Refusal> {
        self.move_rollout(principal, Operation::TakeBackConnections, (Rollout::Published, Rollout::Staged))
            .await
    }

    async fn move_rollout(
        &self,
        principal: &Principal,
        operation: Operation,
        (from, to): (Rollout, Rollout),
    ) -> Result<RolloutView, Refusal> {
        let allowed = authorize(principal, operation, Target::Organization)?;
        let organization = principal.organization;
        let mut tx = self.db().write().await?;
        let rows = tx.connections().list(organization).await?;
        let moving = rows.iter().filter(|row| row.switches.rollout == from);
        let slugs: Vec<&str> = moving.map(|row| row.slug.as_str()).collect();
        tx.connections().move_rollout(organization, from, to, self.clock().now()).await?;
        let details = json!({ "connections": slugs, "before": from, "after": to });
        self.commit_change(&allowed, tx, Change::of(organization).with(details)).await?;
        self.read_rollout(principal).await
    }
}
