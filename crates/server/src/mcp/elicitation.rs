//! Asking the person behind a client to connect their account: an address of ours to open. Nothing secret is in it: the
//! page finds out who is there and lets them act for themselves only (THREATS O4).
//!
//! Both generations can be asked for that where they say so (elicitation in URL mode). In 2026-07-28 the question is the
//! result, as an input request. In 2025-11-25 it is an error of the protocol, `-32042`, and whether the client takes it
//! stands in its session. Everybody else gets the address in the error of the call.

use axum::{body::Body, http::Response};
use serde_json::{Value, json, value::RawValue};
use switchboard_broker::CallContext;
use switchboard_domain::{Actor, CallError, ErrorCode};
use switchboard_mcp::{Era, LATEST_LEGACY, ProtocolError, RawObject, Request, code, offers_url_elicitation};

use super::{dispatch, protocol_error, session::LiveSession};

/// Names our one question among `inputRequests`.
pub(super) const KEY: &str = "switchboard/connect";

/// The answer that asks, when the caller themselves can put it right and their client can show it. Of the newer
/// generation, whoever comes back without having connected is told what is the matter instead.
pub(super) fn to_connect(
    context: &CallContext,
    request: &Request<'_>,
    error: &CallError,
    session: Option<&LiveSession>,
) -> Option<Response<Body>> {
    let is_theirs = matches!(error.code, ErrorCode::NeedsConnection | ErrorCode::ReauthRequired)
        && error.actor == Some(Actor::Member)
        && context.principal.member().is_some();
    let url = error.action.as_ref().and_then(|action| action.url.as_deref()).filter(|_| is_theirs)?;
    let mut question = json!({ "mode": "url", "message": error.message, "url": url });
    match context.era {
        Era::Modern if offers_url_elicitation(request.params) && !was_asked(request.params) => {
            let asked = json!({ "method": "elicitation/create", "params": question });
            let result = json!({ "resultType": "input_required", "inputRequests": { KEY: asked } });
            Some(dispatch::success(request, result.to_string().into()))
        }
        Era::Legacy if session.is_some_and(LiveSession::shows_addresses) => {
            question["elicitationId"] = json!(format!("connect-{}", context.request_id));
            let mut required = ProtocolError::new(200, code::URL_ELICITATION_REQUIRED, error.message.clone());
            required.error.data = Some(json!({ "elicitations": [question] }));
            Some(protocol_error(&required.for_request(&request.id)))
        }
        _ => None,
    }
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

fn was_asked(params: Option<&RawValue>) -> bool {
    params
        .and_then(|params| RawObject::parse(params).ok())
        .and_then(|params| {
            RawObject::parse(params.get("inputResponses")?).ok().map(|given| given.contains(KEY))
        })
        .unwrap_or(false)
}
