//! What a server says about itself when it is greeted: `initialize` and `server/discover`.

use serde::{Deserialize, de::IgnoredAny};
use switchboard_domain::SecretValue;
use switchboard_mcp::MODERN;

use super::{RawResult, UpstreamError};
use crate::redact::redact_text;

/// What a server says about itself. Untrusted.
#[derive(Debug, Clone, Default)]
pub struct Greeting {
    pub server_name: Option<String>,
    pub server_version: Option<String>,
    pub instructions: Option<String>,
    /// It announces changes of its tools, prompts or resources.
    pub announces_changes: bool,
    /// What it offers, as it wrote it.
    pub offers: Offers,
    /// It speaks the legacy generation, also when it is spoken to in the modern one.
    pub speaks_legacy: bool,
}

/// The capabilities that are passed on to clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offers {
    pub tools: bool,
    pub prompts: bool,
    pub resources: bool,
    pub subscriptions: bool,
    pub completions: bool,
    pub logging: bool,
    /// Calls may become tasks, as the generation has them that it was greeted in.
    pub tasks: bool,
}

impl Offers {
    /// What either of the two offers.
    pub(crate) const fn with(self, other: Self) -> Self {
        Self {
            tools: self.tools || other.tools,
            prompts: self.prompts || other.prompts,
            resources: self.resources || other.resources,
            subscriptions: self.subscriptions || other.subscriptions,
            completions: self.completions || other.completions,
            logging: self.logging || other.logging,
            tasks: self.tasks || other.tasks,
        }
    }
}

impl Greeting {
    /// Without our credential: instructions are stored, and read by agents.
    pub(super) fn without(self, secrets: &[SecretValue]) -> Self {
        let clean = |text: Option<String>| text.map(|text| redact_text(&text, secrets));
        Self {
            server_name: clean(self.server_name),
            server_version: clean(self.server_version),
            instructions: clean(self.instructions),
            ..self
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Said {
    supported_versions: Vec<String>,
    server_info: Option<ServerInfo>,
    capabilities: Capabilities,
    instructions: Option<String>,
    #[serde(rename = "_meta")]
    meta: Meta,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Meta {
    #[serde(rename = "io.modelcontextprotocol/serverInfo")]
    server_info: Option<ServerInfo>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ServerInfo {
    name: Option<String>,
    version: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Capabilities {
    tools: Option<Changing>,
    prompts: Option<Changing>,
    resources: Option<Changing>,
    completions: Option<IgnoredAny>,
    logging: Option<IgnoredAny>,
    extensions: Extensions,
    /// Tasks of the older generation (2025-11-25, tasks: capabilities).
    tasks: Option<serde_json::Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Extensions {
    #[serde(rename = "io.modelcontextprotocol/tasks")]
    tasks: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Changing {
    list_changed: bool,
    subscribe: bool,
}

impl Capabilities {
    fn offers(&self) -> Offers {
        Offers {
            tools: self.tools.is_some(),
            prompts: self.prompts.is_some(),
            resources: self.resources.is_some(),
            subscriptions: self.resources.as_ref().is_some_and(|resources| resources.subscribe),
            completions: self.completions.is_some(),
            logging: self.logging.is_some(),
            tasks: self.extensions.tasks.is_some(),
        }
    }

    fn announces_changes(&self) -> bool {
        [&self.tools, &self.prompts, &self.resources].into_iter().flatten().any(|kind| kind.list_changed)
    }
}

impl Said {
    fn greeting(self) -> Greeting {
        let info = self.server_info.or(self.meta.server_info).unwrap_or_default();
        let bounded = |text: String, most: usize| text.chars().take(most).collect::<String>();
        Greeting {
            server_name: info.name.map(|name| bounded(name, 200)),
            server_version: info.version.map(|version| bounded(version, 100)),
            instructions: self.instructions.map(|text| bounded(text, 16 * 1024)),
            announces_changes: self.capabilities.announces_changes(),
            offers: self.capabilities.offers(),
            // `initialize` agrees on an older revision, and so names no list.
            speaks_legacy: self.supported_versions.is_empty()
                || self.supported_versions.iter().any(|version| version.as_str() < MODERN),
        }
    }
}

pub(super) fn read_initialized(result: &RawResult) -> Result<Greeting, UpstreamError> {
    // Tasks of the newer generation are others.
    let legacy = |said: Said| {
        let tasks = said.capabilities.tasks.as_ref();
        let tasks = tasks.is_some_and(|tasks| tasks.pointer("/requests/tools/call").is_some());
        let mut greeting = said.greeting();
        greeting.offers.tasks = tasks;
        greeting
    };
    serde_json::from_slice::<Said>(result)
        .map(legacy)
        .map_err(|error| UpstreamError::Protocol(format!("its initialize result can't be read: {error}")))
}

/// `None` when the answer is not one of a modern server (some old ones answer anything with an empty result).
pub(super) fn read_discovery(result: &RawResult) -> Result<Option<Greeting>, UpstreamError> {
    let Ok(said) = serde_json::from_slice::<Said>(result) else { return Ok(None) };
    if said.supported_versions.is_empty() {
        return Ok(None);
    }
    if !said.supported_versions.iter().any(|version| version == MODERN) {
        if said.supported_versions.iter().any(|version| version.as_str() < MODERN) {
            return Ok(None);
        }
        let offered = said.supported_versions.join(", ");
        return Err(UpstreamError::Protocol(format!(
            "it speaks only {offered}, and we speak up to {MODERN}"
        )));
    }
    Ok(Some(said.greeting()))
}
