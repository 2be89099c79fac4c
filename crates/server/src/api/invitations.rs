//! `/invitations`

use axum::http::StatusCode;
use serde::Serialize;
use switchboard_broker::manage::{InvitationView, NewInvitation, Operation};

use super::{
    call::Call,
    page::PageQuery,
    reply::Reply,
    route::{Route, delete, get, post},
};
use crate::problem::Problem;

/// A new invitation with its link, which is shown this once.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = CreatedInvitation)]
struct CreatedView<'a> {
    /// Give it to the person; it works once.
    url: &'a str,
    #[serde(flatten)]
    facts: &'a InvitationView,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/invitations", Operation::ListInvitations, list)
            .says("List invitations, those that are over too")
            .query::<PageQuery>()
            .answers_page::<InvitationView>(),
        post("/invitations", Operation::CreateInvitation, create)
            .says("Invite somebody: the answer has the link")
            .explains(
                "The link works once. A newer invitation to the same address takes the place of an older.",
            )
            .takes::<NewInvitation>()
            .answers::<CreatedView<'_>>(StatusCode::CREATED),
        delete("/invitations/{id}", Operation::RevokeInvitation, revoke)
            .says("Take an invitation back")
            .answers_nothing(),
    ]
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let page = call.query::<PageQuery>()?.into();
    Reply::json(&call.broker().list_invitations(&call.principal, &page).await?)
}

async fn create(call: Call) -> Result<Reply, Problem> {
    let created = call.broker().create_invitation(&call.principal, call.body()?).await?;
    let shown = CreatedView { url: created.url.expose(), facts: &created.invitation };
    Ok(Reply::json(&shown)?.created(format!("/api/v1/invitations/{}", created.invitation.id)))
}

async fn revoke(call: Call) -> Result<Reply, Problem> {
    call.broker().revoke_invitation(&call.principal, call.path("id")?).await?;
    Ok(Reply::nothing())
}
