//! Which rule decides and why, in words.

use std::fmt;

use serde::Serialize;

use crate::{
    approval::ApprovalRequirement,
    decision::{Decision, Reason, Source},
    evaluate::Purpose,
    rule::{Rule, RuleAction},
    set::PolicySet,
    subject::Subject,
};

/// The rule of one list that matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerMatch {
    /// `organization`, `toolkit` or `member`.
    pub layer: &'static str,
    /// Position in its list, counted from 1.
    pub position: u32,
    pub rule: Rule,
    /// Whether this one decided.
    pub decides: bool,
    /// Whether it has a condition on arguments, and none were given.
    pub depends: bool,
}

/// The decision on an execute, and how it came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// `linear.create_issue`
    pub capability: String,
    /// `allow`, `require_approval`, `deny`; `depends` where that is up to the arguments and none were given.
    pub decision: &'static str,
    /// Why it is denied: a word such as `not_granted` or `blocked`.
    pub reason: Option<&'static str>,
    /// The first matching rule of each list, and those before it that may apply; lists without a match are left out.
    pub matches: Vec<LayerMatch>,
    /// Who may approve.
    pub approval: Option<ApprovalRequirement>,
    /// A sentence for people.
    pub sentence: String,
}

/// Explains what [`crate::evaluate`] answers to an execute; it asks that very function.
pub fn explain(set: &PolicySet, subject: &Subject<'_>) -> Explanation {
    let connection = set.on_connection(subject.requester, subject.connection);
    let decision = connection.execute(&subject.capability, Purpose::Execute);
    let deciding = match &decision {
        Decision::Allow(permit) => permit.trace().source,
        Decision::RequireApproval { trace, .. } => trace.source,
        Decision::Deny(Reason::Blocked { source }) => Some(*source),
        Decision::Deny(_) => None,
    };
    let answers = connection.answers(&subject.capability);
    let matches: Vec<LayerMatch> = answers
        .all()
        .map(|found| LayerMatch {
            layer: found.layer.as_str(),
            position: found.index.saturating_add(1),
            rule: found.rule.clone(),
            decides: deciding == Some(Source::Rule { layer: found.layer, index: found.index }),
            depends: found.depends,
        })
        .collect();
    let capability = Named(subject).to_string();
    let certain = answers.all().any(|found| !found.depends && found.effect == RuleAction::Block);
    if let (Decision::Deny(Reason::Blocked { .. }), false, Some(first)) =
        (&decision, certain, matches.iter().find(|found| found.depends))
    {
        let LayerMatch { layer, position, rule, .. } = first;
        let condition = rule.condition.as_deref().unwrap_or_default();
        let sentence = format!(
            "{capability} is up to its arguments: rule {position} of the {layer} (`{}` → {}) applies when `{condition}`",
            rule.pattern, rule.action
        );
        let matches = matches.into_iter().map(|found| LayerMatch { decides: false, ..found }).collect();
        return Explanation {
            capability,
            decision: "depends",
            reason: None,
            matches,
            approval: None,
            sentence,
        };
    }
    let sentence = sentence(&capability, &decision, deciding, &matches);
    let (decision, reason, approval) = match decision {
        Decision::Allow(_) => ("allow", None, None),
        Decision::RequireApproval { requirement, .. } => ("require_approval", None, Some(requirement)),
        Decision::Deny(reason) => ("deny", Some(reason.as_str()), None),
    };
    Explanation { capability, decision, reason, matches, approval, sentence }
}

struct Named<'a>(&'a Subject<'a>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tilde = if self.0.connection.is_personal() { "~" } else { "" };
        write!(f, "{tilde}{}.{}", self.0.connection.slug, self.0.capability.name)
    }
}

fn sentence(
    capability: &str,
    decision: &Decision,
    deciding: Option<Source>,
    matches: &[LayerMatch],
) -> String {
    let by = matches.iter().find(|found| found.decides).map(|found| {
        let LayerMatch { layer, position, rule, .. } = found;
        format!("rule {position} of the {layer} (`{}` → {})", rule.pattern, rule.action)
    });
    let others = if matches.len() > 1 { "; of the rules that match, the strictest wins" } else { "" };
    match (decision, by) {
        (Decision::Deny(Reason::Blocked { .. }), Some(by)) => {
            match matches.iter().find(|found| found.decides) {
                Some(found) if found.rule.condition.is_some() && found.rule.action != RuleAction::Block => {
                    format!(
                        "{capability} is blocked: {by} has a condition that can't be evaluated for this call, and such a rule blocks"
                    )
                }
                _ => format!("{capability} is blocked by {by}{others}"),
            }
        }
        (Decision::Deny(reason), _) => format!("{capability} is refused: {reason}"),
        (Decision::RequireApproval { .. }, Some(by)) => {
            format!("{capability} needs an approval because of {by}{others}")
        }
        (Decision::RequireApproval { .. }, None) => format!(
            "{capability} needs an approval: its provider calls it destructive, and the organization holds such capabilities"
        ),
        (Decision::Allow(_), Some(by)) => format!("{capability} is allowed by {by}{others}"),
        (Decision::Allow(_), None) if deciding.is_none() => {
            format!("{capability} is allowed: the connection is granted and no rule matches")
        }
        (Decision::Allow(_), None) => format!("{capability} is allowed"),
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
