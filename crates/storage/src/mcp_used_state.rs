//! What is good for one try, request states of MCP and forms of the console: which were tried already.

use switchboard_domain::{OrganizationId, Timestamp};

use crate::{
    StorageError, Tx,
    statement::{execute, statements},
};

statements! {
    USE = "INSERT INTO mcp_used_state (organization_id, hash, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    FORGET = "DELETE FROM mcp_used_state WHERE organization_id = $1 AND expires_at < $2";
}

impl Tx {
    pub fn mcp_used_states(&mut self) -> McpUsedStates<'_> {
        McpUsedStates { tx: self }
    }
}

/// See [`Tx::mcp_used_states`].
#[derive(Debug)]
pub struct McpUsedStates<'t> {
    tx: &'t mut Tx,
}

impl McpUsedStates<'_> {
    /// Uses one up; of two who try, one is told that it did.
    pub async fn use_up(
        self,
        organization: OrganizationId,
        hash: &[u8; 32],
        expires_at: Timestamp,
    ) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, USE, organization.as_uuid(), &hash[..], expires_at.as_micros())? == 1)
    }

    /// Those that nothing would open any more.
    pub async fn forget(self, organization: OrganizationId, now: Timestamp) -> Result<u64, StorageError> {
        execute!(self.tx, FORGET, organization.as_uuid(), now.as_micros())
    }
}
