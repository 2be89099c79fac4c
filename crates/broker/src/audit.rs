//! The audit log's writer: one per process, chained per organization.
//!
//! Entries are committed in groups: whoever waits for one waits for the group it is in, and many waiters share
//! one commit. A call's `started` entry is waited for before anything is sent (step 6); when it can't be
//! written, the call does not happen.

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;
use switchboard_domain::{
    AuditEvent, AuditPhase, AuditRecord, Clock, OrganizationId, Random, Timestamp, WriterId,
};
use switchboard_storage::{AuditEntry, Db};
use switchboard_vault::{ChainKey, chain_hash};
use tokio::sync::{mpsc, oneshot};

use crate::keys::DataKeys;

/// Most entries of one group.
const GROUP: usize = 512;
/// Entries that may wait; beyond, calls wait in turn.
const QUEUE: usize = 4096;

/// How long the end of a call may wait for company on its way to the database.
const LINGER: std::time::Duration = std::time::Duration::from_millis(20);

/// The audit log can't be written: what depends on it does not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log can't be written")]
pub struct AuditUnavailable;

struct Queued {
    event: AuditEvent,
    done: Option<oneshot::Sender<Result<(), AuditUnavailable>>>,
}

/// Hands entries to the writer. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    queue: mpsc::Sender<Queued>,
    finish: tokio_util::sync::CancellationToken,
}

impl std::fmt::Debug for Queued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queued({})", self.event.action)
    }
}

impl Audit {
    /// Starts the writer. After [`Self::finish`] it ends, with everything written.
    pub(crate) fn start(
        db: Db,
        keys: Arc<DataKeys>,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let writer = Writer { db, keys, id: WriterId::new(clock, random), chains: HashMap::new() };
        let finish = tokio_util::sync::CancellationToken::new();
        let running = tokio::spawn(writer.run(receiver, finish.clone()));
        (Self { queue, finish }, running)
    }

    /// Writes and waits until it is as durable as the setting promises.
    pub(crate) async fn write(&self, event: AuditEvent) -> Result<(), AuditUnavailable> {
        let (sender, receiver) = oneshot::channel();
        self.queue.send(Queued { event, done: Some(sender) }).await.map_err(|_| AuditUnavailable)?;
        receiver.await.unwrap_or(Err(AuditUnavailable))
    }

    /// Takes no more entries; what is queued is still written.
    pub(crate) fn finish(&self) {
        self.finish.cancel();
    }

    /// Queues an entry that nothing waits for: the end of a call whose start is on record.
    pub(crate) async fn queue(&self, event: AuditEvent) {
        if self.queue.send(Queued { event, done: None }).await.is_err() {
            tracing::error!("the audit writer is gone; an entry is lost");
        }
    }
}

/// Where one organization's chain stands.
struct Chain {
    key: ChainKey,
    seq: i64,
    hash: [u8; 32],
}

struct Writer {
    db: Db,
    keys: Arc<DataKeys>,
    id: WriterId,
    chains: HashMap<OrganizationId, Chain>,
}

/// Entries that nobody waits for are worth no commit of their own: they go with the first one that somebody
/// waits for, and after [`LINGER`] at the latest. One commit a call instead of two.
async fn fill(
    group: &mut Vec<Queued>,
    queue: &mut mpsc::Receiver<Queued>,
    finish: &tokio_util::sync::CancellationToken,
) {
    let latest = tokio::time::Instant::now() + LINGER;
    while group.len() < GROUP && group.iter().all(|queued| queued.done.is_none()) {
        let room = GROUP - group.len();
        tokio::select! {
            biased;
            received = queue.recv_many(group, room) => if received == 0 { return },
            () = finish.cancelled() => return,
            () = tokio::time::sleep_until(latest) => return,
        }
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
    async fn run(mut self, mut queue: mpsc::Receiver<Queued>, finish: tokio_util::sync::CancellationToken) {
        let mut group = Vec::with_capacity(GROUP);
        loop {
            let received = tokio::select! {
                biased;
                received = queue.recv_many(&mut group, GROUP) => received,
                () = finish.cancelled(), if !queue.is_closed() => {
                    queue.close();
                    continue;
                }
            };
            if received == 0 {
                return;
            }
            fill(&mut group, &mut queue, &finish).await;
            let outcome = self.commit(&group).await;
            metrics::histogram!("switchboard_audit_group_entries").record(group.len() as f64);
            for queued in group.drain(..) {
                if let Some(done) = queued.done {
                    // Who no longer waits no longer cares.
                    let _ = done.send(outcome);
                }
            }
        }
    }

    async fn commit(&mut self, group: &[Queued]) -> Result<(), AuditUnavailable> {
        let mut entries = Vec::with_capacity(group.len());
        for queued in group {
            match self.entry(&queued.event).await {
                Ok(entry) => entries.push(entry),
                Err(error) => {
                    tracing::error!(%error, "an audit entry can't be made");
                    self.chains.clear();
                    return Err(AuditUnavailable);
                }
            }
        }
        match self.db.append_audit(&entries).await {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::error!(%error, entries = entries.len(), "the audit log can't be written");
                metrics::counter!("switchboard_audit_failures_total").increment(1);
                // Where the chains stand is read again from what was really written.
                self.chains.clear();
                Err(AuditUnavailable)
            }
        }
    }

    async fn entry(&mut self, event: &AuditEvent) -> Result<AuditEntry, crate::DataKeyError> {
        let writer = self.id;
        let chain = self.chain(event.organization).await?;
        let seq = chain.seq + 1;
        let entry = chained_entry(event, writer, seq, &chain.key, chain.hash);
        (chain.seq, chain.hash) = (seq, entry.hash);
        Ok(entry)
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

/// An event of a principal, ready for its details.
pub(crate) fn event(
    organization: OrganizationId,
    at: Timestamp,
    phase: AuditPhase,
    action: &'static str,
    record: AuditRecord,
) -> AuditEvent {
    AuditEvent { organization, phase, at, action, record }
}
