//! `/connections`: the third-party servers of an organization, from adding one to taking it away. Every page is the same
//! use cases of `broker::manage` that the API has, so that nobody may do more here than there.

mod access;
mod activity;
mod change;
mod configuration;
mod draft;
mod frame;
mod import;
mod list;
mod new;
mod overview;
mod review;
mod rollout;
mod settings;
mod tools;
pub(super) mod words;

pub(super) use access::{SHOWN as PEOPLE_SHOWN, people_of, teams_shown, with_unseen};
pub(super) use frame::{Tab, status_of};

use axum::{
    Router,
    routing::{get, post},
};

use crate::ServerState;

pub(super) const PATH: &str = "/connections";

pub(super) fn router() -> Router<ServerState> {
    Router::new()
        .route(PATH, get(list::show))
        .route("/connections/new", get(new::show).post(new::submit))
        .route("/connections/import", get(import::show).post(import::submit))
        .route("/connections/rollout", post(rollout::change))
        .route("/connections/{id}", get(overview::show))
        .route("/connections/{id}/check", post(change::check))
        .route("/connections/{id}/enable", post(change::enable))
        .route("/connections/{id}/credential", post(change::give))
        .route("/connections/{id}/disconnect", post(change::disconnect))
        .route("/connections/{id}/client", post(change::client))
        .route("/connections/{id}/access", get(access::show).post(access::change))
        .route("/connections/{id}/tools", get(tools::show).post(tools::switch))
        .route("/connections/{id}/activity", get(activity::show))
        .route("/connections/{id}/review", get(review::show).post(review::decide))
        .route("/connections/{id}/settings", get(settings::show).post(settings::change))
        .route("/connections/{id}/end", post(settings::end))
}
