//! The endpoints for AI clients: `/mcp`, `/mcp/toolkits/{slug}`, `/mcp/connections/{slug}`, each an OAuth
//! protected resource of its own, in both generations of the protocol, decided per request.
//!
//! A request is authenticated before its body is read, read once and strictly, and answered as plain JSON.

mod batch;
mod call;
mod definitions;
mod direct;
mod dispatch;
mod elicitation;
mod listen;
mod narrowing;
mod others;
mod session;
mod talk;
mod tasks;
mod waiting;

pub use talk::Talks;

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts},
    response::IntoResponse as _,
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use switchboard_broker::{AuthenticationError, Broker};
use switchboard_domain::{Principal, Resource, Slug};
use switchboard_mcp::{Payload, ProtocolError};

use crate::{
    ServerState,
    problem::{self, Problem},
    serve::Peer,
    ui,
};

/// `/mcp` and `/mcp/`
pub(crate) async fn default_endpoint(
    State(state): State<ServerState>,
    request: Request<Body>,
) -> Response<Body> {
    serve(&state, Resource::Default, None, request).await
}

/// `/mcp/toolkits/{slug}`, and `/mcp/toolkits/~{slug}` of the caller's own.
pub(crate) async fn toolkit_endpoint(
    State(state): State<ServerState>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    match Resource::from_path(&format!("/mcp/toolkits/{name}")) {
        Some(resource) => serve(&state, resource, None, request).await,
        None => problem::not_found(),
    }
}

/// `/mcp/connections/{slug}`
pub(crate) async fn connection_endpoint(
    State(state): State<ServerState>,
    Path(slug): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    match slug.parse() {
        Ok(slug) => serve(&state, Resource::Connection(slug), None, request).await,
        Err(_) => problem::not_found(),
    }
}

/// `/o/{organization}/mcp…`: the same, with the organization pinned in the URL.
pub(crate) async fn pinned_endpoint(
    State(state): State<ServerState>,
    Path((organization, rest)): Path<(String, String)>,
    request: Request<Body>,
) -> Response<Body> {
    let path = format!("/{}", rest.strip_suffix('/').unwrap_or(&rest));
    match (organization.parse::<Slug>(), Resource::from_path(&path)) {
        (Ok(organization), Some(resource)) if resource != Resource::Api => {
            serve(&state, resource, Some(organization), request).await
        }
        _ => problem::not_found(),
    }
}

async fn serve(
    state: &ServerState,
    resource: Resource,
    organization: Option<Slug>,
    request: Request<Body>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let principal = match authenticate(&state.broker, &parts, &resource, organization.as_ref()).await {
        Ok(principal) => principal,
        Err(refusal) => {
            let response = refuse(state, &resource, organization.as_ref(), &refusal);
            let is_person = matches!(refusal, Refusal::Missing) && parts.method == Method::GET;
            return if is_person && ui::wants_page(&parts.headers) {
                ui::for_clients(&response)
            } else {
                response
            };
        }
    };
    if parts.method != Method::POST {
        return session::other_method(state, principal, resource, organization, &parts).await;
    }
    if let Err(response) = media_type(&parts.headers) {
        return *response;
    }
    let body = match read_body(state, &parts.headers, body).await {
        Ok(body) => body,
        Err(response) => return *response,
    };
    if batch::is_one(&parts.headers, &body) {
        return batch::serve(state, (principal, resource, organization), &parts, &body).await;
    }
    dispatch::dispatch(state, principal, resource, organization, &parts, &body).await
}

/// Why a request has no principal.
pub(crate) enum Refusal {
    /// No credential at all: the challenge names no error (RFC 6750 section 3.1).
    Missing,
    Authentication(AuthenticationError),
}

/// One bearer token in one `Authorization` header; nothing else is looked at.
pub(crate) async fn authenticate(
    broker: &Broker,
    parts: &Parts,
    resource: &Resource,
    organization: Option<&Slug>,
) -> Result<Principal, Refusal> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::Missing)?;
    let invalid = || Refusal::Authentication(AuthenticationError::InvalidToken);
    if values.next().is_some() {
        return Err(invalid());
    }
    let value = value.to_str().map_err(|_| invalid())?;
    let (scheme, token) = value.split_once(' ').ok_or_else(invalid)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::Missing);
    }
    let source = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
    broker.authenticate(token.trim(), resource, organization, source).await.map_err(Refusal::Authentication)
}

