//! Credentials: sealed bytes and what may be known without opening them. Every write compares and swaps on the
//! generation, so that of two refreshes of one credential the second learns that it lost.

use switchboard_domain::{ConnectionId, CredentialId, CredentialOwner, DataKeyId, OrganizationId, Timestamp};
use switchboard_vault::Sealed;
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    row::{member, word},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// Whether a credential works, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialHealth {
    Healthy,
    /// Only its owner can make it work again.
    ReauthRequired,
    /// It does not open: moved, damaged, or sealed with a key that is gone.
    Unreadable,
}

impl CredentialHealth {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::ReauthRequired => "reauth_required",
            Self::Unreadable => "unreadable",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Healthy, Self::ReauthRequired, Self::Unreadable].into_iter().find(|it| it.as_str() == word)
    }
}

/// What may be known of a credential without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialInfo {
    pub id: CredentialId,
    pub organization: OrganizationId,
    pub connection: ConnectionId,
    pub owner: CredentialOwner,
    /// The key its bytes are sealed with.
    pub data_key: DataKeyId,
    /// Counts replacements; 1 when first stored.
    pub generation: i64,
    pub health: CredentialHealth,
    pub expires_at: Option<Timestamp>,
    pub updated_at: Timestamp,
}

/// A credential as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCredential {
    pub info: CredentialInfo,
    pub sealed: Sealed,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutCredential {
    Stored,
    /// Another generation is there (or one is there at all, or none): read it again before deciding anything.
    Stale,
}

statements! {
    INSERT = "INSERT INTO credential (organization_id, id, connection_id, member_id, data_key_id, generation, health, expires_at, updated_at, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
    HEALTH = { sqlite: "SELECT health FROM credential WHERE organization_id = $1 AND id = $2 AND generation = $3", postgres: "SELECT health FROM credential WHERE organization_id = $1 AND id = $2 AND generation = $3 FOR UPDATE" };
    REPLACE = "UPDATE credential SET data_key_id = $3, generation = $4, health = $5, expires_at = $6, updated_at = $7, sealed = $8 WHERE organization_id = $1 AND id = $2 AND generation = $9";
    SET_HEALTH = "UPDATE credential SET health = $3, updated_at = $4 WHERE organization_id = $1 AND id = $2 AND generation = $5 AND health <> $3";
    FIND_SHARED = "SELECT organization_id, id, connection_id, member_id, data_key_id, generation, health, expires_at, updated_at, sealed FROM credential WHERE organization_id = $1 AND connection_id = $2 AND member_id IS NULL";
    FIND_OF_MEMBER = "SELECT organization_id, id, connection_id, member_id, data_key_id, generation, health, expires_at, updated_at, sealed FROM credential WHERE organization_id = $1 AND connection_id = $2 AND member_id = $3";
    LIST = "SELECT organization_id, id, connection_id, member_id, data_key_id, generation, health, expires_at, updated_at FROM credential WHERE organization_id = $1 ORDER BY connection_id, id";
    LIST_OF_CONNECTION = "SELECT organization_id, id, connection_id, member_id, data_key_id, generation, health, expires_at, updated_at FROM credential WHERE organization_id = $1 AND connection_id = $2 ORDER BY connection_id, id";
    DELETE_SHARED = "DELETE FROM credential WHERE organization_id = $1 AND connection_id = $2 AND member_id IS NULL";
    DELETE_OF_MEMBER = "DELETE FROM credential WHERE organization_id = $1 AND connection_id = $2 AND member_id = $3";
    DELETE_ALL = "DELETE FROM credential WHERE organization_id = $1 AND connection_id = $2";
    ANY = "SELECT EXISTS (SELECT 1 FROM credential) OR EXISTS (SELECT 1 FROM identity_provider WHERE sealed IS NOT NULL) OR EXISTS (SELECT 1 FROM identity WHERE sealed IS NOT NULL)";
}

#[derive(sqlx::FromRow)]
struct InfoRow {
    organization_id: Uuid,
    id: Uuid,
    connection_id: Uuid,
    member_id: Option<Uuid>,
    data_key_id: Uuid,
    generation: i64,
    health: String,
    expires_at: Option<i64>,
    updated_at: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(flatten)]
    info: InfoRow,
    sealed: Vec<u8>,
}

impl TryFrom<InfoRow> for CredentialInfo {
    type Error = StorageError;

    fn try_from(row: InfoRow) -> Result<Self, StorageError> {
        Ok(Self {
            id: CredentialId::from_uuid(row.id),
            organization: OrganizationId::from_uuid(row.organization_id),
            connection: ConnectionId::from_uuid(row.connection_id),
            owner: member(row.member_id).map_or(CredentialOwner::Shared, CredentialOwner::Member),
            data_key: DataKeyId::from_uuid(row.data_key_id),
            generation: row.generation,
            health: word(&row.health, CredentialHealth::from_word, "credential health")?,
            expires_at: row.expires_at.map(Timestamp::from_micros),
            updated_at: Timestamp::from_micros(row.updated_at),
        })
    }
}

impl TryFrom<Row> for StoredCredential {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        Ok(Self { info: row.info.try_into()?, sealed: Sealed(row.sealed) })
    }
}

fn owner_id(owner: CredentialOwner) -> Option<Uuid> {
    match owner {
        CredentialOwner::Shared => None,
        CredentialOwner::Member(id) => Some(id.as_uuid()),
    }
}

