//! `/connections/{id}/settings`: its name and switches; and what can't be taken back, for whoever proved lately that it
//! is them.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, Response, Uri},
};
use switchboard_broker::manage::{ConnectionEdit, ConnectionView, Operation, Refusal, RefusalKind};
use switchboard_domain::{Availability, Rollout};

use super::frame::{Head, Subject, no_connection, status_of};
use crate::{
    ServerState, browser,
    browser::Fields,
    ui::{navigation::Navigation, page, sign_in::not_the_form, unavailable},
};

#[derive(Template)]
#[template(path = "connection_settings.html")]
struct Settings<'a> {
    navigation: Navigation,
    head: Head,
    problem: Option<&'a str>,
    connection: &'a ConnectionView,
    name: &'a str,
    url: &'a str,
    availability: &'static str,
    is_personal: bool,
    is_staged: bool,
}

pub(super) async fn show(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    match Subject::find(&state, &headers, &uri, &id).await {
        Ok(subject) => render(&state, &subject, None, None).await,
        Err(response) => *response,
    }
}

async fn render(
    state: &ServerState,
    subject: &Subject,
    typed: Option<&Fields>,
    refusal: Option<&Refusal>,
) -> Response<Body> {
    if !subject.manages() {
        return no_connection();
    }
    let connection = &subject.connection;
    let typed = |name| typed.and_then(|typed| typed.get(name));
    let settings = Settings {
        navigation: subject.navigation(state).await,
        head: subject.head("/settings"),
        problem: refusal.map(Refusal::in_words),
        name: typed("name").unwrap_or(&connection.name),
        url: typed("url").unwrap_or(&connection.url),
        availability: connection.availability.as_str(),
        is_personal: !matches!(connection.owner, switchboard_broker::manage::OwnerWord::Organization),
        is_staged: connection.rollout == Rollout::Staged,
        connection,
    };
    page(status_of(refusal), &settings)
}

pub(super) async fn change(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let (subject, fields) = match Subject::sent(&state, request, &id, &[]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let Some(edit) = edit(&fields, &subject.connection) else { return not_the_form() };
    let (principal, id) = (&subject.signed_in.principal, subject.connection.id);
    let seen = fields.get("revision").and_then(|revision| revision.parse().ok());
    match state.broker.update_connection(principal, id, seen, edit).await {
        Ok(_) => browser::see_other(&format!("{}/settings", subject.address())),
        Err(refusal) if refusal.kind == RefusalKind::Unavailable => unavailable(),
        Err(refusal) => {
            let operation = Operation::UpdateConnection;
            state.broker.record_refusal(principal, operation, &id.to_string(), &refusal).await;
            render(&state, &subject, Some(&fields), Some(&refusal)).await
        }
    }
}

/// What was changed, and nothing else: the address as it stands is not written again.
fn edit(fields: &Fields, before: &ConnectionView) -> Option<ConnectionEdit> {
    let is = |name: &str| Some(fields.get(name).is_some());
    let url = fields.get("url").map(str::trim).filter(|url| *url != before.url);
    Some(ConnectionEdit {
        name: Some(fields.get("name")?.to_owned()),
        url: url.map(str::to_owned),
        enabled: is("enabled"),
        availability: Some(Availability::from_word(fields.get("availability")?)?),
        allow_in_plan_mode: is("allow_in_plan_mode"),
        model_intent: is("model_intent"),
        expose_directly: is("expose_directly"),
        send_identity: is("send_identity"),
        // One that was published stays so: it can still be taken back.
        staged: Some(fields.get("staged").is_some())
            .filter(|staged| *staged != (before.rollout == Rollout::Staged)),
        ..ConnectionEdit::default()
    })
}

/// Disconnects everybody, or removes it: asked of whoever just proved who they are, and for the removal by name.
pub(super) async fn end(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let (subject, fields) = match Subject::sent(&state, request, &id, &[]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let here = format!("{}/settings", subject.address());
    if !state.broker.recently(&subject.signed_in) {
        return browser::see_other(&format!("/reauthenticate?return_to={here}"));
    }
    let (principal, id) = (&subject.signed_in.principal, subject.connection.id);
    let (operation, outcome, next) = match fields.get("what") {
        Some("disconnect") => {
            let outcome = state.broker.delete_all_credentials(principal, id).await.map(drop);
            (Operation::DeleteAllCredentials, outcome, here.as_str())
        }
        Some("remove") => {
            let typed = fields.get("slug").unwrap_or_default().trim();
            let outcome = if typed == subject.connection.slug {
                state.broker.delete_connection(principal, id).await
            } else {
                let text = "Type its short name to remove it. Nothing was removed.";
                Err(Refusal::invalid("validation_failed", text))
            };
            (Operation::DeleteConnection, outcome, "/connections")
        }
        _ => return not_the_form(),
    };
    match outcome {
        Ok(()) => browser::see_other(next),
        Err(refusal) if refusal.kind == RefusalKind::Unavailable => unavailable(),
        Err(refusal) => {
            state.broker.record_refusal(principal, operation, &id.to_string(), &refusal).await;
            render(&state, &subject, None, Some(&refusal)).await
        }
    }
}
