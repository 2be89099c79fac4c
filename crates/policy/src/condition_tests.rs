use serde_json::json;
use switchboard_domain::Role;

use super::*;
use crate::evaluate::tests::{slug, subject};

fn holds_with(condition: &str, arguments: &Value) -> Holds {
    let slug = slug();
    let mut asked = subject(&slug);
    asked.capability.arguments = Arguments::Given(arguments);
    asked.capability.destructive_hint = Some(true);
    asked.requester.role = Role::Admin;
    let condition = Condition::compile(condition).unwrap_or_else(|error| panic!("{condition}: {error}"));
    Facts::new(asked.requester, asked.connection, asked.capability).holds(&condition)
}

#[test]
fn what_may_be_asked() {
    let arguments = json!({
        "amount": 100, "price": 2.5, "to": ["ana@example.com", "eve@evil.example"], "nested": { "deep": [1, 2] },
        "note": "überweisen", "none": null, "big": 18_446_744_073_709_551_615_u64
    });
    for yes in [
        "args.amount == 100 && args.amount >= 100 && args.amount < 101",
        "args.amount > 99.5 && args.price > 2 && args.price < 3",
        "args.big > 9223372036854775807u",
        "args.to.exists(it, !it.endsWith('@example.com'))",
        "!args.to.all(it, it.endsWith('@example.com'))",
        "has(args.amount) && !has(args.missing)",
        "has(args.missing) ? args.missing > 5 : true",
        "'ana@example.com' in args.to && size(args.to) == 2",
        "args.nested.deep[1] == 2 && args['note'].startsWith('über') && args.note.contains('weis')",
        "args.none == null && args.note != 'x'",
        "args.note in ['überweisen', 'zahlen']",
        "tool.name == 'delete_issue' && tool.kind == 'tool' && tool.destructive_hint == true",
        "tool.read_only_hint != true",
        "connection.slug == 'linear' && !connection.personal && !plan",
        "caller.kind == 'member' && caller.role == 'admin' && caller.teams == []",
    ] {
        assert_eq!(holds_with(yes, &arguments), Holds::Yes, "{yes}");
    }
    for no in ["args.amount > 100", "args.to == []", "args.missing == 1 && false && plan", "plan"] {
        assert_eq!(holds_with(no, &arguments), Holds::No, "{no}");
    }
}

#[test]
fn what_cannot_be_told_is_unknown() {
    let arguments = json!({ "amount": "100", "to": "ana@example.com", "list": [1, "x"] });
    for unknown in [
        "args.missing == 1",
        "args.amount > 5",
        "args.to.all(it, it == 'x')",
        "args.list.all(it, it > 0)",
        "args.amount",
        "args.to[0] == 'a'",
        "args.amount.deep == 1",
        "size(args.missing) > 1",
        "caller.email == 'x'",
    ] {
        assert_eq!(holds_with(unknown, &arguments), Holds::Unknown, "{unknown}");
    }
}

#[test]
fn without_a_call_what_looks_at_arguments_depends() {
    let slug = slug();
    let asked = subject(&slug);
    let holds = |condition: &str| {
        let condition = Condition::compile(condition).unwrap();
        Facts::new(asked.requester, asked.connection, asked.capability).holds(&condition)
    };
    assert_eq!(holds("args.amount > 1"), Holds::Depends);
    assert_eq!(holds("!plan"), Holds::Yes);
    assert_eq!(holds("tool.destructive_hint == true"), Holds::No);
}

#[test]
fn what_has_no_bound_or_no_sense_is_refused() {
    use ConditionProblem as P;
    let problem = |source: &str| Condition::compile(source).map(drop).unwrap_err();
    for source in ["args.a >", "args.a = 1", "", "args.a ==== 1", "\u{0}", "'", "args.a &&"] {
        assert!(matches!(problem(source), P::NotAnExpression(_)), "{source}: {:?}", problem(source));
    }
    for source in ["arguments.a == 1", "x", "args.a == y", "timestamp == 1"] {
        assert!(matches!(problem(source), P::UnknownName(_)), "{source}: {:?}", problem(source));
    }
    for source in [
        "args.a + 1 > 2",
        "args.list.map(it, it) == []",
        "args.list.filter(it, it > 1) == []",
        "args.list.exists_one(it, it > 1)",
        "args.a.matches('(a+)+')",
        "string(args.a) == 'x'",
        "timestamp(args.a) > timestamp(args.b)",
        "args.a == b'x'",
        "getHostByName(args.a)",
    ] {
        assert!(matches!(problem(source), P::NotAvailable(_)), "{source}: {:?}", problem(source));
    }
    assert_eq!(problem("args.a.all(x, args.b.all(y, x == y))"), P::NestedLists);
    for constant in ["true", "1 < 2", "'a' in ['a']", "[1].all(x, x == 1)"] {
        assert_eq!(problem(constant), P::Constant, "{constant}");
    }
    assert_eq!(problem(&"a".repeat(MAX_CONDITION_BYTES + 1)), P::TooLong);
}

/// The parser and the evaluator go into each bracket: a text made to exhaust the stack is refused before.
#[test]
fn deep_texts_are_refused_and_exhaust_nothing() {
    for (part, end) in [("(", ")"), ("[", "]"), ("{'a':", "}"), ("!", ""), ("-", ""), ("true?plan:", "plan")]
    {
        for count in [20, 200, 900] {
            let end = end.repeat(if end.len() == 1 { count } else { 1 });
            let source: String = format!("{}plan{end}", part.repeat(count)).chars().take(1_000).collect();
            drop(Condition::compile(&source));
        }
    }
    for chain in ["plan && ", "plan || ", "plan == ", "args.a < "] {
        let source = format!("{}plan", chain.repeat(110));
        assert!(Condition::compile(&source).is_err(), "{chain}");
    }
    let members = format!("args{} == 1", ".a".repeat(400));
    assert_eq!(Condition::compile(&members).map(drop).unwrap_err(), ConditionProblem::TooLarge);
}

#[test]
fn what_would_cost_too_much_is_not_evaluated() {
    let short = json!({ "list": vec!["x"; 100] });
    let long = json!({ "list": vec!["x".repeat(64); 20_000] });
    let condition = "args.list.all(it, it in args.list)";
    assert_eq!(holds_with(condition, &short), Holds::Yes);
    assert_eq!(holds_with(condition, &long), Holds::Unknown);
    let large = json!({ "list": [], "text": "x".repeat(1_000_000) });
    assert_eq!(holds_with("args.text.contains('y')", &large), Holds::No, "once through it is fine");
}
