//! A live session with one upstream: its generation found, its greeting read, ready for requests.

use std::sync::Arc;

use serde::Deserialize;
use switchboard_domain::{ProtocolEra, SecretValue, Transport};
use switchboard_egress::Egress;
use switchboard_mcp::{LATEST_LEGACY, MODERN, code};
use tokio::sync::broadcast;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::redact::redact_text;

use super::{
    Ask, Hint, InProcessServer, RawResult, StdioCommand, UpstreamAuth, UpstreamError, UpstreamLimits,
    channel::ChannelWire, http::HttpWire, legacy_sse, stdio,
};

#[derive(Debug)]
enum Wire {
    Http(Arc<HttpWire>),
    Channel(ChannelWire),
    InProcess(Arc<dyn InProcessServer>),
}

/// What a server says about itself. Untrusted.
#[derive(Debug, Clone, Default)]
pub struct Greeting {
    pub server_name: Option<String>,
    pub server_version: Option<String>,
    pub instructions: Option<String>,
    /// It announces changes of its tools.
    pub tools_list_changed: bool,
    pub offers_tools: bool,
}

impl Greeting {
    /// Without our credential: instructions are stored, and read by agents.
    fn without(self, secrets: &[SecretValue]) -> Self {
        let clean = |text: Option<String>| text.map(|text| redact_text(&text, secrets));
        Self {
            server_name: clean(self.server_name),
            server_version: clean(self.server_version),
            instructions: clean(self.instructions),
            ..self
        }
    }
}

/// Where and how to reach an upstream.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) transport: Transport,
    pub(crate) url: String,
    pub(crate) auth: UpstreamAuth,
    /// The generation that worked last time.
    pub(crate) era: Option<ProtocolEra>,
    /// The command of a stdio upstream, or why there is none.
    pub(crate) stdio: Result<Arc<StdioCommand>, &'static str>,
    pub(crate) in_process: Option<Arc<dyn InProcessServer>>,
}

