//! `/members/teams`: named sets of members, to grant connections to.

use askama::Template;
use axum::{
    body::Body,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, Response, Uri},
};
use serde::Deserialize;
use switchboard_broker::{
    SignedIn,
    manage::{NewTeam, Operation, PageRequest, Refusal, TeamSummary},
};

use super::{Tab, tabs};
use crate::{
    ServerState, browser,
    ui::{
        account::{Sent, person},
        navigation::Navigation,
        page,
        refused::{recorded, refused, status_of},
        sign_in::not_the_form,
    },
};

pub(super) const HERE: &str = "/members/teams";
const SHOWN: usize = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "teams.html")]
struct List<'a> {
    navigation: Navigation,
    tabs: Vec<Tab>,
    problem: Option<&'a str>,
    name: &'a str,
    rows: Vec<TeamSummary>,
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
    let cursor = asked.ok().and_then(|Query(asked)| asked.cursor);
    render(&state, (&signed_in, &browser::form_token(&state, &headers)), cursor, "", None).await
}

async fn render(
    state: &ServerState,
    (signed_in, form_token): (&SignedIn, &str),
    cursor: Option<String>,
    name: &str,
    refusal: Option<&Refusal>,
) -> Response<Body> {
    let is_later = cursor.is_some();
    let wanted = PageRequest { limit: Some(SHOWN), cursor };
    let found = match state.broker.find_teams(&signed_in.principal, &wanted).await {
        Ok(found) => found,
        Err(refusal) => return refused(&refusal),
    };
    let list = List {
        navigation: Navigation::new(state, signed_in, form_token, HERE).await,
        tabs: tabs(HERE),
        problem: refusal.map(Refusal::in_words),
        name,
        rows: found.items,
        is_later,
        next: found.next_cursor.map(|cursor| format!("{HERE}?cursor={cursor}")),
    };
    page(status_of(refusal), &list)
}

pub(super) async fn create(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let sent = match Sent::read(&state, request).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let Some(name) = sent.fields.get("name").map(str::to_owned) else { return not_the_form() };
    let new = NewTeam { name: name.clone(), members: Vec::new() };
    match state.broker.create_team(&sent.signed_in.principal, new).await {
        Ok(team) => browser::see_other(&format!("{HERE}/{}", team.id)),
        Err(refusal) => {
            match recorded(&state, &sent.signed_in, (Operation::CreateTeam, &name), refusal).await {
                Ok(refusal) => {
                    let who = (&sent.signed_in, sent.form_token.as_str());
                    render(&state, who, None, &name, Some(&refusal)).await
                }
                Err(response) => *response,
            }
        }
    }
}
