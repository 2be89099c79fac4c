//! `/usage` and `/quotas`

use axum::http::StatusCode;
use serde::Deserialize;
use switchboard_broker::{
    Quota,
    manage::{Operation, QuotasView, UsageQuery, UsageView},
};
use utoipa::{IntoParams, ToSchema};

use super::{
    call::Call,
    reply::Reply,
    route::{Route, get, put},
};
use crate::problem::Problem;

#[derive(Deserialize, IntoParams)]
#[expect(dead_code, reason = "documents the query, which the use case reads")]
struct Query {
    /// How many days back, today included: 1 to 400; 7 without.
    days: Option<u32>,
    /// `connection` (without), `member` or `team`.
    by: Option<String>,
}

/// The whole list.
#[derive(ToSchema)]
#[schema(as = QuotaList)]
#[expect(dead_code, reason = "only its schema is used")]
struct ListSchema(Vec<Quota>);

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/usage", Operation::ReadUsage, usage)
            .says("Sums of calls by day, and by connection, member or team")
            .query::<Query>()
            .answers::<UsageView>(StatusCode::OK),
        get("/quotas", Operation::ReadQuotas, read)
            .says("Read how many calls a day or month have room for, and how much of that is used")
            .answers::<QuotasView>(StatusCode::OK)
            .with_etag(),
        put("/quotas", Operation::PutQuotas, replace)
            .says("Replace the organization's quotas")
            .explains(
                "All quotas that concern a call must have room for it; a call that was refused counts for none. A member's own \
                 quota stands in place of that of `every_member` for the same period.",
            )
            .takes::<ListSchema>()
            .answers::<QuotasView>(StatusCode::OK)
            .with_etag(),
    ]
}

async fn usage(call: Call) -> Result<Reply, Problem> {
    let query: UsageQuery = call.query()?;
    Reply::json(&call.broker().read_usage(&call.principal, query).await?)
}

fn reply(quotas: &QuotasView) -> Result<Reply, Problem> {
    Ok(Reply::json(quotas)?.etag(quotas.revision))
}

async fn read(call: Call) -> Result<Reply, Problem> {
    reply(&call.broker().read_quotas(&call.principal).await?)
}

async fn replace(call: Call) -> Result<Reply, Problem> {
    let (seen, quotas) = (call.if_match()?, call.body::<Vec<Quota>>()?);
    reply(&call.broker().put_quotas(&call.principal, seen, quotas).await?)
}
