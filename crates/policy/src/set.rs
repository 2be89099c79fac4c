//! The rules that apply to one request, indexed.
//!
//! A capability can be matched by four patterns only: `a.b`, `a.*`, `*.b` and `*`. For each of them a list
//! remembers its first rule per kind, so that finding a list's first match costs at most two look-ups however
//! long the list is, and none on a connection where no rule names a single capability.

use std::{collections::HashMap, fmt, sync::Arc};

use foldhash::fast::RandomState;
use switchboard_domain::{CapabilityKind, OrganizationId};

use crate::rule::Rule;

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
    /// By slug as written, with `~` when personal.
    by_connection: ByText<Named>,
    /// `*.name`
    by_name: ByText<First>,
    /// `*`
    all: First,
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
    pub(crate) fn on(&self, prefix: &str) -> ListOnConnection<'_> {
        ListOnConnection { list: self, named: self.by_connection.get(prefix) }
    }
}

/// A list with its connection looked up already.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListOnConnection<'a> {
    list: &'a RuleList,
    named: Option<&'a Named>,
}

impl<'a> ListOnConnection<'a> {
    /// Whether two capabilities of one kind can match different rules.
    pub(crate) fn depends_on_name(&self) -> bool {
        !self.list.by_name.is_empty() || self.named.is_some_and(|named| !named.by_name.is_empty())
    }

    /// The first rule that matches, with its index.
    pub(crate) fn first_match(&self, name: &str, kind: CapabilityKind) -> Option<(u32, &'a Rule)> {
        let of = |first: Option<&First>| first.map_or(NONE, |first| first.of(kind));
        let mut index = self.list.all.of(kind).min(of(self.list.by_name.get(name)));
        if let Some(named) = self.named {
            index = index.min(named.all.of(kind)).min(of(named.by_name.get(name)));
        }
        self.list.rules.get(index as usize).map(|rule| (index, rule))
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
