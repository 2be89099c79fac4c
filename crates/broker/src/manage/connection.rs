//! Connections: list, create, read, delete. Editing is in `connection_edit.rs`.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use switchboard_domain::{
    AuthType, Connection, ConnectionId, ConnectionOwner, ConnectionStatus, CredentialMode, CredentialOwner,
    Diagnosis, MemberId, OrganizationId, Principal, Status,
};
use switchboard_storage::InsertConnection;

use super::{
    ConnectionView, NewConnection, Operation, OwnerWord, Page, PageRequest, Refusal, Target, authorize,
    authorize::is_granted,
    connection_input::Checked,
    connection_oauth::ClientChange,
    connection_view::{is_read_only, origin, warnings},
    organization::{max_personal_connections, personal_connections_allowed},
    page::is_in,
    record::Change,
};
use crate::{Broker, CheckError, Known, Snapshot};

/// Which connections a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionScope {
    /// Everything the caller may see.
    #[default]
    Visible,
    /// Enabled and granted to the caller.
    Usable,
    /// What the caller may edit.
    Manageable,
}

/// Which of them; everything given must match.
#[derive(Debug, Clone, Default)]
pub struct ConnectionFilter {
    pub scope: ConnectionScope,
    /// Is in the name, the short name or the address, capitals or not.
    pub text: Option<String>,
    /// As the caller meets it.
    pub status: Option<ConnectionStatus>,
}

impl ConnectionFilter {
    fn admits(&self, connection: &ConnectionView) -> bool {
        let texts = [connection.name.as_str(), &connection.slug, &connection.url];
        self.status.is_none_or(|status| status == connection.status)
            && is_in(self.text.as_deref().unwrap_or_default(), &texts)
    }
}

/// A created connection, or the one that was there.
#[derive(Debug)]
pub struct CreatedConnection {
    pub connection: ConnectionView,
    /// It had been created before with the same `external_key`.
    pub existed: bool,
}

impl Broker {
    pub(crate) fn organization_snapshot(
        &self,
        organization: OrganizationId,
    ) -> Result<Arc<Snapshot>, Refusal> {
        self.snapshot(organization).ok_or_else(Refusal::unavailable)
    }

    /// A connection by id with its row as it is now: a status changes without a new snapshot.
    pub(crate) async fn known_connection(
        &self,
        organization: OrganizationId,
        id: ConnectionId,
    ) -> Result<Known, Refusal> {
        let row = self.db().single().await?.connections().find(organization, id).await?;
        let snapshot = self.organization_snapshot(organization)?;
        let (Some(row), Some(known)) = (row, snapshot.connections.get(&id)) else {
            return Err(Refusal::not_found());
        };
        Ok(Known { connection: Arc::new(row), ..known.clone() })
    }

    pub async fn list_connections(
        &self,
        principal: &Principal,
        scope: ConnectionScope,
        page: &PageRequest,
    ) -> Result<Page<ConnectionView>, Refusal> {
        let filter = ConnectionFilter { scope, ..ConnectionFilter::default() };
        self.find_connections(principal, &filter, page).await
    }

    pub async fn find_connections(
        &self,
        principal: &Principal,
        filter: &ConnectionFilter,
        page: &PageRequest,
    ) -> Result<Page<ConnectionView>, Refusal> {
        let allowed = authorize(principal, Operation::ListConnections, Target::Organization)?;
        let organization = allowed.principal().organization;
        let rows = self.db().single().await?.connections().list(organization).await?;
        let snapshot = self.organization_snapshot(organization)?;
        let mut shown = Vec::new();
        for row in rows {
            let Some(known) = snapshot.connections.get(&row.id) else { continue };
            let target = Target::Connection { connection: &row, grants: &known.grants };
            let included = match filter.scope {
                ConnectionScope::Visible => authorize(principal, Operation::ReadConnection, target).is_ok(),
                ConnectionScope::Manageable => {
                    authorize(principal, Operation::UpdateConnection, target).is_ok()
                }
                ConnectionScope::Usable => row.switches.enabled && is_granted(principal, &row, &known.grants),
            };
            if included {
                shown.push(Known { connection: Arc::new(row), ..known.clone() });
            }
        }
        let key = |known: &Known| format!("{}|{}", known.connection.slug, known.connection.id);
        if filter.text.is_some() || filter.status.is_some() {
            shown.retain(|known| filter.admits(&self.connection_view(known, principal)));
        }
        shown.sort_by_key(key);
        Ok(page.cut(shown, key)?.map(|known| self.connection_view(&known, principal)))
    }

    pub async fn read_connection(
        &self,
        principal: &Principal,
        id: ConnectionId,
    ) -> Result<ConnectionView, Refusal> {
        let known = self.known_connection(principal.organization, id).await?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let _allowed = authorize(principal, Operation::ReadConnection, target)?;
        Ok(self.connection_view(&known, principal))
    }

