//! What patterns reach, and what the rules say of it: for whoever writes a toolkit or a rule, before it is in force.
//!
//! Nothing is called with an answer of this module, and whether somebody holds a grant plays no part in it: it says what
//! becomes of whoever does. Connections that the caller may not see are left out and not counted.

use std::collections::{BTreeSet, HashMap, HashSet};

use switchboard_catalog::host_of;
use switchboard_domain::{
    Availability, CapabilityKind, CapabilityPattern, CapabilityState, ConnectionId, ConnectionOwner,
    Principal, ToolkitId,
};
use switchboard_policy::{
    Arguments, CapabilityFacts, ConnectionFacts, Explanation, Listed, PolicySet, Subject, explain,
};

use super::{Operation, Refusal, Target, ToolkitView, authorize, tool::hypothetical};
use crate::{Broker, CallContext, Capability, Known, Snapshot};

/// Whose rules are asked beside the organization's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RulesOf {
    pub toolkit: Option<ToolkitId>,
    /// The caller's own as well.
    pub own: bool,
}

/// How much of the answer is wanted: counting is cheap, every tool that is shown is explained.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// Tools of each connection.
    pub each: usize,
    /// Tools of all of them together.
    pub all: usize,
}

/// What patterns reach among what the caller may see.
#[derive(Debug)]
pub struct Reach {
    /// By name; one that they name as a whole also while it lists no tool yet.
    pub connections: Vec<ReachedConnection>,
    pub tools: usize,
    /// They name every connection, or personal ones: of whoever calls, that person's own are reached as well.
    pub reaches_personal: bool,
    /// Patterns that reach nothing the caller sees.
    pub idle: Vec<String>,
}

#[derive(Debug)]
pub struct ReachedConnection {
    pub id: ConnectionId,
    pub name: String,
    /// As it stands in patterns: with `~` where it is personal.
    pub prefix: String,
    pub host: String,
    pub is_personal: bool,
    pub enabled: bool,
    /// How many of its tools they reach, and how many it has.
    pub tools: usize,
    pub of: usize,
    /// The first of them, by name.
    pub shown: Vec<ReachedTool>,
}

/// How much one pattern reaches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reached {
    pub tools: usize,
    pub connections: usize,
}

/// What a pattern may name: whole connections, and tools.
#[derive(Debug, Default)]
pub struct Nameable {
    /// The first that fit, by name.
    pub connections: Vec<NameableConnection>,
    /// The first that fit, as patterns name them.
    pub tools: Vec<String>,
    /// How many fit.
    pub connections_total: usize,
    pub tools_total: usize,
}

#[derive(Debug)]
pub struct NameableConnection {
    pub pattern: String,
    pub name: String,
    pub tools: usize,
}

#[derive(Debug)]
pub struct ReachedTool {
    pub name: String,
    /// What becomes of a call.
    pub explanation: Explanation,
}

/// What stands on a toolkit's card.
#[derive(Debug, Default)]
pub struct ToolkitSummary {
    pub tools: usize,
    /// The connections behind it that the caller may see, by name: id, name and host.
    pub connections: Vec<(ConnectionId, String, String)>,
}

/// Patterns, sorted by what they name, so that a connection is asked about few of them.
struct Patterns<'p> {
    everything: bool,
    connections: HashSet<&'p str>,
    names: Vec<&'p str>,
    both: HashMap<&'p str, Vec<&'p str>>,
}

impl<'p> Patterns<'p> {
    fn of(patterns: &'p [CapabilityPattern]) -> Self {
        let mut sorted =
            Self { everything: false, connections: HashSet::new(), names: Vec::new(), both: HashMap::new() };
        for pattern in patterns {
            match (pattern.slug(), pattern.name()) {
                (None, None) => sorted.everything = true,
                (Some(slug), None) => drop(sorted.connections.insert(slug)),
                (None, Some(name)) => sorted.names.push(name),
                (Some(slug), Some(name)) => sorted.both.entry(slug).or_default().push(name),
            }
        }
        sorted
    }

    /// Names of the tools that they reach on a connection, out of `tools`, which are sorted.
    fn on<'k>(&self, prefix: &str, tools: &[&'k str]) -> Vec<&'k str> {
        if self.name_all_of(prefix) {
            return tools.to_vec();
        }
        let here = self.both.get(prefix).into_iter().flatten();
        let wanted: BTreeSet<&str> = self.names.iter().chain(here).copied().collect();
        let found = wanted.iter().filter_map(|name| tools.binary_search(name).ok());
        found.map(|index| tools[index]).collect()
    }

    fn name_all_of(&self, prefix: &str) -> bool {
        self.everything || self.connections.contains(prefix)
    }

    fn reach_personal(&self) -> bool {
        let personal = |slug: &&str| slug.starts_with('~');
        self.everything
            || !self.names.is_empty()
            || self.connections.iter().any(&personal)
            || self.both.keys().any(personal)
    }
}

