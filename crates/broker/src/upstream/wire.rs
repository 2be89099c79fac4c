//! One request to an upstream, whatever carries it.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde_json::value::RawValue;
use switchboard_domain::{CredentialId, SecretValue};
use switchboard_mcp::{MODERN, RawObject};

use super::{CallIdentity, Side, UpstreamError};

/// A request: its method, its parameters without `_meta`, and what its transport must mirror.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    /// Members of `params`, without the braces: `"name":"x","arguments":{}`. May be empty.
    pub(crate) members: &'a str,
    /// What `Mcp-Name` mirrors.
    pub(crate) name: Option<&'a str>,
    /// `Mcp-Param-*` headers.
    pub(crate) params: &'a [(String, String)],
    /// For whom it is, where the connection sends that.
    pub(crate) identity: Option<&'a CallIdentity>,
    /// How long the whole exchange may take.
    pub(crate) deadline: Duration,
    /// Name of the setting behind `deadline`.
    pub(crate) deadline_name: &'static str,
    /// Most bytes of the answer.
    pub(crate) max_bytes: u64,
    /// The client's side of it, when it hears of progress or can be asked.
    pub(crate) side: Option<&'a Side>,
}

impl Ask<'_> {
    /// The members as the generation wants them that the wire speaks: in the older one a call says that it is to be a task.
    pub(crate) fn members(&self, is_modern: bool) -> Cow<'_, str> {
        match self.side.and_then(|side| side.task.as_deref()) {
            Some(task) if !is_modern && self.method == "tools/call" => {
                format!("{},\"task\":{}", self.members, task.get()).into()
            }
            _ => self.members.into(),
        }
    }
}

/// Something that a stream of changes tells of when it is asked to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Subject {
    Resource(String),
    /// By the upstream's name of it.
    Task(String),
}

/// Headers that authenticate us, and the secrets in them, for redaction.
#[derive(Clone, Default)]
pub(crate) struct UpstreamAuth {
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) secrets: Vec<SecretValue>,
    /// `None` where nothing is stored.
    pub(crate) credential: Option<CredentialId>,
    /// Counts replacements of the credential: a session of an older one is not used again.
    pub(crate) generation: i64,
}

impl std::fmt::Debug for UpstreamAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UpstreamAuth({} headers, generation {})", self.headers.len(), self.generation)
    }
}

/// A JSON-RPC result, still raw.
pub(crate) type RawResult = Bytes;

/// The metadata of every modern request of ours.
pub(crate) fn modern_meta() -> String {
    modern_meta_with("{}")
}

/// The same with what its client is capable of.
pub(crate) fn modern_meta_with(capabilities: &str) -> String {
    format!(
        "\"_meta\":{{\"io.modelcontextprotocol/protocolVersion\":\"{MODERN}\",\
         \"io.modelcontextprotocol/clientInfo\":{{\"name\":\"switchboard\",\"version\":\"{}\"}},\
         \"io.modelcontextprotocol/clientCapabilities\":{capabilities}}}",
        env!("CARGO_PKG_VERSION")
    )
}

/// `meta` with the call's id, where that is sent: what the server writes down finds our record of the call.
pub(crate) fn with_call(meta: Option<&str>, identity: Option<&CallIdentity>) -> Option<String> {
    let Some(identity) = identity else { return meta.map(str::to_owned) };
    let call = format!("\"switchboard/call_id\":\"{}\"", identity.call);
    Some(match meta.and_then(|meta| meta.strip_suffix('}')) {
        Some(open) => format!("{open},{call}}}"),
        None => format!("\"_meta\":{{{call}}}"),
    })
}

/// `{members, meta}`; `None` when there is nothing to send.
pub(crate) fn params(members: &str, meta: Option<&str>) -> Option<String> {
    match (members, meta) {
        ("", None) => None,
        ("", Some(meta)) => Some(format!("{{{meta}}}")),
        (members, None) => Some(format!("{{{members}}}")),
        (members, Some(meta)) => Some(format!("{{{members},{meta}}}")),
    }
}

/// Members of `tools/call`.
pub(crate) fn call_members(tool: &str, arguments: Option<&RawValue>) -> String {
    let tool = serde_json::Value::from(tool);
    format!("\"name\":{tool},\"arguments\":{}", arguments.map_or("{}", RawValue::get))
}

/// `raw` is a part of `whole`: the same bytes, shared.
pub(crate) fn share(whole: &Bytes, raw: &RawValue) -> RawResult {
    whole.slice_ref(raw.get().as_bytes())
}

/// Something an upstream says of its own accord.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    ToolsChanged,
    PromptsChanged,
    ResourcesChanged,
    /// The resource with this URI.
    ResourceUpdated(Box<str>),
    /// The task that the upstream calls so.
    TaskChanged(Box<str>),
}

/// Longest URI that is told of, in bytes: none that is longer can be asked for, and the last of them are kept.
const MAX_URI: usize = 2048;

impl Hint {
    pub(crate) fn of(method: &str, params: Option<&RawValue>) -> Option<Self> {
        match method {
            "notifications/tools/list_changed" => Some(Self::ToolsChanged),
            "notifications/prompts/list_changed" => Some(Self::PromptsChanged),
            "notifications/resources/list_changed" => Some(Self::ResourcesChanged),
            "notifications/resources/updated" => {
                let uri: String = RawObject::parse(params?).ok()?.read("uri")?;
                (uri.len() <= MAX_URI).then(|| Self::ResourceUpdated(uri.into()))
            }
            "notifications/tasks" | "notifications/tasks/status" => {
                let id: String = RawObject::parse(params?).ok()?.read("taskId")?;
                Some(Self::TaskChanged(id.into()))
            }
            _ => None,
        }
    }
}

pub(crate) fn timed_out(ask: &Ask<'_>) -> UpstreamError {
    UpstreamError::Timeout { after: ask.deadline, limit: ask.deadline_name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_is_an_address_and_no_book() {
        let told = |length: usize| {
            let params = RawValue::from_string(format!("{{\"uri\":\"{}\"}}", "x".repeat(length))).unwrap();
            Hint::of("notifications/resources/updated", Some(&params)).is_some()
        };
        assert!(told(MAX_URI) && !told(MAX_URI + 1));
    }
}
