//! What people write about a connection, and whether it can be taken.
//!
//! A process can't be described here (THREATS E11): stdio upstreams come from the operator's file alone, and the
//! members that would name a command are recognised only to say so.

use std::collections::BTreeMap;

use http::HeaderName;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use switchboard_domain::{
    ApiKeyHeader, AuthConfig, AuthType, Availability, CredentialMode, SecretValue, Slug, Switches,
    ToolFilter, Transport,
};

use super::{Refusal, refusal::Violations};
use crate::{Broker, credentials::NewSecret};

const MAX_NAME_CHARACTERS: usize = 200;
const MAX_TEXT_CHARACTERS: usize = 500;
const MAX_LIST: usize = 1_000;
const MAX_HEADERS: usize = 32;
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

/// Whose the connection is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OwnerWord {
    #[default]
    Organization,
    /// A personal one: nobody else sees it.
    Member,
}

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

/// A connection to create.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConnection {
    /// Stands before the dot in the names of its tools.
    pub slug: String,
    /// The slug without.
    #[serde(default)]
    pub name: Option<String>,
    /// Absolute `https` URL of the MCP endpoint.
    #[serde(default)]
    pub url: String,
    /// `streamable_http` (without) or `sse`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub transport: Option<Transport>,
    /// `none`, `api_key` or `headers`.
    #[schema(value_type = String)]
    pub auth_type: AuthType,
    /// `shared` (without) or `per_member`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub credential_mode: Option<CredentialMode>,
    #[serde(default)]
    pub enabled: Option<bool>,
    /// `force_on`, `default_on` (without) or `default_off`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub availability: Option<Availability>,
    #[serde(default)]
    pub allow_in_plan_mode: bool,
    #[serde(default)]
    pub model_intent: bool,
    #[serde(default)]
    pub expose_directly: bool,
    #[serde(default)]
    pub send_identity: bool,
    /// `organization` needs an admin.
    #[serde(default)]
    pub owner: OwnerWord,
    /// Names of the tools that exist for us; empty: all.
    #[serde(default)]
    pub tool_allow: Vec<String>,
    /// Names of tools that don't, whatever `tool_allow` says.
    #[serde(default)]
    pub tool_deny: Vec<String>,
    /// Your own name for it: creating it again with the same key answers the first.
    #[serde(default)]
    pub external_key: Option<String>,
    #[serde(default)]
    pub api_key: Option<ApiKeyInput>,
    /// Header names with their values, for `auth_type: headers`. Written, never read.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, String>>, write_only)]
    pub headers: Option<BTreeMap<String, SecretValue>>,
    #[serde(default)]
    pub member_headers: Vec<MemberHeader>,
    #[serde(default)]
    #[schema(ignore)]
    pub oauth: Option<IgnoredAny>,
    #[serde(default)]
    #[schema(ignore)]
    pub client_credentials: Option<IgnoredAny>,
    #[serde(default)]
    #[schema(ignore)]
    pub command: Option<IgnoredAny>,
    #[serde(default)]
    #[schema(ignore)]
    pub args: Option<IgnoredAny>,
    #[serde(default)]
    #[schema(ignore)]
    pub env: Option<IgnoredAny>,
}

/// What was written, in the domain's terms.
pub(crate) struct Checked {
    pub(crate) slug: Slug,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) transport: Transport,
    pub(crate) auth: AuthConfig,
    pub(crate) credential_mode: CredentialMode,
    pub(crate) switches: Switches,
    pub(crate) tools: ToolFilter,
    pub(crate) external_key: Option<String>,
    pub(crate) secret: Option<NewSecret>,
}

pub(crate) fn no_process_over_http() -> Refusal {
    Refusal::invalid(
        "stdio_not_allowed",
        "A server that is a child process can't be added over HTTP. The operator names it in switchboard.toml \
         under [[stdio]] and starts Switchboard with --allow-stdio; it then appears here by itself.",
    )
}

pub(crate) fn check_auth_type(auth_type: AuthType) -> Result<(), Refusal> {
    match auth_type {
        AuthType::None | AuthType::ApiKey | AuthType::Headers => Ok(()),
        AuthType::OAuth | AuthType::ClientCredentials | AuthType::UserOidc => Err(Refusal::invalid(
            "auth_type_not_available",
            format!(
                "Authentication type `{}` is not available yet. Available are `none`, `api_key` and `headers`.",
                auth_type.as_str()
            ),
        )),
    }
}

