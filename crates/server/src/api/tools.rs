//! `/connections/{id}/tools`: the catalogue, a run by hand, the review.

use axum::{body::Body, http::StatusCode};
use serde_json::value::RawValue;
use switchboard_broker::{
    CallFailure,
    manage::{Operation, ReviewDecision, ReviewDecisions, ReviewView, RunError, ToolCall, ToolView},
};
use switchboard_domain::{CallId, ErrorCode};

use super::{
    call::Call,
    page::PageQuery,
    reply::Reply,
    route::{Route, get, post},
};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/connections/{id}/tools", Operation::ListTools, list)
            .says("List a connection's tools with what the rules say of them")
            .explains("From the catalogue; the upstream is not asked. Members get what they may call.")
            .query::<PageQuery>()
            .answers_page::<ToolView>(),
        get("/connections/{id}/tools/review", Operation::ReadReview, review)
            .says("List definitions that were added or changed and wait for a decision, with both texts")
            .query::<PageQuery>()
            .answers_page::<ReviewView>(),
        post("/connections/{id}/tools/review", Operation::DecideReview, decide)
            .says("Approve or reject a definition")
            .takes::<ReviewDecision>()
            .answers_nothing(),
        post("/connections/{id}/tools/review/decisions", Operation::DecideReview, decide_several)
            .says("Approve or reject several definitions: all of them, or none")
            .takes::<ReviewDecisions>()
            .answers_nothing(),
        post("/connections/{id}/tools/{name}/call", Operation::CallTool, run)
            .says("Run a tool")
            .explains(
                "The same steps as every call: grant, rules, record. The token needs the scope `mcp:write` beside `api`: \
                 a token that may not call through `/mcp` may not call here. `result` is the upstream's own, unchanged.",
            )
            .takes::<ToolCall>()
            .answers::<CalledSchema>(StatusCode::OK),
    ]
}

/// A call that ran.
#[derive(utoipa::ToSchema)]
#[schema(as = Called)]
#[expect(dead_code, reason = "only its schema is used: the answer is written around the upstream's bytes")]
struct CalledSchema {
    /// Finds the audit entries of the call.
    call_id: String,
    /// The upstream's own word.
    is_error: bool,
    /// The upstream's tool result.
    result: serde_json::Value,
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let page = call.query::<PageQuery>()?.into();
    Reply::json(&call.broker().list_tools(&call.principal, call.path("id")?, &page).await?)
}

async fn review(call: Call) -> Result<Reply, Problem> {
    let page = call.query::<PageQuery>()?.into();
    Reply::json(&call.broker().read_review(&call.principal, call.path("id")?, &page).await?)
}

async fn decide(call: Call) -> Result<Reply, Problem> {
    let decision = call.body()?;
    call.broker().decide_review(&call.principal, call.path("id")?, decision).await?;
    Ok(Reply::nothing())
}

async fn decide_several(call: Call) -> Result<Reply, Problem> {
    let wanted = call.body()?;
    call.broker().decide_reviews(&call.principal, call.path("id")?, wanted).await?;
    Ok(Reply::nothing())
}

async fn run(call: Call) -> Result<Reply, Problem> {
    let name: String = call.path("name")?;
    let wanted: ToolCall = call.body()?;
    let request_id = call.request_id.0.clone();
    let outcome =
        call.broker().call_tool(&call.principal, call.path("id")?, &name, wanted, request_id.clone()).await;
    let done = match outcome {
        Ok(done) => done,
        Err(RunError::Refused(refusal)) => return Err(refusal.into()),
        Err(RunError::Failed(failure)) => return Err(problem_of(&failure, &request_id)),
    };
    let result: &RawValue = serde_json::from_slice(&done.result).map_err(|error| {
        tracing::error!(%error, "a result can't be passed on");
        Problem::new(StatusCode::BAD_GATEWAY, "upstream_error", "The server's answer can't be passed on.")
    })?;
    Ok(Reply::raw("application/json", Body::from(called(done.call_id, done.is_error, result))))
}

fn called(id: CallId, is_error: bool, result: &RawValue) -> String {
    format!("{{\"call_id\":\"{id}\",\"is_error\":{is_error},\"result\":{}}}", result.get())
}

/// The same code and members as in the tool result of `/mcp`.
fn problem_of(failure: &CallFailure, request_id: &str) -> Problem {
    use ErrorCode as E;
    let status = match failure.error.code {
        E::UnknownCapability => StatusCode::NOT_FOUND,
        E::InsufficientScope
        | E::PolicyBlocked
        | E::ApprovalRequired
        | E::ApprovalDeclined
        | E::ApprovalExpired => StatusCode::FORBIDDEN,
        E::InvalidArguments => StatusCode::UNPROCESSABLE_ENTITY,
        E::NeedsConnection
        | E::ReauthRequired
        | E::CapabilityChanged
        | E::ConnectionDisabled
        | E::ExcludedByMode
        | E::NotSelected => StatusCode::CONFLICT,
        E::UpstreamUnreachable | E::UpstreamError | E::ResponseTooLarge => StatusCode::BAD_GATEWAY,
        E::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        E::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        E::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut problem = Problem::new(status, failure.error.code.as_str(), failure.error.message.clone());
    problem.more = Some(failure.to_json(request_id));
    problem
}
