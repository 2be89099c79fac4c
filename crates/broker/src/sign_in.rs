//! Signing in with a password. Whatever is wrong (no such person, no password, a wrong one, kept out) the answer and
//! the work are the same (THREATS W8); only the audit log learns which.
//!
//! Attempts are limited for an account from one source, and for a source over all accounts: nobody can lock somebody
//! else out from elsewhere. A source is a [machine](crate::machine), not an address.

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, QuantaInstant},
};
use serde_json::json;
use switchboard_domain::{AuditOutcome, AuditPhase, AuditRecord, OrganizationId, Role, SecretValue, Slug};
use switchboard_storage::{Member, MemberStatus, StorageError};
use switchboard_vault::verify_password;
use tokio::sync::Semaphore;

use crate::{
    Broker, Snapshot, audit, machine,
    manage::identity_provider::password_sign_in,
    session::{Browser, NewSession, OpenedSession},
};

/// How many attempts a minute are taken (setting `sign_in`).
#[derive(Debug, Clone, Copy)]
pub struct SignInSettings {
    /// On one account from one source.
    pub attempts_per_minute: NonZeroU32,
    /// From one source, on whatever accounts.
    pub attempts_per_minute_per_source: NonZeroU32,
    /// Wrong tokens from one source.
    pub wrong_tokens_per_minute_per_source: NonZeroU32,
}

impl Default for SignInSettings {
    fn default() -> Self {
        Self {
            attempts_per_minute: NonZeroU32::new(10).expect("it is not zero"),
            attempts_per_minute_per_source: NonZeroU32::new(30).expect("it is not zero"),
            wrong_tokens_per_minute_per_source: NonZeroU32::new(60).expect("it is not zero"),
        }
    }
}

/// Passwords hashed or verified at once: each takes 19 MiB and a processor for a while, on purpose.
static ON_PASSWORDS: Semaphore = Semaphore::const_new(2);

/// Organizations among which an address alone is looked for. Who is in more of them names the one to sign in to.
const MOST_VERIFICATIONS: usize = 4;

#[derive(Debug)]
pub(crate) struct SignInLimits {
    accounts: DefaultKeyedRateLimiter<(String, Option<IpAddr>)>,
    sources: DefaultKeyedRateLimiter<IpAddr>,
    verified: AtomicU64,
}

/// There were too many attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// Seconds to wait.
    pub retry_after: u64,
    /// The setting that says so.
    pub limit: &'static str,
}

impl SignInLimits {
    pub(crate) fn new(settings: SignInSettings) -> Self {
        Self {
            accounts: RateLimiter::keyed(Quota::per_minute(settings.attempts_per_minute)),
            sources: RateLimiter::keyed(Quota::per_minute(settings.attempts_per_minute_per_source)),
            verified: AtomicU64::new(0),
        }
    }

    pub(crate) fn check(&self, email: &str, source: Option<IpAddr>) -> Result<(), TooMany> {
        self.check_source(source)?;
        let account = (email.trim().to_lowercase(), source.map(machine));
        self.accounts.check_key(&account).map_err(too_many("sign_in.attempts_per_minute"))
    }

    /// Where no account is named yet.
    pub(crate) fn check_source(&self, source: Option<IpAddr>) -> Result<(), TooMany> {
        let Some(source) = source.map(machine) else { return Ok(()) };
        self.sources.check_key(&source).map_err(too_many("sign_in.attempts_per_minute_per_source"))
    }

    /// Drops what no longer limits anybody: otherwise every address ever tried would stay in memory.
    pub(crate) fn forget_old(&self) {
        self.accounts.retain_recent();
        self.sources.retain_recent();
    }
}

fn too_many(limit: &'static str) -> impl Fn(governor::NotUntil<QuantaInstant>) -> TooMany {
    move |until| {
        let wait = until.wait_time_from(governor::clock::DefaultClock::default().now());
        TooMany { retry_after: wait.as_secs() + 1, limit }
    }
}

/// An organization that a person who proved who they are can go on in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub slug: Slug,
    pub name: String,
}

/// How an attempt ended.
#[derive(Debug)]
pub enum PasswordSignIn {
    SignedIn(OpenedSession),
    /// Right in several organizations: ask again with one of them.
    Choose(Vec<Choice>),
    /// Address or password is wrong, or the person is kept out: not said which.
    Refused,
    TooMany(TooMany),
}

impl Broker {
    pub async fn sign_in_with_password(
        &self,
        email: &str,
        password: &SecretValue,
        organization: Option<&Slug>,
        browser: &Browser,
    ) -> Result<PasswordSignIn, StorageError> {
        if let Err(too_many) = self.sign_in_limits().check(email, browser.source) {
            return Ok(PasswordSignIn::TooMany(too_many));
        }
        let mut fitting = Vec::new();
        let mut candidates = self.candidates(email, organization).await?.into_iter();
        for _ in 0..self.verifications(organization) {
            let Some((member, hash)) = candidates.next() else {
                self.verify(password, None).await;
                continue;
            };
            let right = self.verify(password, hash).await;
            match right && member.status == MemberStatus::Active && self.may_use_password(&member) {
                true => fitting.push(member),
                false => self.record_sign_in(&member, AuditOutcome::Refused, browser).await,
            }
        }
        match fitting.as_slice() {
            [] => Ok(PasswordSignIn::Refused),
            [member] => {
                let (organization, method) = (member.organization, "password");
                let new = NewSession { organization, member: member.id, method, browser };
                let opened = self.open_session(new).await?;
                self.record_sign_in(member, AuditOutcome::Ok, browser).await;
                Ok(PasswordSignIn::SignedIn(opened))
            }
            several => Ok(PasswordSignIn::Choose(self.choices(several).await?)),
        }
    }

