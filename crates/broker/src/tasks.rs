//! Tasks: calls that go on at their upstream after they were answered (the extension `io.modelcontextprotocol/tasks` of
//! 2026-07-28, <https://github.com/modelcontextprotocol/modelcontextprotocol/pull/2663>).
//!
//! A client knows a task by an id of ours, which is good for the caller who began it, at the endpoint where they did. What
//! it stands for is in the database, so that any process is asked about it. Each question about a task is a call like any
//! other: scopes, grants and what blocks are looked at anew, and it is on record; only what a person approved is not asked
//! for again.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, value::RawValue};
use switchboard_domain::{CallError, McpTaskId};
use switchboard_mcp::RawObject;
use switchboard_policy::Underway;
use switchboard_storage::{McpTask, StorageError};

use crate::{
    Again, Broker, CallContext, CallFailure, Execute, Executed, Side, Via, pipeline::Prepared, text,
};

/// A task that nobody asked about for this long is forgotten.
pub(crate) const UNUSED: Duration = Duration::from_secs(7 * 24 * 3600);

/// Tasks kept for one caller; a new one takes the place of the one that was asked about the longest ago.
const MOST_KEPT: i64 = 1_000;

/// What is asked about a task.
#[derive(Debug)]
pub enum TaskStep {
    Get,
    /// Answers to what it asks for, as JSON.
    Update(Box<RawValue>),
    Cancel,
}

impl TaskStep {
    pub(crate) const fn method(&self) -> &'static str {
        match self {
            Self::Get => "tasks/get",
            Self::Update(_) => "tasks/update",
            Self::Cancel => "tasks/cancel",
        }
    }

    pub(crate) const fn action(&self) -> &'static str {
        match self {
            Self::Get => "task.get",
            Self::Update(_) => "task.update",
            Self::Cancel => "task.cancel",
        }
    }
}

/// A task of this caller, and what is asked about it. Made here alone, from what was stored when its call was let through.
#[derive(Debug)]
pub struct TaskUnderway {
    id: McpTaskId,
    pub(crate) upstream_id: String,
    pub(crate) step: TaskStep,
    pub(crate) underway: Underway,
}

impl TaskUnderway {
    pub(crate) fn members(&self) -> String {
        let id = Value::from(self.upstream_id.as_str());
        match &self.step {
            TaskStep::Get | TaskStep::Cancel => format!("\"taskId\":{id}"),
            TaskStep::Update(responses) => format!("\"taskId\":{id},\"inputResponses\":{}", responses.get()),
        }
    }

    /// An upstream's answer with our id.
    pub(crate) fn named_by_us(&self, result: Bytes) -> Bytes {
        named(&result, self.id).unwrap_or(result)
    }
}

fn named(result: &Bytes, id: McpTaskId) -> Option<Bytes> {
    let mut members: RawObject<'_> = serde_json::from_slice(result).ok()?;
    members.contains("taskId").then_some(())?;
    let id = RawValue::from_string(format!("\"{id}\"")).ok()?;
    members.set("taskId", &id);
    let mut out = Vec::with_capacity(result.len() + 64);
    members.write(&mut out);
    Some(out.into())
}

fn failed(error: &StorageError) -> CallError {
    tracing::error!(%error, "a task can't be read or written");
    text::unavailable()
}

impl Broker {
    /// Asks about a task of this caller; `None` when there is none with this id.
    pub async fn ask_about_task(
        &self,
        context: &CallContext,
        id: &str,
        step: TaskStep,
        side: Option<Side>,
    ) -> Result<Option<Executed>, CallFailure> {
        let task = self.find_task(context, id).await.map_err(CallFailure::unrecorded)?;
        let Some(snapshot) = self.snapshot(context.principal.organization) else {
            return Err(CallFailure::unrecorded(text::unavailable()));
        };
        let known = task.as_ref().and_then(|task| snapshot.connections.get(&task.connection));
        let (Some(task), Some(known)) = (task, known) else { return Ok(None) };
        let name = format!("{}.{}", known.connection.name_prefix(), task.tool);
        let underway = TaskUnderway {
            id: task.id,
            upstream_id: task.upstream_id,
            step,
            underway: Underway {
                organization: task.organization,
                caller: context.principal.caller,
                connection: task.connection,
                capability: task.tool,
                kind: switchboard_domain::CapabilityKind::Tool,
                approval: task.approval,
            },
        };
        let execute = Execute {
            name: name.into(),
            arguments: None,
            schema_digest: None,
            intent: None,
            approval_id: None,
            via: Via::Task(&underway),
            side,
            again: Again::default(),
        };
        let done = self.execute(context, &execute).await?;
        Ok(Some(self.readdressed(context, &execute.name, done)))
    }

    async fn find_task(&self, context: &CallContext, id: &str) -> Result<Option<McpTask>, CallError> {
        let Ok(id) = id.parse::<McpTaskId>() else { return Ok(None) };
        let organization = context.principal.organization;
        let now = self.clock().now();
        let found = async {
            let found = self.db().single().await?.mcp_tasks().find(organization, id).await?;
            let own = found.filter(|task| {
                task.caller == context.principal.caller.to_string()
                    && task.resource == context.resource.path()
            });
            if own.is_some() {
                let mut tx = self.db().write().await?;
                tx.mcp_tasks().seen(organization, id, now).await?;
                tx.commit().await?;
            }
            Ok(own)
        };
        found.await.map_err(|error| failed(&error))
    }

    /// A call that became a task, under an id of ours. It is stored before the client hears of it.
    pub(crate) async fn kept_task(
        &self,
        context: &CallContext,
        prepared: &Prepared<'_>,
        result: Bytes,
    ) -> Result<Bytes, CallError> {
        let members: RawObject<'_> = serde_json::from_slice(&result).map_err(|_| text::unavailable())?;
        let Some(upstream_id) = members.read::<String>("taskId") else { return Ok(result) };
        let now = self.clock().now();
        let task = McpTask {
            organization: context.principal.organization,
            id: McpTaskId::new(self.clock(), self.random()),
            caller: context.principal.caller.to_string(),
            resource: context.resource.path(),
            connection: prepared.known.connection.id,
            tool: prepared.name.name.to_string(),
            approval: prepared.permit.approval(),
            upstream_id,
            created_at: now,
        };
        let written = async {
            let mut tx = self.db().write().await?;
            tx.mcp_tasks().insert(&task, MOST_KEPT).await?;
            tx.commit().await
        };
        written.await.map_err(|error| failed(&error))?;
        Ok(named(&result, task.id).unwrap_or(result))
    }
}