/// Texts as patterns; one that is none was refused when it was stored, and reaches nothing.
fn parsed(patterns: &[String]) -> Vec<CapabilityPattern> {
    patterns.iter().filter_map(|pattern| pattern.parse().ok()).collect()
}

/// Who looks, and by which rules.
struct Sight<'s> {
    principal: &'s Principal,
    context: CallContext,
    set: PolicySet,
}

impl Sight<'_> {
    /// The tools of a connection that exist for us, by name: to whoever does not manage it those that the rules show.
    fn tools<'k>(&self, known: &'k Known) -> Vec<&'k str> {
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let manages = authorize(self.principal, Operation::ReadReview, target).is_ok();
        let on = self.set.on_connection(self.context.requester(), open_facts(known, &self.context));
        let all = known.catalog.capabilities.iter().filter(|(name, capability)| {
            capability.kind == CapabilityKind::Tool
                && capability.state != CapabilityState::Gone
                && known.connection.tools.admits(name)
                && (manages || matches!(on.list(&facts(name, capability)), Listed::Shown(_)))
        });
        let mut names: Vec<&str> = all.map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names
    }

    fn explained(&self, known: &Known, name: &str) -> Option<ReachedTool> {
        let capability = known.catalog.capabilities.get(name)?;
        let subject = Subject {
            requester: self.context.requester(),
            connection: open_facts(known, &self.context),
            capability: facts(name, capability),
        };
        Some(ReachedTool { name: name.to_owned(), explanation: explain(&self.set, &subject) })
    }
}

fn facts<'k>(name: &'k str, capability: &Capability) -> CapabilityFacts<'k> {
    CapabilityFacts {
        name,
        kind: CapabilityKind::Tool,
        admitted: true,
        offered: true,
        state: capability.state,
        read_only_hint: capability.read_only_hint,
        destructive_hint: capability.destructive_hint,
        arguments: Arguments::Unknown,
    }
}

/// As calls of somebody meet it who is granted it.
fn open_facts<'k>(known: &'k Known, context: &CallContext) -> ConnectionFacts<'k> {
    ConnectionFacts {
        granted: true,
        staged: false,
        enabled: true,
        availability: Availability::ForceOn,
        ..known.facts(context)
    }
}

impl Broker {
    /// What patterns reach, and what the rules say of each of the tools that are shown.
    pub fn reach(
        &self,
        principal: &Principal,
        patterns: &[String],
        rules: RulesOf,
        shown: Shown,
    ) -> Result<Reach, Refusal> {
        let _allowed = authorize(principal, Operation::ListConnections, Target::Organization)?;
        let snapshot = self.organization_snapshot(principal.organization)?;
        let sight = Self::sight(&snapshot, principal, rules);
        let parsed_all = parsed(patterns);
        let wanted = Patterns::of(&parsed_all);
        let visible: Vec<_> = visible(&snapshot, principal)
            .into_iter()
            .map(|known| (known, known.connection.name_prefix(), sight.tools(known)))
            .collect();
        let (mut connections, mut left) = (Vec::new(), shown.all);
        for (known, prefix, all) in &visible {
            let reached = wanted.on(prefix, all);
            if reached.is_empty() && !wanted.name_all_of(prefix) {
                continue;
            }
            let first: Vec<ReachedTool> = reached
                .iter()
                .take(shown.each.min(left))
                .filter_map(|name| sight.explained(known, name))
                .collect();
            left -= first.len();
            connections.push(ReachedConnection {
                id: known.connection.id,
                name: known.connection.name.clone(),
                prefix: prefix.clone(),
                host: host(known),
                is_personal: known.connection.owner != ConnectionOwner::Organization,
                enabled: known.connection.switches.enabled,
                tools: reached.len(),
                of: all.len(),
                shown: first,
            });
        }
        let is_idle = |pattern: &&CapabilityPattern| {
            let alone = Patterns::of(std::slice::from_ref(*pattern));
            visible
                .iter()
                .all(|(_, prefix, tools)| !alone.name_all_of(prefix) && alone.on(prefix, tools).is_empty())
        };
        // Each costs a walk through the catalogue: of very many patterns the first are told.
        let idle = parsed_all.iter().take(50).filter(is_idle).map(ToString::to_string).collect();
        Ok(Reach {
            tools: connections.iter().map(|it| it.tools).sum(),
            connections,
            reaches_personal: wanted.reach_personal(),
            idle,
        })
    }

