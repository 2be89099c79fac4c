//! `tools/call` of the two tools.

use std::borrow::Cow;

use axum::{
    body::Body,
    http::{Response, StatusCode, header},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use switchboard_broker::{CallContext, CallFailure, Execute, Executed, Search, Side};
use switchboard_domain::{CallError, ErrorCode};
use switchboard_mcp::{Era, ProtocolError, RawObject, Request};

use super::{definitions, direct::Outcome, dispatch, elicitation, session::LiveSession, waiting};
use crate::ServerState;

#[derive(Deserialize)]
struct CallParams<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

pub(super) async fn call(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    session: Option<&LiveSession>,
) -> Result<Response<Body>, ProtocolError> {
    let params: CallParams<'_> = dispatch::read_params(request)?;
    let arguments = params.arguments.map_or("{}", RawValue::get);
    if !arguments.starts_with('{') {
        return Err(ProtocolError::invalid_params("`arguments` must be an object"));
    }
    match params.name.as_ref() {
        definitions::SEARCH => Ok(search(state, context, request, arguments, session).await),
        definitions::EXECUTE => Ok(execute(state, context, request, arguments, session).await),
        name => Err(unknown_tool(context, name)),
    }
}

pub(super) fn unknown_tool(context: &CallContext, name: &str) -> ProtocolError {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
    let advice = if shown.contains('.') {
        format!(": call {} with name \"{shown}\"", definitions::EXECUTE)
    } else {
        String::new()
    };
    let mut error = ProtocolError::invalid_params(format!("Unknown tool: {shown}{advice}"));
    // Legacy clients read protocol errors from a 200.
    if context.era == Era::Legacy && name.len() <= 1024 {
        error.status = 200;
    }
    error
}

fn unreadable(tool: &str, error: &serde_json::Error) -> CallFailure {
    let message = format!("The arguments of {tool} can't be read: {error}.");
    CallFailure::unrecorded(CallError::new(ErrorCode::InvalidArguments, message))
}

async fn search(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    arguments: &str,
    session: Option<&LiveSession>,
) -> Response<Body> {
    let outcome = match serde_json::from_str::<Search>(arguments) {
        Ok(search) => state.broker.search(context, &search).await,
        Err(error) => Err(unreadable(definitions::SEARCH, &error)),
    };
    match outcome {
        Ok(found) => structured(context, request, &found, false),
        Err(failure) => failed(state, context, request, &failure, session),
    }
}

async fn execute(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    arguments: &str,
    session: Option<&LiveSession>,
) -> Response<Body> {
    let outcome = run(state, context, request, (arguments, None)).await;
    finish(state, context, request, outcome, session)
}

async fn run(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    (arguments, side): (&str, Option<&Side>),
) -> Outcome {
    let mut execute = serde_json::from_str::<Execute<'_>>(arguments)
        .map_err(|error| unreadable(definitions::EXECUTE, &error))?;
    execute.approval_id = execute.approval_id.or_else(|| elicitation::approval_of(request.params));
    waiting::execute(state, context, request, (execute, side)).await
}

/// Whether this is a call that could be held.
pub(super) fn is_execute(request: &Request<'_>) -> bool {
    let params = request.params.and_then(|params| RawObject::parse(params).ok());
    request.method == "tools/call"
        && params
            .and_then(|params| params.read::<String>("name"))
            .is_some_and(|it| it == definitions::EXECUTE)
}

/// A call whose client hears what happens before the answer. The upstream has no part in that here.
pub(super) async fn run_listened(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    side: Option<&Side>,
) -> Result<Outcome, ProtocolError> {
    let params: CallParams<'_> = dispatch::read_params(request)?;
    let arguments = params.arguments.map_or("{}", RawValue::get);
    if !arguments.starts_with('{') {
        return Err(ProtocolError::invalid_params("`arguments` must be an object"));
    }
    Ok(run(state, context, request, (arguments, side)).await)
}

/// The upstream's result unchanged, or what went wrong.
pub(super) fn finish(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    outcome: Result<Executed, CallFailure>,
    session: Option<&LiveSession>,
) -> Response<Body> {
    match outcome {
        Ok(done) => {
            // Legacy clients ignore a `resultType`; modern ones need it.
            let payload = if context.era == Era::Modern && !done.has_result_type {
                switchboard_mcp::success_complete(&request.id, &done.result)
            } else {
                switchboard_mcp::success(&request.id, &done.result)
            };
            super::json(StatusCode::OK, payload)
        }
        Err(failure) => failed(state, context, request, &failure, session),
    }
}

/// Structured content, and the same as text for clients that read only that.
fn structured(context: &CallContext, request: &Request<'_>, value: &Value, is_error: bool) -> Response<Body> {
    let mut result = json!({
        "content": [{ "type": "text", "text": value.to_string() }],
        "structuredContent": value,
        "isError": is_error
    });
    if context.era == Era::Modern {
        result["resultType"] = json!("complete");
    }
    dispatch::success(request, result.to_string().into())
}

pub(super) fn failed(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    failure: &CallFailure,
    session: Option<&LiveSession>,
) -> Response<Body> {
    if let Some(asked) = elicitation::to_act(context, request, &failure.error) {
        return dispatch::success(request, asked.to_string().into());
    }
    if let Some(asked) = elicitation::by_error(context, request, &failure.error, session) {
        return asked;
    }
    let mut response = structured(context, request, &failure.to_json(&context.request_id), true);
    if failure.error.code == ErrorCode::InsufficientScope {
        step_up(state, context, &mut response);
    }
    response
}

/// The step-up challenge (RFC 6750 section 3.1): 403, the scopes that this call needs, where the metadata is.
fn step_up(state: &ServerState, context: &CallContext, response: &mut Response<Body>) {
    let challenge = super::challenge(
        state,
        &context.resource,
        context.challenge_organization.as_ref(),
        Some("insufficient_scope"),
    );
    if let Ok(challenge) = challenge.parse() {
        *response.status_mut() = StatusCode::FORBIDDEN;
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
}
