//! Identity providers: a company's OpenID Connect provider, as one organization configured it. The client's secret is
//! sealed; its version counts the secrets that were stored, so that an older one put back does not open.

use serde_json::Value;
use sqlx::types::Json;
use switchboard_domain::{DataKeyId, IdentityProviderId, OrganizationId, Slug, Timestamp};
use switchboard_vault::Sealed;
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    row::{document, slug, text},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// A sealed value with the key it is sealed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedWith {
    pub data_key: DataKeyId,
    pub sealed: Sealed,
}

impl SealedWith {
    pub(crate) fn read(data_key: Option<Uuid>, sealed: Option<Vec<u8>>) -> Option<Self> {
        Some(Self { data_key: DataKeyId::from_uuid(data_key?), sealed: Sealed(sealed?) })
    }
}

/// An identity provider as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityProvider {
    pub id: IdentityProviderId,
    pub organization: OrganizationId,
    pub slug: Slug,
    pub name: String,
    /// Compared byte for byte, never normalised.
    pub issuer: String,
    pub client_id: String,
    pub enabled: bool,
    /// Scopes, domains, groups: as the use case wrote them.
    pub settings: Value,
    /// None: a public client.
    pub secret: Option<SealedWith>,
    pub secret_version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub revision: i64,
}

statements! {
    INSERT = "INSERT INTO identity_provider (organization_id, id, slug, name, issuer, client_id, enabled, created_at, updated_at, revision, settings, data_key_id, sealed, secret_version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $11, $12, $13) ON CONFLICT DO NOTHING";
    UPDATE = "UPDATE identity_provider SET name = $3, issuer = $4, client_id = $5, enabled = $6, updated_at = $7, revision = revision + 1, settings = $8, data_key_id = $9, sealed = $10, secret_version = $11 WHERE organization_id = $1 AND id = $2 AND revision = $12";
    FIND = "SELECT organization_id, id, slug, name, issuer, client_id, enabled, created_at, updated_at, revision, settings, data_key_id, sealed, secret_version FROM identity_provider WHERE organization_id = $1 AND id = $2";
    FIND_BY_SLUG = "SELECT organization_id, id, slug, name, issuer, client_id, enabled, created_at, updated_at, revision, settings, data_key_id, sealed, secret_version FROM identity_provider WHERE organization_id = $1 AND slug = $2";
    LIST = "SELECT organization_id, id, slug, name, issuer, client_id, enabled, created_at, updated_at, revision, settings, data_key_id, sealed, secret_version FROM identity_provider WHERE organization_id = $1 ORDER BY slug";
    DELETE = "DELETE FROM identity_provider WHERE organization_id = $1 AND id = $2";
}

#[derive(sqlx::FromRow)]
struct Row {
    organization_id: Uuid,
    id: Uuid,
    slug: String,
    name: String,
    issuer: String,
    client_id: String,
    enabled: bool,
    created_at: i64,
    updated_at: i64,
    revision: i64,
    settings: Json<Value>,
    data_key_id: Option<Uuid>,
    sealed: Option<Vec<u8>>,
    secret_version: i64,
}

impl TryFrom<Row> for IdentityProvider {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        Ok(Self {
            id: IdentityProviderId::from_uuid(row.id),
            organization: OrganizationId::from_uuid(row.organization_id),
            slug: slug(&row.slug, "identity provider slug")?,
            name: row.name,
            issuer: row.issuer,
            client_id: row.client_id,
            enabled: row.enabled,
            settings: row.settings.0,
            secret: SealedWith::read(row.data_key_id, row.sealed),
            secret_version: row.secret_version,
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
            revision: row.revision,
        })
    }
}

impl Tx {
    pub fn identity_providers(&mut self) -> IdentityProviders<'_> {
        IdentityProviders { tx: self }
    }
}

/// See [`Tx::identity_providers`].
#[derive(Debug)]
pub struct IdentityProviders<'t> {
    tx: &'t mut Tx,
}

impl IdentityProviders<'_> {
    /// Whether its slug was free.
    pub async fn insert(self, provider: &IdentityProvider) -> Result<bool, StorageError> {
        let settings = document(&provider.settings, "identity provider settings")?;
        let secret = provider.secret.as_ref();
        let inserted = execute!(
            self.tx,
            INSERT,
            provider.organization.as_uuid(),
            provider.id.as_uuid(),
            provider.slug.as_str(),
            text(&provider.name),
            text(&provider.issuer),
            text(&provider.client_id),
            provider.enabled,
            provider.created_at.as_micros(),
            provider.updated_at.as_micros(),
            &settings,
            secret.map(|secret| secret.data_key.as_uuid()),
            secret.map(|secret| secret.sealed.0.clone()),
            provider.secret_version,
        )?;
        Ok(inserted == 1)
    }

    /// Replaces the revision that was read; `false` when another is there.
    pub async fn update(self, provider: &IdentityProvider) -> Result<bool, StorageError> {
        let settings = document(&provider.settings, "identity provider settings")?;
        let secret = provider.secret.as_ref();
        let updated = execute!(
            self.tx,
            UPDATE,
            provider.organization.as_uuid(),
            provider.id.as_uuid(),
            text(&provider.name),
            text(&provider.issuer),
            text(&provider.client_id),
            provider.enabled,
            provider.updated_at.as_micros(),
            &settings,
            secret.map(|secret| secret.data_key.as_uuid()),
            secret.map(|secret| secret.sealed.0.clone()),
            provider.secret_version,
            provider.revision,
        )?;
        Ok(updated == 1)
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        id: IdentityProviderId,
    ) -> Result<Option<IdentityProvider>, StorageError> {
        fetch_optional!(self.tx, FIND => Row, organization.as_uuid(), id.as_uuid())?
            .map(Row::try_into)
            .transpose()
    }

    pub async fn find_by_slug(
        self,
        organization: OrganizationId,
        slug: &Slug,
    ) -> Result<Option<IdentityProvider>, StorageError> {
        fetch_optional!(self.tx, FIND_BY_SLUG => Row, organization.as_uuid(), slug.as_str())?
            .map(Row::try_into)
            .transpose()
    }

    /// By slug, those that are switched off too.
    pub async fn list(self, organization: OrganizationId) -> Result<Vec<IdentityProvider>, StorageError> {
        fetch_all!(self.tx, LIST => Row, organization.as_uuid())?.into_iter().map(Row::try_into).collect()
    }

    /// Its identities and the sign-ins under way go with it.
    pub async fn delete(
        self,
        organization: OrganizationId,
        id: IdentityProviderId,
    ) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, DELETE, organization.as_uuid(), id.as_uuid())? == 1)
    }
}
