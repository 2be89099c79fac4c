//! `/members/{id}`: one person: their role, whether they are let in, where they still have to sign in, their teams.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, Response, Uri},
};
use switchboard_broker::{
    SignedIn,
    manage::{MemberEdit, Operation, PageRequest, PersonView, Refusal, StatusWord, TeamSummary},
};
use switchboard_domain::{MemberId, Role};

use super::{PATH, ROLES, role_from, role_in_words};
use crate::{
    ServerState, browser,
    ui::{
        account::{Sent, person},
        connections::words::Moment,
        navigation::Navigation,
        no_page, page,
        refused::{recorded, refused, status_of, unproven},
        sign_in::not_the_form,
    },
};

/// As many as one request gives.
const TEAMS: usize = 200;

struct Choice {
    value: &'static str,
    word: &'static str,
    means: &'static str,
    is_current: bool,
}

#[derive(Template)]
#[template(path = "member.html")]
struct One<'a> {
    navigation: Navigation,
    problem: Option<&'a str>,
    id: MemberId,
    name: &'a str,
    email: &'a str,
    role: &'static str,
    is_suspended: bool,
    is_self: bool,
    /// Why nothing about their membership can be changed by whoever looks.
    locked: Option<&'static str>,
    last_seen: Option<Moment>,
    since: Moment,
    to_sign_in: &'a [String],
    roles: Vec<Choice>,
    teams: Vec<TeamSummary>,
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
    render(&state, &signed_in, &browser::form_token(&state, &headers), id, None).await
}

async fn render(
    state: &ServerState,
    signed_in: &SignedIn,
    form_token: &str,
    id: MemberId,
    refusal: Option<&Refusal>,
) -> Response<Body> {
    let principal = &signed_in.principal;
    let all = PageRequest { limit: Some(TEAMS), cursor: None };
    let found = async {
        let person = state.broker.read_person(principal, id).await?;
        let is_last = state.broker.is_last_owner(principal, &person.member).await?;
        let teams = state.broker.find_teams(principal, &all).await?.items;
        Ok::<_, Refusal>((person, is_last, teams))
    };
    let (PersonView { member, last_seen_at, to_sign_in }, is_last, teams) = match found.await {
        Ok(found) => found,
        Err(refusal) => return refused(&refusal),
    };
    let now = state.broker.clock().now();
    let path = format!("{PATH}/{id}");
    let one = One {
        navigation: Navigation::new(state, signed_in, form_token, &path).await,
        problem: refusal.map(Refusal::in_words),
        id,
        name: &member.display_name,
        email: &member.email,
        role: role_in_words(member.role),
        is_suspended: member.status == StatusWord::Suspended.as_str(),
        is_self: principal.member() == Some(id),
        locked: locked(principal.role, member.role, is_last),
        last_seen: last_seen_at.map(|at| Moment::ago(at, now)),
        since: Moment::ago(member.created_at, now),
        to_sign_in: &to_sign_in,
        roles: roles(principal.role, member.role),
        teams: teams.into_iter().filter(|team| member.teams.contains(&team.id)).collect(),
    };
    page(status_of(refusal), &one)
}

/// As `broker::manage` decides it, said before anybody tries.
const fn locked(mine: Role, theirs: Role, is_last: bool) -> Option<&'static str> {
    match (mine, theirs, is_last) {
        (_, _, true) => Some(
            "This is the organization's last owner: their role stays, and they can't be suspended or removed. Make somebody \
             else an owner first.",
        ),
        (Role::Admin, Role::Owner, _) => Some("Only an owner can change or remove an owner."),
        _ => None,
    }
}

fn roles(mine: Role, theirs: Role) -> Vec<Choice> {
    let means = |role| match role {
        Role::Member => "uses what is granted to them",
        Role::Admin => "runs the organization, but for owners",
        Role::Owner => "everything",
    };
    let offered = ROLES.into_iter().filter(|(role, _)| *role != Role::Owner || mine == Role::Owner);
    let choice = |(role, word): (Role, &'static str)| Choice {
        value: role.as_str(),
        word,
        means: means(role),
        is_current: role == theirs,
    };
    offered.map(choice).collect()
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
    let Ok(id) = id.parse::<MemberId>() else { return no_page() };
    let here = format!("{PATH}/{id}");
    let principal = &sent.signed_in.principal;
    // Who may not look may not be told that a proof is missing.
    if let Err(refusal) = state.broker.read_person(principal, id).await {
        return refused(&refusal);
    }
    if let Some(response) = unproven(&state, &sent.signed_in, &here) {
        return response;
    }
    let edit = |edit: MemberEdit| state.broker.update_member(principal, id, edit);
    let status = |word| MemberEdit { status: Some(word), ..MemberEdit::default() };
    let role = sent.fields.get("role").and_then(role_from);
    let (operation, outcome, next) = match (sent.fields.get("what"), role) {
        (Some("role"), Some(_)) => {
            let wanted = MemberEdit { role, ..MemberEdit::default() };
            (Operation::UpdateMember, edit(wanted).await.map(drop), &*here)
        }
        (Some("suspend"), _) => {
            (Operation::UpdateMember, edit(status(StatusWord::Suspended)).await.map(drop), &*here)
        }
        (Some("reactivate"), _) => {
            (Operation::UpdateMember, edit(status(StatusWord::Active)).await.map(drop), &*here)
        }
        (Some("remove"), _) => {
            (Operation::RemoveMember, state.broker.remove_member(principal, id).await, PATH)
        }
        _ => return not_the_form(),
    };
    let Err(refusal) = outcome else { return browser::see_other(next) };
    match recorded(&state, &sent.signed_in, (operation, &id.to_string()), refusal).await {
        Ok(refusal) => render(&state, &sent.signed_in, &sent.form_token, id, Some(&refusal)).await,
        Err(response) => *response,
    }
}
