//! What people allowed AI clients, and service accounts themselves: grants, the codes that open them, the refresh
//! tokens that keep them going.
//!
//! A code and a refresh token say themselves which organization they are of: their hashes are unique among all.

use sqlx::types::Json;
use switchboard_domain::{
    Caller, DataKeyId, MemberId, OauthClientId, OauthGrantId, OrganizationId, RefreshTokenId, Scopes,
    ServiceAccountId, Timestamp, ToolkitId,
};
use uuid::Uuid;

use crate::{
    Sealed, StorageError, Tx,
    row::{digest, document, text},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// What a member allowed a client, or a service account asked for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthGrant {
    pub id: OauthGrantId,
    pub organization: OrganizationId,
    pub caller: Caller,
    pub client: OauthClientId,
    /// Of the client as it was when it was allowed.
    pub client_fingerprint: [u8; 32],
    /// Path of the one endpoint, with the organization where the URL pins one.
    pub resource: String,
    pub scopes: Scopes,
    pub toolkits: Option<Vec<ToolkitId>>,
    pub redirect_uri: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

/// An authorization code: handed over once, within a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthCode {
    pub hash: [u8; 32],
    pub redirect_uri: String,
    pub code_challenge: String,
    pub expires_at: Timestamp,
    pub used_at: Option<Timestamp>,
}

/// A refresh token: used once, then its successor takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthRefreshToken {
    pub id: RefreshTokenId,
    pub hash: [u8; 32],
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub used_at: Option<Timestamp>,
    /// The token that took over, sealed, for a client that did not get the answer.
    pub successor: Option<(DataKeyId, Sealed)>,
}

/// A grant with when it was first of use, and why it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedGrant {
    pub grant: OauthGrant,
    pub first_used_at: Option<Timestamp>,
    pub revoked_reason: Option<String>,
}

statements! {
    INSERT = "INSERT INTO oauth_grant (organization_id, id, member_id, service_account_id, oauth_client_id, client_fingerprint, resource, scopes, toolkits, redirect_uri, created_at, last_used_at, expires_at, revoked_at, revoked_reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, NULL, $12, NULL, NULL)";
    REVOKE = "UPDATE oauth_grant SET revoked_at = $3, revoked_reason = $4 WHERE organization_id = $1 AND id = $2 AND revoked_at IS NULL";
    REVOKE_OF_CLIENT = "UPDATE oauth_grant SET revoked_at = $3, revoked_reason = $4 WHERE organization_id = $1 AND oauth_client_id = $2 AND revoked_at IS NULL";
    /// Whoever leaves and comes back signs in to their clients again.
    REVOKE_OF_MEMBER = "UPDATE oauth_grant SET revoked_at = $3, revoked_reason = 'member' WHERE organization_id = $1 AND member_id = $2 AND revoked_at IS NULL";
    USED = "UPDATE oauth_grant SET last_used_at = $3, expires_at = $4 WHERE organization_id = $1 AND id = $2";
    INSERT_CODE = "INSERT INTO oauth_code (organization_id, oauth_grant_id, hash, redirect_uri, code_challenge, created_at, expires_at, used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, NULL)";
    /// The code says which organization it is of: its hash is unique among all.
    FIND_BY_CODE = "SELECT g.organization_id, g.id, g.member_id, g.service_account_id, g.oauth_client_id, g.client_fingerprint, g.resource, g.scopes, g.toolkits, g.redirect_uri AS grant_redirect_uri, g.created_at, g.expires_at, g.revoked_at, c.hash, c.redirect_uri, c.code_challenge, c.expires_at AS code_expires_at, c.used_at FROM oauth_code c JOIN oauth_grant g ON g.organization_id = c.organization_id AND g.id = c.oauth_grant_id WHERE c.hash = $1";
    USE_CODE = "UPDATE oauth_code SET used_at = $3 WHERE organization_id = $1 AND hash = $2 AND used_at IS NULL";
    INSERT_REFRESH_TOKEN = "INSERT INTO oauth_refresh_token (organization_id, id, oauth_grant_id, hash, created_at, expires_at, used_at, data_key_id, successor) VALUES ($1, $2, $3, $4, $5, $6, NULL, NULL, NULL)";
    /// The refresh token says which organization it is of: its hash is unique among all.
    FIND_BY_REFRESH_TOKEN = "SELECT g.organization_id, g.id, g.member_id, g.service_account_id, g.oauth_client_id, g.client_fingerprint, g.resource, g.scopes, g.toolkits, g.redirect_uri AS grant_redirect_uri, g.created_at, g.expires_at, g.revoked_at, r.id AS refresh_id, r.hash, r.created_at AS refresh_created_at, r.expires_at AS refresh_expires_at, r.used_at, r.data_key_id, r.successor FROM oauth_refresh_token r JOIN oauth_grant g ON g.organization_id = r.organization_id AND g.id = r.oauth_grant_id WHERE r.hash = $1";
    USE_REFRESH_TOKEN = "UPDATE oauth_refresh_token SET used_at = $3, data_key_id = $4, successor = $5 WHERE organization_id = $1 AND id = $2 AND used_at IS NULL";
    ANY_OF_CLIENT = "SELECT count(*) FROM oauth_grant WHERE organization_id = $1 AND oauth_client_id = $2 AND revoked_at IS NULL";
    FIND = "SELECT organization_id, id, member_id, service_account_id, oauth_client_id, client_fingerprint, resource, scopes, toolkits, redirect_uri AS grant_redirect_uri, created_at, expires_at, revoked_at FROM oauth_grant WHERE organization_id = $1 AND id = $2";
    /// Of one client in one organization, the newest first.
    OF_CLIENT = "SELECT organization_id, id, member_id, service_account_id, oauth_client_id, client_fingerprint, resource, scopes, toolkits, redirect_uri AS grant_redirect_uri, created_at, expires_at, revoked_at, first_used_at, revoked_reason FROM oauth_grant WHERE organization_id = $1 AND oauth_client_id = $2 ORDER BY created_at DESC, id DESC LIMIT $3";
    FORGET_CODES = "DELETE FROM oauth_code WHERE organization_id = $1 AND expires_at < $2";
    FORGET_REFRESH_TOKENS = "DELETE FROM oauth_refresh_token WHERE organization_id = $1 AND expires_at < $2";
    /// A data key that is to go must not be held by what nobody may ask for any more.
    FORGET_SUCCESSORS = "UPDATE oauth_refresh_token SET data_key_id = NULL, successor = NULL WHERE organization_id = $1 AND used_at < $2 AND successor IS NOT NULL";
    FORGET = "DELETE FROM oauth_grant WHERE organization_id = $1 AND expires_at < $2";
}

