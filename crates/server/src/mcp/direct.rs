//! Direct surfaces: everything that the upstreams offer, one to one, in both generations.

use std::borrow::Cow;

use axum::{
    body::Body,
    http::{HeaderMap, Response},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use switchboard_broker::{Again, CallContext, CallFailure, Execute, Executed, Listing, Side, Via};
use switchboard_mcp::{
    Era, LATEST_LEGACY, ProtocolError, Request, TASKS, decode_header_value, names, param_values,
};

use super::{call, definitions, dispatch, listen, others, session, talk, tasks, waiting};
use crate::ServerState;

pub(super) async fn serve(
    state: &ServerState,
    context: &CallContext,
    asked: &dispatch::Asked<'_>,
) -> Result<Response<Body>, ProtocolError> {
    let request = asked.request;
    let session = session::of_request(state, context, &asked.parts.headers, request).await?;
    let list = |listing| async move { items(state, context, request, listing).await };
    match (request.method.as_ref(), context.era) {
        ("tools/list", _) => tools(state, context, request).await,
        ("prompts/list", _) => list(Listing::Prompts).await,
        ("resources/list", _) => list(Listing::Resources).await,
        ("resources/templates/list", _) => list(Listing::Templates).await,
        ("tools/call" | "prompts/get" | "resources/read" | "completion/complete", _) => {
            talk::serve(state, context, asked, session).await
        }
        ("resources/subscribe", Era::Legacy) => {
            listen::watch_resource(state, context, request, session).await
        }
        ("resources/unsubscribe", Era::Legacy) => {
            listen::unwatch_resource(state, context, request, session).await
        }
        ("tasks/get" | "tasks/update" | "tasks/cancel", Era::Modern) => {
            tasks::refuse_unknowing(request)?;
            talk::serve(state, context, asked, session).await
        }
        ("tasks/get" | "tasks/result" | "tasks/cancel", Era::Legacy) => {
            talk::serve(state, context, asked, session).await
        }
        ("tasks/list", Era::Legacy) => tasks::list(state, context, request, session.as_deref()).await,
        ("subscriptions/listen", Era::Modern) => listen::subscribe(state, context, asked, true).await,
        ("server/discover", Era::Modern) => {
            let mut description = description(state, context).await;
            if state.broker.direct_offers(context).await.tasks {
                description["capabilities"]["extensions"] = json!({ TASKS: {} });
            }
            Ok(dispatch::success(request, dispatch::discovery(description).to_string().into()))
        }
        ("initialize", Era::Legacy) => {
            let mut result = dispatch::initialized(request, description(state, context).await)?;
            if result["protocolVersion"] == LATEST_LEGACY && state.broker.direct_offers(context).await.tasks {
                let requests = json!({ "tools": { "call": {} } });
                result["capabilities"]["tasks"] = json!({ "list": {}, "cancel": {}, "requests": requests });
            }
            session::open(state, context, request, &result).await
        }
        ("ping", Era::Legacy) => Ok(dispatch::success(request, Bytes::from_static(b"{}"))),
        ("logging/setLevel", Era::Legacy) => session::set_level(state, session, request).await,
        (_, Era::Legacy) => Ok(dispatch::no_such_method_legacy(request)),
        (method, Era::Modern) => Err(dispatch::no_such_method(method)),
    }
}

/// What the upstreams behind this endpoint offer, with our name on it.
async fn description(state: &ServerState, context: &CallContext) -> Value {
    let offers = state.broker.direct_offers(context).await;
    let mut capabilities = json!({ "tools": { "listChanged": true } });
    if offers.prompts {
        capabilities["prompts"] = json!({ "listChanged": true });
    }
    if offers.resources {
        capabilities["resources"] = json!({ "listChanged": true, "subscribe": offers.subscriptions });
    }
    if offers.completions {
        capabilities["completions"] = json!({});
    }
    if offers.logging {
        capabilities["logging"] = json!({});
    }
    json!({ "capabilities": capabilities, "instructions": definitions::DIRECT_INSTRUCTIONS })
}

async fn tools(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
) -> Result<Response<Body>, ProtocolError> {
    state.broker.may_list(context).map_err(|error| dispatch::refused(&error))?;
    dispatch::refuse_cursor(request)?;
    let list = state.broker.direct_tools(context).await.map_err(|error| dispatch::refused(&error))?;
    Ok(dispatch::success(request, listed(context.era, "tools", &list.tools)))
}

async fn items(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    listing: Listing,
) -> Result<Response<Body>, ProtocolError> {
    dispatch::refuse_cursor(request)?;
    let list = state.broker.direct_items(context, listing).await;
    let list = list.map_err(|error| dispatch::refused(&error))?;
    Ok(dispatch::success(request, listed(context.era, listing.member(), &list.items)))
}

/// A list as a result. It is of this caller: no cache may give it to another one.
fn listed(era: Era, member: &str, items: &Bytes) -> Bytes {
    let (head, tail) = match era {
        Era::Legacy => (format!("{{\"{member}\":"), "}"),
        Era::Modern => (
            format!("{{\"resultType\":\"complete\",\"{member}\":"),
            ",\"ttlMs\":60000,\"cacheScope\":\"private\"}",
        ),
    };
    let mut result = Vec::with_capacity(head.len() + items.len() + tail.len());
    result.extend_from_slice(head.as_bytes());
    result.extend_from_slice(items);
    result.extend_from_slice(tail.as_bytes());
    result.into()
}

#[derive(Deserialize)]
struct CallParams<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

/// How a request about a capability ended.
pub(super) type Outcome = Result<Executed, CallFailure>;

/// `tools/call`
pub(super) async fn run(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    headers: &HeaderMap,
    side: Option<Side>,
) -> Result<Outcome, ProtocolError> {
    let params: CallParams<'_> = dispatch::read_params(request)?;
    if params.arguments.is_some_and(|arguments| !arguments.get().starts_with('{')) {
        return Err(ProtocolError::invalid_params("`arguments` must be an object"));
    }
    let list = state.broker.direct_tools(context).await.map_err(|error| dispatch::refused(&error))?;
    let Some(capability) = list.names.get(&*params.name) else {
        return Err(call::unknown_tool(context, &params.name));
    };
    let meant = state.broker.meant(context, capability, params.arguments).await;
    let meant = meant.map_err(|error| dispatch::refused(&error))?;
    let inner = meant.arguments.and_then(|arguments| RawValue::from_string(arguments).ok());
    let arguments = inner.as_deref().or(params.arguments);
    if context.era == Era::Modern {
        mirrored(state, context, headers, capability, arguments).await?;
    }
    let others::Tried { approval_id, request_state, input_responses } = others::tried(request);
    let listens = side.clone();
    let execute = Execute {
        name: Cow::Borrowed(capability),
        arguments,
        schema_digest: None,
        intent: meant.intent,
        approval_id,
        via: Via::Tool,
        side,
        again: Again { input_responses, request_state: request_state.as_deref() },
    };
    let outcome = waiting::execute(state, context, request, (execute, listens.as_ref())).await;
    Ok(outcome.map(|done| state.broker.readdressed(context, capability, done)))
}

/// Every annotated parameter stands in its header, with the same value, or the request is refused.
async fn mirrored(
    state: &ServerState,
    context: &CallContext,
    headers: &HeaderMap,
    capability: &str,
    arguments: Option<&RawValue>,
) -> Result<(), ProtocolError> {
    let annotations = state
        .broker
        .mirrored_parameters(context, capability)
        .await
        .map_err(|error| dispatch::refused(&error))?;
    if annotations.is_empty() {
        return Ok(());
    }
    let arguments: Value =
        arguments.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or(Value::Null);
    let expected = param_values(&annotations, &arguments);
    for annotation in &annotations {
        let header = format!("{}{}", names::PARAM_PREFIX, annotation.header).to_ascii_lowercase();
        let sent =
            headers.get(header.as_str()).map(|value| value.to_str().ok().and_then(decode_header_value));
        let wanted = expected
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&header))
            .and_then(|(_, value)| decode_header_value(value));
        if sent != wanted.map(Some) {
            return Err(ProtocolError::header_mismatch(format!(
                "Header mismatch: `Mcp-Param-{}` does not match the body",
                annotation.header
            )));
        }
    }
    Ok(())
}
