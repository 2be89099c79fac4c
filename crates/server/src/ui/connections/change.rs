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
use switchboard_domain::{ClientRegistration, SecretValue};

use super::{frame::Subject, overview};
use crate::{ServerState, browser};

/// Back to the page; a refusal is on record and told there.
async fn done(
    state: &ServerState,
    subject: &Subject,
    operation: Operation,
    outcome: Result<(), Refusal>,
) -> Response<Body> {
    match outcome {
        Ok(()) => browser::see_other(&subject.address()),
        Err(refusal) => {
            if refusal.kind != RefusalKind::Unavailable {
                let (principal, target) = (&subject.signed_in.principal, subject.connection.id.to_string());
                state.broker.record_refusal(principal, operation, &target, &refusal).await;
            }
            overview::render(state, subject, Some(&refusal)).await
        }
    }
}

pub(super) async fn check(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let (subject, _) = match Subject::sent(&state, request, &id, &[]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let (principal, id) = (&subject.signed_in.principal, subject.connection.id);
    let outcome = state.broker.check_connection(principal, id).await.map(drop);
    done(&state, &subject, Operation::CheckConnection, outcome).await
}

pub(super) async fn enable(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let (subject, _) = match Subject::sent(&state, request, &id, &[]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let (principal, id) = (&subject.signed_in.principal, subject.connection.id);
    let edit = ConnectionEdit { enabled: Some(true), ..ConnectionEdit::default() };
    let outcome = state.broker.update_connection(principal, id, None, edit).await;
    done(&state, &subject, Operation::UpdateConnection, outcome.map(drop)).await
}

/// A key, or a value for each header that the connection names.
pub(super) async fn give(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let (subject, fields) = match Subject::sent(&state, request, &id, &[]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let (principal, id) = (&subject.signed_in.principal, subject.connection.id);
    let headers: BTreeMap<String, SecretValue> = fields.secrets_below("header.");
    let given = CredentialInput {
        api_key: fields.secret("api_key").cloned(),
        headers: (!headers.is_empty()).then_some(headers),
    };
    let outcome = state.broker.store_credential(principal, id, given).await.map(drop);
    done(&state, &subject, Operation::PutOwnCredential, outcome).await
}

/// Takes the caller's own account away, or the shared one.
pub(super) async fn disconnect(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let (subject, _) = match Subject::sent(&state, request, &id, &[]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let (principal, id) = (&subject.signed_in.principal, subject.connection.id);
    let outcome = state.broker.delete_credential(principal, id).await.map(drop);
    done(&state, &subject, Operation::DeleteOwnCredential, outcome).await
}

/// The client that an admin made at the provider.
pub(super) async fn client(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let (subject, fields) = match Subject::sent(&state, request, &id, &[]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let (principal, id) = (&subject.signed_in.principal, subject.connection.id);
    let client_id = fields.get("client_id").unwrap_or_default().trim().to_owned();
    let secret = fields.secret("client_secret").filter(|secret| !secret.expose().is_empty());
    let key = fields.secret("private_key").filter(|key| !key.expose().trim().is_empty());
    let is_new = fields.get("new_private_key") == Some("yes");
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
    let outcome = state.broker.update_connection(principal, id, None, edit).await;
    done(&state, &subject, Operation::UpdateConnection, outcome.map(drop)).await
}
