//! `/toolkits`: endpoints with chosen tools, from making one to pointing a client at it.

mod choice;
mod frame;
mod list;
mod new;
mod overview;
mod people;
mod settings;
mod tools;

pub(super) use frame::{Head, head_of};

use axum::{
    Router,
    routing::{get, post},
};

use crate::ServerState;

pub(super) const PATH: &str = "/toolkits";

pub(super) fn router() -> Router<ServerState> {
    Router::new()
        .route(PATH, get(list::show))
        .route("/toolkits/new", get(new::show).post(new::submit))
        .route("/toolkits/{id}", get(overview::show))
        .route("/toolkits/{id}/tools", get(tools::show).post(tools::change))
        .route("/toolkits/{id}/people", get(people::show).post(people::change))
        .route("/toolkits/{id}/settings", get(settings::show).post(settings::change))
        .route("/toolkits/{id}/delete", post(settings::delete))
}
