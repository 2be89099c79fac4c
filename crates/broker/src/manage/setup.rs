//! The first owner, made by whoever holds the single-use setup link.
//!
//! No principal asks here: the link is the proof. Opening it changes nothing; redeeming burns it in the transaction
//! that makes the organization, its owner and a first token, so that of two people who redeem one is refused.

use std::sync::Arc;

use serde_json::json;
use switchboard_domain::{
    AuditOutcome, AuditPhase, AuditRecord, Caller, MemberId, OrganizationId, Role, Scope, SecretValue, Slug,
};
use switchboard_storage::{
    InsertMember, InsertOrganization, Member, MemberStatus, Organization, StorageError, Tx,
};
use switchboard_vault::{PasswordError, TokenHash, TokenKind, hash_password, parse};
use tokio::sync::Semaphore;

use super::{
    CreatedToken, Refusal,
    refusal::Violations,
    token::{DEFAULT_DAYS, TokenPlan, max_days},
};
use crate::{Broker, Browser, OpenedSession, audit, session::NewSession};

/// Slug of an organization whose name makes none.
const FIRST_SLUG: &str = "main";
/// Passwords hashed at once: each takes 19 MiB and a processor for a while, on purpose.
static HASHING: Semaphore = Semaphore::const_new(2);

/// Whether a link can still be redeemed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetupLinkState {
    Valid,
    Used,
    Expired,
    /// Never given out, or replaced by a newer one.
    Unknown,
}

/// Who wants to be the owner.
#[derive(Debug)]
pub struct SetupRequest {
    pub organization_name: String,
    pub email: String,
    pub password: SecretValue,
}

/// What a redeemed link made.
#[derive(Debug)]
pub struct SetupDone {
    pub organization_name: String,
    pub organization_slug: Slug,
    pub email: String,
    pub token: CreatedToken,
    /// The browser that did it is signed in; not, when that failed after everything else was done.
    pub session: Option<OpenedSession>,
}

/// Why it made nothing.
#[derive(Debug)]
pub enum SetupError {
    Link(SetupLinkState),
    Refused(Refusal),
}

impl<E: Into<Refusal>> From<E> for SetupError {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

impl Broker {
    /// Whether anybody owns anything here yet.
    pub async fn owner_exists(&self) -> Result<bool, StorageError> {
        self.db().single().await?.members().owners_exist().await
    }

    pub async fn setup_link_state(&self, token: &str) -> Result<SetupLinkState, StorageError> {
        let Some(hash) = setup_hash(token) else { return Ok(SetupLinkState::Unknown) };
        let mut tx = self.db().single().await?;
        let found = tx.setup_links().find(hash.as_bytes()).await?;
        // Made for the first owner: once there is one, however they came, no link makes another.
        let owned = tx.members().owners_exist().await?;
        Ok(match found {
            None => SetupLinkState::Unknown,
            Some(_) if owned => SetupLinkState::Used,
            Some(link) if link.used_at.is_some() => SetupLinkState::Used,
            Some(link) if link.expires_at <= self.clock().now() => SetupLinkState::Expired,
            Some(_) => SetupLinkState::Valid,
        })
    }

    pub async fn redeem_setup_link(
        &self,
        token: &str,
        request: SetupRequest,
        browser: &Browser,
    ) -> Result<SetupDone, SetupError> {
        // Before a password is hashed: only who holds a link may make us work.
        match self.setup_link_state(token).await? {
            SetupLinkState::Valid => {}
            state => return Err(SetupError::Link(state)),
        }
        let hash = setup_hash(token).ok_or(SetupError::Link(SetupLinkState::Unknown))?;
        let email = check_request(&request)?;
        let password_hash = self.hash_new_password(request.password).await?;
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        let burned = tx.setup_links().redeem(hash.as_bytes(), now).await?;
        if !burned || tx.members().owners_exist().await? {
            return Err(SetupError::Link(SetupLinkState::Used));
        }
        let organization = self.first_organization(&mut tx, &request.organization_name).await?;
        let member = self.first_owner(&mut tx, organization.id, &email, &password_hash).await?;
        let plan = TokenPlan {
            until: None,
            organization: organization.id,
            caller: Caller::Member(member),
            name: "First token".into(),
            scopes: [Scope::McpRead, Scope::McpWrite, Scope::Api].into_iter().collect(),
            resource: None,
            days: DEFAULT_DAYS.min(max_days(&organization.settings)),
        };
        let (stored, secret) = plan.issue(self.clock(), self.random());
        tx.tokens().insert(&stored).await?;
        let record = AuditRecord {
            actor: Some(json!({ "type": "setup_link", "id": "setup_link" })),
            target: Some(member.to_string()),
            outcome: Some(AuditOutcome::Ok),
            details: Some(json!({ "email": email, "role": "owner", "token": stored.id })),
            ..AuditRecord::default()
        };
        let event = audit::event(organization.id, now, AuditPhase::Event, "setup.redeem", record);
        self.commit_recorded(tx, event).await?;
        self.refresh_snapshots().await?;
        let session = NewSession { organization: organization.id, member, method: "password", browser };
        Ok(SetupDone {
            session: self.open_session(session).await.ok(),
            organization_name: organization.name,
            organization_slug: organization.slug,
            email,
            token: CreatedToken { secret, token: stored.into() },
        })
    }

