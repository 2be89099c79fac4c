//! `/policies`, `/policies/mine`, `/toolkits/{id}/rules`: ordered lists of rules, and why they decide as they do.

mod explain;
mod form;
mod layer;
mod list;
mod picker;
mod preview;
pub(super) mod tree;
pub(super) mod words;

use axum::{Router, routing::get};

use crate::ServerState;

pub(super) const PATH: &str = "/policies";

pub(super) fn router() -> Router<ServerState> {
    Router::new()
        .route(PATH, get(list::organization).post(list::change_organization))
        .route("/policies/rule", get(form::organization).post(form::save_organization))
        .route("/policies/mine", get(list::own).post(list::change_own))
        .route("/policies/mine/rule", get(form::own).post(form::save_own))
        .route("/toolkits/{id}/rules", get(list::toolkit).post(list::change_toolkit))
        .route("/toolkits/{id}/rules/rule", get(form::toolkit).post(form::save_toolkit))
        .route("/policies/preview", get(preview::show))
        .route("/policies/explain", get(explain::show).post(explain::submit))
}
