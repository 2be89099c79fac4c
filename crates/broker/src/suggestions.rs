//! "No such capability": said alike whether it does not exist or is not for this caller, with what comes close
//! among those that are.

use serde_json::json;
use switchboard_catalog::{ConnectionSet, SearchQuery};
use switchboard_domain::{ActionType, Actor, CallError, ErrorCode};

use crate::{CallContext, search, snapshot::Snapshot, surface::Surface, text};

pub(crate) fn unknown_capability(
    snapshot: &Snapshot,
    context: &CallContext,
    surface: &Surface<'_>,
    name: &str,
) -> CallError {
    let shown = text::one_line(name, 120);
    let suggestions = similar(snapshot, context, surface, &shown);
    CallError::new(
        ErrorCode::UnknownCapability,
        format!("There is no capability `{shown}` for you here. Search for what you need and use a name from the results."),
    )
    .actor(Actor::Member)
    .action(ActionType::Search, "Call search_capabilities", None)
    .details(json!({ "suggestions": suggestions }))
}

fn similar(snapshot: &Snapshot, context: &CallContext, surface: &Surface<'_>, name: &str) -> Vec<String> {
    let view = search::View::of(snapshot, context, surface);
    let allowed: ConnectionSet = view.usable();
    let words: String =
        name.chars().map(|letter| if letter.is_alphanumeric() { letter } else { ' ' }).collect();
    let query = SearchQuery { text: &words, connection: None, allowed: &allowed, limit: 3, offset: 0 };
    let found = snapshot.index.search(&query, Some(&|entry| view.shows(&entry)));
    found.hits.iter().map(|hit| format!("{}.{}", hit.entry().slug(), hit.entry().name())).collect()
}
