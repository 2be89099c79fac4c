//! Identities: a member's accounts at identity providers. Issuer and subject are what an identity is known by, never
//! the address; the provider's tokens are sealed, and every write of them compares and swaps on the generation.

use switchboard_domain::{DataKeyId, IdentityId, IdentityProviderId, MemberId, OrganizationId, Timestamp};
use uuid::Uuid;

use crate::{
    CredentialHealth, SealedWith, StorageError, Tx,
    row::{text, word},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// An identity as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub id: IdentityId,
    pub organization: OrganizationId,
    pub member: MemberId,
    pub provider: IdentityProviderId,
    pub issuer: String,
    pub subject: String,
    /// As the provider said it last; shown, never looked up by.
    pub email: Option<String>,
    pub created_at: Timestamp,
    pub last_sign_in_at: Timestamp,
    /// Counts the tokens that were stored; their envelope names it.
    pub generation: i64,
    pub health: CredentialHealth,
    /// Of the access token.
    pub expires_at: Option<Timestamp>,
    pub tokens: Option<SealedWith>,
}

/// Whose account at which provider, and how its tokens are; never the tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityAccount {
    pub id: IdentityId,
    pub member: MemberId,
    pub provider: IdentityProviderId,
    pub issuer: String,
    pub generation: i64,
    pub health: CredentialHealth,
    pub expires_at: Option<Timestamp>,
    /// `None` when there are no tokens.
    pub data_key: Option<DataKeyId>,
    pub last_sign_in_at: Timestamp,
}

statements! {
    LIST_ACCOUNTS = "SELECT id, member_id, identity_provider_id, issuer, generation, health, expires_at, data_key_id, last_sign_in_at FROM identity WHERE organization_id = $1 ORDER BY last_sign_in_at DESC, id DESC";
    INSERT = "INSERT INTO identity (organization_id, id, member_id, identity_provider_id, issuer, subject, email, created_at, last_sign_in_at, generation, health, expires_at, data_key_id, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING";
    FIND = "SELECT organization_id, id, member_id, identity_provider_id, issuer, subject, email, created_at, last_sign_in_at, generation, health, expires_at, data_key_id, sealed FROM identity WHERE organization_id = $1 AND issuer = $2 AND subject = $3";
    LIST_OF_MEMBER = "SELECT organization_id, id, member_id, identity_provider_id, issuer, subject, email, created_at, last_sign_in_at, generation, health, expires_at, data_key_id, sealed FROM identity WHERE organization_id = $1 AND member_id = $2 ORDER BY last_sign_in_at DESC, id DESC";
    SIGNED_IN = "UPDATE identity SET member_id = $3, identity_provider_id = $4, email = $5, last_sign_in_at = $6, generation = $7, health = $8, expires_at = $9, data_key_id = $10, sealed = $11 WHERE organization_id = $1 AND id = $2 AND generation = $12";
    REFRESHED = "UPDATE identity SET generation = $3, health = $4, expires_at = $5, data_key_id = $6, sealed = $7 WHERE organization_id = $1 AND id = $2 AND generation = $8";
    SET_HEALTH = "UPDATE identity SET health = $3 WHERE organization_id = $1 AND id = $2 AND generation = $4 AND health <> $3";
    DELETE = "DELETE FROM identity WHERE organization_id = $1 AND member_id = $2 AND id = $3";
}

#[derive(sqlx::FromRow)]
struct Row {
    organization_id: Uuid,
    id: Uuid,
    member_id: Uuid,
    identity_provider_id: Uuid,
    issuer: String,
    subject: String,
    email: Option<String>,
    created_at: i64,
    last_sign_in_at: i64,
    generation: i64,
    health: String,
    expires_at: Option<i64>,
    data_key_id: Option<Uuid>,
    sealed: Option<Vec<u8>>,
}

#[derive(sqlx::FromRow)]
struct AccountRow {
    id: Uuid,
    member_id: Uuid,
    identity_provider_id: Uuid,
    issuer: String,
    generation: i64,
    health: String,
    expires_at: Option<i64>,
    data_key_id: Option<Uuid>,
    last_sign_in_at: i64,
}

impl TryFrom<AccountRow> for IdentityAccount {
    type Error = StorageError;

    fn try_from(row: AccountRow) -> Result<Self, StorageError> {
        Ok(Self {
            id: IdentityId::from_uuid(row.id),
            member: MemberId::from_uuid(row.member_id),
            provider: IdentityProviderId::from_uuid(row.identity_provider_id),
            issuer: row.issuer,
            generation: row.generation,
            health: word(&row.health, CredentialHealth::from_word, "identity health")?,
            expires_at: row.expires_at.map(Timestamp::from_micros),
            data_key: row.data_key_id.map(DataKeyId::from_uuid),
            last_sign_in_at: Timestamp::from_micros(row.last_sign_in_at),
        })
    }
}

