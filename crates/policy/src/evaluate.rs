//! The decision, in one function for every purpose.

use std::borrow::Cow;

use switchboard_domain::{CapabilityKind, CapabilityState, ConnectionOwner, Scope};

use crate::{
    approval::{ApprovalRequirement, ConsumedApproval, Underway},
    condition::Facts,
    decision::{Decision, Reason, Source, Trace},
    permit::Permit,
    rule::RuleAction,
    set::{Layer, ListAnswer, ListOnConnection, Match, PolicySet},
    subject::{Arguments, CapabilityFacts, ConnectionFacts, Mode, Requester, Subject},
};

/// What an execute brings along.
#[derive(Debug, Clone, Copy)]
pub enum Purpose<'a> {
    Execute,
    /// After a person approved exactly this call.
    ExecuteApproved(&'a ConsumedApproval),
    /// Once more about a call that was let through and has not ended. What would ask a person was answered then; what
    /// blocks, and what rules say without its arguments, holds today.
    GoOn(&'a Underway),
}

/// The answer to a listing: what search shows as `decision`, or why it shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    Shown(Trace),
    Hidden(Reason),
}

/// Decides one call.
pub fn evaluate(set: &PolicySet, subject: &Subject<'_>, purpose: Purpose<'_>) -> Decision {
    set.on_connection(subject.requester, subject.connection).execute(&subject.capability, purpose)
}

/// A policy set with requester and connection looked up already: what is the same for all capabilities of a
/// connection is decided once, which is what makes a search over a large catalogue cheap.
#[derive(Debug)]
pub struct ConnectionPolicy<'a> {
    requester: Requester<'a>,
    connection: ConnectionFacts<'a>,
    /// Why nothing on this connection can be used.
    closed: Option<Reason>,
    /// The slug as it stands in patterns.
    prefix: Cow<'a, str>,
    lists: [Option<ListOnConnection<'a>>; 3],
    has_conditions: bool,
    /// What the rules say of each kind, where no rule names a single capability and none has a condition.
    same_for_all: Option<[Trace; 3]>,
    hold_destructive: bool,
}

impl PolicySet {
    pub fn on_connection<'a>(
        &'a self,
        requester: Requester<'a>,
        connection: ConnectionFacts<'a>,
    ) -> ConnectionPolicy<'a> {
        let prefix: Cow<'_, str> = match connection.owner {
            ConnectionOwner::Organization => connection.slug.as_str().into(),
            ConnectionOwner::Member(_) => format!("~{}", connection.slug).into(),
        };
        let lists = Layer::ALL.map(|layer| self.list(layer).map(|list| list.on(layer, &prefix)));
        let has_conditions = lists.iter().flatten().any(ListOnConnection::has_conditions);
        let names_matter = has_conditions || lists.iter().flatten().any(ListOnConnection::depends_on_name);
        let of_kind = |kind| strictest(always(&lists, "", kind));
        let kinds = [CapabilityKind::Tool, CapabilityKind::Prompt, CapabilityKind::Resource];
        ConnectionPolicy {
            requester,
            connection,
            closed: closed(self, &requester, &connection),
            same_for_all: (!names_matter).then(|| kinds.map(of_kind)),
            prefix,
            lists,
            has_conditions,
            hold_destructive: self.holds_destructive(),
        }
    }
}

/// What closes a whole connection. Whether the caller may know of it comes first; scopes come last of all
/// (in `list` and `execute`), so that nobody is asked to step up for a call that would be refused anyway.
fn closed(set: &PolicySet, requester: &Requester<'_>, connection: &ConnectionFacts<'_>) -> Option<Reason> {
    let organization = set.organization();
    let foreign = requester.organization != organization || connection.organization != organization;
    if foreign || !connection.reaches(requester.caller) {
        Some(Reason::NotGranted)
    } else if connection.staged && !connection.is_personal() && !requester.role.is_admin() {
        Some(Reason::Staged)
    } else if !connection.enabled {
        Some(Reason::Disabled)
    } else if requester.effective_mode() == Mode::Plan && !connection.allow_in_plan_mode {
        Some(Reason::ExcludedByMode)
    } else if !connection.is_selected(requester.selection) {
        Some(Reason::NotSelected)
    } else {
        None
    }
}