    /// How many passwords are verified, whoever it is that tries to sign in: by the time it takes nobody learns whether
    /// an address is known or in how many organizations.
    fn verifications(&self, organization: Option<&Slug>) -> usize {
        match organization {
            Some(_) => 1,
            None => self.all_snapshots().len().clamp(1, MOST_VERIFICATIONS),
        }
    }

    async fn candidates(
        &self,
        email: &str,
        organization: Option<&Slug>,
    ) -> Result<Vec<(Member, Option<String>)>, StorageError> {
        let only = organization.map(|slug| self.organization_named(slug));
        let mut tx = self.db().read().await?;
        let mut candidates = Vec::new();
        for member in tx.members().find_everywhere(email).await? {
            if only.is_some_and(|only| only != Some(member.organization)) {
                continue;
            }
            let hash = tx.members().password_hash(member.organization, member.id).await?;
            candidates.push((member, hash));
        }
        Ok(candidates)
    }

    /// Owners always may: the way in when the identity provider fails. What is not known is a no.
    pub(crate) fn may_use_password(&self, member: &Member) -> bool {
        let allowed = |snapshot: Arc<Snapshot>| password_sign_in(&snapshot.organization.settings);
        member.role == Role::Owner || self.snapshot(member.organization).is_some_and(allowed)
    }

    pub(crate) fn organization_named(&self, slug: &Slug) -> Option<OrganizationId> {
        self.0.snapshots.organization_by_slug(slug)
    }

    async fn choices(&self, members: &[Member]) -> Result<Vec<Choice>, StorageError> {
        let mut tx = self.db().read().await?;
        let mut choices = Vec::new();
        for member in members {
            if let Some(organization) = tx.organizations().find(member.organization).await? {
                choices.push(Choice { slug: organization.slug, name: organization.name });
            }
        }
        Ok(choices)
    }

    /// Whether it is the password; an error is a no.
    pub(crate) async fn verify(&self, password: &SecretValue, hash: Option<String>) -> bool {
        self.sign_in_limits().verified.fetch_add(1, Ordering::Relaxed);
        let password = password.clone();
        self.on_password_thread(move || verify_password(&password, hash.as_deref())).await.unwrap_or(false)
    }

    /// Argon2's work: on a blocking thread, never many at once.
    pub(crate) async fn on_password_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let _place = ON_PASSWORDS.acquire().await.ok()?;
        tokio::task::spawn_blocking(work).await.ok()
    }

    pub(crate) async fn record_sign_in(&self, member: &Member, outcome: AuditOutcome, browser: &Browser) {
        let record = AuditRecord {
            actor: Some(json!({ "type": "member", "id": member.id })),
            target: Some(member.id.to_string()),
            outcome: Some(outcome),
            details: Some(json!({ "method": "password", "source": browser.source })),
            ..AuditRecord::default()
        };
        let now = self.clock().now();
        let event = audit::event(member.organization, now, AuditPhase::Event, "session.sign_in", record);
        if self.audit().write(event).await.is_err() {
            tracing::error!("a sign-in could not be put on record");
        }
    }

    /// Passwords verified since the start: the costly part of a sign-in, and the same for whoever tries.
    pub fn passwords_verified(&self) -> u64 {
        self.sign_in_limits().verified.load(Ordering::Relaxed)
    }

    pub(crate) fn sign_in_limits(&self) -> &SignInLimits {
        &self.0.sign_in_limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_machine_are_one_source() {
        let limits = SignInLimits::new(SignInSettings {
            attempts_per_minute: NonZeroU32::new(5).unwrap(),
            attempts_per_minute_per_source: NonZeroU32::new(2).unwrap(),
            ..SignInSettings::default()
        });
        let from = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        assert!(limits.check("a@example.test", from("2001:db8::1")).is_ok());
        assert!(limits.check("b@example.test", from("2001:db8::2")).is_ok());
        let refused = limits.check("c@example.test", from("2001:db8::3")).unwrap_err();
        assert_eq!(refused.limit, "sign_in.attempts_per_minute_per_source");
        assert!(limits.check("c@example.test", from("2001:db8:0:1::3")).is_ok(), "another network");
        for _ in 0..2 {
            assert!(limits.check("c@example.test", from("::ffff:192.0.2.1")).is_ok());
        }
        assert!(
            limits.check("c@example.test", from("192.0.2.1")).is_err(),
            "the same address, written otherwise"
        );
    }

    #[test]
    fn nobody_is_locked_out_from_elsewhere() {
        let limits = SignInLimits::new(SignInSettings {
            attempts_per_minute: NonZeroU32::new(1).unwrap(),
            ..SignInSettings::default()
        });
        let from = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        assert!(limits.check("a@example.test", from("192.0.2.1")).is_ok());
        let refused = limits.check("A@example.test ", from("192.0.2.1")).unwrap_err();
        assert_eq!(refused.limit, "sign_in.attempts_per_minute");
        assert!(limits.check("a@example.test", from("192.0.2.2")).is_ok());
        limits.forget_old();
        assert!(limits.check("a@example.test", from("192.0.2.1")).is_err(), "what still limits is kept");
    }
}
