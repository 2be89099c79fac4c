//! Credentials are written and taken away, never read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use switchboard_domain::{
    AuthType, Connection, ConnectionId, ConnectionOwner, ConnectionStatus, CredentialMode, CredentialOwner,
    MemberId, Principal, SecretValue, Status, Timestamp,
};

use super::{
    ConnectionView, Operation, Page, PageRequest, Refusal, Target, authorize,
    connection_authentication::{check_headers, check_secret},
    connection_view::credential_owner,
    record::Change,
    refusal::Violations,
};
use crate::{Broker, Known, RevocationReport, credentials::NewSecret};

/// A credential to store; which of the two depends on the connection's `auth_type`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Credential)]
pub struct CredentialInput {
    /// For `auth_type: api_key`.
    #[serde(default)]
    #[schema(value_type = Option<String>, write_only)]
    pub api_key: Option<SecretValue>,
    /// For `auth_type: headers`: every header that the connection names, with its value.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, String>>, write_only)]
    pub headers: Option<BTreeMap<String, SecretValue>>,
}

/// What may be known of a stored credential.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CredentialInfo)]
pub struct CredentialView {
    #[schema(value_type = String)]
    pub connection: ConnectionId,
    pub connection_slug: String,
    /// `shared` or `member`.
    pub owner: &'static str,
    #[schema(value_type = Option<String>)]
    pub member: Option<MemberId>,
    /// `healthy`, `reauth_required` or `unreadable`.
    pub health: &'static str,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// What was taken away, and what the provider of tokens among it said.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TakenAway {
    /// Credentials that are gone here.
    pub deleted: u64,
    /// Of the tokens among them.
    pub provider: RevocationReport,
}

impl Broker {
    /// The shared credential (admins) or the caller's own, by the connection's `credential_mode`.
    pub async fn store_credential(
        &self,
        principal: &Principal,
        id: ConnectionId,
        input: CredentialInput,
    ) -> Result<ConnectionView, Refusal> {
        let known = self.known_connection(principal.organization, id).await?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let operation = match known.connection.credential_mode {
            CredentialMode::Shared => Operation::PutSharedCredential,
            CredentialMode::PerMember => Operation::PutOwnCredential,
        };
        let allowed = authorize(principal, operation, target)?;
        let connection = &*known.connection;
        let owner = credential_owner(&known, principal);
        if connection.credential_mode == CredentialMode::PerMember && owner == CredentialOwner::Shared {
            return Err(Refusal::invalid(
                "no_account",
                "Each member has their own credential here, which a service account can't have.",
            ));
        }
        let secret = read_secret(connection, input)?;
        self.credentials().put(connection, owner, &secret).await?;
        self.note_new_credential(connection).await?;
        let change = Change::of(connection.slug.as_str())
            .on(id)
            .with(json!({ "owner": owner_word(owner), "auth_type": connection.auth_type }));
        self.record_change(&allowed, change).await?;
        if connection.switches.enabled {
            self.check_in_background(principal.organization, id);
        }
        self.read_connection(principal, id).await
    }

