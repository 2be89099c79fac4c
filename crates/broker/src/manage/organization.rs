//! The organization and its settings.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchboard_domain::{OrganizationId, Principal, Timestamp};
use switchboard_storage::Organization;

use super::{
    Operation, Refusal, Target, authorize, connection_input::check_name, identity_provider::password_sign_in,
    record::Change, refusal::Violations,
};
use crate::{
    Broker,
    audit::{keeps_arguments, retention_days},
    listing::approves_harmless_changes,
};

const MAX_TOKEN_DAYS: u32 = 3_650;
const MAX_RETENTION_DAYS: u32 = 36_500;
const MAX_PERSONAL_CONNECTIONS: u32 = 100;

/// The organization, read.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Organization)]
pub struct OrganizationView {
    #[schema(value_type = String)]
    pub id: OrganizationId,
    pub slug: String,
    pub name: String,
    pub settings: SettingsView,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[serde(skip)]
    pub revision: i64,
}

/// Settings with their values in force.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Settings)]
pub struct SettingsView {
    /// Hold capabilities that call themselves destructive until somebody approves the call.
    pub hold_destructive: bool,
    /// The longest a new token may live.
    pub max_token_days: u32,
    /// Whether members and admins may sign in with a password. Owners always may, so that a provider that fails locks
    /// nobody out for good.
    pub password_sign_in: bool,
    /// Members may add connections of their own, which nobody else sees. Off: those there are switched off.
    pub personal_connections: bool,
    /// How many of them a member may have.
    pub max_personal_connections: u32,
    /// After how many days entries of the audit log are deleted; 0 keeps them for good.
    pub audit_retention_days: u32,
    /// Keep arguments of calls in the audit log, without what looks secret; off, it has their digest alone.
    pub audit_arguments: bool,
    /// Approve by itself what changes in a tool and can't alter what a model is told or what is sent (see the guide).
    pub approve_harmless_changes: bool,
}

/// Changes to the organization.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganizationEdit {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub settings: Option<SettingsEdit>,
}

/// Settings to change; an absent one stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingsEdit {
    #[serde(default)]
    pub hold_destructive: Option<bool>,
    #[serde(default)]
    pub max_token_days: Option<u32>,
    /// `false` needs an identity provider that is enabled.
    #[serde(default)]
    pub password_sign_in: Option<bool>,
    #[serde(default)]
    pub personal_connections: Option<bool>,
    #[serde(default)]
    pub max_personal_connections: Option<u32>,
    #[serde(default)]
    pub audit_retention_days: Option<u32>,
    #[serde(default)]
    pub audit_arguments: Option<bool>,
    #[serde(default)]
    pub approve_harmless_changes: Option<bool>,
}

/// Nobody may until an admin says so: a member's own server is one that no admin has looked at.
pub(crate) fn personal_connections_allowed(settings: &Value) -> bool {
    settings["personal_connections"].as_bool().unwrap_or(false)
}

pub(super) fn max_personal_connections(settings: &Value) -> u32 {
    settings["max_personal_connections"].as_u64().and_then(|most| most.try_into().ok()).unwrap_or(10)
}

impl From<Organization> for OrganizationView {
    fn from(found: Organization) -> Self {
        Self {
            settings: SettingsView {
                hold_destructive: found.settings["hold_destructive"].as_bool().unwrap_or(false),
                max_token_days: super::token::max_days(&found.settings),
                password_sign_in: password_sign_in(&found.settings),
                personal_connections: personal_connections_allowed(&found.settings),
                max_personal_connections: max_personal_connections(&found.settings),
                audit_retention_days: retention_days(&found.settings).unwrap_or(0),
                audit_arguments: keeps_arguments(&found.settings),
                approve_harmless_changes: approves_harmless_changes(&found.settings),
            },
            id: found.id,
            slug: found.slug.to_string(),
            name: found.name,
            created_at: found.created_at,
            revision: found.version,
        }
    }
}

