//! As which client one connection is known at its authorization server. Never shared between connections: a provider
//! that sees one client for two could mix up their codes (THREATS O3).

use switchboard_domain::{ConnectionId, DataKeyId, OrganizationId, Timestamp};
use switchboard_vault::Sealed;
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    row::word,
    statement::{execute, fetch_optional, statements},
};

/// How we became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamClientKind {
    /// An admin made it at the provider and wrote it here.
    Static,
    /// We registered (RFC 7591).
    Dynamic,
    /// By our metadata document; what is sealed is the key that it publishes the public half of.
    Document,
}

impl UpstreamClientKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
            Self::Document => "document",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Static, Self::Dynamic, Self::Document].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A client as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamClientRow {
    pub kind: UpstreamClientKind,
    /// Where it is known; `None` until an admin's client was used for the first time.
    pub issuer: Option<String>,
    pub client_id: String,
    /// `none`, `client_secret_basic`, `client_secret_post`, `private_key_jwt`.
    pub authentication: String,
    pub redirect_uri: String,
    /// Counts replacements; the sealed value is bound to it.
    pub generation: i64,
    pub created_at: Timestamp,
    /// When the provider no longer takes its secret.
    pub expires_at: Option<Timestamp>,
    /// Where the registration can be taken away (RFC 7592).
    pub management_uri: Option<String>,
    /// Its secrets, with the key they are sealed with.
    pub sealed: Option<(DataKeyId, Sealed)>,
}

statements! {
    PUT = "INSERT INTO upstream_client (organization_id, connection_id, kind, issuer, client_id, authentication, redirect_uri, generation, created_at, expires_at, management_uri, data_key_id, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (organization_id, connection_id) DO UPDATE SET kind = excluded.kind, issuer = excluded.issuer, client_id = excluded.client_id, authentication = excluded.authentication, redirect_uri = excluded.redirect_uri, generation = excluded.generation, created_at = excluded.created_at, expires_at = excluded.expires_at, management_uri = excluded.management_uri, data_key_id = excluded.data_key_id, sealed = excluded.sealed WHERE upstream_client.generation < excluded.generation";
    FIND = "SELECT kind, issuer, client_id, authentication, redirect_uri, generation, created_at, expires_at, management_uri, data_key_id, sealed FROM upstream_client WHERE organization_id = $1 AND connection_id = $2";
    BIND = "UPDATE upstream_client SET issuer = $3 WHERE organization_id = $1 AND connection_id = $2 AND issuer IS NULL";
    DELETE = "DELETE FROM upstream_client WHERE organization_id = $1 AND connection_id = $2";
}

#[derive(sqlx::FromRow)]
struct Row {
    kind: String,
    issuer: Option<String>,
    client_id: String,
    authentication: String,
    redirect_uri: String,
    generation: i64,
    created_at: i64,
    expires_at: Option<i64>,
    management_uri: Option<String>,
    data_key_id: Option<Uuid>,
    sealed: Option<Vec<u8>>,
}

impl TryFrom<Row> for UpstreamClientRow {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        let sealed = match (row.data_key_id, row.sealed) {
            (Some(key), Some(sealed)) => Some((DataKeyId::from_uuid(key), Sealed(sealed))),
            (None, None) => None,
            _ => return Err(StorageError::Unreadable("client secret")),
        };
        Ok(Self {
            kind: word(&row.kind, UpstreamClientKind::from_word, "client kind")?,
            issuer: row.issuer,
            client_id: row.client_id,
            authentication: row.authentication,
            redirect_uri: row.redirect_uri,
            generation: row.generation,
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: row.expires_at.map(Timestamp::from_micros),
            management_uri: row.management_uri,
            sealed,
        })
    }
}

impl Tx {
    pub fn upstream_clients(&mut self) -> UpstreamClients<'_> {
        UpstreamClients { tx: self }
    }
}

/// See [`Tx::upstream_clients`].
#[derive(Debug)]
pub struct UpstreamClients<'t> {
    tx: &'t mut Tx,
}

impl UpstreamClients<'_> {
    /// Whether it was stored: its generation has to be one that was not there yet.
    pub async fn put(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
        client: &UpstreamClientRow,
    ) -> Result<bool, StorageError> {
        let stored = execute!(
            self.tx,
            PUT,
            organization.as_uuid(),
            connection.as_uuid(),
            client.kind.as_str(),
            client.issuer.as_deref(),
            client.client_id.as_str(),
            client.authentication.as_str(),
            client.redirect_uri.as_str(),
            client.generation,
            client.created_at.as_micros(),
            client.expires_at.map(Timestamp::as_micros),
            client.management_uri.as_deref(),
            client.sealed.as_ref().map(|(key, _)| key.as_uuid()),
            client.sealed.as_ref().map(|(_, sealed)| &sealed.0[..]),
        )?;
        Ok(stored == 1)
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
    ) -> Result<Option<UpstreamClientRow>, StorageError> {
        let (org, connection) = (organization.as_uuid(), connection.as_uuid());
        fetch_optional!(self.tx, FIND => Row, org, connection)?.map(Row::try_into).transpose()
    }

    /// Ties an admin's client to the issuer it was used at first.
    pub async fn bind(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
        issuer: &str,
    ) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, BIND, organization.as_uuid(), connection.as_uuid(), issuer)? == 1)
    }

    pub async fn delete(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
    ) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, DELETE, organization.as_uuid(), connection.as_uuid())? == 1)
    }
}
