//! `/members/invitations`: whom somebody asked in, and a form to ask another. The link is shown once, on the page that
//! answers the form.

use askama::Template;
use axum::{
    body::Body,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, Response, Uri},
};
use serde::Deserialize;
use switchboard_broker::{
    SignedIn,
    manage::{
        CreatedInvitation, InvitationView, NewInvitation, Operation, PageRequest, Refusal, TeamSummary,
    },
};
use switchboard_domain::{InvitationId, Role, TeamId};

use super::{ROLES, Tab, role_from, role_in_words, tabs};
use crate::{
    ServerState, browser,
    ui::{
        account::{Sent, person},
        connections::words::Moment,
        is_local,
        navigation::Navigation,
        no_page, once,
        refused::{recorded, refused, status_of, unproven},
        scripted,
        sign_in::not_the_form,
    },
};

const HERE: &str = "/members/invitations";
const SHOWN: usize = 50;
const TEAMS: usize = 200;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    cursor: Option<String>,
}

struct Row {
    id: InvitationId,
    email: String,
    role: &'static str,
    state: &'static str,
    tone: &'static str,
    is_open: bool,
    made: Moment,
    expires: String,
}

/// What was typed, to be shown again.
#[derive(Debug, Default)]
struct Typed {
    email: String,
    role: Option<Role>,
    teams: Vec<TeamId>,
}

#[derive(Template)]
#[template(path = "member_invitations.html")]
struct List<'a> {
    navigation: Navigation,
    tabs: Vec<Tab>,
    problem: Option<&'a str>,
    /// Just made: for whom, and the link.
    made: Option<(&'a str, &'a str)>,
    typed: &'a Typed,
    roles: Vec<(&'static str, &'static str, bool)>,
    teams: Vec<(TeamSummary, bool)>,
    rows: Vec<Row>,
    is_later: bool,
    /// The link leads to this machine.
    is_local: bool,
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
    let form_token = browser::form_token(&state, &headers);
    render(&state, (&signed_in, &form_token), cursor, (&Typed::default(), None), None).await
}

async fn render(
    state: &ServerState,
    (signed_in, form_token): (&SignedIn, &str),
    cursor: Option<String>,
    (typed, refusal): (&Typed, Option<&Refusal>),
    made: Option<&CreatedInvitation>,
) -> Response<Body> {
    let principal = &signed_in.principal;
    let is_later = cursor.is_some();
    let found = async {
        let wanted = PageRequest { limit: Some(SHOWN), cursor };
        let invitations = state.broker.list_invitations(principal, &wanted).await?;
        let all = PageRequest { limit: Some(TEAMS), cursor: None };
        Ok::<_, Refusal>((invitations, state.broker.find_teams(principal, &all).await?.items))
    };
    let (found, teams) = match found.await {
        Ok(found) => found,
        Err(refusal) => return refused(&refusal),
    };
    let chosen = typed.role.unwrap_or(Role::Member);
    let offered = ROLES.into_iter().filter(|(role, _)| *role != Role::Owner || principal.role == Role::Owner);
    let list = List {
        navigation: Navigation::new(state, signed_in, form_token, HERE).await,
        tabs: tabs(HERE),
        problem: refusal.map(Refusal::in_words),
        made: made.map(|made| (made.invitation.email.as_str(), made.url.expose())),
        roles: offered.map(|(role, word)| (role.as_str(), word, role == chosen)).collect(),
        teams: teams
            .into_iter()
            .map(|team| (typed.teams.contains(&team.id), team))
            .map(|(is, it)| (it, is))
            .collect(),
        rows: found.items.into_iter().map(|invitation| row(state, invitation)).collect(),
        typed,
        is_later,
        is_local: is_local(state),
        next: found.next_cursor.map(|cursor| format!("{HERE}?cursor={cursor}")),
    };
    scripted(status_of(refusal), &list)
}

fn row(state: &ServerState, invitation: InvitationView) -> Row {
    let (word, tone) = match invitation.status {
        "pending" => ("Open", "ask"),
        "accepted" => ("Accepted", "good"),
        "revoked" => ("Revoked", "off"),
        _ => ("Expired", "off"),
    };
    Row {
        id: invitation.id,
        role: role_in_words(invitation.role),
        state: word,
        tone,
        is_open: invitation.status == "pending",
        made: Moment::ago(invitation.created_at, state.broker.clock().now()),
        expires: invitation.expires_at.to_string().chars().take(16).collect::<String>().replace('T', " "),
        email: invitation.email,
    }
}

pub(super) async fn change(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let sent = match Sent::read_repeating(&state, request, &["team"]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    match sent.fields.get("what") {
        Some("invite") => invite(&state, &sent).await,
        Some("revoke") => revoke(&state, &sent).await,
        _ => not_the_form(),
    }
}

async fn invite(state: &ServerState, sent: &Sent) -> Response<Body> {
    let teams: Result<Vec<TeamId>, _> = sent.fields.all("team").map(str::parse).collect();
    let Ok(teams) = teams else { return not_the_form() };
    let role = sent.fields.get("role").and_then(role_from);
    let email = sent.fields.get("email").unwrap_or_default().trim().to_owned();
    let typed = Typed { email: email.clone(), role, teams: teams.clone() };
    let principal = &sent.signed_in.principal;
    let gives_power = role.is_some_and(Role::is_admin) && principal.role.is_admin();
    if let Some(response) = gives_power.then(|| unproven(state, &sent.signed_in, HERE)).flatten() {
        return response;
    }
    if let Some(response) = once::sent_before(state, sent, HERE).await {
        return response;
    }
    let new = NewInvitation { email, role, teams, expires_in_days: None };
    let who = (&sent.signed_in, sent.form_token.as_str());
    match state.broker.create_invitation(principal, new).await {
        Ok(made) => render(state, who, None, (&Typed::default(), None), Some(&made)).await,
        Err(refusal) => {
            let about = (Operation::CreateInvitation, typed.email.as_str());
            match recorded(state, &sent.signed_in, about, refusal).await {
                Ok(refusal) => render(state, who, None, (&typed, Some(&refusal)), None).await,
                Err(response) => *response,
            }
        }
    }
}

async fn revoke(state: &ServerState, sent: &Sent) -> Response<Body> {
    let Some(id) = sent.fields.get("id").and_then(|id| id.parse::<InvitationId>().ok()) else {
        return no_page();
    };
    let Err(refusal) = state.broker.revoke_invitation(&sent.signed_in.principal, id).await else {
        return browser::see_other(HERE);
    };
    let about = (Operation::RevokeInvitation, &*id.to_string());
    match recorded(state, &sent.signed_in, about, refusal).await {
        Ok(refusal) => refused(&refusal),
        Err(response) => *response,
    }
}
