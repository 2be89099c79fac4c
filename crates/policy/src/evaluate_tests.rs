use std::sync::Arc;

use switchboard_domain::{
    ApprovalId, Availability, Caller, CapabilityKind, ConnectionId, CredentialMode, CredentialOwner,
    ErrorCode, MemberId, OrganizationId, Role, Scopes, ServiceAccountId, Slug,
};
use uuid::Uuid;

use super::*;
use crate::{
    approval::Decider,
    rule::{Approvers, Rule},
    set::RuleList,
    subject::Arguments,
};

fn organization(number: u128) -> OrganizationId {
    OrganizationId::from_uuid(Uuid::from_u128(number))
}

fn member(number: u128) -> MemberId {
    MemberId::from_uuid(Uuid::from_u128(number))
}

fn program() -> Caller {
    Caller::ServiceAccount(ServiceAccountId::from_uuid(Uuid::from_u128(1)))
}

fn scopes(scopes: &[Scope]) -> Scopes {
    scopes.iter().copied().collect()
}

pub(crate) fn slug() -> Slug {
    "linear".parse().unwrap()
}

/// Everything in order: a member with `mcp:write` on a granted connection, an approved tool, no rules.
pub(crate) fn subject(slug: &Slug) -> Subject<'_> {
    Subject {
        requester: Requester {
            organization: organization(1),
            caller: Caller::Member(member(1)),
            role: Role::Member,
            teams: &[],
            scopes: scopes(&[Scope::McpWrite]),
            mode: Mode::Normal,
            selection: None,
        },
        connection: ConnectionFacts {
            organization: organization(1),
            id: ConnectionId::from_uuid(Uuid::from_u128(5)),
            slug,
            owner: ConnectionOwner::Organization,
            credential_mode: CredentialMode::Shared,
            granted: true,
            enabled: true,
            staged: false,
            availability: Availability::DefaultOn,
            allow_in_plan_mode: false,
        },
        capability: CapabilityFacts {
            name: "delete_issue",
            kind: CapabilityKind::Tool,
            admitted: true,
            offered: true,
            state: CapabilityState::Approved,
            read_only_hint: None,
            destructive_hint: None,
            arguments: Arguments::Unknown,
        },
    }
}

pub(crate) fn rules(rules: &[(&str, RuleAction)]) -> Arc<RuleList> {
    let rule = |(pattern, action): &(&str, RuleAction)| Rule::new(pattern.parse().unwrap(), *action);
    Arc::new(RuleList::new(rules.iter().map(rule).collect()))
}

pub(crate) fn no_rules() -> PolicySet {
    PolicySet::new(organization(1), rules(&[]))
}

fn denied(set: &PolicySet, subject: &Subject<'_>) -> Option<Reason> {
    match evaluate(set, subject, Purpose::Execute) {
        Decision::Deny(reason) => Some(reason),
        _ => None,
    }
}

fn permit(decision: Decision) -> Permit {
    match decision {
        Decision::Allow(permit) => permit,
        other => panic!("expected a permit, got {other:?}"),
    }
}

fn listed(set: &PolicySet, subject: &Subject<'_>) -> Listed {
    set.on_connection(subject.requester, subject.connection).list(&subject.capability)
}

#[test]
fn a_permit_says_what_was_decided() {
    let slug = slug();
    let mut subject = subject(&slug);
    let shared = permit(evaluate(&no_rules(), &subject, Purpose::Execute));
    assert_eq!(shared.capability().to_string(), "linear.delete_issue");
    assert_eq!((shared.credential(), shared.approval()), (CredentialOwner::Shared, None));
    assert_eq!(shared.trace(), Trace { action: RuleAction::Allow, source: None });
    assert_eq!((shared.caller(), shared.connection()), (subject.requester.caller, subject.connection.id));

    subject.connection.credential_mode = CredentialMode::PerMember;
    let own = permit(evaluate(&no_rules(), &subject, Purpose::Execute));
    assert_eq!(own.credential(), CredentialOwner::Member(member(1)), "never another's");
    subject.requester.caller = program();
    assert_eq!(denied(&no_rules(), &subject), Some(Reason::NoAccount));
}

