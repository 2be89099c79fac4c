//! A connection's state as one caller meets it: the word, the reason, who must act, what to do.

use switchboard_domain::{
    Action, ActionType, Actor, AuthType, CallError, Connection, ConnectionId, ConnectionStatus,
    CredentialMode, CredentialOwner, ErrorCode, Retry,
};
use switchboard_storage::CredentialHealth;

use crate::{
    Broker, CallContext,
    refused_call::{SIGN_IN, not_signed_in, sign_in_over},
    snapshot::Known,
};

/// A state, ready to be shown in a match, an error or the API.
#[derive(Debug, Clone)]
pub struct ShownStatus {
    pub status: ConnectionStatus,
    pub reason: Option<String>,
    pub message: String,
    pub actor: Option<Actor>,
    pub action: Option<Action>,
}

impl ShownStatus {
    pub(crate) fn into_error(self, code: ErrorCode) -> CallError {
        let mut error = CallError::new(code, self.message);
        error.actor = self.actor;
        error.action = self.action;
        error.retry = Some(Retry { tool: "execute_capability".into(), after_seconds: None });
        error
    }
}

/// Signing in does not lead anywhere before somebody else has acted.
fn nobody_could_sign_in(connection: &Connection) -> bool {
    let changed = connection.status.reason.as_deref() == Some("authorization_server_changed");
    let nobody_has = match connection.credential_mode {
        CredentialMode::Shared => connection.status.status != ConnectionStatus::Connected,
        CredentialMode::PerMember => connection.status.status == ConnectionStatus::NeedsClient,
    };
    connection.auth_type == AuthType::OAuth && (changed || nobody_has)
}

/// What is missing, and whose it is.
fn nobody_connected(connection: &Connection, owner: CredentialOwner) -> String {
    let name = &connection.name;
    match (connection.auth_type, owner) {
        (AuthType::OAuth, CredentialOwner::Shared) => {
            format!("Nobody has signed in with {name} for the organization yet.")
        }
        (AuthType::OAuth, CredentialOwner::Member(_)) => format!("You have not signed in with {name} yet."),
        (_, CredentialOwner::Shared) => format!("{name} needs a key, and none was entered yet."),
        (_, CredentialOwner::Member(_)) => format!("{name} needs a key of yours, and you entered none yet."),
    }
}

/// What has to be renewed, and whose it is.
fn no_longer_accepted(connection: &Connection, owner: CredentialOwner) -> String {
    let name = &connection.name;
    match (connection.auth_type, owner) {
        (AuthType::OAuth, CredentialOwner::Shared) => {
            format!("{name} no longer accepts the sign-in that the organization shares.")
        }
        (AuthType::OAuth, CredentialOwner::Member(_)) => format!("{name} no longer accepts your sign-in."),
        (_, CredentialOwner::Shared) => format!("{name} no longer accepts its key."),
        (_, CredentialOwner::Member(_)) => format!("{name} no longer accepts your key."),
    }
}

impl Broker {
    /// Where an admin finds the connection.
    pub(crate) fn connection_page(&self, connection: ConnectionId) -> Option<String> {
        Some(format!("{}/connections/{connection}", self.public_url().as_str().trim_end_matches('/')))
    }

    /// Where whoever lacks an account goes to get one.
    pub(crate) fn where_to_connect(&self, connection: &Connection) -> Option<String> {
        let page = self.connection_page(connection.id);
        match connection.auth_type {
            AuthType::UserOidc => {
                Some(format!("{}/account/identities", self.public_url().as_str().trim_end_matches('/')))
            }
            // Signs whoever is there in, and says so when they can't.
            AuthType::OAuth => page.map(|page| format!("{page}/connect")),
            _ => page,
        }
    }

    /// The state as this caller meets it: a missing credential of theirs counts, another's does not.
    pub(crate) fn status_for(&self, known: &Known, context: &CallContext) -> ShownStatus {
        let owner = match (known.connection.credential_mode, context.principal.member()) {
            (CredentialMode::PerMember, Some(member)) => CredentialOwner::Member(member),
            _ => CredentialOwner::Shared,
        };
        self.status_of(known, owner)
    }

    /// The state towards one owner's credential.
    pub fn status_of(&self, known: &Known, owner: CredentialOwner) -> ShownStatus {
        let connection = &*known.connection;
        let effective = if !connection.switches.enabled {
            ConnectionStatus::Disabled
        } else if connection.auth_type == AuthType::None {
            connection.status.status
        } else {
            match known.credential(owner).map(|credential| credential.health) {
                None if nobody_could_sign_in(connection) => connection.status.status,
                None => ConnectionStatus::NeedsConnection,
                Some(CredentialHealth::ReauthRequired | CredentialHealth::Unreadable) => {
                    ConnectionStatus::ReauthRequired
                }
                Some(CredentialHealth::Healthy) => connection.status.status,
            }
        };
        let lacks_account =
            matches!(effective, ConnectionStatus::NeedsConnection | ConnectionStatus::ReauthRequired);
        if lacks_account && known.is_signing_in(owner, self.clock().now()) {
            return self.shown(known, ConnectionStatus::Authorizing, owner);
        }
        self.shown(known, effective, owner)
    }

