//! Every value that is sealed with a data key, in whichever table it is: what a rotation of keys goes through, and what
//! a check of them opens. A table that gets such a column is added here; a test reads the schema and says so.

use switchboard_domain::{DataKeyId, OrganizationId};
use uuid::Uuid;

use crate::{
    SealedWith, StorageError, Tx,
    statement::{Statement, execute, fetch_all, fetch_optional, statements},
};

/// A column with sealed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedColumn {
    Credential,
    Revocation,
    IdentityProvider,
    Identity,
    IdentityRevocation,
    RefreshToken,
    Approval,
    UpstreamClient,
    UpstreamAuthorization,
    ConnectionKey,
    Webhook,
    Guardrail,
    KeptForm,
}

/// One sealed value, with what its envelope is bound to beside its column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRow {
    pub row: Uuid,
    pub owner: Option<Uuid>,
    pub version: i64,
    pub value: SealedWith,
}

statements! {
    CREDENTIALS = "SELECT id AS row_id, member_id AS owner_id, generation AS version, data_key_id, sealed FROM credential WHERE organization_id = $1 AND data_key_id <> $2 AND id > $3 ORDER BY id LIMIT $4";
    REVOCATIONS = "SELECT id AS row_id, member_id AS owner_id, generation AS version, data_key_id, sealed FROM revocation WHERE organization_id = $1 AND data_key_id <> $2 AND id > $3 ORDER BY id LIMIT $4";
    IDENTITY_PROVIDERS = "SELECT id AS row_id, NULL AS owner_id, secret_version AS version, data_key_id, sealed FROM identity_provider WHERE organization_id = $1 AND data_key_id <> $2 AND id > $3 ORDER BY id LIMIT $4";
    IDENTITIES = "SELECT id AS row_id, member_id AS owner_id, generation AS version, data_key_id, sealed FROM identity WHERE organization_id = $1 AND data_key_id <> $2 AND id > $3 ORDER BY id LIMIT $4";
    IDENTITY_REVOCATIONS = "SELECT identity_id AS row_id, member_id AS owner_id, generation AS version, data_key_id, sealed FROM identity_revocation WHERE organization_id = $1 AND data_key_id <> $2 AND identity_id > $3 ORDER BY identity_id LIMIT $4";
    REFRESH_TOKENS = "SELECT t.id AS row_id, COALESCE(g.member_id, g.service_account_id) AS owner_id, CAST(1 AS BIGINT) AS version, t.data_key_id, t.successor AS sealed FROM oauth_refresh_token t JOIN oauth_grant g ON g.organization_id = t.organization_id AND g.id = t.oauth_grant_id WHERE t.organization_id = $1 AND t.data_key_id <> $2 AND t.id > $3 ORDER BY t.id LIMIT $4";
    APPROVALS = "SELECT id AS row_id, COALESCE(member_id, service_account_id) AS owner_id, CAST(1 AS BIGINT) AS version, data_key_id, sealed FROM approval WHERE organization_id = $1 AND data_key_id <> $2 AND id > $3 ORDER BY id LIMIT $4";
    UPSTREAM_CLIENTS = "SELECT connection_id AS row_id, NULL AS owner_id, generation AS version, data_key_id, sealed FROM upstream_client WHERE organization_id = $1 AND data_key_id <> $2 AND connection_id > $3 ORDER BY connection_id LIMIT $4";
    UPSTREAM_AUTHORIZATIONS = "SELECT id AS row_id, NULL AS owner_id, CAST(1 AS BIGINT) AS version, data_key_id, sealed FROM upstream_authorization WHERE organization_id = $1 AND data_key_id <> $2 AND id > $3 ORDER BY id LIMIT $4";
    CONNECTION_KEYS = "SELECT connection_id AS row_id, NULL AS owner_id, CAST(1 AS BIGINT) AS version, data_key_id, sealed FROM connection_key WHERE organization_id = $1 AND data_key_id <> $2 AND connection_id > $3 ORDER BY connection_id LIMIT $4";
    WEBHOOKS = "SELECT id AS row_id, NULL AS owner_id, CAST(1 AS BIGINT) AS version, data_key_id, sealed FROM webhook WHERE organization_id = $1 AND data_key_id <> $2 AND id > $3 ORDER BY id LIMIT $4";
    GUARDRAILS = "SELECT id AS row_id, NULL AS owner_id, CAST(1 AS BIGINT) AS version, data_key_id, sealed FROM guardrail WHERE organization_id = $1 AND data_key_id <> $2 AND id > $3 ORDER BY id LIMIT $4";
    KEPT_FORMS = "SELECT id AS row_id, member_id AS owner_id, CAST(1 AS BIGINT) AS version, data_key_id, sealed FROM kept_form WHERE organization_id = $1 AND data_key_id <> $2 AND id > $3 ORDER BY id LIMIT $4";
    COUNT_CREDENTIALS = "SELECT count(*) FROM credential WHERE organization_id = $1";
    COUNT_REVOCATIONS = "SELECT count(*) FROM revocation WHERE organization_id = $1";
    COUNT_IDENTITY_PROVIDERS = "SELECT count(*) FROM identity_provider WHERE organization_id = $1 AND data_key_id IS NOT NULL";
    COUNT_IDENTITIES = "SELECT count(*) FROM identity WHERE organization_id = $1 AND data_key_id IS NOT NULL";
    COUNT_IDENTITY_REVOCATIONS = "SELECT count(*) FROM identity_revocation WHERE organization_id = $1";
    COUNT_REFRESH_TOKENS = "SELECT count(*) FROM oauth_refresh_token WHERE organization_id = $1 AND data_key_id IS NOT NULL";
    COUNT_APPROVALS = "SELECT count(*) FROM approval WHERE organization_id = $1";
    COUNT_UPSTREAM_CLIENTS = "SELECT count(*) FROM upstream_client WHERE organization_id = $1 AND data_key_id IS NOT NULL";
    COUNT_UPSTREAM_AUTHORIZATIONS = "SELECT count(*) FROM upstream_authorization WHERE organization_id = $1 AND data_key_id IS NOT NULL";
    COUNT_GUARDRAILS = "SELECT count(*) FROM guardrail WHERE organization_id = $1";
    COUNT_KEPT_FORMS = "SELECT count(*) FROM kept_form WHERE organization_id = $1";
    COUNT_WEBHOOKS = "SELECT count(*) FROM webhook WHERE organization_id = $1";
    COUNT_CONNECTION_KEYS = "SELECT count(*) FROM connection_key WHERE organization_id = $1";
    /// The bytes that were read have to be there still: whatever was sealed meanwhile was sealed with the new key.
    SWAP_CREDENTIAL = "UPDATE credential SET data_key_id = $4, sealed = $5 WHERE organization_id = $1 AND id = $2 AND sealed = $3";
    SWAP_REVOCATION = "UPDATE revocation SET data_key_id = $4, sealed = $5 WHERE organization_id = $1 AND id = $2 AND sealed = $3";
    SWAP_IDENTITY_PROVIDER = "UPDATE identity_provider SET data_key_id = $4, sealed = $5 WHERE organization_id = $1 AND id = $2 AND sealed = $3";
    SWAP_IDENTITY = "UPDATE identity SET data_key_id = $4, sealed = $5 WHERE organization_id = $1 AND id = $2 AND sealed = $3";
    SWAP_IDENTITY_REVOCATION = "UPDATE identity_revocation SET data_key_id = $4, sealed = $5 WHERE organization_id = $1 AND identity_id = $2 AND sealed = $3";
    SWAP_REFRESH_TOKEN = "UPDATE oauth_refresh_token SET data_key_id = $4, successor = $5 WHERE organization_id = $1 AND id = $2 AND successor = $3";
    SWAP_APPROVAL = "UPDATE approval SET data_key_id = $4, sealed = $5 WHERE organization_id = $1 AND id = $2 AND sealed = $3";
    SWAP_UPSTREAM_CLIENT = "UPDATE upstream_client SET data_key_id = $4, sealed = $5 WHERE organization_id = $1 AND connection_id = $2 AND sealed = $3";
    SWAP_UPSTREAM_AUTHORIZATION = "UPDATE upstream_authorization SET data_key_id = $4, sealed = $5 WHERE organization_id = $1 AND id = $2 AND sealed = $3";
    SWAP_WEBHOOK = "UPDATE webhook SET data_key_id = $4, sealed = $5 WHERE organization_id = $1 AND id = $2 AND sealed = $3";
    SWAP_GUARDRAIL = "UPDATE guardrail SET data_key_id = $4, sealed = $5 WHERE organization_id = $1 AND id = $2 AND sealed = $3";
    SWAP_KEPT_FORM = "UPDATE kept_form SET data_key_id = $4, sealed = $5 WHERE organization_id = $1 AND id = $2 AND sealed = $3";
    SWAP_CONNECTION_KEY = "UPDATE connection_key SET data_key_id = $4, sealed = $5 WHERE organization_id = $1 AND connection_id = $2 AND sealed = $3";
}

