//! The HTTP surfaces: MCP endpoints, resource metadata, REST API, the few pages a person needs, operations.
//!
//! A handler parses, calls one use case of `broker`, renders. Nothing here knows SQL or opens a secret.

mod api;
mod attempts;
mod browser;
mod config;
mod cors;
mod doctor;
mod guard;
mod mcp;
mod oauth;
mod ops;
mod places;
mod problem;
mod request_head;
mod serve;
mod stalled;
mod trusted_proxies;
mod ui;
mod unread;
mod well_known;

use std::sync::Arc;

use axum::{
    Router,
    routing::{any, get},
};
use switchboard_broker::Broker;

pub use api::{RouteFacts, openapi_json, route_facts};
pub use config::ServerConfig;
pub use doctor::{Doctor, Finding, Grade};
pub use mcp::Talks;
pub use ops::Readiness;
pub use serve::{ServeError, serve};
pub use trusted_proxies::{NotANetwork, TrustedProxies};

/// What every handler can reach.
#[derive(Debug, Clone)]
pub struct ServerState {
    pub broker: Broker,
    pub config: Arc<ServerConfig>,
    pub readiness: Arc<Readiness>,
    /// What is under way between clients and upstreams.
    pub talks: Arc<Talks>,
}

/// Id of one HTTP request, in logs and in the `x-request-id` of its answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// All routes. Whatever is not listed is 404.
pub fn router(state: ServerState) -> Router {
    let endpoints = Router::new()
        .route("/mcp", any(mcp::default_endpoint))
        .route("/mcp/", any(mcp::default_endpoint))
        .route("/mcp/toolkits/{slug}", any(mcp::toolkit_endpoint))
        .route("/mcp/connections/{slug}", any(mcp::connection_endpoint))
        .route("/o/{organization}/{*rest}", any(mcp::pinned_endpoint))
        .layer(axum::middleware::from_fn_with_state(state.clone(), cors::for_listed_pages))
        .layer(axum::middleware::from_fn_with_state(state.clone(), attempts::note));
    let metadata = Router::new()
        .route("/.well-known/oauth-protected-resource", get(well_known::root))
        .route("/.well-known/oauth-protected-resource/{*path}", get(well_known::resource))
        .layer(oauth::for_any_page())
        .layer(axum::middleware::from_fn_with_state(state.clone(), attempts::note));
    let authorization =
        oauth::router().layer(axum::middleware::from_fn_with_state(state.clone(), attempts::note));
    Router::new()
        .merge(endpoints)
        .merge(metadata)
        .nest("/api/v1", api::router())
        .merge(authorization)
        .merge(ui::router())
        .merge(ops::router())
        .fallback(ui::fallback)
        .layer(axum::middleware::from_fn_with_state(state.clone(), ui::with_menu))
        .layer(axum::middleware::from_fn_with_state(state.clone(), guard::guard))
        .with_state(state)
}
