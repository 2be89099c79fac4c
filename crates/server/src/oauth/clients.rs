//! `/oauth/register` (RFC 7591).

use axum::{
    body::Body,
    extract::{Request, State},
    http::{Response, StatusCode},
};
use http_body_util::{BodyExt as _, Limited};
use serde_json::json;
use switchboard_oauth::{ErrorCode, OauthError, Registration};

use super::{failed, json_answer, refused};
use crate::{ServerState, attempts::OfClient, serve::Peer};

/// Largest description of a client.
const MAX_REGISTRATION: usize = 64 * 1024;

pub(super) async fn register(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let source = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
    let reading = Limited::new(request.into_body(), MAX_REGISTRATION).collect();
    let body = match tokio::time::timeout(state.config.request_body_timeout, reading).await {
        Ok(Ok(body)) => body.to_bytes(),
        _ => {
            let text = "the body did not arrive, or is larger than 65536 bytes";
            return refused(&OauthError::new(ErrorCode::InvalidClientMetadata, text));
        }
    };
    let registration = match Registration::parse(&body) {
        Ok(registration) => registration,
        Err(error) => return refused(&error),
    };
    let registered = match state.broker.register_oauth_client(registration, source).await {
        Ok(registered) => registered,
        Err(error) => return failed(&error),
    };
    let client = &registered.client;
    // What is not there is left out: clients' readers refuse a null.
    let mut answer = json!({
        "client_id": client.client_id,
        "client_id_issued_at": client.created_at.as_secs(),
        "redirect_uris": client.redirect_uris,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": registered.authentication.as_str(),
    });
    if !client.name.is_empty() {
        answer["client_name"] = json!(client.name);
    }
    if let Some(secret) = &registered.secret {
        answer["client_secret"] = json!(secret.expose());
        answer["client_secret_expires_at"] = json!(0);
    }
    let mut response = json_answer(StatusCode::CREATED, &answer);
    response.extensions_mut().insert(OfClient(client.client_id.clone()));
    response
}
