//! Tokens of members' identity providers that are no longer ours to use, kept sealed until the provider has heard of it
//! (RFC 7009). The transaction that ends a membership moves them here.

use switchboard_domain::{DataKeyId, IdentityId, IdentityProviderId, MemberId, OrganizationId, Timestamp};
use uuid::Uuid;

use crate::{
    Sealed, SealedWith, StorageError, Tx,
    statement::{execute, fetch_all, statements},
};

/// One that is to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRevocation {
    pub organization: OrganizationId,
    pub identity: IdentityId,
    /// Of the tokens: their envelope names it.
    pub generation: i64,
    pub member: MemberId,
    pub provider: IdentityProviderId,
    /// Who issued them; nobody else is to see them.
    pub issuer: String,
    pub tokens: SealedWith,
    /// How often it was tried.
    pub attempts: i64,
}

statements! {
    QUEUE = "INSERT INTO identity_revocation (organization_id, identity_id, generation, member_id, identity_provider_id, issuer, data_key_id, attempts, next_at, created_at, sealed) SELECT i.organization_id, i.id, i.generation, i.member_id, i.identity_provider_id, i.issuer, i.data_key_id, 0, $3, $3, i.sealed FROM identity i WHERE i.organization_id = $1 AND i.member_id = $2 AND i.data_key_id IS NOT NULL ON CONFLICT DO NOTHING";
    DUE = "SELECT organization_id, identity_id, generation, member_id, identity_provider_id, issuer, data_key_id, attempts, sealed FROM identity_revocation WHERE organization_id = $1 AND next_at <= $2 ORDER BY next_at, identity_id LIMIT $3";
    /// Of two replicas one gets the turn; whoever has it and dies leaves it due again later.
    CLAIM = "UPDATE identity_revocation SET attempts = attempts + 1, next_at = $5 WHERE organization_id = $1 AND identity_id = $2 AND generation = $3 AND attempts = $4";
    DELETE = "DELETE FROM identity_revocation WHERE organization_id = $1 AND identity_id = $2 AND generation = $3";
}

#[derive(sqlx::FromRow)]
struct Row {
    organization_id: Uuid,
    identity_id: Uuid,
    generation: i64,
    member_id: Uuid,
    identity_provider_id: Uuid,
    issuer: String,
    data_key_id: Uuid,
    attempts: i64,
    sealed: Vec<u8>,
}

impl From<Row> for IdentityRevocation {
    fn from(row: Row) -> Self {
        Self {
            organization: OrganizationId::from_uuid(row.organization_id),
            identity: IdentityId::from_uuid(row.identity_id),
            generation: row.generation,
            member: MemberId::from_uuid(row.member_id),
            provider: IdentityProviderId::from_uuid(row.identity_provider_id),
            issuer: row.issuer,
            tokens: SealedWith {
                data_key: DataKeyId::from_uuid(row.data_key_id),
                sealed: Sealed(row.sealed),
            },
            attempts: row.attempts,
        }
    }
}

impl Tx {
    pub fn identity_revocations(&mut self) -> IdentityRevocations<'_> {
        IdentityRevocations { tx: self }
    }
}

/// See [`Tx::identity_revocations`]. What is queued has to be taken away by the same transaction.
#[derive(Debug)]
pub struct IdentityRevocations<'t> {
    tx: &'t mut Tx,
}

impl IdentityRevocations<'_> {
    /// A member's tokens, of every provider.
    pub async fn queue_of_member(
        self,
        organization: OrganizationId,
        member: MemberId,
        now: Timestamp,
    ) -> Result<u64, StorageError> {
        execute!(self.tx, QUEUE, organization.as_uuid(), member.as_uuid(), now.as_micros())
    }

    /// What is to be tried now, the longest waiting first.
    pub async fn due(
        self,
        organization: OrganizationId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<IdentityRevocation>, StorageError> {
        let rows =
            fetch_all!(self.tx, DUE => Row, organization.as_uuid(), now.as_micros(), i64::from(limit))?;
        Ok(rows.into_iter().map(IdentityRevocation::from).collect())
    }

    /// Whether the turn is the caller's; the next one is not before `next_at`.
    pub async fn claim(self, it: &IdentityRevocation, next_at: Timestamp) -> Result<bool, StorageError> {
        let (org, id) = (it.organization.as_uuid(), it.identity.as_uuid());
        let claimed = execute!(self.tx, CLAIM, org, id, it.generation, it.attempts, next_at.as_micros())?;
        Ok(claimed == 1)
    }

    /// Done, or given up.
    pub async fn delete(self, it: &IdentityRevocation) -> Result<(), StorageError> {
        let (org, id) = (it.organization.as_uuid(), it.identity.as_uuid());
        execute!(self.tx, DELETE, org, id, it.generation).map(drop)
    }
}
