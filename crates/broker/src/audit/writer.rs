//! Makes the entries of a group, each chained to the one before it, and appends them.

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;
use switchboard_domain::{AuditEvent, AuditPhase, AuditRecord, OrganizationId, WriterId};
use switchboard_storage::{AuditEntry, Db, StorageError};
use switchboard_vault::{ChainKey, chain_hash};

use super::{AuditUnavailable, End, Queued};
use crate::keys::DataKeys;

/// Where one organization's chain stands.
struct Chain {
    key: ChainKey,
    seq: i64,
    hash: [u8; 32],
}

pub(super) struct Writer {
    db: Db,
    keys: Arc<DataKeys>,
    id: WriterId,
    chains: HashMap<OrganizationId, Chain>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({})", self.id.as_uuid())
    }
}

/// What is hashed: fixed members first, in this order, then the record's.
#[derive(Serialize)]
struct Canonical<'a> {
    organization: OrganizationId,
    writer: WriterId,
    seq: i64,
    at: i64,
    phase: AuditPhase,
    action: &'a str,
    key: String,
    #[serde(flatten)]
    record: &'a AuditRecord,
}

impl Writer {
    pub(super) fn new(db: Db, keys: Arc<DataKeys>, id: WriterId) -> Self {
        Self { db, keys, id, chains: HashMap::new() }
    }

    /// Appends on this thread; `None`, with nothing done, when that has to wait for something.
    pub(super) fn commit_now(&mut self, group: &[Queued]) -> Option<Result<(), AuditUnavailable>> {
        let mut entries = Vec::with_capacity(group.len());
        for Queued { event, .. } in group {
            match self.chains.get_mut(&event.organization) {
                Some(chain) => entries.push(chain.next(event, self.id)),
                None => {
                    self.rewind(&entries);
                    return None;
                }
            }
        }
        match self.db.try_append_audit(&entries) {
            Ok(true) => Some(Ok(())),
            Ok(false) => {
                self.rewind(&entries);
                None
            }
            Err(error) => Some(Err(self.failed(&error, entries.len()))),
        }
    }

    pub(super) async fn commit(&mut self, group: &[Queued]) -> Result<(), AuditUnavailable> {
        let mut entries = Vec::with_capacity(group.len());
        let id = self.id;
        for Queued { event, .. } in group {
            match self.chain(event.organization).await {
                Ok(chain) => entries.push(chain.next(event, id)),
                Err(error) => {
                    tracing::error!(%error, "an audit entry can't be made");
                    self.chains.clear();
                    return Err(AuditUnavailable);
                }
            }
        }
        self.db.append_audit(&entries).await.map_err(|error| self.failed(&error, entries.len()))
    }

    pub(super) fn ends(&self) -> Vec<(OrganizationId, WriterId, End)> {
        let begun = self.chains.iter().filter(|(_, chain)| chain.seq > 0);
        begun.map(|(&organization, chain)| (organization, self.id, (chain.seq, chain.hash))).collect()
    }

    fn failed(&mut self, error: &StorageError, entries: usize) -> AuditUnavailable {
        tracing::error!(%error, entries, "the audit log can't be written");
        metrics::counter!("switchboard_audit_failures_total").increment(1);
        // Where the chains stand is read again from what was really written.
        self.chains.clear();
        AuditUnavailable
    }

    /// The chains as before these entries, which were not appended.
    fn rewind(&mut self, entries: &[AuditEntry]) {
        for entry in entries.iter().rev() {
            if let Some(chain) = self.chains.get_mut(&entry.organization) {
                (chain.seq, chain.hash) = (entry.seq - 1, entry.previous_hash);
            }
        }
    }

    async fn chain(&mut self, organization: OrganizationId) -> Result<&mut Chain, crate::DataKeyError> {
        if !self.chains.contains_key(&organization) {
            let key = self.keys.active(organization).await?;
            let key = ChainKey::derive(&key.key, organization);
            let head = self.db.single().await?.audit().head(organization, self.id).await?;
            let (seq, hash) = head.unwrap_or((0, [0; 32]));
            self.chains.insert(organization, Chain { key, seq, hash });
        }
        Ok(self.chains.entry(organization).or_insert_with(|| unreachable!("inserted above")))
    }
}

impl Chain {
    fn next(&mut self, event: &AuditEvent, writer: WriterId) -> AuditEntry {
        let entry = chained_entry(event, writer, self.seq + 1, &self.key, self.hash);
        (self.seq, self.hash) = (entry.seq, entry.hash);
        entry
    }
}

/// The entry of an event at its place in a chain. For whoever writes entries without a broker: commands that
/// work on the database directly, as a writer of their own.
pub fn chained_entry(
    event: &AuditEvent,
    writer: WriterId,
    seq: i64,
    key: &ChainKey,
    previous_hash: [u8; 32],
) -> AuditEntry {
    let record = &event.record;
    let body = serde_json::to_string(&Canonical {
        organization: event.organization,
        writer,
        seq,
        at: event.at.as_micros(),
        phase: event.phase,
        action: event.action,
        key: key.digest().to_string(),
        record,
    })
    .unwrap_or_else(|_| "{}".into());
    let hash = chain_hash(key, &previous_hash, body.as_bytes());
    AuditEntry {
        organization: event.organization,
        writer,
        seq,
        at: event.at,
        phase: event.phase,
        action: event.action.to_owned(),
        call_id: record.call_id.clone(),
        actor: record.actor.as_ref().and_then(|actor| actor["id"].as_str()).map(str::to_owned),
        target: record.target.clone(),
        outcome: record.outcome,
        previous_hash,
        hash,
        body,
    }
}
