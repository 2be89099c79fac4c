//! Streams on which clients hear of changes: `subscriptions/listen` in the modern generation, GET on a session in the legacy
//! one.
//!
//! What an upstream announces is passed on to whoever may use its connection here and asked for it. A stream ends with the
//! token it was opened with, and the number of one caller's streams is bounded.

mod tasks;
mod watched;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    http::{Response, header, request::Parts},
};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use switchboard_broker::{CallContext, Hint, News, Side};
use switchboard_domain::{Caller, OrganizationId};
use switchboard_mcp::{ErrorObject, ProtocolError, Request, code};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::Interval,
};

use super::{
    dispatch::{self, Asked},
    session::LiveSession,
    talk,
};
use crate::ServerState;
use watched::{OpenStream, Watched, take_over, watch};
pub(super) use watched::{Watching, subscribe as watch_resource, unsubscribe as unwatch_resource};

/// How often a stream looks whether something changed here, and whether its token still holds.
const LOOK: Duration = Duration::from_millis(500);
/// What begins the ids of events on a session's own stream.
pub(super) const STREAM: &str = "changes";
/// Looks between two signs of life.
const KEEP_ALIVE: u32 = 30;

/// Open streams by caller.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<HashMap<(OrganizationId, Caller), usize>>);

/// A place among a caller's streams, given back when the stream ends.
pub(super) struct Place {
    state: ServerState,
    whose: (OrganizationId, Caller),
}

impl Place {
    pub(super) fn take(state: &ServerState, context: &CallContext) -> Option<Self> {
        let whose = (context.principal.organization, context.principal.caller);
        let mut open = state.talks.streams.0.lock();
        let count = open.entry(whose).or_default();
        if *count >= state.config.max_streams_per_caller {
            return None;
        }
        *count += 1;
        Some(Self { state: state.clone(), whose })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.state.talks.streams.0.lock();
        if let Some(count) = open.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.whose);
            }
        }
    }
}

/// What a client wants to hear of.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Filter {
    tools_list_changed: bool,
    prompts_list_changed: bool,
    resources_list_changed: bool,
    resource_subscriptions: HashSet<String>,
    /// Of the extension `io.modelcontextprotocol/tasks`.
    task_ids: HashSet<String>,
}

impl Filter {
    /// A session of the legacy generation hears of everything, and of the resources it subscribes to.
    fn of_session() -> Self {
        Self {
            tools_list_changed: true,
            prompts_list_changed: true,
            resources_list_changed: true,
            ..Self::default()
        }
    }

    fn acknowledged(&self) -> Value {
        let mut accepted = json!({});
        let flags = [
            ("toolsListChanged", self.tools_list_changed),
            ("promptsListChanged", self.prompts_list_changed),
            ("resourcesListChanged", self.resources_list_changed),
        ];
        for (name, _) in flags.into_iter().filter(|(_, wanted)| *wanted) {
            accepted[name] = json!(true);
        }
        if !self.resource_subscriptions.is_empty() {
            accepted["resourceSubscriptions"] = json!(self.resource_subscriptions);
        }
        if !self.task_ids.is_empty() {
            accepted["taskIds"] = json!(self.task_ids);
        }
        accepted
    }
}

/// `subscriptions/listen`
pub(super) async fn subscribe(
    state: &ServerState,
    context: &CallContext,
    asked: &Asked<'_>,
    is_direct: bool,
) -> Result<Response<Body>, ProtocolError> {
    #[derive(Deserialize, Default)]
    struct Params {
        #[serde(default)]
        notifications: Filter,
    }
    let request: &Request<'_> = asked.request;
    state.broker.may_list(context).map_err(|error| dispatch::refused(&error))?;
    let Params { notifications: mut filter } = dispatch::read_params(request)?;
    if !filter.task_ids.is_empty() {
        super::tasks::refuse_unknowing(request)?;
    }
    if !is_direct {
        // The two tools never change, and there is nothing else.
        filter = Filter::default();
    }
    let mut watched = watch(state, context, &mut filter).await;
    let side = talk::side_of(context, request, None, None).map(|(side, _)| side);
    let begun = tasks::begin(state, context, (&mut filter, &mut watched), side.as_ref()).await;
    let id = request.id.to_string();
    let tag = format!("{{\"io.modelcontextprotocol/subscriptionId\":{id}}}");
    let ack = notification(
        "notifications/subscriptions/acknowledged",
        Some(&tag),
        &format!("\"notifications\":{}", filter.acknowledged()),
    );
    let told = begun.iter().map(|task| notification(tasks::CHANGED, Some(&tag), task));
    let first = std::iter::once(ack).chain(told).collect();
    let last = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"resultType\":\"complete\",\"_meta\":{tag}}}}}"
    );
    let wanted =
        Wanted { filter, watched, side, first, tag: Some(tag), last: Some(last.into()), ..Wanted::default() };
    open(state, context, asked.parts, wanted).ok_or_else(|| too_many(state).for_request(&request.id))
}

