//! Tasks: calls that go on at their upstream after they were answered, as both generations have them: the extension
//! `io.modelcontextprotocol/tasks` of 2026-07-28 (<https://github.com/modelcontextprotocol/ext-tasks>) and the experimental
//! tasks of 2025-11-25 (<https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/tasks>).
//!
//! A client knows a task by an id of ours, which is good for the caller who began it, at the endpoint where they did. What
//! it stands for is in the database, so that any process is asked about it. Each question about a task is a call like any
//! other: scopes, grants and what blocks are looked at anew, and it is on record; only what a person approved is not asked
//! for again. Where client and upstream are of different generations, `translate.rs` has the words of each.
//!
//! In the newer generation the server decides what becomes a task, in the older one the client does: a call of such a client
//! that its upstream answered at once is a task all the same, over already, whose result is kept here for minutes.

mod translate;

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, value::RawValue};
use switchboard_domain::{CallError, ConnectionId, McpTaskId, Timestamp};
use switchboard_mcp::{Era, RawObject};
use switchboard_policy::Underway;
use switchboard_storage::{McpTask, McpTaskPlace, StorageError};

use crate::{
    Again, Broker, CallContext, CallFailure, Execute, Executed, Side, Via, pipeline::Prepared, text,
};
pub(crate) use translate::{Status, Task, created, empty, named, result_of};

/// A task that nobody asked about for this long is forgotten.
pub(crate) const UNUSED: Duration = Duration::from_secs(7 * 24 * 3600);

/// Tasks kept for one caller; a new one takes the place of the one that was asked about the longest ago.
const MOST_KEPT: i64 = 1_000;

/// Tasks on one page of a list: each of them is asked about.
const PAGE: i64 = 20;

/// What is asked about a task.
#[derive(Debug)]
pub enum TaskStep {
    Get,
    /// Waits for its end (2025-11-25).
    Result,
    /// Answers to what it asks for, as JSON.
    Update(Box<RawValue>),
    Cancel,
    /// A stream begins to hear of it, or ends.
    Listen {
        begins: bool,
    },
}

impl TaskStep {
    pub(crate) const fn method(&self) -> &'static str {
        match self {
            Self::Get => "tasks/get",
            Self::Result => "tasks/result",
            Self::Update(_) => "tasks/update",
            Self::Cancel => "tasks/cancel",
            Self::Listen { .. } => "subscriptions/listen",
        }
    }

    pub(crate) const fn action(&self) -> &'static str {
        match self {
            Self::Get => "task.get",
            Self::Result => "task.result",
            Self::Update(_) => "task.update",
            Self::Cancel => "task.cancel",
            Self::Listen { .. } => "task.listen",
        }
    }
}

/// A task of this caller, and what is asked about it. Made here alone, from what was stored when its call was let through.
#[derive(Debug)]
pub struct TaskUnderway {
    pub(crate) id: McpTaskId,
    pub(crate) upstream_id: String,
    pub(crate) place: McpTaskPlace,
    pub(crate) step: TaskStep,
    /// Of the client.
    pub(crate) era: Era,
    pub(crate) began: Timestamp,
    pub(crate) underway: Underway,
}

impl TaskUnderway {
    pub(crate) fn members(&self) -> String {
        let id = Value::from(self.upstream_id.as_str());
        match &self.step {
            TaskStep::Update(responses) => {
                format!("\"taskId\":{id},\"inputResponses\":{}", responses.get())
            }
            _ => format!("\"taskId\":{id}"),
        }
    }
}

/// One page of a caller's tasks.
#[derive(Debug)]
pub struct TaskPage {
    pub ids: Vec<McpTaskId>,
    pub next_cursor: Option<String>,
}

fn failed(error: &StorageError) -> CallError {
    tracing::error!(%error, "a task can't be read or written");
    text::unavailable()
}

