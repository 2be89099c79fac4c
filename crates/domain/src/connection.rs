//! A connection: one third-party MCP server, added once for the organization (or, personal, by a member).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{CapabilityPattern, ConnectionId, MemberId, OrganizationId, Slug, Status, Timestamp};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The one word for this in code, API, console and database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}
pub(crate) use words;

words!(
    /// How the upstream is spoken to.
    Transport {
        StreamableHttp = "streamable_http",
        /// HTTP with SSE of 2024-11-05; deprecated, still met.
        Sse = "sse",
        /// A child process; in the operator's configuration file only.
        Stdio = "stdio",
        /// The sample upstream that is built in, reached without a socket (`switchboard demo`).
        InProcess = "in_process",
    }
);
words!(AuthType {
    None = "none",
    ApiKey = "api_key",
    Headers = "headers",
    OAuth = "oauth",
    ClientCredentials = "client_credentials",
    UserOidc = "user_oidc",
});
words!(CredentialMode {
    /// One credential for the organization.
    Shared = "shared",
    /// Each member's own account.
    PerMember = "per_member",
});
words!(Availability {
    ForceOn = "force_on",
    DefaultOn = "default_on",
    DefaultOff = "default_off",
});
words!(
    /// Which generation of MCP an upstream speaks, found once and remembered.
    ProtocolEra {
        /// 2025-11-25 and older: `initialize`, sessions.
        Legacy = "legacy",
        /// 2026-07-28: sessionless, metadata on each request.
        Modern = "modern",
    }
);

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionOwner {
    Organization,
    /// A personal connection, seen by nobody else.
    Member(MemberId),
}

/// Whose credential it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CredentialOwner {
    Shared,
    Member(MemberId),
}

words!(
    /// How far a connection is rolled out: published in one switch for the whole organization, and taken back by it.
    Rollout {
        /// Never held back: whoever is granted it uses it.
        Open = "open",
        /// Held back: of those it is granted to, admins only.
        Staged = "staged",
        /// It was staged, and can be taken back.
        Published = "published",
    }
);

/// The switches an admin sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switches {
    pub enabled: bool,
    pub availability: Availability,
    pub allow_in_plan_mode: bool,
    pub model_intent: bool,
    pub expose_directly: bool,
    pub send_identity: bool,
    pub rollout: Rollout,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            enabled: true,
            availability: Availability::DefaultOn,
            allow_in_plan_mode: false,
            model_intent: false,
            expose_directly: false,
            send_identity: false,
            rollout: Rollout::Open,
        }
    }
}

/// Which of an upstream's tools exist for us at all. Deny always wins; an empty allow list allows all.
/// Entries are tool names, `*` matches every tool.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ToolFilter {
    pub allow: Vec<String>,
    pub deny: Vec<String>,
}

impl ToolFilter {
    pub fn admits(&self, tool: &str) -> bool {
        let listed = |list: &[String]| list.iter().any(|entry| entry == "*" || entry == tool);
        !listed(&self.deny) && (self.allow.is_empty() || listed(&self.allow))
    }
}

/// Where an API key goes: `<header>: <scheme> <key>`, without a scheme just the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyHeader {
    pub header: String,
    pub scheme: Option<String>,
}

impl Default for ApiKeyHeader {
    fn default() -> Self {
        Self { header: "Authorization".into(), scheme: Some("Bearer".into()) }
    }
}

words!(
    /// How the connection becomes known to its authorization server.
    ClientRegistration {
        /// Whatever works, in the order of the MCP specification.
        Auto = "auto",
        /// By the address of our client metadata document.
        ClientMetadata = "client_metadata",
        /// By registering (RFC 7591).
        Dynamic = "dynamic",
        /// As the client that an admin made at the provider.
        Static = "static",
    }
);

words!(
    /// Whom the assertions of a client with a private key are for (RFC 7523 section 3).
    AssertionAudience {
        /// The authorization server, by its issuer.
        Issuer = "issuer",
        /// Its token endpoint, which older servers want.
        TokenEndpoint = "token_endpoint",
    }
);

#[expect(clippy::derivable_impls, reason = "the enum is written by a macro, which marks no variant")]
impl Default for AssertionAudience {
    fn default() -> Self {
        Self::Issuer
    }
}