impl SealedColumn {
    pub const ALL: [Self; 13] = [
        Self::Credential,
        Self::Revocation,
        Self::IdentityProvider,
        Self::Identity,
        Self::IdentityRevocation,
        Self::RefreshToken,
        Self::Approval,
        Self::UpstreamClient,
        Self::UpstreamAuthorization,
        Self::ConnectionKey,
        Self::Webhook,
        Self::Guardrail,
        Self::KeptForm,
    ];

    pub const fn table(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::Revocation => "revocation",
            Self::IdentityProvider => "identity_provider",
            Self::Identity => "identity",
            Self::IdentityRevocation => "identity_revocation",
            Self::RefreshToken => "oauth_refresh_token",
            Self::Approval => "approval",
            Self::UpstreamClient => "upstream_client",
            Self::UpstreamAuthorization => "upstream_authorization",
            Self::ConnectionKey => "connection_key",
            Self::Webhook => "webhook",
            Self::Guardrail => "guardrail",
            Self::KeptForm => "kept_form",
        }
    }

    /// List, count, swap.
    const fn statements(self) -> [Statement; 3] {
        match self {
            Self::Credential => [CREDENTIALS, COUNT_CREDENTIALS, SWAP_CREDENTIAL],
            Self::Revocation => [REVOCATIONS, COUNT_REVOCATIONS, SWAP_REVOCATION],
            Self::IdentityProvider => [IDENTITY_PROVIDERS, COUNT_IDENTITY_PROVIDERS, SWAP_IDENTITY_PROVIDER],
            Self::Identity => [IDENTITIES, COUNT_IDENTITIES, SWAP_IDENTITY],
            Self::IdentityRevocation => {
                [IDENTITY_REVOCATIONS, COUNT_IDENTITY_REVOCATIONS, SWAP_IDENTITY_REVOCATION]
            }
            Self::RefreshToken => [REFRESH_TOKENS, COUNT_REFRESH_TOKENS, SWAP_REFRESH_TOKEN],
            Self::Approval => [APPROVALS, COUNT_APPROVALS, SWAP_APPROVAL],
            Self::UpstreamClient => [UPSTREAM_CLIENTS, COUNT_UPSTREAM_CLIENTS, SWAP_UPSTREAM_CLIENT],
            Self::UpstreamAuthorization => {
                [UPSTREAM_AUTHORIZATIONS, COUNT_UPSTREAM_AUTHORIZATIONS, SWAP_UPSTREAM_AUTHORIZATION]
            }
            Self::Guardrail => [GUARDRAILS, COUNT_GUARDRAILS, SWAP_GUARDRAIL],
            Self::KeptForm => [KEPT_FORMS, COUNT_KEPT_FORMS, SWAP_KEPT_FORM],
            Self::Webhook => [WEBHOOKS, COUNT_WEBHOOKS, SWAP_WEBHOOK],
            Self::ConnectionKey => [CONNECTION_KEYS, COUNT_CONNECTION_KEYS, SWAP_CONNECTION_KEY],
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    row_id: Uuid,
    owner_id: Option<Uuid>,
    version: i64,
    data_key_id: Option<Uuid>,
    sealed: Option<Vec<u8>>,
}

impl Tx {
    pub fn sealed(&mut self) -> SealedValues<'_> {
        SealedValues { tx: self }
    }
}

