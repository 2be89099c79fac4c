//! Console sessions: a person signed in, in one browser. The cookie's SHA-256 is here, never the cookie.

use sqlx::types::Json;
use switchboard_domain::{MemberId, OrganizationId, Role, SessionId, TeamId, Timestamp};
use uuid::Uuid;

use crate::{
    MemberStatus, StorageError, Tx,
    row::{digest, role, text, word},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// A session as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub organization: OrganizationId,
    pub member: MemberId,
    /// SHA-256 of the cookie's value.
    pub hash: [u8; 32],
    /// `password`, or the slug of an identity provider.
    pub method: String,
    /// What the browser said it is. Untrusted.
    pub user_agent: String,
    /// Address it was opened from.
    pub source: String,
    pub created_at: Timestamp,
    /// When the person last proved who they are: sensitive actions ask for a recent one.
    pub authenticated_at: Timestamp,
    pub last_seen_at: Timestamp,
    /// The absolute end; the idle limit is counted from `last_seen_at`.
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

/// A session with whose it is, as things stand now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOwner {
    pub session: Session,
    pub email: String,
    pub display_name: String,
    pub role: Role,
    pub status: MemberStatus,
    pub teams: Vec<TeamId>,
}

statements! {
    INSERT = "INSERT INTO session (organization_id, id, member_id, hash, method, user_agent, source, created_at, authenticated_at, last_seen_at, expires_at, revoked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, NULL)";
    /// The cookie itself says which organization it is of: its hash is unique among all.
    FIND_BY_HASH = {
        sqlite: "SELECT s.organization_id, s.id, s.member_id, s.hash, s.method, s.user_agent, s.source, s.created_at, s.authenticated_at, s.last_seen_at, s.expires_at, s.revoked_at, m.email, m.display_name, m.role, m.status, (SELECT json_group_array(hex(g.team_id)) FROM team_member g WHERE g.organization_id = s.organization_id AND g.member_id = s.member_id) AS teams FROM session s JOIN member m ON m.organization_id = s.organization_id AND m.id = s.member_id WHERE s.hash = $1",
        postgres: "SELECT s.organization_id, s.id, s.member_id, s.hash, s.method, s.user_agent, s.source, s.created_at, s.authenticated_at, s.last_seen_at, s.expires_at, s.revoked_at, m.email, m.display_name, m.role, m.status, (SELECT coalesce(json_agg(g.team_id), '[]') FROM team_member g WHERE g.organization_id = s.organization_id AND g.member_id = s.member_id) AS teams FROM session s JOIN member m ON m.organization_id = s.organization_id AND m.id = s.member_id WHERE s.hash = $1"
    };
    LIST_OF_MEMBER = "SELECT organization_id, id, member_id, hash, method, user_agent, source, created_at, authenticated_at, last_seen_at, expires_at, revoked_at FROM session WHERE organization_id = $1 AND member_id = $2 AND revoked_at IS NULL AND expires_at > $3 ORDER BY last_seen_at DESC, id DESC";
    FIND = "SELECT organization_id, id, member_id, hash, method, user_agent, source, created_at, authenticated_at, last_seen_at, expires_at, revoked_at FROM session WHERE organization_id = $1 AND id = $2";
    SEEN = "UPDATE session SET last_seen_at = $3 WHERE organization_id = $1 AND id = $2 AND last_seen_at < $3";
    AUTHENTICATED = "UPDATE session SET hash = $3, authenticated_at = $4 WHERE organization_id = $1 AND id = $2 AND revoked_at IS NULL";
    REVOKE = "UPDATE session SET revoked_at = $4 WHERE organization_id = $1 AND member_id = $2 AND id = $3 AND revoked_at IS NULL";
    /// `$4` is the session that stays, or an id that none has.
    REVOKE_OF_MEMBER = "UPDATE session SET revoked_at = $3 WHERE organization_id = $1 AND member_id = $2 AND revoked_at IS NULL AND id <> $4";
    FORGET = "DELETE FROM session WHERE organization_id = $1 AND (expires_at < $2 OR revoked_at < $2 OR last_seen_at < $3)";
}

#[derive(sqlx::FromRow)]
struct Row {
    organization_id: Uuid,
    id: Uuid,
    member_id: Uuid,
    hash: Vec<u8>,
    method: String,
    user_agent: String,
    source: String,
    created_at: i64,
    authenticated_at: i64,
    last_seen_at: i64,
    expires_at: i64,
    revoked_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct OwnerRow {
    #[sqlx(flatten)]
    session: Row,
    email: String,
    display_name: String,
    role: String,
    status: String,
    teams: Json<Vec<Uuid>>,
}

impl TryFrom<Row> for Session {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        Ok(Self {
            id: SessionId::from_uuid(row.id),
            organization: OrganizationId::from_uuid(row.organization_id),
            member: MemberId::from_uuid(row.member_id),
            hash: digest(&row.hash, "session hash")?,
            method: row.method,
            user_agent: row.user_agent,
            source: row.source,
            created_at: Timestamp::from_micros(row.created_at),
            authenticated_at: Timestamp::from_micros(row.authenticated_at),
            last_seen_at: Timestamp::from_micros(row.last_seen_at),
            expires_at: Timestamp::from_micros(row.expires_at),
            revoked_at: row.revoked_at.map(Timestamp::from_micros),
        })
    }
}

