//! Step 3 of a call: what an endpoint shows at all, and under which rules.

use switchboard_domain::{CapabilityPattern, ConnectionOwner, Principal, Resource};
use switchboard_policy::{
    Arguments, CapabilityFacts, ConnectionPolicy, Decision, Listed, PolicySet, Purpose, Reason, RuleAction,
};
use switchboard_storage::Toolkit;

use crate::{
    connection_catalog::Capability,
    context::CallContext,
    snapshot::{Known, Snapshot},
};

/// The connections and capabilities that a request's endpoint includes: one part, or on `/mcp` one for each toolkit
/// that a person narrowed the client to. Without a part, the endpoint does not exist for this caller.
#[derive(Debug)]
pub(crate) struct Surface<'s> {
    parts: Vec<Part<'s>>,
}

#[derive(Debug)]
struct Part<'s> {
    scope: Scope<'s>,
    policies: PolicySet,
}

#[derive(Debug)]
enum Scope<'s> {
    All,
    Toolkit { toolkit: &'s Toolkit, patterns: Vec<CapabilityPattern> },
    Connection(&'s str),
}

impl<'s> Surface<'s> {
    pub(crate) fn of(snapshot: &'s Snapshot, context: &CallContext) -> Self {
        let bare = |scope| Part { scope, policies: snapshot.policies(context, None) };
        let of_toolkit = |toolkit: &'s Toolkit| Part {
            scope: Scope::Toolkit {
                toolkit,
                // A pattern that can't be read includes nothing.
                patterns: toolkit.patterns.iter().filter_map(|pattern| pattern.parse().ok()).collect(),
            },
            policies: snapshot.policies(context, Some(toolkit)),
        };
        let admitted = |toolkit: &&Toolkit| admits(toolkit, &context.principal);
        let parts = match (&context.resource, &context.principal.toolkits) {
            (Resource::Default, None) => vec![bare(Scope::All)],
            // A toolkit that is gone, or no longer for this caller, shows nothing; the others go on.
            (Resource::Default, Some(chosen)) => {
                let is_chosen = |toolkit: &&Toolkit| chosen.contains(&toolkit.id);
                snapshot.toolkits.values().filter(is_chosen).filter(admitted).map(of_toolkit).collect()
            }
            (Resource::Connection(slug), None) => {
                let known = snapshot.by_slug(slug);
                known
                    .map(|known| bare(Scope::Connection(known.connection.slug.as_str())))
                    .into_iter()
                    .collect()
            }
            (resource @ (Resource::Toolkit(_) | Resource::PersonalToolkit(_)), None) => {
                let named = snapshot.toolkit(resource, &context.principal);
                named.filter(admitted).map(of_toolkit).into_iter().collect()
            }
            // Only tokens for `/mcp` are ever narrowed.
            (
                Resource::Api | Resource::Connection(_) | Resource::Toolkit(_) | Resource::PersonalToolkit(_),
                _,
            ) => Vec::new(),
        };
        Self { parts }
    }

    /// Whether the endpoint exists for this caller.
    pub(crate) fn exists(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Whether the endpoint may include anything of this connection.
    pub(crate) fn may_include(&self, known: &Known) -> bool {
        self.parts.iter().any(|part| part.scope.may_include(known))
    }

    /// The rules of this endpoint, looked up for one connection.
    pub(crate) fn on<'v>(&'v self, known: &'v Known, context: &'v CallContext) -> OnConnection<'v> {
        let on = |part: &'v Part<'s>| {
            (&part.scope, part.policies.on_connection(context.requester(), known.facts(context)))
        };
        OnConnection { known, parts: self.parts.iter().map(on).collect() }
    }
}

