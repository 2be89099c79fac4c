//! How a connection of `auth_type: oauth` becomes known to its provider, as people write it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use switchboard_domain::{
    AssertionAudience, AuthType, ClientRegistration, Connection, OauthConfig, SecretValue,
};
use switchboard_oauth::upstream::Authentication;

use super::{
    client_key::{PRIVATE_KEY_JWT, PublicKey, client_key},
    connection_authentication::check_secret,
    refusal::Violations,
};
use crate::Broker;

const MAX_SCOPES: usize = 100;
const MAX_CLIENT_ID: usize = 2048;
const MAX_PARAMETERS: usize = 20;
const RESERVED_PARAMETERS: [&str; 13] = [
    "response_type",
    "response_mode",
    "client_id",
    "client_secret",
    "redirect_uri",
    "state",
    "nonce",
    "scope",
    "code_challenge",
    "code_challenge_method",
    "resource",
    "request",
    "request_uri",
];

/// Tells an absent member from `null`.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// Scopes, as a list or as OAuth writes them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum ScopesInput {
    List(Vec<String>),
    Text(String),
}

/// Signing in at the provider. An absent member stays as it was, `null` clears.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Oauth)]
pub struct OauthInput {
    /// `auto` (without), `client_metadata`, `dynamic`, or `static` for a client that was made at the provider.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub registration: Option<ClientRegistration>,
    /// Of the client made at the provider.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub client_id: Option<Option<String>>,
    /// Written, never read.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, write_only)]
    pub client_secret: Option<Option<SecretValue>>,
    /// Instead of a secret: PEM (PKCS#8) or a JSON Web Key. Written, never read. `null`, or none with
    /// `private_key_jwt`, has one made here; its public half is then in `public_key` and at `client_keys_url`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, write_only)]
    pub private_key: Option<Option<SecretValue>>,
    /// For whom assertions signed with that key are: `issuer` (without), or `token_endpoint` for older providers.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub assertion_audience: Option<AssertionAudience>,
    /// `client_secret_basic`, `client_secret_post`, `private_key_jwt` or `none`; without, what the provider prefers of
    /// those that need no key.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub token_endpoint_auth_method: Option<Option<String>>,
    /// Instead of the scopes that the server asks for: a list, or a text with blanks between.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    pub scopes: Option<Option<ScopesInput>>,
    /// By hand, together with `token_endpoint` and `client_id`, where discovery finds nothing.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub authorization_endpoint: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub token_endpoint: Option<Option<String>>,
    /// Sent along when a person is sent to the provider, such as `{"access_type": "offline"}`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub authorization_parameters: Option<Option<BTreeMap<String, String>>>,
    /// Accepts another authorization server than before: everybody then signs in again.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub issuer: Option<Option<String>>,
}

/// The same, read.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = OauthInfo)]
pub struct OauthView {
    #[schema(value_type = String)]
    pub registration: ClientRegistration,
    pub client_id: Option<String>,
    pub has_client_secret: bool,
    pub token_endpoint_auth_method: Option<String>,
    /// Of the private key that is stored, as a JSON Web Key for the provider.
    #[schema(value_type = Option<Object>)]
    pub public_key: Option<PublicKey>,
    #[schema(value_type = String)]
    pub assertion_audience: AssertionAudience,
    pub scopes: Option<Vec<String>>,
    pub authorization_endpoint: Option<String>,
    pub token_endpoint: Option<String>,
    pub authorization_parameters: BTreeMap<String, String>,
    pub issuer: Option<String>,
}

impl From<&OauthConfig> for OauthView {
    fn from(config: &OauthConfig) -> Self {
        Self {
            registration: config.registration,
            client_id: config.client_id.clone(),
            has_client_secret: config.has_client_secret,
            token_endpoint_auth_method: config.token_endpoint_auth_method.clone(),
            public_key: config.public_key.clone(),
            assertion_audience: config.assertion_audience,
            scopes: config.scopes.clone(),
            authorization_endpoint: config.authorization_endpoint.clone(),
            token_endpoint: config.token_endpoint.clone(),
            authorization_parameters: config.authorization_parameters.clone(),
            issuer: config.issuer.clone(),
        }
    }
}

/// What is to become of the client that is stored for a connection.
#[derive(Debug, Default)]
pub(crate) enum ClientChange {
    #[default]
    Keep,
    /// The admin's, or our document's, with this secret or key.
    Put(Option<SecretValue>),
    Drop,
}

/// What an edit does to signing in.
#[derive(Debug, Default)]
pub(crate) struct OauthChange {
    pub(crate) client: ClientChange,
    /// Who issued tokens before does not count any more.
    pub(crate) forgets_issuer: bool,
    /// It has to be looked at anew.
    pub(crate) differs: bool,
}

