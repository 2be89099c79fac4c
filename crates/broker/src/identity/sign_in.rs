//! Off to the provider and back.
//!
//! `state` is 256 random bits, known to the browser and the provider, kept as SHA-256 for ten minutes and taken out
//! before anything else happens (RFC 9700 section 4.7). What ties a sign-in to the browser is a cookie; nonce and PKCE
//! verifier are derived from both, so that neither is stored anywhere.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use switchboard_domain::{AuditEvent, AuditOutcome, AuditPhase, AuditRecord, MemberId, SecretValue, Slug};
use switchboard_oauth::Parameters;
use switchboard_storage::{IdentityProvider, Session, SignIn, SignInPurpose, Tx};
use switchboard_vault::{TokenKind, issue_opaque, parse, parse_opaque};

use super::{
    ProviderSettings, SignInError,
    answer::SKEW,
    person::{How, Seen},
    protocol::{Known, Secrets},
    wire::short,
};
use crate::{
    Broker, Snapshot, audit,
    manage::identity_provider::password_sign_in,
    session::{Browser, NewSession, OpenedSession, SignedIn},
    text,
};

/// How long a person has at their provider.
const WAITS: Duration = Duration::from_secs(600);
/// Longest code that is taken to a token endpoint.
const MAX_CODE: usize = 8 * 1024;

/// A provider by the names in its address: fixed, so that the redirect URI is known before anything is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderAddress {
    pub organization: Slug,
    pub provider: Slug,
}

impl std::fmt::Display for ProviderAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.organization, self.provider)
    }
}

/// A provider that the sign-in page offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub address: ProviderAddress,
    pub name: String,
}

/// What somebody goes to their provider for.
#[derive(Debug, Clone, Copy)]
pub enum Intent<'a> {
    SignIn,
    /// With the token of an invitation's link.
    Accept(&'a str),
    Reauthenticate(&'a SignedIn),
    Link(&'a SignedIn),
}

/// A sign-in that begins.
#[derive(Debug)]
pub struct Begin<'a> {
    pub provider: &'a ProviderAddress,
    pub intent: Intent<'a>,
    /// A path of ours, to go on to.
    pub return_to: &'a str,
    /// The browser's cookie.
    pub cookie: &'a SecretValue,
    pub browser: &'a Browser,
}

/// A sign-in as it was sent off.
struct Sent<'a> {
    known: &'a Known,
    sign_in: &'a SignIn,
    secrets: &'a Secrets,
    callback: &'a str,
}

/// How a sign-in ended.
#[derive(Debug)]
pub enum Finished {
    SignedIn {
        opened: OpenedSession,
        return_to: String,
    },
    /// The session goes on under this cookie.
    Reauthenticated {
        cookie: SecretValue,
        return_to: String,
    },
    Linked {
        return_to: String,
    },
}

impl Broker {
    /// The providers that a sign-in page shows: of the organization that was named, or of the only one there is. With
    /// several organizations nobody is told which ones there are.
    pub async fn offers(&self, organization: Option<&Slug>) -> Result<Vec<Offer>, SignInError> {
        let Some(snapshot) = self.signed_in_to(organization) else { return Ok(Vec::new()) };
        let organization = &snapshot.organization;
        let all = self.db().single().await?.identity_providers().list(organization.id).await?;
        Ok(offers(&organization.slug, all))
    }

    /// Whether the members of this organization, or of the only one, have no use for a password.
    pub fn is_password_for_owners(&self, organization: Option<&Slug>) -> bool {
        let snapshot = self.signed_in_to(organization);
        snapshot.is_some_and(|snapshot| !password_sign_in(&snapshot.organization.settings))
    }

    fn signed_in_to(&self, organization: Option<&Slug>) -> Option<Arc<Snapshot>> {
        let snapshots = self.all_snapshots();
        match (organization, snapshots.as_slice()) {
            (Some(slug), _) => snapshots.iter().find(|it| it.organization.slug == *slug).cloned(),
            (None, [only]) => Some(Arc::clone(only)),
            (None, _) => None,
        }
    }

    /// Whether a person has to say which organization they mean.
    pub fn has_several_organizations(&self) -> bool {
        self.all_snapshots().len() > 1
    }

