//! `/toolkits`

use axum::http::StatusCode;
use switchboard_broker::manage::{NewToolkit, Operation, ToolkitEdit, ToolkitView};

use super::{
    call::Call,
    page::PageQuery,
    reply::Reply,
    route::{Route, delete, get, patch, post},
};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/toolkits", Operation::ListToolkits, list)
            .says("List toolkits")
            .query::<PageQuery>()
            .answers_page::<ToolkitView>(),
        post("/toolkits", Operation::CreateToolkit, create)
            .says("Make a toolkit: an endpoint of its own for chosen capabilities")
            .takes::<NewToolkit>()
            .answers::<ToolkitView>(StatusCode::CREATED)
            .with_etag(),
        get("/toolkits/{id}", Operation::ReadToolkit, read)
            .says("Read a toolkit")
            .answers::<ToolkitView>(StatusCode::OK)
            .with_etag(),
        patch("/toolkits/{id}", Operation::UpdateToolkit, update)
            .says("Change a toolkit")
            .takes::<ToolkitEdit>()
            .answers::<ToolkitView>(StatusCode::OK)
            .with_etag(),
        delete("/toolkits/{id}", Operation::DeleteToolkit, remove)
            .says("Remove a toolkit with its rules")
            .answers_nothing(),
    ]
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let page = call.query::<PageQuery>()?.into();
    Reply::json(&call.broker().list_toolkits(&call.principal, &page).await?)
}

async fn create(call: Call) -> Result<Reply, Problem> {
    let toolkit = call.broker().create_toolkit(&call.principal, call.body()?).await?;
    let location = format!("/api/v1/toolkits/{}", toolkit.id);
    Ok(Reply::json(&toolkit)?.etag(toolkit.revision).created(location))
}

async fn read(call: Call) -> Result<Reply, Problem> {
    let toolkit = call.broker().read_toolkit(&call.principal, call.path("id")?).await?;
    Ok(Reply::json(&toolkit)?.etag(toolkit.revision))
}

async fn update(call: Call) -> Result<Reply, Problem> {
    let (id, seen) = (call.path("id")?, call.if_match()?);
    let toolkit = call.broker().update_toolkit(&call.principal, id, seen, call.body()?).await?;
    Ok(Reply::json(&toolkit)?.etag(toolkit.revision))
}

async fn remove(call: Call) -> Result<Reply, Problem> {
    call.broker().delete_toolkit(&call.principal, call.path("id")?).await?;
    Ok(Reply::nothing())
}
