//! All of them, and the sign-ins that stopped.

use askama::Template;
use axum::{
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use serde::Deserialize;
use switchboard_broker::{
    Attempt,
    manage::{OauthClientView, PageRequest, Refusal, RefusalKind},
};
use switchboard_catalog::displayed;

use super::{
    PATH,
    words::{Stopped, kind, name, published_at},
};
use crate::{
    ServerState, browser,
    ui::{
        account::person, connections::words::Moment, message, navigation::Navigation, next_page, no_page,
        scripted, unavailable,
    },
};

/// On one page.
const SHOWN: usize = 50;
/// Attempts that stopped.
const ATTEMPTS: usize = 10;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    q: String,
    cursor: Option<String>,
}

struct Row {
    id: String,
    name: String,
    kind: &'static str,
    published_at: Option<String>,
    enabled: bool,
    grants: i64,
    used: Option<Moment>,
}

struct Trace {
    who: String,
    source: String,
    client: Option<String>,
    last: Moment,
    stopped: Stopped,
}

#[derive(Template)]
#[template(path = "clients.html")]
struct List<'a> {
    navigation: Navigation,
    asked: &'a Asked,
    rows: Vec<Row>,
    is_filtered: bool,
    attempts: Vec<Trace>,
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
        let clients = state.broker.find_oauth_clients(principal, &asked.q, &wanted).await?;
        Ok::<_, Refusal>((clients, state.broker.stopped_attempts(principal)?))
    };
    let (clients, attempts) = match found.await {
        Ok(found) => found,
        Err(refusal) if refusal.kind == RefusalKind::Invalid => {
            let title = "There is no such part of the list";
            return message(StatusCode::BAD_REQUEST, title, &refusal.message, None);
        }
        Err(refusal) if refusal.kind == RefusalKind::Unavailable => return unavailable(),
        Err(_) => return no_page(),
    };
    let now = state.broker.clock().now();
    let form_token = browser::form_token(&state, &headers);
    let list = List {
        navigation: Navigation::new(&state, &signed_in, &form_token, PATH).await,
        rows: clients.items.iter().map(|client| row(client, now)).collect(),
        attempts: attempts.iter().take(ATTEMPTS).map(|attempt| trace(attempt, now)).collect(),
        is_filtered: !asked.q.trim().is_empty(),
        is_later: asked.cursor.is_some(),
        next: clients.next_cursor.map(|cursor| next_page(PATH, &[("q", &asked.q)], &cursor)),
        asked: &asked,
    };
    scripted(StatusCode::OK, &list)
}

fn row(client: &OauthClientView, now: switchboard_domain::Timestamp) -> Row {
    Row {
        id: client.id.to_string(),
        name: displayed(&name(client), 200),
        kind: kind(client),
        published_at: published_at(client),
        enabled: client.enabled,
        grants: client.grants,
        used: client.last_used_at.map(|at| Moment::ago(at, now)),
    }
}

fn trace(attempt: &Attempt, now: switchboard_domain::Timestamp) -> Trace {
    let agent = displayed(&attempt.agent, 120);
    Trace {
        who: if agent.is_empty() { "A program that does not say its name".to_owned() } else { agent },
        source: attempt.source.to_string(),
        client: attempt.client_id.as_deref().map(|client| displayed(client, 200)),
        last: Moment::ago(attempt.last_at, now),
        stopped: Stopped::of(attempt, now),
    }
}
