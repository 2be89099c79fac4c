//! Changes of tools that need nobody's decision, where an admin said so: see [`is_harmless_change`].

use switchboard_catalog::{fingerprint, is_harmless_change};
use switchboard_domain::{CapabilityKind, CapabilityState};
use switchboard_storage::{self as storage, CapabilityRow};

use super::{Changed, Listed};

/// Off unless an admin says so.
pub(crate) fn approves_harmless_changes(settings: &serde_json::Value) -> bool {
    settings["approve_harmless_changes"].as_bool().unwrap_or(false)
}

/// Whether a tool differs from what was approved in harmless places only, under the instructions it was approved under.
pub(super) fn is_harmless(item: &Listed, stored: &storage::Definition, instructions: Option<&str>) -> bool {
    let is_tool = item.definition.kind() == CapabilityKind::Tool;
    let approved = stored.approved.as_deref().filter(|_| is_tool && !item.repeats_credential);
    let Some(approved) = approved.filter(|_| stored.state != CapabilityState::Rejected) else { return false };
    let same_instructions = fingerprint(approved, instructions).ok() == stored.approved_fingerprint;
    same_instructions && is_harmless_change(approved, &item.raw)
}

/// Approves a row that waits.
pub(super) fn let_through(row: &mut CapabilityRow, changed: &mut Changed) {
    if row.state != CapabilityState::Held {
        return;
    }
    row.state = CapabilityState::Approved;
    row.approved_fingerprint = Some(row.fingerprint);
    row.approved_definition = Some(row.definition.clone());
    changed.harmless.push(row.name.clone());
}