impl ConnectionPolicy<'_> {
    /// Why nothing on this connection can be used, if so.
    pub fn closed(&self) -> Option<Reason> {
        self.closed
    }

    /// Whether search and lists show it, and as what: where that depends on arguments, the mildest that it may come to.
    /// Allocates nothing where no rule has a condition.
    pub fn list(&self, capability: &CapabilityFacts<'_>) -> Listed {
        let strictest = |answers: &Answers<'_>| strictest(answers.mildest());
        match self.judge(capability, strictest) {
            Err(reason) => Listed::Hidden(reason),
            Ok(_) if !self.requester.may_list() => {
                Listed::Hidden(Reason::InsufficientScope { needed: Scope::McpRead })
            }
            Ok(trace) => Listed::Shown(trace),
        }
    }

    /// Whether it may run now.
    pub fn execute(&self, capability: &CapabilityFacts<'_>, purpose: Purpose<'_>) -> Decision {
        let strictest = |answers: &Answers<'_>| match (purpose, capability.arguments) {
            // Rules that look at arguments did so when the call was let through.
            (Purpose::GoOn(_), Arguments::Unknown) => strictest(answers.mildest()),
            _ => strictest(answers.strict()),
        };
        let trace = match self.judge(capability, strictest) {
            Ok(trace) => trace,
            Err(reason) => return Decision::Deny(reason),
        };
        if let Some(needed) = self.requester.missing_to_execute() {
            return Decision::Deny(Reason::InsufficientScope { needed });
        }
        let Some(credential) = self.connection.credential_of(self.requester.caller) else {
            return Decision::Deny(Reason::NoAccount);
        };
        let subject =
            Subject { requester: self.requester, connection: self.connection, capability: *capability };
        if trace.action == RuleAction::Allow {
            return Decision::Allow(Permit::new(&subject, credential, trace, None));
        }
        let requirement = self.requirement(capability);
        match purpose {
            Purpose::ExecuteApproved(approval) if answers(approval, &subject, &requirement) => {
                Decision::Allow(Permit::new(&subject, credential, trace, Some(approval.id)))
            }
            Purpose::GoOn(underway) if is_of(underway, &subject) => {
                Decision::Allow(Permit::new(&subject, credential, trace, underway.approval))
            }
            Purpose::Execute | Purpose::ExecuteApproved(_) | Purpose::GoOn(_) => {
                Decision::RequireApproval { requirement, trace }
            }
        }
    }

    /// Everything but scopes, accounts and approvals: what listing and executing have in common.
    fn judge(
        &self,
        capability: &CapabilityFacts<'_>,
        strictest: impl Fn(&Answers<'_>) -> Trace,
    ) -> Result<Trace, Reason> {
        if let Some(reason) = self.closed.filter(Reason::hides_connection) {
            return Err(reason);
        }
        if !capability.offered {
            return Err(Reason::NotOffered);
        }
        if !capability.admitted {
            return Err(Reason::Filtered);
        }
        if capability.state == CapabilityState::Gone {
            return Err(Reason::Gone);
        }
        if let Some(reason) = self.closed {
            return Err(reason);
        }
        let trace = self.rules_say(capability, strictest);
        match (trace.action, trace.source) {
            (RuleAction::Block, Some(source)) => Err(Reason::Blocked { source }),
            _ if capability.state != CapabilityState::Approved => Err(Reason::Changed(capability.state)),
            _ => Ok(trace),
        }
    }

    fn rules_say(
        &self,
        capability: &CapabilityFacts<'_>,
        strictest_of: impl Fn(&Answers<'_>) -> Trace,
    ) -> Trace {
        let trace = match &self.same_for_all {
            Some(traces) => traces[capability.kind as usize],
            None if self.has_conditions => strictest_of(&self.answers(capability)),
            None => strictest(always(&self.lists, capability.name, capability.kind)),
        };
        if self.holds(capability) && trace.action < RuleAction::RequireApproval {
            return Trace { action: RuleAction::RequireApproval, source: Some(Source::HoldDestructive) };
        }
        trace
    }

    /// A provider's hint can tighten, never loosen: only the claim to be destructive counts.
    pub(crate) fn holds(&self, capability: &CapabilityFacts<'_>) -> bool {
        self.hold_destructive && capability.destructive_hint == Some(true)
    }

    /// What each list says.
    pub(crate) fn answers(&self, capability: &CapabilityFacts<'_>) -> Answers<'_> {
        let mut facts = Facts::new(self.requester, self.connection, *capability);
        Answers(self.lists.each_ref().map(|list| match list {
            Some(list) => list.answer(&self.prefix, &mut facts),
            None => ListAnswer::default(),
        }))
    }

    fn requirement(&self, capability: &CapabilityFacts<'_>) -> ApprovalRequirement {
        let mut requirement = ApprovalRequirement::default();
        self.answers(capability)
            .strict()
            .filter(|found| found.effect == RuleAction::RequireApproval)
            .for_each(|found| requirement.add(found.rule));
        requirement
    }
}

/// What the three lists say.
#[derive(Debug)]
pub(crate) struct Answers<'a>([ListAnswer<'a>; 3]);

