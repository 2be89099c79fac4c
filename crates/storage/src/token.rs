//! Tokens we issued, by their SHA-256. A lookup brings everything authentication needs in one round trip.

use sqlx::types::Json;
use switchboard_domain::{
    Caller, MemberId, OauthClientId, OauthGrantId, OrganizationId, Role, Scopes, ServiceAccountId, TeamId,
    Timestamp, TokenId, ToolkitId,
};
use uuid::Uuid;

use crate::{
    MemberStatus, StorageError, Tx, oauth_grant,
    row::{digest, document, role, text, word},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// What made a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// `swb_pat_…`, by a member for themselves.
    Personal,
    /// `swb_svc_…`, of a service account.
    Service,
    /// `swb_oat_…`, given to an AI client by the authorization server, under a grant.
    Oauth,
}

impl TokenKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Service => "service",
            Self::Oauth => "oauth",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Personal, Self::Service, Self::Oauth].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A token as stored: everything but the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    pub id: TokenId,
    pub organization: OrganizationId,
    pub kind: TokenKind,
    pub caller: Caller,
    pub name: String,
    /// SHA-256 of the whole token.
    pub hash: [u8; 32],
    pub prefix: String,
    pub last_four: String,
    pub scopes: Scopes,
    /// Path of the one resource it is for; none: the whole organization.
    pub resource: Option<String>,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub created_at: Timestamp,
    /// Of [`TokenKind::Oauth`]: what it was given under.
    pub grant: Option<TokenGrant>,
}

/// The grant behind an access token of the authorization server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenGrant {
    pub id: OauthGrantId,
    /// The client's `client_id`.
    pub client: String,
    /// Toolkits the person narrowed it to.
    pub toolkits: Option<Vec<ToolkitId>>,
}

/// Where the line of tokens began that one is of: those that were made with it, and with them, are all of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOrigin {
    pub token: TokenId,
    /// `client_id` of the registered client that it was given to, or made through.
    pub client: Option<String>,
}

/// A token with whose it is, as things stand now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOwner {
    pub token: StoredToken,
    pub role: Role,
    pub status: MemberStatus,
    pub teams: Vec<TeamId>,
}

