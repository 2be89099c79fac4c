//! Calls that wait for a person, and what became of them. Arguments and intent are sealed; every step from one status
//! to the next is one statement that names the status it starts from, so that of two who try only one succeeds.

use serde_json::Value;
use sqlx::types::Json;
use switchboard_domain::{
    ApprovalId, ApprovalStatus, Caller, CapabilityKind, ConnectionId, DataKeyId, Fingerprint, MemberId,
    OrganizationId, ServiceAccountId, Timestamp, TokenId,
};
use switchboard_vault::Sealed;
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    row::{digest, document, fingerprint, member, text, word},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// A held call as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    pub id: ApprovalId,
    pub organization: OrganizationId,
    pub requested_by: Caller,
    /// The token that asked, or the one that it was made with first: no token of its line may decide.
    pub token: Option<TokenId>,
    /// The registered client that asked: no token of its may decide.
    pub oauth_client: Option<String>,
    /// What the client says it is.
    pub client: String,
    /// Path of the endpoint it was asked at.
    pub resource: String,
    pub connection: ConnectionId,
    /// As agents write it: `linear.delete_issue`.
    pub capability: String,
    pub kind: CapabilityKind,
    /// Of the definition that was approved when it was asked.
    pub fingerprint: Fingerprint,
    /// SHA-256 of the canonical form of the arguments.
    pub arguments_digest: [u8; 32],
    /// The rule that held it.
    pub rule: Option<String>,
    /// Who may decide, as the policy wrote it.
    pub requirement: Value,
    /// As stored: one that is over is still `pending` or `approved` here.
    pub status: ApprovalStatus,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub decided_by: Option<MemberId>,
    pub decided_at: Option<Timestamp>,
    pub used_at: Option<Timestamp>,
    pub data_key: DataKeyId,
    /// Of one that was found by its id; lists leave it out.
    pub sealed: Sealed,
}

impl Approval {
    /// What it is now.
    pub fn status_at(&self, now: Timestamp) -> ApprovalStatus {
        match self.status {
            ApprovalStatus::Pending | ApprovalStatus::Approved if self.expires_at <= now => {
                ApprovalStatus::Expired
            }
            status => status,
        }
    }
}

macro_rules! heads {
    () => {
        "organization_id, id, member_id, service_account_id, token_id, oauth_client, client, resource, connection_id, capability, kind, fingerprint, arguments_digest, rule, requirement, status, created_at, expires_at, decided_by, decided_at, used_at, data_key_id"
    };
}

macro_rules! columns {
    () => {
        concat!(heads!(), ", sealed")
    };
}

statements! {
    INSERT = (concat!("INSERT INTO approval (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)"));
    FIND = (concat!("SELECT ", columns!(), " FROM approval WHERE organization_id = $1 AND id = $2"));
    /// Without what is sealed: that may be megabytes each.
    LIST = (concat!("SELECT ", heads!(), " FROM approval WHERE organization_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2"));
    WAITING = (concat!("SELECT ", heads!(), " FROM approval WHERE organization_id = $1 AND status = 'pending' AND expires_at > $2 ORDER BY created_at DESC, id DESC LIMIT $3"));
    /// The same call by the same caller, still open: asking twice is asking once.
    SAME = (concat!("SELECT ", heads!(), " FROM approval WHERE organization_id = $1 AND arguments_digest = $2 AND fingerprint = $3 AND connection_id = $4 AND capability = $5 AND (member_id = $6 OR service_account_id = $6) AND client = $7 AND status IN ('pending', 'approved') AND expires_at > $8 ORDER BY created_at DESC, id DESC LIMIT 20"));
    COUNT_WAITING = "SELECT count(*) FROM approval WHERE organization_id = $1 AND (member_id = $2 OR service_account_id = $2) AND status = 'pending' AND expires_at > $3";
    APPROVE = "UPDATE approval SET status = 'approved', decided_by = $3, decided_at = $4 WHERE organization_id = $1 AND id = $2 AND status = 'pending' AND expires_at > $4";
    DECLINE = "UPDATE approval SET status = 'declined', decided_by = $3, decided_at = $4 WHERE organization_id = $1 AND id = $2 AND status IN ('pending', 'approved') AND expires_at > $4";
    USE = "UPDATE approval SET status = 'used', used_at = $3 WHERE organization_id = $1 AND id = $2 AND status = 'approved' AND expires_at > $3 AND arguments_digest = $4 AND fingerprint = $5 AND (member_id = $6 OR service_account_id = $6)";
    FORGET = "DELETE FROM approval WHERE organization_id = $1 AND expires_at < $2";
}

