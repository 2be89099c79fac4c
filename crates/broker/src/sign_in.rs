//! Signing in with a password. Whatever is wrong (no such person, no password, a wrong one, kept out) the answer and
//! the work are the same (THREATS W8); only the audit log learns which.
//!
//! Attempts are limited for an account from one source, and for a source over all accounts: nobody can lock somebody
//! else out from elsewhere.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};
use serde_json::json;
use switchboard_domain::{AuditOutcome, AuditPhase, AuditRecord, OrganizationId, SecretValue, Slug};
use switchboard_storage::{Member, MemberStatus, StorageError};
use switchboard_vault::verify_password;
use tokio::sync::Semaphore;

use crate::{
    Broker, audit,
    session::{Browser, NewSession, OpenedSession},
};

/// Attempts a minute on one account from one source.
const PER_ACCOUNT: NonZeroU32 = NonZeroU32::new(10).expect("it is not zero");
/// Attempts a minute from one source, on whatever accounts.
const PER_SOURCE: NonZeroU32 = NonZeroU32::new(30).expect("it is not zero");
/// Passwords verified at once: each takes 19 MiB and a processor for a while, on purpose.
static VERIFYING: Semaphore = Semaphore::const_new(2);

#[derive(Debug)]
pub(crate) struct SignInLimits {
    accounts: DefaultKeyedRateLimiter<(String, Option<IpAddr>)>,
    sources: DefaultKeyedRateLimiter<IpAddr>,
}

impl Default for SignInLimits {
    fn default() -> Self {
        Self {
            accounts: RateLimiter::keyed(Quota::per_minute(PER_ACCOUNT)),
            sources: RateLimiter::keyed(Quota::per_minute(PER_SOURCE)),
        }
    }
}

impl SignInLimits {
    /// Seconds to wait, when there were too many.
    pub(crate) fn check(&self, email: &str, source: Option<IpAddr>) -> Result<(), u64> {
        let now = governor::clock::DefaultClock::default().now();
        let seconds = |until: governor::NotUntil<_>| until.wait_time_from(now).as_secs() + 1;
        if let Some(source) = source {
            self.sources.check_key(&source).map_err(seconds)?;
        }
        self.accounts.check_key(&(email.trim().to_lowercase(), source)).map_err(seconds)
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
    TooMany {
        retry_after: u64,
    },
}

impl Broker {
    pub async fn sign_in_with_password(
        &self,
        email: &str,
        password: &SecretValue,
        organization: Option<&Slug>,
        browser: &Browser,
    ) -> Result<PasswordSignIn, StorageError> {
        if let Err(retry_after) = self.sign_in_limits().check(email, browser.source) {
            return Ok(PasswordSignIn::TooMany { retry_after });
        }
        let mut fitting = Vec::new();
        let candidates = self.candidates(email, organization).await?;
        if candidates.is_empty() {
            self.verify(password, None).await;
        }
        for (member, hash) in candidates {
            let right = self.verify(password, hash).await;
            match right && member.status == MemberStatus::Active {
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

    fn organization_named(&self, slug: &Slug) -> Option<OrganizationId> {
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

    /// On a blocking thread, never many at once; an error is a no.
    async fn verify(&self, password: &SecretValue, hash: Option<String>) -> bool {
        let Ok(_place) = VERIFYING.acquire().await else { return false };
        let password = password.clone();
        tokio::task::spawn_blocking(move || verify_password(&password, hash.as_deref()))
            .await
            .unwrap_or(false)
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

    pub(crate) fn sign_in_limits(&self) -> &Arc<SignInLimits> {
        &self.0.sign_in_limits
    }
}
