//! What the rules say of a tool, in words.

use switchboard_policy::{Explanation, Rule, RuleAction};

/// What becomes of a call.
pub(crate) struct Fate {
    pub(crate) word: &'static str,
    /// The class of its look.
    pub(crate) tone: &'static str,
    /// Says the same without colour.
    pub(crate) sign: &'static str,
    /// The rule that decides.
    pub(crate) rule: Option<DecidingRule>,
}

pub(crate) struct DecidingRule {
    /// `organization`, `toolkit` or `member`.
    pub(crate) layer: &'static str,
    pub(crate) position: u32,
    pub(crate) pattern: String,
}

impl Fate {
    pub(crate) fn of(explanation: &Explanation) -> Self {
        let (word, tone, sign) = match (explanation.decision, explanation.reason) {
            ("allow", _) => ("Allowed", "good", "✓"),
            ("require_approval", _) => ("Needs approval", "ask", "→"),
            ("depends", _) => ("Up to its arguments", "ask", "?"),
            (_, Some("changed")) => ("Waits for review", "ask", "→"),
            (_, Some("blocked")) => ("Blocked", "bad", "!"),
            _ => ("Refused", "bad", "!"),
        };
        let deciding = explanation.matches.iter().find(|found| found.decides || found.depends);
        let rule = deciding.map(|found| DecidingRule {
            layer: found.layer,
            position: found.position,
            pattern: found.rule.pattern.to_string(),
        });
        Self { word, tone, sign, rule }
    }
}

impl DecidingRule {
    pub(crate) fn whose(&self) -> &'static str {
        match self.layer {
            "organization" => "the organization's",
            "toolkit" => "the toolkit's",
            _ => "the member's own",
        }
    }
}

/// A rule's action: in words, the class of its look, the same without colour.
pub(crate) const fn action_in_words(action: RuleAction) -> (&'static str, &'static str, &'static str) {
    match action {
        RuleAction::Allow => ("Allowed", "good", "✓"),
        RuleAction::RequireApproval => ("Needs approval", "ask", "→"),
        RuleAction::Block => ("Blocked", "bad", "!"),
    }
}

pub(crate) fn list_in_words(layer: &str) -> &'static str {
    match layer {
        "organization" => "Organization",
        "toolkit" => "Toolkit",
        _ => "Member",
    }
}

/// An earlier rule of the list that always applies to all that this one matches, so that this one never counts.
pub(crate) fn covering(rules: &[Rule], index: usize) -> Option<usize> {
    let rule = rules.get(index)?;
    let within = |wide: Option<&str>, narrow: Option<&str>| wide.is_none() || wide == narrow;
    rules[..index].iter().position(|earlier| {
        earlier.condition.is_none()
            && (earlier.kind.is_none() || earlier.kind == rule.kind)
            && within(earlier.pattern.slug(), rule.pattern.slug())
            && within(earlier.pattern.name(), rule.pattern.name())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: &str, condition: Option<&str>) -> Rule {
        let rule = Rule::new(pattern.parse().unwrap(), RuleAction::Block);
        Rule { condition: condition.map(str::to_owned), ..rule }
    }

    #[test]
    fn a_rule_after_one_that_matches_all_of_it_never_counts() {
        let rules = [
            rule("linear.*", Some("plan")),
            rule("linear.delete_issue", None),
            rule("*.search", None),
            rule("linear.*", None),
            rule("linear.create_issue", None),
            rule("*", None),
            rule("~linear.search", None),
        ];
        let covered: Vec<Option<usize>> = (0..rules.len()).map(|index| covering(&rules, index)).collect();
        assert_eq!(covered, [None, None, None, None, Some(3), None, Some(2)]);
    }
}
