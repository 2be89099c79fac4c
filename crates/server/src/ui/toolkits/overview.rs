//! `/toolkits/{id}`: its address, and what a client finds there.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use switchboard_broker::manage::{RulesOf, ToolkitView};

use super::frame::{Head, Subject, refused};
use crate::{
    ServerState,
    ui::{
        navigation::Navigation,
        rules::tree::{Tree, WHOLE_PAGE},
        scripted,
    },
};

#[derive(Template)]
#[template(path = "toolkit.html")]
struct Overview<'a> {
    navigation: Navigation,
    head: Head,
    problem: Option<&'a str>,
    toolkit: &'a ToolkitView,
    manages: bool,
    is_direct: bool,
    tree: Tree,
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
    let (principal, toolkit) = (&subject.signed_in.principal, &subject.toolkit);
    let rules = RulesOf { toolkit: Some(toolkit.id), own: !principal.role.is_admin() };
    let reach = match state.broker.reach(principal, &toolkit.patterns, rules, WHOLE_PAGE) {
        Ok(reach) => reach,
        Err(refusal) => return refused(&refusal),
    };
    let shown = Overview {
        navigation: subject.navigation(&state).await,
        head: subject.head(""),
        problem: None,
        toolkit,
        manages: subject.manages(),
        is_direct: toolkit.surface == "direct",
        tree: Tree::of(reach),
    };
    scripted(StatusCode::OK, &shown)
}