    /// How much each pattern reaches, by itself.
    pub fn count_reached(
        &self,
        principal: &Principal,
        patterns: &[CapabilityPattern],
    ) -> Result<Vec<Reached>, Refusal> {
        let _allowed = authorize(principal, Operation::ListConnections, Target::Organization)?;
        let snapshot = self.organization_snapshot(principal.organization)?;
        let sight = Self::sight(&snapshot, principal, RulesOf { own: true, ..RulesOf::default() });
        let visible: Vec<_> = visible(&snapshot, principal)
            .into_iter()
            .map(|known| (known.connection.name_prefix(), sight.tools(known)))
            .collect();
        let count = |pattern: &CapabilityPattern| {
            let wanted = Patterns::of(std::slice::from_ref(pattern));
            let on = visible.iter().map(|(prefix, tools)| wanted.on(prefix, tools).len());
            on.filter(|tools| *tools > 0).fold(Reached::default(), |sum, tools| Reached {
                tools: sum.tools + tools,
                connections: sum.connections + 1,
            })
        };
        Ok(patterns.iter().map(count).collect())
    }

    /// What a pattern may name among what the caller may see: whatever has all of these words in its own or its
    /// connection's name. At most so many connections and so many tools.
    pub fn nameable(&self, principal: &Principal, words: &str, most: usize) -> Result<Nameable, Refusal> {
        let _allowed = authorize(principal, Operation::ListConnections, Target::Organization)?;
        let snapshot = self.organization_snapshot(principal.organization)?;
        let sight = Self::sight(&snapshot, principal, RulesOf { own: true, ..RulesOf::default() });
        let words = words.to_lowercase();
        let words: Vec<&str> = words.split_whitespace().collect();
        let fits = |text: &str| words.iter().all(|word| text.contains(word));
        let mut found = Nameable::default();
        for known in visible(&snapshot, principal) {
            let (name, prefix) = (&known.connection.name, known.connection.name_prefix());
            let whole = format!("{prefix} {name}").to_lowercase();
            let tools = sight.tools(known);
            if fits(&whole) {
                found.connections_total += 1;
                if found.connections.len() < most {
                    let (name, tools) = (name.clone(), tools.len());
                    found.connections.push(NameableConnection {
                        pattern: format!("{prefix}.*"),
                        name,
                        tools,
                    });
                }
            }
            for tool in tools.into_iter().filter(|tool| fits(&format!("{whole} {}", tool.to_lowercase()))) {
                found.tools_total += 1;
                if found.tools.len() < most {
                    found.tools.push(format!("{prefix}.{tool}"));
                }
            }
        }
        Ok(found)
    }

    /// What stands behind each toolkit of a list.
    pub fn summarize_toolkits(
        &self,
        principal: &Principal,
        toolkits: &[ToolkitView],
    ) -> Result<Vec<ToolkitSummary>, Refusal> {
        let _allowed = authorize(principal, Operation::ListToolkits, Target::Organization)?;
        let snapshot = self.organization_snapshot(principal.organization)?;
        let sight = Self::sight(&snapshot, principal, RulesOf { own: true, ..RulesOf::default() });
        let visible: Vec<_> = visible(&snapshot, principal)
            .into_iter()
            .map(|known| (known, known.connection.name_prefix(), sight.tools(known)))
            .collect();
        let summary = |toolkit: &ToolkitView| {
            let parsed = parsed(&toolkit.patterns);
            let wanted = Patterns::of(&parsed);
            let mut summary = ToolkitSummary::default();
            for (known, prefix, tools) in &visible {
                let reached = wanted.on(prefix, tools).len();
                if reached > 0 || wanted.name_all_of(prefix) {
                    summary.tools += reached;
                    let connection = &known.connection;
                    summary.connections.push((connection.id, connection.name.clone(), host(known)));
                }
            }
            summary
        };
        Ok(toolkits.iter().map(summary).collect())
    }

    /// The tools of a connection by the upstream's own names, as patterns name them: for choosing among them.
    pub async fn tool_names(&self, principal: &Principal, id: ConnectionId) -> Result<Vec<String>, Refusal> {
        let known = self.known_connection(principal.organization, id).await?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let _allowed = authorize(principal, Operation::ListTools, target)?;
        let snapshot = self.organization_snapshot(principal.organization)?;
        let sight = Self::sight(&snapshot, principal, RulesOf { own: true, ..RulesOf::default() });
        Ok(sight.tools(&known).into_iter().map(str::to_owned).collect())
    }

    fn sight<'p>(snapshot: &Snapshot, principal: &'p Principal, rules: RulesOf) -> Sight<'p> {
        let context = hypothetical(principal);
        let set = snapshot.rules_of(&context, rules.toolkit, rules.own);
        Sight { principal, context, set }
    }
}

fn host(known: &Known) -> String {
    host_of(&known.connection.url).unwrap_or_default().to_owned()
}

/// The connections that the caller may see, by name.
fn visible<'s>(snapshot: &'s Snapshot, principal: &Principal) -> Vec<&'s Known> {
    let sees = |known: &&Known| {
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        authorize(principal, Operation::ReadConnection, target).is_ok()
    };
    let mut visible: Vec<&Known> = snapshot.connections.values().filter(sees).collect();
    visible.sort_by(|left, right| {
        let key = |known: &Known| (known.connection.name.to_lowercase(), known.connection.slug.to_string());
        key(left).cmp(&key(right))
    });
    visible
}
