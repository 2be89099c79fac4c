//! What to pick from when a rule is written: connections as a whole, and tools. The field completes from it, and each stands
//! as a button of the form, so that it works without JavaScript; of many it is searched.

use switchboard_broker::manage::Nameable;
use switchboard_domain::Principal;

use crate::{ServerState, browser::Fields};

/// Connections and tools that the field completes to, each.
const COMPLETED: usize = 200;
/// Connections and tools that stand there to be picked, each.
const LISTED: usize = 25;

/// What was asked of it.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Words to find by.
    pub(super) find: String,
    pub(super) is_open: bool,
}

impl Asked {
    pub(super) fn typed(fields: &Fields) -> Self {
        let find = fields.get("find").unwrap_or_default().trim().to_owned();
        Self { is_open: fields.get("step") == Some("find") || !find.is_empty(), find }
    }

    /// Whether the form was sent to find something: by its button, or by Enter in its field.
    pub(super) fn is_search(&self, fields: &Fields) -> bool {
        fields.get("step") == Some("find") || self.find != fields.get("found").unwrap_or_default()
    }
}

pub(super) struct Picker {
    pub(super) find: String,
    pub(super) is_open: bool,
    /// What the field completes to.
    pub(super) completed: Vec<String>,
    pub(super) found: Nameable,
    /// How many fit and are not listed.
    pub(super) more: usize,
}

impl Picker {
    pub(super) fn of(state: &ServerState, principal: &Principal, asked: &Asked) -> Self {
        // The form is worth more than its completion: without it, it is a field to type into.
        let all = state.broker.nameable(principal, "", COMPLETED).unwrap_or_default();
        let whole = all.connections.iter().map(|connection| connection.pattern.clone());
        let completed = whole.chain(all.tools.iter().cloned()).collect();
        let found = state.broker.nameable(principal, &asked.find, LISTED).unwrap_or_default();
        let more = found.connections_total + found.tools_total - found.connections.len() - found.tools.len();
        Self { find: asked.find.clone(), is_open: asked.is_open, completed, found, more }
    }
}
