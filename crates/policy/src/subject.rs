//! The facts a decision rests on, gathered by the caller. Every field has to be given: there is no default
//! that could stand in for a forgotten check.

use serde_json::Value;
use switchboard_domain::{
    Availability, Caller, CapabilityKind, CapabilityState, ConnectionId, ConnectionOwner, CredentialMode,
    CredentialOwner, OrganizationId, Role, Scope, Scopes, Slug, TeamId,
};

/// What the client asked for; it can only narrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Normal,
    /// Only connections that are allowed in plan mode.
    Plan,
}

/// Who asks, the same for all capabilities of a request.
#[derive(Debug, Clone, Copy)]
pub struct Requester<'a> {
    pub organization: OrganizationId,
    pub caller: Caller,
    /// Role and teams are for conditions.
    pub role: Role,
    pub teams: &'a [TeamId],
    pub scopes: Scopes,
    /// The mode the client asked for; [`Requester::effective_mode`] is the one in force.
    pub mode: Mode,
    /// Connections the client selected, as it wrote them (`~slug` for a personal one); `None` without a selection.
    pub selection: Option<&'a [String]>,
}

impl Requester<'_> {
    /// A token that may execute in plan mode only is always in plan mode.
    pub fn effective_mode(&self) -> Mode {
        let plan_only = self.scopes.contains(Scope::McpPlan) && !self.scopes.contains(Scope::McpWrite);
        if plan_only { Mode::Plan } else { self.mode }
    }

    /// Searching and listing take any of the `mcp:` scopes: who may execute may also see what there is to execute.
    pub(crate) fn may_list(&self) -> bool {
        [Scope::McpRead, Scope::McpWrite, Scope::McpPlan].into_iter().any(|scope| self.scopes.contains(scope))
    }

    /// The scope that is missing for an execute on a connection that the mode admits.
    pub(crate) fn missing_to_execute(&self) -> Option<Scope> {
        let plan = self.effective_mode() == Mode::Plan;
        if self.scopes.contains(Scope::McpWrite) || (plan && self.scopes.contains(Scope::McpPlan)) {
            return None;
        }
        Some(if plan { Scope::McpPlan } else { Scope::McpWrite })
    }
}

/// The connection, the same for all of its capabilities.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionFacts<'a> {
    pub organization: OrganizationId,
    pub id: ConnectionId,
    pub slug: &'a Slug,
    pub owner: ConnectionOwner,
    pub credential_mode: CredentialMode,
    /// Whether a grant reaches the caller. Not asked of a personal connection: it is its owner's alone.
    pub granted: bool,
    pub enabled: bool,
    /// Held back for admins until it is published.
    pub staged: bool,
    pub availability: Availability,
    pub allow_in_plan_mode: bool,
}

impl ConnectionFacts<'_> {
    pub(crate) fn reaches(&self, caller: Caller) -> bool {
        match self.owner {
            ConnectionOwner::Organization => self.granted,
            ConnectionOwner::Member(owner) => caller == Caller::Member(owner),
        }
    }

    pub(crate) fn is_personal(&self) -> bool {
        matches!(self.owner, ConnectionOwner::Member(_))
    }

    /// `force_on` always stays, `default_on` stays unless a selection is given, `default_off` only when named.
    pub(crate) fn is_selected(&self, selection: Option<&[String]>) -> bool {
        let named = || {
            selection.is_some_and(|names| {
                names.iter().any(|name| match name.strip_prefix('~') {
                    Some(slug) => self.is_personal() && slug == self.slug.as_str(),
                    None => !self.is_personal() && name == self.slug.as_str(),
                })
            })
        };
        match self.availability {
            Availability::ForceOn => true,
            Availability::DefaultOn => selection.is_none() || named(),
            Availability::DefaultOff => named(),
        }
    }

    /// Whose credential the caller's calls use: never another member's, and none at all for a program on a
    /// connection where each member has an account of their own.
    pub(crate) fn credential_of(&self, caller: Caller) -> Option<CredentialOwner> {
        match (self.credential_mode, caller) {
            (CredentialMode::Shared, _) => Some(CredentialOwner::Shared),
            (CredentialMode::PerMember, Caller::Member(member)) => Some(CredentialOwner::Member(member)),
            (CredentialMode::PerMember, Caller::ServiceAccount(_)) => None,
        }
    }
}

/// What a call is made with, for conditions.
#[derive(Debug, Clone, Copy)]
pub enum Arguments<'a> {
    Given(&'a Value),
    /// There is no call: something is listed. A call without arguments has an empty object.
    Unknown,
}

/// The capability.
#[derive(Debug, Clone, Copy)]
pub struct CapabilityFacts<'a> {
    /// The upstream's name for it, without the connection.
    pub name: &'a str,
    pub kind: CapabilityKind,
    /// Whether the connection's allow and deny lists admit it.
    pub admitted: bool,
    /// Whether this endpoint (a toolkit, one connection) and this token's narrowing include it.
    pub offered: bool,
    /// What its pin says. A digest the caller sent that is not the approved one counts as `Held`.
    pub state: CapabilityState,
    /// The provider's `readOnlyHint`, a claim: for conditions that tighten.
    pub read_only_hint: Option<bool>,
    /// The provider's `destructiveHint`, a claim: only `Some(true)` counts, and only to tighten.
    pub destructive_hint: Option<bool>,
    pub arguments: Arguments<'a>,
}

/// One question.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub requester: Requester<'a>,
    pub connection: ConnectionFacts<'a>,
    pub capability: CapabilityFacts<'a>,
}
