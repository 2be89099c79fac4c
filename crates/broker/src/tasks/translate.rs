//! A task in the words of both generations.
//!
//! | 2026-07-28 | 2025-11-25 |
//! |---|---|
//! | `ttlMs`, `pollIntervalMs` | `ttl`, `pollInterval` |
//! | a task is the result: `resultType` is `task` | a task is in the result, as `task` |
//! | an end with `isError` is `completed` | an end with `isError` is `failed` |
//! | `tasks/get` has the result | `tasks/result` has it |
//! | what is asked for is in `tasks/get`, answered with `tasks/update` | it is asked while `tasks/result` waits |

use bytes::Bytes;
use serde_json::{Value, json, value::RawValue};
use switchboard_domain::{McpTaskId, Timestamp};
use switchboard_mcp::{Era, RawObject};
use switchboard_storage::McpTaskPlace;

use crate::relay;

/// What a task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Working,
    InputRequired,
    Completed,
    Failed,
    Cancelled,
}

impl Status {
    const ALL: [Self; 5] =
        [Self::Working, Self::InputRequired, Self::Completed, Self::Failed, Self::Cancelled];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::InputRequired => "input_required",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// One that nobody knows is that of a task that is under way.
    pub(crate) fn read(members: &RawObject<'_>) -> Self {
        let word: String = members.read("status").unwrap_or_default();
        Self::ALL.into_iter().find(|status| status.as_str() == word).unwrap_or(Self::Working)
    }

    pub(crate) fn is_over(self) -> bool {
        !matches!(self, Self::Working | Self::InputRequired)
    }
}

/// A task, apart from what came of it.
#[derive(Debug)]
pub(crate) struct Task {
    id: McpTaskId,
    pub(crate) status: Status,
    message: Option<String>,
    created_at: Value,
    updated_at: Value,
    ttl: Value,
    poll_millis: Option<u64>,
}

impl Task {
    /// As its upstream wrote it.
    pub(crate) fn read(members: &RawObject<'_>, id: McpTaskId, place: McpTaskPlace) -> Self {
        let (ttl, poll) = match place {
            McpTaskPlace::Modern => ("ttlMs", "pollIntervalMs"),
            McpTaskPlace::Legacy | McpTaskPlace::Here => ("ttl", "pollInterval"),
        };
        let text = |name| members.read::<String>(name).map_or(Value::Null, Value::from);
        Self {
            id,
            status: Status::read(members),
            message: members.read("statusMessage"),
            created_at: text("createdAt"),
            updated_at: text("lastUpdatedAt"),
            ttl: members.read::<f64>(ttl).map_or(Value::Null, |millis| json!(millis as u64)),
            poll_millis: members.read::<f64>(poll).map(|millis| millis as u64),
        }
    }

    /// Of a call that was over at once.
    pub(crate) fn over(id: McpTaskId, since: Timestamp, result: &Bytes) -> Self {
        let created_at = since.to_string();
        let is_error = serde_json::from_slice::<RawObject<'_>>(result)
            .is_ok_and(|result| result.read("isError").unwrap_or(false));
        Self {
            id,
            status: if is_error { Status::Failed } else { Status::Completed },
            message: None,
            created_at: created_at.as_str().into(),
            updated_at: created_at.into(),
            ttl: json!(u64::try_from(relay::KEPT.as_millis()).unwrap_or(u64::MAX)),
            poll_millis: None,
        }
    }

    pub(crate) fn now(self, status: Status) -> Self {
        Self { status, ..self }
    }

    /// What it is to a client of this generation, given whether its result says `isError`.
    pub(crate) fn ended(self, era: Era, is_error: bool) -> Self {
        let status = match (era, self.status, is_error) {
            (Era::Legacy, Status::Completed, true) => Status::Failed,
            (Era::Modern, Status::Failed, true) => Status::Completed,
            (_, status, _) => status,
        };
        Self { status, ..self }
    }

    /// What it is to a client of the newer generation that can't be asked for it: its upstream asks over a session of the
    /// older one, while somebody waits for the result.
    pub(crate) fn waiting(self) -> Self {
        match self.status {
            Status::InputRequired => Self {
                status: Status::Working,
                message: Some(
                    "its server waits for input that only a client of MCP 2025-11-25 can give".into(),
                ),
                ..self
            },
            _ => self,
        }
    }

    fn value(&self, era: Era) -> Value {
        let (ttl, poll) = match era {
            Era::Modern => ("ttlMs", "pollIntervalMs"),
            Era::Legacy => ("ttl", "pollInterval"),
        };
        let mut value = json!({
            "taskId": self.id.to_string(),
            "status": self.status.as_str(),
            "createdAt": self.created_at,
            "lastUpdatedAt": self.updated_at,
            ttl: self.ttl,
        });
        if let Some(millis) = self.poll_millis {
            value[poll] = json!(millis);
        }
        if let Some(message) = &self.message {
            value["statusMessage"] = json!(message);
        }
        value
    }

    /// As the result of `tasks/get` in this generation; `further` are members that the newer one has beside it.
    pub(crate) fn result(&self, era: Era, further: &str) -> Bytes {
        let mut value = self.value(era);
        if era == Era::Modern {
            value["resultType"] = json!("complete");
        }
        let text = value.to_string();
        if further.is_empty() {
            return text.into();
        }
        format!("{},{further}}}", text.strip_suffix('}').unwrap_or(&text)).into()
    }
}

/// As the result of the call that became a task.
pub(crate) fn created(task: &Task, era: Era) -> Bytes {
    let mut value = task.value(era);
    let value = match era {
        Era::Legacy => json!({ "task": value }),
        Era::Modern => {
            value["resultType"] = json!("task");
            value
        }
    };
    value.to_string().into()
}

/// An upstream's answer of the same generation, with our id.
pub(crate) fn named(members: &RawObject<'_>, id: McpTaskId) -> Bytes {
    let mut members = members.clone();
    let id = RawValue::from_string(format!("\"{id}\"")).unwrap_or_else(|_| RawValue::NULL.to_owned());
    if members.contains("taskId") {
        members.set("taskId", &id);
    }
    let mut out = Vec::new();
    members.write(&mut out);
    out.into()
}

/// Nothing, as a result of this generation.
pub(crate) fn empty(era: Era) -> Bytes {
    match era {
        Era::Modern => Bytes::from_static(b"{\"resultType\":\"complete\"}"),
        Era::Legacy => Bytes::from_static(b"{}"),
    }
}

/// A call's result as `tasks/result` has it: without the words of the newer generation, and with its task.
pub(crate) fn result_of(result: &RawValue, id: McpTaskId) -> Bytes {
    let mut members = RawObject::parse(result).unwrap_or_default();
    members.remove("resultType");
    let mut out = Vec::with_capacity(result.get().len() + 128);
    members.write(&mut out);
    let plain = String::from_utf8(out).ok().and_then(|text| RawValue::from_string(text).ok());
    let related = crate::upstream::with_related_task(plain.as_deref(), &id.to_string());
    related.map_or_else(|| Bytes::from_static(b"{}"), |raw| String::from(Box::<str>::from(raw)).into())
}