#[derive(sqlx::FromRow)]
struct Row {
    organization_id: Uuid,
    id: Uuid,
    member_id: Option<Uuid>,
    service_account_id: Option<Uuid>,
    oauth_client_id: Uuid,
    client_fingerprint: Vec<u8>,
    resource: String,
    scopes: Json<Scopes>,
    toolkits: Option<Json<Vec<ToolkitId>>>,
    grant_redirect_uri: String,
    created_at: i64,
    expires_at: i64,
    revoked_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct UsedRow {
    #[sqlx(flatten)]
    grant: Row,
    first_used_at: Option<i64>,
    revoked_reason: Option<String>,
}

#[derive(sqlx::FromRow)]
struct CodeRow {
    #[sqlx(flatten)]
    grant: Row,
    hash: Vec<u8>,
    redirect_uri: String,
    code_challenge: String,
    code_expires_at: i64,
    used_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct RefreshRow {
    #[sqlx(flatten)]
    grant: Row,
    refresh_id: Uuid,
    hash: Vec<u8>,
    refresh_created_at: i64,
    refresh_expires_at: i64,
    used_at: Option<i64>,
    data_key_id: Option<Uuid>,
    successor: Option<Vec<u8>>,
}

impl TryFrom<Row> for OauthGrant {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        let caller = match (row.member_id, row.service_account_id) {
            (Some(id), None) => Caller::Member(MemberId::from_uuid(id)),
            (None, Some(id)) => Caller::ServiceAccount(ServiceAccountId::from_uuid(id)),
            _ => return Err(StorageError::Unreadable("grant owner")),
        };
        Ok(Self {
            id: OauthGrantId::from_uuid(row.id),
            organization: OrganizationId::from_uuid(row.organization_id),
            caller,
            client: OauthClientId::from_uuid(row.oauth_client_id),
            client_fingerprint: digest(&row.client_fingerprint, "client fingerprint")?,
            resource: row.resource,
            scopes: row.scopes.0,
            toolkits: row.toolkits.map(|toolkits| toolkits.0),
            redirect_uri: row.grant_redirect_uri,
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: Timestamp::from_micros(row.expires_at),
            revoked_at: row.revoked_at.map(Timestamp::from_micros),
        })
    }
}

impl TryFrom<CodeRow> for (OauthGrant, OauthCode) {
    type Error = StorageError;

