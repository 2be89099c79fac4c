//! Tokens that are no longer ours to use, kept sealed until their provider has heard of it (RFC 7009). A credential is
//! moved here by the transaction that takes it away; its envelope stays the one of the credential that it was.

use switchboard_domain::{
    ConnectionId, CredentialId, CredentialOwner, DataKeyId, MemberId, OrganizationId, Timestamp,
};
use switchboard_vault::Sealed;
use uuid::Uuid;

use crate::{
    CredentialHealth, CredentialInfo, StorageError, StoredCredential, Tx,
    row::member,
    statement::{execute, fetch_all, statements},
};

/// One that is to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    pub credential: StoredCredential,
    /// How often it was tried.
    pub attempts: i64,
}

statements! {
    QUEUE_SHARED = "INSERT INTO revocation (organization_id, id, connection_id, member_id, data_key_id, generation, attempts, next_at, created_at, sealed) SELECT c.organization_id, c.id, c.connection_id, c.member_id, c.data_key_id, c.generation, 0, $3, $3, c.sealed FROM credential c JOIN connection n ON n.organization_id = c.organization_id AND n.id = c.connection_id WHERE c.organization_id = $1 AND c.connection_id = $2 AND c.member_id IS NULL AND n.auth_type IN ('oauth', 'client_credentials') ON CONFLICT DO NOTHING";
    QUEUE_OF_MEMBER = "INSERT INTO revocation (organization_id, id, connection_id, member_id, data_key_id, generation, attempts, next_at, created_at, sealed) SELECT c.organization_id, c.id, c.connection_id, c.member_id, c.data_key_id, c.generation, 0, $4, $4, c.sealed FROM credential c JOIN connection n ON n.organization_id = c.organization_id AND n.id = c.connection_id WHERE c.organization_id = $1 AND c.connection_id = $2 AND c.member_id = $3 AND n.auth_type IN ('oauth', 'client_credentials') ON CONFLICT DO NOTHING";
    QUEUE_OF_CONNECTION = "INSERT INTO revocation (organization_id, id, connection_id, member_id, data_key_id, generation, attempts, next_at, created_at, sealed) SELECT c.organization_id, c.id, c.connection_id, c.member_id, c.data_key_id, c.generation, 0, $3, $3, c.sealed FROM credential c JOIN connection n ON n.organization_id = c.organization_id AND n.id = c.connection_id WHERE c.organization_id = $1 AND c.connection_id = $2 AND n.auth_type IN ('oauth', 'client_credentials') ON CONFLICT DO NOTHING";
    QUEUE_EVERYWHERE = "INSERT INTO revocation (organization_id, id, connection_id, member_id, data_key_id, generation, attempts, next_at, created_at, sealed) SELECT c.organization_id, c.id, c.connection_id, c.member_id, c.data_key_id, c.generation, 0, $3, $3, c.sealed FROM credential c JOIN connection n ON n.organization_id = c.organization_id AND n.id = c.connection_id WHERE c.organization_id = $1 AND c.member_id = $2 AND n.auth_type IN ('oauth', 'client_credentials') ON CONFLICT DO NOTHING";
    INSERT = "INSERT INTO revocation (organization_id, id, connection_id, member_id, data_key_id, generation, attempts, next_at, created_at, sealed) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $7, $8) ON CONFLICT (organization_id, id) DO UPDATE SET data_key_id = excluded.data_key_id, generation = excluded.generation, attempts = 0, next_at = excluded.next_at, sealed = excluded.sealed";
    DUE = "SELECT organization_id, id, connection_id, member_id, data_key_id, generation, attempts, created_at, sealed FROM revocation WHERE organization_id = $1 AND next_at <= $2 ORDER BY next_at, id LIMIT $3";
    /// Of two replicas one gets the turn; whoever has it and dies leaves it due again later.
    CLAIM = "UPDATE revocation SET attempts = attempts + 1, next_at = $5 WHERE organization_id = $1 AND id = $2 AND generation = $3 AND attempts = $4";
    DELETE = "DELETE FROM revocation WHERE organization_id = $1 AND id = $2 AND generation = $3";
}

#[derive(sqlx::FromRow)]
struct Row {
    organization_id: Uuid,
    id: Uuid,
    connection_id: Uuid,
    member_id: Option<Uuid>,
    data_key_id: Uuid,
    generation: i64,
    attempts: i64,
    created_at: i64,
    sealed: Vec<u8>,
}

