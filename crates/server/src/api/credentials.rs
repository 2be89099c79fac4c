//! `/connections/{id}/credential` and `/credentials`: written and taken away, never read.

use axum::http::StatusCode;
use serde::Deserialize;
use switchboard_broker::manage::{
    ConnectionView, CredentialInput, CredentialView, Operation, PageRequest, TakenAway,
};
use switchboard_domain::ConnectionId;
use utoipa::IntoParams;

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
            .explains(
                "Tokens are also revoked at their provider (RFC 7009): `provider` says whether it confirmed that. Where it \
                 can't be asked now it is asked again in the background.",
            )
            .answers::<TakenAway>(StatusCode::OK),
        get("/connections/{id}/credentials", Operation::ListCredentials, list_of_connection)
            .says("List who is connected, without what is secret")
            .query::<PageQuery>()
            .answers_page::<CredentialView>(),
        delete("/connections/{id}/credentials", Operation::DeleteAllCredentials, remove_all_of_connection)
            .says("Take everybody's credentials of one connection away")
            .answers::<TakenAway>(StatusCode::OK),
        get("/credentials", Operation::ListCredentials, list)
            .says("List stored credentials, without what is secret")
            .query::<ListQuery>()
            .answers_page::<CredentialView>(),
        delete("/credentials", Operation::DeleteAllCredentials, remove_all)
            .says("Take everybody's credentials of one connection away")
            .query::<ConnectionQuery>()
            .answers::<TakenAway>(StatusCode::OK),
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

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
struct PageQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn store(call: Call) -> Result<Reply, Problem> {
    let input: CredentialInput = call.body()?;
    Reply::json(&call.broker().store_credential(&call.principal, call.path("id")?, input).await?)
}

async fn remove(call: Call) -> Result<Reply, Problem> {
    Reply::json(&call.broker().delete_credential(&call.principal, call.path("id")?).await?)
}

async fn list_of_connection(call: Call) -> Result<Reply, Problem> {
    let query: PageQuery = call.query()?;
    let page = PageRequest { limit: query.limit, cursor: query.cursor };
    Reply::json(&call.broker().list_credentials_of(&call.principal, call.path("id")?, &page).await?)
}

async fn remove_all_of_connection(call: Call) -> Result<Reply, Problem> {
    Reply::json(&call.broker().delete_all_credentials(&call.principal, call.path("id")?).await?)
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let query: ListQuery = call.query()?;
    let page = PageRequest { limit: query.limit, cursor: query.cursor };
    Reply::json(&call.broker().list_credentials(&call.principal, query.connection, &page).await?)
}

async fn remove_all(call: Call) -> Result<Reply, Problem> {
    let query: ConnectionQuery = call.query()?;
    Reply::json(&call.broker().delete_all_credentials(&call.principal, query.connection).await?)
}
