//! `/oauth-clients`

use axum::http::StatusCode;
use serde::Serialize;
use switchboard_broker::manage::{
    CreatedOauthClient, NewOauthClient, OauthClientEdit, OauthClientView, Operation,
};
use utoipa::ToSchema;

use super::{
    call::Call,
    page::PageQuery,
    reply::Reply,
    route::{Route, delete, get, patch, post},
};
use crate::problem::Problem;

/// A client with its new secret.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedOauthClient)]
struct CreatedView<'a> {
    /// Shown this once; a client that is not confidential has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    #[serde(flatten)]
    facts: &'a OauthClientView,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/oauth-clients", Operation::ListOauthClients, list)
            .says("List the AI clients that members signed in with, that are kept out, or that an admin made")
            .query::<PageQuery>()
            .answers_page::<OauthClientView>(),
        post("/oauth-clients", Operation::CreateOauthClient, create)
            .says("Make a client for an app that can't register by itself")
            .takes::<NewOauthClient>()
            .answers::<CreatedView<'_>>(StatusCode::CREATED),
        get("/oauth-clients/{id}", Operation::ReadOauthClient, read)
            .says("Read a client")
            .answers::<OauthClientView>(StatusCode::OK),
        patch("/oauth-clients/{id}", Operation::UpdateOauthClient, update)
            .says("Keep a client out or let it in again; change one that an admin made")
            .explains("What a client was given ends when it is disabled, on every replica within a second.")
            .takes::<OauthClientEdit>()
            .answers::<OauthClientView>(StatusCode::OK),
        delete("/oauth-clients/{id}", Operation::RemoveOauthClient, remove)
            .says("Forget a client with all it was given; it may register again")
            .answers_nothing(),
        post("/oauth-clients/{id}/secret", Operation::RotateOauthClientSecret, rotate)
            .says("Give a static client another secret; the one before ends")
            .answers::<CreatedView<'_>>(StatusCode::CREATED),
    ]
}

fn created(made: &CreatedOauthClient) -> Result<Reply, Problem> {
    let client_secret = made.secret.as_ref().map(|secret| secret.expose());
    let shown = CreatedView { client_secret, facts: &made.client };
    Ok(Reply::json(&shown)?.created(format!("/api/v1/oauth-clients/{}", made.client.id)))
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let page = call.query::<PageQuery>()?.into();
    Reply::json(&call.broker().list_oauth_clients(&call.principal, &page).await?)
}

async fn create(call: Call) -> Result<Reply, Problem> {
    created(&call.broker().create_oauth_client(&call.principal, call.body()?).await?)
}

async fn read(call: Call) -> Result<Reply, Problem> {
    Reply::json(&call.broker().read_oauth_client(&call.principal, call.path("id")?).await?)
}

async fn update(call: Call) -> Result<Reply, Problem> {
    let edit = call.body()?;
    Reply::json(&call.broker().update_oauth_client(&call.principal, call.path("id")?, edit).await?)
}

async fn remove(call: Call) -> Result<Reply, Problem> {
    call.broker().remove_oauth_client(&call.principal, call.path("id")?).await?;
    Ok(Reply::nothing())
}

async fn rotate(call: Call) -> Result<Reply, Problem> {
    created(&call.broker().rotate_oauth_client_secret(&call.principal, call.path("id")?).await?)
}
