//! `/connections`: all that a person may see, each with its state, the reason, who acts, and one thing to do.

use askama::Template;
use axum::{
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use serde::Deserialize;
use switchboard_broker::{
    SignedIn,
    manage::{ConnectionFilter, ConnectionView, OwnerWord, PageRequest, RefusalKind},
};
use switchboard_domain::{ConnectionStatus, Rollout};

use super::{
    PATH,
    words::{Moment, STATES, State as Shown, Step, actor_in_words},
};
use crate::{
    ServerState, browser,
    ui::{account::person, mark::Mark, message, navigation::Navigation, next_page, scripted, unavailable},
};

/// On one page.
const SHOWN: usize = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    q: String,
    state: String,
    cursor: Option<String>,
}

struct Row {
    id: String,
    name: String,
    slug: String,
    mark: Mark,
    is_personal: bool,
    state: Shown,
    message: String,
    owner: Option<&'static str>,
    tools: usize,
    held: usize,
    checked: Option<Moment>,
    step: Option<Step>,
    is_busy: bool,
    is_staged: bool,
}

#[derive(Template)]
#[template(path = "connections.html")]
struct List<'a> {
    navigation: Navigation,
    is_admin: bool,
    staged: usize,
    published: usize,
    rows: Vec<Row>,
    states: &'static [(ConnectionStatus, &'static str)],
    asked: &'a Asked,
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
    let text = asked.q.trim();
    let filter = ConnectionFilter {
        text: (!text.is_empty()).then(|| text.to_owned()),
        status: ConnectionStatus::from_word(&asked.state),
        ..ConnectionFilter::default()
    };
    let wanted = PageRequest { limit: Some(SHOWN), cursor: asked.cursor.clone() };
    let found = match state.broker.find_connections(&signed_in.principal, &filter, &wanted).await {
        Ok(found) => found,
        Err(refusal) if refusal.kind == RefusalKind::Invalid => {
            return message(
                StatusCode::BAD_REQUEST,
                "There is no such part of the list",
                &refusal.message,
                None,
            );
        }
        Err(refusal) => {
            tracing::error!(%refusal, "connections can't be listed");
            return unavailable();
        }
    };
    let form_token = browser::form_token(&state, &headers);
    // Nobody but admins is told; for the list it is not worth an error.
    let rollout = state.broker.read_rollout(&signed_in.principal).await.unwrap_or_default();
    let list = List {
        staged: rollout.staged.len(),
        published: rollout.published.len(),
        navigation: Navigation::new(&state, &signed_in, &form_token, PATH).await,
        is_admin: signed_in.principal.role.is_admin(),
        rows: found.items.into_iter().map(|connection| row(&state, &signed_in, connection)).collect(),
        states: STATES,
        is_filtered: filter.text.is_some() || filter.status.is_some(),
        is_later: asked.cursor.is_some(),
        next: found
            .next_cursor
            .map(|cursor| next_page(PATH, &[("q", &asked.q), ("state", &asked.state)], &cursor)),
        asked: &asked,
    };
    scripted(StatusCode::OK, &list)
}

fn row(state: &ServerState, signed_in: &SignedIn, connection: ConnectionView) -> Row {
    let principal = &signed_in.principal;
    let is_personal = connection.owner == OwnerWord::Member;
    let manages = is_personal || principal.role.is_admin();
    Row {
        id: connection.id.to_string(),
        mark: Mark::of(&connection.name, &connection.url),
        is_personal,
        state: Shown::of(&connection),
        owner: connection.action_owner.and_then(|actor| actor_in_words(actor, manages)),
        tools: connection.tools_count,
        held: if manages { connection.tools_held + connection.others_held } else { 0 },
        checked: connection.checked_at.map(|at| Moment::ago(at, state.broker.clock().now())),
        step: Step::of(&connection, principal, manages),
        is_staged: connection.rollout == Rollout::Staged,
        is_busy: matches!(connection.status, ConnectionStatus::Checking | ConnectionStatus::Authorizing),
        name: connection.name,
        slug: connection.slug,
        message: connection.message,
    }
}
