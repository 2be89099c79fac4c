//! Members: the people of an organization. An email address is unique in one, whatever its capitals.

use switchboard_domain::{MemberId, OrganizationId, Role, Timestamp};
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    row::{role, text, word},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// Whether a person may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberStatus {
    Active,
    /// Kept out for now; everything of theirs stays.
    Suspended,
    /// Gone; the row stays for the audit log's sake.
    Removed,
}

impl MemberStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Removed => "removed",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Active, Self::Suspended, Self::Removed].into_iter().find(|status| status.as_str() == word)
    }
}

/// A person in an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: MemberId,
    pub organization: OrganizationId,
    /// As written; compared without regard to case.
    pub email: String,
    pub display_name: String,
    pub role: Role,
    pub status: MemberStatus,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertMember {
    Inserted,
    EmailTaken,
}

statements! {
    INSERT = "INSERT INTO member (organization_id, id, email, email_key, display_name, role, status, password_hash, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
    FIND = "SELECT organization_id, id, email, display_name, role, status, created_at, updated_at FROM member WHERE organization_id = $1 AND id = $2";
    FIND_BY_EMAIL = "SELECT organization_id, id, email, display_name, role, status, created_at, updated_at FROM member WHERE organization_id = $1 AND email_key = $2";
    /// Sign-in starts with an address alone: a person picks one of their organizations afterwards.
    FIND_EVERYWHERE = "SELECT organization_id, id, email, display_name, role, status, created_at, updated_at FROM member WHERE email_key = $1 ORDER BY created_at, id";
    /// Of many in one turn.
    FIND_ALL = {
        sqlite: "SELECT organization_id, id, email, display_name, role, status, created_at, updated_at FROM member WHERE organization_id = $1 AND id IN (SELECT unhex(value) FROM json_each($2)) ORDER BY email_key",
        postgres: "SELECT organization_id, id, email, display_name, role, status, created_at, updated_at FROM member WHERE organization_id = $1 AND id IN (SELECT value::uuid FROM json_array_elements_text($2::json)) ORDER BY email_key"
    };
    LIST = "SELECT organization_id, id, email, display_name, role, status, created_at, updated_at FROM member WHERE organization_id = $1 AND email_key > $2 AND status <> 'removed' ORDER BY email_key LIMIT $3";
    COUNT_OWNERS = "SELECT count(*) FROM member WHERE organization_id = $1 AND role = 'owner' AND status = 'active'";
    /// Whether the first start's setup link is still needed, before any organization is named.
    ANY_OWNER = "SELECT count(*) FROM member WHERE role = 'owner' AND status = 'active'";
    PASSWORD_HASH = "SELECT password_hash FROM member WHERE organization_id = $1 AND id = $2";
    SET_PASSWORD = "UPDATE member SET password_hash = $3, updated_at = $4 WHERE organization_id = $1 AND id = $2";
    SET_ROLE = "UPDATE member SET role = $3, updated_at = $4 WHERE organization_id = $1 AND id = $2";
    SET_STATUS = "UPDATE member SET status = $3, updated_at = $4 WHERE organization_id = $1 AND id = $2";
}

#[derive(sqlx::FromRow)]
pub(crate) struct MemberRow {
    organization_id: Uuid,
    id: Uuid,
    email: String,
    display_name: String,
    role: String,
    status: String,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<MemberRow> for Member {
    type Error = StorageError;

    fn try_from(row: MemberRow) -> Result<Self, StorageError> {
        Ok(Self {
            id: MemberId::from_uuid(row.id),
            organization: OrganizationId::from_uuid(row.organization_id),
            email: row.email,
            display_name: row.display_name,
            role: role(&row.role)?,
            status: word(&row.status, MemberStatus::from_word, "member status")?,
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
        })
    }
}

/// What an address is compared by: in Rust, because the two databases fold case differently.
pub(crate) fn email_key(email: &str) -> String {
    text(email.trim()).to_lowercase()
}

impl Tx {
    pub fn members(&mut self) -> Members<'_> {
        Members { tx: self }
    }
}

/// See [`Tx::members`].
#[derive(Debug)]
pub struct Members<'t> {
    tx: &'t mut Tx,
}