impl Broker {
    /// The settings after what was written, on top of what was there; and what that does to the stored client.
    pub(crate) fn apply_oauth(
        &self,
        before: Option<&Connection>,
        (auth_type, moved): (AuthType, bool),
        input: Option<OauthInput>,
        violations: &mut Violations,
    ) -> (Option<OauthConfig>, OauthChange) {
        let old = before.and_then(|before| before.auth.oauth.clone());
        if auth_type != AuthType::OAuth {
            if input.is_some() {
                violations.add("oauth", "It belongs to `auth_type: oauth`.");
            }
            let client = if old.is_some() { ClientChange::Drop } else { ClientChange::Keep };
            return (None, OauthChange { client, forgets_issuer: old.is_some(), differs: false });
        }
        let input = input.unwrap_or_default();
        let mut config = old.clone().unwrap_or_default();
        if moved {
            // Clients and their secrets belong to where the connection led (THREATS Z8).
            config = OauthConfig { registration: config.registration, ..OauthConfig::default() };
        }
        let (secret, key) = (input.client_secret.clone(), input.private_key.clone());
        merge(&mut config, input);
        if old.as_ref().is_some_and(|old| old.issuer != config.issuer) {
            // The client is dropped with the authorization server that knew it, and its key with it.
            config.public_key = None;
        }
        let secret = prove(&mut config, old.as_ref(), (secret, key), violations);
        check(&config, secret.as_ref(), violations);
        self.check_addresses(&config, violations);
        let was = old.clone().unwrap_or_default();
        let issuer_changed = config.issuer != was.issuer && config.issuer.is_some();
        let client = if config.client_id != was.client_id || secret.is_some() {
            match (&config.client_id, secret) {
                (Some(_), secret) => ClientChange::Put(secret.flatten()),
                (None, Some(Some(key))) if config.public_key.is_some() => ClientChange::Put(Some(key)),
                (None, _) => ClientChange::Drop,
            }
        } else if moved || issuer_changed || config.registration != was.registration {
            ClientChange::Drop
        } else {
            ClientChange::Keep
        };
        let change = OauthChange {
            client,
            forgets_issuer: moved || issuer_changed,
            differs: old.as_ref() != Some(&config),
        };
        (Some(config), change)
    }

    fn check_addresses(&self, config: &OauthConfig, violations: &mut Violations) {
        let endpoints = [
            ("oauth.authorization_endpoint", &config.authorization_endpoint),
            ("oauth.token_endpoint", &config.token_endpoint),
            ("oauth.issuer", &config.issuer),
        ];
        for (path, url) in endpoints {
            let Some(url) = url else { continue };
            if let Err(refused) = self.upstreams().egress().check_url(url) {
                violations.add(path, format!("{refused}."));
            } else if url.contains('#') {
                violations.add(path, "An endpoint has no fragment (`#…`).");
            }
        }
    }
}

fn merge(config: &mut OauthConfig, input: OauthInput) {
    config.registration = input.registration.unwrap_or(config.registration);
    if let Some(client_id) = input.client_id {
        config.client_id = client_id.filter(|id| !id.is_empty());
    }
    if let Some(method) = input.token_endpoint_auth_method {
        config.token_endpoint_auth_method = method;
    }
    config.assertion_audience = input.assertion_audience.unwrap_or(config.assertion_audience);
    if let Some(scopes) = input.scopes {
        config.scopes = scopes.map(|scopes| match scopes {
            ScopesInput::List(list) => list,
            ScopesInput::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        });
    }
    if let Some(endpoint) = input.authorization_endpoint {
        config.authorization_endpoint = endpoint;
    }
    if let Some(endpoint) = input.token_endpoint {
        config.token_endpoint = endpoint;
    }
    if let Some(parameters) = input.authorization_parameters {
        config.authorization_parameters = parameters.unwrap_or_default();
    }
    if let Some(issuer) = input.issuer {
        config.issuer = issuer;
    }
}

/// What the client proves itself with from now on; `None` when that stays as it was, and `Some(None)` when it proves
/// nothing. What was stored goes with the client that it was stored for.
fn prove(
    config: &mut OauthConfig,
    before: Option<&OauthConfig>,
    (secret, key): (Option<Option<SecretValue>>, Option<Option<SecretValue>>),
    violations: &mut Violations,
) -> Option<Option<SecretValue>> {
    let is_same = before.is_some_and(|before| {
        before.client_id == config.client_id && before.registration == config.registration
    });
    config.has_client_secret &= is_same;
    config.public_key = config.public_key.take().filter(|_| is_same);
    let (given_secret, given_key) =
        (secret.as_ref().and_then(Option::as_ref), key.as_ref().and_then(Option::as_ref));
    let method = config.token_endpoint_auth_method.as_deref();
    let has_changed = before.and_then(|before| before.token_endpoint_auth_method.as_deref()) != method;
    if given_secret.is_some() && given_key.is_some() {
        violations.add("oauth.private_key", "Give a secret or a private key, not both.");
    } else if given_key.is_some() && method.is_none() {
        config.token_endpoint_auth_method = Some(PRIVATE_KEY_JWT.to_owned());
    } else if given_secret.is_some() && method == Some(PRIVATE_KEY_JWT) && !has_changed {
        config.token_endpoint_auth_method = None;
    }
    if config.token_endpoint_auth_method.as_deref() != Some(PRIVATE_KEY_JWT) {
        if given_key.is_some() {
            violations
                .add("oauth.private_key", "It goes with `token_endpoint_auth_method: private_key_jwt`.");
        }
        let had_key = config.public_key.take().is_some();
        config.has_client_secret = secret.as_ref().map_or(config.has_client_secret, Option::is_some);
        return if had_key { Some(secret.flatten()) } else { secret };
    }
    if given_secret.is_some() {
        violations
            .add("oauth.client_secret", "With `private_key_jwt` the client has a private key and no secret.");
    }
    config.has_client_secret = false;
    // At a registration it is made with it, and the provider is told.
    if config.registration == ClientRegistration::Dynamic || (config.public_key.is_some() && key.is_none()) {
        return None;
    }
    let (key, public_key) = client_key("oauth.private_key", key.flatten(), violations)?;
    config.public_key = Some(public_key);
    Some(Some(key))
}

