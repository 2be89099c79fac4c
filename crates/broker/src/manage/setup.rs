//! What the operator does on the database itself: the first organization, its owner, a first token, a new password.
//!
//! No principal asks here. Whoever may run the program on the data, or holds the single-use setup link, may do it;
//! it is on record as the operator's. Works beside a running server and on an empty database.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use switchboard_domain::{
    AuditOutcome, AuditPhase, AuditRecord, Caller, Clock, MemberId, OrganizationId, Random, Role, Scope,
    SecretValue, SetupLinkId, Slug, Timestamp,
};
use switchboard_storage::{
    Db, InsertMember, InsertOrganization, Member, MemberStatus, Organization, StorageError, Tx,
};
use switchboard_vault::{Keyring, PasswordError, TokenHash, TokenKind, hash_password, issue, parse};

use super::{
    CreatedToken, Refusal,
    token::{DEFAULT_DAYS, TokenPlan, check_token, max_days},
};
use crate::{Broker, audit, keys::DataKeys};

/// How long a setup link can be used.
pub const SETUP_LINK_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// Slug of the organization that setting up makes.
const FIRST_SLUG: &str = "main";

#[derive(Debug, thiserror::Error)]
pub enum AdministrationError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("there is an organization `{0}` already. Choose another slug")]
    SlugTaken(Slug),
    #[error(
        "{0} is a member of that organization already. To give them another password use `switchboard admin reset-password`"
    )]
    EmailTaken(String),
    #[error("`{0}` is not an email address, such as `ana@example.com`")]
    NotAnEmail(String),
    #[error("there is no organization yet. Make one with `switchboard admin create-owner`")]
    NoOrganization,
    #[error("there is no organization `{0}`")]
    UnknownOrganization(Slug),
    #[error("there are several organizations: say which with --organization ({0})")]
    SeveralOrganizations(String),
    #[error("{0} is not a member of that organization")]
    UnknownMember(String),
    /// What the API would say of it too.
    #[error("{0}")]
    Refused(String),
    #[error("the audit log can't be written, so nothing more was done")]
    Audit,
}

impl From<Refusal> for AdministrationError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.message)
    }
}

/// An owner to make.
#[derive(Debug)]
pub struct NewOwner {
    pub email: String,
    pub password: SecretValue,
    pub display_name: Option<String>,
}

/// Who was made, and where.
#[derive(Debug, Clone)]
pub struct Owner {
    pub organization: OrganizationId,
    pub organization_slug: Slug,
    pub member: MemberId,
    pub email: String,
    /// The organization was made with them.
    pub organization_created: bool,
}

/// A single-use link; its address is `{public_url}/setup/{token}`.
#[derive(Debug)]
pub struct SetupLink {
    pub token: SecretValue,
    pub expires_at: Timestamp,
}

/// What became of a setup link.
#[derive(Debug)]
pub enum SetupOutcome {
    Done {
        owner: Owner,
        token: CreatedToken,
    },
    /// Unknown, used or over.
    LinkNotValid,
}

/// The operator's hands.
#[derive(Debug, Clone)]
pub struct Administration {
    db: Db,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    audit: audit::Audit,
    /// Held where there is no broker: the writer that has to end before the process does.
    writer: Arc<parking_lot::Mutex<Option<tokio::task::JoinHandle<()>>>>,
}

impl Broker {
    pub fn administration(&self) -> Administration {
        Administration {
            db: self.db().clone(),
            clock: Arc::clone(&self.0.clock),
            random: Arc::clone(&self.0.random),
            audit: self.audit().clone(),
            writer: Arc::default(),
        }
    }
}

impl Administration {
    /// Where no broker runs. Needs the keyring for the audit log, whose entries are chained with the
    /// organization's key. End it with [`Self::finish`].
    pub fn new(db: Db, keyring: Arc<Keyring>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let keys = DataKeys::new(db.clone(), keyring, Arc::clone(&clock), Arc::clone(&random));
        let (audit, writer) = audit::Audit::start(db.clone(), Arc::new(keys), &*clock, &*random);
        Self { db, clock, random, audit, writer: Arc::new(parking_lot::Mutex::new(Some(writer))) }
    }

