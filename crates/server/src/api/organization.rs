//! `/organization`

use axum::http::StatusCode;
use switchboard_broker::manage::{Operation, OrganizationEdit, OrganizationView};

use super::{
    call::Call,
    reply::Reply,
    route::{Route, get, patch},
};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/organization", Operation::ReadOrganization, read)
            .says("Read the organization")
            .answers::<OrganizationView>(StatusCode::OK)
            .with_etag(),
        patch("/organization", Operation::UpdateOrganization, update)
            .says("Change the organization's name and settings")
            .takes::<OrganizationEdit>()
            .answers::<OrganizationView>(StatusCode::OK)
            .with_etag(),
    ]
}

async fn read(call: Call) -> Result<Reply, Problem> {
    let organization = call.broker().read_organization(&call.principal).await?;
    Ok(Reply::json(&organization)?.etag(organization.revision))
}

async fn update(call: Call) -> Result<Reply, Problem> {
    let seen = call.if_match()?;
    let organization = call.broker().update_organization(&call.principal, seen, call.body()?).await?;
    Ok(Reply::json(&organization)?.etag(organization.revision))
}