impl TryFrom<Row> for Identity {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        Ok(Self {
            id: IdentityId::from_uuid(row.id),
            organization: OrganizationId::from_uuid(row.organization_id),
            member: MemberId::from_uuid(row.member_id),
            provider: IdentityProviderId::from_uuid(row.identity_provider_id),
            issuer: row.issuer,
            subject: row.subject,
            email: row.email,
            created_at: Timestamp::from_micros(row.created_at),
            last_sign_in_at: Timestamp::from_micros(row.last_sign_in_at),
            generation: row.generation,
            health: word(&row.health, CredentialHealth::from_word, "identity health")?,
            expires_at: row.expires_at.map(Timestamp::from_micros),
            tokens: SealedWith::read(row.data_key_id, row.sealed),
        })
    }
}

impl Tx {
    pub fn identities(&mut self) -> Identities<'_> {
        Identities { tx: self }
    }
}

/// See [`Tx::identities`].
#[derive(Debug)]
pub struct Identities<'t> {
    tx: &'t mut Tx,
}

impl Identities<'_> {
    /// Whether issuer and subject were nobody's yet.
    pub async fn insert(self, identity: &Identity) -> Result<bool, StorageError> {
        let tokens = identity.tokens.as_ref();
        let inserted = execute!(
            self.tx,
            INSERT,
            identity.organization.as_uuid(),
            identity.id.as_uuid(),
            identity.member.as_uuid(),
            identity.provider.as_uuid(),
            &identity.issuer,
            &identity.subject,
            identity.email.as_deref().map(text),
            identity.created_at.as_micros(),
            identity.last_sign_in_at.as_micros(),
            identity.generation,
            identity.health.as_str(),
            identity.expires_at.map(Timestamp::as_micros),
            tokens.map(|tokens| tokens.data_key.as_uuid()),
            tokens.map(|tokens| tokens.sealed.0.clone()),
        )?;
        self.tx.raise_version(identity.organization).await?;
        Ok(inserted == 1)
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<Identity>, StorageError> {
        fetch_optional!(self.tx, FIND => Row, organization.as_uuid(), issuer, subject)?
            .map(Row::try_into)
            .transpose()
    }

    /// The one that was used last first.
    pub async fn of_member(
        self,
        organization: OrganizationId,
        member: MemberId,
    ) -> Result<Vec<Identity>, StorageError> {
        fetch_all!(self.tx, LIST_OF_MEMBER => Row, organization.as_uuid(), member.as_uuid())?
            .into_iter()
            .map(Row::try_into)
            .collect()
    }

    /// Everybody's, the one that was used last first, without tokens.
    pub async fn accounts(self, organization: OrganizationId) -> Result<Vec<IdentityAccount>, StorageError> {
        let rows = fetch_all!(self.tx, LIST_ACCOUNTS => AccountRow, organization.as_uuid())?;
        rows.into_iter().map(AccountRow::try_into).collect()
    }

    /// Its person came in again, with new tokens: `identity.generation` is one more than what is stored. `false` when
    /// something else was stored meanwhile.
    pub async fn signed_in(self, identity: &Identity) -> Result<bool, StorageError> {
        let tokens = identity.tokens.as_ref();
        let updated = execute!(
            self.tx,
            SIGNED_IN,
            identity.organization.as_uuid(),
            identity.id.as_uuid(),
            identity.member.as_uuid(),
            identity.provider.as_uuid(),
            identity.email.as_deref().map(text),
            identity.last_sign_in_at.as_micros(),
            identity.generation,
            identity.health.as_str(),
            identity.expires_at.map(Timestamp::as_micros),
            tokens.map(|tokens| tokens.data_key.as_uuid()),
            tokens.map(|tokens| tokens.sealed.0.clone()),
            identity.generation - 1,
        )?;
        self.tx.raise_version(identity.organization).await?;
        Ok(updated == 1)
    }

    /// Tokens that were refreshed: `identity.generation` is one more than what is stored.
    pub async fn refreshed(self, identity: &Identity) -> Result<bool, StorageError> {
        let tokens = identity.tokens.as_ref();
        let updated = execute!(
            self.tx,
            REFRESHED,
            identity.organization.as_uuid(),
            identity.id.as_uuid(),
            identity.generation,
            identity.health.as_str(),
            identity.expires_at.map(Timestamp::as_micros),
            tokens.map(|tokens| tokens.data_key.as_uuid()),
            tokens.map(|tokens| tokens.sealed.0.clone()),
            identity.generation - 1,
        )?;
        Ok(updated == 1)
    }

    /// Marks one generation; a newer one is left alone.
    pub async fn set_health(
        self,
        identity: &Identity,
        health: CredentialHealth,
    ) -> Result<bool, StorageError> {
        let (org, id) = (identity.organization.as_uuid(), identity.id.as_uuid());
        let changed = execute!(self.tx, SET_HEALTH, org, id, health.as_str(), identity.generation)? == 1;
        if changed {
            self.tx.raise_version(identity.organization).await?;
        }
        Ok(changed)
    }

    pub async fn delete(
        self,
        organization: OrganizationId,
        member: MemberId,
        id: IdentityId,
    ) -> Result<bool, StorageError> {
        let gone = execute!(self.tx, DELETE, organization.as_uuid(), member.as_uuid(), id.as_uuid())? == 1;
        if gone {
            self.tx.raise_version(organization).await?;
        }
        Ok(gone)
    }
}