impl Scope<'_> {
    fn may_include(&self, known: &Known) -> bool {
        let connection = &*known.connection;
        match self {
            Self::All => true,
            Self::Connection(slug) => {
                connection.slug.as_str() == *slug && connection.owner == ConnectionOwner::Organization
            }
            Self::Toolkit { toolkit, patterns } => {
                let personal = connection.owner != ConnectionOwner::Organization;
                // An organization's toolkit never reaches a personal connection.
                !(personal && toolkit.owner.is_none())
                    && patterns
                        .iter()
                        .any(|pattern| pattern.slug().is_none_or(|slug| slug == connection.name_prefix()))
            }
        }
    }

    fn includes(&self, known: &Known, name: &str) -> bool {
        self.may_include(known)
            && match self {
                Self::Toolkit { patterns, .. } => {
                    let prefix = known.connection.name_prefix();
                    patterns.iter().any(|pattern| pattern.matches(&prefix, name))
                }
                Self::All | Self::Connection(_) => true,
            }
    }
}

/// One connection as a surface shows it. Of several toolkits the most permissive decides, as each of them would let
/// its caller in by itself; none of them can loosen what the organization and the member say.
#[derive(Debug)]
pub(crate) struct OnConnection<'v> {
    known: &'v Known,
    parts: Vec<(&'v Scope<'v>, ConnectionPolicy<'v>)>,
}

impl OnConnection<'_> {
    /// Why nothing on this connection can be used, if so. No rule has a part in that, so all parts say the same.
    pub(crate) fn closed(&self) -> Option<Reason> {
        self.parts.first().map_or(Some(Reason::NotGranted), |(_, on)| on.closed())
    }

    pub(crate) fn list(&self, name: &str, capability: &Capability) -> Listed {
        let order = |listed: &Listed| match listed {
            Listed::Shown(trace) => (0, trace.action),
            Listed::Hidden(reason) => denied(*reason),
        };
        let asked = (name, capability, Arguments::Unknown);
        let listed = self.most_permissive(asked, |on, facts| on.list(facts), order);
        listed.unwrap_or(Listed::Hidden(Reason::NotOffered))
    }

    /// Whether it may run now, with these arguments.
    pub(crate) fn execute(
        &self,
        name: &str,
        capability: &Capability,
        arguments: Arguments<'_>,
        purpose: Purpose<'_>,
    ) -> Decision {
        let order = |decision: &Decision| match decision {
            Decision::Allow(_) => (0, RuleAction::Allow),
            Decision::RequireApproval { trace, .. } => (0, trace.action),
            Decision::Deny(reason) => denied(*reason),
        };
        let decide = |on: &ConnectionPolicy<'_>, facts: &CapabilityFacts<'_>| on.execute(facts, purpose);
        let decision = self.most_permissive((name, capability, arguments), decide, order);
        decision.unwrap_or(Decision::Deny(Reason::NotOffered))
    }

    fn most_permissive<T, O: Ord>(
        &self,
        (name, capability, arguments): (&str, &Capability, Arguments<'_>),
        decide: impl Fn(&ConnectionPolicy<'_>, &CapabilityFacts<'_>) -> T,
        order: impl Fn(&T) -> O,
    ) -> Option<T> {
        let decisions = self.parts.iter().map(|(scope, on)| {
            let facts = CapabilityFacts {
                name,
                kind: capability.kind,
                admitted: self.known.connection.tools.admits(name),
                offered: scope.includes(self.known, name),
                state: capability.state,
                read_only_hint: capability.read_only_hint,
                destructive_hint: capability.destructive_hint,
                arguments,
            };
            decide(on, &facts)
        });
        decisions.min_by_key(order)
    }
}

/// What a toolkit leaves out says less than what it refuses.
fn denied(reason: Reason) -> (u8, RuleAction) {
    (if reason == Reason::NotOffered { 2 } else { 1 }, RuleAction::Block)
}

/// Whether a toolkit is for this caller. Both lists empty: whoever is granted the connections.
pub(crate) fn admits(toolkit: &Toolkit, principal: &Principal) -> bool {
    let member = principal.member();
    if let Some(owner) = toolkit.owner {
        return member == Some(owner);
    }
    (toolkit.members.is_empty() && toolkit.teams.is_empty())
        || member.is_some_and(|member| toolkit.members.contains(&member))
        || toolkit.teams.iter().any(|team| principal.teams.contains(team))
}
