//! `/toolkits/{id}/settings`: its name, how a client sees it, and its end.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, Response, Uri},
};
use switchboard_broker::manage::{Operation, Refusal, RefusalKind, SurfaceWord, ToolkitEdit, ToolkitView};

use super::{
    PATH,
    frame::{Head, Subject, no_toolkit, status_of},
};
use crate::{
    ServerState,
    browser::{self, Fields},
    ui::{navigation::Navigation, page, sign_in::not_the_form, unavailable},
};

#[derive(Template)]
#[template(path = "toolkit_settings.html")]
struct Settings<'a> {
    navigation: Navigation,
    head: Head,
    problem: Option<&'a str>,
    toolkit: &'a ToolkitView,
    name: &'a str,
    is_direct: bool,
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
        return no_toolkit();
    }
    let toolkit = &subject.toolkit;
    let typed = |name| typed.and_then(|typed| typed.get(name));
    let shown = Settings {
        navigation: subject.navigation(state).await,
        head: subject.head("/settings"),
        problem: refusal.map(Refusal::in_words),
        name: typed("name").unwrap_or(&toolkit.name),
        is_direct: typed("surface").unwrap_or(toolkit.surface) == "direct",
        toolkit,
    };
    page(status_of(refusal), &shown)
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
    let surface = match fields.get("surface") {
        Some("search") => SurfaceWord::Search,
        Some("direct") => SurfaceWord::Direct,
        _ => return not_the_form(),
    };
    let Some(name) = fields.get("name") else { return not_the_form() };
    let edit = ToolkitEdit { name: Some(name.to_owned()), surface: Some(surface), ..ToolkitEdit::default() };
    let seen = fields.get("revision").and_then(|revision| revision.parse().ok());
    let (principal, id) = (&subject.signed_in.principal, subject.toolkit.id);
    match state.broker.update_toolkit(principal, id, seen, edit).await {
        Ok(_) => browser::see_other(&format!("{}/settings", subject.address())),
        Err(refusal) => refuse(&state, &subject, Operation::UpdateToolkit, Some(&fields), &refusal).await,
    }
}

/// Asked by its short name: clients that were pointed at it find nothing afterwards.
pub(super) async fn delete(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let (subject, fields) = match Subject::sent(&state, request, &id, &[]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let (principal, id) = (&subject.signed_in.principal, subject.toolkit.id);
    let outcome = if fields.get("slug").unwrap_or_default().trim() == subject.toolkit.slug {
        state.broker.delete_toolkit(principal, id).await
    } else {
        let text = "Type its short name to delete it. Nothing was deleted.";
        Err(Refusal::invalid("validation_failed", text))
    };
    match outcome {
        Ok(()) => browser::see_other(PATH),
        Err(refusal) => refuse(&state, &subject, Operation::DeleteToolkit, None, &refusal).await,
    }
}

async fn refuse(
    state: &ServerState,
    subject: &Subject,
    operation: Operation,
    typed: Option<&Fields>,
    refusal: &Refusal,
) -> Response<Body> {
    if refusal.kind == RefusalKind::Unavailable {
        return unavailable();
    }
    let target = subject.toolkit.id.to_string();
    state.broker.record_refusal(&subject.signed_in.principal, operation, &target, refusal).await;
    render(state, subject, typed, Some(refusal)).await
}