    /// The redirect URI of a provider: one each, so that no provider is answered in another's place.
    pub(crate) fn sign_in_callback(&self, provider: &ProviderAddress) -> String {
        format!("{}/sign-in/callback/{provider}", self.issuer())
    }

    /// Where to send the browser.
    pub async fn begin_sign_in(&self, begin: Begin<'_>) -> Result<String, SignInError> {
        self.sign_in_limits().check_source(begin.browser.source).map_err(SignInError::TooMany)?;
        let known = self.known_provider(begin.provider).await?;
        let organization = known.provider.organization;
        let (purpose, session, invitation_hash) = match begin.intent {
            Intent::SignIn => (SignInPurpose::SignIn, None, None),
            Intent::Accept(token) => {
                let hash =
                    parse(token).ok().filter(|it| it.kind == TokenKind::Invitation).map(|it| it.hash.0);
                (SignInPurpose::SignIn, None, Some(hash.ok_or(SignInError::InvitationOver)?))
            }
            Intent::Reauthenticate(me) => (SignInPurpose::Reauthenticate, Some(me), None),
            Intent::Link(me) => (SignInPurpose::Link, Some(me), None),
        };
        if session.is_some_and(|me| me.principal.organization != organization) {
            return Err(SignInError::UnknownProvider);
        }
        let state = issue_opaque("", self.random());
        let secrets = secrets(state.secret, begin.cookie).ok_or(SignInError::Over)?;
        let again = purpose == SignInPurpose::Reauthenticate;
        let callback = self.sign_in_callback(begin.provider);
        let url = self.providers().authorization_url(&known, &callback, &secrets, again).await;
        let url = match url {
            Ok(url) => url,
            Err(error) => {
                self.record_refused(&known.provider, purpose, None, &error, begin.browser).await;
                return Err(error);
            }
        };
        let now = self.clock().now();
        let sign_in = SignIn {
            organization,
            provider: known.provider.id,
            provider_revision: known.provider.revision,
            state_hash: state.hash.0,
            browser_hash: hash_of(begin.cookie.expose()).ok_or(SignInError::Over)?,
            purpose,
            session: session.map(|me| me.session),
            return_to: begin.return_to.to_owned(),
            invitation_hash,
            created_at: now,
            expires_at: now.plus(WAITS),
        };
        let mut tx = self.db().write().await?;
        tx.sign_ins().insert(&sign_in).await?;
        tx.commit().await?;
        Ok(url.into())
    }

    /// The browser is back: whoever it is gets their session, or a reason.
    pub async fn finish_sign_in(
        &self,
        address: &ProviderAddress,
        (answer, cookie): (&Parameters, Option<&str>),
        signed_in: Option<&SignedIn>,
        browser: &Browser,
    ) -> Result<Finished, SignInError> {
        let known = self.known_provider(address).await?;
        let (sign_in, secrets) = match self.take_sign_in(&known.provider, answer, cookie).await {
            Ok(taken) => taken,
            Err(error) => {
                // Whoever tries values of `state` has to wait, and does not fill the audit log.
                self.sign_in_limits().check_source(browser.source).map_err(SignInError::TooMany)?;
                let purpose = SignInPurpose::SignIn;
                self.record_refused(&known.provider, purpose, None, &error, browser).await;
                return Err(error);
            }
        };
        // Cut off in the middle it would leave a used code and no session: it runs on when the browser hangs up.
        let (broker, answer, me, from) = (self.clone(), answer.clone(), signed_in.cloned(), browser.clone());
        let callback = self.sign_in_callback(address);
        let work = async move {
            let mut account = None;
            let sent = Sent { known: &known, sign_in: &sign_in, secrets: &secrets, callback: &callback };
            let done = broker.go_on(sent, &answer, me.as_ref(), &from, &mut account);
            match done.await {
                Ok(finished) => Ok(finished),
                Err(error) => {
                    let purpose = sign_in.purpose;
                    broker.record_refused(&known.provider, purpose, account.as_ref(), &error, &from).await;
                    Err(error)
                }
            }
        };
        self.0.tasks.spawn(work).await.map_err(|_| SignInError::Unavailable)?
    }

