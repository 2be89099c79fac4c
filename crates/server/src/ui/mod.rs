//! Pages for people.

use axum::Router;

use crate::ServerState;

pub(crate) fn router() -> Router<ServerState> {
    Router::new()
}
