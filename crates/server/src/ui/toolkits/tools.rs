//! `/toolkits/{id}/tools`: what is in it.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, Response, Uri},
};
use switchboard_broker::manage::{Operation, Refusal, RefusalKind, RulesOf, ToolkitEdit};

use super::{
    choice::{Choice, Looking, chosen},
    frame::{Head, Subject, no_toolkit, refused, status_of},
};
use crate::{
    ServerState, browser,
    ui::{
        navigation::Navigation,
        page,
        rules::tree::{Tree, WHOLE_PAGE},
        unavailable,
    },
};

#[derive(Template)]
#[template(path = "toolkit_tools.html")]
struct Tools<'a> {
    navigation: Navigation,
    head: Head,
    problem: Option<&'a str>,
    wrong: Option<&'a str>,
    revision: i64,
    choice: Choice,
    tree: Option<Tree>,
}

/// What is in the form: as stored, or as typed.
struct Draft {
    patterns: Vec<String>,
    revision: i64,
    looking: Looking,
    is_preview: bool,
}

pub(super) async fn show(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let subject = match Subject::find(&state, &headers, &uri, &id).await {
        Ok(subject) => subject,
        Err(response) => return *response,
    };
    let (patterns, revision) = (subject.toolkit.patterns.clone(), subject.toolkit.revision);
    render(
        &state,
        &subject,
        Draft { patterns, revision, looking: Looking::default(), is_preview: false },
        None,
    )
    .await
}

async fn render(
    state: &ServerState,
    subject: &Subject,
    draft: Draft,
    refusal: Option<&Refusal>,
) -> Response<Body> {
    if !subject.manages() {
        return no_toolkit();
    }
    let principal = &subject.signed_in.principal;
    let choice = match Choice::of(state, principal, &draft.patterns, &draft.looking).await {
        Ok(choice) => choice,
        Err(refusal) => return refused(&refusal),
    };
    let rules = RulesOf { toolkit: Some(subject.toolkit.id), own: false };
    let tree = if draft.is_preview {
        state.broker.reach(principal, &draft.patterns, rules, WHOLE_PAGE).ok().map(Tree::of)
    } else {
        None
    };
    let violations = refusal.into_iter().flat_map(|refusal| &refusal.violations);
    let shown = Tools {
        navigation: subject.navigation(state).await,
        head: subject.head("/tools"),
        problem: refusal.map(Refusal::in_words),
        wrong: violations.into_iter().map(|it| it.message.as_str()).next(),
        revision: draft.revision,
        choice,
        tree,
    };
    page(status_of(refusal), &shown)
}

pub(super) async fn change(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let (subject, fields) = match Subject::sent(&state, request, &id, &["pattern"]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let step = fields.get("step").unwrap_or_default();
    let seen = fields.get("revision").and_then(|revision| revision.parse().ok());
    let draft = Draft {
        patterns: chosen(&fields),
        revision: seen.unwrap_or(subject.toolkit.revision),
        looking: Looking::of(&fields, step),
        is_preview: step == "preview",
    };
    if step != "save" || draft.looking.is_new {
        return render(&state, &subject, draft, None).await;
    }
    let edit = ToolkitEdit { patterns: Some(draft.patterns.clone()), ..ToolkitEdit::default() };
    let (principal, id) = (&subject.signed_in.principal, subject.toolkit.id);
    match state.broker.update_toolkit(principal, id, seen, edit).await {
        Ok(_) => browser::see_other(&subject.address()),
        Err(refusal) if refusal.kind == RefusalKind::Unavailable => unavailable(),
        Err(refusal) => {
            let operation = Operation::UpdateToolkit;
            state.broker.record_refusal(principal, operation, &id.to_string(), &refusal).await;
            render(&state, &subject, draft, Some(&refusal)).await
        }
    }
}
