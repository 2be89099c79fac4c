//! `/audit` and `/usage`: what was done, by whom, with what outcome; and how much.

mod entry;
mod list;
mod usage;
mod words;

use axum::{Router, routing::get};

use crate::ServerState;

pub(super) const PATH: &str = "/audit";
pub(super) const USAGE: &str = "/usage";

pub(super) fn router() -> Router<ServerState> {
    Router::new()
        .route(PATH, get(list::show))
        .route("/audit/{writer}/{seq}", get(entry::show))
        .route(USAGE, get(usage::show))
}