    /// The state of the server itself, whoever's account is missing.
    pub(crate) fn status_of_server(&self, known: &Known) -> ShownStatus {
        let connection = &*known.connection;
        let on = connection.switches.enabled;
        let status = if on { connection.status.status } else { ConnectionStatus::Disabled };
        self.shown(known, status, CredentialOwner::Shared)
    }

    fn shown(&self, known: &Known, status: ConnectionStatus, owner: CredentialOwner) -> ShownStatus {
        let connection = &*known.connection;
        let name = &connection.name;
        let same = status == connection.status.status;
        let by_sign_in = connection.auth_type == AuthType::UserOidc;
        let theirs = matches!(
            status,
            ConnectionStatus::NeedsConnection
                | ConnectionStatus::Authorizing
                | ConnectionStatus::ReauthRequired
        );
        // What a check found is of the account that it was made with.
        let stored_message = connection.status.message.clone().filter(|_| same && !(by_sign_in && theirs));
        let admin_or_member = match owner {
            CredentialOwner::Shared => Actor::OrganizationAdmin,
            CredentialOwner::Member(_) => Actor::Member,
        };
        use ConnectionStatus as S;
        let (message, actor, kind, label) = match status {
            S::Connected => (format!("{name} is connected."), None, None, String::new()),
            S::Checking => (format!("{name} is being checked."), None, None, String::new()),
            S::Degraded => (
                format!("{name} works, with errors of late."),
                Some(Actor::OrganizationAdmin),
                Some(ActionType::Retry),
                format!("Check {name} again"),
            ),
            S::SetupIncomplete => (
                format!("Setting up {name} is not finished."),
                Some(Actor::OrganizationAdmin),
                Some(ActionType::Configure),
                format!("Finish setting up {name}"),
            ),
            S::NeedsClient => (
                format!("{name} needs an OAuth client that an admin creates at the provider."),
                Some(Actor::OrganizationAdmin),
                Some(ActionType::Configure),
                format!("Add the OAuth client of {name}"),
            ),
            S::NeedsConnection if by_sign_in => {
                (not_signed_in(name), Some(admin_or_member), Some(ActionType::Connect), SIGN_IN.to_owned())
            }
            S::ReauthRequired if by_sign_in => {
                (sign_in_over(name), Some(admin_or_member), Some(ActionType::Reconnect), SIGN_IN.to_owned())
            }
            S::NeedsConnection => (
                nobody_connected(connection, owner),
                Some(admin_or_member),
                Some(ActionType::Connect),
                format!("Connect {name}"),
            ),
            S::Authorizing => (
                format!("Signing in to {name} is under way."),
                Some(admin_or_member),
                Some(ActionType::Connect),
                format!("Finish signing in to {name}"),
            ),
            S::ReauthRequired => (
                no_longer_accepted(connection, owner),
                Some(admin_or_member),
                Some(ActionType::Reconnect),
                format!("Give {name} a new credential"),
            ),
            S::Unreachable => (
                format!("{name} can't be reached."),
                Some(Actor::Provider),
                Some(ActionType::Retry),
                format!("Check {name} again"),
            ),
            S::Error => (
                format!("{name} refused our requests."),
                Some(Actor::OrganizationAdmin),
                Some(ActionType::Configure),
                format!("See what is wrong with {name}"),
            ),
            S::Disabled => (
                format!("{name} is switched off."),
                Some(Actor::OrganizationAdmin),
                Some(ActionType::Enable),
                format!("Switch {name} on"),
            ),
            S::Blocked => (
                format!("{name} is blocked by the network rules of this server."),
                Some(Actor::Operator),
                Some(ActionType::Contact),
                "Ask the operator of Switchboard to allow its host".into(),
            ),
        };
        let url =
            if theirs { self.where_to_connect(connection) } else { self.connection_page(connection.id) };
        // What the last check found is more to the point than what the state says in general.
        let of_the_upstream = same && matches!(status, S::Unreachable | S::Error | S::Blocked);
        let found = connection.status.diagnosis.as_ref().filter(|_| of_the_upstream);
        let actor = found.and_then(|found| found.actor).or(actor);
        ShownStatus {
            status,
            reason: connection.status.reason.clone().filter(|_| same),
            message: stored_message.unwrap_or(message),
            actor,
            action: kind.map(|kind| Action { kind, label, url }),
        }
    }
}