    /// A new credential makes what was said of the old one void: `checking` until the check has been.
    pub(crate) async fn note_new_credential(&self, connection: &Connection) -> Result<(), Refusal> {
        if !connection.switches.enabled {
            return Ok(());
        }
        let status = Status {
            checked_at: connection.status.checked_at,
            ..Status::new(ConnectionStatus::Checking, self.clock().now())
        };
        let mut tx = self.db().write().await?;
        tx.connections().set_status(connection.organization, connection.id, &status).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes away the shared credential (admins) or the caller's own.
    pub async fn delete_credential(
        &self,
        principal: &Principal,
        id: ConnectionId,
    ) -> Result<TakenAway, Refusal> {
        let known = self.known_connection(principal.organization, id).await?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let operation = match known.connection.credential_mode {
            CredentialMode::Shared => Operation::DeleteSharedCredential,
            CredentialMode::PerMember => Operation::DeleteOwnCredential,
        };
        let allowed = authorize(principal, operation, target)?;
        if known.connection.auth_type == AuthType::UserOidc {
            return Err(Refusal::conflict(
                "no_credential_kept",
                format!(
                    "{} is called with your sign-in of the identity provider, and nothing is kept for it alone.",
                    known.connection.name
                ),
            ));
        }
        let owner = credential_owner(&known, principal);
        let mut tx = self.db().write().await?;
        let now = self.clock().now();
        let queued = tx.revocations().queue(principal.organization, id, owner, now).await?;
        if !tx.credentials().delete(principal.organization, id, owner).await? {
            return Err(Refusal::not_found());
        }
        let change =
            Change::of(known.connection.slug.as_str()).on(id).with(json!({ "owner": owner_word(owner) }));
        self.commit_change(&allowed, tx, change).await?;
        self.drop_sessions(&known);
        let provider = self.revoke_queued(principal.organization, queued).await;
        Ok(TakenAway { deleted: 1, provider })
    }

    /// Everybody's credentials, without what is secret.
    pub async fn list_credentials(
        &self,
        principal: &Principal,
        connection: Option<ConnectionId>,
        page: &PageRequest,
    ) -> Result<Page<CredentialView>, Refusal> {
        let _allowed = authorize(principal, Operation::ListCredentials, Target::Organization)?;
        let snapshot = self.organization_snapshot(principal.organization)?;
        let mut tx = self.db().single().await?;
        let stored = match connection {
            Some(id) => tx.credentials().list_of_connection(principal.organization, id).await?,
            None => tx.credentials().list(principal.organization).await?,
        };
        drop(tx);
        // Members' sign-ins at the identity provider are kept for them, not for a connection.
        let of_accounts = snapshot
            .connections
            .values()
            .filter(|known| known.connection.auth_type == AuthType::UserOidc)
            .flat_map(|known| known.credentials.iter().cloned());
        let mut shown: Vec<(String, CredentialView)> = stored
            .into_iter()
            .chain(of_accounts)
            .filter(|info| connection.is_none_or(|wanted| wanted == info.connection))
            .filter_map(|info| {
                let known = snapshot.connections.get(&info.connection)?;
                let personal = known.connection.owner != ConnectionOwner::Organization;
                let member = match info.owner {
                    CredentialOwner::Shared => None,
                    CredentialOwner::Member(member) => Some(member),
                };
                // A personal connection is nobody else's business, an admin's neither.
                (!personal || member == principal.member()).then(|| {
                    let view = CredentialView {
                        connection: info.connection,
                        connection_slug: known.connection.slug.to_string(),
                        owner: if member.is_some() { "member" } else { "shared" },
                        member,
                        health: info.health.as_str(),
                        expires_at: info.expires_at,
                        updated_at: info.updated_at,
                    };
                    (format!("{}|{}", view.connection_slug, info.id), view)
                })
            })
            .collect();
        shown.sort_by(|left, right| left.0.cmp(&right.0));
        Ok(page.cut(shown, |(key, _)| key.clone())?.map(|(_, view)| view))
    }

    /// Who is connected at one connection, without what is secret.
    pub async fn list_credentials_of(
        &self,
        principal: &Principal,
        id: ConnectionId,
        page: &PageRequest,
    ) -> Result<Page<CredentialView>, Refusal> {
        let known = self.known_connection(principal.organization, id).await?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let _allowed = authorize(principal, Operation::ReadConnection, target)?;
        self.list_credentials(principal, Some(id), page).await
    }

    /// Takes everybody's credentials of one connection away; how many there were.
    pub async fn delete_all_credentials(
        &self,
        principal: &Principal,
        id: ConnectionId,
    ) -> Result<TakenAway, Refusal> {
        let allowed = authorize(principal, Operation::DeleteAllCredentials, Target::Organization)?;
        let known = self.known_connection(principal.organization, id).await?;
        if known.connection.owner != ConnectionOwner::Organization {
            return Err(Refusal::forbidden());
        }
        let mut tx = self.db().write().await?;
        let now = self.clock().now();
        let queued = tx.revocations().queue_of_connection(principal.organization, id, now).await?;
        let deleted = tx.credentials().delete_all(principal.organization, id).await?;
        let change = Change::of(known.connection.slug.as_str()).on(id).with(json!({ "deleted": deleted }));
        self.commit_change(&allowed, tx, change).await?;
        self.drop_sessions(&known);
        let provider = self.revoke_queued(principal.organization, queued).await;
        Ok(TakenAway { deleted, provider })
    }

    pub(crate) fn drop_sessions(&self, known: &Known) {
        self.upstreams().drop_connection(known.connection.id);
        self.credentials().forget(known.connection.id);
    }
}

fn owner_word(owner: CredentialOwner) -> String {
    match owner {
        CredentialOwner::Shared => "shared".into(),
        CredentialOwner::Member(member) => member.to_string(),
    }
}

fn read_secret(connection: &Connection, input: CredentialInput) -> Result<NewSecret, Refusal> {
    let mut violations = Violations::default();
    let secret = match (connection.auth_type, input.api_key, input.headers) {
        (AuthType::None, ..) => {
            return Err(Refusal::conflict(
                "no_credential_needed",
                format!("{} has `auth_type: none` and takes no credential.", connection.name),
            ));
        }
        (AuthType::OAuth | AuthType::ClientCredentials | AuthType::UserOidc, ..) => {
            return Err(Refusal::conflict(
                "no_secret_taken",
                format!(
                    "{} has `auth_type: {}`: its tokens come from the provider, and nobody writes them here.",
                    connection.name,
                    connection.auth_type.as_str()
                ),
            ));
        }
        (AuthType::ApiKey, Some(key), None) => {
            check_secret("api_key", &key, &mut violations);
            NewSecret::ApiKey(key)
        }
        (AuthType::Headers, None, Some(headers)) => {
            check_headers("headers", &headers, &mut violations);
            check_names(connection, &headers, &mut violations);
            NewSecret::Headers(headers.into_iter().collect())
        }
        (auth_type, ..) => {
            let wanted = if auth_type == AuthType::ApiKey { "api_key" } else { "headers" };
            violations.add(
                wanted,
                format!("{} authenticates with `{wanted}`: send that, and nothing else.", connection.name),
            );
            NewSecret::Headers(Vec::new())
        }
    };
    violations.into_result()?;
    Ok(secret)
}

/// Exactly the headers that the connection names: a member must not add one of their own choosing.
fn check_names(
    connection: &Connection,
    headers: &BTreeMap<String, SecretValue>,
    violations: &mut Violations,
) {
    let wanted: Vec<&String> = match connection.credential_mode {
        CredentialMode::PerMember if !connection.auth.member_headers.is_empty() => {
            connection.auth.member_headers.keys().collect()
        }
        _ => connection.auth.header_names.iter().collect(),
    };
    let is_wanted = |name: &str| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
    for name in headers.keys().filter(|name| !is_wanted(name)) {
        let shown = crate::text::one_line(name, 80);
        violations.add(format!("headers.{shown}"), "The connection does not name this header.");
    }
    for name in wanted {
        if !headers.keys().any(|given| given.eq_ignore_ascii_case(name)) {
            violations.add(format!("headers.{name}"), "A value for this header is missing.");
        }
    }
}
