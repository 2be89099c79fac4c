//! Properties over random rules, against a reference that scans every list from the top.

use std::sync::Arc;

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json};
use switchboard_domain::{Caller, CapabilityKind, MemberId, Role, Slug, TeamId};
use uuid::Uuid;

use super::{tests::subject, *};
use crate::{
    approval::Decider,
    rule::{Approvers, Rule},
    set::RuleList,
    subject::Arguments,
};

const KINDS: [CapabilityKind; 3] = [CapabilityKind::Tool, CapabilityKind::Prompt, CapabilityKind::Resource];
const NAMES: [&str; 3] = ["x", "y", "y.z"];

fn team(number: u128) -> TeamId {
    TeamId::from_uuid(Uuid::from_u128(number))
}

/// Conditions, and what is true of each: `None` where it can't be told.
type Truth = fn(&Asked) -> Option<bool>;
const CONDITIONS: [(&str, Truth); 7] = [
    ("args.n > 1", |asked| Some(asked.number() > 1)),
    ("args.n <= 1 && connection.slug == 'a'", |asked| {
        Some(asked.number() <= 1 && asked.slug.as_str() == "a")
    }),
    ("has(args.n)", |_| Some(true)),
    ("plan", |_| Some(false)),
    ("args.missing == 1", |_| None),
    ("args.n", |_| None),
    ("this is none", |_| None),
];
/// Conditions on what the provider claims: they only tighten.
const HINTS: [(&str, Truth); 2] = [
    ("tool.destructive_hint == true", |asked| Some(asked.hint == Some(true))),
    ("tool.destructive_hint != false && args.n > 1", |asked| {
        Some(asked.hint != Some(false) && asked.number() > 1)
    }),
];

fn a_condition() -> impl Strategy<Value = &'static str> {
    select(CONDITIONS.iter().chain(&HINTS).map(|(source, _)| *source).collect::<Vec<_>>())
}

fn looks_at_hints(condition: Option<&str>) -> bool {
    HINTS.iter().any(|(source, _)| Some(*source) == condition)
}

fn a_rule() -> impl Strategy<Value = Rule> {
    let patterns =
        vec!["*", "*.*", "a.*", "b.*", "~a.*", "*.x", "*.y", "*.y.z", "a.x", "a.y", "b.x", "~a.x", "a.y.z"];
    let actions = vec![RuleAction::Allow, RuleAction::RequireApproval, RuleAction::Block];
    let approvers = prop_oneof![
        Just(Approvers::Caller),
        Just(Approvers::Admins),
        vec((1u128..4).prop_map(team), 1..3).prop_map(Approvers::Teams)
    ];
    (
        select(patterns),
        select(actions),
        option::weighted(0.3, select(KINDS.to_vec())),
        option::weighted(0.3, a_condition()),
        approvers,
        any::<bool>(),
    )
        .prop_map(|(pattern, action, kind, condition, approvers, second_person)| {
            // No such rule is stored: a claim allows nothing.
            let claims = looks_at_hints(condition) && action == RuleAction::Allow;
            let action = if claims { RuleAction::RequireApproval } else { action };
            Rule {
                kind,
                condition: condition.map(Into::into),
                approvers,
                second_person,
                ..Rule::new(pattern.parse().unwrap(), action)
            }
        })
}

fn a_list() -> impl Strategy<Value = Vec<Rule>> {
    vec(a_rule(), 0..12)
}

/// A capability on one of three connections: `a`, `b` and the personal `~a`.
#[derive(Debug, Clone)]
struct Asked {
    slug: Slug,
    personal: bool,
    name: &'static str,
    kind: CapabilityKind,
    hint: Option<bool>,
    arguments: Value,
}

fn asked() -> impl Strategy<Value = Asked> {
    let names = select(NAMES.to_vec());
    (select(vec!["a", "b", "~a"]), names, select(KINDS.to_vec()), any::<Option<bool>>(), 0..4).prop_map(
        |(slug, name, kind, hint, number)| Asked {
            arguments: json!({ "n": number }),
            slug: slug.trim_start_matches('~').parse().unwrap(),
            personal: slug.starts_with('~'),
            name,
            kind,
            hint,
        },
    )
}

impl Asked {
    fn number(&self) -> i64 {
        self.arguments["n"].as_i64().unwrap()
    }

    fn subject(&self) -> Subject<'_> {
        let mut subject = subject(&self.slug);
        if self.personal {
            let Caller::Member(owner) = subject.requester.caller else {
                unreachable!("the subject is a member")
            };
            subject.connection.owner = ConnectionOwner::Member(owner);
        }
        subject.capability = CapabilityFacts {
            name: self.name,
            kind: self.kind,
            destructive_hint: self.hint,
            arguments: Arguments::Given(&self.arguments),
            ..subject.capability
        };
        subject
    }

    fn prefix(&self) -> String {
        format!("{}{}", if self.personal { "~" } else { "" }, self.slug)
    }
}

