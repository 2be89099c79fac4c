//! Who may use what: scopes of a token, grants of a connection.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{MemberId, TeamId};

/// What a token may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Search, list and read.
    #[serde(rename = "mcp:read")]
    McpRead,
    /// Every execute: neither a provider's hint nor an admin's label makes one a read.
    #[serde(rename = "mcp:write")]
    McpWrite,
    /// Execute, but only on connections allowed in plan mode.
    #[serde(rename = "mcp:plan")]
    McpPlan,
    /// The REST API and command line, within the member's role.
    #[serde(rename = "api")]
    Api,
    /// A refresh token.
    #[serde(rename = "offline_access")]
    OfflineAccess,
}

impl Scope {
    pub const ALL: [Self; 5] = [Self::McpRead, Self::McpWrite, Self::McpPlan, Self::Api, Self::OfflineAccess];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::McpRead => "mcp:read",
            Self::McpWrite => "mcp:write",
            Self::McpPlan => "mcp:plan",
            Self::Api => "api",
            Self::OfflineAccess => "offline_access",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a scope: use mcp:read, mcp:write, mcp:plan or api")]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| UnknownScope(text.chars().take(40).collect()))
    }
}

/// A set of scopes, in one byte.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "Vec<Scope>", from = "Vec<Scope>")]
pub struct Scopes(u8);

impl Scopes {
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    #[must_use]
    pub fn with(self, scope: Scope) -> Self {
        Self(self.0 | (1 << scope as u8))
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |&scope| self.contains(scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Self::default(), Self::with)
    }
}

impl From<Vec<Scope>> for Scopes {
    fn from(scopes: Vec<Scope>) -> Self {
        scopes.into_iter().collect()
    }
}

impl From<Scopes> for Vec<Scope> {
    fn from(scopes: Scopes) -> Self {
        scopes.iter().collect()
    }
}

/// Space-separated, as OAuth writes it (RFC 6749 section 3.3).
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            write!(f, "{}{scope}", if index > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

/// Whom one grant names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GrantSubject {
    Everyone,
    Member(MemberId),
    Team(TeamId),
}

/// One row: this connection, this subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grant {
    pub connection: crate::ConnectionId,
    pub subject: GrantSubject,
}

/// All grants of one connection, as the API writes them. Empty means nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    pub everyone: bool,
    pub members: Vec<MemberId>,
    pub teams: Vec<TeamId>,
}

impl Grants {
    /// Whether these grants reach a member who is in `teams`.
    pub fn reach(&self, member: MemberId, teams: &[TeamId]) -> bool {
        self.everyone || self.members.contains(&member) || self.teams.iter().any(|team| teams.contains(team))
    }
}
