//! `/members`: everybody, with filters, in pages.

use askama::Template;
use axum::{
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use serde::Deserialize;
use switchboard_broker::manage::{MemberFilter, PageRequest, PersonView, StatusWord};

use super::{PATH, ROLES, Tab, role_from, role_in_words, tabs};
use crate::{
    ServerState, browser,
    ui::{
        account::person, connections::words::Moment, navigation::Navigation, next_page, refused::refused,
        scripted,
    },
};

/// On one page.
const SHOWN: usize = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    q: String,
    role: String,
    status: String,
    cursor: Option<String>,
}

struct Row {
    id: String,
    name: String,
    email: String,
    role: &'static str,
    is_suspended: bool,
    last_seen: Option<Moment>,
    to_sign_in: usize,
}

#[derive(Template)]
#[template(path = "members.html")]
struct List<'a> {
    navigation: Navigation,
    tabs: Vec<Tab>,
    asked: &'a Asked,
    roles: Vec<(&'static str, &'static str)>,
    rows: Vec<Row>,
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
    let filter = MemberFilter {
        text: (!text.is_empty()).then(|| text.to_owned()),
        role: role_from(&asked.role),
        status: StatusWord::ALL.into_iter().find(|status| status.as_str() == asked.status),
    };
    let wanted = PageRequest { limit: Some(SHOWN), cursor: asked.cursor.clone() };
    let found = match state.broker.find_members(&signed_in.principal, &filter, &wanted).await {
        Ok(found) => found,
        Err(refusal) => return refused(&refusal),
    };
    let form_token = browser::form_token(&state, &headers);
    let list = List {
        navigation: Navigation::new(&state, &signed_in, &form_token, PATH).await,
        tabs: tabs(PATH),
        roles: ROLES.into_iter().map(|(role, word)| (role.as_str(), word)).collect(),
        rows: found.items.into_iter().map(|person| row(&state, person)).collect(),
        is_filtered: filter.text.is_some() || filter.role.is_some() || filter.status.is_some(),
        is_later: asked.cursor.is_some(),
        next: found.next_cursor.map(|cursor| {
            let same = [("q", asked.q.as_str()), ("role", &asked.role), ("status", &asked.status)];
            next_page(PATH, &same, &cursor)
        }),
        asked: &asked,
    };
    scripted(StatusCode::OK, &list)
}

fn row(state: &ServerState, person: PersonView) -> Row {
    let now = state.broker.clock().now();
    Row {
        id: person.member.id.to_string(),
        role: role_in_words(person.member.role),
        is_suspended: person.member.status == StatusWord::Suspended.as_str(),
        last_seen: person.last_seen_at.map(|at| Moment::ago(at, now)),
        to_sign_in: person.to_sign_in.len(),
        name: person.member.display_name,
        email: person.member.email,
    }
}
