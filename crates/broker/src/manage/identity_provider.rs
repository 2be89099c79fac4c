//! Identity providers of an organization: who may vouch for its people, and for which of them.
//!
//! The client's secret belongs to the issuer it was given by: another issuer takes it away, so that nobody can have it
//! sent to a host of their choosing (THREATS O6, Z8).

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use switchboard_domain::{IdentityProviderId, Principal, SecretValue, Slug, TeamId, Timestamp};
use switchboard_storage::{IdentityProvider, StorageError, Tx};

use super::{
    Operation, Page, PageRequest, Refusal, Target, authorize, connection_input::check_name, record::Change,
    refusal::Violations,
};
use crate::{
    Broker,
    identity::{GroupTeam, ProviderAddress, ProviderSettings},
};

const MAX_LIST: usize = 100;
const MAX_TEXT: usize = 2048;

/// An identity provider to add.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewIdentityProvider {
    /// Part of the redirect URI; stays as it is.
    pub slug: String,
    /// On the button that people press.
    pub name: String,
    /// Exactly as the provider's metadata says it, a slash at the end included.
    pub issuer: String,
    pub client_id: String,
    /// Left out for a public client.
    #[schema(value_type = Option<String>, write_only)]
    #[serde(default)]
    pub client_secret: Option<SecretValue>,
    /// `openid profile email` without. `offline_access` brings refresh tokens where the provider has that scope.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// Whoever the provider vouches for with a verified address of one of these domains may join as a member.
    #[serde(default)]
    pub verified_domains: Vec<String>,
    /// The claim with a person's groups.
    #[serde(default)]
    pub group_claim: Option<String>,
    /// Which group is which team: applied at every sign-in, to these teams alone.
    #[serde(default)]
    pub group_teams: Vec<GroupTeam>,
    /// On without.
    #[serde(default)]
    pub enabled: Option<bool>,
}

/// Changes to an identity provider; an absent member stays.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityProviderEdit {
    #[serde(default)]
    pub name: Option<String>,
    /// Another issuer needs its own secret: the one that is stored is not taken along.
    #[serde(default)]
    pub issuer: Option<String>,
    #[serde(default)]
    pub client_id: Option<String>,
    /// `null` makes it a public client.
    #[schema(value_type = Option<String>, write_only)]
    #[serde(default, deserialize_with = "present")]
    pub client_secret: Option<Option<SecretValue>>,
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    #[serde(default)]
    pub verified_domains: Option<Vec<String>>,
    /// `null` leaves teams alone from now on.
    #[serde(default, deserialize_with = "present")]
    pub group_claim: Option<Option<String>>,
    #[serde(default)]
    pub group_teams: Option<Vec<GroupTeam>>,
    #[serde(default)]
    pub enabled: Option<bool>,
}

/// An identity provider, without its secret.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = IdentityProvider)]
pub struct IdentityProviderView {
    #[schema(value_type = String)]
    pub id: IdentityProviderId,
    pub slug: String,
    pub name: String,
    pub issuer: String,
    pub client_id: String,
    pub has_secret: bool,
    pub scopes: Vec<String>,
    pub verified_domains: Vec<String>,
    pub group_claim: Option<String>,
    pub group_teams: Vec<GroupTeam>,
    pub enabled: bool,
    /// The redirect URI to register at the provider.
    pub callback_url: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    #[serde(skip)]
    pub revision: i64,
}

