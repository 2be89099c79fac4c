//! Changes on record in the transaction that makes them: both are there, or neither (THREATS L5).
//!
//! These entries have a chain of their own beside the one of calls: its end is read in the transaction itself, so that
//! nothing waits for the writer of calls while it holds the database's write lock.

use std::collections::HashMap;

use switchboard_domain::{AuditEvent, Clock, OrganizationId, Random, WriterId};
use switchboard_storage::{StorageError, Tx};
use switchboard_vault::ChainKey;
use tokio::sync::Mutex;

use crate::{
    Broker,
    audit::{End, chained_entry},
    manage::Refusal,
};

#[derive(Debug)]
pub(crate) struct ChangeLog {
    writer: WriterId,
    /// One change of this process at a time is put on record: its place in the chain is the next one.
    turn: Mutex<()>,
    /// Where its chains ended when they were last added to.
    ends: parking_lot::Mutex<HashMap<OrganizationId, End>>,
}

impl ChangeLog {
    pub(crate) fn new(clock: &dyn Clock, random: &dyn Random) -> Self {
        Self {
            writer: WriterId::new(clock, random),
            turn: Mutex::default(),
            ends: parking_lot::Mutex::default(),
        }
    }

    pub(crate) fn ends(&self) -> Vec<(OrganizationId, WriterId, End)> {
        self.ends.lock().iter().map(|(&organization, &end)| (organization, self.writer, end)).collect()
    }
}

impl Broker {
    /// Commits a change with its entry. When that can't be written, nothing is changed.
    pub(crate) async fn commit_recorded(&self, mut tx: Tx, event: AuditEvent) -> Result<(), Refusal> {
        let Some(key) = self.0.keys.existing(event.organization).await? else {
            // A new organization has no key yet, and making one takes a transaction of its own.
            tx.commit().await?;
            return Ok(self.audit().write(event).await?);
        };
        let key = ChainKey::derive(&key.key, event.organization);
        let _turn = self.0.change_log.turn.lock().await;
        let written = self.append_change(&mut tx, &event, &key).await;
        let end = written.map_err(|error| {
            tracing::error!(%error, action = event.action, "a change can't be put on record, so it is not made");
            metrics::counter!("switchboard_audit_failures_total").increment(1);
            Refusal::unavailable()
        })?;
        tx.commit().await?;
        self.0.change_log.ends.lock().insert(event.organization, end);
        Ok(())
    }

    async fn append_change(
        &self,
        tx: &mut Tx,
        event: &AuditEvent,
        key: &ChainKey,
    ) -> Result<End, StorageError> {
        let writer = self.0.change_log.writer;
        let head = tx.audit().head(event.organization, writer).await?;
        let (seq, hash) = head.unwrap_or((0, [0; 32]));
        let next = seq.checked_add(1).ok_or(StorageError::Unreadable("audit sequence"))?;
        let entry = chained_entry(event, writer, next, key, hash);
        let end = (entry.seq, entry.hash);
        tx.audit().append(&[entry]).await?;
        Ok(end)
    }
}
