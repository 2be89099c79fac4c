//! One message: which generation it is, which method, what is answered.

use axum::{
    body::Body,
    http::{HeaderMap, Response, StatusCode, request::Parts},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use switchboard_broker::{CallContext, Offer};
use switchboard_domain::{CallError, ClientInfo, ErrorCode, Principal, Resource, Slug};
use switchboard_mcp::{
    Era, ErrorObject, Incoming, ProtocolError, Request, SUPPORTED, Version, code, names, parse_incoming,
    read_meta, uses_modern_meta, validate_mirrored,
};

use super::{
    call, definitions, direct, elicitation, json as answer, listen, narrowing, protocol_error, session, talk,
    waiting,
};
use crate::{RequestId as TraceId, ServerState};

/// Deepest nesting of a client's message.
pub(super) const MAX_DEPTH: usize = 64;

pub(super) async fn dispatch(
    state: &ServerState,
    principal: Principal,
    resource: Resource,
    organization: Option<Slug>,
    parts: &Parts,
    body: &Bytes,
) -> Response<Body> {
    let request = match parse_incoming(body, MAX_DEPTH) {
        Ok(Incoming::Request(request)) => request,
        Ok(Incoming::Response(answer)) => {
            return session::answered(state, &principal, &resource, &parts.headers, answer).await;
        }
        // No notification changes anything: a call is cancelled by ending its stream.
        Ok(Incoming::Notification { method, params }) => {
            return session::notified(state, &principal, &resource, &parts.headers, (&method, params)).await;
        }
        Err(error) => return protocol_error(&error),
    };
    let asked = Asked { parts, body, request: &request };
    let outcome = serve(state, principal, resource, organization, &asked).await;
    outcome.unwrap_or_else(|error| protocol_error(&error.for_request(&request.id)))
}

async fn serve(
    state: &ServerState,
    principal: Principal,
    resource: Resource,
    organization: Option<Slug>,
    asked: &Asked<'_>,
) -> Result<Response<Body>, ProtocolError> {
    let Asked { parts, request, .. } = *asked;
    session::check_id(&parts.headers)?;
    let (version, client) = version_of(&parts.headers, request)?;
    let narrowing = narrowing::read(&parts.headers, request.params)?;
    let patience = waiting::patience(&parts.headers, request)?;
    let trace_id = parts.extensions.get::<TraceId>().cloned().unwrap_or_default();
    let context = CallContext {
        principal,
        resource,
        request_id: trace_id.0,
        client: client.or_else(|| user_agent(&parts.headers)),
        narrowing,
        patience,
        era: version.era(),
        challenge_organization: organization,
    };
    if context.resource != Resource::Default
        && state.broker.offer(&context).map_err(|error| refused(&error))? == Offer::Direct
    {
        return direct::serve(state, &context, asked).await;
    }
    if context.patience.is_some() && call::is_execute(request) {
        return talk::serve(state, &context, asked, None).await;
    }
    match version.era() {
        Era::Modern if request.method == "subscriptions/listen" => {
            listen::subscribe(state, &context, asked, false).await
        }
        Era::Modern => modern(state, &context, request).await,
        Era::Legacy => legacy(state, &context, &parts.headers, request).await,
    }
}

/// A request as it came in.
#[derive(Clone, Copy)]
pub(super) struct Asked<'r> {
    pub(super) parts: &'r Parts,
    /// The message, for what outlives this request.
    pub(super) body: &'r Bytes,
    pub(super) request: &'r Request<'r>,
}

/// The context of a stream that a session of the legacy generation opens.
pub(super) fn context_of_stream(
    principal: Principal,
    resource: Resource,
    organization: Option<Slug>,
    parts: &Parts,
) -> Result<CallContext, ProtocolError> {
    let trace_id = parts.extensions.get::<TraceId>().cloned().unwrap_or_default();
    Ok(CallContext {
        principal,
        resource,
        request_id: trace_id.0,
        client: user_agent(&parts.headers),
        narrowing: narrowing::read(&parts.headers, None)?,
        patience: None,
        era: Era::Legacy,
        challenge_organization: organization,
    })
}

/// Which revision a request is of, and who sends it. The header decides; a body that disagrees is refused.
fn version_of(
    headers: &HeaderMap,
    request: &Request<'_>,
) -> Result<(Version, Option<ClientInfo>), ProtocolError> {
    let mut values = headers.get_all(names::PROTOCOL_VERSION).iter();
    let sent = values.next().map(|value| value.to_str().unwrap_or(""));
    if values.next().is_some() {
        return Err(ProtocolError::header_mismatch("Header mismatch: `MCP-Protocol-Version` stands twice"));
    }
    let announced_modern = uses_modern_meta(request.params);
    let version = match sent {
        // Revisions before 2025-06-18 had no header.
        None if !announced_modern => Version::V2025_03_26,
        None => Version::V2026_07_28,
        Some(text) => Version::parse(text).ok_or_else(|| ProtocolError::unsupported_version(text))?,
    };
    if version.era() == Era::Legacy {
        if announced_modern {
            return Err(ProtocolError::header_mismatch(
                "Header mismatch: `MCP-Protocol-Version` does not match the body",
            ));
        }
        return Ok((version, None));
    }
    let meta = read_meta(request.params)?;
    validate_mirrored(headers, &meta.protocol_version, &request.method, request.params)?;
    let client = meta.client_name.map(|name| ClientInfo {
        name: bounded(&name),
        version: bounded(&meta.client_version.unwrap_or_default()),
    });
    Ok((version, client))
}

