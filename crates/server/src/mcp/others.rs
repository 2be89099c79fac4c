//! Prompts, resources and completions of direct surfaces: what is asked, and how the answer is written.

use std::borrow::Cow;

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use switchboard_broker::{Again, CallContext, CallFailure, Execute, Executed, Side, Via};
use switchboard_domain::{CapabilityKind, ErrorCode, Resource};
use switchboard_mcp::{Era, ErrorObject, ProtocolError, RawObject, Request, code};

use super::{call, direct::Outcome, dispatch, elicitation, json as answer, session::LiveSession};
use crate::ServerState;

/// What stands beside the arguments of a request: an approval, and what an earlier try asked for.
#[derive(Default)]
pub(super) struct Tried<'r> {
    /// `_meta["switchboard/approval_id"]`: the arguments are the upstream's, so it stands beside them.
    pub(super) approval_id: Option<String>,
    pub(super) request_state: Option<String>,
    pub(super) input_responses: Option<&'r RawValue>,
}

pub(super) fn tried<'r>(request: &Request<'r>) -> Tried<'r> {
    let Some(Ok(params)) = request.params.map(RawObject::parse) else { return Tried::default() };
    let meta = params.get("_meta").and_then(|meta| RawObject::parse(meta).ok());
    Tried {
        approval_id: meta
            .and_then(|meta| meta.read("switchboard/approval_id"))
            .or_else(|| elicitation::approval_of(request.params)),
        request_state: params
            .read("requestState")
            .filter(|_| elicitation::approval_of(request.params).is_none()),
        // An answer to a question of our own is nothing for an upstream.
        input_responses: params
            .get("inputResponses")
            .filter(|raw| RawObject::parse(raw).is_ok_and(|answers| !elicitation::is_ours(&answers))),
    }
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    uri: Option<String>,
    #[serde(default)]
    r#ref: Option<Reference>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    argument: Option<&'a RawValue>,
    #[serde(borrow, default)]
    context: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    uri: Option<String>,
}

/// `prompts/get`, `resources/read`, `resources/subscribe`, `completion/complete`
pub(super) async fn run(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    side: Option<Side>,
) -> Result<Outcome, ProtocolError> {
    let params: Params<'_> = dispatch::read_params(request)?;
    let lacks = |member: &str| ProtocolError::invalid_params(format!("`{member}` is missing"));
    let mut completed = String::new();
    for (name, value) in [("argument", params.argument), ("context", params.context)] {
        if let Some(value) = value {
            completed.push_str(&format!(",\"{name}\":{}", value.get()));
        }
    }
    let (via, named) = match request.method.as_ref() {
        "prompts/get" => (Via::Prompt, params.name.ok_or_else(|| lacks("name"))?),
        "resources/read" => (Via::Resource, params.uri.ok_or_else(|| lacks("uri"))?),
        "resources/subscribe" => (Via::Subscribe, params.uri.ok_or_else(|| lacks("uri"))?),
        _ => {
            let reference = params.r#ref.ok_or_else(|| lacks("ref"))?;
            let complete = |kind| Via::Complete { kind, members: &completed };
            match reference.kind.as_str() {
                "ref/prompt" => {
                    (complete(CapabilityKind::Prompt), reference.name.ok_or_else(|| lacks("ref.name"))?)
                }
                "ref/resource" => {
                    (complete(CapabilityKind::Resource), reference.uri.ok_or_else(|| lacks("ref.uri"))?)
                }
                _ => return Err(ProtocolError::invalid_params("`ref` is neither a prompt nor a resource")),
            }
        }
    };
    let is_prompt = matches!(via, Via::Prompt | Via::Complete { kind: CapabilityKind::Prompt, .. });
    let capability = if is_prompt {
        state.broker.direct_prompt(context, &named).await.map_err(|error| dispatch::refused(&error))?
    } else {
        state.broker.direct_resource(context, &named)
    };
    let Some(capability) = capability else { return Err(unknown(is_prompt, &named, context.era)) };
    let Tried { approval_id, request_state, input_responses } = tried(request);
    let execute = Execute {
        name: Cow::Borrowed(&capability),
        arguments: params.arguments,
        schema_digest: None,
        intent: None,
        approval_id,
        via,
        side,
        again: Again { input_responses, request_state: request_state.as_deref() },
    };
    let outcome = state.broker.execute(context, &execute).await;
    let renamed = matches!(context.resource, Resource::Toolkit(_) | Resource::PersonalToolkit(_));
    let slug = capability.split_once('.').map_or("", |(slug, _)| slug);
    let shown = |uri: &str| state.broker.direct_uri(context, slug, uri);
    Ok(match outcome {
        Ok(done) if matches!(via, Via::Resource) => Ok(read(done, renamed.then_some(&shown))),
        Ok(done) if matches!(via, Via::Prompt) => Ok(state.broker.readdressed(context, &capability, done)),
        outcome => outcome,
    })
}

fn unknown(is_prompt: bool, named: &str, era: Era) -> ProtocolError {
    let shown: String = named.chars().filter(|character| !character.is_control()).take(200).collect();
    let mut error = if is_prompt {
        ProtocolError::invalid_params(format!("Unknown prompt: {shown}"))
    } else {
        let mut error = ProtocolError::invalid_params(format!("Resource not found: {shown}"));
        if era == Era::Legacy {
            error.error.code = code::RESOURCE_NOT_FOUND_LEGACY;
        }
        error
    };
    if era == Era::Legacy {
        error.status = 200;
    }
    error
}

