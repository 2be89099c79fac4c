//! Editing a connection (RFC 7396: an absent member stays, `null` clears).
//!
//! A credential belongs to where the connection leads: another URL or another way to authenticate takes it away
//! (THREATS Z8), so that nobody can have a stored secret sent to a host of their choosing.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::json;
use switchboard_domain::{
    AuthType, Availability, Connection, ConnectionId, ConnectionOwner, ConnectionStatus, CredentialMode,
    Principal, SecretValue, Slug, Status, Transport,
};
use switchboard_storage::UpdateConnection;

use super::{
    ApiKeyInput, ClientCredentialsInput, ConnectionView, MemberHeader, OauthInput, Operation, Refusal,
    Target, authorize,
    connection::{owner_of_secret, refuse_read_only, slug_taken},
    connection_authentication::Authentication,
    connection_input::{
        check_external_key, check_name, check_tools, check_transport, no_process_over_http, usual_mode,
    },
    connection_oauth::OauthChange,
    connection_view::{origin, warnings},
    record::Change,
    refusal::Violations,
    rollout::rollout_of,
};
use crate::{Broker, credentials::NewSecret};

/// Tells an absent member from `null`.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Changes to a connection.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionEdit {
    /// Rules and toolkits that name it follow; a rule's `condition` that does is to be changed by hand.
    #[serde(default)]
    pub slug: Option<String>,
    #[serde(default)]
    pub name: Option<String>,
    /// Another URL takes stored credentials away.
    #[serde(default)]
    pub url: Option<String>,
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub transport: Option<Transport>,
    /// Another one takes stored credentials away.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub auth_type: Option<AuthType>,
    /// Another one takes stored credentials away.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub credential_mode: Option<CredentialMode>,
    #[serde(default)]
    pub enabled: Option<bool>,
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub availability: Option<Availability>,
    #[serde(default)]
    pub allow_in_plan_mode: Option<bool>,
    #[serde(default)]
    pub model_intent: Option<bool>,
    #[serde(default)]
    pub expose_directly: Option<bool>,
    #[serde(default)]
    pub send_identity: Option<bool>,
    /// `true`: for admins only, until the organization publishes; `false`: for whoever it is granted to, now.
    #[serde(default)]
    pub staged: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    pub tool_allow: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "present")]
    pub tool_deny: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "present")]
    pub external_key: Option<Option<String>>,
    /// Replaces where the key goes, and the key if it has a `value`.
    #[serde(default)]
    pub api_key: Option<ApiKeyInput>,
    /// Replaces the headers and their values.
    #[schema(value_type = Option<BTreeMap<String, String>>, write_only)]
    #[serde(default)]
    pub headers: Option<BTreeMap<String, SecretValue>>,
    #[serde(default, deserialize_with = "present")]
    pub member_headers: Option<Option<Vec<MemberHeader>>>,
    /// Merged with what is there, like the connection itself.
    #[serde(default)]
    pub oauth: Option<OauthInput>,
    /// Replaces the client and its secret.
    #[serde(default)]
    pub client_credentials: Option<ClientCredentialsInput>,
    #[schema(ignore)]
    #[serde(default)]
    pub command: Option<IgnoredAny>,
    #[schema(ignore)]
    #[serde(default)]
    pub args: Option<IgnoredAny>,
    #[schema(ignore)]
    #[serde(default)]
    pub env: Option<IgnoredAny>,
}

impl ConnectionEdit {
    fn refuse_what_is_not_available(&self) -> Result<(), Refusal> {
        if self.command.is_some() || self.args.is_some() || self.env.is_some() {
            return Err(no_process_over_http());
        }
        self.transport.map_or(Ok(()), check_transport)
    }
}

/// What an edit comes to.
struct Edited {
    connection: Connection,
    secret: Option<NewSecret>,
    oauth: OauthChange,
    drops_credentials: bool,
    /// Has to be looked at anew.
    leads_elsewhere: bool,
}