#[derive(sqlx::FromRow)]
struct Row {
    organization_id: Uuid,
    id: Uuid,
    member_id: Option<Uuid>,
    service_account_id: Option<Uuid>,
    token_id: Option<Uuid>,
    oauth_client: Option<String>,
    client: String,
    resource: String,
    connection_id: Uuid,
    capability: String,
    kind: String,
    fingerprint: Vec<u8>,
    arguments_digest: Vec<u8>,
    rule: Option<String>,
    requirement: Json<Value>,
    status: String,
    created_at: i64,
    expires_at: i64,
    decided_by: Option<Uuid>,
    decided_at: Option<i64>,
    used_at: Option<i64>,
    data_key_id: Uuid,
    #[sqlx(default)]
    sealed: Vec<u8>,
}

impl TryFrom<Row> for Approval {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        let requested_by = match (row.member_id, row.service_account_id) {
            (Some(id), None) => Caller::Member(MemberId::from_uuid(id)),
            (None, Some(id)) => Caller::ServiceAccount(ServiceAccountId::from_uuid(id)),
            _ => return Err(StorageError::Unreadable("approval caller")),
        };
        Ok(Self {
            id: ApprovalId::from_uuid(row.id),
            organization: OrganizationId::from_uuid(row.organization_id),
            requested_by,
            token: row.token_id.map(TokenId::from_uuid),
            oauth_client: row.oauth_client,
            client: row.client,
            resource: row.resource,
            connection: ConnectionId::from_uuid(row.connection_id),
            capability: row.capability,
            kind: word(&row.kind, CapabilityKind::from_word, "capability kind")?,
            fingerprint: fingerprint(&row.fingerprint)?,
            arguments_digest: digest(&row.arguments_digest, "arguments digest")?,
            rule: row.rule,
            requirement: row.requirement.0,
            status: word(&row.status, ApprovalStatus::from_word, "approval status")?,
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: Timestamp::from_micros(row.expires_at),
            decided_by: member(row.decided_by),
            decided_at: row.decided_at.map(Timestamp::from_micros),
            used_at: row.used_at.map(Timestamp::from_micros),
            data_key: DataKeyId::from_uuid(row.data_key_id),
            sealed: Sealed(row.sealed),
        })
    }
}

fn id_of(caller: Caller) -> Uuid {
    match caller {
        Caller::Member(id) => id.as_uuid(),
        Caller::ServiceAccount(id) => id.as_uuid(),
    }
}

impl Tx {
    pub fn approvals(&mut self) -> Approvals<'_> {
        Approvals { tx: self }
    }
}

/// See [`Tx::approvals`].
#[derive(Debug)]
pub struct Approvals<'t> {
    tx: &'t mut Tx,
}