/// Tells an absent member from `null`.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl Broker {
    pub async fn list_identity_providers(
        &self,
        principal: &Principal,
        page: &PageRequest,
    ) -> Result<Page<IdentityProviderView>, Refusal> {
        let _allowed = authorize(principal, Operation::ListIdentityProviders, Target::Organization)?;
        let all = self.db().single().await?.identity_providers().list(principal.organization).await?;
        let views: Result<Vec<_>, _> = all.into_iter().map(|it| self.provider_view(it)).collect();
        page.cut(views?, |view| view.slug.clone())
    }

    pub async fn read_identity_provider(
        &self,
        principal: &Principal,
        id: IdentityProviderId,
    ) -> Result<IdentityProviderView, Refusal> {
        let _allowed = authorize(principal, Operation::ReadIdentityProvider, Target::Organization)?;
        self.provider_view(self.find_identity_provider(principal, id).await?)
    }

    pub async fn create_identity_provider(
        &self,
        principal: &Principal,
        new: NewIdentityProvider,
    ) -> Result<IdentityProviderView, Refusal> {
        let allowed = authorize(principal, Operation::CreateIdentityProvider, Target::Organization)?;
        let mut violations = Violations::default();
        let slug: Option<Slug> = new.slug.parse().ok().filter(|slug: &Slug| slug.as_str() != "password");
        let Some(slug) = slug else {
            violations.add("slug", "Use lower-case letters, digits and hyphens, up to 63; not `password`.");
            return Err(violations.into_result().err().unwrap_or_else(Refusal::unavailable));
        };
        let defaults = ProviderSettings::default();
        let settings = ProviderSettings {
            scopes: new.scopes.unwrap_or(defaults.scopes),
            verified_domains: lower(new.verified_domains),
            group_claim: new.group_claim,
            group_teams: new.group_teams,
        };
        let mut provider = IdentityProvider {
            id: IdentityProviderId::new(self.clock(), self.random()),
            organization: principal.organization,
            slug,
            name: new.name.trim().to_owned(),
            issuer: new.issuer,
            client_id: new.client_id,
            enabled: new.enabled.unwrap_or(true),
            settings: json!({}),
            secret: None,
            secret_version: 1,
            created_at: self.clock().now(),
            updated_at: self.clock().now(),
            revision: 1,
        };
        self.check_provider(&provider, &settings, new.client_secret.as_ref(), &mut violations);
        violations.into_result()?;
        self.check_issuer(&provider.issuer).await?;
        provider.settings = stored(&settings)?;
        if let Some(secret) = &new.client_secret {
            provider.secret = Some(self.seal_provider_secret(&provider, secret).await?);
        }
        let mut tx = self.db().write().await?;
        check_teams(&mut tx, principal, &settings).await?;
        if !tx.identity_providers().insert(&provider).await? {
            let text = format!("There is an identity provider `{}` already.", provider.slug);
            return Err(Refusal::conflict("slug_taken", text));
        }
        let change = Change::of(provider.id).with(json!({ "after": facts(&provider) }));
        self.commit_change(&allowed, tx, change).await?;
        self.provider_view(provider)
    }

    /// `seen` is the revision of the caller's `If-Match`.
    pub async fn update_identity_provider(
        &self,
        principal: &Principal,
        id: IdentityProviderId,
        seen: Option<i64>,
        edit: IdentityProviderEdit,
    ) -> Result<IdentityProviderView, Refusal> {
        let allowed = authorize(principal, Operation::UpdateIdentityProvider, Target::Organization)?;
        let before = self.find_identity_provider(principal, id).await?;
        if seen.is_some_and(|seen| seen != before.revision) {
            return Err(Refusal::stale());
        }
        let (mut provider, settings, secret) = edited(&before, edit)?;
        let mut violations = Violations::default();
        let new_secret = secret.as_ref().and_then(Option::as_ref);
        self.check_provider(&provider, &settings, new_secret, &mut violations);
        if provider.issuer != before.issuer && before.secret.is_some() && secret.is_none() {
            violations.add("client_secret", "Another issuer needs its own secret; `null` for none.");
        }
        violations.into_result()?;
        if provider.issuer != before.issuer {
            self.check_issuer(&provider.issuer).await?;
        }
        provider.settings = stored(&settings)?;
        provider.updated_at = self.clock().now();
        if let Some(secret) = secret {
            provider.secret_version += 1;
            provider.secret = match secret {
                Some(secret) => Some(self.seal_provider_secret(&provider, &secret).await?),
                None => None,
            };
        }
        let mut tx = self.db().write().await?;
        check_teams(&mut tx, principal, &settings).await?;
        if before.enabled && !provider.enabled {
            self.check_still_a_way_in(&mut tx, &before).await?;
        }
        if !tx.identity_providers().update(&provider).await? {
            return Err(Refusal::stale());
        }
        let details = json!({ "before": facts(&before), "after": facts(&provider) });
        self.commit_change(&allowed, tx, Change::of(id).with(details)).await?;
        self.provider_view(self.find_identity_provider(principal, id).await?)
    }

    /// Its identities go with it: who signed in through it alone has to be invited again.
    pub async fn delete_identity_provider(
        &self,
        principal: &Principal,
        id: IdentityProviderId,
    ) -> Result<(), Refusal> {
        let allowed = authorize(principal, Operation::DeleteIdentityProvider, Target::Organization)?;
        let before = self.find_identity_provider(principal, id).await?;
        let mut tx = self.db().write().await?;
        if before.enabled {
            self.check_still_a_way_in(&mut tx, &before).await?;
        }
        if !tx.identity_providers().delete(principal.organization, id).await? {
            return Err(Refusal::not_found());
        }
        let change = Change::of(id).with(json!({ "before": facts(&before) }));
        self.commit_change(&allowed, tx, change).await
    }

    async fn find_identity_provider(
        &self,
        principal: &Principal,
        id: IdentityProviderId,
    ) -> Result<IdentityProvider, Refusal> {
        let found = self.db().single().await?.identity_providers().find(principal.organization, id).await?;
        found.ok_or_else(Refusal::not_found)
    }

    fn check_provider(
        &self,
        provider: &IdentityProvider,
        settings: &ProviderSettings,
        secret: Option<&SecretValue>,
        violations: &mut Violations,
    ) {
        check_name(&provider.name, violations);
        let issuer = self.0.egress.check_url(&provider.issuer);
        if issuer.is_err() || provider.issuer.contains(['?', '#']) || provider.issuer.len() > MAX_TEXT {
            violations.add("issuer", "Use the https address that the provider's metadata names as `issuer`.");
        }
        let plain =
            |text: &str| !text.is_empty() && text.len() <= MAX_TEXT && !text.chars().any(char::is_control);
        if !plain(&provider.client_id) {
            violations.add("client_id", "Use the id that the provider gave this client.");
        }
        if secret.is_some_and(|secret| !plain(secret.expose())) {
            violations.add("client_secret", "Use the secret that the provider gave this client.");
        }
        check_settings(settings, violations);
    }

    /// Asks the provider now: a wrong issuer is found by who typed it, not by who signs in.
    async fn check_issuer(&self, issuer: &str) -> Result<(), Refusal> {
        let Err(error) = self.providers().can_be_used(issuer).await else { return Ok(()) };
        let mut violations = Violations::default();
        violations.add("issuer", format!("This can't be used: {error}."));
        violations.into_result()
    }

    /// While nobody may use a password, people need a provider.
    async fn check_still_a_way_in(&self, tx: &mut Tx, without: &IdentityProvider) -> Result<(), Refusal> {
        let organization = tx.organizations().find(without.organization).await?;
        let by_password = organization.is_none_or(|it| password_sign_in(&it.settings));
        let others = tx.identity_providers().list(without.organization).await?;
        if by_password || others.iter().any(|it| it.enabled && it.id != without.id) {
            return Ok(());
        }
        Err(Refusal::conflict(
            "last_identity_provider",
            "Nobody but owners may sign in with a password, so this is the only way in. Allow passwords again \
             (`password_sign_in`) or add another provider first.",
        ))
    }

    fn provider_view(&self, provider: IdentityProvider) -> Result<IdentityProviderView, Refusal> {
        let settings = read_settings(&provider)?;
        let organization = self.snapshot(provider.organization).ok_or_else(Refusal::unavailable)?;
        let address = ProviderAddress {
            organization: organization.organization.slug.clone(),
            provider: provider.slug.clone(),
        };
        Ok(IdentityProviderView {
            id: provider.id,
            slug: provider.slug.to_string(),
            name: provider.name,
            issuer: provider.issuer,
            client_id: provider.client_id,
            has_secret: provider.secret.is_some(),
            scopes: settings.scopes,
            verified_domains: settings.verified_domains,
            group_claim: settings.group_claim,
            group_teams: settings.group_teams,
            enabled: provider.enabled,
            callback_url: self.sign_in_callback(&address),
            created_at: provider.created_at,
            updated_at: provider.updated_at,
            revision: provider.revision,
        })
    }
}

