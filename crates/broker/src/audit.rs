//! The audit log's writer: one per process, chained per organization.
//!
//! Entries are committed in groups: many who wait share one commit. A call's `started` entry is waited for before
//! anything is sent (step 6); when it can't be written, the call does not happen.
//!
//! Whoever comes first commits for all ("flat combining"): it lets everything that is ready to
//! run queue up, takes what is queued and appends it on its own thread, which saves going to another one and back.
//! What can't be done there is left to the writer's task: PostgreSQL, flushes to disk, a chain that has to be read
//! first, a database that somebody else is writing to. The end of a call is worth no commit of its own: it goes with
//! the first entry that somebody waits for, and after [`LINGER`] at the latest by the task.

mod arguments;
mod heads;
mod retention;
mod verify;
mod writer;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use switchboard_domain::{
    AuditEvent, AuditPhase, AuditRecord, Clock, OrganizationId, Random, Timestamp, WriterId,
};
use switchboard_storage::Db;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) use arguments::{keeps_arguments, kept_arguments};
pub(crate) use heads::End;
pub(crate) use retention::retention_days;
pub use verify::{AuditFault, AuditReport, BadEntry};
pub use writer::chained_entry;

use crate::keys::DataKeys;
use writer::Writer;

/// Most entries of one group.
const GROUP: usize = 512;
/// Entries that may wait; beyond, calls wait in turn.
const QUEUE: usize = 4096;

/// How often who leads lets others run first.
const ROUNDS: usize = 4;

/// How long the end of a call may wait for company on its way to the database.
const LINGER: Duration = Duration::from_millis(20);

/// The audit log can't be written: what depends on it does not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log can't be written")]
pub struct AuditUnavailable;

struct Queued {
    event: AuditEvent,
    done: Option<oneshot::Sender<Result<(), AuditUnavailable>>>,
}

impl std::fmt::Debug for Queued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queued({})", self.event.action)
    }
}

/// Hands entries to the writer.
#[derive(Debug)]
pub(crate) struct Audit {
    shared: Arc<Shared>,
    finish: DropGuard,
}

#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Queued>,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Free places in the queue.
    places: Semaphore,
    /// Calls under way.
    calls: AtomicUsize,
    /// Somebody is about to commit what is queued.
    is_led: AtomicBool,
    /// The task will look at the queue when its pause is over.
    is_due: AtomicBool,
    /// Tells the task to write now.
    now: Notify,
    /// Tells the task to write after a pause.
    soon: Notify,
    /// Whether callers append by themselves.
    at_once: bool,
    writer: tokio::sync::Mutex<Writer>,
}

impl Audit {
    /// Starts the writer. After [`Self::finish`], or dropped, it ends with everything written.
    pub(crate) fn start(
        db: Db,
        keys: Arc<DataKeys>,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let at_once = db.appends_at_once();
        let writer = Writer::new(db, keys, WriterId::new(clock, random));
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            places: Semaphore::new(QUEUE),
            calls: AtomicUsize::new(0),
            is_led: AtomicBool::new(false),
            is_due: AtomicBool::new(false),
            now: Notify::new(),
            soon: Notify::new(),
            at_once,
            writer: tokio::sync::Mutex::new(writer),
        });
        let finish = CancellationToken::new();
        let running = tokio::spawn(run(Arc::clone(&shared), finish.clone()));
        (Self { shared, finish: finish.drop_guard() }, running)
    }

    /// Writes and waits until it is as durable as the setting promises.
    pub(crate) async fn write(&self, event: AuditEvent) -> Result<(), AuditUnavailable> {
        let (sender, written) = oneshot::channel();
        self.shared.push(Queued { event, done: Some(sender) }).await?;
        if !self.shared.at_once {
            self.shared.now.notify_one();
        } else if let Some(lead) = Lead::take(&self.shared) {
            lead.commit().await;
        }
        written.await.unwrap_or(Err(AuditUnavailable))
    }

    /// To be kept while a call is under way: one that is alone waits for no company.
    pub(crate) fn call(&self) -> CallUnderWay<'_> {
        self.shared.calls.fetch_add(1, Ordering::Relaxed);
        CallUnderWay(&self.shared.calls)
    }

    /// Where this process's chains of calls end: what is committed and nothing else.
    pub(crate) async fn ends(&self) -> Vec<(OrganizationId, WriterId, End)> {
        self.shared.writer.lock().await.ends()
    }

    /// Takes no more entries; what is queued is still written.
    pub(crate) fn finish(&self) {
        self.finish.token().cancel();
    }

    /// Queues an entry that nothing waits for: the end of a call whose start is on record.
    pub(crate) async fn queue(&self, event: AuditEvent) {
        if self.shared.push(Queued { event, done: None }).await.is_err() {
            tracing::error!("the audit writer is gone; an entry is lost");
        } else if !self.shared.is_due.swap(true, Ordering::AcqRel) {
            self.shared.soon.notify_one();
        }
    }
}

