//! `/members`, `/teams`

use axum::http::StatusCode;
use switchboard_broker::manage::{
    MemberEdit, MemberView, NewTeam, Operation, TeamEdit, TeamMembers, TeamView,
};

use super::{
    call::Call,
    page::PageQuery,
    reply::Reply,
    route::{Route, delete, get, patch, post, put},
};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/members", Operation::ListMembers, members)
            .says("List members")
            .query::<PageQuery>()
            .answers_page::<MemberView>(),
        get("/members/{id}", Operation::ReadMember, member)
            .says("Read a member: yourself, as an admin anybody")
            .answers::<MemberView>(StatusCode::OK),
        patch("/members/{id}", Operation::UpdateMember, update_member)
            .says("Change a member's role, suspend them or let them in again")
            .explains(
                "Suspending ends their sessions, tokens, AI clients and own accounts at servers at once.",
            )
            .takes::<MemberEdit>()
            .answers::<MemberView>(StatusCode::OK),
        delete("/members/{id}", Operation::RemoveMember, remove_member)
            .says("Remove a member, or leave: everything of theirs ends at once")
            .answers_nothing(),
        get("/teams", Operation::ListTeams, teams)
            .says("List teams with their members")
            .query::<PageQuery>()
            .answers_page::<TeamView>(),
        post("/teams", Operation::CreateTeam, create_team)
            .says("Make a team")
            .takes::<NewTeam>()
            .answers::<TeamView>(StatusCode::CREATED),
        patch("/teams/{id}", Operation::UpdateTeam, update_team)
            .says("Rename a team")
            .takes::<TeamEdit>()
            .answers::<TeamView>(StatusCode::OK),
        delete("/teams/{id}", Operation::DeleteTeam, delete_team)
            .says("Remove a team with what was granted to it")
            .answers_nothing(),
        put("/teams/{id}/members", Operation::PutTeamMembers, put_team_members)
            .says("Replace who is in a team")
            .takes::<TeamMembers>()
            .answers::<TeamView>(StatusCode::OK),
    ]
}

async fn members(call: Call) -> Result<Reply, Problem> {
    let page = call.query::<PageQuery>()?.into();
    Reply::json(&call.broker().list_members(&call.principal, &page).await?)
}

async fn member(call: Call) -> Result<Reply, Problem> {
    Reply::json(&call.broker().read_member(&call.principal, call.path("id")?).await?)
}

async fn update_member(call: Call) -> Result<Reply, Problem> {
    let edit = call.body()?;
    Reply::json(&call.broker().update_member(&call.principal, call.path("id")?, edit).await?)
}

async fn remove_member(call: Call) -> Result<Reply, Problem> {
    call.broker().remove_member(&call.principal, call.path("id")?).await?;
    Ok(Reply::nothing())
}

async fn teams(call: Call) -> Result<Reply, Problem> {
    let page = call.query::<PageQuery>()?.into();
    Reply::json(&call.broker().list_teams(&call.principal, &page).await?)
}

async fn create_team(call: Call) -> Result<Reply, Problem> {
    let team = call.broker().create_team(&call.principal, call.body()?).await?;
    Ok(Reply::json(&team)?.created(format!("/api/v1/teams/{}", team.id)))
}

async fn update_team(call: Call) -> Result<Reply, Problem> {
    let edit = call.body()?;
    Reply::json(&call.broker().update_team(&call.principal, call.path("id")?, edit).await?)
}

async fn delete_team(call: Call) -> Result<Reply, Problem> {
    call.broker().delete_team(&call.principal, call.path("id")?).await?;
    Ok(Reply::nothing())
}

async fn put_team_members(call: Call) -> Result<Reply, Problem> {
    let wanted = call.body()?;
    Reply::json(&call.broker().put_team_members(&call.principal, call.path("id")?, wanted).await?)
}
