//! A live session with one upstream: its generation found, its greeting read, ready for requests.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::value::RawValue;
use switchboard_domain::{ProtocolEra, Transport};
use switchboard_egress::Egress;
use switchboard_mcp::{LATEST_LEGACY, MODERN, RawObject, code};
use tokio::{
    sync::{broadcast, oneshot},
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Ask, Greeting, Hint, InProcessServer, Offers, RawResult, Side, StdioCommand, UpstreamAuth, UpstreamError,
    UpstreamLimits,
    channel::ChannelWire,
    greeting::{read_discovery, read_initialized},
    http::HttpWire,
    legacy_sse,
    side::Sides,
    stdio,
    wire::Subject,
};

/// Whether a client begins to watch a resource, or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    Begins,
    Ends,
}

impl Watch {
    fn of(method: &str) -> Option<Self> {
        match method {
            "resources/subscribe" => Some(Self::Begins),
            "resources/unsubscribe" => Some(Self::Ends),
            _ => None,
        }
    }
}

#[derive(Debug)]
enum Wire {
    Http(Arc<HttpWire>),
    Channel(ChannelWire),
    InProcess(Arc<dyn InProcessServer>),
}

/// Where and how to reach an upstream.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) transport: Transport,
    pub(crate) url: String,
    pub(crate) auth: UpstreamAuth,
    /// The generation that worked last time.
    pub(crate) era: Option<ProtocolEra>,
    /// Whose session it is, where it is one client's own.
    pub(crate) client: Option<OwnSession>,
    /// The command of a stdio upstream, or why there is none.
    pub(crate) stdio: Result<Arc<StdioCommand>, &'static str>,
    pub(crate) in_process: Option<Arc<dyn InProcessServer>>,
}

/// A session for one client: what that client can be asked.
#[derive(Debug, Clone)]
pub(crate) struct OwnSession {
    pub(crate) audience: Arc<str>,
    pub(crate) capabilities: Arc<str>,
    /// In the legacy generation, also where the upstream speaks the modern one.
    pub(crate) is_legacy: bool,
}

impl OwnSession {
    pub(crate) fn of(side: &Side) -> Self {
        Self {
            audience: Arc::clone(&side.audience),
            capabilities: side.capabilities().into(),
            is_legacy: side.is_legacy,
        }
    }
}

