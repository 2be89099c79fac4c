//! What the caller of a refused call is told: what is missing, who can change it, and where.

use serde_json::json;
use switchboard_domain::{ActionType, Actor, CallError, CapabilityName, ConnectionStatus, ErrorCode};
use switchboard_policy::Reason;

use crate::{Broker, CallContext, credentials::CredentialError, snapshot::Known, text};

impl Broker {
    pub(crate) fn no_credential(&self, error: &CredentialError, known: &Known) -> CallError {
        let connection = &*known.connection;
        let page = self.connection_page(connection.id);
        match error {
            CredentialError::Missing => CallError::new(
                ErrorCode::NeedsConnection,
                format!("{} has no credential yet.", connection.name),
            )
            .actor(Actor::OrganizationAdmin)
            .action(ActionType::Connect, format!("Give {} its credential", connection.name), page)
            .retry("execute_capability", None),
            CredentialError::Unreadable | CredentialError::NotAHeader(_) | CredentialError::NotBearer => {
                CallError::new(
                    ErrorCode::ReauthRequired,
                    format!("The credential stored for {} can't be used: {error}.", connection.name),
                )
                .actor(Actor::OrganizationAdmin)
                .action(
                    ActionType::Reconnect,
                    format!("Give {} a new credential", connection.name),
                    page,
                )
            }
            CredentialError::Storage(_) | CredentialError::Key(_) => text::unavailable(),
        }
    }
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
