//! One rule, in the shape people write it.

use std::fmt;

use serde::{Deserialize, Serialize};
use switchboard_domain::{CapabilityKind, CapabilityPattern, TeamId};

use crate::condition::{Condition, ConditionProblem};

/// Most rules of one list that may have a condition: each may be evaluated for a call.
pub const MAX_CONDITIONS: usize = 50;

/// What a rule does with what it matches; a later one is stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    Allow,
    RequireApproval,
    Block,
}

impl RuleAction {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::RequireApproval => "require_approval",
            Self::Block => "block",
        }
    }
}

impl fmt::Display for RuleAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who decides an approval: always a person, never the agent that asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approvers {
    /// The person whose agent asked; for a service account, the admins.
    #[default]
    Caller,
    Admins,
    /// Anybody in one of these teams.
    Teams(Vec<TeamId>),
}

/// `pattern → action`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub pattern: CapabilityPattern,
    pub action: RuleAction,
    /// The kind of capability it is about; `None` means every kind.
    #[serde(default)]
    pub kind: Option<CapabilityKind>,
    /// When it applies, see [`Condition`]; always without. A rule whose condition can't be evaluated blocks what its
    /// pattern matches, whatever its action: not knowing whether it applies must not let a call through.
    #[serde(default)]
    pub condition: Option<String>,
    #[serde(default)]
    pub approvers: Approvers,
    /// The person whose agent asked may not decide.
    #[serde(default)]
    pub second_person: bool,
}

impl Rule {
    pub fn new(pattern: CapabilityPattern, action: RuleAction) -> Self {
        Self {
            pattern,
            action,
            kind: None,
            condition: None,
            approvers: Approvers::default(),
            second_person: false,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", self.pattern, self.action)
    }
}

/// What is wrong with a rule that somebody wants to store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleProblem {
    #[error("{0}")]
    Condition(#[from] ConditionProblem),
    #[error(
        "its `condition` looks at hints, which are the provider's own claims, and a claim can't allow anything: use \
         \"require_approval\" or \"block\""
    )]
    HintAllows,
    #[error("more than {MAX_CONDITIONS} rules of the list have a `condition`")]
    TooManyConditions,
    #[error("`approvers` names no team, so nobody could approve: name one, or use \"caller\" or \"admins\"")]
    NoTeam,
    #[error(
        "`second_person` forbids the caller and `approvers` names only the caller, so nobody could approve: \
         use \"admins\" or teams"
    )]
    NobodyLeft,
}

/// The first rule of a list that can't be stored. Positions count from 1, as people do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule {position}: {problem}")]
pub struct RuleError {
    pub position: usize,
    pub problem: RuleProblem,
}

/// Checks rules before they are stored; patterns and words were checked when they were parsed.
pub fn check_rules(rules: &[Rule]) -> Result<(), RuleError> {
    let mut conditions = 0;
    rules.iter().enumerate().try_for_each(|(index, rule)| {
        conditions += usize::from(rule.condition.is_some());
        let problem =
            if conditions > MAX_CONDITIONS { Some(RuleProblem::TooManyConditions) } else { problem_of(rule) };
        match problem {
            Some(problem) => Err(RuleError { position: index + 1, problem }),
            None => Ok(()),
        }
    })
}

fn problem_of(rule: &Rule) -> Option<RuleProblem> {
    let condition = rule.condition.as_deref().map(Condition::compile).transpose();
    match (condition, &rule.approvers) {
        (Err(problem), _) => Some(problem.into()),
        (Ok(Some(condition)), _) if condition.uses_hints && rule.action == RuleAction::Allow => {
            Some(RuleProblem::HintAllows)
        }
        (_, Approvers::Teams(teams)) if teams.is_empty() => Some(RuleProblem::NoTeam),
        (_, Approvers::Caller) if rule.second_person => Some(RuleProblem::NobodyLeft),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: &str) -> Result<Rule, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn the_written_shape() {
        let team: TeamId = "team_00000000000000000000000007".parse().unwrap();
        let full = format!(
            r#"{{"pattern":"linear.*","action":"require_approval","kind":"tool","condition":null,"approvers":{{"teams":["{team}"]}},"second_person":true}}"#
        );
        let parsed = rule(&full).unwrap();
        assert_eq!(parsed.approvers, Approvers::Teams(vec![team]));
        assert_eq!(serde_json::to_string(&parsed).unwrap(), full);

        let short = rule(r#"{"pattern":"*","action":"block"}"#).unwrap();
        assert_eq!(short, Rule::new("*".parse().unwrap(), RuleAction::Block));
        assert_eq!(
            serde_json::to_string(&short).unwrap(),
            r#"{"pattern":"*","action":"block","kind":null,"condition":null,"approvers":"caller","second_person":false}"#
        );
        assert_eq!(
            rule(r#"{"pattern":"*","action":"allow","approvers":"admins"}"#).unwrap().approvers,
            Approvers::Admins
        );
    }

    #[test]
    fn a_malformed_rule_is_refused() {
        for bad in [
            r#"{"pattern":"linear.del*","action":"block"}"#,
            r#"{"pattern":"*","action":"deny"}"#,
            r#"{"pattern":"*","action":"block","kind":"agent"}"#,
            r#"{"pattern":"*","action":"block","aproval":true}"#,
            r#"{"pattern":"*","action":"block","approvers":"everyone"}"#,
            r#"{"action":"block"}"#,
        ] {
            assert!(rule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rule_that_nobody_could_satisfy_is_not_stored() {
        let base = Rule::new("*".parse().unwrap(), RuleAction::RequireApproval);
        let problem = |rule: Rule| check_rules(&[base.clone(), rule]).unwrap_err();
        assert_eq!(
            problem(Rule { condition: Some("true".into()), ..base.clone() }),
            RuleError { position: 2, problem: RuleProblem::Condition(ConditionProblem::Constant) }
        );
        let trusting = Rule {
            condition: Some("tool.read_only_hint == true".into()),
            action: RuleAction::Allow,
            ..base.clone()
        };
        assert_eq!(problem(trusting).problem, RuleProblem::HintAllows);
        let conditional = Rule { condition: Some("plan".into()), ..base.clone() };
        assert_eq!(check_rules(&vec![conditional.clone(); MAX_CONDITIONS]), Ok(()));
        let too_many = check_rules(&vec![conditional; MAX_CONDITIONS + 1]).unwrap_err();
        assert_eq!(
            (too_many.position, too_many.problem),
            (MAX_CONDITIONS + 1, RuleProblem::TooManyConditions)
        );
        assert_eq!(
            problem(Rule { approvers: Approvers::Teams(vec![]), ..base.clone() }).problem,
            RuleProblem::NoTeam
        );
        assert_eq!(problem(Rule { second_person: true, ..base.clone() }).problem, RuleProblem::NobodyLeft);
        assert_eq!(
            check_rules(&[Rule { second_person: true, approvers: Approvers::Admins, ..base.clone() }]),
            Ok(())
        );
    }
}
