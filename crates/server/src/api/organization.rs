//! `/organization`

use axum::http::StatusCode;
use switchboard_broker::manage::{Operation, OrganizationView};

use super::{
    call::Call,
    reply::Reply,
    route::{Route, get},
};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/organization", Operation::ReadOrganization, read)
            .says("Read the organization")
            .answers::<OrganizationView>(StatusCode::OK)
            .with_etag(),
    ]
}

async fn read(call: Call) -> Result<Reply, Problem> {
    let organization = call.broker().read_organization(&call.principal).await?;
    Ok(Reply::json(&organization)?.etag(organization.revision))
}
