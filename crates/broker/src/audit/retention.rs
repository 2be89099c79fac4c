//! Old entries go when the organization says so: from the front of each chain, up to a checkpoint that is signed in the
//! transaction that deletes them. What is left still verifies, from the checkpoint on.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard_domain::{AuditOutcome, AuditPhase, AuditRecord, OrganizationId, Timestamp, WriterId};
use switchboard_vault::{HeadStatement, StatementKind};

use super::{event, heads::signed};
use crate::{Broker, manage::Refusal};

/// Entries that leave in one transaction: others write in between.
const BATCH: i64 = 5_000;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long one replica has the turn.
const TURN: Duration = Duration::from_secs(600);

/// For how many days entries are kept; `None` for good.
pub(crate) fn retention_days(settings: &Value) -> Option<u32> {
    let days = settings["audit_retention_days"].as_u64().and_then(|days| u32::try_from(days).ok());
    days.filter(|&days| days > 0)
}

impl Broker {
    /// Deletes what is older than its organization keeps it.
    pub async fn forget_old_entries(&self) -> Result<(), Refusal> {
        for snapshot in self.all_snapshots() {
            let organization = snapshot.organization.id;
            let Some(days) = retention_days(&snapshot.organization.settings) else { continue };
            let now = self.clock().now();
            let mut tx = self.db().write().await?;
            let name = format!("audit-retention:{organization}");
            let turn = tx.leases().acquire(&name, self.schedule().holder(), now, now.plus(TURN)).await?;
            tx.commit().await?;
            let Some(turn) = turn else { continue };
            let writers = self.db().single().await?.audit().heads(organization).await?;
            for (writer, ..) in writers {
                while self.forget_front(organization, writer, now.minus(DAY.saturating_mul(days))).await? {}
            }
            let mut tx = self.db().write().await?;
            tx.leases().release(&turn).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// One batch of one chain; whether there may be more.
    async fn forget_front(
        &self,
        organization: OrganizationId,
        writer: WriterId,
        before: Timestamp,
    ) -> Result<bool, Refusal> {
        let key = self.head_key(organization).await?;
        let mut tx = self.db().write().await?;
        let Some((seq, hash)) = tx.audit_heads().expired(organization, writer, before, BATCH).await? else {
            return Ok(false);
        };
        let at = self.clock().now();
        let statement =
            HeadStatement { kind: StatementKind::Checkpoint, organization, writer, seq, hash, at };
        tx.audit_heads().put(&signed(&key, statement)).await?;
        let deleted = tx.audit_heads().delete_up_to(&statement).await?;
        if deleted == 0 {
            return Ok(false);
        }
        let record = AuditRecord {
            actor: Some(json!({ "type": "system", "id": "retention" })),
            target: Some(writer.to_string()),
            outcome: Some(AuditOutcome::Ok),
            details: Some(json!({ "deleted": deleted, "last_seq": seq, "before": before })),
            ..AuditRecord::default()
        };
        let event = event(organization, at, AuditPhase::Event, "audit.delete_expired", record);
        self.commit_recorded(tx, event).await?;
        Ok(i64::try_from(deleted).is_ok_and(|deleted| deleted >= BATCH))
    }
}
