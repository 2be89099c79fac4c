//! `/catalog/servers` and `/connections/resolve`: where to start a connection from.

use axum::http::StatusCode;
use serde::Deserialize;
use switchboard_broker::connect::{ResolveInput, ResolvedNow};
use switchboard_broker::manage::{Operation, PageRequest, Resolved};
use utoipa::{IntoParams, ToSchema};

use super::{
    call::Call,
    reply::Reply,
    route::{Route, get, post},
};
use crate::problem::Problem;

/// A known server. Members beyond these may be there.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = KnownServer)]
struct ServerSchema {
    slug: String,
    name: String,
    url: Option<String>,
    transport: Option<String>,
    category: Option<String>,
    auth: String,
    docs_url: Option<String>,
    /// `checked`, `vendor_doc` or `listed`.
    confidence: Option<String>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
struct ListQuery {
    /// Words of a name or category, or an address.
    query: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ResolveQuery {
    /// A URL, a host or the name of a product.
    query: String,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/catalog/servers", Operation::ListKnownServers, list)
            .says("List known MCP servers")
            .query::<ListQuery>()
            .answers_page::<ServerSchema>(),
        get("/connections/resolve", Operation::ListKnownServers, resolve)
            .says("Say what a URL, host or product name is, as far as the built-in list knows")
            .query::<ResolveQuery>()
            .answers::<Resolved>(StatusCode::OK),
        post("/connections/resolve", Operation::ProbeServer, probe)
            .says("Ask what a URL, host or product name is, and which authentication it needs")
            .explains(
                "Asks the server as one that has no token, and its authorization server where it names one. Nothing is \
                 stored and nobody is registered anywhere.",
            )
            .takes::<ResolveInput>()
            .answers::<ResolvedNow>(StatusCode::OK),
    ]
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let query: ListQuery = call.query()?;
    let page = PageRequest { limit: query.limit, cursor: query.cursor };
    Reply::json(&call.broker().list_known_servers(&call.principal, query.query.as_deref(), &page)?)
}

async fn resolve(call: Call) -> Result<Reply, Problem> {
    let query: ResolveQuery = call.query()?;
    Reply::json(&call.broker().resolve_server(&call.principal, &query.query)?)
}

async fn probe(call: Call) -> Result<Reply, Problem> {
    let input: ResolveInput = call.body()?;
    Reply::json(&call.broker().resolve_now(&call.principal, &input).await?)
}