    async fn first_organization(&self, tx: &mut Tx, name: &str) -> Result<Organization, Refusal> {
        if let Some(first) = tx.organizations().list().await?.into_iter().next() {
            return Ok(first);
        }
        let organization = Organization {
            id: OrganizationId::new(self.clock(), self.random()),
            slug: slug_of(name),
            name: name.trim().to_owned(),
            settings: json!({}),
            version: 1,
            created_at: self.clock().now(),
        };
        match tx.organizations().insert(&organization).await? {
            InsertOrganization::Inserted => Ok(organization),
            InsertOrganization::SlugTaken => {
                Err(Refusal::conflict("slug_taken", "There is an organization of this name already."))
            }
        }
    }

    async fn first_owner(
        &self,
        tx: &mut Tx,
        organization: OrganizationId,
        email: &str,
        password_hash: &str,
    ) -> Result<MemberId, Refusal> {
        let now = self.clock().now();
        let member = Member {
            id: MemberId::new(self.clock(), self.random()),
            organization,
            email: email.to_owned(),
            display_name: email.split('@').next().unwrap_or(email).to_owned(),
            role: Role::Owner,
            status: MemberStatus::Active,
            created_at: now,
            updated_at: now,
        };
        match tx.members().insert(&member, Some(password_hash)).await? {
            InsertMember::Inserted => {
                tx.organizations().touch(organization).await?;
                Ok(member.id)
            }
            InsertMember::EmailTaken => Err(Refusal::conflict(
                "email_taken",
                "Somebody of this organization has that address already.",
            )),
        }
    }

    /// Argon2 takes tens of milliseconds: never on a thread that serves requests, never many at once.
    pub(super) async fn hash_new_password(&self, password: SecretValue) -> Result<String, Refusal> {
        let _place = HASHING.acquire().await.map_err(|_| Refusal::unavailable())?;
        let random = Arc::clone(&self.0.random);
        let hashed = tokio::task::spawn_blocking(move || hash_password(&password, &*random)).await;
        hashed.unwrap_or(Err(PasswordError::OutOfMemory)).map_err(|error| {
            let mut violations = Violations::default();
            violations.add("password", format!("{error}."));
            violations.into_result().err().unwrap_or_else(Refusal::unavailable)
        })
    }
}

/// The address; every member that is wrong is told at once.
fn check_request(request: &SetupRequest) -> Result<String, Refusal> {
    let mut violations = Violations::default();
    let name = request.organization_name.trim();
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        violations.add("organization", "Use 1 to 100 characters, such as the name of your company.");
    }
    let email = request.email.trim();
    if !is_email(email) {
        violations.add("email", "This is not an email address, such as ana@example.com.");
    }
    check_password(&request.password, &[email, name], &mut violations);
    violations.into_result()?;
    Ok(email.to_owned())
}

/// What a new password must be, said before it is hashed.
pub(super) fn check_password(password: &SecretValue, about: &[&str], violations: &mut Violations) {
    if let Err(error) = switchboard_vault::check_password(password, about) {
        violations.add("password", format!("Not this one: {error}."));
    }
}

/// One `@` with something on both sides. Whether it exists only a message to it could tell.
pub(super) fn is_email(text: &str) -> bool {
    let plain = !text.chars().any(|c| c.is_control() || c.is_whitespace()) && text.len() <= 254;
    let whole = text
        .split_once('@')
        .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
    plain && whole
}

/// Reads the token of a setup link; any other of our tokens is none.
fn setup_hash(token: &str) -> Option<TokenHash> {
    parse(token).ok().filter(|parsed| parsed.kind == TokenKind::SetupLink).map(|parsed| parsed.hash)
}

/// A slug made of a name: lower-case letters and digits, one hyphen between words.
fn slug_of(name: &str) -> Slug {
    let mut slug = String::new();
    for c in name.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() == 40 {
            break;
        }
    }
    let fallback = || FIRST_SLUG.parse().expect("it is a slug");
    slug.trim_matches('-').parse().unwrap_or_else(|_| fallback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_made_of_a_name() {
        for (name, slug) in [("Acme, Inc.", "acme-inc"), ("  ", "main"), ("Ünï", "n"), ("--", "main")] {
            assert_eq!(slug_of(name).as_str(), slug, "{name}");
        }
    }

    #[test]
    fn an_address_has_two_sides() {
        for good in ["a@b", "ana@example.com"] {
            assert!(is_email(good), "{good}");
        }
        for bad in ["", "ana", "@example.com", "ana@", "a@b@c", "a b@c", "a\n@b"] {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