    /// Writes what is still to be written.
    pub async fn finish(self) {
        let writer = self.writer.lock().take();
        if let Some(writer) = writer {
            self.audit.finish();
            let _ = tokio::time::timeout(Duration::from_secs(10), writer).await;
        }
    }

    /// The organization of this slug; without one the only one there is.
    pub async fn organization(&self, slug: Option<&Slug>) -> Result<Organization, AdministrationError> {
        let mut all = self.db.single().await?.organizations().list().await?;
        if let Some(slug) = slug {
            let found = all.into_iter().find(|organization| organization.slug == *slug);
            return found.ok_or_else(|| AdministrationError::UnknownOrganization(slug.clone()));
        }
        match all.len() {
            0 => Err(AdministrationError::NoOrganization),
            1 => Ok(all.remove(0)),
            _ => {
                let slugs: Vec<&str> = all.iter().map(|organization| organization.slug.as_str()).collect();
                Err(AdministrationError::SeveralOrganizations(slugs.join(", ")))
            }
        }
    }

    /// Whether anybody owns anything here yet.
    pub async fn owner_exists(&self) -> Result<bool, AdministrationError> {
        Ok(self.db.single().await?.members().owners_exist().await?)
    }

    pub async fn create_organization(
        &self,
        slug: Slug,
        name: &str,
    ) -> Result<Organization, AdministrationError> {
        let mut tx = self.db.write().await?;
        let organization = self.insert_organization(&mut tx, slug, name).await?;
        tx.commit().await?;
        self.record(
            organization.id,
            "organization.create",
            organization.slug.to_string(),
            json!({ "name": name }),
        )
        .await?;
        Ok(organization)
    }

    async fn insert_organization(
        &self,
        tx: &mut Tx,
        slug: Slug,
        name: &str,
    ) -> Result<Organization, AdministrationError> {
        let name = name.trim();
        let organization = Organization {
            id: OrganizationId::new(&*self.clock, &*self.random),
            name: if name.is_empty() { slug.to_string() } else { name.to_owned() },
            slug,
            settings: json!({}),
            version: 1,
            created_at: self.clock.now(),
        };
        match tx.organizations().insert(&organization).await? {
            InsertOrganization::Inserted => Ok(organization),
            InsertOrganization::SlugTaken => Err(AdministrationError::SlugTaken(organization.slug)),
        }
    }

    /// Makes an owner of the organization of this slug, or of the only one; where there is none at all, that too.
    pub async fn create_owner(
        &self,
        organization: Option<&Slug>,
        new: NewOwner,
    ) -> Result<Owner, AdministrationError> {
        let email = check_email(&new.email)?;
        let hash = self.hash(new.password).await?;
        let existing = match self.organization(organization).await {
            Ok(existing) => Some(existing),
            Err(AdministrationError::NoOrganization) => None,
            Err(error) => return Err(error),
        };
        let mut tx = self.db.write().await?;
        let created = existing.is_none();
        let organization = match existing {
            Some(existing) => existing,
            None => self.insert_organization(&mut tx, first_slug(), "").await?,
        };
        let member =
            self.insert_owner(&mut tx, organization.id, &email, new.display_name.as_deref(), &hash).await?;
        tx.commit().await?;
        self.record(
            organization.id,
            "member.create",
            member.to_string(),
            json!({ "email": email, "role": "owner" }),
        )
        .await?;
        Ok(Owner {
            organization: organization.id,
            organization_slug: organization.slug,
            member,
            email,
            organization_created: created,
        })
    }

