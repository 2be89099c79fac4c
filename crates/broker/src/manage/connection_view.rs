//! A connection as it is read: never a secret, and for members nothing but what they need.

use serde::Serialize;
use switchboard_domain::{
    Action, Actor, AuthType, Availability, CapabilityState, ConnectionId, ConnectionOwner, ConnectionStatus,
    CredentialMode, CredentialOwner, Diagnosis, Principal, Timestamp, Transport,
};
use url::Url;

use super::{MemberHeader, OwnerWord};
use crate::{Broker, Known};

/// Where an API key goes.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ApiKeyPlace {
    pub header: String,
    pub scheme: Option<String>,
}

/// A connection, read. Members don't get what is marked as admins'.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Connection)]
pub struct ConnectionView {
    #[schema(value_type = String, example = "con_01jb2m3x8ye0bvnr8z3h2q5c7d")]
    pub id: ConnectionId,
    pub slug: String,
    pub name: String,
    pub owner: OwnerWord,
    /// For members without its query.
    pub url: String,
    #[schema(value_type = String)]
    pub transport: Transport,
    #[schema(value_type = String)]
    pub auth_type: AuthType,
    #[schema(value_type = String)]
    pub credential_mode: CredentialMode,
    pub enabled: bool,
    #[schema(value_type = String)]
    pub availability: Availability,
    pub allow_in_plan_mode: bool,
    pub model_intent: bool,
    pub expose_directly: bool,
    pub send_identity: bool,
    /// Admins': names of the only tools that exist for us.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_allow: Option<Vec<String>>,
    /// Admins'.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_deny: Option<Vec<String>>,
    /// Admins'.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_key: Option<String>,
    /// Admins': where the API key goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<ApiKeyPlace>,
    /// Admins': names of the headers whose values are sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_names: Option<Vec<String>>,
    /// What each member has to give a value for.
    pub member_headers: Vec<MemberHeader>,
    /// One of the states of `docs/reference/states.md`, as this caller meets it.
    #[schema(value_type = String)]
    pub status: ConnectionStatus,
    pub reason: Option<String>,
    pub message: String,
    #[schema(value_type = Option<Object>)]
    pub action: Option<Action>,
    /// Who has to act: `member`, `organization_admin`, `provider` or `operator`.
    #[schema(value_type = Option<String>)]
    pub action_owner: Option<Actor>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub checked_at: Option<Timestamp>,
    /// Tools that can be called once granted: approved and admitted.
    pub tools_count: usize,
    /// Tools that wait for an admin's review.
    pub tools_held: usize,
    /// Whether there is a credential for this caller's calls.
    pub has_credential: bool,
    /// Managed by the operator's configuration file: read-only here.
    pub read_only: bool,
    pub callback_url: String,
    /// Admins': what the last check found, stage by stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub diagnosis: Option<Diagnosis>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// An edit took the stored credentials away, because they belong to where the connection led before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(default = false)]
    pub credentials_dropped: bool,
    #[serde(skip)]
    pub revision: i64,
}

impl Broker {
    /// As this principal may see it.
    pub(crate) fn connection_view(&self, known: &Known, principal: &Principal) -> ConnectionView {
        let connection = &*known.connection;
        let full = match connection.owner {
            ConnectionOwner::Organization => principal.role.is_admin(),
            ConnectionOwner::Member(owner) => principal.member() == Some(owner),
        };
        let owner = credential_owner(known, principal);
        let shown = self.status_of(known, owner);
        let public_url = self.public_url().as_str().trim_end_matches('/');
        let count = |state| {
            let capabilities = known.catalog.capabilities.iter();
            capabilities
                .filter(|(name, capability)| capability.state == state && connection.tools.admits(name))
                .count()
        };
        let admins = |list: &[String]| full.then(|| list.to_vec());
        ConnectionView {
            id: connection.id,
            slug: connection.slug.to_string(),
            name: connection.name.clone(),
            owner: match connection.owner {
                ConnectionOwner::Organization => OwnerWord::Organization,
                ConnectionOwner::Member(_) => OwnerWord::Member,
            },
            url: if full { connection.url.clone() } else { without_query(&connection.url) },
            transport: connection.transport,
            auth_type: connection.auth_type,
            credential_mode: connection.credential_mode,
            enabled: connection.switches.enabled,
            availability: connection.switches.availability,
            allow_in_plan_mode: connection.switches.allow_in_plan_mode,
            model_intent: connection.switches.model_intent,
            expose_directly: connection.switches.expose_directly,
            send_identity: connection.switches.send_identity,
            tool_allow: admins(&connection.tools.allow),
            tool_deny: admins(&connection.tools.deny),
            external_key: connection.external_key.clone().filter(|_| full),
            api_key: connection
                .auth
                .api_key
                .as_ref()
                .filter(|_| full)
                .map(|place| ApiKeyPlace { header: place.header.clone(), scheme: place.scheme.clone() }),
            header_names: admins(&connection.auth.header_names).filter(|names| !names.is_empty()),
            member_headers: connection
                .auth
                .member_headers
                .iter()
                .map(|(name, description)| MemberHeader {
                    name: name.clone(),
                    description: description.clone(),
                })
                .collect(),
            status: shown.status,
            reason: shown.reason,
            message: shown.message,
            action: shown.action,
            action_owner: shown.actor,
            checked_at: connection.status.checked_at,
            tools_count: count(CapabilityState::Approved),
            tools_held: count(CapabilityState::Held),
            has_credential: known.credential(owner).is_some(),
            read_only: is_read_only(connection.transport),
            callback_url: format!("{public_url}/oauth/callback/{}", connection.id),
            diagnosis: connection.status.diagnosis.clone().filter(|_| full),
            created_at: connection.created_at,
            updated_at: connection.updated_at,
            credentials_dropped: false,
            revision: connection.revision,
        }
    }
}

/// Upstreams that the operator's configuration names: nobody edits them here.
pub(crate) fn is_read_only(transport: Transport) -> bool {
    matches!(transport, Transport::Stdio | Transport::InProcess)
}

pub(crate) fn credential_owner(known: &Known, principal: &Principal) -> CredentialOwner {
    match (known.connection.credential_mode, principal.member()) {
        (CredentialMode::PerMember, Some(member)) => CredentialOwner::Member(member),
        _ => CredentialOwner::Shared,
    }
}

/// Scheme, host and path: a query may well hold a key.
pub(crate) fn without_query(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut url) => {
            url.set_query(None);
            url.set_fragment(None);
            url.into()
        }
        Err(_) => String::new(),
    }
}
