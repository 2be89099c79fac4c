//! What a client tells of itself with a request: which questions it takes, what it wants to hear.

use serde_json::value::RawValue;
use switchboard_broker::{CallContext, Side, SideEvent};
use switchboard_mcp::{Era, RawObject, Request};
use tokio::sync::mpsc;

use super::LiveSession;

/// Questions that can be passed on.
const QUESTIONS: [&str; 3] = ["elicitation", "sampling", "roots"];
/// Of a client's capabilities, in bytes.
const MOST_SAID: usize = 4096;
/// Longest name of a level of log messages.
const LEVEL: usize = 16;
/// Events that wait for a client that reads slowly.
const QUEUE: usize = 64;

/// What the client told of itself, and the `task` that it wants its call to be (2025-11-25); `None` when it hears nothing and can't be asked: then nothing of this is used.
pub(in crate::mcp) fn side(
    context: &CallContext,
    request: &Request<'_>,
    session: Option<&LiveSession>,
    task: Option<Box<RawValue>>,
) -> Option<(Side, mpsc::Receiver<SideEvent>)> {
    let params = request.params.and_then(|params| RawObject::parse(params).ok());
    let meta = params.as_ref().and_then(|params| params.get("_meta"));
    let meta = meta.and_then(|meta| RawObject::parse(meta).ok()).unwrap_or_default();
    let progress_token = meta.get("progressToken").map(RawValue::to_owned);
    let (capabilities, log_level) = match (context.era, session) {
        (Era::Modern, _) => (
            meta.get("io.modelcontextprotocol/clientCapabilities").and_then(questions_of),
            meta.read::<String>("io.modelcontextprotocol/logLevel")
                .filter(|level| level.len() <= LEVEL)
                .map(String::into_boxed_str),
        ),
        (Era::Legacy, Some(session)) => (session.capabilities(), session.log_level()),
        (Era::Legacy, None) => (None, None),
    };
    let mut further = String::new();
    for (name, value) in meta.iter().filter(|(name, _)| !is_ours(name)) {
        let comma = if further.is_empty() { "" } else { "," };
        further.push_str(&format!("{comma}{}:{}", serde_json::Value::from(name), value.get()));
    }
    let wants_session = capabilities.is_some() || log_level.is_some();
    let knows_tasks = match context.era {
        Era::Modern => switchboard_mcp::knows_tasks(request.params),
        Era::Legacy => task.is_some(),
    };
    if progress_token.is_none() && !wants_session && !knows_tasks && further.is_empty() {
        return None;
    }
    let audience = match session {
        Some(session) => session.audience(),
        None => format!(
            "{}|{}|{}",
            context.principal.caller,
            context.client.as_ref().map_or("", |client| &client.name),
            capabilities.as_deref().map_or("", RawValue::get)
        )
        .into(),
    };
    let (events, receiver) = mpsc::channel(QUEUE);
    let side = Side {
        events,
        progress_token,
        log_level,
        capabilities,
        meta: further.into(),
        audience,
        wants_session,
        knows_tasks,
        task,
        related: None,
        is_legacy: context.era == Era::Legacy,
    };
    Some((side, receiver))
}

/// Members of `_meta` that mean something to us or to the protocol.
fn is_ours(name: &str) -> bool {
    name == "progressToken"
        || name.starts_with("io.modelcontextprotocol/")
        || name.starts_with("switchboard/")
}

/// Of a client's capabilities those that let it be asked. They are kept with its session and tell upstream sessions apart: who
/// says more of them than any client has to is asked nothing.
pub(in crate::mcp) fn questions_of(capabilities: &RawValue) -> Option<Box<RawValue>> {
    let all = RawObject::parse(capabilities).ok()?;
    let mut text = String::new();
    for (name, value) in all.iter().filter(|(name, _)| QUESTIONS.contains(name)) {
        let comma = if text.is_empty() { "" } else { "," };
        text.push_str(&format!("{comma}\"{name}\":{}", value.get()));
    }
    if text.is_empty() || text.len() > MOST_SAID {
        return None;
    }
    RawValue::from_string(format!("{{{text}}}")).ok()
}