statements! {
    INSERT = "INSERT INTO token (organization_id, id, kind, member_id, service_account_id, name, hash, prefix, last_four, scopes, resource, expires_at, last_used_at, revoked_at, created_at, oauth_grant_id, toolkits, client) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, NULL, NULL, $13, $14, $15, $16)";
    /// The token itself says which organization it is of: its hash is unique among all.
    FIND_BY_HASH = {
        sqlite: "SELECT t.organization_id, t.id, t.kind, t.member_id, t.service_account_id, t.name, t.hash, t.prefix, t.last_four, t.scopes, t.resource, t.expires_at, t.last_used_at, t.revoked_at, t.created_at, t.oauth_grant_id, t.toolkits, t.client, coalesce(m.role, s.role) AS role, coalesce(m.status, s.status) AS status, (SELECT json_group_array(hex(g.team_id)) FROM team_member g WHERE g.organization_id = t.organization_id AND g.member_id = t.member_id) AS teams FROM token t LEFT JOIN member m ON m.organization_id = t.organization_id AND m.id = t.member_id LEFT JOIN service_account s ON s.organization_id = t.organization_id AND s.id = t.service_account_id WHERE t.hash = $1",
        postgres: "SELECT t.organization_id, t.id, t.kind, t.member_id, t.service_account_id, t.name, t.hash, t.prefix, t.last_four, t.scopes, t.resource, t.expires_at, t.last_used_at, t.revoked_at, t.created_at, t.oauth_grant_id, t.toolkits, t.client, coalesce(m.role, s.role) AS role, coalesce(m.status, s.status) AS status, (SELECT coalesce(json_agg(g.team_id), '[]') FROM team_member g WHERE g.organization_id = t.organization_id AND g.member_id = t.member_id) AS teams FROM token t LEFT JOIN member m ON m.organization_id = t.organization_id AND m.id = t.member_id LEFT JOIN service_account s ON s.organization_id = t.organization_id AND s.id = t.service_account_id WHERE t.hash = $1"
    };
    FIND = "SELECT organization_id, id, kind, member_id, service_account_id, name, hash, prefix, last_four, scopes, resource, expires_at, last_used_at, revoked_at, created_at, oauth_grant_id, toolkits, client FROM token WHERE organization_id = $1 AND id = $2";
    LIST = "SELECT organization_id, id, kind, member_id, service_account_id, name, hash, prefix, last_four, scopes, resource, expires_at, last_used_at, revoked_at, created_at, oauth_grant_id, toolkits, client FROM token WHERE organization_id = $1 AND kind <> 'oauth' ORDER BY id DESC";
    LIST_OF_MEMBER = "SELECT organization_id, id, kind, member_id, service_account_id, name, hash, prefix, last_four, scopes, resource, expires_at, last_used_at, revoked_at, created_at, oauth_grant_id, toolkits, client FROM token WHERE organization_id = $1 AND member_id = $2 AND kind <> 'oauth' ORDER BY id DESC";
    /// What an AI client was given under one grant ends together.
    REVOKE_OF_GRANT = "UPDATE token SET revoked_at = $3 WHERE organization_id = $1 AND oauth_grant_id = $2 AND revoked_at IS NULL";
    REVOKE_OF_CLIENT = "UPDATE token SET revoked_at = $3 WHERE organization_id = $1 AND revoked_at IS NULL AND oauth_grant_id IN (SELECT id FROM oauth_grant WHERE organization_id = $1 AND oauth_client_id = $2)";
    REVOKE_OF_MEMBER = "UPDATE token SET revoked_at = $3 WHERE organization_id = $1 AND member_id = $2 AND revoked_at IS NULL";
    /// Access tokens live an hour; what is over for a day serves nothing any more.
    FORGET_EXPIRED = "DELETE FROM token WHERE organization_id = $1 AND kind = 'oauth' AND expires_at < $2";
    REVOKE = "UPDATE token SET revoked_at = $3 WHERE organization_id = $1 AND id = $2 AND revoked_at IS NULL";
    SET_CLIENT = "UPDATE token SET client = $3 WHERE organization_id = $1 AND id = $2";
    /// Which token began the line that ends in this one, and the registered client that one was given to or made through.
    ORIGIN = "WITH RECURSIVE line (id, parent, client) AS (SELECT t.id, t.parent_token_id, t.client FROM token t WHERE t.organization_id = $1 AND t.id = $2 UNION SELECT t.id, t.parent_token_id, t.client FROM token t JOIN line ON t.organization_id = $1 AND t.id = line.parent) SELECT id, client FROM line WHERE parent IS NULL";
    SET_PARENT = "UPDATE token SET parent_token_id = $3 WHERE organization_id = $1 AND id = $2";
    /// Those that were made with it, those that were made with them, and so on.
    REVOKE_DESCENDANTS = "WITH RECURSIVE made (id) AS (SELECT c.id FROM token c WHERE c.organization_id = $1 AND c.parent_token_id = $2 UNION SELECT c.id FROM token c JOIN made ON c.organization_id = $1 AND c.parent_token_id = made.id) UPDATE token SET revoked_at = $3 WHERE organization_id = $1 AND id IN (SELECT id FROM made) AND revoked_at IS NULL";
    /// The first use of what a client was given, by any of its tokens.
    TOUCH_GRANTS = {
        sqlite: "UPDATE oauth_grant SET first_used_at = used.value ->> 2 FROM json_each($1) AS used, token WHERE oauth_grant.organization_id = unhex(used.value ->> 0) AND token.organization_id = oauth_grant.organization_id AND token.id = unhex(used.value ->> 1) AND oauth_grant.id = token.oauth_grant_id AND oauth_grant.first_used_at IS NULL",
        postgres: "UPDATE oauth_grant SET first_used_at = (used.value ->> 2)::bigint FROM json_array_elements($1::json) AS used, token WHERE oauth_grant.organization_id = (used.value ->> 0)::uuid AND token.organization_id = oauth_grant.organization_id AND token.id = (used.value ->> 1)::uuid AND oauth_grant.id = token.oauth_grant_id AND oauth_grant.first_used_at IS NULL"
    };
    TOUCH = {
        sqlite: "UPDATE token SET last_used_at = used.value ->> 2 FROM json_each($1) AS used WHERE token.organization_id = unhex(used.value ->> 0) AND token.id = unhex(used.value ->> 1) AND (token.last_used_at IS NULL OR token.last_used_at < used.value ->> 2)",
        postgres: "UPDATE token SET last_used_at = (used.value ->> 2)::bigint FROM json_array_elements($1::json) AS used WHERE token.organization_id = (used.value ->> 0)::uuid AND token.id = (used.value ->> 1)::uuid AND (token.last_used_at IS NULL OR token.last_used_at < (used.value ->> 2)::bigint)"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    organization_id: Uuid,
    id: Uuid,
    kind: String,
    member_id: Option<Uuid>,
    service_account_id: Option<Uuid>,
    name: String,
    hash: Vec<u8>,
    prefix: String,
    last_four: String,
    scopes: Json<Scopes>,
    resource: Option<String>,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
    created_at: i64,
    oauth_grant_id: Option<Uuid>,
    toolkits: Option<Json<Vec<ToolkitId>>>,
    client: Option<String>,
}

#[derive(sqlx::FromRow)]
struct OwnerRow {
    #[sqlx(flatten)]
    token: Row,
    role: String,
    status: String,
    teams: Json<Vec<Uuid>>,
}

impl TryFrom<Row> for StoredToken {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        let caller = match (row.member_id, row.service_account_id) {
            (Some(id), None) => Caller::Member(MemberId::from_uuid(id)),
            (None, Some(id)) => Caller::ServiceAccount(ServiceAccountId::from_uuid(id)),
            _ => return Err(StorageError::Unreadable("token owner")),
        };
        let grant = row.oauth_grant_id.map(|id| TokenGrant {
            id: OauthGrantId::from_uuid(id),
            client: row.client.unwrap_or_default(),
            toolkits: row.toolkits.map(|toolkits| toolkits.0),
        });
        Ok(Self {
            id: TokenId::from_uuid(row.id),
            organization: OrganizationId::from_uuid(row.organization_id),
            kind: word(&row.kind, TokenKind::from_word, "token kind")?,
            caller,
            name: row.name,
            hash: digest(&row.hash, "token hash")?,
            prefix: row.prefix,
            last_four: row.last_four,
            scopes: row.scopes.0,
            resource: row.resource,
            expires_at: row.expires_at.map(Timestamp::from_micros),
            last_used_at: row.last_used_at.map(Timestamp::from_micros),
            revoked_at: row.revoked_at.map(Timestamp::from_micros),
            created_at: Timestamp::from_micros(row.created_at),
            grant,
        })
    }
}