/// What was read is for this caller alone, whatever its server says of caches; 2026-07-28 wants both said. On a toolkit
/// its own URI is the one that it was asked for by.
fn read(done: Executed, shown: Option<Shown<'_>>) -> Executed {
    let Some(result) = private(&done.result, shown) else { return done };
    Executed { result, has_result_type: true, ..done }
}

/// How an endpoint shows a URI.
type Shown<'f> = &'f dyn Fn(&str) -> String;

fn private(result: &Bytes, shown: Option<Shown<'_>>) -> Option<Bytes> {
    let mut object: RawObject<'_> = serde_json::from_slice(result).ok()?;
    if object.read::<String>("resultType").is_some_and(|kind| kind != "complete") {
        return None;
    }
    let ttl = object.read::<f64>("ttlMs").filter(|ttl| *ttl >= 0.0).unwrap_or(0.0);
    if shown.is_none() {
        // The head is new; what was read is not touched.
        let has_none = ["resultType", "ttlMs", "cacheScope"].iter().all(|member| !object.contains(member));
        if has_none && !object.is_empty() {
            let head = b"{\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\",";
            let mut out = Vec::with_capacity(head.len() + result.len());
            out.extend_from_slice(head);
            out.extend_from_slice(&result[result.iter().position(|byte| *byte == b'{')? + 1..]);
            return Some(out.into());
        }
    }
    let scope = RawValue::from_string("\"private\"".into()).ok()?;
    let kind = RawValue::from_string("\"complete\"".into()).ok()?;
    let ttl = RawValue::from_string(format!("{}", ttl as u64)).ok()?;
    let contents = match (shown, object.get("contents")) {
        (Some(shown), Some(contents)) => Some(renamed(contents, shown)?),
        _ => None,
    };
    if let Some(contents) = &contents {
        object.set("contents", contents);
    }
    object.set("resultType", &kind);
    object.set("ttlMs", &ttl);
    object.set("cacheScope", &scope);
    let mut out = Vec::with_capacity(result.len() + 64);
    object.write(&mut out);
    Some(out.into())
}

/// Contents with each URI as it is shown.
fn renamed(contents: &RawValue, shown: Shown<'_>) -> Option<Box<RawValue>> {
    let mut items: Vec<Value> = serde_json::from_str(contents.get()).ok()?;
    for item in &mut items {
        if let Some(uri) = item["uri"].as_str() {
            item["uri"] = Value::from(shown(uri));
        }
    }
    serde_json::value::to_raw_value(&items).ok()
}

/// The answer to such a request; a failure is an error of the protocol, since there is no result to put it into.
pub(super) fn finish(context: &CallContext, request: &Request<'_>, outcome: Outcome) -> Response<Body> {
    match outcome {
        Ok(done) => {
            let payload = if context.era == Era::Modern && !done.has_result_type {
                switchboard_mcp::success_complete(&request.id, &done.result)
            } else {
                switchboard_mcp::success(&request.id, &done.result)
            };
            answer(StatusCode::OK, payload)
        }
        Err(failure) => failed(context, request, &failure),
    }
}

fn failed(context: &CallContext, request: &Request<'_>, failure: &CallFailure) -> Response<Body> {
    let error = match &failure.upstream {
        Some(error) => of_upstream(error, context.era),
        None => ErrorObject {
            code: match failure.error.code {
                ErrorCode::UnknownCapability | ErrorCode::InvalidArguments => code::INVALID_PARAMS,
                ErrorCode::UpstreamError | ErrorCode::UpstreamTimeout => code::INTERNAL_ERROR,
                _ => code::INVALID_REQUEST,
            },
            message: failure.error.message.clone(),
            data: Some(failure.to_json(&context.request_id)),
        },
    };
    answer(status_of(&error, context.era), switchboard_mcp::error_response(Some(&request.id), &error))
}

/// An upstream's error as this client's generation writes it.
fn of_upstream(error: &ErrorObject, era: Era) -> ErrorObject {
    let code = match (error.code, era) {
        (code::RESOURCE_NOT_FOUND_LEGACY, Era::Modern) => code::INVALID_PARAMS,
        (code, _) => code,
    };
    ErrorObject { code, message: error.message.clone(), data: error.data.clone() }
}

/// The newer generation has a status for some errors; the older one reads all from a 200.
pub(super) fn status_of(error: &ErrorObject, era: Era) -> StatusCode {
    match (era, error.code) {
        (Era::Modern, code::METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
        (Era::Modern, code::INVALID_PARAMS | code::INVALID_REQUEST | code::MISSING_CAPABILITY) => {
            StatusCode::BAD_REQUEST
        }
        _ => StatusCode::OK,
    }
}

/// A tool's outcome. An upstream that misses a capability of the client says so as an error of the protocol, and so
/// does a state that was not ours; all else is a result that agents read.
pub(super) fn finish_tool(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    outcome: Outcome,
    session: Option<&LiveSession>,
) -> Response<Body> {
    match &outcome {
        Err(failure)
            if failure.upstream.as_ref().is_some_and(|error| error.code == code::MISSING_CAPABILITY)
                || tried(request).request_state.is_some()
                    && failure.error.code == ErrorCode::InvalidArguments =>
        {
            failed(context, request, failure)
        }
        _ => call::finish(state, context, request, outcome, session),
    }
}