    /// Validates, stores, and lets it be checked in the background.
    pub async fn create_connection(
        &self,
        principal: &Principal,
        new: NewConnection,
    ) -> Result<CreatedConnection, Refusal> {
        let operation = match new.owner {
            OwnerWord::Organization => Operation::CreateConnection,
            OwnerWord::Member => Operation::CreatePersonalConnection,
        };
        let allowed = authorize(principal, operation, Target::Organization)?;
        let owner = match (new.owner, principal.member()) {
            (OwnerWord::Organization, _) => ConnectionOwner::Organization,
            (OwnerWord::Member, Some(member)) => ConnectionOwner::Member(member),
            (OwnerWord::Member, None) => {
                return Err(Refusal::invalid(
                    "validation_failed",
                    "A service account can't have personal connections.",
                ));
            }
        };
        if let ConnectionOwner::Member(member) = owner {
            self.check_personal_connections(principal.organization, member)?;
        }
        let auth_type = new.auth_type;
        let mut checked = self.check_new_connection(new)?;
        let (secret, client) = (checked.secret.take(), std::mem::take(&mut checked.client));
        let connection =
            self.new_connection(principal.organization, owner, auth_type, checked, secret.is_some());
        let mut tx = self.db().write().await?;
        match tx.connections().insert(&connection).await? {
            InsertConnection::Inserted => {}
            InsertConnection::SlugTaken => {
                return Err(slug_taken(connection.slug.as_str()));
            }
            InsertConnection::ExternalKeyExists(first) => {
                drop(tx);
                let connection = self.read_connection(principal, first.id).await?;
                return Ok(CreatedConnection { connection, existed: true });
            }
        }
        tx.commit().await?;
        if let Some(secret) = &secret {
            let owner = owner_of_secret(&connection);
            if let Err(error) = self.credentials().put(&connection, owner, secret).await {
                let mut tx = self.db().write().await?;
                tx.connections().delete(connection.organization, connection.id).await?;
                tx.commit().await?;
                return Err(error.into());
            }
        }
        self.change_client(&connection, &client).await?;
        if connection.switches.send_identity {
            self.connection_key(&connection).await?;
        }
        let details = json!({
            "slug": connection.slug, "url": origin(&connection.url), "transport": connection.transport,
            "auth_type": connection.auth_type, "credential_mode": connection.credential_mode,
            "credential": secret.is_some(),
        });
        let change = Change::of(connection.slug.as_str()).on(connection.id).with(details);
        self.record_change(&allowed, change).await?;
        if connection.status.status == ConnectionStatus::Checking {
            self.check_in_background(connection.organization, connection.id);
        }
        let warnings = warnings(&connection.url);
        let connection = ConnectionView { warnings, ..self.read_connection(principal, connection.id).await? };
        Ok(CreatedConnection { connection, existed: false })
    }

    /// Whether this member may have one more of their own.
    fn check_personal_connections(
        &self,
        organization: OrganizationId,
        member: MemberId,
    ) -> Result<(), Refusal> {
        let snapshot = self.organization_snapshot(organization)?;
        let settings = &snapshot.organization.settings;
        if !personal_connections_allowed(settings) {
            return Err(Refusal::conflict(
                "personal_connections_off",
                "This organization does not allow personal connections. An admin can: it is the setting \
                 `personal_connections` of the organization.",
            ));
        }
        let own = ConnectionOwner::Member(member);
        let (most, count) = (
            max_personal_connections(settings),
            snapshot.connections.values().filter(|known| known.connection.owner == own).count(),
        );
        if count >= most as usize {
            return Err(Refusal::conflict(
                "too_many_personal_connections",
                format!(
                    "You have {count} personal connections, and {most} is the most here (the organization's setting \
                     `max_personal_connections`). Remove one first."
                ),
            ));
        }
        Ok(())
    }

    fn new_connection(
        &self,
        organization: OrganizationId,
        owner: ConnectionOwner,
        auth_type: AuthType,
        checked: Checked,
        has_secret: bool,
    ) -> Connection {
        let now = self.clock().now();
        let can_be_looked_at =
            matches!(auth_type, AuthType::None | AuthType::OAuth | AuthType::UserOidc) || has_secret;
        let ready = checked.switches.enabled && can_be_looked_at;
        let status = if ready { ConnectionStatus::Checking } else { ConnectionStatus::NeedsConnection };
        let mut status = Status::new(status, now);
        if !ready && auth_type != AuthType::None {
            status.reason = Some("credential_missing".into());
        } else if !ready {
            status.status = ConnectionStatus::SetupIncomplete;
        }
        Connection {
            id: ConnectionId::new(self.clock(), self.random()),
            organization,
            owner,
            slug: checked.slug,
            name: checked.name,
            url: checked.url,
            transport: checked.transport,
            auth_type,
            auth: checked.auth,
            credential_mode: checked.credential_mode,
            switches: checked.switches,
            tools: checked.tools,
            external_key: checked.external_key,
            status,
            era: None,
            instructions: None,
            created_at: now,
            updated_at: now,
            revision: 1,
        }
    }

