//! What the caller of a refused call is told: what is missing, who can change it, and where.

use serde_json::json;
use switchboard_domain::{
    ActionType, Actor, CallError, CapabilityName, ConnectionStatus, CredentialOwner, ErrorCode,
};
use switchboard_policy::Reason;

use crate::{Broker, CallContext, credentials::CredentialError, snapshot::Known, text};

impl Broker {
    /// `owner` is whose credential the call would have used: the member acts for their own account.
    pub(crate) fn no_credential(
        &self,
        error: &CredentialError,
        known: &Known,
        owner: CredentialOwner,
    ) -> CallError {
        let name = &known.connection.name;
        let page = self.where_to_connect(&known.connection);
        let actor = match owner {
            CredentialOwner::Shared => Actor::OrganizationAdmin,
            CredentialOwner::Member(_) => Actor::Member,
        };
        let refused = |code, message: String, kind, label: String| {
            let error = CallError::new(code, message).actor(actor).action(kind, label, page);
            error.retry("execute_capability", None)
        };
        match error {
            CredentialError::Missing => refused(
                ErrorCode::NeedsConnection,
                format!("{name} is not connected yet."),
                ActionType::Connect,
                format!("Connect {name}"),
            ),
            CredentialError::NotSignedIn => refused(
                ErrorCode::NeedsConnection,
                not_signed_in(name),
                ActionType::Connect,
                SIGN_IN.to_owned(),
            ),
            CredentialError::SignInOver => refused(
                ErrorCode::ReauthRequired,
                sign_in_over(name),
                ActionType::Reconnect,
                SIGN_IN.to_owned(),
            ),
            CredentialError::ReauthRequired => refused(
                ErrorCode::ReauthRequired,
                format!(
                    "{name} no longer accepts the account that was connected. It has to be connected again."
                ),
                ActionType::Reconnect,
                format!("Connect {name} again"),
            ),
            CredentialError::Unreadable | CredentialError::NotAHeader(_) | CredentialError::NotBearer => {
                refused(
                    ErrorCode::ReauthRequired,
                    format!("The credential stored for {name} can't be used: {error}."),
                    ActionType::Reconnect,
                    format!("Give {name} a new credential"),
                )
            }
            CredentialError::NotRenewed { after } => {
                let wait = after.as_secs().max(1);
                CallError::new(
                    ErrorCode::UpstreamUnreachable,
                    format!("The provider of {name} does not renew its access at the moment; try again in {wait} s."),
                )
                .retryable()
                .actor(Actor::Provider)
                .retry("execute_capability", Some(wait))
            }
            CredentialError::Storage(_) | CredentialError::Key(_) | CredentialError::Unavailable => {
                text::unavailable()
            }
        }
    }
}

pub(crate) const SIGN_IN: &str = "Sign in to Switchboard with your organization's identity provider";

pub(crate) fn not_signed_in(name: &str) -> String {
    format!(
        "{name} is called with your sign-in of the organization's identity provider, and you have not signed in to \
         Switchboard with it."
    )
}

pub(crate) fn sign_in_over(name: &str) -> String {
    format!(
        "{name} is called with your sign-in of the organization's identity provider, and that sign-in is over. Sign in \
         with it again."
    )
}

/// A granted connection without tools because it lacks something: say what, instead of "unknown".
pub(crate) fn not_yet_usable(broker: &Broker, known: &Known, context: &CallContext) -> Option<CallError> {
    let status = broker.status_for(known, context);
    if status.status.is_usable() {
        return None;
    }
    let code = match status.status {
        ConnectionStatus::Disabled => ErrorCode::ConnectionDisabled,
        ConnectionStatus::ReauthRequired => ErrorCode::ReauthRequired,
        _ => ErrorCode::NeedsConnection,
    };
    Some(status.into_error(code))
}

pub(crate) fn denied(broker: &Broker, reason: Reason, name: &CapabilityName, known: &Known) -> CallError {
    let connection = &known.connection.name;
    match reason {
        Reason::InsufficientScope { needed } => CallError::new(
            ErrorCode::InsufficientScope,
            format!("This token lacks the scope {needed}, which executing needs. Use a token that has it."),
        )
        .actor(Actor::Member)
        .details(json!({ "scope": needed.as_str() })),
        Reason::Disabled => {
            CallError::new(ErrorCode::ConnectionDisabled, format!("{connection} is switched off."))
                .actor(Actor::OrganizationAdmin)
                .action(
                    ActionType::Enable,
                    format!("Switch {connection} on"),
                    broker.connection_page(known.connection.id),
                )
        }
        Reason::ExcludedByMode => CallError::new(
            ErrorCode::ExcludedByMode,
            format!("{connection} may not be used in plan mode. Leave plan mode to call it."),
        )
        .actor(Actor::Member),
        Reason::NotSelected => CallError::new(
            ErrorCode::NotSelected,
            format!("{connection} is not among the connections selected for this session."),
        )
        .actor(Actor::Member),
        Reason::Blocked { source } => {
            CallError::new(ErrorCode::PolicyBlocked, format!("{name} is blocked by a rule."))
                .actor(Actor::OrganizationAdmin)
                .details(json!({ "rule": source.to_string() }))
        }
        Reason::Changed(_) => CallError::new(
            ErrorCode::CapabilityChanged,
            format!(
                "The definition of {name} is not the one that was approved. An admin has to review it; \
                 search again to see what can be called now."
            ),
        )
        .actor(Actor::OrganizationAdmin)
        .action(
            ActionType::Review,
            format!("Review the changed tools of {connection}"),
            broker.connection_page(known.connection.id),
        ),
        Reason::NoAccount => CallError::new(
            ErrorCode::NeedsConnection,
            format!("{connection} needs an account of each member, which a service account can't have."),
        )
        .actor(Actor::OrganizationAdmin),
        _ => CallError::new(ErrorCode::UnknownCapability, format!("There is no capability {name} for you.")),
    }
}
