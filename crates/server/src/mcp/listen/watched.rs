//! Resources that clients ask to be told of: with a stream of the modern generation (`resourceSubscriptions`), and with a
//! session of the older one (`resources/subscribe`).
//!
//! What a session watches is kept with it. Whichever process has its stream watches as well: it looks when the stream opens,
//! and when a letter of another process says that something changed.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{body::Body, http::Response};
use bytes::Bytes;
use parking_lot::Mutex;
use switchboard_broker::{CallContext, TaskStep};
use switchboard_mcp::{ProtocolError, RawObject, Request};
use tokio::sync::Notify;

use super::{Filter, LiveSession, dispatch, talk};
use crate::{ServerState, mcp::others};

/// Watches what may be watched; the rest is left out of what is acknowledged.
pub(super) async fn watch(state: &ServerState, context: &CallContext, filter: &mut Filter) -> Watched {
    let mut resources = Vec::new();
    let mut accepted = HashSet::new();
    for uri in filter.resource_subscriptions.drain().take(state.config.max_watched) {
        let Some(capability) = state.broker.direct_resource(context, &uri) else { continue };
        if state.broker.watch_resource(context, &capability, true).await.is_ok() {
            resources.push(capability);
            accepted.insert(uri);
        }
    }
    filter.resource_subscriptions = accepted;
    Watched::of(state, context, resources)
}

/// `resources/subscribe`. Nobody tells a client without a session: its wish ends with the answer.
pub(in crate::mcp) async fn subscribe(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    session: Option<Arc<LiveSession>>,
) -> Result<Response<Body>, ProtocolError> {
    let outcome = others::run(state, context, request, None).await?;
    if let (Some(uri), Ok(_)) = (uri_of(request), &outcome) {
        let resources = state.broker.direct_resource(context, &uri).into_iter().collect();
        let watched = Watched::of(state, context, resources);
        if let Some(session) = session {
            let most = state.config.max_watched;
            let kept = state.broker.keep_watched(&session.stored(), &uri, most).await;
            if !kept.map_err(|error| dispatch::refused(&error))? {
                let message =
                    format!("a session watches {most} resources at most (limit `server.max_watched`)");
                let mut error = ProtocolError::invalid_request(message);
                error.status = 200;
                return Err(error);
            }
            drop(session.watching.begin(uri, watched));
            tell_of(state, context, &session).await?;
        }
    }
    Ok(others::finish(context, request, outcome))
}

/// `resources/unsubscribe`: the client hears no more of it, whatever its upstream says to that.
pub(in crate::mcp) async fn unsubscribe(
    state: &ServerState,
    context: &CallContext,
    request: &Request<'_>,
    session: Option<Arc<LiveSession>>,
) -> Result<Response<Body>, ProtocolError> {
    let uri = uri_of(request).ok_or_else(|| ProtocolError::invalid_params("`uri` is missing"))?;
    if let Some(session) = session {
        drop(session.watching.end(&uri));
        let forgotten = state.broker.forget_watched(&session.stored(), &uri).await;
        forgotten.map_err(|error| dispatch::refused(&error))?;
        tell_of(state, context, &session).await?;
    }
    Ok(dispatch::success(request, Bytes::from_static(b"{}")))
}

fn uri_of(request: &Request<'_>) -> Option<String> {
    RawObject::parse(request.params?).ok()?.read("uri")
}

/// Whoever has the session's stream looks again at what it watches.
async fn tell_of(
    state: &ServerState,
    context: &CallContext,
    session: &LiveSession,
) -> Result<(), ProtocolError> {
    if session.watching.streams.load(Ordering::Relaxed) > 0 {
        return Ok(());
    }
    let letter = talk::Letter::Watches { session: session.audience().to_string() };
    talk::post(state, context.principal.organization, &letter).await
}

/// Watches here what the session watches, wherever it asked for that.
pub(super) async fn take_over(state: ServerState, context: Arc<CallContext>, session: Arc<LiveSession>) {
    let Ok(wanted) = state.broker.watched_of(&session.stored()).await else { return };
    let watched = session.watching.uris();
    for uri in watched.iter().filter(|uri| !wanted.contains(uri)) {
        drop(session.watching.end(uri));
    }
    for uri in wanted.into_iter().filter(|uri| !watched.contains(uri)) {
        let Some(capability) = state.broker.direct_resource(&context, &uri) else { continue };
        if state.broker.watch_resource(&context, &capability, true).await.is_ok() {
            drop(session.watching.begin(uri, Watched::of(&state, &context, vec![capability])));
        }
    }
}

/// What a session watches in this process, and its streams here.
#[derive(Debug, Default)]
pub(in crate::mcp) struct Watching {
    /// By URIs as the client named them.
    resources: Mutex<HashMap<String, Watched>>,
    streams: AtomicUsize,
    changed: Notify,
}

impl Watching {
    pub(super) fn uris(&self) -> Vec<String> {
        self.resources.lock().keys().cloned().collect()
    }

    pub(super) fn has(&self, uri: &str) -> bool {
        self.resources.lock().contains_key(uri)
    }

    /// What watched it before is the caller's to drop.
    fn begin(&self, uri: String, watched: Watched) -> Option<Watched> {
        self.resources.lock().insert(uri, watched)
    }

    fn end(&self, uri: &str) -> Option<Watched> {
        self.resources.lock().remove(uri)
    }

    /// Another process changed what the session watches: one of its streams looks again.
    pub(in crate::mcp) fn look_again(&self) {
        self.changed.notify_one();
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// One of a session's streams, for as long as it is open.
pub(super) struct OpenStream(Arc<LiveSession>);

impl OpenStream {
    pub(super) fn of(session: &Arc<LiveSession>) -> Self {
        session.watching.streams.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(session))
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.watching.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Resources and tasks that somebody watches; no longer when it is dropped.
#[derive(Default)]
pub(in crate::mcp) struct Watched {
    whose: Option<(ServerState, CallContext)>,
    resources: Vec<Box<str>>,
    tasks: Vec<String>,
}

impl Watched {
    fn of(state: &ServerState, context: &CallContext, resources: Vec<Box<str>>) -> Self {
        Self { whose: Some((state.clone(), context.clone())), resources, tasks: Vec::new() }
    }

    pub(super) fn hear_of(&mut self, task: &str) {
        self.tasks.push(task.to_owned());
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watched({:?})", self.resources)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let (resources, tasks) = (std::mem::take(&mut self.resources), std::mem::take(&mut self.tasks));
        let is_none = resources.is_empty() && tasks.is_empty();
        let Some((state, context)) = self.whose.take().filter(|_| !is_none) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            for capability in resources {
                // A resource that may no longer be watched is not watched either.
                let _ = state.broker.watch_resource(&context, &capability, false).await;
            }
            for task in tasks {
                let over = TaskStep::Listen { begins: false };
                let _ = state.broker.ask_about_task(&context, &task, over, None).await;
            }
        });
    }
}