    fn try_from(row: CodeRow) -> Result<Self, StorageError> {
        let code = OauthCode {
            hash: digest(&row.hash, "code hash")?,
            redirect_uri: row.redirect_uri,
            code_challenge: row.code_challenge,
            expires_at: Timestamp::from_micros(row.code_expires_at),
            used_at: row.used_at.map(Timestamp::from_micros),
        };
        Ok((row.grant.try_into()?, code))
    }
}

impl TryFrom<RefreshRow> for (OauthGrant, OauthRefreshToken) {
    type Error = StorageError;

    fn try_from(row: RefreshRow) -> Result<Self, StorageError> {
        let successor = row.data_key_id.zip(row.successor);
        let token = OauthRefreshToken {
            id: RefreshTokenId::from_uuid(row.refresh_id),
            hash: digest(&row.hash, "refresh token hash")?,
            created_at: Timestamp::from_micros(row.refresh_created_at),
            expires_at: Timestamp::from_micros(row.refresh_expires_at),
            used_at: row.used_at.map(Timestamp::from_micros),
            successor: successor.map(|(key, sealed)| (DataKeyId::from_uuid(key), Sealed(sealed))),
        };
        Ok((row.grant.try_into()?, token))
    }
}

/// The two columns of an owner, of which one is empty.
pub(crate) fn owner(caller: Caller) -> (Option<Uuid>, Option<Uuid>) {
    match caller {
        Caller::Member(id) => (Some(id.as_uuid()), None),
        Caller::ServiceAccount(id) => (None, Some(id.as_uuid())),
    }
}

impl Tx {
    pub fn oauth_grants(&mut self) -> OauthGrants<'_> {
        OauthGrants { tx: self }
    }
}

/// See [`Tx::oauth_grants`].
#[derive(Debug)]
pub struct OauthGrants<'t> {
    tx: &'t mut Tx,
}

