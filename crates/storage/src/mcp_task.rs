//! Tasks that run at upstreams, under ids of ours, for every process that is asked about them.

use switchboard_domain::{ApprovalId, ConnectionId, McpTaskId, OrganizationId, Timestamp};
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    row::{text, word},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// Where a task's state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum McpTaskPlace {
    /// At an upstream that is spoken to in 2026-07-28.
    Modern,
    /// At an upstream that is spoken to in 2025-11-25.
    Legacy,
    /// Here: the call was to be a task, and was over at once.
    Here,
}

impl McpTaskPlace {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Legacy => "legacy",
            Self::Here => "here",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Modern, Self::Legacy, Self::Here].into_iter().find(|place| place.as_str() == word)
    }
}

/// A task as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpTask {
    pub organization: OrganizationId,
    pub id: McpTaskId,
    /// Who began it, at which endpoint: nobody else is told of it.
    pub caller: String,
    pub resource: String,
    pub connection: ConnectionId,
    /// The upstream's name of the tool that runs.
    pub tool: String,
    /// By which approval the call was let through.
    pub approval: Option<ApprovalId>,
    /// What the upstream calls it.
    pub upstream_id: String,
    pub place: McpTaskPlace,
    pub created_at: Timestamp,
}

statements! {
    INSERT = "INSERT INTO mcp_task (organization_id, id, caller, resource, connection_id, tool, approval_id, upstream_id, place, created_at, last_seen_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)";
    FIND = "SELECT id, caller, resource, connection_id, tool, approval_id, upstream_id, place, created_at FROM mcp_task WHERE organization_id = $1 AND id = $2";
    FIND_BY_UPSTREAM = "SELECT id, caller, resource, connection_id, tool, approval_id, upstream_id, place, created_at FROM mcp_task WHERE organization_id = $1 AND caller = $2 AND resource = $3 AND connection_id = $4 AND upstream_id = $5";
    /// A caller's at one endpoint, in the order in which they began.
    LIST = "SELECT id, caller, resource, connection_id, tool, approval_id, upstream_id, place, created_at FROM mcp_task WHERE organization_id = $1 AND caller = $2 AND resource = $3 AND id > $4 ORDER BY id LIMIT $5";
    SEEN = "UPDATE mcp_task SET last_seen_at = $3 WHERE organization_id = $1 AND id = $2";
    /// All but the newest of one caller.
    TRIM = "DELETE FROM mcp_task WHERE organization_id = $1 AND caller = $2 AND id NOT IN (SELECT id FROM mcp_task WHERE organization_id = $1 AND caller = $2 ORDER BY last_seen_at DESC, id DESC LIMIT $3)";
    FORGET = "DELETE FROM mcp_task WHERE organization_id = $1 AND last_seen_at < $2";
}

type Row = (Uuid, String, String, Uuid, String, Option<Uuid>, String, String, i64);

fn of_row(organization: OrganizationId, row: Row) -> Result<McpTask, StorageError> {
    let (id, caller, resource, connection, tool, approval, upstream_id, place, created_at) = row;
    Ok(McpTask {
        organization,
        id: McpTaskId::from_uuid(id),
        caller,
        resource,
        connection: ConnectionId::from_uuid(connection),
        tool,
        approval: approval.map(ApprovalId::from_uuid),
        upstream_id,
        place: word(&place, McpTaskPlace::from_word, "place of a task")?,
        created_at: Timestamp::from_micros(created_at),
    })
}

impl Tx {
    pub fn mcp_tasks(&mut self) -> McpTasks<'_> {
        McpTasks { tx: self }
    }
}

/// See [`Tx::mcp_tasks`].
#[derive(Debug)]
pub struct McpTasks<'t> {
    tx: &'t mut Tx,
}

impl McpTasks<'_> {
    /// Writes a new one; of its caller's the newest `most` are kept.
    pub async fn insert(self, task: &McpTask, most: i64) -> Result<(), StorageError> {
        let McpTask { organization, id, caller, resource, connection, .. } = task;
        execute!(
            self.tx,
            INSERT,
            organization.as_uuid(),
            id.as_uuid(),
            caller,
            resource,
            connection.as_uuid(),
            text(&task.tool),
            task.approval.map(ApprovalId::as_uuid),
            text(&task.upstream_id),
            task.place.as_str(),
            task.created_at.as_micros()
        )?;
        execute!(self.tx, TRIM, organization.as_uuid(), caller, most)?;
        Ok(())
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        id: McpTaskId,
    ) -> Result<Option<McpTask>, StorageError> {
        let row = fetch_optional!(self.tx, FIND => Row, organization.as_uuid(), id.as_uuid())?;
        row.map(|row| of_row(organization, row)).transpose()
    }

    /// A caller's task at one endpoint, by what its upstream calls it.
    pub async fn find_by_upstream(
        self,
        organization: OrganizationId,
        (caller, resource): (&str, &str),
        connection: ConnectionId,
        upstream_id: &str,
    ) -> Result<Option<McpTask>, StorageError> {
        let (org, connection) = (organization.as_uuid(), connection.as_uuid());
        let found = fetch_optional!(self.tx, FIND_BY_UPSTREAM => Row, org, caller, resource, connection, text(upstream_id))?;
        found.map(|row| of_row(organization, row)).transpose()
    }

    /// A caller's tasks at one endpoint that began after `after`, at most `most` of them.
    pub async fn list(
        self,
        organization: OrganizationId,
        (caller, resource): (&str, &str),
        after: Option<McpTaskId>,
        most: i64,
    ) -> Result<Vec<McpTask>, StorageError> {
        let after = after.map_or(Uuid::nil(), McpTaskId::as_uuid);
        let rows = fetch_all!(self.tx, LIST => Row, organization.as_uuid(), caller, resource, after, most)?;
        rows.into_iter().map(|row| of_row(organization, row)).collect()
    }

    /// Somebody asked about it: it is kept longer.
    pub async fn seen(
        self,
        organization: OrganizationId,
        id: McpTaskId,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        execute!(self.tx, SEEN, organization.as_uuid(), id.as_uuid(), now.as_micros())?;
        Ok(())
    }

    /// Those that nobody asked about since `unused`.
    pub async fn forget(self, organization: OrganizationId, unused: Timestamp) -> Result<u64, StorageError> {
        execute!(self.tx, FORGET, organization.as_uuid(), unused.as_micros())
    }
}
