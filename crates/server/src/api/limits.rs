//! Who asks too often waits: 429 with `Retry-After` (RFC 6585 section 4), naming the setting that says so.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header, request::Parts},
    response::IntoResponse as _,
};
use switchboard_broker::TooMany;

use crate::{ServerState, problem::Problem, serve::Peer};

/// The refusal of a request that proved nothing, when its source has sent too many of them.
pub(super) fn unauthenticated(state: &ServerState, parts: &Parts) -> Option<Response<Body>> {
    let source = parts.extensions.get::<Peer>()?.0.ip();
    state.broker.admit_request_of_source(source).err().map(refused)
}

pub(super) fn refused(too_many: TooMany) -> Response<Body> {
    let TooMany { retry_after, limit } = too_many;
    let detail = format!(
        "Too many requests (limit `{limit}`). Wait {retry_after} seconds and try again; whoever runs Switchboard can \
         raise the limit."
    );
    let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
    response
}
