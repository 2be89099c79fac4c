//! The part of a form in which tools are chosen: whole connections and single tools as boxes to tick, and every other
//! pattern as text. What no box stands for is in the text, so that sending a page loses nothing that it did not show.

use std::collections::HashSet;

use switchboard_broker::manage::{Reach, ReachedConnection, Refusal, RulesOf, Shown};
use switchboard_catalog::displayed;
use switchboard_domain::Principal;

use crate::{ServerState, browser::Fields, ui::mark::Mark};

/// Boxes for single tools on one page: a connection beyond them is opened by its own button.
const BOXES: usize = 150;
/// Connections on one page: others are found by their name.
const GROUPS: usize = 60;

/// What of the form is not chosen, but asked for.
#[derive(Default)]
pub(super) struct Looking {
    /// Prefix of a connection whose single tools are asked for.
    pub(super) open: Option<String>,
    /// Part of the name of connections that are asked for.
    pub(super) find: String,
    /// The last answer was to another name: this form asks, whichever of its buttons sent it.
    pub(super) is_new: bool,
}

impl Looking {
    pub(super) fn of(fields: &Fields, step: &str) -> Self {
        let text = |name: &str| fields.get(name).unwrap_or_default().trim().to_owned();
        let find = text("find");
        Self { is_new: find != text("found"), find, open: step.strip_prefix("open:").map(str::to_owned) }
    }
}

pub(super) struct Choice {
    pub(super) groups: Vec<Group>,
    /// Connections that have no box on this page.
    pub(super) more: usize,
    pub(super) find: String,
    /// One pattern a line.
    pub(super) rest: String,
}

/// A connection.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) mark: Mark,
    pub(super) prefix: String,
    pub(super) is_whole: bool,
    pub(super) of: usize,
    pub(super) chosen: usize,
    pub(super) tools: Vec<Tool>,
    pub(super) is_open: bool,
}

pub(super) struct Tool {
    pub(super) name: String,
    pub(super) pattern: String,
    pub(super) is_chosen: bool,
}

/// What was chosen in a form, each once.
pub(super) fn chosen(fields: &Fields) -> Vec<String> {
    let typed = fields.get("patterns").unwrap_or_default();
    let typed = typed.split(|it: char| it.is_whitespace() || it == ',').filter(|it| !it.is_empty());
    let mut seen = HashSet::new();
    fields.all("pattern").chain(typed).filter(|it| seen.insert(*it)).map(str::to_owned).collect()
}

impl Choice {
    pub(super) async fn of(
        state: &ServerState,
        principal: &Principal,
        wanted: &[String],
        looking: &Looking,
    ) -> Result<Self, Refusal> {
        let open = looking.open.as_deref();
        let own = RulesOf { own: true, ..RulesOf::default() };
        let nothing = Shown { each: 0, all: 0 };
        let all: Reach = state.broker.reach(principal, &["*".to_owned()], own, nothing)?;
        let mut left: HashSet<&str> = wanted.iter().map(String::as_str).collect();
        let begins = |prefix: &str| {
            wanted.iter().any(|it| it.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')))
        };
        let found = looking.find.to_lowercase();
        let fits = |connection: &ReachedConnection| {
            connection.name.to_lowercase().contains(&found) || connection.prefix.contains(&found)
        };
        // First those that are asked for, then those of which something is chosen.
        let mut order: Vec<usize> = (0..all.connections.len()).collect();
        order.sort_by_key(|index| {
            let connection = &all.connections[*index];
            let prefix = connection.prefix.as_str();
            (open != Some(prefix), found.is_empty() || !fits(connection), !begins(prefix), *index)
        });
        // Where a name is asked for, what has it and what is chosen; else all.
        order.retain(|index| {
            let connection = &all.connections[*index];
            found.is_empty() || fits(connection) || begins(&connection.prefix)
        });
        order.truncate(GROUPS);
        let mut boxes = BOXES;
        let mut groups = Vec::with_capacity(order.len());
        for index in order {
            let connection = &all.connections[index];
            let prefix = connection.prefix.as_str();
            let is_asked = open == Some(prefix);
            let names = match connection.of <= boxes || is_asked {
                true => state.broker.tool_names(principal, connection.id).await?,
                false => Vec::new(),
            };
            boxes = boxes.saturating_sub(names.len());
            let tools: Vec<Tool> = names
                .iter()
                .map(|name| {
                    let pattern = format!("{prefix}.{name}");
                    Tool { is_chosen: left.remove(pattern.as_str()), name: displayed(name, 200), pattern }
                })
                .collect();
            let chosen = tools.iter().filter(|tool| tool.is_chosen).count();
            let is_whole = left.remove(format!("{prefix}.*").as_str());
            groups.push((
                index,
                Group {
                    name: connection.name.clone(),
                    mark: Mark::of(&connection.name, &connection.host),
                    prefix: prefix.to_owned(),
                    is_whole,
                    of: connection.of,
                    chosen,
                    is_open: is_asked || chosen > 0,
                    tools,
                },
            ));
        }
        groups.sort_by_key(|(index, _)| *index);
        let rest: Vec<&str> = wanted.iter().map(String::as_str).filter(|it| left.contains(it)).collect();
        Ok(Self {
            more: all.connections.len() - groups.len(),
            groups: groups.into_iter().map(|(_, group)| group).collect(),
            find: looking.find.clone(),
            rest: rest.join("\n"),
        })
    }
}