pub(crate) fn refuse(
    state: &ServerState,
    resource: &Resource,
    organization: Option<&Slug>,
    refusal: &Refusal,
) -> Response<Body> {
    let (error, mut response) = match refusal {
        Refusal::Missing => (None, problem::plain(StatusCode::UNAUTHORIZED, "Authentication is needed.")),
        Refusal::Authentication(AuthenticationError::InvalidToken) => (
            Some("invalid_token"),
            problem::plain(
                StatusCode::UNAUTHORIZED,
                "The token is unknown, expired, revoked or for another resource.",
            ),
        ),
        Refusal::Authentication(AuthenticationError::InsufficientScope) => {
            (Some("insufficient_scope"), insufficient_scope(resource))
        }
        Refusal::Authentication(AuthenticationError::TooManyFailures { retry_after }) => {
            let mut response = problem::plain(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many wrong tokens from this address (limit `sign_in.wrong_tokens_per_minute_per_source`); wait and try again.",
            );
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*retry_after));
            return response;
        }
        Refusal::Authentication(AuthenticationError::Unavailable) => {
            return problem::plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "Switchboard can't check tokens right now; try again in a moment.",
            );
        }
    };
    let challenge = challenge(state, resource, organization, error);
    if let Ok(challenge) = HeaderValue::from_str(&challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// The token is good, only not for this (RFC 6750 section 3.1): another one is needed, not another try.
fn insufficient_scope(resource: &Resource) -> Response<Body> {
    let lacks = match resource {
        Resource::Api => "This token may not use the REST API: it lacks the scope `api`.",
        _ => {
            "This token may not use MCP endpoints: it has none of the scopes `mcp:read`, `mcp:write` and `mcp:plan`."
        }
    };
    let detail = format!("{lacks} Make a token that has what you need, or sign in again and allow it.");
    Problem::new(StatusCode::FORBIDDEN, "insufficient_scope", detail).into_response()
}

/// `WWW-Authenticate` as RFC 9728 section 5.1 and MCP want it.
pub(crate) fn challenge(
    state: &ServerState,
    resource: &Resource,
    organization: Option<&Slug>,
    error: Option<&str>,
) -> String {
    let metadata = state.config.metadata_url(resource, organization);
    let error = error.map_or_else(String::new, |code| format!("error=\"{code}\", "));
    let scope = if *resource == Resource::Api { "api" } else { "mcp:read mcp:write" };
    format!("Bearer {error}resource_metadata=\"{metadata}\", scope=\"{scope}\"")
}

fn method_not_allowed() -> Response<Body> {
    let mut response = problem::plain(
        StatusCode::METHOD_NOT_ALLOWED,
        "This endpoint takes POST. It keeps no session and has no stream of its own.",
    );
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    response
}

pub(crate) fn media_type(headers: &HeaderMap) -> Result<(), Box<Response<Body>>> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = kind.split(';').next().unwrap_or("").trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Box::new(problem::plain(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Send JSON with `Content-Type: application/json`.",
        )));
    }
    match headers.get(header::CONTENT_ENCODING) {
        None => Ok(()),
        Some(coding) if coding == "identity" => Ok(()),
        Some(_) => Err(Box::new(problem::plain(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Send the body without a content coding.",
        ))),
    }
}

async fn read_body(
    state: &ServerState,
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, Box<Response<Body>>> {
    let limit = state.config.max_request_bytes;
    let too_large = || {
        Box::new(problem::plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("The request is larger than {limit} bytes (limit `server.max_request_bytes`)."),
        ))
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit as u64) {
        return Err(too_large());
    }
    let reading = Limited::new(body, limit).collect();
    match tokio::time::timeout(state.config.request_body_timeout, reading).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Box::new(problem::plain(StatusCode::BAD_REQUEST, "The body ended early."))),
        Err(_) => Err(Box::new(problem::plain(
            StatusCode::REQUEST_TIMEOUT,
            "The body did not arrive in time (limit `server.request_body_timeout`).",
        ))),
    }
}

/// A message as the response to a POST.
pub(crate) fn json(status: StatusCode, payload: Payload) -> Response<Body> {
    let length = payload.len();
    let body = match <[Bytes; 1]>::try_from(payload.pieces) {
        Ok([only]) => Body::from(only),
        Err(pieces) => Body::from_stream(futures_util::stream::iter(
            pieces.into_iter().map(Ok::<_, std::convert::Infallible>),
        )),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(crate) fn protocol_error(error: &ProtocolError) -> Response<Body> {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
    json(status, switchboard_mcp::error_response(error.id.as_ref(), &error.error))
}
