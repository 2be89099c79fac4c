//! `/connections/{id}/authorize` and `/authorizations/{id}`: signing in at the provider of a connection.

use axum::http::StatusCode;
use switchboard_broker::{
    connect::{AuthorizationView, StartedAuthorization},
    manage::Operation,
};

use super::{
    call::Call,
    reply::Reply,
    route::{Route, get, post},
};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        post("/connections/{id}/authorize", Operation::StartOwnAuthorization, start)
            .says("Begin signing in at the provider of a connection")
            .explains(
                "For `auth_type: oauth`. Asks the server who issues its tokens and registers there if need be; then open \
                 `authorization_url` in the browser of the person who asked: nobody else can finish it. With \
                 `credential_mode: shared` it is the organization's account (admins); with `per_member` your own, if the \
                 connection is granted to you. What stands in the way is told as 409 with a stable `code`.",
            )
            .answers::<StartedAuthorization>(StatusCode::CREATED),
        get("/authorizations/{id}", Operation::ReadAuthorization, read)
            .says("Say what became of a sign-in at a provider")
            .answers::<AuthorizationView>(StatusCode::OK),
    ]
}

async fn start(call: Call) -> Result<Reply, Problem> {
    let started = call.broker().start_authorization(&call.principal, call.path("id")?).await?;
    let location = format!("/api/v1/authorizations/{}", started.state_id);
    Ok(Reply::json(&started)?.created(location))
}

async fn read(call: Call) -> Result<Reply, Problem> {
    Reply::json(&call.broker().read_authorization(&call.principal, call.path("id")?).await?)
}
