//! Sign-ins at third-party servers that a member began: from the start to what became of it. The state that the
//! provider sends back is here as SHA-256 only, the verifier sealed.

use serde_json::Value;
use sqlx::types::Json;
use switchboard_domain::{AuthorizationId, ConnectionId, DataKeyId, MemberId, OrganizationId, Timestamp};
use switchboard_vault::Sealed;
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    row::{digest, document, text, word},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamAuthorizationStatus {
    Pending,
    Connected,
    Error,
}

impl UpstreamAuthorizationStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Connected => "connected",
            Self::Error => "error",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Pending, Self::Connected, Self::Error].into_iter().find(|status| status.as_str() == word)
    }
}

/// A sign-in as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamAuthorization {
    pub organization: OrganizationId,
    pub id: AuthorizationId,
    pub connection: ConnectionId,
    /// Who began it: nobody else may finish it.
    pub member: MemberId,
    /// For the organization's account, not the member's own.
    pub shared: bool,
    pub status: UpstreamAuthorizationStatus,
    pub reason: Option<String>,
    pub message: Option<String>,
    pub browser_hash: Option<[u8; 32]>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub used_at: Option<Timestamp>,
    /// What was found and asked, as the use case wrote it.
    pub request: Value,
    /// The verifier, once a browser was sent away.
    pub sealed: Option<(DataKeyId, Sealed)>,
}

/// A sign-in that has not ended, as far as others may know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingAuthorization {
    pub connection: ConnectionId,
    pub member: MemberId,
    pub shared: bool,
    pub expires_at: Timestamp,
}

/// What ties a sign-in to the browser that is sent away with it.
#[derive(Debug, Clone, Copy)]
pub struct SentAway<'s> {
    pub state_hash: &'s [u8; 32],
    pub browser_hash: &'s [u8; 32],
    pub data_key: DataKeyId,
    pub sealed: &'s Sealed,
}

macro_rules! columns {
    () => {
        "organization_id, id, connection_id, member_id, shared, status, reason, message, browser_hash, created_at, expires_at, used_at, request, data_key_id, sealed"
    };
}

statements! {
    INSERT = "INSERT INTO upstream_authorization (organization_id, id, connection_id, member_id, shared, status, created_at, expires_at, request) VALUES ($1, $2, $3, $4, $5, 'pending', $6, $7, $8)";
    FIND = (concat!("SELECT ", columns!(), " FROM upstream_authorization WHERE organization_id = $1 AND id = $2"));
    FIND_BY_STATE = (concat!("SELECT ", columns!(), " FROM upstream_authorization WHERE state_hash = $1"));
    SEND_AWAY = "UPDATE upstream_authorization SET state_hash = $3, browser_hash = $4, data_key_id = $5, sealed = $6 WHERE organization_id = $1 AND id = $2 AND used_at IS NULL AND expires_at > $7";
    BURN = "UPDATE upstream_authorization SET used_at = $3, data_key_id = NULL, sealed = NULL WHERE organization_id = $1 AND id = $2 AND used_at IS NULL";
    FINISH = "UPDATE upstream_authorization SET status = $3, reason = $4, message = $5 WHERE organization_id = $1 AND id = $2 AND status = 'pending'";
    LIST_PENDING = "SELECT connection_id, member_id, shared, expires_at FROM upstream_authorization WHERE organization_id = $1 AND status = 'pending'";
    FORGET_EXPIRED = "DELETE FROM upstream_authorization WHERE organization_id = $1 AND expires_at < $2";
}

#[derive(sqlx::FromRow)]
struct Row {
    organization_id: Uuid,
    id: Uuid,
    connection_id: Uuid,
    member_id: Uuid,
    shared: bool,
    status: String,
    reason: Option<String>,
    message: Option<String>,
    browser_hash: Option<Vec<u8>>,
    created_at: i64,
    expires_at: i64,
    used_at: Option<i64>,
    request: Json<Value>,
    data_key_id: Option<Uuid>,
    sealed: Option<Vec<u8>>,
}

#[derive(sqlx::FromRow)]
struct PendingRow {
    connection_id: Uuid,
    member_id: Uuid,
    shared: bool,
    expires_at: i64,
}