/// GET on a session.
pub(super) fn of_session(
    state: &ServerState,
    context: &CallContext,
    parts: &Parts,
    (session, came_back): (Arc<LiveSession>, bool),
) -> Result<Response<Body>, ProtocolError> {
    let side = tasks::side_of_session(context, &session);
    let wanted = Wanted { session: Some(session), side, came_back, ..Wanted::default() };
    let opened = open(state, context, parts, wanted);
    opened.ok_or_else(|| too_many(state))
}

/// What a stream is for: the filter and tag of the modern generation, or a session of the legacy one.
#[derive(Default)]
struct Wanted {
    filter: Filter,
    watched: Watched,
    tag: Option<String>,
    first: Vec<Bytes>,
    last: Option<Bytes>,
    side: Option<Side>,
    session: Option<Arc<LiveSession>>,
    /// It takes up an earlier one: whatever was missed may have changed.
    came_back: bool,
}

pub(super) fn too_many(state: &ServerState) -> ProtocolError {
    let limit = state.config.max_streams_per_caller;
    let message =
        format!("you have {limit} streams open, which is the most (limit `server.max_streams_per_caller`)");
    ProtocolError {
        status: 429,
        id: None,
        error: ErrorObject { code: code::INVALID_REQUEST, message, data: None },
    }
}

struct Listener {
    state: ServerState,
    context: Arc<CallContext>,
    parts: Parts,
    filter: Filter,
    /// `_meta` of each message.
    tag: Option<String>,
    /// What ends the stream in good order.
    last: Option<Bytes>,
    /// With which the client's tasks are asked about.
    side: Option<Side>,
    session: Option<Arc<LiveSession>>,
    /// Of a session: other processes say when it watches something else.
    _of_session: Option<(OpenStream, talk::Reads)>,
    news: broadcast::Receiver<News>,
    version: i64,
    tools: Option<Bytes>,
    queue: VecDeque<Bytes>,
    look: Interval,
    silent: u32,
    over: bool,
    /// Of the last event that has an id: those of a session's stream do.
    place: u64,
    _place: Place,
    _watched: Watched,
}

fn open(state: &ServerState, context: &CallContext, parts: &Parts, wanted: Wanted) -> Option<Response<Body>> {
    let place = Place::take(state, context)?;
    let Wanted { filter, watched, tag, first, last, side, session, came_back } = wanted;
    let filter = if session.is_some() { Filter::of_session() } else { filter };
    let mut listener = Listener {
        place: 0,
        state: state.clone(),
        context: Arc::new(context.clone()),
        parts: parts.clone(),
        filter,
        tag,
        last,
        side,
        _of_session: session.as_ref().map(|session| {
            (OpenStream::of(session), talk::Reads::begin(state, context.principal.organization))
        }),
        session,
        news: state.broker.news(),
        version: -1,
        tools: None,
        queue: first.into_iter().map(|message| talk::event_with(&message)).collect(),
        look: tokio::time::interval(LOOK),
        silent: 0,
        over: false,
        _place: place,
        _watched: watched,
    };
    if came_back {
        listener.all_may_have_changed();
    }
    listener.watch_what_the_session_watches();
    let events = futures_util::stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    let mut response = talk::event_stream(Body::from_stream(events));
    response.headers_mut().remove(header::CONTENT_LENGTH);
    Some(response)
}

