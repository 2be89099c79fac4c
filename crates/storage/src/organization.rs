//! Organizations and their version: the number that says "what callers may see or use has changed".

use serde_json::Value;
use sqlx::types::Json;
use switchboard_domain::{OrganizationId, Slug, Timestamp};
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    row::{document, slug},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// The tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    pub id: OrganizationId,
    pub slug: Slug,
    pub name: String,
    /// Settings as the broker understands them.
    pub settings: Value,
    /// Raised by every change of what callers may see or use.
    pub version: i64,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertOrganization {
    Inserted,
    SlugTaken,
}

statements! {
    INSERT = "INSERT INTO organization (id, slug, name, settings, version, created_at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    FIND = "SELECT id, slug, name, settings, version, created_at FROM organization WHERE id = $1";
    FIND_BY_SLUG = "SELECT id, slug, name, settings, version, created_at FROM organization WHERE slug = $1";
    LIST = "SELECT id, slug, name, settings, version, created_at FROM organization ORDER BY slug";
    VERSIONS = "SELECT id, version FROM organization";
    BUMP = "UPDATE organization SET version = version + 1 WHERE id = $1";
    SET_SETTINGS = "UPDATE organization SET name = $2, settings = $3, version = version + 1 WHERE id = $1 AND version = $4";
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    slug: String,
    name: String,
    settings: Json<Value>,
    version: i64,
    created_at: i64,
}

impl TryFrom<Row> for Organization {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        Ok(Self {
            id: OrganizationId::from_uuid(row.id),
            slug: slug(&row.slug, "organization slug")?,
            name: row.name,
            settings: row.settings.0,
            version: row.version,
            created_at: Timestamp::from_micros(row.created_at),
        })
    }
}

impl Tx {
    pub fn organizations(&mut self) -> Organizations<'_> {
        Organizations { tx: self }
    }

    /// Raises the version, in the transaction of the change itself.
    pub(crate) async fn raise_version(&mut self, organization: OrganizationId) -> Result<(), StorageError> {
        execute!(self, BUMP, organization.as_uuid())?;
        self.note_change(organization);
        Ok(())
    }
}

/// See [`Tx::organizations`].
#[derive(Debug)]
pub struct Organizations<'t> {
    tx: &'t mut Tx,
}

impl Organizations<'_> {
    pub async fn insert(self, organization: &Organization) -> Result<InsertOrganization, StorageError> {
        let settings = document(&organization.settings, "organization settings")?;
        let inserted = execute!(
            self.tx,
            INSERT,
            organization.id.as_uuid(),
            organization.slug.as_str(),
            &organization.name,
            &settings,
            organization.version,
            organization.created_at.as_micros(),
        )?;
        self.tx.note_change(organization.id);
        Ok(if inserted == 1 { InsertOrganization::Inserted } else { InsertOrganization::SlugTaken })
    }

    pub async fn find(self, id: OrganizationId) -> Result<Option<Organization>, StorageError> {
        fetch_optional!(self.tx, FIND => Row, id.as_uuid())?.map(Row::try_into).transpose()
    }

    pub async fn find_by_slug(self, slug: &Slug) -> Result<Option<Organization>, StorageError> {
        fetch_optional!(self.tx, FIND_BY_SLUG => Row, slug.as_str())?.map(Row::try_into).transpose()
    }

    pub async fn list(self) -> Result<Vec<Organization>, StorageError> {
        fetch_all!(self.tx, LIST => Row)?.into_iter().map(Row::try_into).collect()
    }

    /// The poll: every organization's version, in one cheap statement.
    pub async fn versions(self) -> Result<Vec<(OrganizationId, i64)>, StorageError> {
        let rows = fetch_all!(self.tx, VERSIONS => (Uuid, i64))?;
        Ok(rows.into_iter().map(|(id, version)| (OrganizationId::from_uuid(id), version)).collect())
    }

    /// Replaces name and settings if nothing changed since `seen_version`; whether it did.
    pub async fn update(
        self,
        id: OrganizationId,
        name: &str,
        settings: &Value,
        seen_version: i64,
    ) -> Result<bool, StorageError> {
        let settings = document(settings, "organization settings")?;
        let updated = execute!(self.tx, SET_SETTINGS, id.as_uuid(), name, &settings, seen_version)? == 1;
        self.tx.note_change(id);
        Ok(updated)
    }

    /// Raises the version for a change that storage does not see by itself.
    pub async fn touch(self, id: OrganizationId) -> Result<(), StorageError> {
        self.tx.raise_version(id).await
    }
}
