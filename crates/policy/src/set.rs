//! The rules that apply to one request, indexed.
//!
//! A capability can be matched by four patterns only: `a.b`, `a.*`, `*.b` and `*`. For each of them a list
//! remembers its first rule per kind, so that finding a list's first match costs at most two look-ups however
//! long the list is, and none on a connection where no rule names a single capability. Rules with a condition are
//! few and are looked at one by one, up to the first that always applies.

use std::{collections::HashMap, fmt, sync::Arc};

use foldhash::fast::RandomState;
use switchboard_domain::{CapabilityKind, OrganizationId};

use crate::{
    condition::{Condition, Facts, Holds},
    rule::{Rule, RuleAction},
};

/// Whose list a rule is in, in the order they are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    Organization,
    Toolkit,
    Member,
}

impl Layer {
    pub const ALL: [Self; 3] = [Self::Organization, Self::Toolkit, Self::Member];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Toolkit => "toolkit",
            Self::Member => "member",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Index of the first rule for each kind of capability; [`NONE`] where there is none.
#[derive(Debug, Clone, Copy)]
struct First([u32; 3]);

const NONE: u32 = u32::MAX;

impl First {
    const EMPTY: Self = Self([NONE; 3]);

    /// Rules are added in order, so what is there already comes first.
    fn add(&mut self, index: u32, kind: Option<CapabilityKind>) {
        for each in [CapabilityKind::Tool, CapabilityKind::Prompt, CapabilityKind::Resource] {
            let slot = &mut self.0[each as usize];
            if *slot == NONE && kind.is_none_or(|kind| kind == each) {
                *slot = index;
            }
        }
    }

    fn of(&self, kind: CapabilityKind) -> u32 {
        self.0[kind as usize]
    }
}

/// Keyed by what rules name, which only members of the organization write: a fast hash will do.
type ByText<T> = HashMap<Box<str>, T, RandomState>;

/// Rules on one named connection: for single names and for all of it.
#[derive(Debug, Clone)]
struct Named {
    by_name: ByText<First>,
    all: First,
}

/// One ordered list of rules, compiled. Compile once and share; a list belongs in a cache, not in a request.
#[derive(Debug, Default)]
pub struct RuleList {
    rules: Vec<Rule>,
    conditional: Vec<Conditional>,
    /// By slug as written, with `~` when personal.
    by_connection: ByText<Named>,
    /// `*.name`
    by_name: ByText<First>,
    /// `*`
    all: First,
}

/// A rule with a condition, by its index; without one that could be compiled, it blocks what its pattern matches.
#[derive(Debug)]
struct Conditional {
    index: u32,
    condition: Option<Condition>,
}

/// A rule that has a say in a decision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Match<'a> {
    pub(crate) layer: Layer,
    pub(crate) index: u32,
    pub(crate) rule: &'a Rule,
    /// Its action; block where its condition can't be evaluated.
    pub(crate) effect: RuleAction,
    /// Whether it applies only to some arguments.
    pub(crate) depends: bool,
}

/// What one list says of a capability.
#[derive(Debug, Default)]
pub(crate) struct ListAnswer<'a> {
    /// Its first match.
    pub(crate) first: Option<Match<'a>>,
    /// Rules before it that look at hints: they tighten, and don't stand in for what comes after them.
    pub(crate) also: Vec<Match<'a>>,
    /// Rules before it that may or may not apply, when there is no call to tell by.
    pub(crate) depending: Vec<Match<'a>>,
}

impl<'a> ListAnswer<'a> {
    /// The mildest that the list can come to: what depends on arguments may turn out either way.
    pub(crate) fn mildest(&self) -> Option<Match<'a>> {
        let first = self.first?;
        let milder = self.depending.iter().filter(|found| found.effect < first.effect);
        Some(milder.min_by_key(|found| found.effect).copied().unwrap_or(first))
    }
}

impl Default for First {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl RuleList {
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut list = Self::default();
        for (index, rule) in (0..NONE).zip(&rules) {
            if let Some(source) = &rule.condition {
                list.conditional.push(Conditional { index, condition: Condition::compile(source).ok() });
                continue;
            }
            let slot = match (rule.pattern.slug(), rule.pattern.name()) {
                (Some(slug), name) => {
                    let named = list
                        .by_connection
                        .entry(slug.into())
                        .or_insert_with(|| Named { by_name: ByText::default(), all: First::EMPTY });
                    match name {
                        Some(name) => named.by_name.entry(name.into()).or_default(),
                        None => &mut named.all,
                    }
                }
                (None, Some(name)) => list.by_name.entry(name.into()).or_default(),
                (None, None) => &mut list.all,
            };
            slot.add(index, rule.kind);
        }
        list.rules = rules;
        list
    }

    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// This list as seen from one connection.
    pub(crate) fn on(&self, layer: Layer, prefix: &str) -> ListOnConnection<'_> {
        ListOnConnection { layer, list: self, named: self.by_connection.get(prefix) }
    }
}

