//! AI clients that sign people in: registered by themselves, known by a document, or made by an admin; and the secrets
//! of service accounts. They belong to no organization; only what an admin made has an owner.

use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use switchboard_domain::{OauthClientId, OrganizationId, Scopes, Timestamp};
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    row::{digest, document, text, word},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// How a client came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OauthClientKind {
    /// It registered itself (RFC 7591): what it says of itself is nobody's word but its own.
    Dynamic,
    /// Its id is the address of a document about it: the host vouches for it.
    Document,
    /// An admin made it.
    Static,
    /// A service account, by a secret of its own.
    ServiceAccount,
    /// The command line of Switchboard itself.
    FirstParty,
}

impl OauthClientKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dynamic => "dynamic",
            Self::Document => "document",
            Self::Static => "static",
            Self::ServiceAccount => "service_account",
            Self::FirstParty => "first_party",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Dynamic, Self::Document, Self::Static, Self::ServiceAccount, Self::FirstParty]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// A client as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthClient {
    pub id: OauthClientId,
    pub client_id: String,
    pub kind: OauthClientKind,
    /// The organization whose admin made it.
    pub owner: Option<OrganizationId>,
    /// What it calls itself. Untrusted.
    pub name: String,
    pub redirect_uris: Vec<String>,
    /// SHA-256 of its secret; a public client has none.
    pub secret_hash: Option<[u8; 32]>,
    /// Of what people who allowed it relied on.
    pub fingerprint: [u8; 32],
    pub created_at: Timestamp,
    /// Until when a document need not be read again.
    pub fresh_until: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    /// When one that nobody used is forgotten.
    pub expires_at: Option<Timestamp>,
    pub disabled_at: Option<Timestamp>,
    /// Where it registered from.
    pub source: Option<String>,
    /// The most it may be given; `None`: whatever such a client may have.
    pub scopes: Option<Scopes>,
}

/// What is kept of a client beside its columns.
#[derive(Serialize, Deserialize)]
struct Metadata {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scopes: Option<Scopes>,
}

statements! {
    INSERT = "INSERT INTO oauth_client (id, client_id, kind, owner_organization_id, name, redirect_uris, secret_hash, fingerprint, created_at, updated_at, fresh_until, last_used_at, expires_at, disabled_at, source, metadata) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, NULL, $11, NULL, $12, $13) ON CONFLICT DO NOTHING";
    FIND = "SELECT id, client_id, kind, owner_organization_id, name, redirect_uris, secret_hash, fingerprint, created_at, fresh_until, last_used_at, expires_at, disabled_at, source, metadata FROM oauth_client WHERE client_id = $1";
    LIST_OF_SERVICE_ACCOUNTS = "SELECT id, client_id, kind, owner_organization_id, name, redirect_uris, secret_hash, fingerprint, created_at, fresh_until, last_used_at, expires_at, disabled_at, source, metadata FROM oauth_client WHERE owner_organization_id = $1 AND kind = 'service_account'";
    UPDATE_DOCUMENT = "UPDATE oauth_client SET name = $2, redirect_uris = $3, fingerprint = $4, fresh_until = $5, updated_at = $6 WHERE id = $1";
    /// A client that somebody allowed stays.
    USED = "UPDATE oauth_client SET last_used_at = $2, expires_at = NULL WHERE id = $1";
    SET_SECRET = "UPDATE oauth_client SET secret_hash = $2, metadata = $3, updated_at = $4 WHERE id = $1";
    DELETE = "DELETE FROM oauth_client WHERE id = $1";
    COUNT_UNUSED = "SELECT count(*) FROM oauth_client WHERE kind = 'dynamic' AND expires_at IS NOT NULL";
    FORGET_UNUSED = "DELETE FROM oauth_client WHERE kind = 'dynamic' AND expires_at IS NOT NULL AND created_at < $1";
    FORGET_EXPIRED = "DELETE FROM oauth_client WHERE expires_at < $1";
}

#[derive(sqlx::FromRow)]
pub(crate) struct Row {
    id: Uuid,
    client_id: String,
    kind: String,
    owner_organization_id: Option<Uuid>,
    name: String,
    redirect_uris: Json<Vec<String>>,
    secret_hash: Option<Vec<u8>>,
    fingerprint: Vec<u8>,
    created_at: i64,
    fresh_until: Option<i64>,
    last_used_at: Option<i64>,
    expires_at: Option<i64>,
    disabled_at: Option<i64>,
    source: Option<String>,
    metadata: Json<Metadata>,
}