impl Members<'_> {
    /// `password_hash` is Argon2id's text form, or none for who signs in elsewhere.
    pub async fn insert(
        self,
        member: &Member,
        password_hash: Option<&str>,
    ) -> Result<InsertMember, StorageError> {
        let inserted = execute!(
            self.tx,
            INSERT,
            member.organization.as_uuid(),
            member.id.as_uuid(),
            text(member.email.trim()),
            email_key(&member.email),
            text(&member.display_name),
            member.role.as_str(),
            member.status.as_str(),
            password_hash,
            member.created_at.as_micros(),
            member.updated_at.as_micros(),
        )?;
        Ok(if inserted == 1 { InsertMember::Inserted } else { InsertMember::EmailTaken })
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        id: MemberId,
    ) -> Result<Option<Member>, StorageError> {
        fetch_optional!(self.tx, FIND => MemberRow, organization.as_uuid(), id.as_uuid())?
            .map(MemberRow::try_into)
            .transpose()
    }

    /// Those of them that are known, by address; removed ones too.
    pub async fn find_all(
        self,
        organization: OrganizationId,
        ids: &[MemberId],
    ) -> Result<Vec<Member>, StorageError> {
        let ids: Vec<String> = ids.iter().map(|id| id.as_uuid().simple().to_string()).collect();
        let ids = serde_json::to_string(&ids).map_err(|_| StorageError::Unreadable("member id"))?;
        fetch_all!(self.tx, FIND_ALL => MemberRow, organization.as_uuid(), &ids)?
            .into_iter()
            .map(MemberRow::try_into)
            .collect()
    }

    pub async fn find_by_email(
        self,
        organization: OrganizationId,
        email: &str,
    ) -> Result<Option<Member>, StorageError> {
        fetch_optional!(self.tx, FIND_BY_EMAIL => MemberRow, organization.as_uuid(), email_key(email))?
            .map(MemberRow::try_into)
            .transpose()
    }

    /// Everybody with this address, one per organization: for sign-in alone.
    pub async fn find_everywhere(self, email: &str) -> Result<Vec<Member>, StorageError> {
        fetch_all!(self.tx, FIND_EVERYWHERE => MemberRow, email_key(email))?
            .into_iter()
            .map(MemberRow::try_into)
            .collect()
    }

    /// Up to `limit` members after the one whose address is `after`, by address; removed ones are left out.
    pub async fn list(
        self,
        organization: OrganizationId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Member>, StorageError> {
        let after = after.map(email_key).unwrap_or_default();
        fetch_all!(self.tx, LIST => MemberRow, organization.as_uuid(), after, i64::from(limit))?
            .into_iter()
            .map(MemberRow::try_into)
            .collect()
    }

    /// Active owners of one organization: the last one can't be demoted.
    pub async fn count_owners(self, organization: OrganizationId) -> Result<i64, StorageError> {
        let count = fetch_optional!(self.tx, COUNT_OWNERS => (i64,), organization.as_uuid())?;
        Ok(count.map_or(0, |(count,)| count))
    }

    /// Whether anybody owns anything here yet.
    pub async fn owners_exist(self) -> Result<bool, StorageError> {
        Ok(fetch_optional!(self.tx, ANY_OWNER => (i64,))?.is_some_and(|(count,)| count > 0))
    }

    pub async fn password_hash(
        self,
        organization: OrganizationId,
        id: MemberId,
    ) -> Result<Option<String>, StorageError> {
        let row = fetch_optional!(self.tx, PASSWORD_HASH => (Option<String>,), organization.as_uuid(), id.as_uuid())?;
        Ok(row.and_then(|(hash,)| hash))
    }

    pub async fn set_password(
        self,
        organization: OrganizationId,
        id: MemberId,
        password_hash: &str,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let (org, id) = (organization.as_uuid(), id.as_uuid());
        Ok(execute!(self.tx, SET_PASSWORD, org, id, password_hash, now.as_micros())? == 1)
    }

    pub async fn set_role(
        self,
        organization: OrganizationId,
        id: MemberId,
        role: Role,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let (org, id) = (organization.as_uuid(), id.as_uuid());
        let updated = execute!(self.tx, SET_ROLE, org, id, role.as_str(), now.as_micros())? == 1;
        self.tx.raise_version(organization).await?;
        Ok(updated)
    }

    pub async fn set_status(
        self,
        organization: OrganizationId,
        id: MemberId,
        status: MemberStatus,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let (org, id) = (organization.as_uuid(), id.as_uuid());
        let updated = execute!(self.tx, SET_STATUS, org, id, status.as_str(), now.as_micros())? == 1;
        self.tx.raise_version(organization).await?;
        Ok(updated)
    }
}
