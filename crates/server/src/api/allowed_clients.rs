//! `/allowed-clients`

use serde::Deserialize;
use switchboard_broker::manage::{AllowedClientView, Operation, PageRequest};
use utoipa::IntoParams;

use super::{
    call::Call,
    reply::Reply,
    route::{Route, delete, get},
};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/allowed-clients", Operation::ListAllowedClients, list)
            .says("List the AI clients that you allowed to act as you")
            .query::<ListQuery>()
            .answers_page::<AllowedClientView>(),
        delete("/allowed-clients/{id}", Operation::RevokeAllowedClient, revoke)
            .says("Take away what an AI client was allowed: by you, as an admin by anybody")
            .explains("Its tokens stop working within a second. It has to ask the person again.")
            .answers_nothing(),
    ]
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
struct ListQuery {
    /// As an admin: everybody's.
    everyone: bool,
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let query: ListQuery = call.query()?;
    let page = PageRequest { limit: query.limit, cursor: query.cursor };
    Reply::json(&call.broker().list_allowed_clients(&call.principal, query.everyone, &page).await?)
}

async fn revoke(call: Call) -> Result<Reply, Problem> {
    call.broker().revoke_allowed_client(&call.principal, call.path("id")?).await?;
    Ok(Reply::nothing())
}