impl<'a> Answers<'a> {
    /// Every rule that has a say in a call. One that depends on arguments nobody gave counts as one that can't be
    /// evaluated: it blocks.
    pub(crate) fn strict(&self) -> impl Iterator<Item = Match<'a>> {
        self.0.iter().flat_map(|answer| {
            let unknown = answer.depending.iter().map(|found| Match { effect: RuleAction::Block, ..*found });
            answer.also.iter().copied().chain(unknown).chain(answer.first)
        })
    }

    /// The same for a listing: what depends on arguments may still turn out mildly.
    fn mildest(&self) -> impl Iterator<Item = Match<'a>> {
        self.0.iter().flat_map(|answer| {
            // A rule before it that may hold ends the list: then it has no say.
            let end = answer.depending.first().map_or(u32::MAX, |found| found.index);
            answer.also.iter().copied().filter(move |found| found.index < end).chain(answer.mildest())
        })
    }

    /// Every rule that was looked at and may apply, in the order of the lists.
    pub(crate) fn all(&self) -> impl Iterator<Item = Match<'a>> {
        self.0.iter().flat_map(|answer| {
            let mut found: Vec<Match<'a>> = answer.also.iter().chain(&answer.depending).copied().collect();
            found.extend(answer.first);
            found.sort_by_key(|found| found.index);
            found
        })
    }
}

/// The first matching rule of each list, where none has a condition.
fn always<'a>(
    lists: &[Option<ListOnConnection<'a>>; 3],
    name: &str,
    kind: CapabilityKind,
) -> impl Iterator<Item = Match<'a>> {
    lists.iter().filter_map(move |list| list.as_ref()?.first_match(name, kind))
}

/// The strictest of what matches; of equals the first counts as the one that decided.
fn strictest<'a>(matches: impl Iterator<Item = Match<'a>>) -> Trace {
    let mut trace = Trace { action: RuleAction::Allow, source: None };
    for Match { layer, index, effect, .. } in matches {
        if trace.source.is_none() || effect > trace.action {
            trace = Trace { action: effect, source: Some(Source::Rule { layer, index }) };
        }
    }
    trace
}

/// Whether an approval is for exactly this call and its decider satisfies today's rules.
fn answers(approval: &ConsumedApproval, subject: &Subject<'_>, requirement: &ApprovalRequirement) -> bool {
    let Subject { requester, connection, capability } = subject;
    approval.organization == requester.organization
        && approval.requested_by == requester.caller
        && approval.connection == connection.id
        && approval.capability.personal == connection.is_personal()
        && approval.capability.slug == *connection.slug
        && *approval.capability.name == *capability.name
        && approval.kind == capability.kind
        && requirement.admits(&approval.decided_by, requester.caller)
}

/// Whether what goes on is this caller's, and of this capability.
fn is_of(underway: &Underway, subject: &Subject<'_>) -> bool {
    let Subject { requester, connection, capability } = subject;
    underway.organization == requester.organization
        && underway.caller == requester.caller
        && underway.connection == connection.id
        && underway.capability == capability.name
        && underway.kind == capability.kind
}

#[cfg(test)]
#[path = "properties.rs"]
mod properties;
#[cfg(test)]
#[path = "evaluate_tests.rs"]
pub(crate) mod tests;
