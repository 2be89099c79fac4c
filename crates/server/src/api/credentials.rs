//! `/connections/{id}/credential` and `/credentials`: written and taken away, never read.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use switchboard_broker::manage::{ConnectionView, CredentialInput, CredentialView, Operation, PageRequest};
use switchboard_domain::ConnectionId;
use utoipa::{IntoParams, ToSchema};

use super::{
    call::Call,
    reply::Reply,
    route::{Route, delete, get, put},
};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        put("/connections/{id}/credential", Operation::PutOwnCredential, store)
            .says("Store a credential")
            .explains(
                "With `credential_mode: shared` the organization's (admins); with `per_member` your own, if the connection \
                 is granted to you. Header names are the connection's: you give the values.",
            )
            .takes::<CredentialInput>()
            .answers::<ConnectionView>(StatusCode::OK),
        delete("/connections/{id}/credential", Operation::DeleteOwnCredential, remove)
            .says("Take a credential away: the shared one (admins), or your own")
            .answers_nothing(),
        get("/credentials", Operation::ListCredentials, list)
            .says("List stored credentials, without what is secret")
            .query::<ListQuery>()
            .answers_page::<CredentialView>(),
        delete("/credentials", Operation::DeleteAllCredentials, remove_all)
            .says("Take everybody's credentials of one connection away")
            .query::<ConnectionQuery>()
            .answers::<Deleted>(StatusCode::OK),
    ]
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
struct ListQuery {
    /// Only those of this connection.
    #[param(value_type = Option<String>)]
    connection: Option<ConnectionId>,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ConnectionQuery {
    #[param(value_type = String)]
    connection: ConnectionId,
}

#[derive(Debug, Serialize, ToSchema)]
struct Deleted {
    deleted: u64,
}

async fn store(call: Call) -> Result<Reply, Problem> {
    let input: CredentialInput = call.body()?;
    Reply::json(&call.broker().store_credential(&call.principal, call.path("id")?, input).await?)
}

async fn remove(call: Call) -> Result<Reply, Problem> {
    call.broker().delete_credential(&call.principal, call.path("id")?).await?;
    Ok(Reply::nothing())
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let query: ListQuery = call.query()?;
    let page = PageRequest { limit: query.limit, cursor: query.cursor };
    Reply::json(&call.broker().list_credentials(&call.principal, query.connection, &page).await?)
}

async fn remove_all(call: Call) -> Result<Reply, Problem> {
    let query: ConnectionQuery = call.query()?;
    let deleted = call.broker().delete_all_credentials(&call.principal, query.connection).await?;
    Reply::json(&Deleted { deleted })
}
