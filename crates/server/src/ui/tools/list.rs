//! `/tools`: the search that agents use, for a person.

use askama::Template;
use axum::{
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use serde::Deserialize;
use switchboard_broker::{
    CallFailure, SignedIn,
    manage::{ConnectionScope, FoundTool, FoundTools, HiddenTool, PageRequest, ToolQuery, WaitingConnection},
};
use switchboard_catalog::displayed;
use switchboard_domain::ErrorCode;

use super::{PATH, address};
use crate::{
    ServerState, browser,
    ui::{account::person, message, navigation::Navigation, next_page, page, unavailable},
};

/// On one page: as many as one answer to an agent may have.
const SHOWN: u32 = 20;
/// Longest text of a description in the list.
const DESCRIPTION: usize = 240;
/// Tools that are not found, each with why.
const HIDDEN: usize = 10;
/// Connections to choose from.
const CHOICES: usize = 200;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    q: String,
    connection: String,
    cursor: Option<String>,
}

struct Row {
    address: String,
    capability: String,
    connection: String,
    title: Option<String>,
    description: String,
    badges: Vec<(&'static str, &'static str)>,
    why: Vec<String>,
}

/// A tool that no call reaches, and where that is changed.
struct Hidden {
    capability: String,
    connection: String,
    word: &'static str,
    why: String,
    address: String,
    label: &'static str,
}

struct Waiting {
    name: String,
    message: String,
    address: String,
    label: String,
}

struct Choice {
    slug: String,
    name: String,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "tools.html")]
struct List<'a> {
    navigation: Navigation,
    asked: &'a Asked,
    choices: Vec<Choice>,
    rows: Vec<Row>,
    waiting: Vec<Waiting>,
    hidden: Vec<Hidden>,
    hidden_total: usize,
    total: usize,
    hint: Option<String>,
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
    let query = ToolQuery {
        text: asked.q.trim().to_owned(),
        connection: (!asked.connection.is_empty()).then(|| asked.connection.clone()),
        cursor: asked.cursor.clone(),
        limit: SHOWN,
    };
    let found = match state.broker.find_tools(&signed_in.principal, &query).await {
        Ok(found) => found,
        Err(failure) => return not_found(&failure),
    };
    let form_token = browser::form_token(&state, &headers);
    let navigation = Navigation::new(&state, &signed_in, &form_token, PATH).await;
    let choices = choices(&state, &signed_in, &asked.connection).await;
    let mut list = list(found, navigation, &asked, choices);
    // On the first page: it is another list. Without it the search is still worth showing.
    if asked.cursor.is_none() {
        let wanted = (asked.q.trim(), asked.connection.as_str());
        let hidden = state.broker.find_hidden_tools(&signed_in.principal, wanted, HIDDEN).unwrap_or_default();
        list.hidden_total = hidden.total;
        list.hidden = hidden.shown.into_iter().map(hidden_row).collect();
    }
    page(StatusCode::OK, &list)
}

fn list<'a>(found: FoundTools, navigation: Navigation, asked: &'a Asked, choices: Vec<Choice>) -> List<'a> {
    List {
        navigation,
        choices,
        total: found.total,
        rows: found.tools.into_iter().map(row).collect(),
        waiting: found.waiting.into_iter().map(waiting).collect(),
        hidden: Vec::new(),
        hidden_total: 0,
        hint: found.hint,
        is_later: asked.cursor.is_some(),
        next: found
            .next_cursor
            .map(|cursor| next_page(PATH, &[("q", &asked.q), ("connection", &asked.connection)], &cursor)),
        asked,
    }
}

/// A search that was not answered: of an old link, or because nothing can be looked up now.
fn not_found(failure: &CallFailure) -> Response<Body> {
    match failure.error.code {
        ErrorCode::InvalidArguments => message(
            StatusCode::BAD_REQUEST,
            "There is no such part of the list",
            "The link belongs to another search, or to one of long ago. Search again.",
            None,
        ),
        ErrorCode::UnknownCapability => message(
            StatusCode::NOT_FOUND,
            "No such connection",
            "There is no such connection, or it is not granted to you. Search in all of them instead.",
            None,
        ),
        _ => unavailable(),
    }
}

async fn choices(state: &ServerState, signed_in: &SignedIn, chosen: &str) -> Vec<Choice> {
    let all = PageRequest { limit: Some(CHOICES), cursor: None };
    let usable = state.broker.list_connections(&signed_in.principal, ConnectionScope::Usable, &all).await;
    // A list without the choice is better than none.
    let usable = usable.map(|page| page.items).unwrap_or_default();
    let slug = |own: bool, slug: &str| if own { format!("~{slug}") } else { slug.to_owned() };
    let choice = |it: switchboard_broker::manage::ConnectionView| {
        let slug = slug(it.owner == switchboard_broker::manage::OwnerWord::Member, &it.slug);
        Choice { is_chosen: slug == chosen, slug, name: it.name }
    };
    usable.into_iter().map(choice).collect()
}

fn row(tool: FoundTool) -> Row {
    let reasons = tool.reasons.into_iter().map(|reason| {
        let instead = reason.instead.map_or_else(String::new, |it| format!(" (as “{}”)", displayed(&it, 60)));
        format!("“{}”{instead} in {}", displayed(&reason.word, 60), reason.place)
    });
    Row {
        address: address(&tool.capability),
        capability: displayed(&tool.capability, 300),
        connection: tool.connection,
        title: tool.title.map(|title| displayed(&title, 200)),
        description: displayed(&tool.description, DESCRIPTION),
        badges: badges(tool.read_only_hint, tool.destructive_hint, tool.needs_approval),
        why: reasons.collect(),
    }
}

/// What to know before a call, each with its look. What the upstream claims is called a claim.
pub(super) fn badges(
    read_only: bool,
    destructive: bool,
    needs_approval: bool,
) -> Vec<(&'static str, &'static str)> {
    let all = [
        (needs_approval, "ask", "Needs approval"),
        (destructive, "bad", "May destroy, it says"),
        (read_only, "plain", "Only reads, it says"),
    ];
    all.into_iter().filter(|(given, ..)| *given).map(|(_, tone, word)| (tone, word)).collect()
}

fn hidden_row(tool: HiddenTool) -> Hidden {
    let at = |tab: &str| format!("/connections/{}{tab}", tool.connection);
    let (word, address, label) = match tool.code {
        "filtered" => ("Off", at("/tools"), "Turn it on"),
        "changed" if tool.is_rejected => ("Rejected in review", at("/review"), "See the review"),
        "changed" => ("Waits for review", at("/review"), "Review it"),
        "disabled" => ("Connection off", at(""), "See the connection"),
        "not_granted" | "staged" => ("Not yours to use", at("/access"), "Who may use it"),
        "blocked" => ("Blocked by a rule", "/policies".to_owned(), "See the rules"),
        _ => ("Not to be had", at(""), "See the connection"),
    };
    Hidden {
        capability: displayed(&tool.capability, 300),
        connection: tool.connection_name,
        word,
        why: tool.why,
        address,
        label,
    }
}

fn waiting(connection: WaitingConnection) -> Waiting {
    let slug = connection.slug.trim_start_matches('~');
    let label = connection.action.map_or_else(|| "Look at it".to_owned(), |action| action.label);
    Waiting {
        address: format!("/connections?q={}", crate::ui::sign_in::encoded(slug)),
        name: connection.name,
        message: connection.message,
        label,
    }
}
