//! How the installation is, for owners: what of it can be seen from inside while it serves.

use switchboard_domain::{ConnectionStatus, Principal, Role, Timestamp};
use switchboard_storage::Dialect;

use super::{Operation, Refusal, Target, authorize};
use crate::Broker;

/// What was looked at, at one moment. Nothing in it is remembered: whoever asks again looks again.
#[derive(Debug)]
pub struct SystemView {
    pub database: &'static str,
    pub database_answers: bool,
    /// Migrations that are applied, and those this release has.
    pub schema_applied: i64,
    pub schema_known: i64,
    /// Whether what calls know was compared with the database within the last seconds.
    pub is_current: bool,
    /// When the ends of the audit log's chains were last signed.
    pub heads_signed_at: Option<Timestamp>,
    /// Connections that are on, and those of them that work.
    pub connections: usize,
    pub connected: usize,
    pub webhooks_failing: usize,
    pub at: Timestamp,
}

impl Broker {
    /// For owners: it concerns the installation, not an organization alone.
    pub async fn read_system(&self, principal: &Principal) -> Result<SystemView, Refusal> {
        let _allowed = authorize(principal, Operation::ReadSystem, Target::Organization)?;
        if principal.role != Role::Owner {
            return Err(Refusal::forbidden());
        }
        let schema = self.db().schema_status().await?;
        let heads = self.list_audit_heads(principal).await?;
        let webhooks = self.list_webhooks(principal).await?.items;
        let snapshot = self.organization_snapshot(principal.organization)?;
        let on: Vec<ConnectionStatus> = snapshot
            .connections
            .values()
            .filter(|known| known.connection.switches.enabled)
            .map(|known| known.connection.status.status)
            .collect();
        Ok(SystemView {
            database: match self.db().dialect() {
                Dialect::Sqlite => "SQLite",
                Dialect::Postgres => "PostgreSQL",
            },
            database_answers: self.db().ping().await.is_ok(),
            schema_applied: schema.applied,
            schema_known: schema.known,
            is_current: self.is_ready(),
            heads_signed_at: heads.items.iter().map(|head| head.at).max(),
            connections: on.len(),
            connected: on.iter().filter(|status| **status == ConnectionStatus::Connected).count(),
            webhooks_failing: webhooks.iter().filter(|it| it.enabled && it.failures > 0).count(),
            at: self.clock().now(),
        })
    }
}
