//! The REST API, `/api/v1`: one table of routes, one way through them.
//!
//! A route names the operation it is for (`broker::manage::Operation`), so that a test can walk every route with
//! every role; what is not in the table is not served. The OpenAPI document is made of the same table.

mod allowed_clients;
mod approvals;
mod audit;
mod authorizations;
mod call;
mod connections;
mod credentials;
mod dispatch;
mod guardrail;
mod identity_providers;
mod invitations;
mod known_servers;
mod limits;
mod oauth_clients;
mod openapi;
mod organization;
mod page;
mod people;
mod policies;
mod reply;
mod rollout;
mod route;
mod service_accounts;
mod sessions;
mod tokens;
mod toolkits;
mod tools;
mod usage;
mod webhooks;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    http::Response,
    response::IntoResponse as _,
    routing::any,
};

use crate::ServerState;
use route::Route;

pub use openapi::openapi_json;
pub use route::RouteFacts;

fn routes() -> Vec<Route> {
    [
        organization::routes(),
        people::routes(),
        service_accounts::routes(),
        oauth_clients::routes(),
        invitations::routes(),
        identity_providers::routes(),
        tokens::routes(),
        sessions::routes(),
        allowed_clients::routes(),
        known_servers::routes(),
        connections::routes(),
        rollout::routes(),
        authorizations::routes(),
        credentials::routes(),
        tools::routes(),
        toolkits::routes(),
        policies::routes(),
        approvals::routes(),
        audit::routes(),
        usage::routes(),
        guardrail::routes(),
        webhooks::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Method, path and operation of every route: for the tests that walk them.
pub fn route_facts() -> Vec<RouteFacts> {
    routes().iter().map(Route::facts).collect()
}

/// The OpenAPI document, for everybody.
async fn document(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let (parts, _) = request.into_parts();
    limits::unauthenticated(&state, &parts).unwrap_or_else(|| Json(openapi_json()).into_response())
}

pub(crate) fn router() -> Router<ServerState> {
    let mut by_path: Vec<(&'static str, Vec<Route>)> = Vec::new();
    for route in routes() {
        match by_path.iter_mut().find(|(path, _)| *path == route.path) {
            Some((_, routes)) => routes.push(route),
            None => by_path.push((route.path, vec![route])),
        }
    }
    let mut router = Router::new().route("/openapi.json", axum::routing::get(document));
    for (path, routes) in by_path {
        let routes: Arc<[Route]> = routes.into();
        router = router.route(
            path,
            any(move |state, parameters, request| {
                dispatch::dispatch(Arc::clone(&routes), state, parameters, request)
            }),
        );
    }
    router
}
