//! Upstreams of the operator's configuration file: each becomes a connection of the first organization, so that it is
//! granted, ruled and recorded like any other. No request can make one.

use switchboard_domain::{
    AuthConfig, AuthType, Connection, ConnectionId, ConnectionOwner, ConnectionStatus, CredentialMode,
    Status, Switches, ToolFilter, Transport,
};
use switchboard_storage::{InsertConnection, StorageError};

use crate::{Broker, upstream::StdioCommand};

impl Broker {
    /// Makes the connections that are configured and not there yet. Ids sort by time: the first organization is the
    /// one with the smallest.
    pub(crate) async fn add_configured(&self) -> Result<(), StorageError> {
        let first = self.all_snapshots().into_iter().min_by_key(|snapshot| snapshot.organization.id);
        let Some(snapshot) = first else { return Ok(()) };
        let mut added = false;
        for command in self.upstreams().stdio_commands() {
            match snapshot.by_slug(&command.slug) {
                Some(known) if known.connection.transport == Transport::Stdio => {}
                Some(_) => tracing::error!(
                    slug = %command.slug,
                    "a [[stdio]] entry has the slug of another connection and is not started: rename one of the two"
                ),
                None => {
                    let connection = self.configured(&snapshot.organization, command);
                    let mut tx = self.db().write().await?;
                    if matches!(tx.connections().insert(&connection).await?, InsertConnection::Inserted) {
                        tx.commit().await?;
                        added = true;
                    }
                }
            }
        }
        if added { self.refresh_snapshots().await } else { Ok(()) }
    }

    fn configured(
        &self,
        organization: &switchboard_storage::Organization,
        command: &StdioCommand,
    ) -> Connection {
        let now = self.clock().now();
        Connection {
            id: ConnectionId::new(self.clock(), self.random()),
            organization: organization.id,
            owner: ConnectionOwner::Organization,
            slug: command.slug.clone(),
            name: command.slug.to_string(),
            url: String::new(),
            transport: Transport::Stdio,
            auth_type: AuthType::None,
            auth: AuthConfig::default(),
            credential_mode: CredentialMode::Shared,
            switches: Switches::default(),
            tools: ToolFilter::default(),
            external_key: None,
            status: Status::new(ConnectionStatus::Checking, now),
            era: None,
            instructions: None,
            created_at: now,
            updated_at: now,
            revision: 1,
        }
    }
}
