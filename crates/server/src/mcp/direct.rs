//! `tools/list` and `tools/call` of direct surfaces.

use std::borrow::Cow;

use axum::{
    body::Body,
    http::{HeaderMap, Response},
};
use bytes::Bytes;
use serde_json::{Value, value::RawValue};
use switchboard_broker::{CallContext, Execute};
use switchboard_mcp::{Era, ProtocolError, RawObject, Request, decode_header_value, names, param_values};

use super::{call, dispatch};
use crate::ServerState;

pub(super) async fn list(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
) -> Result<Response<Body>, ProtocolError> {
    let list = state.broker.direct_tools(context).await.map_err(|error| dispatch::refused(&error))?;
    let (head, tail): (&[u8], &[u8]) = match context.era {
        Era::Legacy => (b"{\"tools\":", b"}"),
        Era::Modern => {
            (b"{\"resultType\":\"complete\",\"tools\":", b",\"ttlMs\":60000,\"cacheScope\":\"private\"}")
        }
    };
    let mut result = Vec::with_capacity(head.len() + list.tools.len() + tail.len());
    result.extend_from_slice(head);
    result.extend_from_slice(&list.tools);
    result.extend_from_slice(tail);
    Ok(dispatch::success(request, Bytes::from(result)))
}

pub(super) async fn run(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    headers: &HeaderMap,
    name: &str,
    arguments: Option<&RawValue>,
) -> Result<Response<Body>, ProtocolError> {
    let list = state.broker.direct_tools(context).await.map_err(|error| dispatch::refused(&error))?;
    let Some(capability) = list.names.get(name) else { return Err(call::unknown_tool(context, name)) };
    let meant = state.broker.meant(context, capability, arguments).await;
    let meant = meant.map_err(|error| dispatch::refused(&error))?;
    let inner = meant.arguments.and_then(|arguments| RawValue::from_string(arguments).ok());
    let arguments = inner.as_deref().or(arguments);
    if context.era == Era::Modern {
        mirrored(state, context, headers, capability, arguments).await?;
    }
    let execute = Execute {
        name: Cow::Borrowed(capability),
        arguments,
        schema_digest: None,
        intent: meant.intent,
        approval_id: approval_id(request),
    };
    Ok(call::finish(state, context, request, state.broker.execute(context, &execute).await))
}

/// `_meta["switchboard/approval_id"]`: a direct tool's arguments are the upstream's, so it stands beside them.
fn approval_id(request: &Request<'_>) -> Option<String> {
    let params = RawObject::parse(request.params?).ok()?;
    RawObject::parse(params.get("_meta")?).ok()?.read("switchboard/approval_id")
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
