//! Calls that wait for a person's decision instead of being called again: as long as the client says (`Switchboard-Wait`, in
//! seconds, or `_meta["switchboard/wait"]`) and the operator allows. Meanwhile a client that gave a progress token hears
//! where the person has to go. When the time is over the answer is the one of a call that does not wait.

use std::time::Duration;

use axum::http::HeaderMap;
use switchboard_broker::{CallContext, CallFailure, Execute, Executed, Side};
use switchboard_domain::{ApprovalId, ErrorCode};
use switchboard_mcp::{ProtocolError, Request};
use tokio::time::{MissedTickBehavior, interval};

use super::{elicitation, narrowing};
use crate::ServerState;

/// Between two signs of life for a client that listens.
const TELL: Duration = Duration::from_secs(5);
/// For a client whose person was just sent to the page where they decide.
const AFTER_ASKING: Duration = Duration::from_secs(300);

/// How long the client waits: as it says, or because its person went to decide.
pub(super) fn patience(
    headers: &HeaderMap,
    request: &Request<'_>,
) -> Result<Option<Duration>, ProtocolError> {
    let said = narrowing::patience(headers, request.params)?;
    let went =
        elicitation::approval_of(request.params).filter(|_| elicitation::went_to_approve(request.params));
    Ok(said.or_else(|| went.map(|_| AFTER_ASKING)))
}

/// Runs a capability; where it is held, waits for the decision and runs it then.
pub(super) async fn execute(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    (execute, side): (Execute<'_>, Option<&Side>),
) -> Result<Executed, CallFailure> {
    let outcome = state.broker.execute(context, &execute).await;
    let (Some(patience), Err(failure)) = (context.patience, &outcome) else { return outcome };
    let Some(approval) = waits_for(failure) else { return outcome };
    // Who can be sent there is sent there first, and waits when they come back.
    if elicitation::to_act(context, request, &failure.error).is_some() {
        return outcome;
    }
    let url = failure.error.action.as_ref().and_then(|action| action.url.as_deref()).unwrap_or_default();
    let message = format!("Waiting for a person to approve {}: {url}", execute.name);
    let decided = state.broker.decided(context.principal.organization, approval, patience);
    tokio::pin!(decided);
    let mut ticks = interval(TELL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = 0;
    let is_decided = loop {
        tokio::select! {
            is_decided = &mut decided => break is_decided,
            _ = ticks.tick() => if let Some(side) = side {
                side.tell_progress(told, &message);
                told += 1;
            },
        }
    };
    if !is_decided {
        return outcome;
    }
    // Meanwhile they may have left, or may do less: whose token no longer counts is told so when they call again.
    let Some(principal) = state.broker.authenticate_again(&context.principal).await else { return outcome };
    let context = CallContext { principal, ..context.clone() };
    let again = Execute { approval_id: Some(approval.to_string()), ..execute };
    state.broker.execute(&context, &again).await
}

/// The approval that a refused call waits for.
fn waits_for(failure: &CallFailure) -> Option<ApprovalId> {
    let details =
        failure.error.details.as_ref().filter(|_| failure.error.code == ErrorCode::ApprovalRequired)?;
    details["approval_id"].as_str()?.parse().ok()
}