#[test]
fn each_check_denies_by_itself() {
    type Change = fn(&mut Subject<'_>);
    let cases: [(Change, Reason); 15] = [
        (|s| s.requester.organization = organization(2), Reason::NotGranted),
        (|s| s.connection.organization = organization(2), Reason::NotGranted),
        (|s| s.connection.granted = false, Reason::NotGranted),
        (|s| s.connection.owner = ConnectionOwner::Member(member(2)), Reason::NotGranted),
        (|s| s.connection.staged = true, Reason::Staged),
        (|s| s.connection.enabled = false, Reason::Disabled),
        (|s| s.requester.mode = Mode::Plan, Reason::ExcludedByMode),
        (|s| s.connection.availability = Availability::DefaultOff, Reason::NotSelected),
        (|s| s.requester.selection = Some(&[]), Reason::NotSelected),
        (|s| s.capability.admitted = false, Reason::Filtered),
        (|s| s.capability.offered = false, Reason::NotOffered),
        (|s| s.capability.state = CapabilityState::Held, Reason::Changed(CapabilityState::Held)),
        (|s| s.capability.state = CapabilityState::Rejected, Reason::Changed(CapabilityState::Rejected)),
        (|s| s.capability.state = CapabilityState::Gone, Reason::Gone),
        (|s| s.requester.scopes = Scopes::default(), Reason::InsufficientScope { needed: Scope::McpWrite }),
    ];
    let slug = slug();
    assert_eq!(denied(&no_rules(), &subject(&slug)), None);
    for (index, (change, reason)) in cases.into_iter().enumerate() {
        let mut subject = subject(&slug);
        change(&mut subject);
        assert_eq!(denied(&no_rules(), &subject), Some(reason), "case {index}");
        assert!(matches!(listed(&no_rules(), &subject), Listed::Hidden(_)), "case {index} is not listed");
    }
}

#[test]
fn unknown_and_forbidden_look_alike() {
    for reason in [Reason::NotGranted, Reason::Staged, Reason::NotOffered, Reason::Filtered, Reason::Gone] {
        assert_eq!(reason.error_code(), ErrorCode::UnknownCapability);
    }
    // Whoever has no grant learns nothing about switches, modes, pins or rules.
    let slug = slug();
    let mut hidden = subject(&slug);
    hidden.connection.granted = false;
    hidden.connection.enabled = false;
    hidden.capability.state = CapabilityState::Held;
    hidden.capability.offered = false;
    hidden.requester.scopes = Scopes::default();
    let blocked = PolicySet::new(organization(1), rules(&[("*", RuleAction::Block)]));
    assert_eq!(denied(&blocked, &hidden), Some(Reason::NotGranted));
}

#[test]
fn scopes_and_plan_mode() {
    use Scope::{Api, McpPlan, McpRead, McpWrite};
    let missing = |needed| Some(Reason::InsufficientScope { needed });
    let cases: [(&[Scope], Mode, bool, Option<Reason>); 12] = [
        (&[McpWrite], Mode::Normal, false, None),
        (&[McpWrite], Mode::Plan, false, Some(Reason::ExcludedByMode)),
        (&[McpWrite], Mode::Plan, true, None),
        (&[McpPlan], Mode::Plan, true, None),
        (&[McpPlan], Mode::Normal, true, None),
        (&[McpPlan], Mode::Normal, false, Some(Reason::ExcludedByMode)),
        (&[McpPlan, McpRead], Mode::Normal, false, Some(Reason::ExcludedByMode)),
        (&[McpPlan, McpWrite], Mode::Normal, false, None),
        (&[McpRead], Mode::Normal, true, missing(McpWrite)),
        (&[McpRead], Mode::Plan, true, missing(McpPlan)),
        (&[Api], Mode::Normal, true, missing(McpWrite)),
        (&[], Mode::Plan, true, missing(McpPlan)),
    ];
    let slug = slug();
    for (given, mode, allowed, expected) in cases {
        let mut subject = subject(&slug);
        subject.requester.scopes = scopes(given);
        subject.requester.mode = mode;
        subject.connection.allow_in_plan_mode = allowed;
        assert_eq!(denied(&no_rules(), &subject), expected, "{given:?} {mode:?} {allowed}");
    }
}

#[test]
fn any_mcp_scope_lists_and_no_other() {
    let slug = slug();
    let mut subject = subject(&slug);
    subject.connection.allow_in_plan_mode = true;
    for scope in [Scope::McpRead, Scope::McpWrite, Scope::McpPlan] {
        subject.requester.scopes = scopes(&[scope]);
        assert!(matches!(listed(&no_rules(), &subject), Listed::Shown(_)), "{scope}");
    }
    for none in [scopes(&[]), scopes(&[Scope::Api, Scope::OfflineAccess])] {
        subject.requester.scopes = none;
        let needed = Scope::McpRead;
        assert_eq!(listed(&no_rules(), &subject), Listed::Hidden(Reason::InsufficientScope { needed }));
    }
}

/// A read-only token never executes, whatever the provider says of its tool.
#[test]
fn hints_do_not_execute() {
    let slug = slug();
    let mut subject = subject(&slug);
    subject.requester.scopes = scopes(&[Scope::McpRead]);
    for hint in [None, Some(false), Some(true)] {
        subject.capability.destructive_hint = hint;
        assert!(matches!(denied(&no_rules(), &subject), Some(Reason::InsufficientScope { .. })));
    }
}

#[test]
fn a_selection_only_narrows() {
    use Availability::{DefaultOff, DefaultOn, ForceOn};
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (this, other, personal, none) =
        (names(&["x", "linear"]), names(&["x"]), names(&["~linear"]), names(&[]));
    let slug = slug();
    for (availability, selection, expected) in [
        (ForceOn, None, true),
        (ForceOn, Some(&other), true),
        (ForceOn, Some(&none), true),
        (DefaultOn, None, true),
        (DefaultOn, Some(&this), true),
        (DefaultOn, Some(&other), false),
        (DefaultOn, Some(&personal), false),
        (DefaultOff, None, false),
        (DefaultOff, Some(&this), true),
        (DefaultOff, Some(&other), false),
    ] {
        let mut subject = subject(&slug);
        subject.connection.availability = availability;
        subject.requester.selection = selection.map(Vec::as_slice);
        assert_eq!(denied(&no_rules(), &subject).is_none(), expected, "{availability:?} {selection:?}");
        subject.connection.granted = false;
        assert_eq!(denied(&no_rules(), &subject), Some(Reason::NotGranted), "selecting grants nothing");
    }
    let mut own = subject(&slug);
    own.connection.owner = ConnectionOwner::Member(member(1));
    own.requester.selection = Some(&personal);
    assert_eq!(denied(&no_rules(), &own), None);
    own.requester.selection = Some(&this);
    assert_eq!(denied(&no_rules(), &own), Some(Reason::NotSelected));
}

#[test]
fn a_personal_connection_is_its_owners_alone_and_no_pattern_of_another_reaches_it() {
    let slug = slug();
    let mut own = subject(&slug);
    own.connection.owner = ConnectionOwner::Member(member(1));
    own.connection.granted = false;
    let block = |pattern| PolicySet::new(organization(1), rules(&[(pattern, RuleAction::Block)]));
    let permitted = permit(evaluate(&block("linear.*"), &own, Purpose::Execute));
    assert_eq!(permitted.capability().to_string(), "~linear.delete_issue");
    for reaching in ["~linear.*", "~linear.delete_issue", "*.delete_issue", "*"] {
        assert!(matches!(denied(&block(reaching), &own), Some(Reason::Blocked { .. })), "{reaching}");
    }
    own.connection.granted = true;
    own.requester.caller = Caller::Member(member(2));
    assert_eq!(denied(&no_rules(), &own), Some(Reason::NotGranted), "a grant does not share it");
    own.requester.caller = program();
    assert_eq!(denied(&no_rules(), &own), Some(Reason::NotGranted));
}

#[test]
fn the_first_match_of_a_list_and_the_strictest_of_the_lists() {
    use RuleAction::{Allow, Block, RequireApproval};
    let slug = slug();
    let subject = subject(&slug);
    let list = rules(&[("linear.delete_issue", Allow), ("linear.*", Block)]);
    assert_eq!(denied(&PolicySet::new(organization(1), list), &subject), None, "the first one counts");

    let organization_rules = rules(&[("x.*", Block), ("linear.*", RequireApproval)]);
    let set = PolicySet::new(organization(1), organization_rules)
        .with_toolkit(rules(&[("*", Allow)]))
        .with_member(rules(&[("*", Allow)]));
    let Listed::Shown(trace) = listed(&set, &subject) else { panic!("listed as needing an approval") };
    let source = Some(Source::Rule { layer: Layer::Organization, index: 1 });
    assert_eq!(trace, Trace { action: RequireApproval, source });

    let set = set.with_member(rules(&[("*.delete_issue", Block)]));
    let source = Source::Rule { layer: Layer::Member, index: 0 };
    assert_eq!(denied(&set, &subject), Some(Reason::Blocked { source }));
    assert_eq!(listed(&set, &subject), Listed::Hidden(Reason::Blocked { source }), "blocked is hidden");
    assert_eq!(source.to_string(), "member/1");
}

#[test]
fn a_rule_may_be_about_one_kind() {
    let slug = slug();
    let mut subject = subject(&slug);
    let prompts = Rule {
        kind: Some(CapabilityKind::Prompt),
        ..Rule::new("linear.*".parse().unwrap(), RuleAction::Block)
    };
    let set = PolicySet::new(organization(1), Arc::new(RuleList::new(vec![prompts])));
    assert_eq!(denied(&set, &subject), None);
    subject.capability.kind = CapabilityKind::Prompt;
    assert!(matches!(denied(&set, &subject), Some(Reason::Blocked { .. })));
}

#[test]
fn a_condition_that_cannot_be_evaluated_blocks() {
    let slug = slug();
    let rule = Rule {
        condition: Some("args.missing == true".into()),
        ..Rule::new("linear.*".parse().unwrap(), RuleAction::Allow)
    };
    let set = |rule| PolicySet::new(organization(1), Arc::new(RuleList::new(vec![rule])));
    let mut subject = subject(&slug);
    let arguments = serde_json::json!({ "dry_run": true });
    subject.capability.arguments = Arguments::Given(&arguments);
    assert!(matches!(denied(&set(rule.clone()), &subject), Some(Reason::Blocked { .. })));
    // Stored by an older or a broken program: no condition at all.
    let unreadable = Rule { condition: Some("dry_run".into()), ..rule };
    assert!(matches!(denied(&set(unreadable.clone()), &subject), Some(Reason::Blocked { .. })));
    subject.capability.arguments = Arguments::Unknown;
    assert!(matches!(listed(&set(unreadable), &subject), Listed::Hidden(Reason::Blocked { .. })));
}

#[test]
fn an_organization_can_hold_what_calls_itself_destructive() {
    let slug = slug();
    let mut subject = subject(&slug);
    subject.capability.destructive_hint = Some(true);
    assert_eq!(denied(&no_rules(), &subject), None, "off by default");
    let set = no_rules().hold_destructive(true);
    let Decision::RequireApproval { requirement, trace } = evaluate(&set, &subject, Purpose::Execute) else {
        panic!("held")
    };
    assert_eq!((trace.source, requirement), (Some(Source::HoldDestructive), ApprovalRequirement::default()));
    subject.capability.destructive_hint = Some(false);
    assert_eq!(denied(&set, &subject), None);
}

fn held(approvers: Approvers) -> PolicySet {
    let rule =
        Rule { approvers, ..Rule::new("linear.delete_issue".parse().unwrap(), RuleAction::RequireApproval) };
    PolicySet::new(organization(1), Arc::new(RuleList::new(vec![rule])))
}

fn approval(subject: &Subject<'_>, decided_by: Decider) -> ConsumedApproval {
    ConsumedApproval {
        id: ApprovalId::from_uuid(Uuid::from_u128(77)),
        organization: subject.requester.organization,
        requested_by: subject.requester.caller,
        connection: subject.connection.id,
        capability: "linear.delete_issue".parse().unwrap(),
        kind: CapabilityKind::Tool,
        decided_by,
    }
}

#[test]
fn an_approval_is_for_exactly_one_call_and_its_decider_must_still_satisfy_the_rules() {
    let slug = slug();
    let subject = subject(&slug);
    let set = held(Approvers::Admins);
    let admin = || Decider { member: member(9), role: Role::Admin, teams: vec![] };
    let good = approval(&subject, admin());
    let allowed = permit(evaluate(&set, &subject, Purpose::ExecuteApproved(&good)));
    assert_eq!(allowed.approval(), Some(good.id));

    let former_admin = Decider { role: Role::Member, ..admin() };
    let others = [
        approval(&subject, former_admin),
        ConsumedApproval { organization: organization(2), ..good.clone() },
        ConsumedApproval { requested_by: Caller::Member(member(2)), ..good.clone() },
        ConsumedApproval { connection: ConnectionId::from_uuid(Uuid::from_u128(6)), ..good.clone() },
        ConsumedApproval { capability: "linear.delete_team".parse().unwrap(), ..good.clone() },
        ConsumedApproval { capability: "~linear.delete_issue".parse().unwrap(), ..good.clone() },
        ConsumedApproval { kind: CapabilityKind::Prompt, ..good.clone() },
    ];
    for (index, other) in others.iter().enumerate() {
        let decision = evaluate(&set, &subject, Purpose::ExecuteApproved(other));
        assert!(matches!(decision, Decision::RequireApproval { .. }), "case {index}");
    }
}

#[test]
fn what_was_let_through_goes_on_until_it_is_blocked() {
    let slug = slug();
    let mut subject = subject(&slug);
    let set = held(Approvers::Admins);
    let underway = Underway {
        organization: subject.requester.organization,
        caller: subject.requester.caller,
        connection: subject.connection.id,
        capability: subject.capability.name.to_owned(),
        kind: subject.capability.kind,
        approval: Some(ApprovalId::from_uuid(Uuid::from_u128(77))),
    };
    let go_on = |set: &PolicySet, subject: &Subject<'_>, underway: &Underway| {
        evaluate(set, subject, Purpose::GoOn(underway))
    };
    assert_eq!(permit(go_on(&set, &subject, &underway)).approval(), underway.approval);
    let others = [
        Underway { organization: organization(2), ..underway.clone() },
        Underway { caller: Caller::Member(member(2)), ..underway.clone() },
        Underway { connection: ConnectionId::from_uuid(Uuid::from_u128(6)), ..underway.clone() },
        Underway { capability: "delete_team".into(), ..underway.clone() },
        Underway { kind: CapabilityKind::Prompt, ..underway.clone() },
    ];
    for (index, other) in others.iter().enumerate() {
        let decision = go_on(&set, &subject, other);
        assert!(matches!(decision, Decision::RequireApproval { .. }), "case {index}");
    }
    // Its arguments are not known any more: only what blocks without them does.
    let condition = Some("args.dry_run".to_owned());
    let depends = Rule { condition, ..Rule::new("linear.*".parse().unwrap(), RuleAction::Block) };
    let depends = PolicySet::new(organization(1), Arc::new(RuleList::new(vec![depends])));
    subject.capability.arguments = Arguments::Unknown;
    assert!(matches!(go_on(&depends, &subject, &underway), Decision::Allow(_)));
    let blocked = held(Approvers::Caller).with_member(rules(&[("*", RuleAction::Block)]));
    assert!(matches!(go_on(&blocked, &subject, &underway), Decision::Deny(_)));
    subject.requester.scopes = scopes(&[Scope::McpRead]);
    assert!(matches!(go_on(&set, &subject, &underway), Decision::Deny(_)));
}

#[test]
fn an_approval_opens_nothing_that_is_denied() {
    let slug = slug();
    let mut subject = subject(&slug);
    let good = approval(&subject, Decider { member: member(1), role: Role::Owner, teams: vec![] });
    let blocked = held(Approvers::Caller).with_member(rules(&[("*", RuleAction::Block)]));
    let denied = |set: &PolicySet, subject: &Subject<'_>| {
        matches!(evaluate(set, subject, Purpose::ExecuteApproved(&good)), Decision::Deny(_))
    };
    assert!(denied(&blocked, &subject));
    subject.requester.scopes = scopes(&[Scope::McpRead]);
    assert!(denied(&held(Approvers::Caller), &subject));
}