    async fn insert_owner(
        &self,
        tx: &mut Tx,
        organization: OrganizationId,
        email: &str,
        display_name: Option<&str>,
        password_hash: &str,
    ) -> Result<MemberId, AdministrationError> {
        let now = self.clock.now();
        let name = display_name.map(str::trim).filter(|name| !name.is_empty());
        let member = Member {
            id: MemberId::new(&*self.clock, &*self.random),
            organization,
            email: email.to_owned(),
            display_name: name.unwrap_or_else(|| email.split('@').next().unwrap_or(email)).to_owned(),
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
            InsertMember::EmailTaken => Err(AdministrationError::EmailTaken(email.to_owned())),
        }
    }

    pub async fn reset_password(
        &self,
        organization: Option<&Slug>,
        email: &str,
        password: SecretValue,
    ) -> Result<MemberId, AdministrationError> {
        let organization = self.organization(organization).await?;
        let member = self.member(&organization, email).await?;
        let hash = self.hash(password).await?;
        let mut tx = self.db.write().await?;
        tx.members().set_password(organization.id, member.id, &hash, self.clock.now()).await?;
        tx.commit().await?;
        self.record(organization.id, "member.reset_password", member.id.to_string(), json!({})).await?;
        Ok(member.id)
    }

    /// A personal token for a member. `days` defaults to 90.
    pub async fn create_token(
        &self,
        organization: Option<&Slug>,
        email: &str,
        name: &str,
        scopes: &[Scope],
        resource: Option<&str>,
        days: Option<u32>,
    ) -> Result<CreatedToken, AdministrationError> {
        let organization = self.organization(organization).await?;
        let member = self.member(&organization, email).await?;
        let limit = max_days(&organization.settings);
        let (scopes, resource, days) = check_token(name, scopes, resource, days, limit)?;
        let plan = TokenPlan {
            organization: organization.id,
            caller: Caller::Member(member.id),
            name: name.trim().to_owned(),
            scopes,
            resource,
            days,
        };
        let (stored, secret) = plan.issue(&*self.clock, &*self.random);
        let mut tx = self.db.write().await?;
        tx.tokens().insert(&stored).await?;
        tx.commit().await?;
        let details = json!({
            "name": stored.name, "owner": stored.caller.to_string(), "scopes": stored.scopes,
            "resource": stored.resource, "expires_at": stored.expires_at,
        });
        self.record(organization.id, "token.create", stored.id.to_string(), details).await?;
        Ok(CreatedToken { secret, token: stored.into() })
    }

    /// A link that makes the first owner, in place of any that nobody used.
    pub async fn create_setup_link(&self) -> Result<SetupLink, AdministrationError> {
        let now = self.clock.now();
        let issued = issue(TokenKind::SetupLink, &*self.random);
        let expires_at = now.plus(SETUP_LINK_LIFETIME);
        let id = SetupLinkId::new(&*self.clock, &*self.random);
        let mut tx = self.db.write().await?;
        tx.setup_links().forget_unused(now).await?;
        tx.setup_links().insert(id, issued.hash.as_bytes(), now, expires_at).await?;
        tx.commit().await?;
        Ok(SetupLink { token: issued.secret, expires_at })
    }