impl TryFrom<Row> for OauthClient {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        Ok(Self {
            id: OauthClientId::from_uuid(row.id),
            client_id: row.client_id,
            kind: word(&row.kind, OauthClientKind::from_word, "client kind")?,
            owner: row.owner_organization_id.map(OrganizationId::from_uuid),
            name: row.name,
            redirect_uris: row.redirect_uris.0,
            secret_hash: row.secret_hash.map(|hash| digest(&hash, "client secret hash")).transpose()?,
            fingerprint: digest(&row.fingerprint, "client fingerprint")?,
            created_at: Timestamp::from_micros(row.created_at),
            fresh_until: row.fresh_until.map(Timestamp::from_micros),
            last_used_at: row.last_used_at.map(Timestamp::from_micros),
            expires_at: row.expires_at.map(Timestamp::from_micros),
            disabled_at: row.disabled_at.map(Timestamp::from_micros),
            source: row.source,
            scopes: row.metadata.0.scopes,
        })
    }
}

impl Tx {
    pub fn oauth_clients(&mut self) -> OauthClients<'_> {
        OauthClients { tx: self }
    }
}

/// See [`Tx::oauth_clients`].
#[derive(Debug)]
pub struct OauthClients<'t> {
    tx: &'t mut Tx,
}

impl OauthClients<'_> {
    /// `false` when the `client_id` is known already.
    pub async fn insert(self, client: &OauthClient) -> Result<bool, StorageError> {
        let redirect_uris = document(&client.redirect_uris, "redirect URIs")?;
        let metadata = document(&Metadata { scopes: client.scopes }, "client metadata")?;
        let inserted = execute!(
            self.tx,
            INSERT,
            client.id.as_uuid(),
            &client.client_id,
            client.kind.as_str(),
            client.owner.map(OrganizationId::as_uuid),
            text(&client.name),
            &redirect_uris,
            client.secret_hash.as_ref().map(|hash| &hash[..]),
            &client.fingerprint[..],
            client.created_at.as_micros(),
            client.fresh_until.map(Timestamp::as_micros),
            client.expires_at.map(Timestamp::as_micros),
            client.source.as_deref(),
            &metadata,
        )?;
        Ok(inserted == 1)
    }

    /// By the id that it calls itself, disabled and expired ones too.
    pub async fn find(self, client_id: &str) -> Result<Option<OauthClient>, StorageError> {
        fetch_optional!(self.tx, FIND => Row, text(client_id))?.map(Row::try_into).transpose()
    }

    /// The secrets of an organization's service accounts.
    pub async fn list_of_service_accounts(
        self,
        organization: OrganizationId,
    ) -> Result<Vec<OauthClient>, StorageError> {
        let rows = fetch_all!(self.tx, LIST_OF_SERVICE_ACCOUNTS => Row, organization.as_uuid())?;
        rows.into_iter().map(Row::try_into).collect()
    }

    /// What a newer copy of its document says.
    pub async fn update_document(self, client: &OauthClient, now: Timestamp) -> Result<(), StorageError> {
        let redirect_uris = document(&client.redirect_uris, "redirect URIs")?;
        execute!(
            self.tx,
            UPDATE_DOCUMENT,
            client.id.as_uuid(),
            text(&client.name),
            &redirect_uris,
            &client.fingerprint[..],
            client.fresh_until.map(Timestamp::as_micros),
            now.as_micros(),
        )
        .map(drop)
    }

    /// Somebody allowed it: it is no longer one that nobody used.
    pub async fn used(self, id: OauthClientId, now: Timestamp) -> Result<(), StorageError> {
        execute!(self.tx, USED, id.as_uuid(), now.as_micros()).map(drop)
    }

    /// Another secret, and the most it may be given; the one before is of no use any more.
    pub async fn set_secret(
        self,
        id: OauthClientId,
        hash: &[u8; 32],
        scopes: Option<Scopes>,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let metadata = document(&Metadata { scopes }, "client metadata")?;
        execute!(self.tx, SET_SECRET, id.as_uuid(), &hash[..], &metadata, now.as_micros()).map(drop)
    }

    /// With all that it was ever allowed.
    pub async fn delete(self, id: OauthClientId) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, DELETE, id.as_uuid())? == 1)
    }

    /// Those that registered and were never used.
    pub async fn forget_expired(self, now: Timestamp) -> Result<u64, StorageError> {
        execute!(self.tx, FORGET_EXPIRED, now.as_micros())
    }

    /// How many registered and were not allowed by anybody yet.
    pub async fn count_unused(self) -> Result<u64, StorageError> {
        let count = fetch_optional!(self.tx, COUNT_UNUSED => (i64,))?;
        Ok(count.map_or(0, |(count,)| count.unsigned_abs()))
    }

    /// Removes those of them that registered before; how many.
    pub async fn forget_unused(self, before: Timestamp) -> Result<u64, StorageError> {
        execute!(self.tx, FORGET_UNUSED, before.as_micros())
    }
}
