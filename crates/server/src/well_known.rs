//! Protected resource metadata (RFC 9728), at the path form of each resource and the root form of `/mcp`.
//!
//! Served for any well-formed slug: whether a toolkit or connection exists is nobody's business here.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;
use switchboard_domain::{Resource, Slug};

use crate::{ServerState, problem};

pub(crate) async fn root(State(state): State<ServerState>, headers: HeaderMap) -> Response {
    document(&state, &headers, &Resource::Default, None)
}

pub(crate) async fn resource(
    State(state): State<ServerState>,
    headers: HeaderMap,
    Path(path): Path<String>,
) -> Response {
    let path = path.trim_end_matches('/');
    let (organization, path) = match path.strip_prefix("o/").and_then(|rest| rest.split_once('/')) {
        Some((slug, rest)) => match slug.parse::<Slug>() {
            Ok(slug) => (Some(slug), rest),
            Err(_) => return problem::not_found(),
        },
        None => (None, path),
    };
    match Resource::from_path(&format!("/{path}")) {
        Some(resource) => document(&state, &headers, &resource, organization.as_ref()),
        None => problem::not_found(),
    }
}

fn document(
    state: &ServerState,
    headers: &HeaderMap,
    resource: &Resource,
    organization: Option<&Slug>,
) -> Response {
    let scopes = if *resource == Resource::Api { json!(["api"]) } else { json!(["mcp:read", "mcp:write"]) };
    let url = state.config.resource_url(resource, organization);
    let path = url.strip_prefix(state.config.origin()).unwrap_or("");
    let metadata = json!({
        "resource": format!("{}{path}", state.config.spelled_origin(headers)),
        "resource_name": "Switchboard",
        "authorization_servers": [state.config.origin()],
        "bearer_methods_supported": ["header"],
        "scopes_supported": scopes,
    });
    (StatusCode::OK, Json(metadata)).into_response()
}
