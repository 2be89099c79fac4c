//! `/clients`: the AI clients that people of the organization signed in with, how each got in, and which are kept out.

mod list;
mod new;
mod one;
mod words;

use axum::{
    Router,
    routing::{get, post},
};

use crate::ServerState;

pub(super) const PATH: &str = "/clients";

pub(super) fn router() -> Router<ServerState> {
    Router::new()
        .route(PATH, get(list::show))
        .route("/clients/new", get(new::show).post(new::submit))
        .route("/clients/{id}", get(one::show))
        .route("/clients/{id}/change", post(one::change))
}
