//! `/connections/{id}/tools`: what it offers, what the rules say of each, and which of them exist for us at all.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, Response, Uri},
};
use serde::Deserialize;
use switchboard_broker::manage::{
    ConnectionEdit, ConnectionView, Operation, PageRequest, Refusal, RefusalKind, ToolView,
};
use switchboard_catalog::displayed;
use switchboard_domain::CapabilityState;

use super::frame::{Head, Subject, refused, status_of};
use crate::{
    ServerState, browser,
    ui::{
        navigation::Navigation,
        page,
        sign_in::{encoded, not_the_form},
        unavailable,
    },
};

/// On one page.
const SHOWN: usize = 50;
/// Longest text of a description.
const DESCRIPTION: usize = 600;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    pub(super) cursor: Option<String>,
}

struct Row {
    name: String,
    shown: String,
    capability: String,
    /// Its own page, on which it is run; nowhere when it does not exist for whoever looks.
    address: Option<String>,
    title: Option<String>,
    description: String,
    badges: Vec<&'static str>,
    /// What happens to a call, in words.
    fate: &'static str,
    is_on: bool,
}

#[derive(Template)]
#[template(path = "connection_tools.html")]
struct Tools<'a> {
    navigation: Navigation,
    head: Head,
    problem: Option<&'a str>,
    rows: Vec<Row>,
    held: usize,
    may_switch: bool,
    next: Option<String>,
    is_later: bool,
}

pub(super) async fn show(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let cursor = asked.ok().and_then(|Query(asked)| asked.cursor);
    match Subject::find(&state, &headers, &uri, &id).await {
        Ok(subject) => render(&state, &subject, cursor, None).await,
        Err(response) => *response,
    }
}

async fn render(
    state: &ServerState,
    subject: &Subject,
    cursor: Option<String>,
    refusal: Option<&Refusal>,
) -> Response<Body> {
    let is_later = cursor.is_some();
    let wanted = PageRequest { limit: Some(SHOWN), cursor };
    let principal = &subject.signed_in.principal;
    let found = match state.broker.list_tools(principal, subject.connection.id, &wanted).await {
        Ok(found) => found,
        Err(refusal) => return refused(&refusal),
    };
    let manages = subject.manages();
    let tools = Tools {
        navigation: subject.navigation(state).await,
        head: subject.head("/tools"),
        problem: refusal.map(Refusal::in_words),
        rows: found.items.into_iter().map(|tool| row(&subject.connection, tool)).collect(),
        held: match manages {
            true => subject.connection.tools_held + subject.connection.others_held,
            false => 0,
        },
        may_switch: manages && !subject.connection.read_only,
        next: found.next_cursor.map(|cursor| format!("{}/tools?cursor={cursor}", subject.address())),
        is_later,
    };
    page(status_of(refusal), &tools)
}

fn row(connection: &ConnectionView, tool: ToolView) -> Row {
    let mut badges = Vec::new();
    if tool.read_only_hint == Some(true) {
        badges.push("only reads, it says");
    }
    if tool.destructive_hint == Some(true) {
        badges.push("may destroy, it says");
    }
    if !tool.findings.is_empty() {
        badges.push("look at its text");
    }
    let is_on = is_on(connection, &tool.name);
    let is_there = is_on && tool.state == CapabilityState::Approved && tool.decision != "deny";
    let address = is_there.then(|| format!("/tools/tool?name={}", encoded(&tool.capability)));
    let fate = match (is_on, tool.state, tool.decision) {
        (false, ..) => "Off: it does not exist for anybody",
        (_, CapabilityState::Held, _) => "Waits for review",
        (_, CapabilityState::Rejected, _) => "Rejected in review",
        (.., "require_approval") => "Your call would wait for approval",
        (.., "deny") => "The rules refuse your call",
        _ => "You may call it",
    };
    Row {
        address,
        shown: displayed(&tool.name, 200),
        capability: displayed(&tool.capability, 300),
        title: tool.title.map(|title| displayed(&title, 200)),
        description: displayed(&tool.description, DESCRIPTION),
        name: tool.name,
        badges,
        fate,
        is_on,
    }
}

fn is_on(connection: &ConnectionView, name: &str) -> bool {
    let listed =
        |list: &Option<Vec<String>>| list.iter().flatten().any(|entry| entry == "*" || entry == name);
    let all = connection.tool_allow.as_ref().is_none_or(Vec::is_empty);
    !listed(&connection.tool_deny) && (all || listed(&connection.tool_allow))
}

pub(super) async fn switch(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let (subject, fields) = match Subject::sent(&state, request, &id, &[]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let (Some(name), Some(on)) = (fields.get("name"), fields.get("on")) else {
        return not_the_form();
    };
    let principal = &subject.signed_in.principal;
    let connection = &subject.connection;
    let edit = switched(connection, name, on == "yes");
    let seen = Some(connection.revision);
    match state.broker.update_connection(principal, connection.id, seen, edit).await {
        Ok(_) => browser::see_other(&format!("{}/tools", subject.address())),
        Err(refusal) if refusal.kind == RefusalKind::Unavailable => unavailable(),
        Err(refusal) => {
            let operation = Operation::UpdateConnection;
            state.broker.record_refusal(principal, operation, &connection.id.to_string(), &refusal).await;
            render(&state, &subject, None, Some(&refusal)).await
        }
    }
}

/// The two lists with one name in or out. `*` is taken out when one of those it covers is wanted after all.
fn switched(connection: &ConnectionView, name: &str, on: bool) -> ConnectionEdit {
    let mut allow = connection.tool_allow.clone().unwrap_or_default();
    let mut deny = connection.tool_deny.clone().unwrap_or_default();
    if on {
        deny.retain(|entry| entry != name && entry != "*");
        if !allow.is_empty() && !allow.iter().any(|entry| entry == name || entry == "*") {
            allow.push(name.to_owned());
        }
    } else {
        deny.push(name.to_owned());
    }
    ConnectionEdit { tool_allow: Some(Some(allow)), tool_deny: Some(Some(deny)), ..ConnectionEdit::default() }
}
