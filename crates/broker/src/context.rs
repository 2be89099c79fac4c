//! What a request is, once it is authenticated, and what it can ask for.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use switchboard_domain::{CallError, CallId, CapabilityKind, ClientInfo, Principal, Resource, Slug};
use switchboard_mcp::{Era, ErrorObject};
use switchboard_policy::{Mode, Requester};

use crate::{
    tasks::{TaskStep, TaskUnderway},
    upstream::Side,
};

/// Step 2 of a call: who, for which endpoint, through which client, narrowed how.
#[derive(Debug, Clone)]
pub struct CallContext {
    pub principal: Principal,
    pub resource: Resource,
    pub request_id: Arc<str>,
    pub client: Option<ClientInfo>,
    pub narrowing: Narrowing,
    /// How long the client wants a held call to wait for a person's decision; not at all without.
    pub patience: Option<Duration>,
    pub era: Era,
    /// The organization pinned in the URL, for challenges that have to name the same URL.
    pub challenge_organization: Option<Slug>,
}

impl CallContext {
    pub(crate) fn requester(&self) -> Requester<'_> {
        Requester {
            organization: self.principal.organization,
            caller: self.principal.caller,
            role: self.principal.role,
            teams: &self.principal.teams,
            scopes: self.principal.scopes,
            mode: if self.narrowing.plan { Mode::Plan } else { Mode::Normal },
            selection: self.narrowing.selection.as_deref(),
        }
    }
}

/// What the client says about its own session. It can only narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrowing {
    /// Plan mode: only connections that are allowed in it.
    pub plan: bool,
    /// Only these connections, as the client wrote them.
    pub selection: Option<Vec<String>>,
}

/// How much a search says about each match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    Brief,
    #[default]
    Signature,
    Schema,
}

/// Arguments of `search_capabilities`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Search {
    pub query: Option<String>,
    pub limit: Option<u32>,
    pub cursor: Option<String>,
    pub connection: Option<String>,
    pub detail: Option<Detail>,
}

/// Arguments of `execute_capability`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Execute<'a> {
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub arguments: Option<&'a RawValue>,
    #[serde(default)]
    pub schema_digest: Option<String>,
    #[serde(default)]
    pub intent: Option<String>,
    #[serde(default)]
    pub approval_id: Option<String>,
    /// What is asked of the upstream; a tool, unless a direct surface says otherwise.
    #[serde(skip)]
    pub via: Via<'a>,
    /// The client's side, when it hears of progress or can be asked.
    #[serde(skip)]
    pub side: Option<Side>,
    /// Answers to what an earlier try asked for.
    #[serde(skip)]
    pub again: Again<'a>,
}

/// A request about a capability, in the words of the protocol.
#[derive(Debug, Clone, Copy, Default)]
pub enum Via<'a> {
    #[default]
    Tool,
    Prompt,
    Resource,
    Subscribe,
    Unsubscribe,
    /// Completing an argument of a prompt or of a resource's template: `argument` and `context`, without braces.
    Complete {
        kind: CapabilityKind,
        members: &'a str,
    },
    /// About a task that a tool of this name runs as.
    Task(&'a TaskUnderway),
}

impl Via<'_> {
    pub(crate) const fn method(&self) -> &'static str {
        match self {
            Self::Tool => "tools/call",
            Self::Prompt => "prompts/get",
            Self::Resource => "resources/read",
            Self::Subscribe => "resources/subscribe",
            Self::Unsubscribe => "resources/unsubscribe",
            Self::Complete { .. } => "completion/complete",
            Self::Task(task) => task.step.method(),
        }
    }

    /// What `Mcp-Name` says in a header, where it says something.
    pub(crate) fn mirrored<'n>(&'n self, name: &'n str) -> Option<&'n str> {
        match self {
            Self::Tool | Self::Prompt | Self::Resource => Some(name),
            Self::Task(task) => Some(&task.upstream_id),
            Self::Subscribe | Self::Unsubscribe | Self::Complete { .. } => None,
        }
    }

    /// Whether the answer comes when a task is over.
    pub(crate) const fn waits_for_a_task(&self) -> bool {
        matches!(self, Self::Task(TaskUnderway { step: TaskStep::Result, .. }))
    }

    pub(crate) const fn kind(&self) -> CapabilityKind {
        match self {
            Self::Tool | Self::Task(_) => CapabilityKind::Tool,
            Self::Prompt => CapabilityKind::Prompt,
            Self::Resource | Self::Subscribe | Self::Unsubscribe => CapabilityKind::Resource,
            Self::Complete { kind, .. } => *kind,
        }
    }

    /// What the audit log calls it.
    pub(crate) const fn action(&self) -> &'static str {
        match self {
            Self::Tool => "capability.execute",
            Self::Prompt => "prompt.get",
            Self::Resource => "resource.read",
            Self::Subscribe => "resource.subscribe",
            Self::Unsubscribe => "resource.unsubscribe",
            Self::Complete { .. } => "completion.complete",
            Self::Task(task) => task.step.action(),
        }
    }
}

/// What a client sends when it tries again after `input_required` (2026-07-28, multi round-trip requests).
#[derive(Debug, Clone, Copy, Default)]
pub struct Again<'a> {
    pub input_responses: Option<&'a RawValue>,
    /// As we gave it out.
    pub request_state: Option<&'a str>,
}

/// A call that ran: the upstream's own result object, unchanged.
#[derive(Debug)]
pub struct Executed {
    pub result: Bytes,
    pub is_error: bool,
    /// Upstreams of the modern generation say `resultType`.
    pub has_result_type: bool,
    pub call_id: CallId,
}

/// A call that was refused or failed.
#[derive(Debug)]
pub struct CallFailure {
    pub error: CallError,
    /// Finds the audit entries of the call; `None` before there was one.
    pub reference: Option<CallId>,
    /// The upstream's own error, for surfaces that pass it on as one.
    pub upstream: Option<Box<ErrorObject>>,
}

impl CallFailure {
    /// Refused before it was a call: nothing was recorded but a line in the log, which carries the request's id.
    pub fn unrecorded(error: CallError) -> Self {
        tracing::info!(code = error.code.as_str(), "refused before it was a call");
        Self { error, reference: None, upstream: None }
    }

    /// The structured content of the tool result (see `docs/reference/errors.md`). Without a call, the request's id is
    /// the reference.
    pub fn to_json(&self, request_id: &str) -> Value {
        let error = &self.error;
        let mut out = json!({
            "code": error.code,
            "message": error.message,
            "retryable": error.retryable,
            "reference_id": self.reference.map_or_else(|| request_id.to_owned(), |call| call.to_string()),
        });
        let optional = [
            ("actor", error.actor.map(|actor| json!(actor))),
            ("action", error.action.as_ref().map(|action| json!(action))),
            ("retry", error.retry.as_ref().map(|retry| json!(retry))),
            ("details", error.details.clone()),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                out[name] = value;
            }
        }
        out
    }
}

/// Why a bearer token makes no principal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationError {
    /// Unknown, expired, revoked, for another resource, or of somebody who has left: alike from outside.
    #[error("the token is not valid here")]
    InvalidToken,
    /// A good token of somebody who may be told: it has no scope that is of use at this resource.
    #[error("the token has no scope for this resource")]
    InsufficientScope,
    #[error("too many failed attempts")]
    TooManyFailures { retry_after: u64 },
    /// The database could not be asked: nobody gets in.
    #[error("tokens can't be checked right now")]
    Unavailable,
}