impl Broker {
    pub async fn read_organization(&self, principal: &Principal) -> Result<OrganizationView, Refusal> {
        let _allowed = authorize(principal, Operation::ReadOrganization, Target::Organization)?;
        Ok(self.find_organization(principal.organization).await?.into())
    }

    async fn find_organization(&self, id: OrganizationId) -> Result<Organization, Refusal> {
        let found = self.db().single().await?.organizations().find(id).await?;
        found.ok_or_else(Refusal::not_found)
    }

    pub async fn update_organization(
        &self,
        principal: &Principal,
        seen: Option<i64>,
        edit: OrganizationEdit,
    ) -> Result<OrganizationView, Refusal> {
        let allowed = authorize(principal, Operation::UpdateOrganization, Target::Organization)?;
        let mut violations = Violations::default();
        if let Some(name) = &edit.name {
            check_name(name, &mut violations);
        }
        let wanted = edit.settings.as_ref().and_then(|settings| settings.max_token_days);
        if wanted.is_some_and(|days| days == 0 || days > MAX_TOKEN_DAYS) {
            violations.add("settings.max_token_days", format!("Use 1 to {MAX_TOKEN_DAYS}."));
        }
        let wanted = edit.settings.as_ref().and_then(|settings| settings.max_personal_connections);
        if wanted.is_some_and(|most| most > MAX_PERSONAL_CONNECTIONS) {
            violations
                .add("settings.max_personal_connections", format!("Use 0 to {MAX_PERSONAL_CONNECTIONS}."));
        }
        let wanted = edit.settings.as_ref().and_then(|settings| settings.audit_retention_days);
        if wanted.is_some_and(|days| days > MAX_RETENTION_DAYS) {
            let range = format!("Use 1 to {MAX_RETENTION_DAYS}, or 0 to keep them for good.");
            violations.add("settings.audit_retention_days", range);
        }
        violations.into_result()?;
        // The version also grows with changes of others: without an `If-Match`, theirs and ours both count.
        for _ in 0..5 {
            let before = self.find_organization(principal.organization).await?;
            if seen.is_some_and(|seen| seen != before.version) {
                return Err(Refusal::stale());
            }
            let mut settings = if before.settings.is_object() { before.settings.clone() } else { json!({}) };
            if let Some(edit) = &edit.settings {
                let given = [
                    ("hold_destructive", edit.hold_destructive.map(Value::from)),
                    ("max_token_days", edit.max_token_days.map(Value::from)),
                    ("password_sign_in", edit.password_sign_in.map(Value::from)),
                    ("personal_connections", edit.personal_connections.map(Value::from)),
                    ("max_personal_connections", edit.max_personal_connections.map(Value::from)),
                    ("audit_retention_days", edit.audit_retention_days.map(Value::from)),
                    ("audit_arguments", edit.audit_arguments.map(Value::from)),
                    ("approve_harmless_changes", edit.approve_harmless_changes.map(Value::from)),
                ];
                for (name, value) in given {
                    if let Some(value) = value {
                        settings[name] = value;
                    }
                }
            }
            let name = edit.name.as_deref().map_or(before.name.as_str(), str::trim);
            let mut tx = self.db().write().await?;
            if !password_sign_in(&settings) {
                let providers = tx.identity_providers().list(before.id).await?;
                if !providers.iter().any(|provider| provider.enabled) {
                    return Err(Refusal::conflict(
                        "no_identity_provider",
                        "Without an identity provider nobody but owners could sign in. Add and try one first.",
                    ));
                }
            }
            if tx.organizations().update(before.id, name, &settings, before.version).await? {
                let details = json!({
                    "before": { "name": before.name, "settings": before.settings },
                    "after": { "name": name, "settings": settings },
                });
                self.commit_change(&allowed, tx, Change::of(before.id).with(details)).await?;
                return Ok(self.find_organization(before.id).await?.into());
            }
        }
        Err(Refusal::stale())
    }
}
