//! Asking the person behind a client to connect their account, or to decide about a held call: an address of ours to open.
//! Nothing secret is in it: the page finds out who is there and lets them act for themselves only (THREATS O4).
//!
//! Both generations can be asked for that where they say so (elicitation in URL mode). In 2026-07-28 the question is the
//! result, as an input request. In 2025-11-25 it is an error of the protocol, `-32042`, and whether the client takes it
//! stands in its session. Everybody else gets the address in the error of the call.

use axum::{body::Body, http::Response};
use serde_json::{Value, json, value::RawValue};
use switchboard_broker::CallContext;
use switchboard_domain::{Actor, CallError, ErrorCode};
use switchboard_mcp::{Era, LATEST_LEGACY, ProtocolError, RawObject, Request, code, offers_url_elicitation};

use super::{protocol_error, session::LiveSession};

/// Names our questions among `inputRequests`.
const CONNECT: &str = "switchboard/connect";
const APPROVE: &str = "switchboard/approve";
/// What begins the state of a call that waits for a decision; the approval's id follows. It says nothing that the caller
/// was not told, and is believed no more than an `approval_id`.
const STATE: &str = "swb_approval:";

/// The result that asks, when the caller themselves can put it right and their client can show it. Asked once: whoever
/// comes back without having connected is told what is the matter instead.
pub(super) fn to_act(context: &CallContext, request: &Request<'_>, error: &CallError) -> Option<Value> {
    let key = match error.code {
        ErrorCode::NeedsConnection | ErrorCode::ReauthRequired => CONNECT,
        ErrorCode::ApprovalRequired => APPROVE,
        _ => return None,
    };
    let url = their_address(context, error)?;
    if context.era != Era::Modern
        || !offers_url_elicitation(request.params)
        || answer_to(key, request.params).is_some()
    {
        return None;
    }
    let asked = json!({
        "method": "elicitation/create",
        "params": { "mode": "url", "message": error.message, "url": url },
    });
    let mut result = json!({ "resultType": "input_required", "inputRequests": { key: asked } });
    let approval = error.details.as_ref().and_then(|details| details["approval_id"].as_str());
    if let (APPROVE, Some(approval)) = (key, approval) {
        result["requestState"] = json!(format!("{STATE}{approval}"));
    }
    Some(result)
}

/// The error that asks a person of the older generation to connect their account, when their session says that their client
/// shows addresses.
pub(super) fn by_error(
    context: &CallContext,
    request: &Request<'_>,
    error: &CallError,
    session: Option<&LiveSession>,
) -> Option<Response<Body>> {
    let connects = matches!(error.code, ErrorCode::NeedsConnection | ErrorCode::ReauthRequired);
    if !connects || context.era != Era::Legacy || !session.is_some_and(LiveSession::shows_addresses) {
        return None;
    }
    let url = their_address(context, error)?;
    let question = json!({
        "mode": "url", "message": error.message, "url": url, "elicitationId": format!("connect-{}", context.request_id),
    });
    let mut required = ProtocolError::new(200, code::URL_ELICITATION_REQUIRED, error.message.clone());
    required.error.data = Some(json!({ "elicitations": [question] }));
    Some(protocol_error(&required.for_request(&request.id)))
}

/// Where the callers themselves can put it right.
fn their_address<'e>(context: &CallContext, error: &'e CallError) -> Option<&'e str> {
    let is_theirs = error.actor == Some(Actor::Member) && context.principal.member().is_some();
    error.action.as_ref()?.url.as_deref().filter(|_| is_theirs)
}

/// Whether a client that begins says that it shows addresses, in the revision that knows of it.
pub(super) fn shows_addresses(request: &Request<'_>, result: &Value) -> bool {
    let params = request.params.and_then(|params| RawObject::parse(params).ok());
    result["protocolVersion"] == LATEST_LEGACY
        && params.is_some_and(|params| params.get("capabilities").is_some_and(is_by_address))
}

/// Whether `ClientCapabilities` have elicitation in URL mode.
pub(super) fn is_by_address(capabilities: &RawValue) -> bool {
    let all = RawObject::parse(capabilities).ok();
    let elicitation = all.and_then(|all| RawObject::parse(all.get("elicitation")?).ok());
    elicitation.is_some_and(|elicitation| elicitation.contains("url"))
}

/// The approval that a call comes back for.
pub(super) fn approval_of(params: Option<&RawValue>) -> Option<String> {
    let state: String = RawObject::parse(params?).ok()?.read("requestState")?;
    state.strip_prefix(STATE).map(str::to_owned)
}

/// Whether the person opened the page where they decide.
pub(super) fn went_to_approve(params: Option<&RawValue>) -> bool {
    let answer = answer_to(APPROVE, params);
    answer
        .and_then(|answer| RawObject::parse(&answer).ok()?.read::<String>("action"))
        .is_some_and(|it| it == "accept")
}

/// Whether these are answers to a question of ours: they are nothing for an upstream.
pub(super) fn is_ours(answers: &RawObject<'_>) -> bool {
    answers.contains(CONNECT) || answers.contains(APPROVE)
}

fn answer_to(key: &str, params: Option<&RawValue>) -> Option<Box<RawValue>> {
    let params = RawObject::parse(params?).ok()?;
    RawObject::parse(params.get("inputResponses")?).ok()?.get(key).map(RawValue::to_owned)
}