/// Whether the generation before was there.
async fn replace(tx: &mut Tx, credential: &StoredCredential) -> Result<bool, StorageError> {
    let info = &credential.info;
    let replaced = execute!(
        tx,
        REPLACE,
        info.organization.as_uuid(),
        info.id.as_uuid(),
        info.data_key.as_uuid(),
        info.generation,
        info.health.as_str(),
        info.expires_at.map(Timestamp::as_micros),
        info.updated_at.as_micros(),
        &credential.sealed.0[..],
        info.generation - 1,
    )?;
    Ok(replaced == 1)
}

impl Tx {
    pub fn credentials(&mut self) -> Credentials<'_> {
        Credentials { tx: self }
    }
}

/// See [`Tx::credentials`].
#[derive(Debug)]
pub struct Credentials<'t> {
    tx: &'t mut Tx,
}

impl Credentials<'_> {
    /// Stores a generation after the one that was seen: `info.generation` must be 1 for a new credential, and
    /// one more than what is stored otherwise. Every process is told: what it opened before is void.
    pub async fn put(self, credential: &StoredCredential) -> Result<PutCredential, StorageError> {
        let info = &credential.info;
        let stored = if info.generation <= 1 {
            let inserted = execute!(
                self.tx,
                INSERT,
                info.organization.as_uuid(),
                info.id.as_uuid(),
                info.connection.as_uuid(),
                owner_id(info.owner),
                info.data_key.as_uuid(),
                1_i64,
                info.health.as_str(),
                info.expires_at.map(Timestamp::as_micros),
                info.updated_at.as_micros(),
                &credential.sealed.0[..],
            )?;
            inserted == 1
        } else {
            replace(self.tx, credential).await?
        };
        if stored {
            self.tx.raise_version(info.organization).await?;
        }
        Ok(if stored { PutCredential::Stored } else { PutCredential::Stale })
    }

    /// The next generation of the same account's credential, as its provider renewed it. Who has the older one open
    /// may go on with it until it expires, so nobody is told unless it was not healthy.
    pub async fn renew(self, credential: &StoredCredential) -> Result<PutCredential, StorageError> {
        let info = &credential.info;
        let (org, id) = (info.organization.as_uuid(), info.id.as_uuid());
        let before = fetch_optional!(self.tx, HEALTH => (String,), org, id, info.generation - 1)?;
        if !replace(self.tx, credential).await? {
            return Ok(PutCredential::Stale);
        }
        if before.is_some_and(|(before,)| before != info.health.as_str()) {
            self.tx.raise_version(info.organization).await?;
        }
        Ok(PutCredential::Stored)
    }

    /// Marks one generation; a newer one is left alone.
    pub async fn set_health(
        self,
        info: &CredentialInfo,
        health: CredentialHealth,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let (org, id) = (info.organization.as_uuid(), info.id.as_uuid());
        let changed =
            execute!(self.tx, SET_HEALTH, org, id, health.as_str(), now.as_micros(), info.generation)? == 1;
        if changed {
            self.tx.raise_version(info.organization).await?;
        }
        Ok(changed)
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
        owner: CredentialOwner,
    ) -> Result<Option<StoredCredential>, StorageError> {
        let (org, connection) = (organization.as_uuid(), connection.as_uuid());
        let row = match owner {
            CredentialOwner::Shared => fetch_optional!(self.tx, FIND_SHARED => Row, org, connection),
            CredentialOwner::Member(member) => {
                fetch_optional!(self.tx, FIND_OF_MEMBER => Row, org, connection, member.as_uuid())
            }
        };
        row?.map(Row::try_into).transpose()
    }

    /// Every credential of an organization, without the sealed bytes.
    pub async fn list(self, organization: OrganizationId) -> Result<Vec<CredentialInfo>, StorageError> {
        fetch_all!(self.tx, LIST => InfoRow, organization.as_uuid())?
            .into_iter()
            .map(InfoRow::try_into)
            .collect()
    }

    /// Those of one connection.
    pub async fn list_of_connection(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
    ) -> Result<Vec<CredentialInfo>, StorageError> {
        fetch_all!(self.tx, LIST_OF_CONNECTION => InfoRow, organization.as_uuid(), connection.as_uuid())?
            .into_iter()
            .map(InfoRow::try_into)
            .collect()
    }

    pub async fn delete(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
        owner: CredentialOwner,
    ) -> Result<bool, StorageError> {
        let (org, connection) = (organization.as_uuid(), connection.as_uuid());
        let deleted = match owner {
            CredentialOwner::Shared => execute!(self.tx, DELETE_SHARED, org, connection),
            CredentialOwner::Member(member) => {
                execute!(self.tx, DELETE_OF_MEMBER, org, connection, member.as_uuid())
            }
        };
        let deleted = deleted? == 1;
        if deleted {
            self.tx.raise_version(organization).await?;
        }
        Ok(deleted)
    }

    /// Everybody's credentials of one connection; how many there were.
    pub async fn delete_all(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
    ) -> Result<u64, StorageError> {
        let deleted = execute!(self.tx, DELETE_ALL, organization.as_uuid(), connection.as_uuid())?;
        if deleted > 0 {
            self.tx.raise_version(organization).await?;
        }
        Ok(deleted)
    }

    /// Whether anything sealed is stored at all: then a missing key must stop the start.
    pub async fn any(self) -> Result<bool, StorageError> {
        Ok(fetch_optional!(self.tx, ANY => (bool,))?.is_some_and(|(any,)| any))
    }
}
