//! Connections that the operator alone can make: child processes of the configuration file, the sample server.
//! They have a row in each organization like any other connection, so that grants and policies apply to them.

use switchboard_domain::{
    AuthConfig, AuthType, Clock, Connection, ConnectionId, ConnectionOwner, ConnectionStatus, CredentialMode,
    Grants, OrganizationId, Random, Slug, Status, Switches, ToolFilter, Transport,
};
use switchboard_storage::{Db, InsertConnection, StorageError};

#[derive(Debug, Clone)]
pub(crate) struct OperatorConnection {
    pub(crate) slug: Slug,
    pub(crate) name: String,
    pub(crate) transport: Transport,
    /// Granted to everyone from the start: the sample of the demo only.
    pub(crate) for_everyone: bool,
}

/// Gives every organization the connections it lacks; the ids of those that were made.
pub(crate) async fn insert_missing(
    db: &Db,
    wanted: &[OperatorConnection],
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<Vec<(OrganizationId, ConnectionId)>, StorageError> {
    let mut made = Vec::new();
    let organizations = db.single().await?.organizations().list().await?;
    for organization in organizations {
        for entry in wanted {
            let mut tx = db.write().await?;
            if let Some(existing) = tx.connections().find_by_slug(organization.id, &entry.slug).await? {
                tx.rollback().await?;
                if existing.transport != entry.transport {
                    tracing::warn!(
                        slug = %entry.slug, organization = %organization.slug,
                        "a connection of this organization has the slug of an operator's connection: rename one of them"
                    );
                }
                continue;
            }
            let connection = row(organization.id, entry, clock, random);
            if !matches!(tx.connections().insert(&connection).await?, InsertConnection::Inserted) {
                tx.rollback().await?;
                continue;
            }
            if entry.for_everyone {
                let everyone = Grants { everyone: true, ..Grants::default() };
                tx.grants().replace(organization.id, connection.id, &everyone).await?;
            }
            tx.commit().await?;
            made.push((organization.id, connection.id));
        }
    }
    Ok(made)
}

fn row(
    organization: OrganizationId,
    entry: &OperatorConnection,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Connection {
    let now = clock.now();
    Connection {
        id: ConnectionId::new(clock, random),
        organization,
        owner: ConnectionOwner::Organization,
        slug: entry.slug.clone(),
        name: entry.name.clone(),
        url: String::new(),
        transport: entry.transport,
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