#[derive(Debug)]
pub struct UpstreamSession {
    wire: Wire,
    era: ProtocolEra,
    greeting: Greeting,
    pub(crate) auth: UpstreamAuth,
    /// Whose it is, where it is one client's own.
    pub(crate) own: Option<OwnSession>,
    used: Mutex<Instant>,
    /// What the upstream was told to log.
    log_level: tokio::sync::Mutex<Option<Box<str>>>,
    /// What somebody watches over it, and how many do.
    watched: tokio::sync::Mutex<HashMap<Subject, usize>>,
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
                let ears = (hints.clone(), target.sides());
                let wire = legacy_sse::connect(egress, url, target.auth.clone(), limits, ears).await?;
                channel_session(wire, target, limits).await?
            }
            Transport::Stdio => {
                let command =
                    target.stdio.as_deref().map_err(|why| UpstreamError::NotAllowed((*why).into()))?;
                let wire = stdio::start(egress, command, (hints.clone(), target.sides())).await?;
                channel_session(wire, target, limits).await?
            }
            Transport::InProcess => {
                let server = target.in_process.clone().ok_or_else(no_sample)?;
                let greeting = Greeting {
                    server_name: Some("sample".into()),
                    instructions: server.instructions(),
                    offers: Offers { tools: true, ..Offers::default() },
                    ..Greeting::default()
                };
                (Wire::InProcess(server), ProtocolEra::Modern, greeting)
            }
        };
        let stop = CancellationToken::new();
        let _stop_on_drop = stop.clone().drop_guard();
        let greeting = greeting.without(&target.auth.secrets);
        Ok(Self {
            wire,
            era,
            greeting,
            auth: target.auth.clone(),
            own: target.client.clone(),
            used: Mutex::new(Instant::now()),
            log_level: tokio::sync::Mutex::default(),
            watched: tokio::sync::Mutex::default(),
            hints,
            stop,
            _stop_on_drop,
        })
    }

    pub(crate) async fn request(&self, ask: &Ask<'_>) -> Result<RawResult, UpstreamError> {
        if self.own.is_some() {
            *self.used.lock() = Instant::now();
        }
        if let Some(watches) = Watch::of(ask.method) {
            return self.watch(watches, ask).await;
        }
        self.send(ask).await
    }

    async fn send(&self, ask: &Ask<'_>) -> Result<RawResult, UpstreamError> {
        match &self.wire {
            Wire::Http(wire) => wire.request(ask).await,
            Wire::Channel(wire) => wire.request(ask).await,
            Wire::InProcess(server) => server.handle(ask.method, ask.members).map_err(UpstreamError::Rpc),
        }
    }

    /// Several clients may watch a resource over one session: the upstream hears of the first and of the last. One of the
    /// modern generation hears of it with the stream of changes.
    async fn watch(&self, watch: Watch, ask: &Ask<'_>) -> Result<RawResult, UpstreamError> {
        let uri = RawValue::from_string(format!("{{{}}}", ask.members)).ok();
        let uri = uri.and_then(|members| RawObject::parse(&members).ok()?.read::<String>("uri"));
        let Some(subject) = uri.map(Subject::Resource) else { return self.send(ask).await };
        let mut watched = self.watched.lock().await;
        let count = watched.get(&subject).copied().unwrap_or_default();
        let (now, is_news) = match watch {
            Watch::Begins => (count + 1, count == 0),
            Watch::Ends => (count.saturating_sub(1), count == 1),
        };
        let result = match (&self.wire, self.era) {
            (Wire::Http(wire), ProtocolEra::Modern) => {
                if is_news {
                    wire.watch(&subject, watch == Watch::Begins);
                }
                Bytes::from_static(b"{}")
            }
            // A second client is told whether it may by the upstream, too.
            _ if is_news || watch == Watch::Begins => self.send(ask).await?,
            _ => Bytes::from_static(b"{}"),
        };
        match now {
            0 => drop(watched.remove(&subject)),
            now => drop(watched.insert(subject, now)),
        }
        Ok(result)
    }

    /// The same for a task. An upstream of the older generation tells of its tasks without being asked.
    pub(crate) async fn watch_task(&self, id: &str, begins: bool) {
        let (Wire::Http(wire), ProtocolEra::Modern) = (&self.wire, self.era) else { return };
        let mut watched = self.watched.lock().await;
        let subject = Subject::Task(id.to_owned());
        let count = watched.get(&subject).copied().unwrap_or_default();
        let now = if begins { count + 1 } else { count.saturating_sub(1) };
        if (count == 0) != (now == 0) {
            wire.watch(&subject, begins);
        }
        match now {
            0 => drop(watched.remove(&subject)),
            now => drop(watched.insert(subject, now)),
        }
    }

    pub(crate) fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    pub(crate) const fn era(&self) -> ProtocolEra {
        self.era
    }

    /// Opens the stream on which the server tells of changes, if it has one: of its lists, or on a session of one
    /// client's own of what no request asked for. Ends with the session.
    pub(crate) fn listen(&self) -> Option<oneshot::Receiver<()>> {
        let asks = self.own.is_some() && self.era == ProtocolEra::Legacy;
        let Greeting { announces_changes, offers, .. } = &self.greeting;
        let wanted = *announces_changes || offers.subscriptions || offers.tasks || asks;
        if let (Wire::Http(wire), true) = (&self.wire, wanted) {
            return Some(wire.listen(self.stop.child_token()));
        }
        None
    }

    /// Tells a session of one client's own what that client wants to hear, when it changed.
    pub(crate) async fn set_log_level(
        &self,
        level: Option<&str>,
        limits: &UpstreamLimits,
    ) -> Result<(), UpstreamError> {
        let Some(level) = level.filter(|_| self.greeting.offers.logging) else { return Ok(()) };
        let mut told = self.log_level.lock().await;
        if told.as_deref() != Some(level) {
            let members = format!("\"level\":{}", serde_json::Value::from(level));
            self.request(&ask("logging/setLevel", &members, limits)).await?;
            *told = Some(level.into());
        }
        Ok(())
    }

    /// For how long nobody used it; a session of all is not measured.
    pub(crate) fn idle(&self) -> Duration {
        self.used.lock().elapsed()
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
    fn sides(&self) -> Sides {
        Sides::new(self.client.is_none())
    }

    fn capabilities(&self) -> &str {
        self.client.as_ref().map_or("{}", |client| &client.capabilities)
    }

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
        side: None,
    }
}

fn initialize_members(capabilities: &str) -> String {
    format!(
        "\"protocolVersion\":\"{LATEST_LEGACY}\",\"capabilities\":{capabilities},\
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
    let ears = (hints.clone(), target.sides());
    let wire = HttpWire::new(egress.clone(), url, target.auth.clone(), Arc::clone(limits), ears);
    if target.era == Some(ProtocolEra::Legacy) || target.client.as_ref().is_some_and(|own| own.is_legacy) {
        match initialize_http(&wire, target, limits).await {
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
    let greeting = initialize_http(&wire, target, limits).await?;
    Ok((Wire::Http(Arc::new(wire)), ProtocolEra::Legacy, greeting))
}

async fn initialize_http(
    wire: &HttpWire,
    target: &Target,
    limits: &UpstreamLimits,
) -> Result<Greeting, UpstreamError> {
    let members = initialize_members(target.capabilities());
    read_initialized(&wire.initialize(&ask("initialize", &members, limits)).await?)
}

/// Pipes: `initialize` first, since an old server may not survive anything else.
async fn channel_session(
    wire: ChannelWire,
    target: &Target,
    limits: &UpstreamLimits,
) -> Result<Opened, UpstreamError> {
    let members = initialize_members(target.capabilities());
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