impl TryFrom<OwnerRow> for TokenOwner {
    type Error = StorageError;

    fn try_from(row: OwnerRow) -> Result<Self, StorageError> {
        Ok(Self {
            token: row.token.try_into()?,
            role: role(&row.role)?,
            status: word(&row.status, MemberStatus::from_word, "owner status")?,
            teams: row.teams.0.into_iter().map(TeamId::from_uuid).collect(),
        })
    }
}

impl Tx {
    pub fn tokens(&mut self) -> Tokens<'_> {
        Tokens { tx: self }
    }
}

/// See [`Tx::tokens`].
#[derive(Debug)]
pub struct Tokens<'t> {
    tx: &'t mut Tx,
}

impl Tokens<'_> {
    pub async fn insert(self, token: &StoredToken) -> Result<(), StorageError> {
        let (member, service_account) = oauth_grant::owner(token.caller);
        let scopes = document(&token.scopes, "token scopes")?;
        let grant = token.grant.as_ref();
        let toolkits = grant.and_then(|grant| grant.toolkits.as_ref());
        let toolkits = toolkits.map(|toolkits| document(toolkits, "token toolkits")).transpose()?;
        execute!(
            self.tx,
            INSERT,
            token.organization.as_uuid(),
            token.id.as_uuid(),
            token.kind.as_str(),
            member,
            service_account,
            text(&token.name),
            &token.hash[..],
            &token.prefix,
            &token.last_four,
            &scopes,
            token.resource.as_deref(),
            token.expires_at.map(Timestamp::as_micros),
            token.created_at.as_micros(),
            grant.map(|grant| grant.id.as_uuid()),
            &toolkits,
            grant.map(|grant| grant.client.as_str()),
        )
        .map(drop)
    }

    /// The token of this SHA-256 with whose it is, revoked and expired ones too: one round trip.
    pub async fn find_by_hash(self, hash: &[u8; 32]) -> Result<Option<TokenOwner>, StorageError> {
        fetch_optional!(self.tx, FIND_BY_HASH => OwnerRow, &hash[..])?.map(OwnerRow::try_into).transpose()
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        id: TokenId,
    ) -> Result<Option<StoredToken>, StorageError> {
        fetch_optional!(self.tx, FIND => Row, organization.as_uuid(), id.as_uuid())?
            .map(Row::try_into)
            .transpose()
    }

    /// Newest first, revoked and expired ones too; of one member, or of everybody.
    pub async fn list(
        self,
        organization: OrganizationId,
        member: Option<MemberId>,
    ) -> Result<Vec<StoredToken>, StorageError> {
        let org = organization.as_uuid();
        let rows = match member {
            None => fetch_all!(self.tx, LIST => Row, org),
            Some(member) => fetch_all!(self.tx, LIST_OF_MEMBER => Row, org, member.as_uuid()),
        };
        rows?.into_iter().map(Row::try_into).collect()
    }

    /// Stores a token that was made with another one, and ends with it.
    pub async fn insert_child(self, token: &StoredToken, parent: TokenId) -> Result<(), StorageError> {
        let (org, id) = (token.organization.as_uuid(), token.id.as_uuid());
        self.tx.tokens().insert(token).await?;
        execute!(self.tx, SET_PARENT, org, id, parent.as_uuid()).map(drop)
    }

    /// Stores a token that a person made at a client where they signed in: it lives by itself, and remembers through which.
    pub async fn insert_through(self, token: &StoredToken, client: &str) -> Result<(), StorageError> {
        let (org, id) = (token.organization.as_uuid(), token.id.as_uuid());
        self.tx.tokens().insert(token).await?;
        execute!(self.tx, SET_CLIENT, org, id, client).map(drop)
    }

    /// `None` when there is no such token, or no longer the one that it was made with.
    pub async fn origin(
        self,
        organization: OrganizationId,
        id: TokenId,
    ) -> Result<Option<TokenOrigin>, StorageError> {
        let row =
            fetch_optional!(self.tx, ORIGIN => (Uuid, Option<String>), organization.as_uuid(), id.as_uuid())?;
        Ok(row.map(|(token, client)| TokenOrigin { token: TokenId::from_uuid(token), client }))
    }

    /// Ends a token and all that were made with it; whether it was still in force.
    pub async fn revoke(
        self,
        organization: OrganizationId,
        id: TokenId,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let (org, token) = (organization.as_uuid(), id.as_uuid());
        let revoked = execute!(self.tx, REVOKE, org, token, now.as_micros())? == 1;
        let made = execute!(self.tx, REVOKE_DESCENDANTS, org, token, now.as_micros())?;
        if revoked || made > 0 {
            self.tx.raise_version(organization).await?;
        }
        Ok(revoked)
    }

    /// Ends every access token of one grant.
    pub async fn revoke_of_grant(
        self,
        organization: OrganizationId,
        grant: OauthGrantId,
        now: Timestamp,
    ) -> Result<u64, StorageError> {
        let ended =
            execute!(self.tx, REVOKE_OF_GRANT, organization.as_uuid(), grant.as_uuid(), now.as_micros())?;
        self.tx.raise_version(organization).await?;
        Ok(ended)
    }

    /// Ends every access token that one client was given in this organization.
    pub(crate) async fn revoke_of_client(
        self,
        organization: OrganizationId,
        client: OauthClientId,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let (org, client) = (organization.as_uuid(), client.as_uuid());
        execute!(self.tx, REVOKE_OF_CLIENT, org, client, now.as_micros())?;
        self.tx.raise_version(organization).await
    }

    /// Ends everything a member's clients and scripts hold.
    pub async fn revoke_of_member(
        self,
        organization: OrganizationId,
        member: MemberId,
        now: Timestamp,
    ) -> Result<u64, StorageError> {
        let ended =
            execute!(self.tx, REVOKE_OF_MEMBER, organization.as_uuid(), member.as_uuid(), now.as_micros())?;
        self.tx.oauth_grants().revoke_of_member(organization, member, now).await?;
        self.tx.raise_version(organization).await?;
        Ok(ended)
    }

    /// Removes access tokens that expired before `before`.
    pub async fn forget_expired(
        self,
        organization: OrganizationId,
        before: Timestamp,
    ) -> Result<u64, StorageError> {
        execute!(self.tx, FORGET_EXPIRED, organization.as_uuid(), before.as_micros())
    }

    /// Notes when tokens were last used: many at once, now and then.
    pub async fn touch_last_used(
        self,
        used: &[(OrganizationId, TokenId, Timestamp)],
    ) -> Result<(), StorageError> {
        if used.is_empty() {
            return Ok(());
        }
        let used: Vec<(String, String, i64)> = used
            .iter()
            .map(|(org, id, at)| {
                (org.as_uuid().simple().to_string(), id.as_uuid().simple().to_string(), at.as_micros())
            })
            .collect();
        let used = serde_json::to_string(&used).map_err(|_| StorageError::Unreadable("token use"))?;
        execute!(self.tx, TOUCH, &used)?;
        execute!(self.tx, TOUCH_GRANTS, &used).map(drop)
    }
}
