//! Console sessions: who is signed in where, and how to end it from elsewhere.

use serde::Serialize;
use serde_json::json;
use switchboard_domain::{Caller, Principal, SessionId, Timestamp};
use switchboard_storage::Session;

use super::{Operation, Page, PageRequest, Refusal, Target, authorize, record::Change};
use crate::Broker;

/// A session: somebody signed in, in one browser.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Session)]
pub struct SessionView {
    #[schema(value_type = String)]
    pub id: SessionId,
    /// Whether it is the one that asks.
    pub current: bool,
    /// How it was opened: `password`, or the slug of an identity provider.
    pub method: String,
    /// What the browser says it is. Anybody can claim anything here.
    pub browser: String,
    /// Address it was opened from.
    pub source: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the person last proved who they are.
    #[schema(value_type = String, format = DateTime)]
    pub authenticated_at: Timestamp,
    /// Exact to a minute.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

impl SessionView {
    fn of(session: Session, asking: &Principal) -> Self {
        Self {
            id: session.id,
            current: asking.proof.session() == Some(session.id),
            method: session.method,
            browser: session.user_agent,
            source: session.source,
            created_at: session.created_at,
            authenticated_at: session.authenticated_at,
            last_seen_at: session.last_seen_at,
            expires_at: session.expires_at,
        }
    }
}

impl Broker {
    /// The caller's own that are open, the newest first. A service account has none.
    pub async fn list_sessions(
        &self,
        principal: &Principal,
        page: &PageRequest,
    ) -> Result<Page<SessionView>, Refusal> {
        let _allowed = authorize(principal, Operation::ListSessions, Target::Organization)?;
        let now = self.clock().now();
        let mut open = match principal.member() {
            Some(member) => {
                self.db().single().await?.sessions().list(principal.organization, member, now).await?
            }
            None => Vec::new(),
        };
        open.retain(|session| self.is_within_limits(session, now));
        let key = |session: &Session| format!("{:032x}", u128::MAX - session.id.as_uuid().as_u128());
        open.sort_by_key(key);
        Ok(page.cut(open, key)?.map(|session| SessionView::of(session, principal)))
    }

    /// Ends a session: one's own, an admin anybody's.
    pub async fn revoke_session(&self, principal: &Principal, id: SessionId) -> Result<(), Refusal> {
        let found = self.db().single().await?.sessions().find(principal.organization, id).await?;
        let session = found.ok_or_else(Refusal::not_found)?;
        let owner = Caller::Member(session.member);
        let allowed = authorize(principal, Operation::RevokeSession, Target::Of(owner))?;
        let mut tx = self.db().write().await?;
        tx.sessions().revoke(principal.organization, session.member, id, self.clock().now()).await?;
        let details = json!({ "owner": owner.to_string() });
        self.commit_change(&allowed, tx, Change::of(id).with(details)).await
    }

    /// Ends the caller's sessions but for the one that asks; all of them when a token asks.
    pub async fn revoke_other_sessions(&self, principal: &Principal) -> Result<(), Refusal> {
        let allowed = authorize(principal, Operation::RevokeOtherSessions, Target::Organization)?;
        let mut tx = self.db().write().await?;
        let ended = match principal.member() {
            Some(member) => {
                let stays = principal.proof.session();
                tx.sessions()
                    .revoke_of_member(principal.organization, member, stays, self.clock().now())
                    .await?
            }
            None => 0,
        };
        let change = Change::of(principal.caller).with(json!({ "ended": ended }));
        self.commit_change(&allowed, tx, change).await
    }
}