    /// Redeems a setup link: an organization if there is none, its owner, and a first token of theirs, in one
    /// transaction with the link's end. Whoever comes second finds it used.
    pub async fn redeem_setup_link(
        &self,
        token: &str,
        organization_name: &str,
        new: NewOwner,
    ) -> Result<SetupOutcome, AdministrationError> {
        let Some(hash) = setup_hash(token) else { return Ok(SetupOutcome::LinkNotValid) };
        let email = check_email(&new.email)?;
        let password_hash = self.hash(new.password).await?;
        let mut tx = self.db.write().await?;
        if !tx.setup_links().redeem(hash.as_bytes(), self.clock.now()).await? {
            return Ok(SetupOutcome::LinkNotValid);
        }
        let existing = tx.organizations().list().await?.into_iter().next();
        let created = existing.is_none();
        let organization = match existing {
            Some(existing) => existing,
            None => self.insert_organization(&mut tx, slug_of(organization_name), organization_name).await?,
        };
        let member = self
            .insert_owner(&mut tx, organization.id, &email, new.display_name.as_deref(), &password_hash)
            .await?;
        let plan = TokenPlan {
            organization: organization.id,
            caller: Caller::Member(member),
            name: "First token".into(),
            scopes: [Scope::McpRead, Scope::McpWrite, Scope::Api].into_iter().collect(),
            resource: None,
            days: DEFAULT_DAYS.min(max_days(&organization.settings)),
        };
        let (stored, secret) = plan.issue(&*self.clock, &*self.random);
        tx.tokens().insert(&stored).await?;
        tx.commit().await?;
        let details = json!({ "email": email, "role": "owner", "token": stored.id });
        self.record(organization.id, "setup.redeem", member.to_string(), details).await?;
        let owner = Owner {
            organization: organization.id,
            organization_slug: organization.slug,
            member,
            email,
            organization_created: created,
        };
        Ok(SetupOutcome::Done { owner, token: CreatedToken { secret, token: stored.into() } })
    }

    async fn member(&self, organization: &Organization, email: &str) -> Result<Member, AdministrationError> {
        let found = self.db.single().await?.members().find_by_email(organization.id, email).await?;
        found
            .filter(|member| member.status == MemberStatus::Active)
            .ok_or_else(|| AdministrationError::UnknownMember(email.to_owned()))
    }

    /// Argon2 takes tens of milliseconds on purpose: never on a thread that serves requests.
    async fn hash(&self, password: SecretValue) -> Result<String, AdministrationError> {
        let random = Arc::clone(&self.random);
        let hashed = tokio::task::spawn_blocking(move || hash_password(&password, &*random)).await;
        Ok(hashed.unwrap_or(Err(PasswordError::OutOfMemory))?)
    }

    async fn record(
        &self,
        organization: OrganizationId,
        action: &'static str,
        target: String,
        details: serde_json::Value,
    ) -> Result<(), AdministrationError> {
        let record = AuditRecord {
            actor: Some(json!({ "type": "operator", "id": "operator" })),
            target: Some(target),
            outcome: Some(AuditOutcome::Ok),
            details: Some(details),
            ..AuditRecord::default()
        };
        let event = audit::event(organization, self.clock.now(), AuditPhase::Event, action, record);
        self.audit.write(event).await.map_err(|_| AdministrationError::Audit)
    }
}

/// Reads the token of a setup link; any other of our tokens is none.
fn setup_hash(token: &str) -> Option<TokenHash> {
    parse(token).ok().filter(|parsed| parsed.kind == TokenKind::SetupLink).map(|parsed| parsed.hash)
}

/// One `@` with something on both sides, and nothing that could not stand in a header or a log line. Whether it
/// exists only a message to it could tell.
fn check_email(email: &str) -> Result<String, AdministrationError> {
    let email = email.trim();
    let parts = email.split_once('@');
    let plain = !email.chars().any(|c| c.is_control() || c.is_whitespace()) && email.len() <= 254;
    let whole =
        parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
    if plain && whole {
        return Ok(email.to_owned());
    }
    Err(AdministrationError::NotAnEmail(email.chars().filter(|c| !c.is_control()).take(80).collect()))
}

fn first_slug() -> Slug {
    FIRST_SLUG.parse().expect("it is a slug")
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
    slug.trim_matches('-').parse().unwrap_or_else(|_| first_slug())
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
        for good in ["a@b", "ana@example.com", " ana@example.com "] {
            assert!(check_email(good).is_ok(), "{good}");
        }
        for bad in ["", "ana", "@example.com", "ana@", "a@b@c", "a b@c", "a\n@b"] {
            assert!(check_email(bad).is_err(), "{bad}");
        }
    }
}
