//! Tasks of direct surfaces: `tasks/get`, `tasks/update` and `tasks/cancel` of 2026-07-28 (extension
//! `io.modelcontextprotocol/tasks`); `tasks/get`, `tasks/result`, `tasks/list` and `tasks/cancel` of 2025-11-25.

use axum::{body::Body, http::Response};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use switchboard_broker::{CallContext, Side, TaskStep};
use switchboard_mcp::{Era, ProtocolError, RawObject, Request, TASKS, code, knows_tasks};

use super::{direct::Outcome, dispatch, session::LiveSession, talk};
use crate::ServerState;

/// The `task` of a call that a client of the older generation wants to be one. Where nothing is offered as a task, what says
/// so is not looked at (2025-11-25, tasks: task support and handling).
pub(super) async fn asked_for(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
) -> Option<Box<RawValue>> {
    if context.era == Era::Modern || request.method != "tools/call" {
        return None;
    }
    let params = RawObject::parse(request.params?).ok()?;
    let task = params.get("task").filter(|task| task.get().starts_with('{'))?.to_owned();
    state.broker.direct_offers(context).await.tasks.then_some(task)
}

/// `tasks/list`: this caller's at this endpoint, each as its upstream says that it is now. One that its upstream has
/// forgotten, or that may no longer be asked about, is left out.
pub(super) async fn list(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    session: Option<&LiveSession>,
) -> Result<Response<Body>, ProtocolError> {
    #[derive(Deserialize, Default)]
    struct Page {
        #[serde(default)]
        cursor: Option<String>,
    }
    state.broker.may_list(context).map_err(|error| dispatch::refused(&error))?;
    let Page { cursor } = match request.params {
        Some(_) => dispatch::read_params(request)?,
        None => Page::default(),
    };
    let page = state.broker.tasks_of(context, cursor.as_deref()).await;
    let page = page.map_err(|error| dispatch::refused(&error))?;
    let page = page.ok_or_else(|| in_a_200(ProtocolError::invalid_params("`cursor` is not one of ours")))?;
    // Nobody is asked anything, and nothing is told: its receiver is not read.
    let (side, _events) = talk::side_of(context, request, session, None).unzip();
    let mut tasks = String::new();
    for id in page.ids {
        let asked = state.broker.ask_about_task(context, &id.to_string(), TaskStep::Get, side.clone()).await;
        if let Ok(Some(done)) = asked {
            let comma = if tasks.is_empty() { "" } else { "," };
            tasks.push_str(&format!("{comma}{}", String::from_utf8_lossy(&done.result)));
        }
    }
    let next =
        page.next_cursor.map_or_else(String::new, |next| format!(",\"nextCursor\":{}", Value::from(next)));
    Ok(dispatch::success(request, format!("{{\"tasks\":[{tasks}]{next}}}").into()))
}

/// Clients of the older generation read errors of the protocol from a 200.
fn in_a_200(error: ProtocolError) -> ProtocolError {
    ProtocolError { status: 200, ..error }
}

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
        "tasks/result" => TaskStep::Result,
        _ => TaskStep::Get,
    };
    match state.broker.ask_about_task(context, &params.task_id, step, side).await {
        Ok(Some(done)) => Ok(Ok(done)),
        Ok(None) if context.era == Era::Legacy => {
            Err(in_a_200(ProtocolError::invalid_params("Unknown task")))
        }
        Ok(None) => Err(ProtocolError::invalid_params("Unknown task")),
        Err(failure) => Ok(Err(failure)),
    }
}
