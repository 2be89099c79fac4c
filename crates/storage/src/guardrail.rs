//! The guardrail of an organization: who is asked about its calls.

use switchboard_domain::{DataKeyId, GuardrailFailure, GuardrailId, OrganizationId, Timestamp};
use switchboard_vault::Sealed;
use uuid::Uuid;

use crate::{
    SealedWith, StorageError, Tx,
    row::{text, word},
    statement::{execute, fetch_optional, statements},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guardrail {
    pub id: GuardrailId,
    pub organization: OrganizationId,
    pub url: String,
    /// Asked before a call goes out.
    pub before_call: bool,
    /// Asked about a result before the caller has it.
    pub after_result: bool,
    pub on_failure: GuardrailFailure,
    /// What questions are signed with.
    pub secret: SealedWith,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub revision: i64,
}

statements! {
    INSERT = "INSERT INTO guardrail (organization_id, id, url, before_call, after_result, on_failure, data_key_id, created_at, updated_at, revision, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, 1, $9) ON CONFLICT DO NOTHING";
    UPDATE = "UPDATE guardrail SET url = $2, before_call = $3, after_result = $4, on_failure = $5, data_key_id = $6, updated_at = $7, sealed = $8, revision = revision + 1 WHERE organization_id = $1 AND revision = $9";
    FIND = "SELECT organization_id, id, url, before_call, after_result, on_failure, data_key_id, created_at, updated_at, revision, sealed FROM guardrail WHERE organization_id = $1";
    DELETE = "DELETE FROM guardrail WHERE organization_id = $1";
}

#[derive(sqlx::FromRow)]
struct Row {
    organization_id: Uuid,
    id: Uuid,
    url: String,
    before_call: bool,
    after_result: bool,
    on_failure: String,
    data_key_id: Uuid,
    created_at: i64,
    updated_at: i64,
    revision: i64,
    sealed: Vec<u8>,
}

impl TryFrom<Row> for Guardrail {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        Ok(Self {
            id: GuardrailId::from_uuid(row.id),
            organization: OrganizationId::from_uuid(row.organization_id),
            url: row.url,
            before_call: row.before_call,
            after_result: row.after_result,
            on_failure: word(&row.on_failure, GuardrailFailure::from_word, "guardrail failure mode")?,
            secret: SealedWith {
                data_key: DataKeyId::from_uuid(row.data_key_id),
                sealed: Sealed(row.sealed),
            },
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
            revision: row.revision,
        })
    }
}

impl Tx {
    pub fn guardrails(&mut self) -> Guardrails<'_> {
        Guardrails { tx: self }
    }
}

/// See [`Tx::guardrails`].
#[derive(Debug)]
pub struct Guardrails<'t> {
    tx: &'t mut Tx,
}

impl Guardrails<'_> {
    /// `false` when there is one already.
    pub async fn insert(self, guardrail: &Guardrail) -> Result<bool, StorageError> {
        let inserted = execute!(
            self.tx,
            INSERT,
            guardrail.organization.as_uuid(),
            guardrail.id.as_uuid(),
            text(&guardrail.url),
            guardrail.before_call,
            guardrail.after_result,
            guardrail.on_failure.as_str(),
            guardrail.secret.data_key.as_uuid(),
            guardrail.created_at.as_micros(),
            &guardrail.secret.sealed.0[..],
        )?;
        self.tx.raise_version(guardrail.organization).await?;
        Ok(inserted == 1)
    }

    /// `false` when it was changed since it was read.
    pub async fn update(self, guardrail: &Guardrail) -> Result<bool, StorageError> {
        let updated = execute!(
            self.tx,
            UPDATE,
            guardrail.organization.as_uuid(),
            text(&guardrail.url),
            guardrail.before_call,
            guardrail.after_result,
            guardrail.on_failure.as_str(),
            guardrail.secret.data_key.as_uuid(),
            guardrail.updated_at.as_micros(),
            &guardrail.secret.sealed.0[..],
            guardrail.revision,
        )?;
        self.tx.raise_version(guardrail.organization).await?;
        Ok(updated == 1)
    }

    pub async fn find(self, organization: OrganizationId) -> Result<Option<Guardrail>, StorageError> {
        fetch_optional!(self.tx, FIND => Row, organization.as_uuid())?.map(Guardrail::try_from).transpose()
    }

    pub async fn delete(self, organization: OrganizationId) -> Result<bool, StorageError> {
        let deleted = execute!(self.tx, DELETE, organization.as_uuid())? == 1;
        self.tx.raise_version(organization).await?;
        Ok(deleted)
    }
}