/// Whether members may sign in with a password; owners always may.
pub(crate) fn password_sign_in(settings: &serde_json::Value) -> bool {
    settings["password_sign_in"].as_bool().unwrap_or(true)
}

type Edited = (IdentityProvider, ProviderSettings, Option<Option<SecretValue>>);

fn edited(before: &IdentityProvider, edit: IdentityProviderEdit) -> Result<Edited, Refusal> {
    let (mut provider, mut settings) = (before.clone(), read_settings(before)?);
    if let Some(name) = edit.name {
        provider.name = name.trim().to_owned();
    }
    provider.issuer = edit.issuer.unwrap_or(provider.issuer);
    provider.client_id = edit.client_id.unwrap_or(provider.client_id);
    provider.enabled = edit.enabled.unwrap_or(provider.enabled);
    settings.scopes = edit.scopes.unwrap_or(settings.scopes);
    settings.verified_domains = edit.verified_domains.map_or(settings.verified_domains, lower);
    settings.group_claim = edit.group_claim.unwrap_or(settings.group_claim);
    settings.group_teams = edit.group_teams.unwrap_or(settings.group_teams);
    Ok((provider, settings, edit.client_secret))
}

fn check_settings(settings: &ProviderSettings, violations: &mut Violations) {
    // RFC 6749 section 3.3.
    let is_scope = |text: &String| {
        let plain = text.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'"' && byte != b'\\');
        plain && !text.is_empty() && text.len() <= 255
    };
    if settings.scopes.len() > MAX_LIST || !settings.scopes.iter().all(is_scope) {
        violations.add("scopes", "Use up to 100 scopes such as `email`, each on its own.");
    }
    let is_domain = |text: &String| {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
        plain && text.contains('.') && !text.starts_with('.') && !text.ends_with('.') && text.len() <= 253
    };
    if settings.verified_domains.len() > MAX_LIST || !settings.verified_domains.iter().all(is_domain) {
        violations.add("verified_domains", "Use up to 100 domains such as `example.com`.");
    }
    let is_name =
        |text: &String| !text.is_empty() && text.len() <= 255 && !text.chars().any(char::is_control);
    if settings.group_claim.as_ref().is_some_and(|claim| !is_name(claim)) {
        violations.add("group_claim", "Use the name of a claim, such as `groups`.");
    }
    let groups = &settings.group_teams;
    if groups.len() > 1_000 || !groups.iter().all(|it| is_name(&it.group)) {
        violations.add("group_teams", "Use up to 1,000 pairs of a group's name and a team.");
    }
    if !groups.is_empty() && settings.group_claim.is_none() {
        violations.add("group_claim", "Say which claim has the groups of `group_teams`.");
    }
}