/// A call that has put, or will put, entries on record.
#[derive(Debug)]
pub(crate) struct CallUnderWay<'a>(&'a AtomicUsize);

impl Drop for CallUnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    async fn push(&self, queued: Queued) -> Result<(), AuditUnavailable> {
        let place = self.places.acquire().await.map_err(|_| AuditUnavailable)?;
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(AuditUnavailable);
        }
        queue.entries.push_back(queued);
        // Given back when the entry is taken out.
        place.forget();
        Ok(())
    }

    /// Runs what else is ready on this thread, for as long as that puts more on record: it joins the group.
    async fn company(&self) {
        let mut queued = self.queue.lock().entries.len();
        for _ in 0..ROUNDS {
            if self.calls.load(Ordering::Relaxed) <= 1 {
                return;
            }
            tokio::task::yield_now().await;
            let now = self.queue.lock().entries.len();
            if now <= queued {
                return;
            }
            queued = now;
        }
    }

    /// What is queued, up to a whole group; `None` when nothing is.
    fn take(&self) -> Option<Vec<Queued>> {
        let mut queue = self.queue.lock();
        let taken = queue.entries.len().min(GROUP);
        (taken > 0).then(|| queue.entries.drain(..taken).collect())
    }

    /// Back to where they were: in front, in order.
    fn put_back(&self, group: Vec<Queued>) {
        let mut queue = self.queue.lock();
        group.into_iter().rev().for_each(|queued| queue.entries.push_front(queued));
    }

    fn answer(&self, group: Vec<Queued>, outcome: Result<(), AuditUnavailable>) {
        metrics::histogram!("switchboard_audit_group_entries").record(group.len() as f64);
        self.places.add_permits(group.len());
        for done in group.into_iter().filter_map(|queued| queued.done) {
            // Who no longer waits no longer cares.
            let _ = done.send(outcome);
        }
    }
}

/// The right and the duty to commit what is queued. Dropped before that is done, the task does it.
struct Lead<'a> {
    shared: &'a Shared,
    is_done: bool,
}

impl<'a> Lead<'a> {
    /// `None` when somebody else leads, who has not looked at the queue yet.
    fn take(shared: &'a Shared) -> Option<Self> {
        let is_led = shared.is_led.swap(true, Ordering::AcqRel);
        (!is_led).then_some(Self { shared, is_done: false })
    }

    async fn commit(mut self) {
        let shared = self.shared;
        let mut writer = shared.writer.lock().await;
        shared.company().await;
        // From here on whoever queues an entry leads in turn. No `await` until all is said.
        shared.is_led.swap(false, Ordering::AcqRel);
        self.is_done = true;
        // What comes meanwhile has a lead of its own, and by then more company.
        while let Some(group) = shared.take() {
            let is_full = group.len() == GROUP;
            match writer.commit_now(&group) {
                Some(outcome) => shared.answer(group, outcome),
                None => {
                    shared.put_back(group);
                    shared.now.notify_one();
                    return;
                }
            }
            if !is_full {
                return;
            }
        }
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.shared.is_led.swap(false, Ordering::AcqRel);
            self.shared.now.notify_one();
        }
    }
}

/// The writer's task: what callers could not append by themselves, and what nobody waits for.
async fn run(shared: Arc<Shared>, finish: CancellationToken) {
    let soon = async || {
        shared.soon.notified().await;
        tokio::time::sleep(LINGER).await;
    };
    loop {
        let is_last = tokio::select! {
            biased;
            () = finish.cancelled() => true,
            () = shared.now.notified() => false,
            () = soon() => false,
        };
        if is_last {
            shared.queue.lock().closed = true;
        }
        let mut writer = shared.writer.lock().await;
        shared.is_due.swap(false, Ordering::AcqRel);
        // Once: what comes meanwhile is led, or asks for another turn.
        while let Some(group) = shared.take() {
            let is_full = group.len() == GROUP;
            let done = if shared.at_once { writer.commit_now(&group) } else { None };
            let outcome = match done {
                Some(outcome) => outcome,
                None => writer.commit(&group).await,
            };
            shared.answer(group, outcome);
            if !is_full {
                break;
            }
        }
        if is_last {
            return;
        }
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

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
