//! The way of one API request: authenticate, find the route, read the body, let the use case decide, answer.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawPathParams, Request, State},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts},
    response::IntoResponse,
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use switchboard_broker::manage::{Needs, Refusal};
use switchboard_domain::{Principal, Resource};

use super::{call::Call, limits, route::Route};
use crate::{
    RequestId, ServerState, browser, mcp,
    problem::{self, Problem},
};

/// Nothing that the API takes is larger.
const MAX_BODY: usize = 1024 * 1024;

pub(super) async fn dispatch(
    routes: Arc<[Route]>,
    State(state): State<ServerState>,
    parameters: RawPathParams,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let principal = match caller(&state, &parts).await {
        Ok(principal) => principal,
        Err(response) => return limits::unauthenticated(&state, &parts).unwrap_or(*response),
    };
    if let Err(too_many) = state.broker.admit_request(&principal) {
        return limits::refused(too_many);
    }
    let method = if parts.method == Method::HEAD { Method::GET } else { parts.method.clone() };
    let Some(route) = routes.iter().find(|route| route.method == method) else {
        return method_not_allowed(&routes);
    };
    let body = if route.takes.is_some() {
        if let Err(response) = mcp::media_type(&parts.headers) {
            return *response;
        }
        match read_body(&state, &parts.headers, body).await {
            Ok(body) => body,
            Err(problem) => return problem.into_response(),
        }
    } else {
        Bytes::new()
    };
    let parameters: Vec<(String, String)> =
        parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let target = parameters.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("/");
    let call = Call {
        state: state.clone(),
        principal: principal.clone(),
        parameters,
        request_id: parts.extensions.get::<RequestId>().cloned().unwrap_or_default(),
        uri: parts.uri,
        headers: parts.headers,
        body,
    };
    match (route.handler)(call).await {
        Ok(reply) => reply.into_response(),
        Err(problem) => {
            if route.operation.is_write() {
                let refusal = problem.refusal.as_deref().cloned();
                let refusal = refusal.unwrap_or_else(|| Refusal::invalid(problem.code, ""));
                state.broker.record_refusal(&principal, route.operation, &target, &refusal).await;
            }
            if is_no_secret(route, &principal, &problem) {
                return Problem::from(Refusal::needs_admin()).into_response();
            }
            problem.into_response()
        }
    }
}

/// That there are members, rules and an audit log is in the documentation: who lacks the role for a whole collection of
/// them, or to add to one, is told so. An address with an id in it answers the same for what is there and what is not.
fn is_no_secret(route: &Route, principal: &Principal, problem: &Problem) -> bool {
    let forbidden = problem.refusal.as_deref().is_some_and(Refusal::is_forbidden);
    problem.status == StatusCode::NOT_FOUND
        && !principal.role.is_admin()
        && !route.path.contains('{')
        && (route.operation.needs() == Needs::Admin || (route.method == Method::POST && forbidden))
}

/// A bearer token, or without any `Authorization` the console's session: one principal, and nothing falls back.
async fn caller(state: &ServerState, parts: &Parts) -> Result<Principal, Box<Response<Body>>> {
    if !parts.headers.contains_key(header::AUTHORIZATION)
        && let Some(signed_in) = browser::signed_in(state, &parts.headers).await?
    {
        return if parts.method.is_safe() || is_from_console(state, &parts.headers) {
            Ok(signed_in.principal)
        } else {
            Err(Box::new(
                Problem::new(
                    StatusCode::FORBIDDEN,
                    "cross_site_request",
                    "A session's request that changes something has to come from a page of Switchboard and carry its \
                     `Switchboard-Form-Token`. Scripts use a token.",
                )
                .into_response(),
            ))
        };
    }
    mcp::authenticate(&state.broker, parts, &Resource::Api, None)
        .await
        .map_err(|refusal| Box::new(mcp::refuse(state, &Resource::Api, None, &refusal)))
}

/// What a page of another site can't make a browser send (THREATS W3): our own origin by the browser's word, and the
/// token that only our pages know.
fn is_from_console(state: &ServerState, headers: &HeaderMap) -> bool {
    let token =
        headers.get("switchboard-form-token").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let known =
        switchboard_broker::same_secret(browser::form_token(state, headers).as_bytes(), token.as_bytes());
    known && browser::is_own_form(headers)
}

fn method_not_allowed(routes: &[Route]) -> Response<Body> {
    let allowed: Vec<&str> = routes.iter().map(|route| route.method.as_str()).collect();
    let allowed = allowed.join(", ");
    let mut response = problem::plain(
        StatusCode::METHOD_NOT_ALLOWED,
        &format!("This address takes {allowed}. The OpenAPI document is at /api/v1/openapi.json."),
    );
    if let Ok(value) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

async fn read_body(state: &ServerState, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let limit = MAX_BODY.min(state.config.max_request_bytes);
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request_too_large",
            format!("The body is larger than {limit} bytes, the most that the API takes."),
        )
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(state.config.request_body_timeout, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(StatusCode::BAD_REQUEST, "bad_request", "The body ended early.")),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "The body did not arrive in time (limit `server.request_body_timeout`).",
        )),
    }
}