    async fn known_provider(&self, address: &ProviderAddress) -> Result<Known, SignInError> {
        let organization =
            self.organization_named(&address.organization).ok_or(SignInError::UnknownProvider)?;
        let mut tx = self.db().single().await?;
        let found = tx.identity_providers().find_by_slug(organization, &address.provider).await?;
        let provider = found.filter(|it| it.enabled).ok_or(SignInError::UnknownProvider)?;
        self.known(provider).await
    }

    pub(super) async fn known(&self, provider: IdentityProvider) -> Result<Known, SignInError> {
        let settings: ProviderSettings = serde_json::from_value(provider.settings.clone()).map_err(|error| {
            tracing::error!(provider = %provider.id, %error, "an identity provider's settings can't be read");
            SignInError::Unavailable
        })?;
        let secret = self.provider_secret(&provider).await?;
        Ok(Known { provider, settings, secret })
    }

    /// Burns the `state`, then looks at whether it was this browser's and in time.
    async fn take_sign_in(
        &self,
        provider: &IdentityProvider,
        answer: &Parameters,
        cookie: Option<&str>,
    ) -> Result<(SignIn, Secrets), SignInError> {
        let state = answer.get("state").ok_or(SignInError::Over)?;
        let state_hash = hash_of(state).ok_or(SignInError::Over)?;
        let mut tx = self.db().write().await?;
        let found = tx.sign_ins().take(provider.organization, provider.id, &state_hash).await?;
        tx.commit().await?;
        let found = found.filter(|it| it.expires_at > self.clock().now()).ok_or(SignInError::Over)?;
        let cookie = cookie.ok_or(SignInError::Over)?;
        if hash_of(cookie) != Some(found.browser_hash) {
            return Err(SignInError::Over);
        }
        if found.provider_revision != provider.revision {
            return Err(SignInError::Changed);
        }
        let secrets = secrets(SecretValue::new(state), &SecretValue::new(cookie)).ok_or(SignInError::Over)?;
        Ok((found, secrets))
    }

    async fn go_on(
        &self,
        sent: Sent<'_>,
        answer: &Parameters,
        signed_in: Option<&SignedIn>,
        browser: &Browser,
        told: &mut Option<(String, Option<String>)>,
    ) -> Result<Finished, SignInError> {
        let Sent { known, sign_in, secrets, callback } = sent;
        let provider = &known.provider;
        self.providers().check_issuer(known, answer.get("iss")).await?;
        if let Some(error) = answer.get("error") {
            return Err(SignInError::Declined(short(error)));
        }
        let code = answer.get("code").filter(|code| code.len() <= MAX_CODE);
        let code = code.ok_or_else(|| SignInError::Untrusted("it answered without a code".into()))?;
        let now = self.clock().now();
        let (tokens, account) = self.providers().exchange(known, callback, code, secrets, now).await?;
        *told = Some((account.subject.clone(), account.email.clone()));
        if sign_in.purpose == SignInPurpose::Reauthenticate {
            let begun = sign_in.created_at.minus(SKEW).as_secs();
            if account.authenticated_at.is_none_or(|at| at < begun) {
                return Err(SignInError::NotAskedAgain);
            }
        }
        let signed_in = signed_in.filter(|me| Some(me.session) == sign_in.session);
        let key = self.data_keys().active(provider.organization).await?;
        let seen = Seen { known, account: &account, sign_in, signed_in };
        let mut tx = self.db().write().await?;
        let before = tx.identities().find(provider.organization, &provider.issuer, &account.subject).await?;
        let (member, how) = self.member_of_account(&mut tx, &seen, before.as_ref()).await?;
        self.keep_identity(&mut tx, &seen, (before, member.id), (&key, &tokens)).await?;
        let teams = self.apply_groups(&mut tx, &seen, member.id).await?;
        let details = json!({
            "method": provider.slug, "source": browser.source, "issuer": provider.issuer,
            "subject": text::one_line(&account.subject, 255), "account": how.as_str(),
            "teams_added": teams.0, "teams_removed": teams.1,
        });
        let record = success(member.id, details);
        let event = |action| audit::event(provider.organization, now, AuditPhase::Event, action, record);
        match sign_in.purpose {
            SignInPurpose::SignIn => {
                let method = provider.slug.as_str();
                let new =
                    NewSession { organization: provider.organization, member: member.id, method, browser };
                let (session, cookie) = self.new_session(new);
                let opened = OpenedSession { cookie, id: session.id, expires_at: session.expires_at };
                self.commit_sign_in(tx, Some(&session), event("session.sign_in")).await?;
                let return_to = if how == How::Invited { "/".to_owned() } else { sign_in.return_to.clone() };
                Ok(Finished::SignedIn { opened, return_to })
            }
            SignInPurpose::Reauthenticate => {
                let me = signed_in.ok_or(SignInError::NotThePerson)?;
                let cookie = self.new_cookie(&mut tx, me).await?.ok_or(SignInError::Over)?;
                self.commit_sign_in(tx, None, event("session.reauthenticate")).await?;
                Ok(Finished::Reauthenticated { cookie, return_to: sign_in.return_to.clone() })
            }
            SignInPurpose::Link => {
                self.commit_sign_in(tx, None, event("identity.connect")).await?;
                Ok(Finished::Linked { return_to: sign_in.return_to.clone() })
            }
        }
    }

