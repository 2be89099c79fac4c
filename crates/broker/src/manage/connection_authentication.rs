//! How a connection is to authenticate, as people write it: an API key or headers, and which headers are nobody's to set.

use std::collections::BTreeMap;

use http::HeaderName;
use serde::{Deserialize, Serialize};
use switchboard_domain::{
    ApiKeyHeader, AssertionAudience, AuthConfig, AuthType, ClientCredentialsConfig, CredentialMode,
    SecretValue,
};

use super::{
    client_key::{PRIVATE_KEY_JWT, PublicKey, client_key},
    refusal::Violations,
};
use crate::credentials::NewSecret;

const MAX_TEXT_CHARACTERS: usize = 500;
const MAX_HEADERS: usize = 32;
const MAX_CLIENT_ID: usize = 2048;
const MAX_SCOPES: usize = 100;
const MAX_SECRET_BYTES: usize = 16 * 1024;

/// Headers that belong to HTTP, to MCP or to us, and so to no connection.
const RESERVED_HEADERS: &[&str] = &[
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "last-event-id",
    "origin",
    "referer",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];
const RESERVED_PREFIXES: &[&str] = &["mcp-", "proxy-", "sec-", "switchboard-", "x-forwarded-", ":"];

/// An API key and the header it is sent in.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyInput {
    /// `Authorization` without.
    #[serde(default)]
    pub header: Option<String>,
    /// Stands before the key, such as `Bearer`. With no `header` it is `Bearer`; with one, nothing.
    #[serde(default)]
    pub scheme: Option<String>,
    /// The key. Written, never read.
    #[schema(value_type = Option<String>, write_only)]
    #[serde(default)]
    pub value: Option<SecretValue>,
}

/// A header whose value each member gives.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberHeader {
    pub name: String,
    /// Tells members what to put in.
    #[serde(default)]
    pub description: String,
}

/// Our client at the provider, for `auth_type: client_credentials`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ClientCredentials)]
pub struct ClientCredentialsInput {
    pub client_id: String,
    /// Written, never read.
    #[serde(default)]
    #[schema(value_type = Option<String>, write_only)]
    pub client_secret: Option<SecretValue>,
    /// Instead of a secret: PEM (PKCS#8) or a JSON Web Key. Written, never read.
    #[serde(default)]
    #[schema(value_type = Option<String>, write_only)]
    pub private_key: Option<SecretValue>,
    /// `private_key_jwt` without a `private_key`: one is made here, once for each `client_id`; its public half is then in
    /// `public_key` and at `client_keys_url`.
    #[serde(default)]
    pub token_endpoint_auth_method: Option<String>,
    /// For whom assertions signed with that key are: `issuer` (without), or `token_endpoint` for older providers.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub assertion_audience: AssertionAudience,
    /// What to ask for, instead of what the server says is needed.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
}

/// The same, read.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ClientCredentialsInfo)]
pub struct ClientCredentialsView {
    pub client_id: String,
    /// `private_key_jwt`, or null where a secret is stored.
    pub token_endpoint_auth_method: Option<&'static str>,
    /// Of the private key that is stored, as a JSON Web Key for the provider.
    #[schema(value_type = Option<Object>)]
    pub public_key: Option<PublicKey>,
    #[schema(value_type = String)]
    pub assertion_audience: AssertionAudience,
    pub scopes: Option<Vec<String>>,
}

impl From<&ClientCredentialsConfig> for ClientCredentialsView {
    fn from(config: &ClientCredentialsConfig) -> Self {
        Self {
            client_id: config.client_id.clone(),
            token_endpoint_auth_method: config.public_key.as_ref().map(|_| PRIVATE_KEY_JWT),
            public_key: config.public_key.clone(),
            assertion_audience: config.assertion_audience,
            scopes: config.scopes.clone(),
        }
    }
}

/// How a connection is to authenticate, as written.
pub(crate) struct Authentication {
    pub(crate) auth_type: AuthType,
    pub(crate) personal: bool,
    pub(crate) credential_mode: CredentialMode,
    pub(crate) api_key: Option<ApiKeyInput>,
    pub(crate) headers: Option<BTreeMap<String, SecretValue>>,
    pub(crate) member_headers: Vec<MemberHeader>,
    pub(crate) client_credentials: Option<ClientCredentialsInput>,
    /// The client whose key is stored already, where the connection leads to the same place as before.
    pub(crate) known_client: Option<ClientCredentialsConfig>,
}