impl OauthGrants<'_> {
    pub async fn insert(self, grant: &OauthGrant) -> Result<(), StorageError> {
        let (member, service_account) = owner(grant.caller);
        let scopes = document(&grant.scopes, "grant scopes")?;
        let toolkits =
            grant.toolkits.as_ref().map(|toolkits| document(toolkits, "grant toolkits")).transpose()?;
        execute!(
            self.tx,
            INSERT,
            grant.organization.as_uuid(),
            grant.id.as_uuid(),
            member,
            service_account,
            grant.client.as_uuid(),
            &grant.client_fingerprint[..],
            &grant.resource,
            &scopes,
            &toolkits,
            text(&grant.redirect_uri),
            grant.created_at.as_micros(),
            grant.expires_at.as_micros(),
        )
        .map(drop)
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        id: OauthGrantId,
    ) -> Result<Option<OauthGrant>, StorageError> {
        fetch_optional!(self.tx, FIND => Row, organization.as_uuid(), id.as_uuid())?
            .map(Row::try_into)
            .transpose()
    }

    /// What a client was allowed here lately, the newest first.
    pub async fn of_client(
        self,
        organization: OrganizationId,
        client: OauthClientId,
        limit: u32,
    ) -> Result<Vec<UsedGrant>, StorageError> {
        let (org, client) = (organization.as_uuid(), client.as_uuid());
        let rows = fetch_all!(self.tx, OF_CLIENT => UsedRow, org, client, i64::from(limit))?;
        rows.into_iter()
            .map(|row| {
                Ok(UsedGrant {
                    first_used_at: row.first_used_at.map(Timestamp::from_micros),
                    revoked_reason: row.revoked_reason,
                    grant: row.grant.try_into()?,
                })
            })
            .collect()
    }

    /// Whether this client was allowed anything here that still stands.
    pub async fn any_of_client(
        self,
        organization: OrganizationId,
        client: OauthClientId,
    ) -> Result<bool, StorageError> {
        let found =
            fetch_optional!(self.tx, ANY_OF_CLIENT => (i64,), organization.as_uuid(), client.as_uuid())?;
        Ok(found.is_some_and(|(count,)| count > 0))
    }

    /// Ends a grant with every access token under it; whether it was still in force.
    pub async fn revoke(
        self,
        organization: OrganizationId,
        id: OauthGrantId,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let (org, grant) = (organization.as_uuid(), id.as_uuid());
        let ended = execute!(self.tx, REVOKE, org, grant, now.as_micros(), reason)? == 1;
        self.tx.tokens().revoke_of_grant(organization, id, now).await?;
        Ok(ended)
    }

    /// Ends everything that one client was given in this organization; how many grants that were.
    pub async fn revoke_of_client(
        self,
        organization: OrganizationId,
        client: OauthClientId,
        reason: &str,
        now: Timestamp,
    ) -> Result<u64, StorageError> {
        let org = organization.as_uuid();
        let ended = execute!(self.tx, REVOKE_OF_CLIENT, org, client.as_uuid(), now.as_micros(), reason)?;
        self.tx.tokens().revoke_of_client(organization, client, now).await?;
        Ok(ended)
    }

    /// Ends every grant of a member; their access tokens are ended by whoever calls this.
    pub(crate) async fn revoke_of_member(
        self,
        organization: OrganizationId,
        member: MemberId,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let (org, member) = (organization.as_uuid(), member.as_uuid());
        execute!(self.tx, REVOKE_OF_MEMBER, org, member, now.as_micros()).map(drop)
    }

    /// The grant is in use, and so goes on until `expires_at`.
    pub async fn used(
        self,
        grant: &OauthGrant,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StorageError> {
        let (org, id) = (grant.organization.as_uuid(), grant.id.as_uuid());
        execute!(self.tx, USED, org, id, now.as_micros(), expires_at.as_micros()).map(drop)
    }

    pub async fn insert_code(
        self,
        grant: &OauthGrant,
        code: &OauthCode,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        execute!(
            self.tx,
            INSERT_CODE,
            grant.organization.as_uuid(),
            grant.id.as_uuid(),
            &code.hash[..],
            text(&code.redirect_uri),
            &code.code_challenge,
            now.as_micros(),
            code.expires_at.as_micros(),
        )
        .map(drop)
    }

    /// The code of this SHA-256 with its grant, whatever became of them.
    pub async fn find_by_code(
        self,
        hash: &[u8; 32],
    ) -> Result<Option<(OauthGrant, OauthCode)>, StorageError> {
        fetch_optional!(self.tx, FIND_BY_CODE => CodeRow, &hash[..])?.map(CodeRow::try_into).transpose()
    }

    /// Whether this was the first use.
    pub async fn use_code(
        self,
        organization: OrganizationId,
        hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, USE_CODE, organization.as_uuid(), &hash[..], now.as_micros())? == 1)
    }

    pub async fn insert_refresh_token(
        self,
        grant: &OauthGrant,
        token: &OauthRefreshToken,
    ) -> Result<(), StorageError> {
        execute!(
            self.tx,
            INSERT_REFRESH_TOKEN,
            grant.organization.as_uuid(),
            token.id.as_uuid(),
            grant.id.as_uuid(),
            &token.hash[..],
            token.created_at.as_micros(),
            token.expires_at.as_micros(),
        )
        .map(drop)
    }

    /// The refresh token of this SHA-256 with its grant, whatever became of them.
    pub async fn find_by_refresh_token(
        self,
        hash: &[u8; 32],
    ) -> Result<Option<(OauthGrant, OauthRefreshToken)>, StorageError> {
        fetch_optional!(self.tx, FIND_BY_REFRESH_TOKEN => RefreshRow, &hash[..])?
            .map(RefreshRow::try_into)
            .transpose()
    }

    /// Whether this was the first use. The successor is kept sealed, for a client that did not get the answer.
    pub async fn use_refresh_token(
        self,
        organization: OrganizationId,
        id: RefreshTokenId,
        successor: (DataKeyId, &Sealed),
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let (key, sealed) = (successor.0.as_uuid(), &successor.1.0[..]);
        let (org, id) = (organization.as_uuid(), id.as_uuid());
        Ok(execute!(self.tx, USE_REFRESH_TOKEN, org, id, now.as_micros(), key, sealed)? == 1)
    }

    /// Removes successors of what was used before `grace`, and what expired before `before`.
    pub async fn forget_expired(
        self,
        organization: OrganizationId,
        grace: Timestamp,
        before: Timestamp,
    ) -> Result<(), StorageError> {
        let (org, before) = (organization.as_uuid(), before.as_micros());
        execute!(self.tx, FORGET_SUCCESSORS, org, grace.as_micros())?;
        execute!(self.tx, FORGET_CODES, org, before)?;
        execute!(self.tx, FORGET_REFRESH_TOKENS, org, before)?;
        execute!(self.tx, FORGET, org, before).map(drop)
    }
}