    async fn commit_sign_in(
        &self,
        mut tx: Tx,
        session: Option<&Session>,
        event: AuditEvent,
    ) -> Result<(), SignInError> {
        if let Some(session) = session {
            tx.sessions().insert(session).await?;
        }
        let organization = event.organization;
        self.commit_recorded(tx, event).await?;
        self.refresh_snapshots().await?;
        self.note_sign_in(organization);
        Ok(())
    }

    async fn record_refused(
        &self,
        provider: &IdentityProvider,
        purpose: SignInPurpose,
        account: Option<&(String, Option<String>)>,
        error: &SignInError,
        browser: &Browser,
    ) {
        let action = match purpose {
            SignInPurpose::SignIn => "session.sign_in",
            SignInPurpose::Reauthenticate => "session.reauthenticate",
            SignInPurpose::Link => "identity.connect",
        };
        tracing::info!(provider = %provider.slug, %error, "a sign-in at an identity provider let nobody in");
        let shown = |text: &String| text::one_line(text, 255);
        let record = AuditRecord {
            target: Some(provider.id.to_string()),
            outcome: Some(AuditOutcome::Refused),
            code: Some(error.code().to_owned()),
            details: Some(json!({
                "method": provider.slug, "source": browser.source, "reason": text::one_line(&error.to_string(), 300),
                "subject": account.map(|(subject, _)| shown(subject)),
                "email": account.and_then(|(_, email)| email.as_ref()).map(shown),
            })),
            ..AuditRecord::default()
        };
        let event =
            audit::event(provider.organization, self.clock().now(), AuditPhase::Event, action, record);
        if self.audit().write(event).await.is_err() {
            tracing::error!("a refused sign-in could not be put on record");
        }
    }
}

/// Those that are switched on, under their organization's name.
pub(crate) fn offers(organization: &Slug, providers: Vec<IdentityProvider>) -> Vec<Offer> {
    let offer = |it: IdentityProvider| Offer {
        address: ProviderAddress { organization: organization.clone(), provider: it.slug },
        name: it.name,
    };
    providers.into_iter().filter(|it| it.enabled).map(offer).collect()
}

fn success(member: MemberId, details: Value) -> AuditRecord {
    AuditRecord {
        actor: Some(json!({ "type": "member", "id": member })),
        target: Some(member.to_string()),
        outcome: Some(AuditOutcome::Ok),
        details: Some(details),
        ..AuditRecord::default()
    }
}

fn hash_of(opaque: &str) -> Option<[u8; 32]> {
    parse_opaque("", opaque).ok().map(|hash| hash.0)
}

/// Nonce and verifier (RFC 7636 section 4.1: 43 characters) of one sign-in in one browser.
fn secrets(state: SecretValue, cookie: &SecretValue) -> Option<Secrets> {
    hash_of(cookie.expose())?;
    let derived = |label: &str| {
        let hash = Sha256::new()
            .chain_update(label)
            .chain_update([0])
            .chain_update(cookie.expose())
            .chain_update([0])
            .chain_update(state.expose());
        SecretValue::new(URL_SAFE_NO_PAD.encode(hash.finalize()))
    };
    let (nonce, verifier) = (derived("nonce"), derived("code_verifier"));
    Some(Secrets { state, nonce, verifier })
}
