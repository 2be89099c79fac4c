//! Why a sign-in at a third-party server can't go on: a stable reason, a sentence, and who can put it right.

use switchboard_domain::{ActionType, Actor, ConnectionStatus};
use switchboard_egress::EgressError;
use switchboard_oauth::upstream::{IssuedClientError, ResourceError, ServerMetadataError, TokenError};
use switchboard_storage::StorageError;

use crate::{CredentialError, DataKeyError, manage::Refusal, upstream::UpstreamError};

/// What stopped it.
#[derive(Debug, Clone)]
pub struct ConnectFailure {
    /// Stable; `docs/reference/states.md` lists them.
    pub reason: &'static str,
    pub message: String,
    /// What it makes of a connection that nobody has connected yet.
    pub status: ConnectionStatus,
    pub actor: Actor,
    pub action: ActionType,
}

impl ConnectFailure {
    pub(crate) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            status: ConnectionStatus::Error,
            actor: Actor::OrganizationAdmin,
            action: ActionType::Configure,
        }
    }

    pub(crate) fn by(mut self, actor: Actor, action: ActionType) -> Self {
        (self.actor, self.action) = (actor, action);
        self
    }

    fn with_status(mut self, status: ConnectionStatus) -> Self {
        self.status = status;
        self
    }

    /// Only a client that somebody makes at the provider will do.
    pub(crate) fn client_needed(reason: &'static str, why: &str, callback: &str) -> Self {
        let message = format!(
            "{why} Make an OAuth client at the provider with the redirect URI {callback}, then enter its client id \
             and secret here."
        );
        Self::new(reason, message).with_status(ConnectionStatus::NeedsClient)
    }

    pub(crate) fn server_changed(before: &str, now: &[String]) -> Self {
        let now = crate::upstream::plain(&now.join(", "));
        let message = format!(
            "The server named {before} as its authorization server, and now names {now}. Nothing was sent there. If \
             the provider moved, accept it by setting `oauth.issuer` to the new one; everybody then signs in again."
        );
        Self::new("authorization_server_changed", message).by(Actor::OrganizationAdmin, ActionType::Review)
    }

    pub(crate) fn unavailable() -> Self {
        Self::new(
            "unavailable",
            "Switchboard can't reach its own records right now, so nothing was done. Try again in a moment.",
        )
        .by(Actor::Operator, ActionType::Retry)
    }

    pub(crate) fn resource(location: &str, error: ResourceError) -> Self {
        Self::new(
            "resource_metadata_invalid",
            format!("What the server says of itself at {location} is not believed: {error}."),
        )
        .by(Actor::Provider, ActionType::Contact)
    }

    pub(crate) fn server(location: &str, error: ServerMetadataError) -> Self {
        let reason = match error {
            ServerMetadataError::OtherIssuer => "issuer_mismatch",
            ServerMetadataError::NoPkce => "pkce_not_supported",
            _ => "authorization_server_invalid",
        };
        let message =
            format!("What the authorization server says of itself at {location} can't be used: {error}.");
        Self::new(reason, message).by(Actor::Provider, ActionType::Contact)
    }

    pub(crate) fn egress(what: &str, error: &EgressError) -> Self {
        if let EgressError::Refused(_) = error {
            return Self::new(
                error.code(),
                format!("The address of {what} is not allowed by this server's network rules."),
            )
            .with_status(ConnectionStatus::Blocked)
            .by(Actor::Operator, ActionType::Contact);
        }
        Self::new(error.code(), format!("{what} can't be reached: {error}."))
            .with_status(ConnectionStatus::Unreachable)
            .by(Actor::Provider, ActionType::Retry)
    }

    pub(crate) fn upstream(error: &UpstreamError) -> Self {
        match error {
            UpstreamError::Egress(error) => Self::egress("the server", error),
            error => Self::new(
                error.reason(),
                format!("The server was reached, but {}.", crate::upstream::plain(&error.to_string())),
            ),
        }
    }

    pub(crate) fn issued_client(error: IssuedClientError) -> Self {
        Self::new(
            "registration_invalid",
            format!("The provider's answer to our registration can't be used: {error}."),
        )
        .by(Actor::Provider, ActionType::Contact)
    }

    /// The token endpoint's no.
    pub(crate) fn token(error: &TokenError) -> Self {
        let (reason, action) = match error.code() {
            Some("invalid_client" | "unauthorized_client") => ("client_rejected", ActionType::Configure),
            Some("invalid_grant") => ("code_rejected", ActionType::Connect),
            Some(_) => ("token_refused", ActionType::Contact),
            None => ("token_invalid", ActionType::Contact),
        };
        Self::new(reason, format!("The provider did not issue a token: {error}."))
            .by(Actor::OrganizationAdmin, action)
    }
}

impl From<StorageError> for ConnectFailure {
    fn from(error: StorageError) -> Self {
        tracing::error!(%error, "a sign-in at a third-party server can't go on");
        Self::unavailable()
    }
}

impl From<DataKeyError> for ConnectFailure {
    fn from(error: DataKeyError) -> Self {
        tracing::error!(%error, "a sign-in at a third-party server can't go on");
        Self::unavailable()
    }
}

impl From<CredentialError> for ConnectFailure {
    fn from(error: CredentialError) -> Self {
        tracing::error!(%error, "tokens can't be stored");
        Self::unavailable()
    }
}

impl From<Refusal> for ConnectFailure {
    fn from(error: Refusal) -> Self {
        tracing::error!(%error, "a sign-in at a third-party server can't be put on record");
        Self::unavailable()
    }
}

impl From<ConnectFailure> for Refusal {
    fn from(failure: ConnectFailure) -> Self {
        if failure.reason == "unavailable" {
            return Self::unavailable();
        }
        Self::conflict(failure.reason, failure.message)
    }
}