#[derive(Debug)]
pub struct UpstreamSession {
    wire: Wire,
    era: ProtocolEra,
    greeting: Greeting,
    pub(crate) auth: UpstreamAuth,
    hints: broadcast::Sender<Hint>,
    /// Ends what listens for this session.
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl UpstreamSession {
    /// Connects and finds out which generation the upstream speaks.
    pub(crate) async fn open(
        egress: &Egress,
        target: &Target,
        limits: &Arc<UpstreamLimits>,
    ) -> Result<Self, UpstreamError> {
        let (hints, _) = broadcast::channel(16);
        let (wire, era, greeting) = match target.transport {
            Transport::StreamableHttp => http_session(egress, target, limits, &hints).await?,
            Transport::Sse => {
                let url = check(egress, &target.url)?;
                let wire =
                    legacy_sse::connect(egress, url, target.auth.clone(), limits, hints.clone()).await?;
                channel_session(wire, limits).await?
            }
            Transport::Stdio => {
                let command =
                    target.stdio.as_deref().map_err(|why| UpstreamError::NotAllowed((*why).into()))?;
                let wire = stdio::start(egress, command, hints.clone()).await?;
                channel_session(wire, limits).await?
            }
            Transport::InProcess => {
                let server = target.in_process.clone().ok_or_else(no_sample)?;
                let greeting = Greeting {
                    server_name: Some("sample".into()),
                    instructions: server.instructions(),
                    offers_tools: true,
                    ..Greeting::default()
                };
                (Wire::InProcess(server), ProtocolEra::Modern, greeting)
            }
        };
        let stop = CancellationToken::new();
        let _stop_on_drop = stop.clone().drop_guard();
        let greeting = greeting.without(&target.auth.secrets);
        Ok(Self { wire, era, greeting, auth: target.auth.clone(), hints, stop, _stop_on_drop })
    }

    pub(crate) async fn request(&self, ask: &Ask<'_>) -> Result<RawResult, UpstreamError> {
        match &self.wire {
            Wire::Http(wire) => wire.request(ask).await,
            Wire::Channel(wire) => wire.request(ask).await,
            Wire::InProcess(server) => server.handle(ask.method, ask.members).map_err(UpstreamError::Rpc),
        }
    }

    pub(crate) fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    pub(crate) const fn era(&self) -> ProtocolEra {
        self.era
    }

    /// Opens the stream on which the server tells of changed tools, if it has one. Ends with the session.
    pub(crate) fn listen(&self) {
        if let (Wire::Http(wire), true) = (&self.wire, self.greeting.tools_list_changed) {
            wire.listen(self.stop.child_token());
        }
    }

    /// Whether it is known to be over, so that a new one must be opened.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(&self.wire, Wire::Channel(wire) if wire.is_closed())
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Hint> {
        self.hints.subscribe()
    }

    pub(crate) async fn close(&self) {
        if let Wire::Http(wire) = &self.wire {
            wire.close().await;
        }
    }
}

fn no_sample() -> UpstreamError {
    UpstreamError::NotAllowed("the sample server is only there in `switchboard demo`".into())
}

impl Target {
    /// Whether it would be spoken to at all, by what is known without asking anybody.
    pub(crate) fn judge(&self, egress: &Egress) -> Result<(), UpstreamError> {
        match self.transport {
            Transport::StreamableHttp | Transport::Sse => check(egress, &self.url).map(drop),
            Transport::Stdio => {
                self.stdio.as_ref().map(drop).map_err(|why| UpstreamError::NotAllowed((*why).into()))
            }
            Transport::InProcess => self.in_process.as_ref().map(drop).ok_or_else(no_sample),
        }
    }
}

pub(crate) fn check(egress: &Egress, url: &str) -> Result<switchboard_egress::GuardedUrl, UpstreamError> {
    egress.check_url(url).map_err(|refused| UpstreamError::Egress(refused.into()))
}

fn ask<'a>(method: &'a str, members: &'a str, limits: &UpstreamLimits) -> Ask<'a> {
    Ask {
        method,
        members,
        name: None,
        params: &[],
        identity: None,
        deadline: limits.open,
        deadline_name: "upstream.open_timeout",
        max_bytes: limits.max_answer_bytes,
    }
}

fn initialize_members() -> String {
    format!(
        "\"protocolVersion\":\"{LATEST_LEGACY}\",\"capabilities\":{{}},\
         \"clientInfo\":{{\"name\":\"switchboard\",\"version\":\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    )
}

type Opened = (Wire, ProtocolEra, Greeting);

/// Asks in the modern generation first, unless the other worked last time (2026-07-28, versioning: backward
/// compatibility); a server that does not know `server/discover` is greeted with `initialize`.
async fn http_session(
    egress: &Egress,
    target: &Target,
    limits: &Arc<UpstreamLimits>,
    hints: &broadcast::Sender<Hint>,
) -> Result<Opened, UpstreamError> {
    let url = check(egress, &target.url)?;
    let wire = HttpWire::new(egress.clone(), url, target.auth.clone(), Arc::clone(limits), hints.clone());
    if target.era == Some(ProtocolEra::Legacy) {
        match initialize_http(&wire, limits).await {
            Ok(greeting) => return Ok((Wire::Http(Arc::new(wire)), ProtocolEra::Legacy, greeting)),
            // It may have been upgraded to a server that knows no `initialize`: find out anew.
            Err(UpstreamError::Rpc(_) | UpstreamError::Http { status: 400..=499, .. }) => wire.speak_modern(),
            Err(error) => return Err(error),
        }
    }
    match wire.request(&ask("server/discover", "", limits)).await {
        Ok(result) => {
            if let Some(greeting) = read_discovery(&result)? {
                return Ok((Wire::Http(Arc::new(wire)), ProtocolEra::Modern, greeting));
            }
        }
        Err(UpstreamError::Rpc(error)) => {
            if code::is_modern(error.code) && error.code != code::METHOD_NOT_FOUND && !offers_legacy(&error) {
                return Err(UpstreamError::Rpc(error));
            }
        }
        Err(
            UpstreamError::Http { status: 400..=499, .. }
            | UpstreamError::Protocol(_)
            | UpstreamError::SessionExpired,
        ) => {}
        Err(error) => return Err(error),
    }
    let greeting = initialize_http(&wire, limits).await?;
    Ok((Wire::Http(Arc::new(wire)), ProtocolEra::Legacy, greeting))
}

async fn initialize_http(wire: &HttpWire, limits: &UpstreamLimits) -> Result<Greeting, UpstreamError> {
    let members = initialize_members();
    read_initialized(&wire.initialize(&ask("initialize", &members, limits)).await?)
}

/// Pipes: `initialize` first, since an old server may not survive anything else.
async fn channel_session(wire: ChannelWire, limits: &UpstreamLimits) -> Result<Opened, UpstreamError> {
    let members = initialize_members();
    match wire.request(&ask("initialize", &members, limits)).await {
        Ok(result) => {
            let greeting = read_initialized(&result)?;
            wire.notify("notifications/initialized").await?;
            Ok((Wire::Channel(wire), ProtocolEra::Legacy, greeting))
        }
        Err(UpstreamError::Rpc(_)) => {
            wire.speak_modern();
            let result = wire.request(&ask("server/discover", "", limits)).await?;
            let greeting = read_discovery(&result)?
                .ok_or_else(|| UpstreamError::Protocol("it speaks no protocol revision that we do".into()))?;
            Ok((Wire::Channel(wire), ProtocolEra::Modern, greeting))
        }
        Err(error) => Err(error),
    }
}

/// `-32022` of a server that only speaks older revisions leads to `initialize`.
fn offers_legacy(error: &switchboard_mcp::ErrorObject) -> bool {
    let supported =
        error.data.as_ref().and_then(|data| data.get("supported")).and_then(|list| list.as_array());
    supported.is_some_and(|list| {
        list.iter().filter_map(|version| version.as_str()).all(|version| version < MODERN) && !list.is_empty()
    })
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
    tools: Option<ToolsCapability>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ToolsCapability {
    list_changed: bool,
}

impl Said {
    fn greeting(self) -> Greeting {
        let info = self.server_info.or(self.meta.server_info).unwrap_or_default();
        let bounded = |text: String, most: usize| text.chars().take(most).collect::<String>();
        Greeting {
            server_name: info.name.map(|name| bounded(name, 200)),
            server_version: info.version.map(|version| bounded(version, 100)),
            instructions: self.instructions.map(|text| bounded(text, 16 * 1024)),
            tools_list_changed: self.capabilities.tools.as_ref().is_some_and(|tools| tools.list_changed),
            offers_tools: self.capabilities.tools.is_some(),
        }
    }
}

fn read_initialized(result: &RawResult) -> Result<Greeting, UpstreamError> {
    serde_json::from_slice::<Said>(result)
        .map(Said::greeting)
        .map_err(|error| UpstreamError::Protocol(format!("its initialize result can't be read: {error}")))
}

/// `None` when the answer is not one of a modern server (some old ones answer anything with an empty result).
fn read_discovery(result: &RawResult) -> Result<Option<Greeting>, UpstreamError> {
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
