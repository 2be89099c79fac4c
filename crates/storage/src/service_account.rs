//! Programs that act for themselves: service accounts.

use switchboard_domain::{OrganizationId, Role, ServiceAccountId, Timestamp};
use uuid::Uuid;

use crate::{
    MemberStatus, StorageError, Tx,
    row::{role, text, word},
    statement::{execute, fetch_all, fetch_optional, statements},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    pub id: ServiceAccountId,
    pub organization: OrganizationId,
    pub name: String,
    pub role: Role,
    pub status: MemberStatus,
    pub created_at: Timestamp,
}

/// How changing one went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateServiceAccount {
    Updated,
    NameTaken,
    Unknown,
}

statements! {
    INSERT = "INSERT INTO service_account (organization_id, id, name, role, status, created_at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    FIND = "SELECT organization_id, id, name, role, status, created_at FROM service_account WHERE organization_id = $1 AND id = $2";
    LIST = "SELECT organization_id, id, name, role, status, created_at FROM service_account WHERE organization_id = $1 ORDER BY name";
    HAS_NAME = "SELECT organization_id, id, name, role, status, created_at FROM service_account WHERE organization_id = $1 AND name = $2";
    UPDATE = "UPDATE service_account SET name = $3, role = $4, status = $5 WHERE organization_id = $1 AND id = $2";
    /// Its tokens and grants go with it.
    DELETE = "DELETE FROM service_account WHERE organization_id = $1 AND id = $2";
}

#[derive(sqlx::FromRow)]
struct Row {
    organization_id: Uuid,
    id: Uuid,
    name: String,
    role: String,
    status: String,
    created_at: i64,
}

impl TryFrom<Row> for ServiceAccount {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        Ok(Self {
            id: ServiceAccountId::from_uuid(row.id),
            organization: OrganizationId::from_uuid(row.organization_id),
            name: row.name,
            role: role(&row.role)?,
            status: word(&row.status, MemberStatus::from_word, "service account status")?,
            created_at: Timestamp::from_micros(row.created_at),
        })
    }
}

impl Tx {
    pub fn service_accounts(&mut self) -> ServiceAccounts<'_> {
        ServiceAccounts { tx: self }
    }
}

/// See [`Tx::service_accounts`].
#[derive(Debug)]
pub struct ServiceAccounts<'t> {
    tx: &'t mut Tx,
}

impl ServiceAccounts<'_> {
    /// `false` when the name is taken.
    pub async fn insert(self, account: &ServiceAccount) -> Result<bool, StorageError> {
        let inserted = execute!(
            self.tx,
            INSERT,
            account.organization.as_uuid(),
            account.id.as_uuid(),
            text(&account.name),
            account.role.as_str(),
            account.status.as_str(),
            account.created_at.as_micros(),
        )?;
        Ok(inserted == 1)
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        id: ServiceAccountId,
    ) -> Result<Option<ServiceAccount>, StorageError> {
        let found = fetch_optional!(self.tx, FIND => Row, organization.as_uuid(), id.as_uuid())?;
        found.map(Row::try_into).transpose()
    }

    pub async fn list(self, organization: OrganizationId) -> Result<Vec<ServiceAccount>, StorageError> {
        let rows = fetch_all!(self.tx, LIST => Row, organization.as_uuid())?;
        rows.into_iter().map(Row::try_into).collect()
    }

    /// Name, role and status as in `account`; its tokens follow at once.
    pub async fn update(self, account: &ServiceAccount) -> Result<UpdateServiceAccount, StorageError> {
        let org = account.organization.as_uuid();
        let named = fetch_optional!(self.tx, HAS_NAME => Row, org, text(&account.name))?;
        if named.is_some_and(|named| named.id != account.id.as_uuid()) {
            return Ok(UpdateServiceAccount::NameTaken);
        }
        let updated = execute!(
            self.tx,
            UPDATE,
            org,
            account.id.as_uuid(),
            text(&account.name),
            account.role.as_str(),
            account.status.as_str(),
        )?;
        self.tx.raise_version(account.organization).await?;
        Ok(if updated == 1 { UpdateServiceAccount::Updated } else { UpdateServiceAccount::Unknown })
    }

    /// With its tokens and whatever it was given under its secret.
    pub async fn delete(
        self,
        organization: OrganizationId,
        id: ServiceAccountId,
    ) -> Result<bool, StorageError> {
        let deleted = execute!(self.tx, DELETE, organization.as_uuid(), id.as_uuid())? == 1;
        self.tx.raise_version(organization).await?;
        Ok(deleted)
    }
}
