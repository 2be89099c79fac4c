//! `/members/teams/{id}`: a team's name, who is in it, and its end.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, Response, Uri},
};
use switchboard_broker::{
    SignedIn,
    manage::{MemberView, Operation, Refusal, TeamEdit, TeamMembers, TeamView},
};
use switchboard_domain::{MemberId, TeamId};

use super::teams::HERE;
use crate::{
    ServerState, browser,
    ui::{
        account::{Sent, person},
        navigation::Navigation,
        no_page, page,
        refused::{recorded, refused, status_of, unproven},
        sign_in::not_the_form,
    },
};

/// People on one page; a larger team is looked after by command or by an identity provider.
const SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "team.html")]
struct One<'a> {
    navigation: Navigation,
    problem: Option<&'a str>,
    team: &'a TeamView,
    name: &'a str,
    email: &'a str,
    members: Vec<MemberView>,
    more: usize,
}

/// What was typed, to be shown again.
#[derive(Default)]
struct Typed {
    name: Option<String>,
    email: String,
}

pub(super) async fn show(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let Ok(id) = id.parse() else { return no_page() };
    let form_token = browser::form_token(&state, &headers);
    render(&state, (&signed_in, &form_token), id, &Typed::default(), None).await
}

async fn render(
    state: &ServerState,
    (signed_in, form_token): (&SignedIn, &str),
    id: TeamId,
    typed: &Typed,
    refusal: Option<&Refusal>,
) -> Response<Body> {
    let team = match state.broker.read_team(&signed_in.principal, id).await {
        Ok(team) => team,
        Err(refusal) => return refused(&refusal),
    };
    let shown = team.members.get(..SHOWN).unwrap_or(&team.members);
    let members = match state.broker.read_members(&signed_in.principal, shown).await {
        Ok(members) => members,
        Err(refusal) => return refused(&refusal),
    };
    let one = One {
        navigation: Navigation::new(state, signed_in, form_token, &format!("{HERE}/{id}")).await,
        problem: refusal.map(Refusal::in_words),
        name: typed.name.as_deref().unwrap_or(&team.name),
        email: &typed.email,
        more: team.members.len().saturating_sub(SHOWN),
        members,
        team: &team,
    };
    page(status_of(refusal), &one)
}

pub(super) async fn change(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let sent = match Sent::read(&state, request).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let Ok(id) = id.parse::<TeamId>() else { return no_page() };
    let here = format!("{HERE}/{id}");
    let text = |name: &str| sent.fields.get(name).map(|text| text.trim().to_owned());
    let principal = &sent.signed_in.principal;
    let leaving = text("member").and_then(|id| id.parse::<MemberId>().ok());
    let mut typed = Typed::default();
    let (operation, outcome, next) = match (sent.fields.get("what"), leaving) {
        (Some("rename"), _) => {
            typed.name = text("name");
            let edit = TeamEdit { name: typed.name.clone() };
            let outcome = state.broker.update_team(principal, id, edit).await;
            (Operation::UpdateTeam, outcome.map(drop), &*here)
        }
        (Some("add"), _) => {
            typed.email = text("email").unwrap_or_default();
            let outcome = async {
                let member = state.broker.find_member(principal, &typed.email).await?.id;
                with_members(&state, &sent, id, |members| members.push(member)).await
            };
            (Operation::PutTeamMembers, outcome.await, &*here)
        }
        (Some("remove"), Some(leaving)) => {
            let outcome = with_members(&state, &sent, id, |members| members.retain(|it| *it != leaving));
            (Operation::PutTeamMembers, outcome.await, &*here)
        }
        (Some("delete"), _) => {
            if let Err(refusal) = state.broker.read_team(principal, id).await {
                return refused(&refusal);
            }
            if let Some(response) = unproven(&state, &sent.signed_in, &here) {
                return response;
            }
            (Operation::DeleteTeam, state.broker.delete_team(principal, id).await, HERE)
        }
        _ => return not_the_form(),
    };
    let Err(refusal) = outcome else { return browser::see_other(next) };
    match recorded(&state, &sent.signed_in, (operation, &id.to_string()), refusal).await {
        Ok(refusal) => {
            let who = (&sent.signed_in, sent.form_token.as_str());
            render(&state, who, id, &typed, Some(&refusal)).await
        }
        Err(response) => *response,
    }
}

/// One in or out; the others stay as they are now, not as they were when the page was made.
async fn with_members(
    state: &ServerState,
    sent: &Sent,
    id: TeamId,
    change: impl FnOnce(&mut Vec<MemberId>),
) -> Result<(), Refusal> {
    let principal = &sent.signed_in.principal;
    let mut members = state.broker.read_team(principal, id).await?.members;
    change(&mut members);
    state.broker.put_team_members(principal, id, TeamMembers { members }).await.map(drop)
}
