//! What a signed-in person does with their own password: prove again who they are, or choose a new one.
//!
//! Both give the session a new cookie (OWASP session management cheat sheet: renew the id after every change of
//! privilege), so that one that was seen before is worth nothing after. Both count as sign-in attempts: a stolen
//! session can't try passwords any faster than a stranger.

use std::time::Duration;

use serde_json::json;
use switchboard_domain::{AuditOutcome, AuditPhase, AuditRecord, SecretValue};
use switchboard_storage::{StorageError, Tx};
use switchboard_vault::{PasswordError, TokenKind, check_password, hash_password, issue};

use crate::{
    Broker, TooMany, audit,
    session::{Browser, SignedIn},
};

/// A sensitive action asks for a proof no older than this.
const RECENT: Duration = Duration::from_secs(15 * 60);

/// How proving again ended.
#[derive(Debug)]
pub enum Reauthentication {
    /// The session goes on under this cookie.
    Done(SecretValue),
    /// The password is wrong, or the person has none here.
    Refused,
    TooMany(TooMany),
}

/// How choosing a new password ended.
#[derive(Debug)]
pub enum PasswordChange {
    /// The session goes on under this cookie; all others of the person are over.
    Done(SecretValue),
    /// The old one is wrong, or the person has none here.
    Refused,
    TooMany(TooMany),
    /// The new one can't be taken.
    Unusable(PasswordError),
}

/// What was being done, for the audit log.
#[derive(Clone, Copy)]
enum Doing {
    Reauthenticate,
    ChangePassword,
}

impl Doing {
    const fn action(self) -> &'static str {
        match self {
            Self::Reauthenticate => "session.reauthenticate",
            Self::ChangePassword => "member.change_password",
        }
    }
}

impl Broker {
    /// Whether the person proved who they are a short while ago. What is sensitive (keys, roles, a looser policy) asks
    /// for it, and else sends them to `/reauthenticate`.
    pub fn recently(&self, signed_in: &SignedIn) -> bool {
        self.clock().now().since(signed_in.authenticated_at) < RECENT
    }

    pub async fn reauthenticate(
        &self,
        signed_in: &SignedIn,
        password: &SecretValue,
        browser: &Browser,
    ) -> Result<Reauthentication, StorageError> {
        if let Err(too_many) = self.sign_in_limits().check(&signed_in.email, browser.source) {
            return Ok(Reauthentication::TooMany(too_many));
        }
        if !self.has_password(signed_in, password).await? {
            self.record_own(signed_in, Doing::Reauthenticate, AuditOutcome::Refused, browser).await;
            return Ok(Reauthentication::Refused);
        }
        let mut tx = self.db().write().await?;
        let Some(cookie) = self.new_cookie(&mut tx, signed_in).await? else {
            return Ok(Reauthentication::Refused);
        };
        tx.commit().await?;
        self.record_own(signed_in, Doing::Reauthenticate, AuditOutcome::Ok, browser).await;
        Ok(Reauthentication::Done(cookie))
    }

    pub async fn change_password(
        &self,
        signed_in: &SignedIn,
        old: &SecretValue,
        new: &SecretValue,
        browser: &Browser,
    ) -> Result<PasswordChange, StorageError> {
        if let Err(too_many) = self.sign_in_limits().check(&signed_in.email, browser.source) {
            return Ok(PasswordChange::TooMany(too_many));
        }
        if !self.has_password(signed_in, old).await? {
            self.record_own(signed_in, Doing::ChangePassword, AuditOutcome::Refused, browser).await;
            return Ok(PasswordChange::Refused);
        }
        if let Err(error) = check_password(new, &[&signed_in.email]) {
            return Ok(PasswordChange::Unusable(error));
        }
        let hash = match self.hash(new).await {
            Ok(hash) => hash,
            Err(error) => return Ok(PasswordChange::Unusable(error)),
        };
        let (organization, member) = (signed_in.principal.organization, signed_in.member);
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        let Some(cookie) = self.new_cookie(&mut tx, signed_in).await? else {
            return Ok(PasswordChange::Refused);
        };
        tx.members().set_password(organization, member, &hash, now).await?;
        tx.sessions().revoke_of_member(organization, member, Some(signed_in.session), now).await?;
        tx.commit().await?;
        self.record_own(signed_in, Doing::ChangePassword, AuditOutcome::Ok, browser).await;
        Ok(PasswordChange::Done(cookie))
    }

    async fn has_password(&self, signed_in: &SignedIn, password: &SecretValue) -> Result<bool, StorageError> {
        let hash = self.usable_password(signed_in).await?;
        Ok(self.verify(password, hash).await)
    }

    /// Whether the person can prove with a password who they are; otherwise their identity provider does.
    pub async fn has_usable_password(&self, signed_in: &SignedIn) -> Result<bool, StorageError> {
        Ok(self.usable_password(signed_in).await?.is_some())
    }

    async fn usable_password(&self, signed_in: &SignedIn) -> Result<Option<String>, StorageError> {
        let organization = signed_in.principal.organization;
        let mut tx = self.db().read().await?;
        let member = tx.members().find(organization, signed_in.member).await?;
        if !member.is_some_and(|member| self.may_use_password(&member)) {
            return Ok(None);
        }
        tx.members().password_hash(organization, signed_in.member).await
    }

    async fn hash(&self, password: &SecretValue) -> Result<String, PasswordError> {
        let (password, random) = (password.clone(), self.0.random.clone());
        self.on_password_thread(move || hash_password(&password, &*random))
            .await
            .unwrap_or(Err(PasswordError::OutOfMemory))
    }

    /// `None` when the session was ended meanwhile.
    pub(crate) async fn new_cookie(
        &self,
        tx: &mut Tx,
        signed_in: &SignedIn,
    ) -> Result<Option<SecretValue>, StorageError> {
        let issued = issue(TokenKind::Session, self.random());
        let (organization, now) = (signed_in.principal.organization, self.clock().now());
        let renewed =
            tx.sessions().authenticated(organization, signed_in.session, &issued.hash.0, now).await?;
        Ok(renewed.then_some(issued.secret))
    }

    async fn record_own(&self, signed_in: &SignedIn, doing: Doing, outcome: AuditOutcome, browser: &Browser) {
        let record = AuditRecord {
            actor: Some(json!({ "type": "member", "id": signed_in.member, "session": signed_in.session })),
            target: Some(signed_in.member.to_string()),
            outcome: Some(outcome),
            details: Some(json!({ "method": "password", "source": browser.source })),
            ..AuditRecord::default()
        };
        let (organization, now) = (signed_in.principal.organization, self.clock().now());
        let event = audit::event(organization, now, AuditPhase::Event, doing.action(), record);
        if self.audit().write(event).await.is_err() {
            tracing::error!(action = doing.action(), "it could not be put on record");
        }
    }
}