async fn check_teams(tx: &mut Tx, principal: &Principal, settings: &ProviderSettings) -> Result<(), Refusal> {
    if settings.group_teams.is_empty() {
        return Ok(());
    }
    let teams = tx.teams().list(principal.organization).await?;
    let known = |wanted: TeamId| teams.iter().any(|team| team.id == wanted);
    match settings.group_teams.iter().all(|it| known(it.team)) {
        true => Ok(()),
        false => Err(StorageError::Reference.into()),
    }
}

fn lower(domains: Vec<String>) -> Vec<String> {
    domains.into_iter().map(|domain| domain.trim().to_ascii_lowercase()).collect()
}

fn stored(settings: &ProviderSettings) -> Result<serde_json::Value, Refusal> {
    serde_json::to_value(settings).map_err(|_| Refusal::unavailable())
}

fn read_settings(provider: &IdentityProvider) -> Result<ProviderSettings, Refusal> {
    serde_json::from_value(provider.settings.clone()).map_err(|error| {
        tracing::error!(provider = %provider.id, %error, "an identity provider's settings can't be read");
        Refusal::unavailable()
    })
}

/// For the audit log: everything but the secret, of which the version tells that it was replaced.
fn facts(provider: &IdentityProvider) -> serde_json::Value {
    json!({
        "slug": provider.slug, "name": provider.name, "issuer": provider.issuer, "client_id": provider.client_id,
        "enabled": provider.enabled, "settings": provider.settings, "secret_version": provider.secret_version,
    })
}