/// Client names are untrusted: one line, bounded.
fn bounded(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(100).collect()
}

fn user_agent(headers: &HeaderMap) -> Option<ClientInfo> {
    let text = headers.get("user-agent")?.to_str().ok()?;
    Some(ClientInfo { name: bounded(text), version: String::new() })
}

async fn modern(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
) -> Result<Response<Body>, ProtocolError> {
    match request.method.as_ref() {
        "server/discover" => Ok(success(request, discovery(server_description()).to_string().into())),
        "tools/list" => list(state, context, request).await,
        "tools/call" => call::call(state, context, request, None).await,
        method => Err(no_such_method(method)),
    }
}

/// The result of `server/discover` around what an endpoint offers.
pub(super) fn discovery(mut description: serde_json::Value) -> serde_json::Value {
    description["resultType"] = json!("complete");
    description["supportedVersions"] = json!(SUPPORTED);
    description["ttlMs"] = json!(3_600_000);
    description["cacheScope"] = json!("private");
    description["_meta"] = json!({ "io.modelcontextprotocol/serverInfo": server_info() });
    description
}

/// The result of `initialize` around what an endpoint offers.
pub(super) fn initialized(
    request: &Request<'_>,
    mut description: serde_json::Value,
) -> Result<serde_json::Value, ProtocolError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Initialize {
        protocol_version: String,
    }
    let asked: Initialize = read_params(request)?;
    description["protocolVersion"] = json!(Version::negotiate(&asked.protocol_version).as_str());
    description["serverInfo"] = server_info();
    Ok(description)
}

/// As a modern client is told.
pub(super) fn no_such_method(method: &str) -> ProtocolError {
    ProtocolError::new(404, code::METHOD_NOT_FOUND, not_found(method))
}

/// A protocol answer, not a transport failure: legacy clients read the body of a 200.
pub(super) fn no_such_method_legacy(request: &Request<'_>) -> Response<Body> {
    let error = ErrorObject { code: code::METHOD_NOT_FOUND, message: not_found(&request.method), data: None };
    answer(StatusCode::OK, switchboard_mcp::error_response(Some(&request.id), &error))
}

async fn legacy(
    state: &ServerState,
    context: &CallContext,
    headers: &HeaderMap,
    request: &Request<'_>,
) -> Result<Response<Body>, ProtocolError> {
    match request.method.as_ref() {
        "initialize" => {
            let result = initialized(request, server_description())?;
            if elicitation::shows_addresses(request, &result) {
                return session::open(state, context, request, &result).await;
            }
            Ok(success(request, result.to_string().into()))
        }
        "ping" => Ok(success(request, Bytes::from_static(b"{}"))),
        "tools/list" => list(state, context, request).await,
        "tools/call" => {
            // Whoever comes without their session is served all the same, and is asked nothing.
            let session = session::of_request(state, context, headers, request).await.unwrap_or_default();
            call::call(state, context, request, session.as_deref()).await
        }
        _ => Ok(no_such_method_legacy(request)),
    }
}

fn not_found(method: &str) -> String {
    format!("Method not found: {}", bounded(method))
}

/// `tools/list`: the two tools.
async fn list(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
) -> Result<Response<Body>, ProtocolError> {
    state.broker.may_list(context).map_err(|error| refused(&error))?;
    refuse_cursor(request)?;
    // An endpoint that is not there for this caller looks like an empty one.
    Ok(success(request, definitions::list(context.era)))
}

/// A refusal outside of a tool call, as a protocol error.
pub(super) fn refused(error: &CallError) -> ProtocolError {
    let status = match error.code {
        ErrorCode::InsufficientScope => 403,
        ErrorCode::Unavailable => 503,
        _ => 400,
    };
    ProtocolError::new(status, code::INVALID_REQUEST, error.message.clone())
}

/// There is one page; a cursor was not ours.
pub(super) fn refuse_cursor(request: &Request<'_>) -> Result<(), ProtocolError> {
    #[derive(Deserialize, Default)]
    struct Page {
        #[serde(default)]
        cursor: Option<String>,
    }
    let page: Page = match request.params {
        Some(_) => read_params(request)?,
        None => Page::default(),
    };
    match page.cursor {
        None => Ok(()),
        Some(_) => Err(ProtocolError::invalid_params("this `cursor` was not given out by this endpoint")),
    }
}

pub(super) fn read_params<'a, T: Deserialize<'a>>(request: &Request<'a>) -> Result<T, ProtocolError> {
    let params = request.params.map_or("{}", RawValue::get);
    serde_json::from_str(params)
        .map_err(|error| ProtocolError::invalid_params(format!("`params` can't be read: {error}")))
}

pub(super) fn success(request: &Request<'_>, result: Bytes) -> Response<Body> {
    answer(StatusCode::OK, switchboard_mcp::success(&request.id, &result))
}

fn server_info() -> serde_json::Value {
    json!({ "name": "switchboard", "title": "Switchboard", "version": env!("CARGO_PKG_VERSION") })
}

/// What both generations are told. Some clients read only the first 512 characters of the instructions.
fn server_description() -> serde_json::Value {
    json!({ "capabilities": { "tools": {} }, "instructions": definitions::INSTRUCTIONS })
}
