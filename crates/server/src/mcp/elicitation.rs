//! Asking the person behind a client to connect their account: an address of ours to open (MCP 2026-07-28, elicitation in
//! URL mode, as an input request). Nothing secret is in it: the page finds out who is there and lets them act for
//! themselves only (THREATS O4).
//!
//! Legacy clients say what they can once per session, and here is no session: they get the address in the error.

use serde_json::{Value, json, value::RawValue};
use switchboard_broker::CallContext;
use switchboard_domain::{Actor, CallError, ErrorCode};
use switchboard_mcp::{Era, RawObject, Request, offers_url_elicitation};

/// Names our one question among `inputRequests`.
pub(super) const KEY: &str = "switchboard/connect";

/// The result that asks, when the caller themselves can put it right and their client can show it. Asked once: whoever
/// comes back without having connected is told what is the matter instead.
pub(super) fn to_connect(context: &CallContext, request: &Request<'_>, error: &CallError) -> Option<Value> {
    let is_theirs = matches!(error.code, ErrorCode::NeedsConnection | ErrorCode::ReauthRequired)
        && error.actor == Some(Actor::Member)
        && context.principal.member().is_some();
    let url = error.action.as_ref().and_then(|action| action.url.as_deref())?;
    if !is_theirs
        || context.era != Era::Modern
        || !offers_url_elicitation(request.params)
        || was_asked(request.params)
    {
        return None;
    }
    let asked = json!({
        "method": "elicitation/create",
        "params": { "mode": "url", "message": error.message, "url": url },
    });
    Some(json!({ "resultType": "input_required", "inputRequests": { KEY: asked } }))
}

fn was_asked(params: Option<&RawValue>) -> bool {
    params
        .and_then(|params| RawObject::parse(params).ok())
        .and_then(|params| {
            RawObject::parse(params.get("inputResponses")?).ok().map(|given| given.contains(KEY))
        })
        .unwrap_or(false)
}
