//! Who makes a request, through what, and which endpoint it is for.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    MemberId, OauthGrantId, OrganizationId, Scopes, ServiceAccountId, SessionId, Slug, TeamId, TokenId,
    ToolkitId,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Member,
    Admin,
    Owner,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Owners and admins run the organization.
    pub const fn is_admin(self) -> bool {
        matches!(self, Self::Admin | Self::Owner)
    }
}

/// Who acts: a person or a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    Member(MemberId),
    ServiceAccount(ServiceAccountId),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(id) => id.fmt(f),
            Self::ServiceAccount(id) => id.fmt(f),
        }
    }
}

/// An authenticated caller. Made by authentication alone; there is no default and no anonymous one.
#[derive(Debug, Clone)]
pub struct Principal {
    pub organization: OrganizationId,
    pub caller: Caller,
    pub role: Role,
    pub teams: Arc<[TeamId]>,
    pub scopes: Scopes,
    pub proof: Proof,
    /// The toolkits a person narrowed this client to on the consent page; `None`: not narrowed.
    pub toolkits: Option<Arc<[ToolkitId]>>,
}

/// `client_id` of Switchboard's own command line.
pub const COMMAND_LINE: &str = "switchboard-cli";

/// What a request was authenticated by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A personal or service token.
    Token(TokenId),
    /// An access token that an AI client was given.
    Grant { token: TokenId, grant: OauthGrantId, client: Arc<str> },
    /// A console session.
    Session(SessionId),
    /// This process itself, for a question about somebody ("what may she call?").
    Inquiry,
}

impl Proof {
    pub const fn token(&self) -> Option<TokenId> {
        match self {
            Self::Token(token) | Self::Grant { token, .. } => Some(*token),
            Self::Session(_) | Self::Inquiry => None,
        }
    }

    /// The token that whatever is made through it ends with, and reaches no further than. A person at their console or
    /// at the command line, where they signed in themselves, is bound by their role alone.
    pub fn bounding_token(&self) -> Option<TokenId> {
        match self {
            Self::Grant { client, .. } if **client == *COMMAND_LINE => None,
            proof => proof.token(),
        }
    }

    pub const fn session(&self) -> Option<SessionId> {
        match self {
            Self::Session(session) => Some(*session),
            _ => None,
        }
    }

    /// Whether it is a client that registered itself, which administration never listens to.
    pub const fn is_grant(&self) -> bool {
        matches!(self, Self::Grant { .. })
    }
}

impl Principal {
    pub fn member(&self) -> Option<MemberId> {
        match self.caller {
            Caller::Member(id) => Some(id),
            Caller::ServiceAccount(_) => None,
        }
    }
}

/// The endpoint a token is for and a request came in on: an OAuth protected resource each.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Resource {
    /// `/mcp`: everything the caller may use.
    Default,
    /// `/mcp/toolkits/{slug}`
    Toolkit(Slug),
    /// `/mcp/toolkits/~{slug}`: the caller's own. Another member's of the same slug is theirs alone.
    PersonalToolkit(Slug),
    /// `/mcp/connections/{slug}`
    Connection(Slug),
    /// `/api/v1`
    Api,
}

impl Resource {
    /// Path below the public URL (and below `/o/{organization}` where that pins one).
    pub fn path(&self) -> String {
        match self {
            Self::Default => "/mcp".into(),
            Self::Toolkit(slug) => format!("/mcp/toolkits/{slug}"),
            Self::PersonalToolkit(slug) => format!("/mcp/toolkits/~{slug}"),
            Self::Connection(slug) => format!("/mcp/connections/{slug}"),
            Self::Api => "/api/v1".into(),
        }
    }

    /// The resource whose path this is, without a trailing slash.
    pub fn from_path(path: &str) -> Option<Self> {
        match path {
            "/mcp" => Some(Self::Default),
            "/api/v1" => Some(Self::Api),
            _ => {
                if let Some(name) = path.strip_prefix("/mcp/toolkits/") {
                    return match name.strip_prefix('~') {
                        Some(slug) => slug.parse().ok().map(Self::PersonalToolkit),
                        None => name.parse().ok().map(Self::Toolkit),
                    };
                }
                path.strip_prefix("/mcp/connections/")?.parse().ok().map(Self::Connection)
            }
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

/// What the AI client says it is. Untrusted text, kept for the audit record only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClientInfo {
    pub name: String,
    pub version: String,
}
