//! Console sessions: a person signs in, a browser gets a cookie, the cookie becomes a principal.
//!
//! The cookie is 256 random bits, kept as SHA-256 (OWASP session management cheat sheet). Every request looks it up:
//! the console is no call path, and so a session that was ended anywhere is over everywhere at once. A session ends
//! when it is not used for `session.idle`, `session.absolute` after it was opened at the latest, and with its member.

use std::{net::IpAddr, time::Duration};

use switchboard_domain::{
    Caller, MemberId, OrganizationId, Principal, Proof, Scope, SecretValue, SessionId, Timestamp,
};
use switchboard_storage::{MemberStatus, Session, SessionOwner, StorageError};
use switchboard_vault::{TokenKind, issue, parse};

use crate::{Broker, FormOwner, text};

/// How long a session holds (setting `session`).
#[derive(Debug, Clone, Copy)]
pub struct SessionSettings {
    /// Without a request for this long, it is over.
    pub idle: Duration,
    /// However busy, it is over after this.
    pub absolute: Duration,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self { idle: Duration::from_secs(12 * 3600), absolute: Duration::from_secs(7 * 24 * 3600) }
    }
}

/// How exactly `last_seen_at` is kept.
const SEEN_EVERY: Duration = Duration::from_secs(60);

/// How long a session that is over is still known: a form that was left open over the weekend finds its owner.
pub(crate) const KNOWN_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// Whose session, opened how and from where.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    pub organization: OrganizationId,
    pub member: MemberId,
    /// `password`, or the slug of an identity provider.
    pub method: &'a str,
    pub browser: &'a Browser,
}

/// What is known of whoever is at the other end. Untrusted text, shown in the list of sessions.
#[derive(Debug, Clone, Default)]
pub struct Browser {
    pub user_agent: String,
    pub source: Option<IpAddr>,
}

/// A session that was just opened. `cookie` goes to the browser and nowhere else.
#[derive(Debug)]
pub struct OpenedSession {
    pub cookie: SecretValue,
    pub id: SessionId,
    pub expires_at: Timestamp,
}

/// Somebody signed in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    pub principal: Principal,
    pub session: SessionId,
    pub member: MemberId,
    pub email: String,
    pub display_name: String,
    pub authenticated_at: Timestamp,
}

impl Broker {
    /// A session as it will be stored, with its cookie.
    pub(crate) fn new_session(&self, new: NewSession<'_>) -> (Session, SecretValue) {
        let issued = issue(TokenKind::Session, self.random());
        let now = self.clock().now();
        let session = Session {
            id: SessionId::new(self.clock(), self.random()),
            organization: new.organization,
            member: new.member,
            hash: issued.hash.0,
            method: new.method.to_owned(),
            user_agent: text::one_line(&new.browser.user_agent, 300),
            source: new.browser.source.map(|source| source.to_string()).unwrap_or_default(),
            created_at: now,
            authenticated_at: now,
            last_seen_at: now,
            expires_at: now.plus(self.settings().session.absolute),
            revoked_at: None,
        };
        (session, issued.secret)
    }

    /// Opens a session for a member who proved who they are.
    pub(crate) async fn open_session(&self, new: NewSession<'_>) -> Result<OpenedSession, StorageError> {
        let (session, cookie) = self.new_session(new);
        let mut tx = self.db().write().await?;
        tx.sessions().insert(&session).await?;
        tx.commit().await?;
        Ok(OpenedSession { cookie, id: session.id, expires_at: session.expires_at })
    }

    /// Who a cookie is; `None` when it is nobody's, over, or its member is kept out.
    pub async fn session(&self, cookie: &str) -> Result<Option<SignedIn>, StorageError> {
        let Ok(parsed) = parse(cookie) else { return Ok(None) };
        if parsed.kind != TokenKind::Session {
            return Ok(None);
        }
        let found = self.db().single().await?.sessions().find_by_hash(parsed.hash.as_bytes()).await?;
        let now = self.clock().now();
        let Some(owner) = found.filter(|owner| self.is_open(owner, now)) else { return Ok(None) };
        if now.since(owner.session.last_seen_at) >= SEEN_EVERY {
            let mut tx = self.db().write().await?;
            tx.sessions().seen(owner.session.organization, owner.session.id, now).await?;
            tx.commit().await?;
        }
        Ok(Some(signed_in(owner)))
    }

    /// Whose a session was that is over: so that what they sent in it can wait for them. It opens nothing.
    pub async fn owner_of_ended_session(&self, cookie: &str) -> Option<FormOwner> {
        let parsed = parse(cookie).ok().filter(|parsed| parsed.kind == TokenKind::Session)?;
        let mut tx = self.db().single().await.ok()?;
        let owner = tx.sessions().find_by_hash(parsed.hash.as_bytes()).await.ok()??;
        let of = (owner.session.organization, owner.session.member);
        (owner.status == MemberStatus::Active).then_some(of)
    }

    fn is_open(&self, owner: &SessionOwner, now: Timestamp) -> bool {
        let session = &owner.session;
        owner.status == MemberStatus::Active
            && session.revoked_at.is_none()
            && session.expires_at > now
            && self.is_within_limits(session, now)
    }

    /// As the settings are now: also for who signed in before the operator made them shorter.
    pub(crate) fn is_within_limits(&self, session: &Session, now: Timestamp) -> bool {
        let limits = self.settings().session;
        now.since(session.created_at) < limits.absolute && now.since(session.last_seen_at) < limits.idle
    }

    /// Signs out: this session alone.
    pub async fn end_session(&self, signed_in: &SignedIn) -> Result<(), StorageError> {
        let organization = signed_in.principal.organization;
        let mut tx = self.db().write().await?;
        tx.sessions().revoke(organization, signed_in.member, signed_in.session, self.clock().now()).await?;
        tx.commit().await
    }
}

fn signed_in(owner: SessionOwner) -> SignedIn {
    let session = owner.session;
    SignedIn {
        principal: Principal {
            organization: session.organization,
            caller: Caller::Member(session.member),
            role: owner.role,
            teams: owner.teams.into(),
            scopes: [Scope::McpRead, Scope::McpWrite, Scope::Api].into_iter().collect(),
            proof: Proof::Session(session.id),
            toolkits: None,
        },
        session: session.id,
        member: session.member,
        email: owner.email,
        display_name: owner.display_name,
        authenticated_at: session.authenticated_at,
    }
}
