//! Notes how far AI clients get that try to sign in, see [`switchboard_broker::Attempt`]. Whoever brings a token is let
//! through after one look at the request: calls pay nothing for it.

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Method, Response, StatusCode, header},
    middleware::Next,
};
use switchboard_broker::{AttemptStep, Stranger};

use crate::{ServerState, serve::Peer};

/// Which client an answer is about, for whoever notes the step.
#[derive(Debug, Clone)]
pub(crate) struct OfClient(pub(crate) String);

pub(crate) async fn note(State(state): State<ServerState>, request: Request, next: Next) -> Response<Body> {
    let Some((step, good)) = step_of(&request) else { return next.run(request).await };
    let who = stranger(&request);
    let response = next.run(request).await;
    let client = response.extensions().get::<OfClient>();
    if let Some(who) = who.filter(|_| response.status() == good) {
        state.broker.note_attempt(&who, step, client.map(|client| client.0.as_str()));
    }
    response
}

/// Who sends a request, as far as a stranger can be told from another.
pub(crate) fn stranger(request: &Request) -> Option<Stranger> {
    let peer = request.extensions().get::<Peer>()?;
    Some(Stranger { source: peer.0.ip(), agent: agent(request.headers()) })
}

fn agent(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    agent.unwrap_or_default().to_owned()
}

/// The step that a request may be, and the status with which it is taken.
fn step_of(request: &Request) -> Option<(AttemptStep, StatusCode)> {
    if request.headers().contains_key(header::AUTHORIZATION) {
        return None;
    }
    let (path, is_get) = (request.uri().path(), request.method() == Method::GET);
    if path.starts_with("/mcp") || path.starts_with("/o/") {
        return Some((AttemptStep::Challenged, StatusCode::UNAUTHORIZED));
    }
    match path.strip_prefix("/.well-known/") {
        Some(rest) if is_get && rest.starts_with("oauth-protected-resource") => {
            Some((AttemptStep::ResourceMetadata, StatusCode::OK))
        }
        Some(_) if is_get => Some((AttemptStep::ServerMetadata, StatusCode::OK)),
        Some(_) => None,
        None if path == "/oauth/register" || path == "/register" => {
            Some((AttemptStep::Registered, StatusCode::CREATED))
        }
        None if is_get && (path == "/oauth/authorize" || path == "/authorize") => {
            Some((AttemptStep::Asked, StatusCode::SEE_OTHER))
        }
        None => None,
    }
}
