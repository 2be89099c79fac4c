//! `/connections`, their grants, checks.

use axum::http::StatusCode;
use serde::Deserialize;
use switchboard_broker::manage::{
    ConnectionEdit, ConnectionScope, ConnectionView, GrantsInput, GrantsView, NewConnection, Operation,
    PageRequest,
};
use utoipa::IntoParams;

use super::{
    call::Call,
    reply::Reply,
    route::{Route, delete, get, patch, post, put},
};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/connections", Operation::ListConnections, list)
            .says("List connections")
            .query::<ListQuery>()
            .answers_page::<ConnectionView>(),
        post("/connections", Operation::CreateConnection, create)
            .says("Add a connection")
            .explains(
                "It is validated, stored, and checked in the background; nobody may use it until it is granted. With an \
                 `external_key` that was used before, the connection made then is answered with 200. A member may add \
                 one of their own (`owner: member`).",
            )
            .takes::<NewConnection>()
            .answers::<ConnectionView>(StatusCode::CREATED)
            .answers::<ConnectionView>(StatusCode::OK)
            .with_etag(),
        get("/connections/{id}", Operation::ReadConnection, read)
            .says("Read a connection")
            .answers::<ConnectionView>(StatusCode::OK)
            .with_etag(),
        patch("/connections/{id}", Operation::UpdateConnection, update)
            .says("Change a connection")
            .explains(
                "RFC 7396: an absent member stays. Another URL, `auth_type` or `credential_mode` takes the stored \
                 credentials away; the answer then says `credentials_dropped: true`.",
            )
            .takes::<ConnectionEdit>()
            .answers::<ConnectionView>(StatusCode::OK)
            .with_etag(),
        delete("/connections/{id}", Operation::DeleteConnection, remove)
            .says("Remove a connection with its grants, credentials and catalogue")
            .answers_nothing(),
        post("/connections/{id}/check", Operation::CheckConnection, check)
            .says("Try a connection now and say how far that came")
            .answers::<DiagnosisSchema>(StatusCode::OK),
        post("/connections/{id}/refresh", Operation::RefreshConnection, refresh)
            .says("List a connection's tools anew")
            .answers::<ConnectionView>(StatusCode::OK)
            .with_etag(),
        get("/connections/{id}/grants", Operation::ReadGrants, grants)
            .says("Read who may use a connection")
            .answers::<GrantsView>(StatusCode::OK),
        put("/connections/{id}/grants", Operation::PutGrants, put_grants)
            .says("Replace who may use a connection")
            .takes::<GrantsInput>()
            .answers::<GrantsView>(StatusCode::OK),
    ]
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
struct ListQuery {
    /// `usable`: enabled and granted to you; `manageable`: yours to change. Without: all you may see.
    #[param(inline)]
    scope: ConnectionScope,
    /// 1 to 200; 50 without.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// What a check found: the highest stage that worked, what stopped it, who must act.
#[derive(utoipa::ToSchema)]
#[schema(as = Diagnosis)]
#[expect(dead_code, reason = "only its schema is used: the shape is the domain's")]
struct DiagnosisSchema {
    /// `name_resolution`, `tcp`, `tls`, `http`, `auth`, `mcp` or `tools`; `null` when not even the name resolved.
    reached: Option<String>,
    /// The stage that failed; `null` when all passed.
    failed: Option<String>,
    /// Stable code of the failure.
    reason: Option<String>,
    message: String,
    actor: Option<String>,
    action: Option<serde_json::Value>,
    duration_ms: u64,
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let query: ListQuery = call.query()?;
    let page = PageRequest { limit: query.limit, cursor: query.cursor };
    Reply::json(&call.broker().list_connections(&call.principal, query.scope, &page).await?)
}

async fn create(call: Call) -> Result<Reply, Problem> {
    let created = call.broker().create_connection(&call.principal, call.body()?).await?;
    let connection = created.connection;
    let reply = Reply::json(&connection)?.etag(connection.revision);
    if created.existed {
        return Ok(reply);
    }
    Ok(reply.created(format!("/api/v1/connections/{}", connection.id)))
}

async fn read(call: Call) -> Result<Reply, Problem> {
    let connection = call.broker().read_connection(&call.principal, call.path("id")?).await?;
    Ok(Reply::json(&connection)?.etag(connection.revision))
}

async fn update(call: Call) -> Result<Reply, Problem> {
    let (id, seen) = (call.path("id")?, call.if_match()?);
    let connection = call.broker().update_connection(&call.principal, id, seen, call.body()?).await?;
    Ok(Reply::json(&connection)?.etag(connection.revision))
}

async fn remove(call: Call) -> Result<Reply, Problem> {
    call.broker().delete_connection(&call.principal, call.path("id")?).await?;
    Ok(Reply::nothing())
}

async fn check(call: Call) -> Result<Reply, Problem> {
    Reply::json(&call.broker().check_connection(&call.principal, call.path("id")?).await?)
}

async fn refresh(call: Call) -> Result<Reply, Problem> {
    let connection = call.broker().refresh_connection(&call.principal, call.path("id")?).await?;
    Ok(Reply::json(&connection)?.etag(connection.revision))
}

async fn grants(call: Call) -> Result<Reply, Problem> {
    Reply::json(&call.broker().read_grants(&call.principal, call.path("id")?).await?)
}

async fn put_grants(call: Call) -> Result<Reply, Problem> {
    Reply::json(&call.broker().put_grants(&call.principal, call.path("id")?, call.body()?).await?)
}
