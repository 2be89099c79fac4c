//! A connection as it is read: never a secret, and for members nothing but what they need.

use serde::Serialize;
use switchboard_domain::{
    Action, Actor, AuthType, Availability, CapabilityState, ConnectionId, ConnectionOwner, ConnectionStatus,
    CredentialMode, CredentialOwner, Diagnosis, Principal, Rollout, Timestamp, Transport,
};
use url::Url;

use super::{ClientCredentialsView, MemberHeader, OauthView, OwnerWord, authorize::is_granted};
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
    /// For members its origin only: paths and queries may hold a key.
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
    /// `open`, `staged` (for admins only) or `published` (was staged, can be taken back).
    #[schema(value_type = String)]
    pub rollout: Rollout,
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
    /// Admins': how it becomes known to its provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OauthView>,
    /// What each member has to give a value for.
    pub member_headers: Vec<MemberHeader>,
    /// Admins', with `auth_type: client_credentials`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_credentials: Option<ClientCredentialsView>,
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
    /// Prompts, resources and templates that wait for a review.
    pub others_held: usize,
    /// Whether there is a credential for this caller's calls.
    pub has_credential: bool,
    /// Managed by the operator's configuration file: read-only here.
    pub read_only: bool,
    pub callback_url: String,
    /// Admins', with `send_identity`: where the key is that callers' identities are signed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_keys_url: Option<String>,
    /// Admins', with a client that proves itself with a private key: where the provider finds the public one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_keys_url: Option<String>,
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
    /// After creating or changing it: what was done as asked, and had better be done otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Since when the server is in this state; of a missing account nobody wrote down when it went.
    #[serde(skip)]
    pub since: Option<Timestamp>,
    /// Calls of this caller may go there: seeing is not using.
    #[serde(skip)]
    pub granted: bool,
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
        let others = || known.catalog.prompts.values().chain(known.catalog.resources.values());
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
            url: if full { connection.url.clone() } else { origin(&connection.url) },
            transport: connection.transport,
            auth_type: connection.auth_type,
            credential_mode: connection.credential_mode,
            enabled: connection.switches.enabled,
            availability: connection.switches.availability,
            allow_in_plan_mode: connection.switches.allow_in_plan_mode,
            model_intent: connection.switches.model_intent,
            expose_directly: connection.switches.expose_directly,
            send_identity: connection.switches.send_identity,
            rollout: connection.switches.rollout,
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
            oauth: connection.auth.oauth.as_ref().filter(|_| full).map(OauthView::from),
            client_credentials: connection
                .auth
                .client_credentials
                .as_ref()
                .filter(|_| full)
                .map(ClientCredentialsView::from),
            client_keys_url: connection
                .auth
                .client_public_key()
                .filter(|_| full)
                .map(|_| self.client_keys_url(connection.id)),
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
            others_held: others().filter(|it| it.state == CapabilityState::Held).count(),
            has_credential: known.credential(owner).is_some(),
            read_only: is_read_only(connection.transport),
            callback_url: format!("{public_url}/oauth/callback/{}", connection.id),
            identity_keys_url: (full && connection.switches.send_identity)
                .then(|| self.connection_keys_url(connection.id)),
            diagnosis: connection.status.diagnosis.clone().filter(|_| full),
            created_at: connection.created_at,
            updated_at: connection.updated_at,
            credentials_dropped: false,
            warnings: Vec::new(),
            since: (shown.status == connection.status.status).then_some(connection.status.since),
            granted: is_granted(principal, connection, &known.grants),
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

/// Scheme, host and port: what comes after may well hold a key. Empty for an upstream that has no address.
pub(crate) fn origin(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) if url.has_host() => url.origin().ascii_serialization(),
        _ => String::new(),
    }
}

/// What to tell whoever put a secret into a URL, where it is shown, logged by proxies and never replaced.
pub(crate) fn warnings(url: &str) -> Vec<String> {
    if !seems_to_hold_secret(url) {
        return Vec::new();
    }
    vec![
        "The URL looks as if it had a secret in its path or query. Everybody who manages the connection reads it, and \
         proxies log it. If the server takes the secret in a header, use authentication type `api_key` or `headers`, \
         where it is sealed and never shown again, and take it out of the URL."
            .to_owned(),
    ]
}

fn seems_to_hold_secret(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let named = url.query_pairs().any(|(name, value)| {
        let name = name.to_ascii_lowercase();
        let telling = ["token", "key", "secret", "auth", "password", "signature"];
        !value.is_empty() && telling.iter().any(|word| name.contains(word)) || is_random(&value)
    });
    named || url.path_segments().is_some_and(|mut segments| segments.any(is_random))
}

/// Long, of letters and digits mixed as no word is.
fn is_random(text: impl AsRef<str>) -> bool {
    let text = text.as_ref();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let letters = text.bytes().filter(u8::is_ascii_alphabetic).count();
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.=~".contains(&byte));
    plain && text.len() >= 20 && digits >= 3 && letters >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_see_where_it_leads_and_no_more() {
        assert_eq!(origin("https://api.example.com:8443/s/abc/mcp?key=x"), "https://api.example.com:8443");
        assert_eq!(origin("stdio:files"), "");
    }

    #[test]
    fn secrets_in_urls_are_noticed() {
        for secret in [
            "https://mcp.example.com/mcp?api_key=x",
            "https://mcp.example.com/mcp?accessToken=abc",
            "https://mcp.example.com/s/0f3c9a7b1d2e4f5061728394/mcp",
            "https://mcp.example.com/api/mcp/s/dGhpc2lzYXNlY3JldDEyMzQ1/mcp",
            "https://mcp.example.com/mcp?p=0f3c9a7b1d2e4f5061728394",
        ] {
            assert_eq!(warnings(secret).len(), 1, "{secret}");
        }
        for plain in [
            "https://mcp.example.com/mcp",
            "https://mcp.example.com/v1/organizations/example-organization-name/mcp",
            "https://mcp.example.com/mcp?tools=search,fetch&version=2026-07-28",
            "https://mcp.example.com/mcp?key=",
        ] {
            assert!(warnings(plain).is_empty(), "{plain}");
        }
    }
}
