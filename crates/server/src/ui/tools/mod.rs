//! `/tools`: what a person's agent can find and do, found the same way, looked at, and run by hand. A run is a call like
//! any other: the same grants, rules, approvals and record.

mod form;
mod list;
mod outcome;
mod tool;

use axum::{Router, routing::get};

use crate::ServerState;

pub(super) const PATH: &str = "/tools";

pub(super) fn router() -> Router<ServerState> {
    Router::new().route(PATH, get(list::show)).route("/tools/tool", get(tool::show).post(tool::run))
}

/// The page of a tool, by the name that agents call it by.
pub(super) fn address(capability: &str) -> String {
    format!("/tools/tool?name={}", super::sign_in::encoded(capability))
}
