//! `/audit` and `/usage`: what was done, by whom, with what outcome; how much, and how much there is room for.

mod entry;
mod list;
mod quotas;
mod usage;
mod words;

use axum::{Router, routing::get};

use crate::ServerState;

pub(super) const PATH: &str = "/audit";
pub(super) const USAGE: &str = "/usage";
const QUOTAS: &str = "/usage/quotas";

pub(super) fn router() -> Router<ServerState> {
    Router::new()
        .route(PATH, get(list::show))
        .route("/audit/{writer}/{seq}", get(entry::show))
        .route(USAGE, get(usage::show))
        .route(QUOTAS, get(quotas::show).post(quotas::change))
}

struct UsageTab {
    address: &'static str,
    name: &'static str,
    is_current: bool,
}

fn usage_tabs(current: &str) -> Vec<UsageTab> {
    let all = [(USAGE, "Calls"), (QUOTAS, "Quotas")];
    all.into_iter()
        .map(|(address, name)| UsageTab { address, name, is_current: address == current })
        .collect()
}
