//! The authorization server as AI clients meet it: metadata, registration, the browser's part, tokens.
//!
//! Clients that find no metadata put the endpoints together themselves, so they are at the root too.

mod authorize;
mod clients;
mod tokens;

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderValue, Method, Response, StatusCode, header},
    routing::{get, post},
};
use serde_json::{Value, json};
use switchboard_broker::authorization::AuthorizationError;
use switchboard_oauth::{ErrorCode, OauthError, authorization_server_metadata};
use tower_http::cors::{Any, CorsLayer};

use crate::ServerState;

/// Paths that a page of any origin may ask: no cookie counts there.
pub(crate) fn is_open_to_pages(path: &str) -> bool {
    path.starts_with("/.well-known/")
        || [
            "/oauth/authorize",
            "/oauth/token",
            "/oauth/register",
            "/oauth/revoke",
            "/oauth/introspect",
            "/oauth/jwks.json",
            "/token",
            "/register",
        ]
        .contains(&path)
}

/// Lets a page of any origin read what is told here; without cookies.
pub(crate) fn for_any_page() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            "mcp-protocol-version".parse().expect("a name"),
        ])
        .expose_headers([header::WWW_AUTHENTICATE, header::RETRY_AFTER])
        .max_age(std::time::Duration::from_secs(3600))
}

pub(crate) fn router() -> Router<ServerState> {
    let open = Router::new()
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .route("/.well-known/oauth-authorization-server/{*path}", get(metadata))
        .route("/.well-known/openid-configuration", get(metadata))
        .route("/.well-known/openid-configuration/{*path}", get(metadata))
        .route("/mcp/.well-known/openid-configuration", get(metadata))
        .route("/oauth/jwks.json", get(keys))
        .route("/oauth/register", post(clients::register))
        .route("/register", post(clients::register))
        .route("/oauth/token", post(tokens::token))
        .route("/token", post(tokens::token))
        .route("/oauth/revoke", post(tokens::revoke))
        .route("/oauth/introspect", post(tokens::introspect))
        .layer(for_any_page());
    Router::new()
        .route("/oauth/authorize", get(authorize::start).post(authorize::start_with_form))
        .route("/authorize", get(authorize::start))
        .route("/oauth/authorize/{handle}", get(authorize::show).post(authorize::decide))
        .merge(open)
}

async fn metadata(State(state): State<ServerState>) -> Response<Body> {
    let metadata = authorization_server_metadata(state.config.origin(), state.broker.takes_registrations());
    json_answer(StatusCode::OK, &metadata)
}

/// Access tokens are opaque: there is no key that could check one.
async fn keys() -> Response<Body> {
    json_answer(StatusCode::OK, &json!({ "keys": [] }))
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

fn refused(error: &OauthError) -> Response<Body> {
    let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = json_answer(status, &error.to_json());
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"switchboard\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// What went wrong, for a program.
fn failed(error: &AuthorizationError) -> Response<Body> {
    match error {
        AuthorizationError::Refused(error) => refused(error),
        AuthorizationError::TooMany { retry_after, .. } => {
            let told = OauthError::new(ErrorCode::TemporarilyUnavailable, error.to_string());
            let mut response = json_answer(StatusCode::TOO_MANY_REQUESTS, &told.to_json());
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*retry_after));
            response
        }
        AuthorizationError::Storage(_) | AuthorizationError::Key(_) | AuthorizationError::Unrecorded => {
            tracing::error!(%error, "the authorization server can't answer");
            let text = "Switchboard can't reach its own records right now; try again in a moment";
            refused(&OauthError::new(ErrorCode::TemporarilyUnavailable, text))
        }
    }
}