impl Broker {
    /// `seen` is the revision of the caller's `If-Match`.
    pub async fn update_connection(
        &self,
        principal: &Principal,
        id: ConnectionId,
        seen: Option<i64>,
        edit: ConnectionEdit,
    ) -> Result<ConnectionView, Refusal> {
        let known = self.known_connection(principal.organization, id).await?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let allowed = authorize(principal, Operation::UpdateConnection, target)?;
        let before = &*known.connection;
        refuse_read_only(before)?;
        edit.refuse_what_is_not_available()?;
        if seen.is_some_and(|seen| seen != before.revision) {
            return Err(Refusal::stale());
        }
        let edited = self.apply_edit(before, edit)?;
        let had_credentials = !known.credentials.is_empty();
        let dropped = edited.drops_credentials && had_credentials;
        let has_credential = edited.secret.is_some() || (had_credentials && !dropped);
        let status = self.status_after(before, &edited, has_credential);
        let mut tx = self.db().write().await?;
        let mut queued = 0;
        if dropped {
            let now = self.clock().now();
            queued = tx.revocations().queue_of_connection(principal.organization, id, now).await?;
        }
        match tx.connections().update(&edited.connection).await? {
            UpdateConnection::Updated => {}
            UpdateConnection::Stale => return Err(Refusal::stale()),
            UpdateConnection::SlugTaken => return Err(slug_taken(edited.connection.slug.as_str())),
        }
        let renamed = self.rename_in_rules(&mut tx, (before, &edited.connection)).await?;
        if dropped {
            tx.credentials().delete_all(principal.organization, id).await?;
        }
        if edited.oauth.forgets_issuer {
            tx.upstream_issuers().delete(principal.organization, id).await?;
        }
        if let Some(status) = &status {
            tx.connections().set_status(principal.organization, id, status).await?;
        }
        tx.commit().await?;
        self.revoke_soon(queued);
        if let Some(secret) = &edited.secret {
            let owner = owner_of_secret(&edited.connection);
            self.credentials().put(&edited.connection, owner, secret).await?;
        }
        self.change_client(&edited.connection, &edited.oauth.client).await?;
        if edited.connection.switches.send_identity {
            self.connection_key(&edited.connection).await?;
        }
        let mut details = differences(before, &edited, dropped);
        if renamed != (0, 0) {
            details["renamed_in"] = json!({ "rules": renamed.0, "toolkits": renamed.1 });
        }
        let change = Change::of(edited.connection.slug.as_str()).on(id).with(details);
        self.record_change(&allowed, change).await?;
        if edited.leads_elsewhere || !edited.connection.switches.enabled {
            self.drop_sessions(&known);
        }
        if status.is_some_and(|status| status.status == ConnectionStatus::Checking) {
            self.check_in_background(principal.organization, id);
        }
        let view = self.read_connection(principal, id).await?;
        let moved = before.url != edited.connection.url;
        let warnings = if moved { warnings(&edited.connection.url) } else { Vec::new() };
        Ok(ConnectionView { credentials_dropped: dropped, warnings, ..view })
    }