impl Authentication {
    /// The part to store in the open, and the secret to seal.
    pub(crate) fn check(self, violations: &mut Violations) -> (AuthConfig, Option<NewSecret>) {
        let mut auth = AuthConfig::default();
        let mut secret = None;
        if self.api_key.is_some() && self.auth_type != AuthType::ApiKey {
            violations.add("api_key", "It belongs to `auth_type: api_key`.");
        }
        if self.headers.is_some() && self.auth_type != AuthType::Headers {
            violations.add("headers", "They belong to `auth_type: headers`.");
        }
        if !self.member_headers.is_empty() && self.auth_type != AuthType::Headers {
            violations.add("member_headers", "They belong to `auth_type: headers`.");
        }
        if self.client_credentials.is_some() && self.auth_type != AuthType::ClientCredentials {
            violations.add("client_credentials", "They belong to `auth_type: client_credentials`.");
        }
        let own_secret = self.credential_mode == CredentialMode::Shared || self.personal;
        match self.auth_type {
            AuthType::ApiKey => {
                let (place, key) = api_key_place(self.api_key, violations);
                auth.api_key = Some(place);
                secret = key.map(NewSecret::ApiKey);
            }
            AuthType::Headers => {
                let headers = self.headers.unwrap_or_default();
                check_member_headers(&self.member_headers, self.credential_mode, violations);
                auth.member_headers =
                    self.member_headers.into_iter().map(|header| (header.name, header.description)).collect();
                check_headers("headers", &headers, violations);
                auth.header_names = headers.keys().cloned().collect();
                if headers.is_empty() && auth.member_headers.is_empty() && own_secret {
                    violations.add("headers", "Name at least one header with its value.");
                }
                if !headers.is_empty() {
                    secret = Some(NewSecret::Headers(headers.into_iter().collect()));
                }
            }
            AuthType::UserOidc => {
                if self.credential_mode == CredentialMode::Shared {
                    violations.add(
                        "credential_mode",
                        "Each member is called with their own sign-in, so it is `per_member`.",
                    );
                }
                // A server of one's own choosing could be one that collects such tokens.
                if self.personal {
                    violations.add("auth_type", "`user_oidc` is for connections of the organization.");
                }
            }
            AuthType::ClientCredentials => {
                if !own_secret {
                    violations.add("credential_mode", "A client acts for itself, so it is `shared`.");
                }
                match self.client_credentials {
                    Some(input) => {
                        let (config, given) = client(input, self.known_client, violations);
                        auth.client_credentials = Some(config);
                        secret = given.map(NewSecret::ClientSecret);
                    }
                    None => violations
                        .add("client_credentials", "Give `client_id` and `client_secret` or `private_key`."),
                }
                return (auth, secret);
            }
            _ => {}
        }
        if secret.is_some() && !own_secret {
            violations.add(
                if self.auth_type == AuthType::ApiKey { "api_key.value" } else { "headers" },
                "With `credential_mode: per_member` each member gives their own: PUT it to the connection's \
                 /credential. Leave it out here.",
            );
        }
        (auth, secret)
    }
}

/// The client to store in the open, and its secret or key to seal; `None` keeps the key that is there.
fn client(
    input: ClientCredentialsInput,
    known: Option<ClientCredentialsConfig>,
    violations: &mut Violations,
) -> (ClientCredentialsConfig, Option<SecretValue>) {
    check_client(&input, violations);
    let mut config = ClientCredentialsConfig {
        client_id: input.client_id,
        scopes: input.scopes,
        public_key: None,
        assertion_audience: input.assertion_audience,
    };
    let method = input.token_endpoint_auth_method.as_deref();
    match (input.client_secret, input.private_key) {
        (Some(_), Some(_)) => {
            violations.add("client_credentials.private_key", "Give a secret or a private key, not both.");
            (config, None)
        }
        (Some(_), None) if method == Some(PRIVATE_KEY_JWT) => {
            let path = "client_credentials.client_secret";
            violations.add(path, "With `private_key_jwt` the client has a private key and no secret.");
            (config, None)
        }
        (Some(secret), None) => {
            check_secret("client_credentials.client_secret", &secret, violations);
            (config, Some(secret))
        }
        (None, None) if method != Some(PRIVATE_KEY_JWT) => {
            let path = "client_credentials.client_secret";
            violations
                .add(path, "Give the client's secret, or say `token_endpoint_auth_method: private_key_jwt`.");
            (config, None)
        }
        (None, key) => {
            let kept = known.filter(|known| key.is_none() && known.client_id == config.client_id);
            if let Some(public_key) = kept.and_then(|known| known.public_key) {
                config.public_key = Some(public_key);
                return (config, None);
            }
            let Some((key, public)) = client_key("client_credentials.private_key", key, violations) else {
                return (config, None);
            };
            config.public_key = Some(public);
            (config, Some(key))
        }
    }
}

