//! Requests of AI clients that wait for a person's word. Whose they will be is not known yet, so they belong to no
//! organization; the page's address and the browser's cookie are here as SHA-256 only.

use serde_json::Value;
use sqlx::types::Json;
use switchboard_domain::{OauthClientId, Timestamp};
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    row::{digest, document},
    statement::{execute, fetch_optional, statements},
};

/// A request as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthRequest {
    pub hash: [u8; 32],
    pub client: OauthClientId,
    /// SHA-256 of the cookie of the browser that brought it.
    pub browser_hash: [u8; 32],
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub decided_at: Option<Timestamp>,
    /// What was asked, as the use case wrote it.
    pub request: Value,
}

statements! {
    INSERT = "INSERT INTO oauth_request (hash, oauth_client_id, browser_hash, created_at, expires_at, decided_at, request) VALUES ($1, $2, $3, $4, $5, NULL, $6)";
    FIND = "SELECT hash, oauth_client_id, browser_hash, created_at, expires_at, decided_at, request FROM oauth_request WHERE hash = $1";
    DECIDE = "UPDATE oauth_request SET decided_at = $2 WHERE hash = $1 AND decided_at IS NULL AND expires_at > $2";
    FORGET_EXPIRED = "DELETE FROM oauth_request WHERE expires_at < $1";
}

#[derive(sqlx::FromRow)]
struct Row {
    hash: Vec<u8>,
    oauth_client_id: Uuid,
    browser_hash: Vec<u8>,
    created_at: i64,
    expires_at: i64,
    decided_at: Option<i64>,
    request: Json<Value>,
}

impl TryFrom<Row> for OauthRequest {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        Ok(Self {
            hash: digest(&row.hash, "request hash")?,
            client: OauthClientId::from_uuid(row.oauth_client_id),
            browser_hash: digest(&row.browser_hash, "browser hash")?,
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: Timestamp::from_micros(row.expires_at),
            decided_at: row.decided_at.map(Timestamp::from_micros),
            request: row.request.0,
        })
    }
}

impl Tx {
    pub fn oauth_requests(&mut self) -> OauthRequests<'_> {
        OauthRequests { tx: self }
    }
}

/// See [`Tx::oauth_requests`].
#[derive(Debug)]
pub struct OauthRequests<'t> {
    tx: &'t mut Tx,
}

impl OauthRequests<'_> {
    pub async fn insert(self, request: &OauthRequest) -> Result<(), StorageError> {
        let asked = document(&request.request, "authorization request")?;
        execute!(
            self.tx,
            INSERT,
            &request.hash[..],
            request.client.as_uuid(),
            &request.browser_hash[..],
            request.created_at.as_micros(),
            request.expires_at.as_micros(),
            &asked,
        )
        .map(drop)
    }

    /// Decided and expired ones too.
    pub async fn find(self, hash: &[u8; 32]) -> Result<Option<OauthRequest>, StorageError> {
        fetch_optional!(self.tx, FIND => Row, &hash[..])?.map(Row::try_into).transpose()
    }

    /// Whether it still waited: a request is decided once.
    pub async fn decide(self, hash: &[u8; 32], now: Timestamp) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, DECIDE, &hash[..], now.as_micros())? == 1)
    }

    pub async fn forget_expired(self, now: Timestamp) -> Result<u64, StorageError> {
        execute!(self.tx, FORGET_EXPIRED, now.as_micros())
    }
}
