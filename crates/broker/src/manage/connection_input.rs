//! What people write about a connection, and whether it can be taken.
//!
//! A process can't be described here (THREATS E11): stdio upstreams come from the operator's file alone, and the
//! members that would name a command are recognised only to say so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::IgnoredAny};
use switchboard_domain::{
    AuthConfig, AuthType, Availability, CredentialMode, SecretValue, Slug, Switches, ToolFilter, Transport,
};

use super::{
    ApiKeyInput, ClientCredentialsInput, MemberHeader, Refusal, connection_authentication::Authentication,
    refusal::Violations, rollout::rollout_of,
};
use super::{OauthInput, connection_oauth::ClientChange};
use crate::{Broker, credentials::NewSecret};

const MAX_NAME_CHARACTERS: usize = 200;
const MAX_LIST: usize = 1_000;

/// Whose the connection is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OwnerWord {
    #[default]
    Organization,
    /// A personal one: nobody else sees it.
    Member,
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
    /// `none`, `api_key`, `headers`, `oauth`, `client_credentials` or `user_oidc`.
    #[schema(value_type = String)]
    pub auth_type: AuthType,
    /// `shared` (without, except with `user_oidc`) or `per_member`.
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
    /// For admins only, until the organization publishes (`POST /rollout/publish`).
    #[serde(default)]
    pub staged: bool,
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
    /// For `auth_type: oauth`.
    #[serde(default)]
    pub oauth: Option<OauthInput>,
    /// For `auth_type: client_credentials`.
    #[serde(default)]
    pub client_credentials: Option<ClientCredentialsInput>,
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

impl NewConnection {
    /// With everything else as it usually is.
    pub fn at(slug: &str, url: &str, auth_type: AuthType) -> Self {
        Self {
            slug: slug.to_owned(),
            name: None,
            url: url.to_owned(),
            transport: None,
            auth_type,
            credential_mode: None,
            enabled: None,
            availability: None,
            allow_in_plan_mode: false,
            model_intent: false,
            expose_directly: false,
            send_identity: false,
            staged: false,
            owner: OwnerWord::Organization,
            tool_allow: Vec::new(),
            tool_deny: Vec::new(),
            external_key: None,
            api_key: None,
            headers: None,
            member_headers: Vec::new(),
            oauth: None,
            client_credentials: None,
            command: None,
            args: None,
            env: None,
        }
    }
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
    pub(crate) client: ClientChange,
}

/// Whose accounts, when nobody says.
pub(crate) const fn usual_mode(auth_type: AuthType) -> CredentialMode {
    match auth_type {
        AuthType::UserOidc => CredentialMode::PerMember,
        _ => CredentialMode::Shared,
    }
}

pub(crate) fn no_process_over_http() -> Refusal {
    Refusal::invalid(
        "stdio_not_allowed",
        "A server that is a child process can't be added over HTTP. The operator names it in switchboard.toml \
         under [[stdio]] and starts Switchboard with --allow-stdio; it then appears here by itself.",
    )
}

impl Broker {
    pub(crate) fn check_new_connection(&self, mut new: NewConnection) -> Result<Checked, Refusal> {
        if new.command.is_some() || new.args.is_some() || new.env.is_some() {
            return Err(no_process_over_http());
        }
        let transport = new.transport.unwrap_or(Transport::StreamableHttp);
        check_transport(transport)?;
        let mut violations = Violations::default();
        let slug = new.slug.parse::<Slug>().map_err(|error| violations.add("slug", format!("{error}."))).ok();
        let name = new.name.take().unwrap_or_else(|| new.slug.clone());
        check_name(&name, &mut violations);
        let url = self.check_connection_url(&new.url, &mut violations);
        check_external_key(new.external_key.as_deref(), &mut violations);
        let tools = ToolFilter { allow: new.tool_allow, deny: new.tool_deny };
        check_tools(&tools, &mut violations);
        let credential_mode = match new.owner {
            OwnerWord::Organization => new.credential_mode.unwrap_or_else(|| usual_mode(new.auth_type)),
            OwnerWord::Member => CredentialMode::PerMember,
        };
        let authentication = Authentication {
            auth_type: new.auth_type,
            personal: new.owner == OwnerWord::Member,
            credential_mode,
            api_key: new.api_key,
            headers: new.headers,
            member_headers: new.member_headers,
            client_credentials: new.client_credentials,
            known_client: None,
        };
        let (mut auth, secret) = authentication.check(&mut violations);
        let (oauth, change) = self.apply_oauth(None, (new.auth_type, false), new.oauth, &mut violations);
        auth.oauth = oauth;
        let rollout = rollout_of(new.staged, matches!(new.owner, OwnerWord::Member), &mut violations);
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
                rollout,
            },
            tools,
            external_key: new.external_key,
            secret,
            client: change.client,
        })
    }

    /// The URL as the guard reads it; what it dials is what is stored.
    pub(crate) fn check_connection_url(&self, url: &str, violations: &mut Violations) -> String {
        let egress = self.upstreams().egress();
        match egress.check_url(url) {
            Ok(guarded) => guarded.as_str().to_owned(),
            Err(_) => {
                let explanation = egress.explain_url(url).unwrap_or("This address is not allowed.");
                violations.add("url", explanation);
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
        violations.add("name", format!("A name has 1 to {MAX_NAME_CHARACTERS} characters."));
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