fn check(config: &OauthConfig, secret: Option<&Option<SecretValue>>, violations: &mut Violations) {
    use ClientRegistration as R;
    let endpoints = [&config.authorization_endpoint, &config.token_endpoint];
    let given = endpoints.iter().filter(|it| it.is_some()).count();
    let by_hand = "By hand it takes all three: `client_id`, `authorization_endpoint` and `token_endpoint`.";
    if given == 1 || (given == 2 && config.client_id.is_none()) {
        violations.add(
            "oauth",
            format!(
                "{by_hand} Give what is missing, or none of the endpoints: they are then found by discovery."
            ),
        );
    }
    match (config.registration, &config.client_id) {
        (R::Auto, Some(_)) if given == 0 => violations.add(
            "oauth.client_id",
            format!(
                "{by_hand} To use your client with the endpoints that discovery finds, say `registration: static`."
            ),
        ),
        (R::ClientMetadata | R::Dynamic, Some(_)) => violations.add(
            "oauth.client_id",
            "A client made at the provider goes with `registration: static`; the other ways make their own.",
        ),
        _ => {}
    }
    if let Some(client_id) = &config.client_id
        && (client_id.len() > MAX_CLIENT_ID || !client_id.bytes().all(|byte| (0x20..=0x7e).contains(&byte)))
    {
        violations.add("oauth.client_id", "It has characters that no client id has. Copy it again.");
    }
    if let Some(Some(secret)) = secret
        && config.public_key.is_none()
    {
        check_secret("oauth.client_secret", secret, violations);
        if config.client_id.is_none() {
            violations.add("oauth.client_secret", "It belongs to a `client_id`.");
        }
    }
    check_method(config, violations);
    check_parameters(&config.authorization_parameters, violations);
    let odd = |scope: &String| {
        scope.is_empty()
            || !scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
    };
    if config.scopes.as_ref().is_some_and(|scopes| scopes.len() > MAX_SCOPES || scopes.iter().any(odd)) {
        violations
            .add("oauth.scopes", format!("Name at most {MAX_SCOPES} scopes, as the provider writes them."));
    }
}

fn check_method(config: &OauthConfig, violations: &mut Violations) {
    let Some(word) = config.token_endpoint_auth_method.as_deref() else { return };
    let wrong = match Authentication::from_word(word) {
        None => {
            "Use `client_secret_basic`, `client_secret_post`, `private_key_jwt` or `none`, or leave it out."
        }
        Some(Authentication::PrivateKeyJwt)
            if config.client_id.is_none() && config.registration == ClientRegistration::Auto =>
        {
            "`private_key_jwt` goes with a `client_id` (`registration: static`), or with `registration: client_metadata` \
             or `dynamic`."
        }
        Some(Authentication::None) if config.has_client_secret => {
            "`none` is for a client without a secret, the others for one with a secret."
        }
        Some(Authentication::ClientSecretBasic | Authentication::ClientSecretPost)
            if !config.has_client_secret =>
        {
            "`none` is for a client without a secret, the others for one with a secret."
        }
        Some(_) => return,
    };
    violations.add("oauth.token_endpoint_auth_method", wrong);
}

/// What we say ourselves is nobody's to change: a state or a redirect URI of somebody's choosing is an attack.
fn check_parameters(parameters: &BTreeMap<String, String>, violations: &mut Violations) {
    for (name, value) in parameters {
        let path = format!("oauth.authorization_parameters.{}", crate::text::one_line(name, 80));
        if RESERVED_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) {
            violations.add(path, "This parameter is Switchboard's own and can't be set.");
        } else if name.is_empty()
            || name.len() > 100
            || value.len() > 2000
            || parameters.len() > MAX_PARAMETERS
        {
            violations
                .add(path, format!("Use at most {MAX_PARAMETERS} parameters with short names and values."));
        }
    }
}