/// A list with its connection looked up already.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListOnConnection<'a> {
    layer: Layer,
    list: &'a RuleList,
    named: Option<&'a Named>,
}

impl<'a> ListOnConnection<'a> {
    /// Whether two capabilities of one kind can match different rules.
    pub(crate) fn depends_on_name(&self) -> bool {
        !self.list.by_name.is_empty() || self.named.is_some_and(|named| !named.by_name.is_empty())
    }

    pub(crate) fn has_conditions(&self) -> bool {
        !self.list.conditional.is_empty()
    }

    /// What the list says: its rules with conditions in their order, up to the first that always applies.
    pub(crate) fn answer(&self, prefix: &str, facts: &mut Facts<'_>) -> ListAnswer<'a> {
        let (name, kind) = facts.capability();
        let always = self.first_match(name, kind);
        let mut answer = ListAnswer::default();
        for conditional in &self.list.conditional {
            if always.is_some_and(|always| always.index < conditional.index) {
                break;
            }
            let Some(rule) = self.list.rules.get(conditional.index as usize) else { break };
            let concerns =
                rule.kind.is_none_or(|wanted| wanted == kind) && rule.pattern.matches(prefix, name);
            if !concerns {
                continue;
            }
            let holds = conditional.condition.as_ref().map_or(Holds::Unknown, |found| facts.holds(found));
            let hints = conditional.condition.as_ref().is_some_and(|found| found.uses_hints);
            let effect = if holds == Holds::Unknown { RuleAction::Block } else { rule.action };
            let depends = holds == Holds::Depends;
            let found = Match { layer: self.layer, index: conditional.index, rule, effect, depends };
            match holds {
                Holds::No => {}
                Holds::Depends => answer.depending.push(found),
                Holds::Yes if hints => answer.also.push(found),
                Holds::Yes | Holds::Unknown => {
                    answer.first = Some(found);
                    return answer;
                }
            }
        }
        answer.first = always;
        answer
    }

    /// The first rule without a condition that matches.
    pub(crate) fn first_match(&self, name: &str, kind: CapabilityKind) -> Option<Match<'a>> {
        let of = |first: Option<&First>| first.map_or(NONE, |first| first.of(kind));
        let mut index = self.list.all.of(kind).min(of(self.list.by_name.get(name)));
        if let Some(named) = self.named {
            index = index.min(named.all.of(kind)).min(of(named.by_name.get(name)));
        }
        let rule = self.list.rules.get(index as usize)?;
        Some(Match { layer: self.layer, index, rule, effect: rule.action, depends: false })
    }
}

/// Everything that decides one request: loaded once, no query per capability.
#[derive(Debug, Clone)]
pub struct PolicySet {
    organization: OrganizationId,
    lists: [Option<Arc<RuleList>>; 3],
    hold_destructive: bool,
}

impl PolicySet {
    /// The rules of an organization. Whoever can't load them has no policy set and therefore no decision.
    pub fn new(organization: OrganizationId, rules: Arc<RuleList>) -> Self {
        Self { organization, lists: [Some(rules), None, None], hold_destructive: false }
    }

    /// Adds the rules of the toolkit that the request came in on.
    #[must_use]
    pub fn with_toolkit(mut self, rules: Arc<RuleList>) -> Self {
        self.lists[Layer::Toolkit as usize] = Some(rules);
        self
    }

    /// Adds the member's own rules.
    #[must_use]
    pub fn with_member(mut self, rules: Arc<RuleList>) -> Self {
        self.lists[Layer::Member as usize] = Some(rules);
        self
    }

    /// Whether capabilities that call themselves destructive need an approval: an organization's setting.
    #[must_use]
    pub fn hold_destructive(mut self, hold: bool) -> Self {
        self.hold_destructive = hold;
        self
    }

    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    pub(crate) fn holds_destructive(&self) -> bool {
        self.hold_destructive
    }

    pub(crate) fn list(&self, layer: Layer) -> Option<&RuleList> {
        self.lists[layer as usize].as_deref()
    }

    /// The rule behind a [`crate::Source`]; the index counts from 0.
    pub fn rule(&self, layer: Layer, index: u32) -> Option<&Rule> {
        self.list(layer)?.rules.get(index as usize)
    }
}