impl Broker {
    pub(crate) fn check_new_connection(&self, mut new: NewConnection) -> Result<Checked, Refusal> {
        if new.command.is_some() || new.args.is_some() || new.env.is_some() {
            return Err(no_process_over_http());
        }
        let transport = new.transport.unwrap_or(Transport::StreamableHttp);
        check_transport(transport)?;
        if new.oauth.is_some() && new.auth_type != AuthType::OAuth {
            check_auth_type(AuthType::OAuth)?;
        }
        if new.client_credentials.is_some() {
            check_auth_type(AuthType::ClientCredentials)?;
        }
        check_auth_type(new.auth_type)?;
        let mut violations = Violations::default();
        let slug = new.slug.parse::<Slug>().map_err(|error| violations.add("slug", format!("{error}."))).ok();
        let name = new.name.take().unwrap_or_else(|| new.slug.clone());
        check_name(&name, &mut violations);
        let url = self.check_connection_url(&new.url, &mut violations);
        check_external_key(new.external_key.as_deref(), &mut violations);
        let tools = ToolFilter { allow: new.tool_allow, deny: new.tool_deny };
        check_tools(&tools, &mut violations);
        let credential_mode = match new.owner {
            OwnerWord::Organization => new.credential_mode.unwrap_or(CredentialMode::Shared),
            OwnerWord::Member => CredentialMode::PerMember,
        };
        let authentication = Authentication {
            auth_type: new.auth_type,
            personal: new.owner == OwnerWord::Member,
            credential_mode,
            api_key: new.api_key,
            headers: new.headers,
            member_headers: new.member_headers,
        };
        let (auth, secret) = authentication.check(&mut violations);
        violations.into_result()?;
        Ok(Checked {
            slug: slug.ok_or_else(Refusal::unavailable)?,
            name: name.trim().to_owned(),
            url,
            transport,
            auth,
            credential_mode,
            switches: Switches {
                enabled: new.enabled.unwrap_or(true),
                availability: new.availability.unwrap_or(Availability::DefaultOn),
                allow_in_plan_mode: new.allow_in_plan_mode,
                model_intent: new.model_intent,
                expose_directly: new.expose_directly,
                send_identity: new.send_identity,
            },
            tools,
            external_key: new.external_key,
            secret,
        })
    }

    /// The URL as the guard reads it; what it dials is what is stored.
    pub(crate) fn check_connection_url(&self, url: &str, violations: &mut Violations) -> String {
        match self.upstreams().egress().check_url(url) {
            Ok(guarded) => guarded.as_str().to_owned(),
            Err(refused) => {
                let message = refused.to_string();
                let sentence =
                    message.strip_prefix("this").map_or(message.clone(), |rest| format!("This{rest}"));
                violations.add("url", format!("{sentence}."));
                String::new()
            }
        }
    }
}

pub(crate) fn check_transport(transport: Transport) -> Result<(), Refusal> {
    match transport {
        Transport::StreamableHttp | Transport::Sse => Ok(()),
        Transport::Stdio | Transport::InProcess => Err(no_process_over_http()),
    }
}

pub(crate) fn check_name(name: &str, violations: &mut Violations) {
    if name.trim().is_empty() || name.chars().count() > MAX_NAME_CHARACTERS {
        violations.add("name", format!("Use 1 to {MAX_NAME_CHARACTERS} characters."));
    } else if name.chars().any(char::is_control) {
        violations.add("name", "Leave out control characters and line breaks.");
    }
}

pub(crate) fn check_external_key(key: Option<&str>, violations: &mut Violations) {
    if key.is_some_and(|key| key.is_empty() || key.chars().count() > MAX_NAME_CHARACTERS) {
        violations
            .add("external_key", format!("Use 1 to {MAX_NAME_CHARACTERS} characters, or leave it out."));
    }
}

pub(crate) fn check_tools(tools: &ToolFilter, violations: &mut Violations) {
    for (path, list) in [("tool_allow", &tools.allow), ("tool_deny", &tools.deny)] {
        if list.len() > MAX_LIST {
            violations.add(path, format!("Name at most {MAX_LIST} tools."));
        }
        if list.iter().any(|name| name.is_empty() || name.len() > 1024) {
            violations.add(path, "Each entry is the name of a tool, or `*` for all of them.");
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
