//! Calls that take several tries: an upstream asks for input, the client tries again with answers and the state that the
//! upstream gave it (2026-07-28, multi round-trip requests).
//!
//! The state passes through the client, so it is sealed on its way: for this caller, this capability, these arguments,
//! and not for long. A client of the legacy generation is asked over its stream instead and sees no state.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use switchboard_domain::{ApprovalId, CallError, CapabilityName, DataKeyId, ErrorCode};
use switchboard_mcp::RawObject;
use switchboard_policy::Underway;
use switchboard_vault::{SealContext, Sealed, open, seal};

use super::Prepared;
use crate::{
    Broker, CallContext, Execute,
    snapshot::Known,
    text,
    upstream::{Side, UpstreamError},
};

/// How long a client may take to try again.
const LIFETIME: std::time::Duration = std::time::Duration::from_secs(3600);
/// Largest state that is read, in bytes.
const MAX_STATE: usize = 64 * 1024;

/// What is inside of a state of ours.
#[derive(Serialize, Deserialize)]
struct State {
    capability: String,
    method: String,
    arguments: String,
    caller: String,
    expires: i64,
    /// The upstream's own, where it gave one.
    inner: Option<String>,
    /// By which approval the call was let through: it is not asked for again.
    #[serde(default)]
    approval: Option<ApprovalId>,
}

/// What an earlier try left.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// Answers and state, as members; empty without.
    pub(super) members: String,
    /// The call that a person approved, which goes on.
    pub(super) underway: Option<Underway>,
}

impl Broker {
    /// An upstream's result with its state sealed. Without a state it is unchanged, unless a person approved the call: then
    /// that is the state.
    pub(super) async fn sealed_state(
        &self,
        context: &CallContext,
        prepared: &Prepared<'_>,
        request: &Execute<'_>,
        result: Bytes,
    ) -> Result<Bytes, CallError> {
        let Ok(mut members) = serde_json::from_slice::<RawObject<'_>>(&result) else { return Ok(result) };
        let inner = members.read::<String>("requestState");
        let approval = prepared.permit.approval();
        if inner.is_none() && approval.is_none() {
            return Ok(result);
        }
        let known = prepared.known;
        let state = State {
            capability: prepared.name.to_string(),
            method: request.via.method().to_owned(),
            arguments: digest_of(request),
            caller: context.principal.caller.to_string(),
            expires: self.clock().now().plus(LIFETIME).as_micros(),
            inner,
            approval,
        };
        let key = self.data_keys().active(context.principal.organization).await.map_err(|error| {
            tracing::error!(%error, "a request state can't be sealed");
            text::unavailable()
        })?;
        let plain = serde_json::to_vec(&state).map_err(|_| text::unavailable())?;
        let sealed = seal(&key.key, &seal_context(known), &plain, self.random());
        let text = format!("\"{}.{}\"", key.id, URL_SAFE_NO_PAD.encode(sealed.as_bytes()));
        let text = RawValue::from_string(text).map_err(|_| text::unavailable())?;
        members.set("requestState", &text);
        let mut out = Vec::with_capacity(result.len() + 512);
        members.write(&mut out);
        Ok(out.into())
    }

    /// What the upstream gets of an earlier try, as members. A state that is not ours, or not for this call, is refused.
    pub(super) async fn opened_again(
        &self,
        context: &CallContext,
        known: &Known,
        name: &CapabilityName,
        request: &Execute<'_>,
    ) -> Result<Opened, CallError> {
        let mut members = String::new();
        if let Some(responses) = request.again.input_responses {
            let _ = write!(members, "\"inputResponses\":{}", responses.get());
        }
        let Some(sent) = request.again.request_state else {
            return Ok(Opened { members, underway: None });
        };
        let refused = || {
            CallError::new(
                ErrorCode::InvalidArguments,
                "The `requestState` is not one that was given out for this call, or it is too old. Call again without it.",
            )
        };
        let state = self.open_state(context, known, sent).await?.ok_or_else(refused)?;
        let fits = state.capability == name.to_string()
            && state.method == request.via.method()
            && state.arguments == digest_of(request)
            && state.caller == context.principal.caller.to_string()
            && state.expires > self.clock().now().as_micros();
        if !fits {
            return Err(refused());
        }
        if let Some(inner) = state.inner {
            let comma = if members.is_empty() { "" } else { "," };
            let _ = write!(members, "{comma}\"requestState\":{}", serde_json::Value::from(inner));
        }
        let underway = state.approval.map(|approval| Underway {
            organization: context.principal.organization,
            caller: context.principal.caller,
            connection: known.connection.id,
            capability: name.name.to_string(),
            kind: request.via.kind(),
            approval: Some(approval),
        });
        Ok(Opened { members, underway })
    }

