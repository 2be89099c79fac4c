//! Tokens of people and programs: made once, shown once, revoked at once.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use switchboard_domain::{
    Caller, Clock, OrganizationId, Principal, Proof, Random, Resource, Scope, Scopes, SecretValue,
    ServiceAccountId, Timestamp, TokenId,
};
use switchboard_storage::{MemberStatus, StoredToken, TokenKind as StoredKind, Tx};
use switchboard_vault::{IssuedToken, TokenKind, issue};

use super::{
    Operation, Page, PageRequest, Refusal, Target, authorize, connection_input::check_name, record::Change,
    refusal::Violations,
};
use crate::Broker;

const DAY: u64 = 24 * 60 * 60;
/// How long a token lives when nobody says.
pub(crate) const DEFAULT_DAYS: u32 = 90;
/// The longest a token may live unless the organization's setting says otherwise.
const MAX_DAYS: u32 = 365;

/// A token to make.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    pub name: String,
    /// `mcp:read`, `mcp:write`, `mcp:plan`, `api`. Never more than the token that asks has.
    #[schema(value_type = Vec<String>, example = json!(["mcp:read", "mcp:write"]))]
    pub scopes: Vec<Scope>,
    /// Path of the one endpoint it is for, such as `/mcp` or `/mcp/toolkits/support`; all without. One that is made with
    /// a token for one endpoint is for that one.
    #[serde(default)]
    pub resource: Option<String>,
    /// 90 without; the organization's setting `max_token_days` bounds it, and so does the end of the token that asks.
    #[serde(default)]
    pub expires_in_days: Option<u32>,
    /// For a service account (admins); for yourself without.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub service_account: Option<ServiceAccountId>,
}

/// A token, without the token.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Token)]
pub struct TokenView {
    #[schema(value_type = String)]
    pub id: TokenId,
    pub name: String,
    /// `personal` or `service`.
    pub kind: &'static str,
    /// Id of the member or service account.
    pub owner: String,
    /// How it begins and ends, to recognise it by.
    pub prefix: String,
    pub last_four: String,
    #[schema(value_type = Vec<String>)]
    pub scopes: Scopes,
    pub resource: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A new token. `token` is shown this once.
#[derive(Debug)]
pub struct CreatedToken {
    pub secret: SecretValue,
    pub token: TokenView,
}

impl From<StoredToken> for TokenView {
    fn from(token: StoredToken) -> Self {
        Self {
            id: token.id,
            name: token.name,
            kind: token.kind.as_str(),
            owner: token.caller.to_string(),
            prefix: token.prefix,
            last_four: token.last_four,
            scopes: token.scopes,
            resource: token.resource,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            revoked_at: token.revoked_at,
            created_at: token.created_at,
        }
    }
}

/// What a token is to be, once it was checked.
#[derive(Debug)]
pub(crate) struct TokenPlan {
    pub(crate) organization: OrganizationId,
    pub(crate) caller: Caller,
    pub(crate) name: String,
    pub(crate) scopes: Scopes,
    pub(crate) resource: Option<String>,
    pub(crate) days: u32,
    /// It ends no later.
    pub(crate) until: Option<Timestamp>,
}

impl TokenPlan {
    pub(crate) fn issue(self, clock: &dyn Clock, random: &dyn Random) -> (StoredToken, SecretValue) {
        let (stored_kind, kind) = match self.caller {
            Caller::Member(_) => (StoredKind::Personal, TokenKind::Personal),
            Caller::ServiceAccount(_) => (StoredKind::Service, TokenKind::Service),
        };
        let IssuedToken { secret, hash, prefix, last_four } = issue(kind, random);
        let now = clock.now();
        let end = now.plus(Duration::from_secs(u64::from(self.days) * DAY));
        let stored = StoredToken {
            id: TokenId::new(clock, random),
            organization: self.organization,
            kind: stored_kind,
            caller: self.caller,
            name: self.name,
            hash: hash.0,
            prefix,
            last_four,
            scopes: self.scopes,
            resource: self.resource,
            expires_at: Some(self.until.map_or(end, |until| end.min(until))),
            last_used_at: None,
            revoked_at: None,
            grant: None,
            created_at: now,
        };
        (stored, secret)
    }
}

/// Checks what does not depend on who asks.
pub(crate) fn check_token(
    name: &str,
    scopes: &[Scope],
    resource: Option<&str>,
    days: Option<u32>,
    max_days: u32,
) -> Result<(Scopes, Option<String>, u32), Refusal> {
    let mut violations = Violations::default();
    check_name(name, &mut violations);
    if scopes.is_empty() {
        violations.add("scopes", "Name at least one: mcp:read, mcp:write, mcp:plan or api.");
    }
    if scopes.contains(&Scope::OfflineAccess) {
        violations.add("scopes", "`offline_access` is for OAuth clients, not for tokens made here.");
    }
    let path = resource.map(|text| Resource::from_path(text).map(|resource| resource.path()));
    if path == Some(None) {
        violations.add(
            "resource",
            "Use the path of an endpoint: /mcp, /mcp/toolkits/<slug>, /mcp/connections/<slug> or /api/v1.",
        );
    }
    let days = days.unwrap_or(DEFAULT_DAYS.min(max_days));
    if days == 0 || days > max_days {
        violations.add(
            "expires_in_days",
            format!("Use 1 to {max_days} days (the organization's setting `max_token_days`)."),
        );
    }
    violations.into_result()?;
    Ok((scopes.iter().copied().collect(), path.flatten(), days))
}

/// The organization's own bound, or ours.
pub(crate) fn max_days(settings: &serde_json::Value) -> u32 {
    settings["max_token_days"].as_u64().and_then(|days| u32::try_from(days).ok()).unwrap_or(MAX_DAYS)
}

impl Broker {
    /// The caller's own; for admins with `everyone` everybody's.
    pub async fn list_tokens(
        &self,
        principal: &Principal,
        everyone: bool,
        page: &PageRequest,
    ) -> Result<Page<TokenView>, Refusal> {
        let _allowed = authorize(principal, Operation::ListTokens, Target::Organization)?;
        let all = everyone && principal.role.is_admin();
        let stored = self.db().single().await?.tokens().list(principal.organization, None).await?;
        // Newest first: the key counts down.
        let mut shown: Vec<StoredToken> =
            stored.into_iter().filter(|token| all || token.caller == principal.caller).collect();
        let key = |token: &StoredToken| format!("{:032x}", u128::MAX - token.id.as_uuid().as_u128());
        shown.sort_by_key(key);
        Ok(page.cut(shown, key)?.map(TokenView::from))
    }