impl TryFrom<Row> for UpstreamAuthorization {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        let sealed = row.data_key_id.zip(row.sealed);
        let browser_hash = row.browser_hash.as_deref().map(|hash| digest(hash, "browser hash"));
        Ok(Self {
            organization: OrganizationId::from_uuid(row.organization_id),
            id: AuthorizationId::from_uuid(row.id),
            connection: ConnectionId::from_uuid(row.connection_id),
            member: MemberId::from_uuid(row.member_id),
            shared: row.shared,
            status: word(&row.status, UpstreamAuthorizationStatus::from_word, "authorization status")?,
            reason: row.reason,
            message: row.message,
            browser_hash: browser_hash.transpose()?,
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: Timestamp::from_micros(row.expires_at),
            used_at: row.used_at.map(Timestamp::from_micros),
            request: row.request.0,
            sealed: sealed.map(|(key, sealed)| (DataKeyId::from_uuid(key), Sealed(sealed))),
        })
    }
}

impl Tx {
    pub fn upstream_authorizations(&mut self) -> UpstreamAuthorizations<'_> {
        UpstreamAuthorizations { tx: self }
    }
}

/// See [`Tx::upstream_authorizations`].
#[derive(Debug)]
pub struct UpstreamAuthorizations<'t> {
    tx: &'t mut Tx,
}

impl UpstreamAuthorizations<'_> {
    /// Pending, and in no browser yet.
    pub async fn insert(self, begun: &UpstreamAuthorization) -> Result<(), StorageError> {
        let request = document(&begun.request, "authorization request")?;
        execute!(
            self.tx,
            INSERT,
            begun.organization.as_uuid(),
            begun.id.as_uuid(),
            begun.connection.as_uuid(),
            begun.member.as_uuid(),
            begun.shared,
            begun.created_at.as_micros(),
            begun.expires_at.as_micros(),
            &request,
        )?;
        self.tx.raise_version(begun.organization).await
    }

    /// Those under way, those that ran out among them.
    pub async fn pending(
        self,
        organization: OrganizationId,
    ) -> Result<Vec<PendingAuthorization>, StorageError> {
        let rows = fetch_all!(self.tx, LIST_PENDING => PendingRow, organization.as_uuid())?;
        let pending = rows.into_iter().map(|row| PendingAuthorization {
            connection: ConnectionId::from_uuid(row.connection_id),
            member: MemberId::from_uuid(row.member_id),
            shared: row.shared,
            expires_at: Timestamp::from_micros(row.expires_at),
        });
        Ok(pending.collect())
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        id: AuthorizationId,
    ) -> Result<Option<UpstreamAuthorization>, StorageError> {
        let (org, id) = (organization.as_uuid(), id.as_uuid());
        fetch_optional!(self.tx, FIND => Row, org, id)?.map(Row::try_into).transpose()
    }

    /// The state says which it is; used and expired ones too.
    pub async fn find_by_state(
        self,
        state_hash: &[u8; 32],
    ) -> Result<Option<UpstreamAuthorization>, StorageError> {
        fetch_optional!(self.tx, FIND_BY_STATE => Row, &state_hash[..])?.map(Row::try_into).transpose()
    }

    /// Whether it still waited. What an earlier browser was sent away with is worth nothing from here on.
    pub async fn send_away(
        self,
        organization: OrganizationId,
        id: AuthorizationId,
        sent: SentAway<'_>,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let done = execute!(
            self.tx,
            SEND_AWAY,
            organization.as_uuid(),
            id.as_uuid(),
            &sent.state_hash[..],
            &sent.browser_hash[..],
            sent.data_key.as_uuid(),
            &sent.sealed.0[..],
            now.as_micros(),
        )?;
        Ok(done == 1)
    }

    /// Whether it was still good: a state is used once. The verifier goes with it.
    pub async fn burn(
        self,
        organization: OrganizationId,
        id: AuthorizationId,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, BURN, organization.as_uuid(), id.as_uuid(), now.as_micros())? == 1)
    }

    /// What became of it; said once.
    pub async fn finish(
        self,
        organization: OrganizationId,
        id: AuthorizationId,
        status: UpstreamAuthorizationStatus,
        why: Option<(&str, &str)>,
    ) -> Result<bool, StorageError> {
        let (org, id) = (organization.as_uuid(), id.as_uuid());
        let (reason, message) = why.unzip();
        let done = execute!(self.tx, FINISH, org, id, status.as_str(), reason, message.map(text))? == 1;
        self.tx.raise_version(organization).await?;
        Ok(done)
    }

    pub async fn forget_expired(
        self,
        organization: OrganizationId,
        before: Timestamp,
    ) -> Result<u64, StorageError> {
        execute!(self.tx, FORGET_EXPIRED, organization.as_uuid(), before.as_micros())
    }
}