fn set(organization: &[Rule], toolkit: Option<&[Rule]>, member: Option<&[Rule]>, hold: bool) -> PolicySet {
    let list = |rules: &[Rule]| Arc::new(RuleList::new(rules.to_vec()));
    let slug = tests::slug();
    let mut set =
        PolicySet::new(subject(&slug).requester.organization, list(organization)).hold_destructive(hold);
    if let Some(rules) = toolkit {
        set = set.with_toolkit(list(rules));
    }
    if let Some(rules) = member {
        set = set.with_member(list(rules));
    }
    set
}

/// What the documentation says, written down as plainly as possible.
fn reference(lists: [&[Rule]; 3], hold: bool, asked: &Asked) -> RuleAction {
    let mut strictest = RuleAction::Allow;
    for rules in lists {
        for rule in rules {
            let concerns = rule.pattern.matches(&asked.prefix(), asked.name)
                && rule.kind.is_none_or(|kind| kind == asked.kind);
            let condition = rule.condition.as_deref();
            let truth = CONDITIONS.iter().chain(&HINTS).find(|(source, _)| Some(*source) == condition);
            let holds = truth.map_or(Some(true), |(_, truth)| truth(asked));
            if !concerns || holds == Some(false) {
                continue;
            }
            strictest = strictest.max(if holds.is_none() { RuleAction::Block } else { rule.action });
            // What the provider claims stands in for no rule that comes later.
            if holds.is_none() || !looks_at_hints(condition) {
                break;
            }
        }
    }
    if hold && asked.hint == Some(true) { strictest.max(RuleAction::RequireApproval) } else { strictest }
}

fn strictness(decision: &Decision) -> RuleAction {
    match decision {
        Decision::Allow(_) => RuleAction::Allow,
        Decision::RequireApproval { .. } => RuleAction::RequireApproval,
        Decision::Deny(_) => RuleAction::Block,
    }
}

