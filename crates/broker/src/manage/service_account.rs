//! Service accounts: programs that act for themselves, with tokens or with a secret of their own
//! (`authorization::client_credentials`).

use serde::{Deserialize, Serialize};
use serde_json::json;
use switchboard_domain::{
    Caller, OauthClientId, Principal, Role, Scope, Scopes, SecretValue, ServiceAccountId, Timestamp,
};
use switchboard_oauth::fingerprint;
use switchboard_storage::{MemberStatus, OauthClient, OauthClientKind, ServiceAccount, UpdateServiceAccount};
use switchboard_vault::{TokenKind, issue};

use super::{
    Operation, Page, PageRequest, Refusal, StatusWord, Target, authorize, connection_input::check_name,
    record::Change, refusal::Violations,
};
use crate::Broker;

const FOR_PROGRAMS: [Scope; 3] = [Scope::McpRead, Scope::McpWrite, Scope::McpPlan];

/// A program that acts for itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ServiceAccount)]
pub struct ServiceAccountView {
    /// Also the `client_id` that goes with its secret.
    #[schema(value_type = String)]
    pub id: ServiceAccountId,
    pub name: String,
    /// `member` or `admin`.
    #[schema(value_type = String)]
    pub role: Role,
    /// `active`, or `suspended` when disabled.
    pub status: &'static str,
    /// Whether it has a secret to ask `/oauth/token` with.
    pub has_secret: bool,
    /// When its secret was last used.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// What a program may be; owners are people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProgramRole {
    Member,
    Admin,
}

/// A service account to make; its tokens are made at `/tokens`, its secret at `/service-accounts/{id}/secret`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewServiceAccount {
    pub name: String,
    /// `member` without.
    #[serde(default)]
    pub role: Option<ProgramRole>,
}

/// What to change of a service account; an absent one stays.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceAccountEdit {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub role: Option<ProgramRole>,
    /// `suspended` stops its tokens and its secret within a second, `active` lets it in again.
    #[serde(default)]
    pub status: Option<StatusWord>,
}

/// A secret to make.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// The most it may ask for: `mcp:read`, `mcp:write`, `mcp:plan`; without, `mcp:read` and `mcp:write`.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, example = json!(["mcp:read"]))]
    pub scopes: Option<Vec<Scope>>,
}

/// A new secret, which is shown this once.
#[derive(Debug)]
pub struct CreatedSecret {
    pub client_id: String,
    pub secret: SecretValue,
    pub scopes: Scopes,
}

impl From<ProgramRole> for Role {
    fn from(role: ProgramRole) -> Self {
        match role {
            ProgramRole::Member => Self::Member,
            ProgramRole::Admin => Self::Admin,
        }
    }
}

fn view(account: ServiceAccount, client: Option<&OauthClient>) -> ServiceAccountView {
    ServiceAccountView {
        id: account.id,
        name: account.name,
        role: account.role,
        status: account.status.as_str(),
        has_secret: client.is_some(),
        last_used_at: client.and_then(|client| client.last_used_at),
        created_at: account.created_at,
    }
}

fn name_taken(name: &str) -> Refusal {
    Refusal::conflict("name_taken", format!("There is a service account `{name}` already."))
}

impl Broker {
    pub async fn list_service_accounts(
        &self,
        principal: &Principal,
        page: &PageRequest,
    ) -> Result<Page<ServiceAccountView>, Refusal> {
        let _allowed = authorize(principal, Operation::ListServiceAccounts, Target::Organization)?;
        let mut tx = self.db().read().await?;
        let mut accounts = tx.service_accounts().list(principal.organization).await?;
        let clients = tx.oauth_clients().list_of_service_accounts(principal.organization).await?;
        let key = |account: &ServiceAccount| format!("{}|{}", account.name, account.id);
        accounts.sort_by_key(key);
        Ok(page.cut(accounts, key)?.map(|account| {
            let id = account.id.to_string();
            view(account, clients.iter().find(|client| client.client_id == id))
        }))
    }

    pub async fn read_service_account(
        &self,
        principal: &Principal,
        id: ServiceAccountId,
    ) -> Result<ServiceAccountView, Refusal> {
        let _allowed = authorize(principal, Operation::ReadServiceAccount, Target::Organization)?;
        let mut tx = self.db().read().await?;
        let account = tx.service_accounts().find(principal.organization, id).await?;
        let client = tx.oauth_clients().find(&id.to_string()).await?;
        Ok(view(account.ok_or_else(Refusal::not_found)?, client.as_ref()))
    }

    pub async fn create_service_account(
        &self,
        principal: &Principal,
        new: NewServiceAccount,
    ) -> Result<ServiceAccountView, Refusal> {
        let allowed = authorize(principal, Operation::CreateServiceAccount, Target::Organization)?;
        let mut violations = Violations::default();
        check_name(&new.name, &mut violations);
        violations.into_result()?;
        let account = ServiceAccount {
            id: ServiceAccountId::new(self.clock(), self.random()),
            organization: principal.organization,
            name: new.name.trim().to_owned(),
            role: new.role.map_or(Role::Member, Role::from),
            status: MemberStatus::Active,
            created_at: self.clock().now(),
        };
        let mut tx = self.db().write().await?;
        if !tx.service_accounts().insert(&account).await? {
            return Err(name_taken(&account.name));
        }
        let change = Change::of(account.id).with(json!({ "name": account.name, "role": account.role }));
        self.commit_change(&allowed, tx, change).await?;
        Ok(view(account, None))
    }