/// How a connection of `auth_type: oauth` signs people in; nothing here is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OauthConfig {
    pub registration: ClientRegistration,
    /// Of the client that an admin made at the provider; its secret is sealed elsewhere.
    pub client_id: Option<String>,
    pub has_client_secret: bool,
    /// How that client authenticates at the token endpoint, when it is not to be found out.
    pub token_endpoint_auth_method: Option<String>,
    /// Of the private key that the client proves itself with (`private_key_jwt`), as a JSON Web Key.
    pub public_key: Option<BTreeMap<String, String>>,
    pub assertion_audience: AssertionAudience,
    /// Instead of the scopes that the server asks for.
    pub scopes: Option<Vec<String>>,
    /// Both by hand, or both found by discovery.
    pub authorization_endpoint: Option<String>,
    pub token_endpoint: Option<String>,
    /// What some providers want beside the standard, such as `access_type=offline`.
    pub authorization_parameters: BTreeMap<String, String>,
    /// The authorization server that an admin accepted after it changed.
    pub issuer: Option<String>,
}

impl Default for OauthConfig {
    fn default() -> Self {
        Self {
            registration: ClientRegistration::Auto,
            client_id: None,
            has_client_secret: false,
            token_endpoint_auth_method: None,
            public_key: None,
            assertion_audience: AssertionAudience::Issuer,
            scopes: None,
            authorization_endpoint: None,
            token_endpoint: None,
            authorization_parameters: BTreeMap::new(),
            issuer: None,
        }
    }
}

/// As which client of its provider a connection of `auth_type: client_credentials` acts; the secret is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCredentialsConfig {
    pub client_id: String,
    /// What to ask for; `None` asks for what the server says is needed.
    pub scopes: Option<Vec<String>>,
    /// Of the private key that it proves itself with instead of a secret (`private_key_jwt`), as a JSON Web Key.
    #[serde(default)]
    pub public_key: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub assertion_audience: AssertionAudience,
}

/// The part of the authentication set-up that is no secret; secrets are in the credential.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthConfig {
    pub api_key: Option<ApiKeyHeader>,
    /// Names of the headers of `headers`; their values are sealed.
    pub header_names: Vec<String>,
    /// Headers whose value each member gives: name and what to tell them.
    pub member_headers: BTreeMap<String, String>,
    pub oauth: Option<OauthConfig>,
    pub client_credentials: Option<ClientCredentialsConfig>,
}

impl AuthConfig {
    /// Of the private key that the connection's client proves itself with, as a JSON Web Key.
    pub fn client_public_key(&self) -> Option<&BTreeMap<String, String>> {
        let of_person = self.oauth.as_ref().and_then(|oauth| oauth.public_key.as_ref());
        of_person.or_else(|| self.client_credentials.as_ref().and_then(|client| client.public_key.as_ref()))
    }
}

/// A connection as stored. The secret it is called with is a credential, elsewhere.
#[derive(Debug, Clone)]
pub struct Connection {
    pub id: ConnectionId,
    pub organization: OrganizationId,
    pub owner: ConnectionOwner,
    pub slug: Slug,
    pub name: String,
    /// Absolute URL; empty for stdio and in-process upstreams.
    pub url: String,
    pub transport: Transport,
    pub auth_type: AuthType,
    pub auth: AuthConfig,
    pub credential_mode: CredentialMode,
    pub switches: Switches,
    pub tools: ToolFilter,
    /// The client's own name for it, unique in the organization: creating again returns the first.
    pub external_key: Option<String>,
    pub status: Status,
    /// Generation found by the last successful contact.
    pub era: Option<ProtocolEra>,
    /// Instructions the server gave, untrusted.
    pub instructions: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Counts edits; the `ETag` of the API.
    pub revision: i64,
}

impl Connection {
    /// The slug as it stands in capability names: `~` in front when personal.
    pub fn name_prefix(&self) -> String {
        match self.owner {
            ConnectionOwner::Organization => self.slug.to_string(),
            ConnectionOwner::Member(_) => format!("~{}", self.slug),
        }
    }

    /// Whether a pattern may concern this connection at all.
    pub fn could_match(&self, pattern: &CapabilityPattern, name: &str) -> bool {
        pattern.matches(&self.name_prefix(), name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deny_always_wins() {
        let filter = |allow: &[&str], deny: &[&str]| ToolFilter {
            allow: allow.iter().map(ToString::to_string).collect(),
            deny: deny.iter().map(ToString::to_string).collect(),
        };
        assert!(filter(&[], &[]).admits("a"));
        assert!(filter(&["a"], &[]).admits("a") && !filter(&["a"], &[]).admits("b"));
        assert!(!filter(&["a"], &["a"]).admits("a") && !filter(&["*"], &["*"]).admits("a"));
        assert!(!filter(&["A"], &[]).admits("a"), "names are exact");
    }
}