fn decide(set: &PolicySet, asked: &Asked) -> Decision {
    evaluate(set, &asked.subject(), Purpose::Execute)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_index_decides_as_a_scan_from_the_top(
        organization in a_list(), toolkit in a_list(), member in a_list(), hold: bool, asked in asked(),
    ) {
        let set = set(&organization, Some(&toolkit), Some(&member), hold);
        let expected = reference([&organization, &toolkit, &member], hold, &asked);
        prop_assert_eq!(strictness(&decide(&set, &asked)), expected);
    }

    #[test]
    fn a_toolkit_or_a_member_never_loosens(
        organization in a_list(), toolkit in a_list(), member in a_list(), hold: bool, asked in asked(),
    ) {
        let base = strictness(&decide(&set(&organization, None, None, hold), &asked));
        let in_toolkit = strictness(&decide(&set(&organization, Some(&toolkit), None, hold), &asked));
        let as_member = strictness(&decide(&set(&organization, None, Some(&member), hold), &asked));
        let both = strictness(&decide(&set(&organization, Some(&toolkit), Some(&member), hold), &asked));
        prop_assert!(base <= in_toolkit && base <= as_member);
        prop_assert!(in_toolkit <= both && as_member <= both);
    }

    #[test]
    fn a_rule_added_at_the_end_never_loosens(
        organization in a_list(), mut toolkit in a_list(), mut member in a_list(), rule in a_rule(), asked in asked(),
    ) {
        let before = strictness(&decide(&set(&organization, Some(&toolkit), Some(&member), false), &asked));
        toolkit.push(rule.clone());
        let with_toolkit = strictness(&decide(&set(&organization, Some(&toolkit), Some(&member), false), &asked));
        member.push(rule);
        let with_both = strictness(&decide(&set(&organization, Some(&toolkit), Some(&member), false), &asked));
        prop_assert!(before <= with_toolkit && with_toolkit <= with_both);
    }

    /// Whoever may approve with more rules could approve with fewer, except that `caller` gives way.
    #[test]
    fn a_toolkit_or_a_member_never_makes_approving_easier(
        organization in a_list(), toolkit in a_list(), member in a_list(), asked in asked(),
        decider in (1u128..3, any::<bool>(), vec(1u128..4, 0..3)),
    ) {
        let (number, admin, teams) = decider;
        let decider = Decider {
            member: MemberId::from_uuid(Uuid::from_u128(number)),
            role: if admin { Role::Admin } else { Role::Member },
            teams: teams.into_iter().map(team).collect(),
        };
        let base = decide(&set(&organization, None, None, false), &asked);
        let tighter = decide(&set(&organization, Some(&toolkit), Some(&member), false), &asked);
        if let (
            Decision::RequireApproval { requirement: base, .. },
            Decision::RequireApproval { requirement: tighter, .. },
        ) = (base, tighter)
        {
            prop_assert!(!base.second_person || tighter.second_person);
            let caller = asked.subject().requester.caller;
            let gives_way = !base.admin && base.teams.is_empty();
            if tighter.admits(&decider, caller) && !gives_way {
                prop_assert!(base.admits(&decider, caller));
            }
        }
    }

    #[test]
    fn hints_never_loosen(organization in a_list(), hold: bool, asked in asked()) {
        let without: Vec<Rule> =
            organization.iter().filter(|rule| !looks_at_hints(rule.condition.as_deref())).cloned().collect();
        let with = |rules: &[Rule], hold, hint| {
            strictness(&decide(&set(rules, None, None, hold), &Asked { hint, ..asked.clone() }))
        };
        prop_assert_eq!(with(&without, hold, None), with(&without, hold, Some(false)));
        for hint in [None, Some(false), Some(true)] {
            prop_assert!(with(&without, false, hint) <= with(&organization, hold, hint));
        }
    }

    /// What is hidden whatever the arguments is never callable, and what is shown was not promised to be harder.
    #[test]
    fn a_listing_is_never_stricter_than_a_call(
        organization in a_list(), toolkit in a_list(), hold: bool, asked in asked(),
    ) {
        let set = set(&organization, Some(&toolkit), None, hold);
        let mut subject = asked.subject();
        subject.capability.arguments = Arguments::Unknown;
        let listed = set.on_connection(subject.requester, subject.connection).list(&subject.capability);
        let shown = match listed {
            Listed::Shown(trace) => trace.action,
            Listed::Hidden(_) => RuleAction::Block,
        };
        prop_assert!(shown <= strictness(&decide(&set, &asked)));
        prop_assert!(strictness(&decide(&set, &asked)) <= strictness(&evaluate(&set, &subject, Purpose::Execute)));
    }

    #[test]
    fn listing_and_executing_agree(
        organization in a_list(), toolkit in a_list(), hold: bool, asked in asked(),
    ) {
        let set = set(&organization, Some(&toolkit), None, hold);
        let subject = asked.subject();
        let listed = set.on_connection(subject.requester, subject.connection).list(&subject.capability);
        match (listed, decide(&set, &asked)) {
            (Listed::Shown(trace), Decision::Allow(permit)) => prop_assert_eq!(trace, permit.trace()),
            (Listed::Shown(shown), Decision::RequireApproval { trace, .. }) => prop_assert_eq!(shown, trace),
            (Listed::Hidden(hidden), Decision::Deny(reason)) => prop_assert_eq!(hidden, reason),
            (listed, decision) => prop_assert!(false, "{:?} but {:?}", listed, decision),
        }
    }

    /// Without a grant, a selection, the scope or the switch, no rule of any kind lets a call through.
    #[test]
    fn no_rule_opens_what_is_closed(organization in a_list(), member in a_list(), asked in asked(), which in 0usize..5) {
        let set = set(&organization, None, Some(&member), false);
        let mut subject = asked.subject();
        match which {
            0 => subject.connection.granted = false,
            1 => subject.connection.enabled = false,
            2 => subject.requester.scopes = [Scope::McpRead, Scope::Api].into_iter().collect(),
            3 => subject.capability.state = CapabilityState::Held,
            _ => subject.capability.offered = false,
        }
        if which == 0 && asked.personal {
            subject.requester.caller = Caller::Member(MemberId::from_uuid(Uuid::from_u128(99)));
        }
        prop_assert!(matches!(evaluate(&set, &subject, Purpose::Execute), Decision::Deny(_)));
    }
}

/// Found by the property above: a rule on a hint that stands behind one that may end the list.
#[test]
fn a_listing_does_not_count_on_what_stands_behind_a_rule_that_may_end_the_list() {
    let rule = |action, condition: &str| Rule {
        condition: Some(condition.into()),
        ..Rule::new("*.y".parse().unwrap(), action)
    };
    let toolkit = [
        rule(RuleAction::Allow, "has(args.n)"),
        rule(RuleAction::RequireApproval, "tool.destructive_hint == true"),
    ];
    let asked = Asked {
        slug: "a".parse().unwrap(),
        personal: false,
        name: "y",
        kind: CapabilityKind::Tool,
        hint: Some(true),
        arguments: json!({ "n": 0 }),
    };
    let set = set(&[], Some(&toolkit), None, false);
    let mut subject = asked.subject();
    subject.capability.arguments = Arguments::Unknown;
    let listed = set.on_connection(subject.requester, subject.connection).list(&subject.capability);
    assert!(matches!(listed, Listed::Shown(trace) if trace.action == RuleAction::Allow), "{listed:?}");
    assert_eq!(strictness(&decide(&set, &asked)), RuleAction::Allow);
}
