//! The toolkits that a person may see, as cards.

use askama::Template;
use axum::{
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use serde::Deserialize;
use switchboard_broker::manage::{OwnerWord, PageRequest, RefusalKind, ToolkitSummary, ToolkitView};

use super::PATH;
use crate::{
    ServerState, browser,
    ui::{account::person, mark::Mark, message, navigation::Navigation, next_page, scripted, unavailable},
};

/// On one page.
const SHOWN: usize = 48;
/// Marks on one card.
const MARKS: usize = 4;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    q: String,
    cursor: Option<String>,
}

struct Card {
    id: String,
    name: String,
    path: String,
    is_mine: bool,
    is_direct: bool,
    tools: usize,
    connections: usize,
    marks: Vec<Mark>,
    more: usize,
    /// Whom it is for, to whoever manages it.
    audience: Option<String>,
}

#[derive(Template)]
#[template(path = "toolkits.html")]
struct List<'a> {
    navigation: Navigation,
    is_admin: bool,
    asked: &'a Asked,
    cards: Vec<Card>,
    is_filtered: bool,
    is_later: bool,
    next: Option<String>,
}

pub(super) async fn show(
    State(state): State<ServerState>,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let wanted = PageRequest { limit: Some(SHOWN), cursor: asked.cursor.clone() };
    let principal = &signed_in.principal;
    let found = async {
        let toolkits = state.broker.find_toolkits(principal, &asked.q, &wanted).await?;
        let summaries = state.broker.summarize_toolkits(principal, &toolkits.items)?;
        Ok::<_, switchboard_broker::manage::Refusal>((toolkits, summaries))
    };
    let (toolkits, summaries) = match found.await {
        Ok(found) => found,
        Err(refusal) if refusal.kind == RefusalKind::Invalid => {
            let title = "There is no such part of the list";
            return message(StatusCode::BAD_REQUEST, title, &refusal.message, None);
        }
        Err(refusal) => {
            tracing::error!(%refusal, "toolkits can't be listed");
            return unavailable();
        }
    };
    let form_token = browser::form_token(&state, &headers);
    let list = List {
        navigation: Navigation::new(&state, &signed_in, &form_token, PATH).await,
        is_admin: principal.role.is_admin(),
        cards: toolkits
            .items
            .into_iter()
            .zip(summaries)
            .map(|(toolkit, summary)| card(toolkit, &summary))
            .collect(),
        is_filtered: !asked.q.trim().is_empty(),
        is_later: asked.cursor.is_some(),
        next: toolkits.next_cursor.map(|cursor| next_page(PATH, &[("q", &asked.q)], &cursor)),
        asked: &asked,
    };
    scripted(StatusCode::OK, &list)
}

fn card(toolkit: ToolkitView, summary: &ToolkitSummary) -> Card {
    let is_mine = toolkit.owner == OwnerWord::Member;
    let tilde = if is_mine { "~" } else { "" };
    let marks = summary.connections.iter().take(MARKS).map(|(_, name, host)| Mark::of(name, host));
    Card {
        id: toolkit.id.to_string(),
        path: format!("/mcp/toolkits/{tilde}{}", toolkit.slug),
        is_mine,
        is_direct: toolkit.surface == "direct",
        tools: summary.tools,
        connections: summary.connections.len(),
        marks: marks.collect(),
        more: summary.connections.len().saturating_sub(MARKS),
        audience: audience(&toolkit),
        name: toolkit.name,
    }
}

fn audience(toolkit: &ToolkitView) -> Option<String> {
    let (members, teams) = (toolkit.members.as_ref()?.len(), toolkit.teams.as_ref()?.len());
    let count = |count: usize, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {many}")),
    };
    let parts: Vec<String> =
        [count(teams, "team", "teams"), count(members, "person", "people")].into_iter().flatten().collect();
    Some(match (toolkit.owner, parts.is_empty()) {
        (OwnerWord::Member, _) => "Only you".to_owned(),
        (OwnerWord::Organization, true) => "Whoever is granted its connections".to_owned(),
        (OwnerWord::Organization, false) => parts.join(", "),
    })
}
