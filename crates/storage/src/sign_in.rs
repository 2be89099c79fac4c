//! Sign-ins under way: a browser was sent to an identity provider and has to come back. `state` and the browser's
//! cookie are here as SHA-256 only; a row is taken out by whoever comes back with its `state`, once.

use switchboard_domain::{IdentityProviderId, OrganizationId, SessionId, Timestamp};
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    row::{digest, word},
    statement::{execute, fetch_optional, statements},
};

/// What for somebody was sent to their provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInPurpose {
    /// To open a session, also with an invitation in hand.
    SignIn,
    /// To prove again who they are, in the session they have.
    Reauthenticate,
    /// To connect the account at the provider with the member they are signed in as.
    Link,
}

impl SignInPurpose {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Reauthenticate => "reauthenticate",
            Self::Link => "link",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::SignIn, Self::Reauthenticate, Self::Link].into_iter().find(|it| it.as_str() == word)
    }
}

/// A sign-in under way, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    pub organization: OrganizationId,
    pub provider: IdentityProviderId,
    /// The provider's settings as they were when it began.
    pub provider_revision: i64,
    pub state_hash: [u8; 32],
    /// SHA-256 of the cookie of the browser that was sent off.
    pub browser_hash: [u8; 32],
    pub purpose: SignInPurpose,
    /// The session it is about, unless it opens one.
    pub session: Option<SessionId>,
    /// A path of ours.
    pub return_to: String,
    /// SHA-256 of the invitation that is being accepted.
    pub invitation_hash: Option<[u8; 32]>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

statements! {
    INSERT = "INSERT INTO sign_in (organization_id, identity_provider_id, state_hash, browser_hash, return_to, invitation_hash, created_at, expires_at, purpose, session_id, provider_revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    TAKE = "DELETE FROM sign_in WHERE organization_id = $1 AND identity_provider_id = $2 AND state_hash = $3 RETURNING organization_id, identity_provider_id, state_hash, browser_hash, return_to, invitation_hash, created_at, expires_at, purpose, session_id, provider_revision";
    FORGET = "DELETE FROM sign_in WHERE organization_id = $1 AND expires_at < $2";
}

#[derive(sqlx::FromRow)]
struct Row {
    organization_id: Uuid,
    identity_provider_id: Uuid,
    state_hash: Vec<u8>,
    browser_hash: Vec<u8>,
    return_to: String,
    invitation_hash: Option<Vec<u8>>,
    created_at: i64,
    expires_at: i64,
    purpose: String,
    session_id: Option<Uuid>,
    provider_revision: i64,
}

impl TryFrom<Row> for SignIn {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        let invitation_hash = row.invitation_hash.map(|hash| digest(&hash, "invitation hash")).transpose()?;
        Ok(Self {
            organization: OrganizationId::from_uuid(row.organization_id),
            provider: IdentityProviderId::from_uuid(row.identity_provider_id),
            provider_revision: row.provider_revision,
            state_hash: digest(&row.state_hash, "state hash")?,
            browser_hash: digest(&row.browser_hash, "browser hash")?,
            purpose: word(&row.purpose, SignInPurpose::from_word, "purpose of a sign-in")?,
            session: row.session_id.map(SessionId::from_uuid),
            return_to: row.return_to,
            invitation_hash,
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: Timestamp::from_micros(row.expires_at),
        })
    }
}

impl Tx {
    pub fn sign_ins(&mut self) -> SignIns<'_> {
        SignIns { tx: self }
    }
}

/// See [`Tx::sign_ins`].
#[derive(Debug)]
pub struct SignIns<'t> {
    tx: &'t mut Tx,
}

impl SignIns<'_> {
    pub async fn insert(self, sign_in: &SignIn) -> Result<(), StorageError> {
        execute!(
            self.tx,
            INSERT,
            sign_in.organization.as_uuid(),
            sign_in.provider.as_uuid(),
            &sign_in.state_hash[..],
            &sign_in.browser_hash[..],
            &sign_in.return_to,
            sign_in.invitation_hash.map(Vec::from),
            sign_in.created_at.as_micros(),
            sign_in.expires_at.as_micros(),
            sign_in.purpose.as_str(),
            sign_in.session.map(SessionId::as_uuid),
            sign_in.provider_revision,
        )
        .map(drop)
    }

    /// Burns it: whatever comes of it, nobody comes back with the same `state` again. Expired ones too.
    pub async fn take(
        self,
        organization: OrganizationId,
        provider: IdentityProviderId,
        state_hash: &[u8; 32],
    ) -> Result<Option<SignIn>, StorageError> {
        let (org, provider) = (organization.as_uuid(), provider.as_uuid());
        fetch_optional!(self.tx, TAKE => Row, org, provider, &state_hash[..])?.map(Row::try_into).transpose()
    }

    /// Removes those whose browser never came back.
    pub async fn forget_expired(
        self,
        organization: OrganizationId,
        now: Timestamp,
    ) -> Result<u64, StorageError> {
        execute!(self.tx, FORGET, organization.as_uuid(), now.as_micros())
    }
}
