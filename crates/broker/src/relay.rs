//! Between processes: what a client says to one of them about a request that another one runs.
//!
//! A load balancer sends a client's answer, its cancellation or its next try to any process. Whoever gets it and does not
//! run the request posts a letter; processes with requests under way read the letters of the last minute four times a
//! second, as they do with versions of snapshots. What a call has to say to a client that is elsewhere now goes the other way
//! as events of a stream. Both are sealed, and forgotten after minutes.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use switchboard_domain::{CallError, McpLetterId, OrganizationId};
use switchboard_storage::{McpEvent, McpLetter, StorageError};
use switchboard_vault::{SealContext, open, seal};

use crate::{Broker, text};

/// How far back letters are read: clocks of processes may differ by that.
const READ_BACK: Duration = Duration::from_secs(60);
/// Letters and events are kept this long.
pub(crate) const KEPT: Duration = Duration::from_secs(600);
/// Letters about one session or call that may wait, and that are read at once.
const MOST_ABOUT_ONE: i64 = 100;
const MOST_AT_ONCE: i64 = 1_000;

/// A letter, opened.
#[derive(Debug)]
pub struct Letter {
    pub id: McpLetterId,
    pub body: Vec<u8>,
}

/// An event of a stream that another process writes.
#[derive(Debug)]
pub struct RelayedEvent {
    pub seq: i64,
    pub is_last: bool,
    pub body: Vec<u8>,
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn failed(error: &dyn std::fmt::Display) -> CallError {
    tracing::error!(%error, "a message between processes can't be read or written");
    text::unavailable()
}

fn letter_context(organization: OrganizationId, id: McpLetterId) -> SealContext {
    let row = id.as_uuid();
    SealContext { organization, table: "mcp_letter", row, owner: None, field: "body", version: 1 }
}

fn event_context(organization: OrganizationId, id: McpLetterId, seq: i64) -> SealContext {
    let row = id.as_uuid();
    SealContext { organization, table: "mcp_event", row, owner: None, field: "body", version: seq }
}

impl Broker {
    /// What this process is called in ids that have to find the way back to it.
    pub fn process_name(&self) -> String {
        hex::encode(&self.schedule().holder().as_uuid().as_bytes()[8..])
    }

    /// Posts a letter about a session or a call. `false` when too many wait already.
    pub async fn post_letter(
        &self,
        organization: OrganizationId,
        about: &str,
        body: &[u8],
    ) -> Result<bool, CallError> {
        let key = self.data_keys().active(organization).await.map_err(|error| failed(&error))?;
        let id = McpLetterId::new(self.clock(), self.random());
        let body = seal(&key.key, &letter_context(organization, id), body, self.random());
        let letter = McpLetter { id, about: digest(about), data_key: key.id, body };
        let posted = async {
            let mut tx = self.db().write().await?;
            let now = self.clock().now();
            let posted = tx.mcp_relay().post(organization, &letter, now, MOST_ABOUT_ONE).await?;
            tx.commit().await?;
            Ok::<_, StorageError>(posted)
        };
        posted.await.map_err(|error| failed(&error))
    }

    /// The letters of the last minute, without those that are `known`.
    pub async fn letters(
        &self,
        organization: OrganizationId,
        known: impl Fn(McpLetterId) -> bool,
    ) -> Result<Vec<Letter>, CallError> {
        let since = self.clock().now().minus(READ_BACK);
        let found =
            async { self.db().single().await?.mcp_relay().letters(organization, since, MOST_AT_ONCE).await };
        let mut letters = Vec::new();
        for (id, key, body) in found.await.map_err(|error| failed(&error))? {
            if known(id) {
                continue;
            }
            let key = self.data_keys().by_id(organization, key).await.map_err(|error| failed(&error))?;
            let body = key.and_then(|key| open(&key.key, &letter_context(organization, id), &body).ok());
            letters.extend(body.map(|body| Letter { id, body: body.to_vec() }));
        }
        Ok(letters)
    }

    /// Writes an event of a stream for the process that reads it.
    pub async fn relay_event(
        &self,
        organization: OrganizationId,
        stream: &str,
        (seq, is_last): (i64, bool),
        body: &[u8],
    ) -> Result<(), CallError> {
        let stream = digest(stream);
        let key = self.data_keys().active(organization).await.map_err(|error| failed(&error))?;
        let id = McpLetterId::new(self.clock(), self.random());
        let body = seal(&key.key, &event_context(organization, id, seq), body, self.random());
        let event = McpEvent { id, seq, is_last, data_key: key.id, body };
        let written = async {
            let mut tx = self.db().write().await?;
            tx.mcp_relay().tell(organization, &stream, &event, self.clock().now()).await?;
            tx.commit().await
        };
        written.await.map_err(|error: StorageError| failed(&error))
    }

    /// What another process wrote of a stream after a place in it.
    pub async fn relayed_events(
        &self,
        organization: OrganizationId,
        stream: &str,
        after: i64,
    ) -> Result<Vec<RelayedEvent>, CallError> {
        let stream = digest(stream);
        let found =
            async { self.db().single().await?.mcp_relay().told(organization, &stream, after, 100).await };
        let mut events = Vec::new();
        for event in found.await.map_err(|error: StorageError| failed(&error))? {
            let McpEvent { id, seq, is_last, data_key, body } = event;
            let key = self.data_keys().by_id(organization, data_key).await.map_err(|error| failed(&error))?;
            let body = key.and_then(|key| open(&key.key, &event_context(organization, id, seq), &body).ok());
            events.extend(body.map(|body| RelayedEvent { seq, is_last, body: body.to_vec() }));
        }
        Ok(events)
    }
}
