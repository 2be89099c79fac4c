//! Protected resource metadata (RFC 9728), at the path form of each resource and the root form of `/mcp`.
//!
//! Served for any well-formed slug: whether a toolkit or connection exists is nobody's business here.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;
use switchboard_domain::{Resource, Slug};

use crate::{ServerState, problem};

pub(crate) async fn root(State(state): State<ServerState>) -> Response {
    document(&state, &Resource::Default, None)
}

pub(crate) async fn resource(State(state): State<ServerState>, Path(path): Path<String>) -> Response {
    let path = path.trim_end_matches('/');
    let (organization, path) = match path.strip_prefix("o/").and_then(|rest| rest.split_once('/')) {
        Some((slug, rest)) => match slug.parse::<Slug>() {
            Ok(slug) => (Some(slug), rest),
            Err(_) => return problem::not_found(),
        },
        None => (None, path),
    };
    match Resource::from_path(&format!("/{path}")) {
        Some(resource) => document(&state, &resource, organization.as_ref()),
        None => problem::not_found(),
    }
}

fn document(state: &ServerState, resource: &Resource, organization: Option<&Slug>) -> Response {
    let scopes = if *resource == Resource::Api { json!(["api"]) } else { json!(["mcp:read", "mcp:write"]) };
    let metadata = json!({
        "resource": state.config.resource_url(resource, organization),
        "resource_name": "Switchboard",
        "authorization_servers": [state.config.origin()],
        "bearer_methods_supported": ["header"],
        "scopes_supported": scopes,
    });
    (StatusCode::OK, Json(metadata)).into_response()
}