fn check_client(input: &ClientCredentialsInput, violations: &mut Violations) {
    let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    if !visible(&input.client_id) || input.client_id.len() > MAX_CLIENT_ID {
        violations.add("client_credentials.client_id", "Give the id as the provider shows it.");
    }
    let known = [PRIVATE_KEY_JWT, "client_secret_basic", "client_secret_post"];
    if input.token_endpoint_auth_method.as_deref().is_some_and(|method| !known.contains(&method)) {
        let path = "client_credentials.token_endpoint_auth_method";
        violations.add(path, "Use `private_key_jwt` for a client with a private key, or leave it out.");
    }
    let scopes = input.scopes.iter().flatten();
    if scopes.clone().count() > MAX_SCOPES
        || scopes.clone().any(|scope| !visible(scope) || scope.contains(' '))
    {
        violations.add("client_credentials.scopes", "Give each scope by itself, as the provider writes it.");
    }
}

fn api_key_place(
    input: Option<ApiKeyInput>,
    violations: &mut Violations,
) -> (ApiKeyHeader, Option<SecretValue>) {
    let input = input.unwrap_or_default();
    let place = match input.header {
        None => ApiKeyHeader {
            scheme: input.scheme.or(ApiKeyHeader::default().scheme),
            ..ApiKeyHeader::default()
        },
        Some(header) => ApiKeyHeader { header, scheme: input.scheme },
    };
    check_header_name("api_key.header", &place.header, violations);
    let odd = |c: char| !c.is_ascii_graphic();
    if place.scheme.as_deref().is_some_and(|scheme| scheme.len() > 64 || scheme.contains(odd)) {
        violations.add("api_key.scheme", "Use one word, such as `Bearer`, or leave it out.");
    }
    if let Some(value) = &input.value {
        check_secret("api_key.value", value, violations);
    }
    (place, input.value)
}

pub(crate) fn check_headers(
    path: &str,
    headers: &BTreeMap<String, SecretValue>,
    violations: &mut Violations,
) {
    if headers.len() > MAX_HEADERS {
        violations.add(path, format!("Use at most {MAX_HEADERS} headers."));
    }
    let mut seen = std::collections::HashSet::new();
    for (name, value) in headers {
        let here = format!("{path}.{}", crate::text::one_line(name, 80));
        check_header_name(&here, name, violations);
        check_secret(&here, value, violations);
        if !seen.insert(name.to_ascii_lowercase()) {
            violations.add(here, "It is there twice: header names don't differ by capitals.");
        }
    }
}

fn check_member_headers(headers: &[MemberHeader], mode: CredentialMode, violations: &mut Violations) {
    if !headers.is_empty() && mode != CredentialMode::PerMember {
        violations.add("member_headers", "They need `credential_mode: per_member`.");
    }
    if headers.len() > MAX_HEADERS {
        violations.add("member_headers", format!("Use at most {MAX_HEADERS} headers."));
    }
    for (index, header) in headers.iter().enumerate() {
        check_header_name(&format!("member_headers.{index}.name"), &header.name, violations);
        if header.description.chars().count() > MAX_TEXT_CHARACTERS {
            let path = format!("member_headers.{index}.description");
            violations.add(path, format!("Use at most {MAX_TEXT_CHARACTERS} characters."));
        }
    }
}

fn check_header_name(path: &str, name: &str, violations: &mut Violations) {
    let lower = name.to_ascii_lowercase();
    if HeaderName::from_bytes(name.as_bytes()).is_err() || name.len() > 100 {
        violations
            .add(path, "This is not the name of an HTTP header, such as `Authorization` or `X-Api-Key`.");
    } else if RESERVED_HEADERS.contains(&lower.as_str())
        || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
    {
        violations.add(path, "This header belongs to HTTP, MCP or Switchboard and can't be set.");
    }
}

/// Says nothing about the value but what is wrong with it.
pub(crate) fn check_secret(path: &str, value: &SecretValue, violations: &mut Violations) {
    let text = value.expose();
    if text.trim().is_empty() {
        violations.add(path, "The value is empty.");
    } else if text.len() > MAX_SECRET_BYTES {
        violations.add(path, format!("The value is longer than {MAX_SECRET_BYTES} bytes."));
    } else if http::HeaderValue::from_str(text).is_err() || text.trim() != text {
        violations.add(
            path,
            "The value has characters that no header may have: a line break, a control character, or white space \
             around it. Copy it again.",
        );
    }
}
