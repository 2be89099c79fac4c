//! Everything the call path needs of an organization, of one state of the database: what replicas keep in
//! memory and replace when the version moves.

use std::collections::HashMap;

use switchboard_domain::{ConnectionId, Grants, MemberId, OrganizationId, TeamId};

use crate::{
    CatalogedConnection, CredentialInfo, LightCapability, Organization, PolicyDocument, StorageError,
    Toolkit, Tx,
};

/// See [`Tx::snapshot`].
#[derive(Debug)]
pub struct Snapshot {
    /// With the version this snapshot is of.
    pub organization: Organization,
    pub connections: Vec<SnapshotConnection>,
    /// Of connections that have any.
    pub grants: HashMap<ConnectionId, Grants>,
    pub memberships: Vec<(MemberId, TeamId)>,
    pub policies: Vec<PolicyDocument>,
    pub toolkits: Vec<Toolkit>,
    pub credentials: Vec<CredentialInfo>,
}

/// A connection and, unless the caller has them already, its capabilities.
#[derive(Debug)]
pub struct SnapshotConnection {
    pub cataloged: CatalogedConnection,
    /// `None`: unchanged since the catalogue version the caller named.
    pub capabilities: Option<Vec<LightCapability>>,
}

impl Tx {
    /// Reads an organization; call it on [`crate::Db::read`]. `known` names the catalogue version of each
    /// connection whose capabilities the caller has in memory: those are not read again.
    pub async fn snapshot(
        &mut self,
        organization: OrganizationId,
        known: &HashMap<ConnectionId, i64>,
    ) -> Result<Option<Snapshot>, StorageError> {
        let Some(found) = self.organizations().find(organization).await? else { return Ok(None) };
        let cataloged = self.connections().list_cataloged(organization).await?;
        let unchanged = |it: &CatalogedConnection| known.get(&it.connection.id) == Some(&it.catalog_version);
        let mut capabilities = self.changed_capabilities(organization, &cataloged, unchanged).await?;
        let connections = cataloged
            .into_iter()
            .map(|cataloged| {
                let id = cataloged.connection.id;
                let capabilities =
                    (!unchanged(&cataloged)).then(|| capabilities.remove(&id).unwrap_or_default());
                SnapshotConnection { cataloged, capabilities }
            })
            .collect();
        Ok(Some(Snapshot {
            organization: found,
            connections,
            grants: self.grants().all(organization).await?,
            memberships: self.teams().memberships(organization).await?,
            policies: self.policies().all(organization).await?,
            toolkits: self.toolkits().list(organization).await?,
            credentials: self.credentials().list(organization).await?,
        }))
    }

    /// Capabilities of connections that changed: one statement each for a few, one for all when there are many.
    async fn changed_capabilities(
        &mut self,
        organization: OrganizationId,
        cataloged: &[CatalogedConnection],
        unchanged: impl Fn(&CatalogedConnection) -> bool,
    ) -> Result<HashMap<ConnectionId, Vec<LightCapability>>, StorageError> {
        let changed: Vec<ConnectionId> =
            cataloged.iter().filter(|it| !unchanged(it)).map(|it| it.connection.id).collect();
        let mut found: HashMap<ConnectionId, Vec<LightCapability>> = HashMap::new();
        if changed.len() > 8 && changed.len() * 2 > cataloged.len() {
            for capability in self.capabilities().light(organization).await? {
                found.entry(capability.connection).or_default().push(capability);
            }
        } else {
            for id in changed {
                found.insert(id, self.capabilities().light_of_connection(organization, id).await?);
            }
        }
        Ok(found)
    }
}