    fn apply_edit(&self, before: &Connection, edit: ConnectionEdit) -> Result<Edited, Refusal> {
        let mut violations = Violations::default();
        let mut after = before.clone();
        if let Some(slug) = &edit.slug {
            match slug.parse::<Slug>() {
                Ok(slug) => after.slug = slug,
                Err(error) => violations.add("slug", format!("{error}.")),
            }
        }
        if let Some(name) = edit.name {
            check_name(&name, &mut violations);
            after.name = name.trim().to_owned();
        }
        if let Some(url) = &edit.url {
            after.url = self.check_connection_url(url, &mut violations);
        }
        after.transport = edit.transport.unwrap_or(after.transport);
        let switches = &mut after.switches;
        switches.enabled = edit.enabled.unwrap_or(switches.enabled);
        switches.availability = edit.availability.unwrap_or(switches.availability);
        switches.allow_in_plan_mode = edit.allow_in_plan_mode.unwrap_or(switches.allow_in_plan_mode);
        switches.model_intent = edit.model_intent.unwrap_or(switches.model_intent);
        switches.expose_directly = edit.expose_directly.unwrap_or(switches.expose_directly);
        switches.send_identity = edit.send_identity.unwrap_or(switches.send_identity);
        if let Some(staged) = edit.staged {
            switches.rollout =
                rollout_of(staged, before.owner != ConnectionOwner::Organization, &mut violations);
        }
        after.tools.allow = edit.tool_allow.map_or(after.tools.allow, Option::unwrap_or_default);
        after.tools.deny = edit.tool_deny.map_or(after.tools.deny, Option::unwrap_or_default);
        check_tools(&after.tools, &mut violations);
        after.external_key = edit.external_key.unwrap_or(after.external_key);
        check_external_key(after.external_key.as_deref(), &mut violations);
        after.auth_type = edit.auth_type.unwrap_or(after.auth_type);
        if before.owner == ConnectionOwner::Organization {
            let becomes = edit.auth_type.filter(|it| *it != before.auth_type && *it == AuthType::UserOidc);
            after.credential_mode =
                edit.credential_mode.or(becomes.map(usual_mode)).unwrap_or(after.credential_mode);
        }
        let headers_given = edit.headers.is_some();
        let touches_auth = edit.api_key.is_some()
            || headers_given
            || edit.member_headers.is_some()
            || edit.client_credentials.is_some()
            || after.auth_type != before.auth_type
            || after.credential_mode != before.credential_mode;
        let mut secret = None;
        if touches_auth {
            let member_headers = match edit.member_headers {
                Some(headers) => headers.unwrap_or_default(),
                None if after.auth_type == before.auth_type => kept_member_headers(before),
                None => Vec::new(),
            };
            let authentication = Authentication {
                auth_type: after.auth_type,
                personal: before.owner != ConnectionOwner::Organization,
                credential_mode: after.credential_mode,
                api_key: merged_api_key(before, edit.api_key, after.auth_type),
                headers: edit.headers,
                member_headers,
                client_credentials: edit.client_credentials,
                known_client: before.auth.client_credentials.clone().filter(|_| after.url == before.url),
            };
            let keeps_headers = !headers_given && before.auth_type == AuthType::Headers;
            let (auth, given) = if keeps_headers && after.auth_type == AuthType::Headers {
                let mut auth = before.auth.clone();
                auth.member_headers = authentication
                    .member_headers
                    .iter()
                    .map(|header| (header.name.clone(), header.description.clone()))
                    .collect();
                (auth, None)
            } else {
                authentication.check(&mut violations)
            };
            after.auth = auth;
            secret = given;
        }
        let moved = after.url != before.url || after.auth_type != before.auth_type;
        if let Some(client) = after.auth.client_credentials.as_mut().filter(|_| moved && secret.is_none()) {
            // The key is taken away with everything else that belonged to where it led.
            client.public_key = None;
        }
        let (oauth, mut change) =
            self.apply_oauth(Some(before), (after.auth_type, moved), edit.oauth, &mut violations);
        // Another client, or another place: whose tokens the server takes is found out anew.
        let acts_anew = before.auth.client_credentials.is_some() && (moved || secret.is_some());
        change.forgets_issuer |= acts_anew;
        after.auth.oauth = oauth;
        violations.into_result()?;
        after.updated_at = self.clock().now();
        let elsewhere = after.url != before.url || after.transport != before.transport;
        let drops_credentials = after.url != before.url
            || after.auth_type != before.auth_type
            || after.credential_mode != before.credential_mode
            || after.auth.member_headers != before.auth.member_headers
            || change.forgets_issuer;
        // Asked for with the tokens, which are to be got anew.
        let asks_otherwise = after.auth.client_credentials != before.auth.client_credentials;
        let enabled_now = after.switches.enabled && !before.switches.enabled;
        Ok(Edited {
            leads_elsewhere: elsewhere
                || drops_credentials
                || secret.is_some()
                || after.auth.api_key != before.auth.api_key
                || change.differs
                || asks_otherwise
                || enabled_now,
            connection: after,
            secret,
            oauth: change,
            drops_credentials,
        })
    }

