//! The forms on a connection's overview: check it, switch it on, give a key or a client, take an account away. Each does
//! one thing and leads back to the page, which then says how it is.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::Response,
};
use switchboard_broker::manage::{
    ConnectionEdit, CredentialInput, OauthInput, Operation, Refusal, RefusalKind,
};
use switchboard_domain::{ClientRegistration, ConnectionId, SecretValue};

use super::{frame::no_connection, overview};
use crate::{ServerState, browser, ui::account::Sent};

/// What was asked for, of which connection.
async fn asked(
    state: &ServerState,
    id: &str,
    request: Request,
) -> Result<(Sent, ConnectionId), Box<Response<Body>>> {
    let sent = Sent::read(state, request).await?;
    let id = id.parse().map_err(|_| Box::new(no_connection()))?;
    Ok((sent, id))
}

/// Back to the page; a refusal is on record and told there.
async fn done(
    state: &ServerState,
    sent: Sent,
    (operation, id): (Operation, ConnectionId),
    outcome: Result<(), Refusal>,
) -> Response<Body> {
    match outcome {
        Ok(()) => browser::see_other(&format!("/connections/{id}")),
        Err(refusal) => {
            let target = id.to_string();
            if refusal.kind != RefusalKind::Unavailable {
                state.broker.record_refusal(&sent.signed_in.principal, operation, &target, &refusal).await;
            }
            overview::again(state, sent, &target, &refusal).await
        }
    }
}

pub(super) async fn check(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let (sent, id) = match asked(&state, &id, request).await {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let outcome = state.broker.check_connection(&sent.signed_in.principal, id).await.map(drop);
    done(&state, sent, (Operation::CheckConnection, id), outcome).await
}

pub(super) async fn enable(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let (sent, id) = match asked(&state, &id, request).await {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let edit = ConnectionEdit { enabled: Some(true), ..ConnectionEdit::default() };
    let outcome = state.broker.update_connection(&sent.signed_in.principal, id, None, edit).await;
    done(&state, sent, (Operation::UpdateConnection, id), outcome.map(drop)).await
}

/// A key, or a value for each header that the connection names.
pub(super) async fn give(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let (sent, id) = match asked(&state, &id, request).await {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let headers: BTreeMap<String, SecretValue> = sent.fields.secrets_below("header.");
    let given = CredentialInput {
        api_key: sent.fields.secret("api_key").cloned(),
        headers: (!headers.is_empty()).then_some(headers),
    };
    let outcome = state.broker.store_credential(&sent.signed_in.principal, id, given).await.map(drop);
    done(&state, sent, (Operation::PutOwnCredential, id), outcome).await
}

/// Takes the caller's own account away, or the shared one.
pub(super) async fn disconnect(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let (sent, id) = match asked(&state, &id, request).await {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let outcome = state.broker.delete_credential(&sent.signed_in.principal, id).await.map(drop);
    done(&state, sent, (Operation::DeleteOwnCredential, id), outcome).await
}

/// The client that an admin made at the provider.
pub(super) async fn client(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let (sent, id) = match asked(&state, &id, request).await {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let client_id = sent.fields.get("client_id").unwrap_or_default().trim().to_owned();
    let secret = sent.fields.secret("client_secret").filter(|secret| !secret.expose().is_empty());
    let key = sent.fields.secret("private_key").filter(|key| !key.expose().trim().is_empty());
    let is_new = sent.fields.get("new_private_key") == Some("yes");
    let has_key = key.is_some() || is_new;
    let oauth = OauthInput {
        registration: Some(ClientRegistration::Static),
        client_id: Some(Some(client_id)),
        client_secret: secret.cloned().map(Some),
        private_key: match key {
            Some(key) => Some(Some(key.clone())),
            None => is_new.then_some(None),
        },
        token_endpoint_auth_method: has_key.then(|| Some("private_key_jwt".to_owned())),
        ..OauthInput::default()
    };
    let edit = ConnectionEdit { oauth: Some(oauth), ..ConnectionEdit::default() };
    let outcome = state.broker.update_connection(&sent.signed_in.principal, id, None, edit).await;
    done(&state, sent, (Operation::UpdateConnection, id), outcome.map(drop)).await
}