impl Listener {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                self.silent = 0;
                return Some(event);
            }
            if self.over {
                return None;
            }
            let session = self.session.clone();
            tokio::select! {
                news = self.news.recv() => match news {
                    Ok(News { connection, what: Hint::TaskChanged(id), .. }) => {
                        self.task_changed(connection, &id).await;
                    }
                    Ok(news) => self.heard(&news),
                    // Whoever missed something looks again at everything.
                    Err(RecvError::Lagged(_)) => {
                        self.all_may_have_changed();
                        self.all_tasks_may_have_changed().await;
                    }
                    Err(RecvError::Closed) => self.over = true,
                },
                () = async {
                    match &session {
                        Some(session) => session.watching.changed().await,
                        None => std::future::pending().await,
                    }
                } => self.watch_what_the_session_watches(),
                _ = self.look.tick() => self.look().await,
            }
        }
    }

    fn watch_what_the_session_watches(&self) {
        if let Some(session) = &self.session {
            tokio::spawn(take_over(self.state.clone(), Arc::clone(&self.context), Arc::clone(session)));
        }
    }

    async fn look(&mut self) {
        self.silent += 1;
        if self.state.readiness.is_stopping() {
            self.over = true;
            let last = self.last.take();
            self.queue.extend(last.map(|message| talk::event_with(&message)));
            return;
        }
        if self.silent >= KEEP_ALIVE {
            self.queue.push_back(Bytes::from_static(b": still here\n\n"));
        }
        let Some(snapshot) = self.state.broker.snapshot(self.context.principal.organization) else { return };
        if snapshot.version == self.version {
            return;
        }
        self.version = snapshot.version;
        let pinned = self.context.challenge_organization.as_ref();
        let now = super::authenticate(&self.state.broker, &self.parts, &self.context.resource, pinned).await;
        let Ok(principal) = now else {
            self.over = true;
            return;
        };
        // With the teams and the role of today.
        self.context = Arc::new(CallContext { principal, ..(*self.context).clone() });
        if self.filter.tools_list_changed {
            let tools =
                self.state.broker.direct_tools(&self.context).await.ok().map(|list| list.tools.clone());
            if self.tools.is_some() && self.tools != tools {
                self.say("notifications/tools/list_changed", "");
            }
            self.tools = tools;
        }
    }

    fn heard(&mut self, news: &News) {
        let Some(prefix) = self.state.broker.hears(&self.context, news) else { return };
        match &news.what {
            Hint::ToolsChanged if self.filter.tools_list_changed => {
                self.say("notifications/tools/list_changed", "");
            }
            Hint::PromptsChanged if self.filter.prompts_list_changed => {
                self.say("notifications/prompts/list_changed", "");
            }
            Hint::ResourcesChanged if self.filter.resources_list_changed => {
                self.say("notifications/resources/list_changed", "");
            }
            Hint::ResourceUpdated(uri) => {
                let shown = self.state.broker.direct_uri(&self.context, &prefix, uri);
                let of_session = self.session.as_ref().is_some_and(|session| session.watching.has(&shown));
                if of_session || self.filter.resource_subscriptions.contains(&shown) {
                    let uri = format!("\"uri\":{}", Value::from(shown));
                    self.say("notifications/resources/updated", &uri);
                }
            }
            Hint::ToolsChanged | Hint::PromptsChanged | Hint::ResourcesChanged | Hint::TaskChanged(_) => {}
        }
    }

    fn all_may_have_changed(&mut self) {
        for (wanted, kind) in [
            (self.filter.tools_list_changed, "tools"),
            (self.filter.prompts_list_changed, "prompts"),
            (self.filter.resources_list_changed, "resources"),
        ] {
            if wanted {
                self.say(&format!("notifications/{kind}/list_changed"), "");
            }
        }
        let resources = self.session.as_ref().map(|session| session.watching.uris()).unwrap_or_default();
        for uri in resources {
            self.say("notifications/resources/updated", &format!("\"uri\":{}", Value::from(uri)));
        }
    }

    fn say(&mut self, method: &str, members: &str) {
        let message = notification(method, self.tag.as_deref(), members);
        let event = match &self.session {
            None => talk::event_with(&message),
            Some(_) => {
                self.place += 1;
                talk::write(STREAM, self.place, &message)
            }
        };
        self.queue.push_back(event);
    }
}

fn notification(method: &str, tag: Option<&str>, members: &str) -> Bytes {
    let meta = tag.map_or_else(String::new, |tag| format!("\"_meta\":{tag}"));
    let comma = if meta.is_empty() || members.is_empty() { "" } else { "," };
    if meta.is_empty() && members.is_empty() {
        return format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{method}\"}}").into();
    }
    format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{method}\",\"params\":{{{meta}{comma}{members}}}}}").into()
}
