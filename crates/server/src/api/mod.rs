//! The REST API, `/api/v1`.

use axum::{Json, Router, routing::get};
use utoipa::OpenApi;

use crate::ServerState;

#[derive(OpenApi)]
#[openapi(info(title = "Switchboard", description = "One MCP endpoint for a whole organisation."))]
struct Document;

/// The OpenAPI 3.1 document.
pub fn openapi_json() -> serde_json::Value {
    serde_json::to_value(Document::openapi()).unwrap_or_default()
}

pub(crate) fn router() -> Router<ServerState> {
    Router::new().route("/openapi.json", get(|| async { Json(openapi_json()) }))
}
