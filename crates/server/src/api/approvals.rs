//! `/approvals`: calls that wait for a person.

use axum::http::StatusCode;
use serde::Deserialize;
use switchboard_broker::manage::{ApprovalDecision, ApprovalQuery, ApprovalView, InboxView, Operation};
use utoipa::IntoParams;

use super::{
    call::Call,
    reply::Reply,
    route::{Route, get, post},
};
use crate::problem::Problem;

#[derive(Deserialize, IntoParams)]
#[expect(dead_code, reason = "documents the query, which the use case reads")]
struct Filter {
    /// `pending`, `approved`, `declined`, `expired` or `used`.
    status: Option<String>,
    /// `true`: only those that you can decide now.
    decidable: Option<bool>,
    /// 1 to 200; 50 without.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/approvals", Operation::ListApprovals, list)
            .says("List calls that wait, or waited, for a person; the newest first")
            .explains("Your own agents' and those that you may decide; admins get all.")
            .query::<Filter>()
            .answers_page::<ApprovalView>(),
        get("/approvals/inbox", Operation::ListApprovals, inbox)
            .says("Count the calls that wait for your decision")
            .answers::<InboxView>(StatusCode::OK),
        get("/approvals/{id}", Operation::ReadApproval, read)
            .says("Read a call that waits for a person, with its arguments")
            .answers::<ApprovalView>(StatusCode::OK),
        post("/approvals/{id}/approve", Operation::Approve, approve)
            .says("Let exactly this call through, once")
            .explains("The agent calls again with the approval's id. What was approved runs at most once, before it expires.")
            .answers::<ApprovalView>(StatusCode::OK),
        post("/approvals/{id}/decline", Operation::Decline, decline)
            .says("Decline a call; final")
            .explains("One that was approved can be declined until it is used.")
            .answers::<ApprovalView>(StatusCode::OK),
    ]
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let query: ApprovalQuery = call.query()?;
    Reply::json(&call.broker().list_approvals(&call.principal, &query).await?)
}

async fn inbox(call: Call) -> Result<Reply, Problem> {
    Reply::json(&call.broker().approval_inbox(&call.principal).await?)
}

async fn read(call: Call) -> Result<Reply, Problem> {
    Reply::json(&call.broker().read_approval(&call.principal, call.path("id")?).await?)
}

async fn approve(call: Call) -> Result<Reply, Problem> {
    decide(&call, ApprovalDecision::Approve).await
}

async fn decline(call: Call) -> Result<Reply, Problem> {
    decide(&call, ApprovalDecision::Decline).await
}

async fn decide(call: &Call, decision: ApprovalDecision) -> Result<Reply, Problem> {
    let (broker, principal) = (call.broker(), &call.principal);
    Reply::json(&broker.decide_approval(principal, call.path("id")?, decision).await?)
}
