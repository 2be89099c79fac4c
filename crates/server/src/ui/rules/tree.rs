//! Tools by connection, each with what becomes of a call: what a toolkit shows, what a pattern matches.

use switchboard_broker::manage::{Reach, ReachedConnection, Shown};
use switchboard_catalog::displayed;

use super::words::Fate;
use crate::ui::mark::Mark;

/// What fits a page: more are counted.
pub(crate) const WHOLE_PAGE: Shown = Shown { each: 100, all: 120 };
/// Connections on one page; the others are counted.
const BRANCHES: usize = 80;

pub(crate) struct Tree {
    pub(crate) branches: Vec<Branch>,
    /// Connections beyond those.
    pub(crate) more: usize,
    pub(crate) tools: usize,
    pub(crate) reaches_personal: bool,
    /// Patterns that match nothing.
    pub(crate) idle: Vec<String>,
    /// There are few tools enough to show them at once.
    pub(crate) is_open: bool,
}

pub(crate) struct Branch {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) mark: Mark,
    pub(crate) prefix: String,
    pub(crate) is_personal: bool,
    pub(crate) is_off: bool,
    pub(crate) tools: usize,
    pub(crate) of: usize,
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) more: usize,
}

pub(crate) struct Leaf {
    pub(crate) name: String,
    pub(crate) fate: Fate,
}

/// At most so many are shown without being asked for.
const FEW: usize = 12;

impl Tree {
    pub(crate) fn of(reach: Reach) -> Self {
        Self {
            is_open: reach.tools <= FEW,
            more: reach.connections.len().saturating_sub(BRANCHES),
            branches: reach.connections.into_iter().take(BRANCHES).map(branch).collect(),
            tools: reach.tools,
            reaches_personal: reach.reaches_personal,
            idle: reach.idle,
        }
    }
}

fn branch(connection: ReachedConnection) -> Branch {
    let leaf = |tool: &switchboard_broker::manage::ReachedTool| Leaf {
        name: displayed(&tool.name, 200),
        fate: Fate::of(&tool.explanation),
    };
    Branch {
        id: connection.id.to_string(),
        mark: Mark::of(&connection.name, &connection.host),
        name: connection.name,
        prefix: connection.prefix,
        is_personal: connection.is_personal,
        is_off: !connection.enabled,
        more: connection.tools - connection.shown.len(),
        leaves: connection.shown.iter().map(leaf).collect(),
        tools: connection.tools,
        of: connection.of,
    }
}
