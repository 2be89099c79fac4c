//! `/guardrail`

use axum::http::StatusCode;
use switchboard_broker::manage::{GuardrailInput, GuardrailView, Operation, WrittenGuardrail};

use super::{
    call::Call,
    reply::Reply,
    route::{Route, delete, get, put},
};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/guardrail", Operation::ReadGuardrail, read)
            .says("Read who is asked about the organization's calls; 404 while nobody is")
            .answers::<GuardrailView>(StatusCode::OK)
            .with_etag(),
        put("/guardrail", Operation::PutGuardrail, replace)
            .says("Have a guardrail asked about every call, every result, or both")
            .explains(
                "It answers 200 with `{\"decision\": \"allow\"}` or `{\"decision\": \"block\", \"reason\": \"…\"}`; anything else is a \
                 failure. Questions are signed as webhooks are; the secret is answered when it is made.",
            )
            .takes::<GuardrailInput>()
            .answers::<WrittenGuardrail>(StatusCode::OK)
            .with_etag(),
        delete("/guardrail", Operation::DeleteGuardrail, remove)
            .says("Ask nobody any more")
            .answers_nothing(),
    ]
}

async fn read(call: Call) -> Result<Reply, Problem> {
    let guardrail = call.broker().read_guardrail(&call.principal).await?;
    Ok(Reply::json(&guardrail)?.etag(guardrail.revision))
}

async fn replace(call: Call) -> Result<Reply, Problem> {
    let (seen, input) = (call.if_match()?, call.body()?);
    let written = call.broker().put_guardrail(&call.principal, seen, input).await?;
    Ok(Reply::json(&written)?.etag(written.guardrail.revision))
}

async fn remove(call: Call) -> Result<Reply, Problem> {
    call.broker().delete_guardrail(&call.principal).await?;
    Ok(Reply::nothing())
}