/// See [`Tx::sealed`].
#[derive(Debug)]
pub struct SealedValues<'t> {
    tx: &'t mut Tx,
}

impl SealedValues<'_> {
    /// Up to `limit` values after `after` that are sealed with another key than this one, by row.
    pub async fn not_with(
        self,
        column: SealedColumn,
        organization: OrganizationId,
        key: DataKeyId,
        (after, limit): (Option<Uuid>, u32),
    ) -> Result<Vec<SealedRow>, StorageError> {
        let after = after.unwrap_or(Uuid::nil());
        let (org, key) = (organization.as_uuid(), key.as_uuid());
        let [list, ..] = column.statements();
        let rows = fetch_all!(self.tx, list => Row, org, key, after, i64::from(limit))?;
        let read = |row: Row| {
            let value = SealedWith::read(row.data_key_id, row.sealed)?;
            Some(SealedRow { row: row.row_id, owner: row.owner_id, version: row.version, value })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    pub async fn count(
        self,
        column: SealedColumn,
        organization: OrganizationId,
    ) -> Result<u64, StorageError> {
        let [_, count, _] = column.statements();
        let found = fetch_optional!(self.tx, count => (i64,), organization.as_uuid())?;
        Ok(found.map_or(0, |(count,)| count.unsigned_abs()))
    }

    /// The same value sealed with another key; `false` when it was replaced meanwhile.
    pub async fn swap(
        self,
        column: SealedColumn,
        organization: OrganizationId,
        before: &SealedRow,
        with: &SealedWith,
    ) -> Result<bool, StorageError> {
        let [.., swap] = column.statements();
        let (org, row, key) = (organization.as_uuid(), before.row, with.data_key.as_uuid());
        let (old, new) = (&before.value.sealed.0[..], &with.sealed.0[..]);
        let swapped = execute!(self.tx, swap, org, row, old, key, new)? == 1;
        if swapped {
            self.tx.raise_version(organization).await?;
        }
        Ok(swapped)
    }
}