    /// A state that stands in for an approval is good for one try, as the approval was.
    pub(super) async fn use_up_state(&self, context: &CallContext, sent: &str) -> Result<(), CallError> {
        let hash: [u8; 32] = Sha256::digest(sent.as_bytes()).into();
        let expires_at = self.clock().now().plus(LIFETIME);
        let used = async {
            let mut tx = self.db().write().await?;
            let used = tx.mcp_used_states().use_up(context.principal.organization, &hash, expires_at).await?;
            tx.commit().await?;
            Ok::<_, switchboard_storage::StorageError>(used)
        };
        match used.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(CallError::new(
                ErrorCode::InvalidArguments,
                "The `requestState` was used already, and the call had to be approved. Call again without it.",
            )),
            Err(error) => {
                tracing::error!(%error, "a request state can't be used up");
                Err(text::unavailable())
            }
        }
    }

    async fn open_state(
        &self,
        context: &CallContext,
        known: &Known,
        sent: &str,
    ) -> Result<Option<State>, CallError> {
        let parts = sent.split_once('.').filter(|_| sent.len() <= MAX_STATE);
        let read = parts.and_then(|(key, sealed)| {
            Some((key.parse::<DataKeyId>().ok()?, Sealed(URL_SAFE_NO_PAD.decode(sealed).ok()?)))
        });
        let Some((key, sealed)) = read else { return Ok(None) };
        let key = self.data_keys().by_id(context.principal.organization, key).await;
        let key = key.map_err(|_| text::unavailable())?;
        let plain = key.and_then(|key| open(&key.key, &seal_context(known), &sealed).ok());
        Ok(plain.and_then(|plain| serde_json::from_slice(&plain).ok()))
    }
}

fn seal_context(known: &Known) -> SealContext {
    SealContext {
        organization: known.connection.organization,
        table: "mcp_request",
        row: known.connection.id.as_uuid(),
        owner: None,
        field: "request_state",
        version: 1,
    }
}

fn digest_of(request: &Execute<'_>) -> String {
    hex::encode(Sha256::digest(request.arguments.map_or("{}", RawValue::get).as_bytes()))
}

/// Asks a client of the legacy generation what a result asks for; answers and state, as members of the next try.
pub(super) async fn asked_of_client(side: &Side, result: &Bytes) -> Result<String, UpstreamError> {
    let unreadable = || UpstreamError::Protocol("what it asks for can't be read".into());
    let members: RawObject<'_> = serde_json::from_slice(result).map_err(|_| unreadable())?;
    let mut answers = String::new();
    if let Some(requests) = members.get("inputRequests") {
        for (key, raw) in RawObject::parse(requests).map_err(|_| unreadable())?.iter() {
            let question = RawObject::parse(raw).map_err(|_| unreadable())?;
            let method: String = question.read("method").ok_or_else(unreadable)?;
            let answer = side.ask(&method, question.get("params").map(RawValue::to_owned)).await;
            let answer = answer.map_err(UpstreamError::Rpc)?;
            let comma = if answers.is_empty() { "" } else { "," };
            let _ = write!(answers, "{comma}{}:{}", serde_json::Value::from(key), answer.get());
        }
    }
    let mut again = format!("\"inputResponses\":{{{answers}}}");
    if let Some(state) = members.get("requestState") {
        let _ = write!(again, ",\"requestState\":{}", state.get());
    }
    Ok(again)
}
