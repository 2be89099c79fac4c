//! `/connections/{id}/access`: who may use it. Seeing is not using: an admin who is not among them can't either.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, Response, Uri},
};
use switchboard_broker::manage::{
    GrantsInput, GrantsView, MemberView, Operation, PageRequest, Refusal, RefusalKind, TeamSummary,
};
use switchboard_domain::{MemberId, Principal, TeamId};

use super::frame::{Head, Subject, refused, status_of};
use crate::{
    ServerState, browser,
    ui::{navigation::Navigation, page, sign_in::not_the_form, unavailable},
};

/// People on one page; the others are counted.
pub(in crate::ui) const SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "connection_access.html")]
struct Access<'a> {
    navigation: Navigation,
    head: Head,
    problem: Option<&'a str>,
    everyone: bool,
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

/// Those of them that a page shows, by address.
pub(in crate::ui) async fn people_of(
    state: &ServerState,
    principal: &Principal,
    named: &[MemberId],
) -> Vec<MemberView> {
    let shown = named.get(..SHOWN).unwrap_or(named);
    // A page without the names is better than none.
    state.broker.read_members(principal, shown).await.unwrap_or_default()
}

/// The teams that a page lets choose from.
pub(in crate::ui) async fn teams_shown(
    state: &ServerState,
    principal: &Principal,
) -> Result<Vec<TeamSummary>, Refusal> {
    let first = PageRequest { limit: Some(200), cursor: None };
    Ok(state.broker.find_teams(principal, &first).await?.items)
}

/// What was chosen, with what was chosen before of teams that the page had no room for.
pub(in crate::ui) async fn with_unseen(
    state: &ServerState,
    principal: &Principal,
    chosen: Vec<TeamId>,
    before: &[TeamId],
) -> Result<Vec<TeamId>, Refusal> {
    let shown = teams_shown(state, principal).await?;
    let unseen = before.iter().filter(|team| !shown.iter().any(|it| it.id == **team));
    Ok(chosen.into_iter().chain(unseen.copied()).collect())
}

async fn render(
    state: &ServerState,
    subject: &Subject,
    email: &str,
    refusal: Option<&Refusal>,
) -> Response<Body> {
    let principal = &subject.signed_in.principal;
    let found = async {
        let grants = state.broker.read_grants(principal, subject.connection.id).await?;
        Ok::<_, Refusal>((grants, teams_shown(state, principal).await?))
    };
    let (grants, teams) = match found.await {
        Ok(found) => found,
        Err(refusal) => return refused(&refusal),
    };
    let members = people_of(state, principal, &grants.members).await;
    let teams = teams.into_iter().map(|team| {
        let granted = grants.teams.contains(&team.id);
        (team, granted)
    });
    let access = Access {
        navigation: subject.navigation(state).await,
        head: subject.head("/access"),
        problem: refusal.map(Refusal::in_words),
        everyone: grants.everyone,
        teams: teams.collect(),
        more: grants.members.len().saturating_sub(SHOWN),
        members,
        email,
    };
    page(status_of(refusal), &access)
}

/// One form changes one part and leaves the others: what a page did not show is not lost by sending it.
pub(super) async fn change(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let (subject, fields) = match Subject::sent(&state, request, &id, &["team"]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let Some(change) = fields.get("change") else { return not_the_form() };
    let email = fields.get("email").unwrap_or_default().trim();
    let teams: Result<Vec<TeamId>, _> = fields.all("team").map(str::parse).collect();
    let Ok(teams) = teams else { return not_the_form() };
    let everyone = fields.get("everyone").is_some();
    let leaving = fields.get("member").map(str::parse::<MemberId>);
    let (principal, id) = (&subject.signed_in.principal, subject.connection.id);
    let outcome = async {
        let GrantsView { everyone: was, members, teams: had } =
            state.broker.read_grants(principal, id).await?;
        let mut grants = GrantsInput { everyone: was, members, teams: had };
        match (change, leaving) {
            ("groups", _) => {
                grants.teams = with_unseen(&state, principal, teams, &grants.teams).await?;
                grants.everyone = everyone;
            }
            ("add", _) => grants.members.push(state.broker.find_member(principal, email).await?.id),
            ("remove", Some(Ok(member))) => grants.members.retain(|granted| *granted != member),
            _ => return Err(Refusal::invalid("validation_failed", "Nothing was chosen.")),
        }
        state.broker.put_grants(principal, id, grants).await
    };
    match outcome.await {
        Ok(_) => browser::see_other(&format!("{}/access", subject.address())),
        Err(refusal) if refusal.kind == RefusalKind::Unavailable => unavailable(),
        Err(refusal) => {
            let target = id.to_string();
            state.broker.record_refusal(principal, Operation::PutGrants, &target, &refusal).await;
            render(&state, &subject, email, Some(&refusal)).await
        }
    }
}
