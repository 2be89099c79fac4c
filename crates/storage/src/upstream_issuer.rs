//! Who issues the tokens of a third-party server, as it was found: one per connection, so that another one the next
//! time is noticed (THREATS O6).

use serde_json::Value;
use sqlx::types::Json;
use switchboard_domain::{ConnectionId, OrganizationId, Timestamp};

use crate::{
    StorageError, Tx,
    row::document,
    statement::{execute, fetch_optional, statements},
};

/// An authorization server, as found for one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamIssuer {
    /// As the server writes it.
    pub issuer: String,
    pub found_at: Timestamp,
    /// What was found, as the use case wrote it.
    pub found: Value,
}

statements! {
    PUT = "INSERT INTO upstream_issuer (organization_id, connection_id, issuer, found_at, found) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (organization_id, connection_id) DO UPDATE SET issuer = excluded.issuer, found_at = excluded.found_at, found = excluded.found";
    FIND = "SELECT issuer, found_at, found FROM upstream_issuer WHERE organization_id = $1 AND connection_id = $2";
    DELETE = "DELETE FROM upstream_issuer WHERE organization_id = $1 AND connection_id = $2";
}

#[derive(sqlx::FromRow)]
struct Row {
    issuer: String,
    found_at: i64,
    found: Json<Value>,
}

impl Tx {
    pub fn upstream_issuers(&mut self) -> UpstreamIssuers<'_> {
        UpstreamIssuers { tx: self }
    }
}

/// See [`Tx::upstream_issuers`].
#[derive(Debug)]
pub struct UpstreamIssuers<'t> {
    tx: &'t mut Tx,
}

impl UpstreamIssuers<'_> {
    pub async fn put(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
        issuer: &UpstreamIssuer,
    ) -> Result<(), StorageError> {
        let (org, connection) = (organization.as_uuid(), connection.as_uuid());
        let found = document(&issuer.found, "issuer")?;
        execute!(self.tx, PUT, org, connection, issuer.issuer.as_str(), issuer.found_at.as_micros(), &found)
            .map(drop)
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
    ) -> Result<Option<UpstreamIssuer>, StorageError> {
        let (org, connection) = (organization.as_uuid(), connection.as_uuid());
        let row = fetch_optional!(self.tx, FIND => Row, org, connection)?;
        Ok(row.map(|row| UpstreamIssuer {
            issuer: row.issuer,
            found_at: Timestamp::from_micros(row.found_at),
            found: row.found.0,
        }))
    }

    pub async fn delete(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
    ) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, DELETE, organization.as_uuid(), connection.as_uuid())? == 1)
    }
}