impl Approvals<'_> {
    pub async fn insert(self, approval: &Approval) -> Result<(), StorageError> {
        let (member, service_account) = match approval.requested_by {
            Caller::Member(id) => (Some(id.as_uuid()), None),
            Caller::ServiceAccount(id) => (None, Some(id.as_uuid())),
        };
        execute!(
            self.tx,
            INSERT,
            approval.organization.as_uuid(),
            approval.id.as_uuid(),
            member,
            service_account,
            approval.token.map(TokenId::as_uuid),
            approval.oauth_client.as_deref().map(text),
            text(&approval.client),
            &approval.resource,
            approval.connection.as_uuid(),
            text(&approval.capability),
            approval.kind.as_str(),
            &approval.fingerprint.0[..],
            &approval.arguments_digest[..],
            approval.rule.as_deref(),
            &document(&approval.requirement, "approval requirement")?,
            approval.status.as_str(),
            approval.created_at.as_micros(),
            approval.expires_at.as_micros(),
            approval.decided_by.map(MemberId::as_uuid),
            approval.decided_at.map(Timestamp::as_micros),
            approval.used_at.map(Timestamp::as_micros),
            approval.data_key.as_uuid(),
            &approval.sealed.0[..],
        )
        .map(drop)
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        id: ApprovalId,
    ) -> Result<Option<Approval>, StorageError> {
        fetch_optional!(self.tx, FIND => Row, organization.as_uuid(), id.as_uuid())?
            .map(Row::try_into)
            .transpose()
    }

    /// The newest `limit` of an organization, whatever became of them.
    pub async fn list(self, organization: OrganizationId, limit: u32) -> Result<Vec<Approval>, StorageError> {
        fetch_all!(self.tx, LIST => Row, organization.as_uuid(), i64::from(limit))?
            .into_iter()
            .map(Row::try_into)
            .collect()
    }

    /// Those that wait for a decision now, the newest first.
    pub async fn waiting(
        self,
        organization: OrganizationId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Approval>, StorageError> {
        fetch_all!(self.tx, WAITING => Row, organization.as_uuid(), now.as_micros(), i64::from(limit))?
            .into_iter()
            .map(Row::try_into)
            .collect()
    }

    /// Open ones for the very call that `wanted` is, by the same caller through the same client, the newest first.
    pub async fn find_same(self, wanted: &Approval) -> Result<Vec<Approval>, StorageError> {
        fetch_all!(
            self.tx,
            SAME => Row,
            wanted.organization.as_uuid(),
            &wanted.arguments_digest[..],
            &wanted.fingerprint.0[..],
            wanted.connection.as_uuid(),
            text(&wanted.capability),
            id_of(wanted.requested_by),
            text(&wanted.client),
            wanted.created_at.as_micros(),
        )?
        .into_iter()
        .map(Row::try_into)
        .collect()
    }

    /// How many calls of this caller wait.
    pub async fn count_waiting(
        self,
        organization: OrganizationId,
        caller: Caller,
        now: Timestamp,
    ) -> Result<i64, StorageError> {
        let (org, caller) = (organization.as_uuid(), id_of(caller));
        let count = fetch_optional!(self.tx, COUNT_WAITING => (i64,), org, caller, now.as_micros())?;
        Ok(count.map_or(0, |(count,)| count))
    }

    /// Whether it still waited.
    pub async fn approve(
        self,
        organization: OrganizationId,
        id: ApprovalId,
        by: MemberId,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let (org, id, by) = (organization.as_uuid(), id.as_uuid(), by.as_uuid());
        Ok(execute!(self.tx, APPROVE, org, id, by, now.as_micros())? == 1)
    }

    /// Whether it was still open: one that was approved can be declined until it is used.
    pub async fn decline(
        self,
        organization: OrganizationId,
        id: ApprovalId,
        by: MemberId,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let (org, id, by) = (organization.as_uuid(), id.as_uuid(), by.as_uuid());
        Ok(execute!(self.tx, DECLINE, org, id, by, now.as_micros())? == 1)
    }

    /// Uses it up, if it is approved, not over, and for exactly this call of this caller: of many who try at once, one
    /// is told yes.
    pub async fn use_up(self, approval: &Approval, now: Timestamp) -> Result<bool, StorageError> {
        let used = execute!(
            self.tx,
            USE,
            approval.organization.as_uuid(),
            approval.id.as_uuid(),
            now.as_micros(),
            &approval.arguments_digest[..],
            &approval.fingerprint.0[..],
            id_of(approval.requested_by),
        )?;
        Ok(used == 1)
    }

    /// Removes those that ended before this.
    pub async fn forget(
        self,
        organization: OrganizationId,
        ended_before: Timestamp,
    ) -> Result<u64, StorageError> {
        execute!(self.tx, FORGET, organization.as_uuid(), ended_before.as_micros())
    }
}