    pub async fn update_service_account(
        &self,
        principal: &Principal,
        id: ServiceAccountId,
        edit: ServiceAccountEdit,
    ) -> Result<ServiceAccountView, Refusal> {
        let allowed = authorize(principal, Operation::UpdateServiceAccount, Target::Organization)?;
        let mut violations = Violations::default();
        if let Some(name) = &edit.name {
            check_name(name, &mut violations);
        }
        violations.into_result()?;
        let mut tx = self.db().write().await?;
        let found = tx.service_accounts().find(principal.organization, id).await?;
        let before = found.ok_or_else(Refusal::not_found)?;
        let after = ServiceAccount {
            name: edit.name.as_deref().map_or(before.name.as_str(), str::trim).to_owned(),
            role: edit.role.map_or(before.role, Role::from),
            status: edit.status.map_or(before.status, MemberStatus::from),
            ..before.clone()
        };
        if after == before {
            drop(tx);
            return self.read_service_account(principal, id).await;
        }
        match tx.service_accounts().update(&after).await? {
            UpdateServiceAccount::Updated => {}
            UpdateServiceAccount::NameTaken => return Err(name_taken(&after.name)),
            UpdateServiceAccount::Unknown => return Err(Refusal::not_found()),
        }
        if after.role < before.role || after.status != MemberStatus::Active {
            // Asked in with a right that is no longer its own.
            let inviter = Caller::ServiceAccount(id);
            tx.invitations().revoke_of_inviter(principal.organization, &inviter, self.clock().now()).await?;
        }
        let facts = |account: &ServiceAccount| json!({ "name": account.name, "role": account.role, "status": account.status.as_str() });
        let details = json!({ "before": facts(&before), "after": facts(&after) });
        self.commit_change(&allowed, tx, Change::of(id).with(details)).await?;
        self.read_service_account(principal, id).await
    }

    /// With its tokens and its secret: they stop working within a second.
    pub async fn remove_service_account(
        &self,
        principal: &Principal,
        id: ServiceAccountId,
    ) -> Result<(), Refusal> {
        let allowed = authorize(principal, Operation::RemoveServiceAccount, Target::Organization)?;
        let organization = principal.organization;
        let mut tx = self.db().write().await?;
        let found = tx.service_accounts().find(organization, id).await?;
        let before = found.ok_or_else(Refusal::not_found)?;
        tx.service_accounts().delete(organization, id).await?;
        let (inviter, now) = (Caller::ServiceAccount(id), self.clock().now());
        tx.invitations().revoke_of_inviter(organization, &inviter, now).await?;
        if let Some(client) = tx.oauth_clients().find(&id.to_string()).await? {
            tx.oauth_clients().delete(client.id).await?;
        }
        let change = Change::of(id).with(json!({ "name": before.name, "role": before.role }));
        self.commit_change(&allowed, tx, change).await
    }

    /// A secret for `client_credentials`. The one before, and what it opened, end with it.
    pub async fn create_service_account_secret(
        &self,
        principal: &Principal,
        id: ServiceAccountId,
        new: NewSecret,
    ) -> Result<CreatedSecret, Refusal> {
        let allowed = authorize(principal, Operation::CreateServiceAccountSecret, Target::Organization)?;
        let scopes = program_scopes(principal, new.scopes)?;
        let organization = principal.organization;
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        let found = tx.service_accounts().find(organization, id).await?;
        let account = found.ok_or_else(Refusal::not_found)?;
        let issued = issue(TokenKind::ClientSecret, self.random());
        let client_id = id.to_string();
        match tx.oauth_clients().find(&client_id).await? {
            Some(client) => {
                tx.oauth_clients().set_secret(client.id, &issued.hash.0, Some(scopes), now).await?;
                tx.oauth_grants().revoke_of_client(organization, client.id, "secret", now).await?;
            }
            None => {
                let client = OauthClient {
                    id: OauthClientId::new(self.clock(), self.random()),
                    client_id: client_id.clone(),
                    kind: OauthClientKind::ServiceAccount,
                    owner: Some(organization),
                    name: account.name.clone(),
                    redirect_uris: Vec::new(),
                    secret_hash: Some(issued.hash.0),
                    fingerprint: fingerprint(&client_id, &[], &[]),
                    created_at: now,
                    fresh_until: None,
                    last_used_at: None,
                    expires_at: None,
                    disabled_at: None,
                    source: None,
                    scopes: Some(scopes),
                };
                tx.oauth_clients().insert(&client).await?;
            }
        }
        let change = Change::of(id).with(json!({ "name": account.name, "scopes": scopes }));
        self.commit_change(&allowed, tx, change).await?;
        Ok(CreatedSecret { client_id, secret: issued.secret, scopes })
    }
}

/// What a secret may be for: MCP and nothing else, and no more than whoever makes it.
fn program_scopes(principal: &Principal, asked: Option<Vec<Scope>>) -> Result<Scopes, Refusal> {
    let asked = asked.unwrap_or_else(|| vec![Scope::McpRead, Scope::McpWrite]);
    let mut violations = Violations::default();
    if asked.is_empty() {
        violations.add("scopes", "Name at least one: mcp:read, mcp:write or mcp:plan.");
    }
    if asked.iter().any(|scope| !FOR_PROGRAMS.contains(scope)) {
        violations.add(
            "scopes",
            "A secret is for mcp:read, mcp:write and mcp:plan. For the REST API make a token of the service account.",
        );
    }
    violations.into_result()?;
    if let Some(excess) = asked.iter().find(|scope| !principal.scopes.contains(**scope)) {
        return Err(Refusal::insufficient_scope(format!(
            "The token you use lacks the scope {excess}, so it can't make a secret that has it."
        )));
    }
    Ok(asked.into_iter().collect())
}
