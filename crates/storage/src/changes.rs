//! Hints that something changed, sooner than the poll of [`crate::Organizations::versions`] would show it.
//! A hint may be lost; the version never is.

use switchboard_domain::OrganizationId;
use tokio::sync::broadcast;

/// What may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Organization(OrganizationId),
    /// Hints were lost (a slow reader, a reconnect): look at every version.
    Unknown,
}

/// The sending side, one per open database.
#[derive(Debug, Clone)]
pub(crate) struct Hint(broadcast::Sender<Change>);

impl Hint {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(256))
    }

    pub(crate) fn send(&self, change: Change) {
        // Nobody listening is fine.
        let _ = self.0.send(change);
    }

    pub(crate) fn listen(&self) -> Changes {
        Changes(self.0.subscribe())
    }
}

/// The receiving side: see [`crate::Db::changes`].
#[derive(Debug)]
pub struct Changes(broadcast::Receiver<Change>);

impl Changes {
    /// The next hint; `None` once the database is closed.
    pub async fn next(&mut self) -> Option<Change> {
        match self.0.recv().await {
            Ok(change) => Some(change),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Change::Unknown),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Forwards PostgreSQL's notifications for as long as anybody holds the database.
pub(crate) async fn forward_notifications(mut listener: sqlx::postgres::PgListener, hint: Hint) {
    loop {
        // `try_recv` returns `None` after a lost connection was replaced: notifications may be missing.
        match listener.try_recv().await {
            Ok(Some(notification)) => hint.send(
                notification
                    .payload()
                    .parse()
                    .map_or(Change::Unknown, |id| Change::Organization(OrganizationId::from_uuid(id))),
            ),
            Ok(None) => hint.send(Change::Unknown),
            Err(sqlx::Error::PoolClosed) => return,
            Err(error) => {
                tracing::warn!(%error, "listening for changes failed; the poll of versions goes on");
                hint.send(Change::Unknown);
                tokio::time::sleep(std::time::Duration::from_secs(2)).await;
            }
        }
    }
}
