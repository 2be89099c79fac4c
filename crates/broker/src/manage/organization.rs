//! The organization and its settings.

use serde::Serialize;
use serde_json::Value;
use switchboard_domain::{OrganizationId, Principal, Timestamp};

use super::{Operation, Refusal, Target, authorize};
use crate::Broker;

/// The organization, read.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Organization)]
pub struct OrganizationView {
    #[schema(value_type = String)]
    pub id: OrganizationId,
    pub slug: String,
    pub name: String,
    /// `hold_destructive`, `max_token_days`.
    #[schema(value_type = Object)]
    pub settings: Value,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[serde(skip)]
    pub revision: i64,
}

impl Broker {
    pub async fn read_organization(&self, principal: &Principal) -> Result<OrganizationView, Refusal> {
        let _allowed = authorize(principal, Operation::ReadOrganization, Target::Organization)?;
        let found = self.db().single().await?.organizations().find(principal.organization).await?;
        let found = found.ok_or_else(Refusal::not_found)?;
        Ok(OrganizationView {
            id: found.id,
            slug: found.slug.to_string(),
            name: found.name,
            settings: found.settings,
            created_at: found.created_at,
            revision: found.version,
        })
    }
}