impl From<Row> for Revocation {
    fn from(row: Row) -> Self {
        let info = CredentialInfo {
            id: CredentialId::from_uuid(row.id),
            organization: OrganizationId::from_uuid(row.organization_id),
            connection: ConnectionId::from_uuid(row.connection_id),
            owner: member(row.member_id).map_or(CredentialOwner::Shared, CredentialOwner::Member),
            data_key: DataKeyId::from_uuid(row.data_key_id),
            generation: row.generation,
            health: CredentialHealth::Healthy,
            expires_at: None,
            updated_at: Timestamp::from_micros(row.created_at),
        };
        let credential = StoredCredential { info, sealed: Sealed(row.sealed) };
        Self { credential, attempts: row.attempts }
    }
}

impl Tx {
    pub fn revocations(&mut self) -> Revocations<'_> {
        Revocations { tx: self }
    }
}

/// See [`Tx::revocations`]. What is queued has to be deleted by the same transaction.
#[derive(Debug)]
pub struct Revocations<'t> {
    tx: &'t mut Tx,
}

impl Revocations<'_> {
    /// One owner's tokens at one connection.
    pub async fn queue(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
        owner: CredentialOwner,
        now: Timestamp,
    ) -> Result<u64, StorageError> {
        let (org, connection, now) = (organization.as_uuid(), connection.as_uuid(), now.as_micros());
        match owner {
            CredentialOwner::Shared => execute!(self.tx, QUEUE_SHARED, org, connection, now),
            CredentialOwner::Member(member) => {
                execute!(self.tx, QUEUE_OF_MEMBER, org, connection, member.as_uuid(), now)
            }
        }
    }

    /// Everybody's tokens at one connection.
    pub async fn queue_of_connection(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
        now: Timestamp,
    ) -> Result<u64, StorageError> {
        let (org, connection) = (organization.as_uuid(), connection.as_uuid());
        execute!(self.tx, QUEUE_OF_CONNECTION, org, connection, now.as_micros())
    }

    /// A member's tokens, wherever.
    pub async fn queue_of_member(
        self,
        organization: OrganizationId,
        member: MemberId,
        now: Timestamp,
    ) -> Result<u64, StorageError> {
        execute!(self.tx, QUEUE_EVERYWHERE, organization.as_uuid(), member.as_uuid(), now.as_micros())
    }

    /// Tokens that came when nobody wanted them any more.
    pub async fn insert(self, credential: &StoredCredential, now: Timestamp) -> Result<(), StorageError> {
        let info = &credential.info;
        let owner = match info.owner {
            CredentialOwner::Shared => None,
            CredentialOwner::Member(member) => Some(member.as_uuid()),
        };
        execute!(
            self.tx,
            INSERT,
            info.organization.as_uuid(),
            info.id.as_uuid(),
            info.connection.as_uuid(),
            owner,
            info.data_key.as_uuid(),
            info.generation,
            now.as_micros(),
            &credential.sealed.0[..],
        )
        .map(drop)
    }

    /// What is to be tried now, the longest waiting first.
    pub async fn due(
        self,
        organization: OrganizationId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Revocation>, StorageError> {
        let rows =
            fetch_all!(self.tx, DUE => Row, organization.as_uuid(), now.as_micros(), i64::from(limit))?;
        Ok(rows.into_iter().map(Revocation::from).collect())
    }

    /// Whether the turn is the caller's; the next one is not before `next_at`.
    pub async fn claim(self, revocation: &Revocation, next_at: Timestamp) -> Result<bool, StorageError> {
        let info = &revocation.credential.info;
        let (org, id) = (info.organization.as_uuid(), info.id.as_uuid());
        let claimed =
            execute!(self.tx, CLAIM, org, id, info.generation, revocation.attempts, next_at.as_micros())?;
        Ok(claimed == 1)
    }

    /// Done, or given up.
    pub async fn delete(self, revocation: &Revocation) -> Result<(), StorageError> {
        let info = &revocation.credential.info;
        let (org, id) = (info.organization.as_uuid(), info.id.as_uuid());
        execute!(self.tx, DELETE, org, id, info.generation).map(drop)
    }
}
