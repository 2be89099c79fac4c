//! What stopped a check, as a state: the word, the reason, who must act and what to do.

use switchboard_domain::{ActionType, Actor, AuthType, Connection, ConnectionStatus, Stage, Transport};
use switchboard_egress::EgressError;

use super::Stopped;
use crate::{Broker, credentials::CredentialError, refused_call::SIGN_IN, upstream::UpstreamError};

/// The state that a failed check leads to.
pub(super) struct Verdict {
    pub(super) status: ConnectionStatus,
    pub(super) failed: Stage,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) actor: Actor,
    pub(super) action: Option<(ActionType, String)>,
}

impl Broker {
    pub(super) fn verdict(&self, connection: &Connection, stopped: &Stopped) -> Verdict {
        let name = &connection.name;
        match stopped {
            Stopped::Credential(CredentialError::Missing) => Verdict {
                status: ConnectionStatus::NeedsConnection,
                failed: Stage::Auth,
                reason: "credential_missing".into(),
                message: format!("{name} needs a credential, and none is stored."),
                actor: Actor::OrganizationAdmin,
                action: Some((ActionType::Connect, format!("Give {name} its credential"))),
            },
            Stopped::Credential(CredentialError::NotSignedIn) => Verdict {
                status: ConnectionStatus::NeedsConnection,
                failed: Stage::Auth,
                reason: "not_signed_in".into(),
                message: format!(
                    "{name} is called with the sign-in of the identity provider, and nobody has signed in with it yet."
                ),
                actor: Actor::Member,
                action: Some((ActionType::Connect, SIGN_IN.into())),
            },
            Stopped::Credential(CredentialError::SignInOver) => Verdict {
                status: ConnectionStatus::ReauthRequired,
                failed: Stage::Auth,
                reason: "sign_in_over".into(),
                message: format!(
                    "The sign-in with the identity provider that {name} was looked at with is over."
                ),
                actor: Actor::Member,
                action: Some((ActionType::Reconnect, SIGN_IN.into())),
            },
            Stopped::Credential(
                error @ (CredentialError::Unreadable
                | CredentialError::NotAHeader(_)
                | CredentialError::NotBearer),
            ) => Verdict {
                status: ConnectionStatus::ReauthRequired,
                failed: Stage::Auth,
                reason: "credential_unreadable".into(),
                message: format!("The credential stored for {name} can't be used: {error}."),
                actor: Actor::OrganizationAdmin,
                action: Some((ActionType::Reconnect, format!("Give {name} a new credential"))),
            },
            Stopped::Credential(CredentialError::ReauthRequired) => Verdict {
                status: ConnectionStatus::ReauthRequired,
                failed: Stage::Auth,
                reason: "reauth_required".into(),
                message: format!("The provider of {name} no longer accepts the sign-in that is stored."),
                actor: Actor::OrganizationAdmin,
                action: Some((ActionType::Reconnect, format!("Connect {name} again"))),
            },
            Stopped::Credential(CredentialError::NotRenewed { .. }) => Verdict {
                status: ConnectionStatus::Unreachable,
                failed: Stage::Auth,
                reason: "token_not_renewed".into(),
                message: format!("The provider of {name} does not renew the access at the moment."),
                actor: Actor::Provider,
                action: Some((ActionType::Retry, format!("Check {name} again"))),
            },
            Stopped::Credential(_) | Stopped::Storage => Verdict {
                status: connection.status.status,
                failed: Stage::Tools,
                reason: "unavailable".into(),
                message: "Switchboard could not read or write its own records; try again.".into(),
                actor: Actor::Operator,
                action: Some((ActionType::Retry, format!("Check {name} again"))),
            },
            Stopped::Upstream(UpstreamError::Egress(EgressError::Refused(_))) => self.blocked(connection),
            Stopped::Upstream(error) => of_upstream(connection, error, error.stage()),
            Stopped::Listing(error) => {
                let stage = match error {
                    UpstreamError::Unauthorized { .. } => Stage::Auth,
                    _ => Stage::Tools,
                };
                of_upstream(connection, error, stage)
            }
        }
    }

    /// Its text may say why; what its name leads to is told to nobody.
    fn blocked(&self, connection: &Connection) -> Verdict {
        let name = &connection.name;
        let why = self.upstreams().egress().explain_url(&connection.url).unwrap_or(
            "Its name leads to an address that this server's network rules don't allow. The operator opens private \
             networks by starting Switchboard with --allow-private-networks (setting \
             `egress.allow_private_networks`).",
        );
        Verdict {
            status: ConnectionStatus::Blocked,
            failed: Stage::NameResolution,
            reason: "address_refused".into(),
            message: format!("{name} is blocked by the network rules of this server. {why}"),
            actor: Actor::Operator,
            action: Some((ActionType::Contact, "Ask the operator of Switchboard to allow its host".into())),
        }
    }
}

fn of_upstream(connection: &Connection, error: &UpstreamError, failed: Stage) -> Verdict {
    let name = &connection.name;
    let verdict = |status, message: String, actor, action| Verdict {
        status,
        failed,
        reason: error.reason().into(),
        message,
        actor,
        action,
    };
    let told = crate::upstream::plain(&error.to_string());
    match error {
        UpstreamError::NotAllowed(_) => verdict(
            ConnectionStatus::Blocked,
            format!("{name} is blocked: {told}."),
            Actor::Operator,
            Some((ActionType::Contact, "Ask the operator of Switchboard to allow it".into())),
        ),
        UpstreamError::Unauthorized { .. } if connection.auth_type == AuthType::None => Verdict {
            status: ConnectionStatus::Error,
            failed,
            reason: "authentication_required".into(),
            message: format!(
                "{name} wants a credential, but this connection has authentication type `none`."
            ),
            actor: Actor::OrganizationAdmin,
            action: Some((ActionType::Configure, format!("Set how {name} authenticates"))),
        },
        UpstreamError::Unauthorized { .. } => verdict(
            ConnectionStatus::ReauthRequired,
            format!("{name} refused the stored credential."),
            Actor::OrganizationAdmin,
            Some((ActionType::Reconnect, format!("Give {name} a new credential"))),
        ),
        UpstreamError::Egress(_)
        | UpstreamError::Timeout { .. }
        | UpstreamError::Closed { .. }
        | UpstreamError::Busy
        | UpstreamError::BreakerOpen { .. }
        | UpstreamError::Http { status: 429 | 500.., .. } => verdict(
            ConnectionStatus::Unreachable,
            format!("{name} can't be reached: {told}."),
            unreachable_actor(connection, error),
            Some((ActionType::Retry, format!("Check {name} again"))),
        ),
        _ => verdict(
            ConnectionStatus::Error,
            format!("{name} was reached, but {told}."),
            Actor::OrganizationAdmin,
            Some((ActionType::Configure, format!("Check the URL and transport of {name}"))),
        ),
    }
}

/// Who can do something about an upstream that can't be reached. Where nothing answers at all, the address may be
/// wrong or the server not running: an admin's to find out. A child process is the operator's.
fn unreachable_actor(connection: &Connection, error: &UpstreamError) -> Actor {
    match (connection.transport, error.stage()) {
        (Transport::Stdio, _) => Actor::Operator,
        (_, Stage::NameResolution | Stage::Tcp) => Actor::OrganizationAdmin,
        _ => Actor::Provider,
    }
}