/// Whose a task is: the caller, and the path of the endpoint.
fn whose(context: &CallContext) -> (String, String) {
    (context.principal.caller.to_string(), context.resource.path())
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
            place: task.place,
            step,
            era: context.era,
            began: task.created_at,
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

    /// A page of this caller's tasks at this endpoint; `None` when the cursor is not one of ours.
    pub async fn tasks_of(
        &self,
        context: &CallContext,
        cursor: Option<&str>,
    ) -> Result<Option<TaskPage>, CallError> {
        let after = match cursor.map(str::parse::<McpTaskId>) {
            Some(Err(_)) => return Ok(None),
            Some(Ok(after)) => Some(after),
            None => None,
        };
        let (caller, resource) = whose(context);
        let organization = context.principal.organization;
        let found = async {
            let mut tx = self.db().single().await?;
            tx.mcp_tasks().list(organization, (&caller, &resource), after, PAGE + 1).await
        };
        let mut found = found.await.map_err(|error| failed(&error))?;
        let page = usize::try_from(PAGE).unwrap_or(usize::MAX);
        let has_more = found.len() > page;
        found.truncate(page);
        let next_cursor = found.last().filter(|_| has_more).map(|task| task.id.to_string());
        Ok(Some(TaskPage { ids: found.into_iter().map(|task| task.id).collect(), next_cursor }))
    }

    /// The task of this caller, at this endpoint, that an upstream calls so.
    pub async fn task_of_upstream(
        &self,
        context: &CallContext,
        connection: ConnectionId,
        upstream_id: &str,
    ) -> Result<Option<McpTaskId>, CallError> {
        let (caller, resource) = whose(context);
        let organization = context.principal.organization;
        let found = async {
            let mut tx = self.db().single().await?;
            tx.mcp_tasks().find_by_upstream(organization, (&caller, &resource), connection, upstream_id).await
        };
        Ok(found.await.map_err(|error| failed(&error))?.map(|task| task.id))
    }

    async fn find_task(&self, context: &CallContext, id: &str) -> Result<Option<McpTask>, CallError> {
        let Ok(id) = id.parse::<McpTaskId>() else { return Ok(None) };
        let organization = context.principal.organization;
        let now = self.clock().now();
        let whose = whose(context);
        let found = async {
            let found = self.db().single().await?.mcp_tasks().find(organization, id).await?;
            let own = found.filter(|task| (&task.caller, &task.resource) == (&whose.0, &whose.1));
            if own.is_some() {
                let mut tx = self.db().write().await?;
                tx.mcp_tasks().seen(organization, id, now).await?;
                tx.commit().await?;
            }
            Ok(own)
        };
        found.await.map_err(|error| failed(&error))
    }

    /// A call that became a task, under an id of ours, as its client reads it. It is stored before the client hears of it.
    pub(crate) async fn kept_task(
        &self,
        context: &CallContext,
        prepared: &Prepared<'_>,
        (result, place): (Bytes, McpTaskPlace),
    ) -> Result<Bytes, CallError> {
        let unreadable = |_| text::unavailable();
        let members: RawObject<'_> = serde_json::from_slice(&result).map_err(unreadable)?;
        let created_by_upstream = match place {
            McpTaskPlace::Legacy => {
                members.get("task").map(RawObject::parse).transpose().map_err(unreadable)?
            }
            _ => Some(members),
        };
        let upstream_id = match place {
            McpTaskPlace::Here => Some(String::new()),
            _ => created_by_upstream.as_ref().and_then(|task| task.read::<String>("taskId")),
        };
        let Some(upstream_id) = upstream_id else { return Ok(result.clone()) };
        let now = self.clock().now();
        let (caller, resource) = whose(context);
        let task = McpTask {
            organization: context.principal.organization,
            id: McpTaskId::new(self.clock(), self.random()),
            caller,
            resource,
            connection: prepared.known.connection.id,
            tool: prepared.name.name.to_string(),
            approval: prepared.permit.approval(),
            upstream_id,
            place,
            created_at: now,
        };
        let written = async {
            let mut tx = self.db().write().await?;
            tx.mcp_tasks().insert(&task, MOST_KEPT).await?;
            tx.commit().await
        };
        written.await.map_err(|error| failed(&error))?;
        if place == McpTaskPlace::Here {
            let stream = kept_under(task.id);
            self.relay_event(task.organization, &stream, (1, true), &result).await?;
            return Ok(created(&Task::over(task.id, now, &result), context.era));
        }
        let is_same = (context.era == Era::Modern) == (place == McpTaskPlace::Modern);
        match (created_by_upstream, is_same, context.era) {
            (Some(task_members), true, Era::Modern) => Ok(named(&task_members, task.id)),
            (Some(task_members), ..) => {
                let task = Task::read(&task_members, task.id, place);
                Ok(created(&task, context.era))
            }
            (None, ..) => Ok(result.clone()),
        }
    }

    /// What is kept here of a call that was over at once; `None` after minutes.
    pub(crate) async fn result_kept_here(&self, task: &TaskUnderway) -> Result<Option<Bytes>, CallError> {
        let organization = task.underway.organization;
        let mut kept = self.relayed_events(organization, &kept_under(task.id), 0).await?;
        Ok(kept.pop().map(|event| event.body.into()))
    }
}

/// The name of the stream that such a result is kept as.
fn kept_under(id: McpTaskId) -> String {
    format!("result of {id}")
}
