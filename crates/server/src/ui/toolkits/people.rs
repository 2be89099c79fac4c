//! `/toolkits/{id}/people`: whom it is for. Naming somebody grants nothing: who lacks a grant finds nothing in it.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, Response, Uri},
};
use switchboard_broker::manage::{MemberView, Operation, Refusal, RefusalKind, TeamSummary, ToolkitEdit};
use switchboard_domain::{MemberId, TeamId};

use super::frame::{Head, Subject, no_toolkit, refused, status_of};
use crate::{
    ServerState, browser,
    ui::{
        connections::{PEOPLE_SHOWN, people_of, teams_shown, with_unseen},
        navigation::Navigation,
        page,
        sign_in::not_the_form,
        unavailable,
    },
};

#[derive(Template)]
#[template(path = "toolkit_people.html")]
struct People<'a> {
    navigation: Navigation,
    head: Head,
    problem: Option<&'a str>,
    is_for_all: bool,
    teams: Vec<(TeamSummary, bool)>,
    members: Vec<MemberView>,
    more: usize,
    email: &'a str,
}

pub(super) async fn show(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    match Subject::find(&state, &headers, &uri, &id).await {
        Ok(subject) => render(&state, &subject, "", None).await,
        Err(response) => *response,
    }
}

async fn render(
    state: &ServerState,
    subject: &Subject,
    email: &str,
    refusal: Option<&Refusal>,
) -> Response<Body> {
    let toolkit = &subject.toolkit;
    let (Some(named), Some(named_teams)) = (&toolkit.members, &toolkit.teams) else { return no_toolkit() };
    if subject.is_mine() {
        return no_toolkit();
    }
    let principal = &subject.signed_in.principal;
    let teams = match teams_shown(state, principal).await {
        Ok(teams) => teams,
        Err(refusal) => return refused(&refusal),
    };
    let members = people_of(state, principal, named).await;
    let teams = teams.into_iter().map(|team| {
        let is_named = named_teams.contains(&team.id);
        (team, is_named)
    });
    let shown = People {
        navigation: subject.navigation(state).await,
        head: subject.head("/people"),
        problem: refusal.map(Refusal::in_words),
        is_for_all: named.is_empty() && named_teams.is_empty(),
        teams: teams.collect(),
        more: named.len().saturating_sub(PEOPLE_SHOWN),
        members,
        email,
    };
    page(status_of(refusal), &shown)
}

/// One form changes one part and leaves the others.
pub(super) async fn change(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let (subject, fields) = match Subject::sent(&state, request, &id, &["team"]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let (Some(members), Some(before)) = (subject.toolkit.members.clone(), &subject.toolkit.teams) else {
        return no_toolkit();
    };
    let email = fields.get("email").unwrap_or_default().trim();
    let leaving = fields.get("member").map(str::parse::<MemberId>);
    let teams: Result<Vec<TeamId>, _> = fields.all("team").map(str::parse).collect();
    let Ok(teams) = teams else { return not_the_form() };
    let (principal, id) = (&subject.signed_in.principal, subject.toolkit.id);
    let edit = match (fields.get("change"), leaving) {
        (Some("teams"), _) => match with_unseen(&state, principal, teams, before).await {
            Ok(teams) => ToolkitEdit { teams: Some(teams), ..ToolkitEdit::default() },
            Err(refusal) => return refused(&refusal),
        },
        (Some("add"), _) => match state.broker.find_member(principal, email).await {
            Ok(member) => with_members([members, vec![member.id]].concat()),
            Err(refusal) => return render(&state, &subject, email, Some(&refusal)).await,
        },
        (Some("remove"), Some(Ok(leaving))) => {
            with_members(members.into_iter().filter(|member| *member != leaving).collect())
        }
        _ => return not_the_form(),
    };
    match state.broker.update_toolkit(principal, id, Some(subject.toolkit.revision), edit).await {
        Ok(_) => browser::see_other(&format!("{}/people", subject.address())),
        Err(refusal) if refusal.kind == RefusalKind::Unavailable => unavailable(),
        Err(refusal) => {
            let operation = Operation::UpdateToolkit;
            state.broker.record_refusal(principal, operation, &id.to_string(), &refusal).await;
            render(&state, &subject, email, Some(&refusal)).await
        }
    }
}

fn with_members(mut members: Vec<MemberId>) -> ToolkitEdit {
    members.sort();
    members.dedup();
    ToolkitEdit { members: Some(members), ..ToolkitEdit::default() }
}