    /// What is said of it until it has been checked again; `None` when nothing has to be said anew.
    fn status_after(&self, before: &Connection, edited: &Edited, has_credential: bool) -> Option<Status> {
        let after = &edited.connection;
        if !edited.leads_elsewhere || !after.switches.enabled {
            return None;
        }
        let now = self.clock().now();
        let checked_at = before.status.checked_at;
        // Where people sign in, there is something to find out before anybody has.
        if matches!(after.auth_type, AuthType::None | AuthType::OAuth | AuthType::UserOidc) || has_credential
        {
            return Some(Status { checked_at, ..Status::new(ConnectionStatus::Checking, now) });
        }
        let reason = Some("credential_missing".to_owned());
        Some(Status { reason, checked_at, ..Status::new(ConnectionStatus::NeedsConnection, now) })
    }
}

/// What was given, on top of where the key went before.
fn merged_api_key(
    before: &Connection,
    given: Option<ApiKeyInput>,
    auth_type: AuthType,
) -> Option<ApiKeyInput> {
    let place = before.auth.api_key.as_ref().filter(|_| auth_type == AuthType::ApiKey);
    let Some(place) = place else { return given };
    let given = given.unwrap_or_default();
    if given.header.is_some() {
        return Some(given);
    }
    let scheme = given.scheme.or_else(|| place.scheme.clone());
    Some(ApiKeyInput { header: Some(place.header.clone()), scheme, value: given.value })
}

fn kept_member_headers(before: &Connection) -> Vec<MemberHeader> {
    let kept = before.auth.member_headers.iter();
    kept.map(|(name, description)| MemberHeader { name: name.clone(), description: description.clone() })
        .collect()
}

/// For the audit log: what was changed, a secret as `true`.
fn differences(before: &Connection, edited: &Edited, dropped: bool) -> serde_json::Value {
    let after = &edited.connection;
    let facts = |connection: &Connection| {
        let switches = &connection.switches;
        json!({
            "slug": connection.slug, "name": connection.name,
            "url": origin(&connection.url),
            "transport": connection.transport, "auth_type": connection.auth_type,
            "credential_mode": connection.credential_mode, "enabled": switches.enabled,
            "availability": switches.availability, "allow_in_plan_mode": switches.allow_in_plan_mode,
            "model_intent": switches.model_intent, "expose_directly": switches.expose_directly,
            "send_identity": switches.send_identity, "rollout": switches.rollout, "tool_allow": connection.tools.allow,
            "tool_deny": connection.tools.deny, "external_key": connection.external_key,
        })
    };
    let (old, new) = (facts(before), facts(after));
    let mut changed = serde_json::Map::new();
    if let (Some(old), Some(new)) = (old.as_object(), new.as_object()) {
        for (name, value) in new.iter().filter(|(name, value)| old.get(*name) != Some(value)) {
            changed.insert(name.clone(), json!({ "before": old.get(name), "after": value }));
        }
    }
    if before.url != after.url && !changed.contains_key("url") {
        // Only its path or query, which may hold a secret.
        changed.insert("url".into(), json!({ "below": origin(&after.url) }));
    }
    if before.auth.oauth != after.auth.oauth {
        changed.insert("oauth".into(), json!({ "before": before.auth.oauth, "after": after.auth.oauth }));
    }
    if edited.secret.is_some() {
        changed.insert("credential".into(), json!(true));
    }
    if dropped {
        changed.insert("credentials_dropped".into(), json!(true));
    }
    changed.into()
}
