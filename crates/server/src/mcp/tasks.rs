//! `tasks/get`, `tasks/update` and `tasks/cancel` of direct surfaces (2026-07-28, extension `io.modelcontextprotocol/tasks`).

use serde::Deserialize;
use serde_json::{json, value::RawValue};
use switchboard_broker::{CallContext, Side, TaskStep};
use switchboard_mcp::{ProtocolError, Request, TASKS, code, knows_tasks};

use super::{direct::Outcome, dispatch};
use crate::ServerState;

/// A client that does not say with this very request that it knows tasks is told so, whatever it asks for.
pub(super) fn refuse_unknowing(request: &Request<'_>) -> Result<(), ProtocolError> {
    if knows_tasks(request.params) {
        return Ok(());
    }
    let message = format!("the request does not declare the extension `{TASKS}`");
    let mut error = ProtocolError::new(400, code::MISSING_CAPABILITY, message);
    error.error.data = Some(json!({ "requiredCapabilities": { "extensions": { TASKS: {} } } }));
    Err(error)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params<'a> {
    task_id: String,
    #[serde(borrow, default)]
    input_responses: Option<&'a RawValue>,
}

pub(super) async fn run(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    side: Option<Side>,
) -> Result<Outcome, ProtocolError> {
    let params: Params<'_> = dispatch::read_params(request)?;
    let step = match request.method.as_ref() {
        "tasks/update" => {
            let responses = params.input_responses.filter(|raw| raw.get().starts_with('{'));
            let lacks = || ProtocolError::invalid_params("`inputResponses` is missing");
            TaskStep::Update(responses.ok_or_else(lacks)?.to_owned())
        }
        "tasks/cancel" => TaskStep::Cancel,
        _ => TaskStep::Get,
    };
    match state.broker.ask_about_task(context, &params.task_id, step, side).await {
        Ok(Some(done)) => Ok(Ok(done)),
        Ok(None) => Err(ProtocolError::invalid_params("Unknown task")),
        Err(failure) => Ok(Err(failure)),
    }
}
