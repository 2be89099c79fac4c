//! The other way to reach a server over HTTP: one that moved from HTTP with SSE of 2024-11-05 to streamable HTTP, or back, is found
//! again without anybody who edits its connection (2025-11-25, transports: backwards compatibility).

use std::sync::Arc;

use switchboard_domain::{Connection, Transport};
use switchboard_storage::{CredentialInfo, StorageError};

use super::{Passed, Stopped};
use crate::{Broker, snapshot::Known, upstream::UpstreamError};

/// Whether a server answers, but not as one of its transport does.
pub(crate) const fn speaks_otherwise(error: &UpstreamError) -> bool {
    matches!(
        error,
        UpstreamError::Http { status: 400 | 404 | 405 | 406 | 410 | 415 | 426, .. }
            | UpstreamError::Protocol(_)
    )
}

const fn other(transport: Transport) -> Option<Transport> {
    match transport {
        Transport::StreamableHttp => Some(Transport::Sse),
        Transport::Sse => Some(Transport::StreamableHttp),
        Transport::Stdio | Transport::InProcess => None,
    }
}

impl Broker {
    /// Tries the other transport after the one that is remembered did not work. What works is remembered.
    pub(super) async fn try_other_transport(
        &self,
        known: &Known,
        info: &mut Option<CredentialInfo>,
        outcome: &Result<Passed, Stopped>,
    ) -> Result<Option<(Known, Passed)>, StorageError> {
        let connection = &*known.connection;
        let (Err(Stopped::Upstream(error)), Some(transport)) = (outcome, other(connection.transport)) else {
            return Ok(None);
        };
        if !speaks_otherwise(error) {
            return Ok(None);
        }
        let moved = Connection { transport, era: None, ..connection.clone() };
        let moved = Known { connection: Arc::new(moved), ..known.clone() };
        let Ok(passed) = self.try_out(&moved, info).await else { return Ok(None) };
        tracing::info!(connection = %connection.slug, transport = transport.as_str(), "a server is reached another way now");
        let mut tx = self.db().write().await?;
        tx.connections().set_transport(connection.organization, connection.id, transport).await?;
        tx.connections()
            .set_era(
                connection.organization,
                connection.id,
                passed.session.era(),
                passed.session.greeting().instructions.as_deref(),
            )
            .await?;
        tx.commit().await?;
        self.upstreams().drop_connection(connection.id);
        Ok(Some((moved, passed)))
    }
}
