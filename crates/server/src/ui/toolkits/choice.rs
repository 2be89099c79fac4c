//! The part of a form in which tools are chosen: whole connections and single tools as boxes to tick, and every other
//! pattern as text. What no box stands for is in the text, so that sending a page loses nothing that it did not show.

use std::collections::HashSet;

use switchboard_broker::manage::{Reach, Refusal, RulesOf, Shown};
use switchboard_catalog::displayed;
use switchboard_domain::Principal;

use crate::{ServerState, browser::Fields, ui::mark::Mark};

/// Boxes for single tools on one page: a connection beyond them is opened by its own button.
const BOXES: usize = 300;

pub(super) struct Choice {
    pub(super) groups: Vec<Group>,
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
    /// `open` is the prefix of a connection whose tools are asked for.
    pub(super) async fn of(
        state: &ServerState,
        principal: &Principal,
        wanted: &[String],
        open: Option<&str>,
    ) -> Result<Self, Refusal> {
        let own = RulesOf { own: true, ..RulesOf::default() };
        let nothing = Shown { each: 0, all: 0 };
        let all: Reach = state.broker.reach(principal, &["*".to_owned()], own, nothing)?;
        let mut left: HashSet<&str> = wanted.iter().map(String::as_str).collect();
        let begins = |prefix: &str| {
            wanted.iter().any(|it| {
                it.strip_prefix(prefix)
                    .and_then(|rest| rest.strip_prefix('.'))
                    .is_some_and(|name| name != "*")
            })
        };
        // First those that are asked for, then those of which single tools are chosen.
        let mut order: Vec<usize> = (0..all.connections.len()).collect();
        order.sort_by_key(|index| {
            let prefix = all.connections[*index].prefix.as_str();
            (open != Some(prefix), !begins(prefix), *index)
        });
        let mut boxes = BOXES;
        let mut groups = Vec::with_capacity(order.len());
        for index in order {
            let connection = &all.connections[index];
            let prefix = connection.prefix.as_str();
            let is_asked = open == Some(prefix);
            let fits = connection.of <= boxes || is_asked;
            let names = match fits {
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
        Ok(Self { groups: groups.into_iter().map(|(_, group)| group).collect(), rest: rest.join("\n") })
    }
}