    /// A token can't make one that may do more than itself, elsewhere or for longer; and what it made ends with it.
    pub async fn create_token(&self, principal: &Principal, new: NewToken) -> Result<CreatedToken, Refusal> {
        let operation = match new.service_account {
            None => Operation::CreateToken,
            Some(_) => Operation::CreateServiceToken,
        };
        let allowed = authorize(principal, operation, Target::Organization)?;
        let snapshot = self.organization_snapshot(principal.organization)?;
        let limit = max_days(&snapshot.organization.settings);
        let (scopes, resource, days) =
            check_token(&new.name, &new.scopes, new.resource.as_deref(), new.expires_in_days, limit)?;
        if let Some(excess) = scopes.iter().find(|scope| !principal.scopes.contains(*scope)) {
            return Err(Refusal::insufficient_scope(format!(
                "The token you use lacks the scope {excess}, so it can't make a token that has it."
            )));
        }
        let caller = match new.service_account {
            None => principal.caller,
            Some(id) => self.active_service_account(principal.organization, id).await?,
        };
        let mut tx = self.db().write().await?;
        let parent = match principal.proof.bounding_token() {
            Some(id) => Some(parent_of(&mut tx, principal.organization, id).await?),
            None => None,
        };
        let plan = TokenPlan {
            organization: principal.organization,
            caller,
            name: new.name.trim().to_owned(),
            scopes,
            resource: within(parent.as_ref(), resource)?,
            days,
            until: parent.as_ref().and_then(|parent| parent.expires_at),
        };
        let (stored, secret) = plan.issue(self.clock(), self.random());
        match (&parent, &principal.proof) {
            (Some(parent), _) => tx.tokens().insert_child(&stored, parent.id).await?,
            (None, Proof::Grant { client, .. }) => tx.tokens().insert_through(&stored, client).await?,
            (None, _) => tx.tokens().insert(&stored).await?,
        }
        let details = json!({
            "name": stored.name, "owner": stored.caller.to_string(), "scopes": stored.scopes,
            "resource": stored.resource, "expires_at": stored.expires_at,
            "made_with": parent.map(|parent| parent.id),
        });
        self.commit_change(&allowed, tx, Change::of(stored.id).with(details)).await?;
        Ok(CreatedToken { secret, token: stored.into() })
    }

    async fn active_service_account(
        &self,
        organization: OrganizationId,
        id: ServiceAccountId,
    ) -> Result<Caller, Refusal> {
        match self.db().single().await?.service_accounts().find(organization, id).await? {
            Some(account) if account.status == MemberStatus::Active => Ok(Caller::ServiceAccount(id)),
            Some(account) => Err(Refusal::conflict(
                "service_account_disabled",
                format!("The service account {} is disabled.", account.name),
            )),
            None => Err(Refusal::invalid("unknown_reference", "There is no such service account.")),
        }
    }

    /// Ends a token and what was made with it: the caller's own, an admin anybody's. In force everywhere within a
    /// second.
    pub async fn revoke_token(&self, principal: &Principal, id: TokenId) -> Result<(), Refusal> {
        let token = self.db().single().await?.tokens().find(principal.organization, id).await?;
        let token = token.ok_or_else(Refusal::not_found)?;
        let allowed = authorize(principal, Operation::RevokeToken, Target::Of(token.caller))?;
        let mut tx = self.db().write().await?;
        tx.tokens().revoke(principal.organization, id, self.clock().now()).await?;
        let details = json!({ "name": token.name, "owner": token.caller.to_string() });
        self.commit_change(&allowed, tx, Change::of(id).with(details)).await
    }
}

/// The token that asks, as it is in this transaction: one that was revoked a moment ago makes nothing any more.
async fn parent_of(tx: &mut Tx, organization: OrganizationId, id: TokenId) -> Result<StoredToken, Refusal> {
    let found = tx.tokens().find(organization, id).await?;
    found.filter(|token| token.revoked_at.is_none()).ok_or_else(Refusal::not_found)
}

/// Where the token that asks is for one endpoint, the one that it makes is for the same.
fn within(parent: Option<&StoredToken>, wanted: Option<String>) -> Result<Option<String>, Refusal> {
    match (parent.and_then(|parent| parent.resource.clone()), wanted) {
        (Some(bound), Some(wanted)) if bound != wanted => Err(Refusal::insufficient_scope(format!(
            "The token you use is for {bound} alone, so it can't make one for {wanted}."
        ))),
        (Some(bound), _) => Ok(Some(bound)),
        (None, wanted) => Ok(wanted),
    }
}