impl TryFrom<OwnerRow> for SessionOwner {
    type Error = StorageError;

    fn try_from(row: OwnerRow) -> Result<Self, StorageError> {
        Ok(Self {
            session: row.session.try_into()?,
            email: row.email,
            display_name: row.display_name,
            role: role(&row.role)?,
            status: word(&row.status, MemberStatus::from_word, "member status")?,
            teams: row.teams.0.into_iter().map(TeamId::from_uuid).collect(),
        })
    }
}

impl Tx {
    pub fn sessions(&mut self) -> Sessions<'_> {
        Sessions { tx: self }
    }
}

/// See [`Tx::sessions`].
#[derive(Debug)]
pub struct Sessions<'t> {
    tx: &'t mut Tx,
}

impl Sessions<'_> {
    pub async fn insert(self, session: &Session) -> Result<(), StorageError> {
        execute!(
            self.tx,
            INSERT,
            session.organization.as_uuid(),
            session.id.as_uuid(),
            session.member.as_uuid(),
            &session.hash[..],
            &session.method,
            text(&session.user_agent),
            &session.source,
            session.created_at.as_micros(),
            session.authenticated_at.as_micros(),
            session.last_seen_at.as_micros(),
            session.expires_at.as_micros(),
        )
        .map(drop)
    }

    /// The session of this SHA-256 with whose it is, ended ones too: one round trip.
    pub async fn find_by_hash(self, hash: &[u8; 32]) -> Result<Option<SessionOwner>, StorageError> {
        fetch_optional!(self.tx, FIND_BY_HASH => OwnerRow, &hash[..])?.map(OwnerRow::try_into).transpose()
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        id: SessionId,
    ) -> Result<Option<Session>, StorageError> {
        fetch_optional!(self.tx, FIND => Row, organization.as_uuid(), id.as_uuid())?
            .map(Row::try_into)
            .transpose()
    }

    /// Those that are not over, the last used first.
    pub async fn list(
        self,
        organization: OrganizationId,
        member: MemberId,
        now: Timestamp,
    ) -> Result<Vec<Session>, StorageError> {
        let (org, member) = (organization.as_uuid(), member.as_uuid());
        fetch_all!(self.tx, LIST_OF_MEMBER => Row, org, member, now.as_micros())?
            .into_iter()
            .map(Row::try_into)
            .collect()
    }

    pub async fn seen(
        self,
        organization: OrganizationId,
        id: SessionId,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        execute!(self.tx, SEEN, organization.as_uuid(), id.as_uuid(), now.as_micros()).map(drop)
    }

    /// The person proved again who they are: a new cookie takes the old one's place.
    pub async fn authenticated(
        self,
        organization: OrganizationId,
        id: SessionId,
        hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let (org, id) = (organization.as_uuid(), id.as_uuid());
        let rotated = execute!(self.tx, AUTHENTICATED, org, id, &hash[..], now.as_micros())? == 1;
        self.tx.raise_version(organization).await?;
        Ok(rotated)
    }

    /// Ends one session of a member; whether it was still open.
    pub async fn revoke(
        self,
        organization: OrganizationId,
        member: MemberId,
        id: SessionId,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let (org, member, id) = (organization.as_uuid(), member.as_uuid(), id.as_uuid());
        let revoked = execute!(self.tx, REVOKE, org, member, id, now.as_micros())? == 1;
        self.tx.raise_version(organization).await?;
        Ok(revoked)
    }

    /// Ends a member's sessions, but for one that may stay.
    pub async fn revoke_of_member(
        self,
        organization: OrganizationId,
        member: MemberId,
        but: Option<SessionId>,
        now: Timestamp,
    ) -> Result<u64, StorageError> {
        let (org, member) = (organization.as_uuid(), member.as_uuid());
        let but = but.map_or(Uuid::nil(), SessionId::as_uuid);
        let ended = execute!(self.tx, REVOKE_OF_MEMBER, org, member, now.as_micros(), but)?;
        self.tx.raise_version(organization).await?;
        Ok(ended)
    }

    /// Removes what ended before `over`, or was not seen since `idle`.
    pub async fn forget(
        self,
        organization: OrganizationId,
        over: Timestamp,
        idle: Timestamp,
    ) -> Result<u64, StorageError> {
        execute!(self.tx, FORGET, organization.as_uuid(), over.as_micros(), idle.as_micros())
    }
}