    /// Stores or drops the OAuth client that goes with an edit.
    pub(crate) async fn change_client(
        &self,
        connection: &Connection,
        change: &ClientChange,
    ) -> Result<(), Refusal> {
        match change {
            ClientChange::Keep => Ok(()),
            ClientChange::Put(secret) => Ok(self.put_client(connection, secret.as_ref()).await?),
            ClientChange::Drop => Ok(self.drop_client(connection).await?),
        }
    }

    /// Removes it with its grants, credentials and catalogue, and ends its sessions.
    pub async fn delete_connection(&self, principal: &Principal, id: ConnectionId) -> Result<(), Refusal> {
        let known = self.known_connection(principal.organization, id).await?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let allowed = authorize(principal, Operation::DeleteConnection, target)?;
        refuse_read_only(&known.connection)?;
        let client = self.stored_client(&known.connection).await?;
        let mut tx = self.db().write().await?;
        let now = self.clock().now();
        let queued = tx.revocations().queue_of_connection(principal.organization, id, now).await?;
        if !tx.connections().delete(principal.organization, id).await? {
            return Err(Refusal::not_found());
        }
        let change = Change::of(known.connection.slug.as_str()).on(id);
        self.commit_change(&allowed, tx, change).await?;
        self.give_back(&known.connection, client);
        self.upstreams().drop_connection(id);
        self.credentials().forget(id);
        self.revoke_soon(queued);
        Ok(())
    }

    /// Tries it now and says, stage by stage, how far that came.
    pub async fn check_connection(
        &self,
        principal: &Principal,
        id: ConnectionId,
    ) -> Result<Diagnosis, Refusal> {
        self.look_at_connection(principal, Operation::CheckConnection, id).await
    }

    /// Lists its tools anew.
    pub async fn refresh_connection(
        &self,
        principal: &Principal,
        id: ConnectionId,
    ) -> Result<ConnectionView, Refusal> {
        self.look_at_connection(principal, Operation::RefreshConnection, id).await?;
        self.read_connection(principal, id).await
    }

    async fn look_at_connection(
        &self,
        principal: &Principal,
        operation: Operation,
        id: ConnectionId,
    ) -> Result<Diagnosis, Refusal> {
        let known = self.known_connection(principal.organization, id).await?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let allowed = authorize(principal, operation, target)?;
        if !known.connection.switches.enabled {
            return Err(Refusal::conflict(
                "connection_disabled",
                format!(
                    "{} is switched off. Switch it on (`enabled: true`), then check it.",
                    known.connection.name
                ),
            ));
        }
        let owner = match (known.connection.credential_mode, principal.member()) {
            (CredentialMode::PerMember, Some(member)) => Some(CredentialOwner::Member(member)),
            _ => None,
        };
        // Without a credential of their own an admin still learns whether it works for anybody.
        let owner = owner.filter(|owner| known.credential(*owner).is_some());
        let diagnosis = self.check(principal.organization, id, owner).await.map_err(|error| match error {
            CheckError::NotFound => Refusal::not_found(),
            CheckError::Storage(error) => error.into(),
        })?;
        let details =
            json!({ "reached": diagnosis.reached, "failed": diagnosis.failed, "reason": diagnosis.reason });
        let change = Change::of(known.connection.slug.as_str()).on(id).with(details);
        self.record_change(&allowed, change).await?;
        Ok(diagnosis)
    }

    /// Without the pause that background checks keep: something was changed that a check has to see.
    pub(crate) fn check_in_background(&self, organization: OrganizationId, id: ConnectionId) {
        let _ = self.may_refresh_now(id);
        let broker = self.clone();
        self.spawn(async move {
            if let Err(error) = broker.check(organization, id, None).await {
                tracing::warn!(%error, connection = %id, "a background check failed");
            }
        });
    }
}

pub(crate) fn slug_taken(slug: &str) -> Refusal {
    Refusal::conflict("slug_taken", format!("There is a connection `{slug}` already. Choose another slug."))
}

/// Whose credential a secret given with the connection itself is.
pub(crate) fn owner_of_secret(connection: &Connection) -> CredentialOwner {
    match (connection.owner, connection.credential_mode) {
        (ConnectionOwner::Member(member), CredentialMode::PerMember) => CredentialOwner::Member(member),
        _ => CredentialOwner::Shared,
    }
}

pub(crate) fn refuse_read_only(connection: &Connection) -> Result<(), Refusal> {
    if !is_read_only(connection.transport) {
        return Ok(());
    }
    Err(Refusal::conflict(
        "read_only",
        format!(
            "{} is managed by the operator's configuration file ([[stdio]] in switchboard.toml) and can't be changed \
             or removed here. Grants, rules and reviews can.",
            connection.name
        ),
    ))
}
