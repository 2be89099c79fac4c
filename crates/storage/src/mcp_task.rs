//! Tasks that run at upstreams, under ids of ours, for every process that is asked about them.

use switchboard_domain::{ApprovalId, ConnectionId, McpTaskId, OrganizationId, Timestamp};
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    row::text,
    statement::{execute, fetch_optional, statements},
};

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
    pub created_at: Timestamp,
}

statements! {
    INSERT = "INSERT INTO mcp_task (organization_id, id, caller, resource, connection_id, tool, approval_id, upstream_id, created_at, last_seen_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)";
    FIND = "SELECT caller, resource, connection_id, tool, approval_id, upstream_id, created_at FROM mcp_task WHERE organization_id = $1 AND id = $2";
    SEEN = "UPDATE mcp_task SET last_seen_at = $3 WHERE organization_id = $1 AND id = $2";
    /// All but the newest of one caller.
    TRIM = "DELETE FROM mcp_task WHERE organization_id = $1 AND caller = $2 AND id NOT IN (SELECT id FROM mcp_task WHERE organization_id = $1 AND caller = $2 ORDER BY last_seen_at DESC, id DESC LIMIT $3)";
    FORGET = "DELETE FROM mcp_task WHERE organization_id = $1 AND last_seen_at < $2";
}

type Row = (String, String, Uuid, String, Option<Uuid>, String, i64);

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
            &task.upstream_id,
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
        let made = |(caller, resource, connection, tool, approval, upstream_id, created_at): Row| McpTask {
            organization,
            id,
            caller,
            resource,
            connection: ConnectionId::from_uuid(connection),
            tool,
            approval: approval.map(ApprovalId::from_uuid),
            upstream_id,
            created_at: Timestamp::from_micros(created_at),
        };
        Ok(row.map(made))
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
