//! Waiting for a person's decision, where a client asks for that. The decision is in the database, whichever process took
//! it: a call that waits looks there once a second, and at once when it was taken here. Nothing is lost by not waiting, or
//! by a restart in the middle: the agent calls again with the approval's id.

use std::time::Duration;

use switchboard_domain::{ApprovalId, ApprovalStatus, OrganizationId};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, sleep_until, timeout},
};

use crate::Broker;

/// Calls of this process that wait at the same time; more are not waited for.
const MOST: usize = 1_000;
/// Between two looks at the database.
const LOOK: Duration = Duration::from_secs(1);

/// Calls that wait for a decision.
#[derive(Debug)]
pub(crate) struct Waits {
    places: Semaphore,
    decided: Notify,
}

impl Default for Waits {
    fn default() -> Self {
        Self { places: Semaphore::new(MOST), decided: Notify::new() }
    }
}

impl Broker {
    /// Something was decided in this process.
    pub(crate) fn tell_who_waits(&self) {
        self.0.waits.decided.notify_waiters();
    }

    /// Waits until it is decided, expired or gone; `false` when that took longer than the client wants to wait or the
    /// operator lets it (`approval.max_wait`).
    pub async fn decided(
        &self,
        organization: OrganizationId,
        approval: ApprovalId,
        patience: Duration,
    ) -> bool {
        let Ok(_place) = self.0.waits.places.try_acquire() else { return false };
        let end = Instant::now() + patience.min(self.settings().approval.max_wait);
        let looks = async {
            loop {
                // Before the look: what is decided while we look wakes us.
                let decided = self.0.waits.decided.notified();
                if self.is_decided(organization, approval).await {
                    return;
                }
                let _ = timeout(LOOK, decided).await;
            }
        };
        tokio::select! {
            biased;
            () = looks => true,
            () = sleep_until(end) => false,
            () = self.stopping() => false,
        }
    }

    async fn is_decided(&self, organization: OrganizationId, approval: ApprovalId) -> bool {
        let found = async { self.db().single().await?.approvals().find(organization, approval).await };
        match found.await {
            Ok(Some(found)) => found.status_at(self.clock().now()) != ApprovalStatus::Pending,
            Ok(None) => true,
            Err(error) => {
                tracing::warn!(%error, "a decision that a call waits for can't be looked up");
                false
            }
        }
    }
}
