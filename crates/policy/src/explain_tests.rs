use std::sync::Arc;

use switchboard_domain::CapabilityState;

use super::*;
use crate::{
    evaluate::tests::{no_rules, rules, slug, subject},
    set::RuleList,
    subject::Arguments,
};

#[test]
fn an_explanation_names_every_match_and_the_one_that_decides() {
    let slug = slug();
    let set = no_rules()
        .with_toolkit(rules(&[("x.*", RuleAction::Block), ("linear.*", RuleAction::RequireApproval)]))
        .with_member(rules(&[("*", RuleAction::Allow)]));
    let explained = explain(&set, &subject(&slug));
    assert_eq!(
        (explained.capability.as_str(), explained.decision),
        ("linear.delete_issue", "require_approval")
    );
    let matches: Vec<_> =
        explained.matches.iter().map(|found| (found.layer, found.position, found.decides)).collect();
    assert_eq!(matches, [("toolkit", 2, true), ("member", 1, false)]);
    assert_eq!(
        explained.sentence,
        "linear.delete_issue needs an approval because of rule 2 of the toolkit (`linear.*` → require_approval); \
         of the rules that match, the strictest wins"
    );
    assert!(explained.approval.is_some());
    let json = serde_json::to_value(&explained).unwrap();
    assert_eq!(json["matches"][0]["rule"]["pattern"], "linear.*");
}

#[test]
fn sentences_for_people() {
    let slug = slug();
    let allowed = subject(&slug);
    let sentence = |set: &PolicySet, subject: &Subject<'_>| explain(set, subject).sentence;
    assert_eq!(
        sentence(&no_rules(), &allowed),
        "linear.delete_issue is allowed: the connection is granted and no rule matches"
    );
    let mut ungranted = allowed;
    ungranted.connection.granted = false;
    let explained = explain(&no_rules(), &ungranted);
    assert_eq!((explained.decision, explained.reason), ("deny", Some("not_granted")));
    assert_eq!(
        explained.sentence,
        "linear.delete_issue is refused: no grant of the connection reaches the caller"
    );
    let mut held = allowed;
    held.capability.state = CapabilityState::Held;
    assert_eq!(
        sentence(&no_rules(), &held),
        "linear.delete_issue is refused: the capability's definition changed and waits for an admin's review"
    );
    let blocked = no_rules().with_member(rules(&[("*.delete_issue", RuleAction::Block)]));
    assert_eq!(
        sentence(&blocked, &allowed),
        "linear.delete_issue is blocked by rule 1 of the member (`*.delete_issue` → block)"
    );
    let mut destructive = allowed;
    destructive.capability.destructive_hint = Some(true);
    assert!(
        sentence(&no_rules().hold_destructive(true), &destructive)
            .contains("its provider calls it destructive")
    );
}

fn conditional(condition: &str, action: RuleAction) -> PolicySet {
    let rule = Rule { condition: Some(condition.into()), ..Rule::new("linear.*".parse().unwrap(), action) };
    no_rules().with_toolkit(Arc::new(RuleList::new(vec![rule])))
}

#[test]
fn a_condition_is_named_as_the_cause() {
    let slug = slug();
    let arguments = serde_json::json!({ "amount": "many" });
    let mut asked = subject(&slug);
    asked.capability.arguments = Arguments::Given(&arguments);
    let explained = explain(&conditional("args.amount > 5", RuleAction::Allow), &asked);
    assert_eq!((explained.decision, explained.reason), ("deny", Some("blocked")));
    assert!(explained.sentence.contains("has a condition that can't be evaluated"), "{}", explained.sentence);
    let broken = explain(&conditional("args.amount >", RuleAction::Allow), &asked);
    assert_eq!(broken.decision, "deny");
}

#[test]
fn without_arguments_it_says_what_it_is_up_to() {
    let slug = slug();
    let set = conditional("args.amount > 5", RuleAction::Block);
    let explained = explain(&set, &subject(&slug));
    assert_eq!((explained.decision, explained.reason), ("depends", None));
    assert_eq!(
        explained.sentence,
        "linear.delete_issue is up to its arguments: rule 1 of the toolkit (`linear.*` → block) applies when \
         `args.amount > 5`"
    );
    let anyway = set.with_member(rules(&[("*", RuleAction::Block)]));
    assert_eq!(explain(&anyway, &subject(&slug)).decision, "deny");
    for (amount, decision) in [(5, "allow"), (6, "deny")] {
        let arguments = serde_json::json!({ "amount": amount });
        let mut asked = subject(&slug);
        asked.capability.arguments = Arguments::Given(&arguments);
        let set = conditional("args.amount > 5", RuleAction::Block);
        assert_eq!(explain(&set, &asked).decision, decision);
    }
}
