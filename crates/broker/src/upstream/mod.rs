//! The third-party servers' side: sessions pooled by connection and credential, each behind a gate of its own.
//!
//! A session is opened once for all who wait for it, kept while it works, and opened anew when the upstream ended
//! it. Nothing here retries a tool call that may have run.

mod channel;
mod error;
mod gate;
mod greeting;
mod http;
mod identity;
mod in_process;
mod legacy_sse;
mod limits;
mod proof;
mod session;
mod side;
mod stdio;
mod wire;

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use switchboard_domain::{
    Clock, Connection, ConnectionId, CredentialId, CredentialOwner, OrganizationId, ProtocolEra, Random,
};
use switchboard_egress::Egress;
use switchboard_policy::Permit;
use tokio::sync::{OnceCell, mpsc, oneshot};

pub use error::UpstreamError;
pub(crate) use error::plain;
pub(crate) use gate::Gate;
pub use greeting::{Greeting, Offers};
pub(crate) use identity::CallIdentity;
pub use in_process::InProcessServer;
pub use limits::UpstreamLimits;
pub(crate) use proof::Proof;
use proof::prove;
pub use session::UpstreamSession;
use session::{OwnSession, Target};
pub use side::{RelatedTask, Side, SideEvent, SideReply};
pub(crate) use side::{may_ask_all, may_ask_by_error, with_related_task};
pub use stdio::StdioCommand;
pub use wire::Hint;
pub(crate) use wire::{Ask, RawResult, UpstreamAuth, call_members};

/// How long a client's own session is kept without a request.
const OWN_SESSION_IDLE: Duration = Duration::from_secs(600);
/// Clients' own sessions with one server.
const MOST_OWN_SESSIONS: usize = 256;

/// How long the first request of a client's own session waits for the stream on which the upstream may ask something.
const STREAM_OPENS: Duration = Duration::from_secs(2);

/// What a session belongs to. A connection that was edited or a credential that was replaced has another key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SessionKey {
    connection: ConnectionId,
    revision: i64,
    owner: CredentialOwner,
    credential: Option<CredentialId>,
    generation: i64,
    /// A client's own session; without, it is shared by all who call with this credential.
    audience: Option<Arc<str>>,
}

impl SessionKey {
    fn new(
        connection: &Connection,
        owner: CredentialOwner,
        auth: &UpstreamAuth,
        own: Option<&OwnSession>,
    ) -> Self {
        Self {
            connection: connection.id,
            revision: connection.revision,
            owner,
            credential: auth.credential,
            generation: auth.generation,
            audience: own.map(|own| Arc::clone(&own.audience)),
        }
    }

    /// Of the same connection and account, but made before something changed.
    fn is_outdated_by(&self, other: &Self) -> bool {
        self.connection == other.connection
            && self.owner == other.owner
            && (self.audience == other.audience
                || (self.revision, self.credential, self.generation)
                    != (other.revision, other.credential, other.generation))
    }
}

/// What an upstream said of its own accord.
#[derive(Debug, Clone)]
pub struct News {
    pub organization: OrganizationId,
    pub connection: ConnectionId,
    pub what: Hint,
}

type Slot = Arc<OnceCell<Arc<UpstreamSession>>>;

/// All upstream sessions of this process.
#[derive(Debug)]
pub(crate) struct Upstreams {
    egress: Egress,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    pub(crate) limits: Arc<UpstreamLimits>,
    sessions: Mutex<HashMap<SessionKey, Slot>>,
    gates: Mutex<HashMap<ConnectionId, Arc<Gate>>>,
    stdio: HashMap<String, Arc<StdioCommand>>,
    stdio_allowed: bool,
    in_process: Option<Arc<dyn InProcessServer>>,
    changes: mpsc::UnboundedSender<News>,
}

impl Upstreams {
    pub(crate) fn new(
        egress: Egress,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        limits: UpstreamLimits,
        stdio: (Vec<StdioCommand>, bool),
        in_process: Option<Arc<dyn InProcessServer>>,
    ) -> (Self, mpsc::UnboundedReceiver<News>) {
        let (changes, receiver) = mpsc::unbounded_channel();
        let (stdio, stdio_allowed) = stdio;
        let upstreams = Self {
            egress,
            clock,
            random,
            limits: Arc::new(limits),
            sessions: Mutex::default(),
            gates: Mutex::default(),
            stdio: stdio.into_iter().map(|entry| (entry.slug.to_string(), Arc::new(entry))).collect(),
            stdio_allowed,
            in_process,
            changes,
        };
        (upstreams, receiver)
    }

    pub(crate) fn gate(&self, connection: ConnectionId) -> Arc<Gate> {
        let mut gates = self.gates.lock();
        Arc::clone(gates.entry(connection).or_insert_with(|| Arc::new(Gate::new(Arc::clone(&self.limits)))))
    }

    /// One request on the pooled session: through the gate, with the deadline around all of it.
    ///
    /// A session that the upstream ended is opened anew once, since it says that nothing was executed.
    pub(crate) async fn request(
        &self,
        permit: &Permit,
        connection: &Connection,
        auth: UpstreamAuth,
        ask: &Ask<'_>,
    ) -> Result<RawResult, UpstreamError> {
        let proof = Proof::Call(permit);
        let passage = self.gate(connection.id).enter(&*self.clock).await?;
        let outcome = match tokio::time::timeout(
            ask.deadline,
            self.attempt(proof, connection, permit.credential(), auth, ask),
        )
        .await
        {
            Ok(outcome) => outcome,
            Err(_) => Err(wire::timed_out(ask)),
        };
        match &outcome {
            Ok(_) => passage.succeeded(),
            Err(error) => passage.failed(error, &*self.clock, &*self.random),
        }
        outcome
    }

    async fn attempt(
        &self,
        proof: Proof<'_>,
        connection: &Connection,
        owner: CredentialOwner,
        auth: UpstreamAuth,
        ask: &Ask<'_>,
    ) -> Result<RawResult, UpstreamError> {
        let session = self.session(proof, connection, owner, auth.clone()).await?;
        let session = match ask.side {
            Some(side) => self.for_client(proof, connection, owner, &auth, session, side).await?,
            None => session,
        };
        let error = match session.request(ask).await {
            Ok(result) => return Ok(result),
            Err(error) => error,
        };
        if matches!(error, UpstreamError::SessionExpired) {
            self.forget(connection, owner, &session);
            let own = session.own.clone();
            return self.session_of(proof, connection, owner, auth, own).await?.request(ask).await;
        }
        if matches!(error, UpstreamError::Closed { .. }) || changed_generation(&session, &error) {
            self.forget(connection, owner, &session);
        }
        Err(error)
    }

    /// The session for a client that hears of progress or can be asked. In the modern generation each request stands for
    /// itself, and the shared session will do; in the legacy one, what a server asks and logs belongs to a session.
    async fn for_client(
        &self,
        proof: Proof<'_>,
        connection: &Connection,
        owner: CredentialOwner,
        auth: &UpstreamAuth,
        shared: Arc<UpstreamSession>,
        side: &Side,
    ) -> Result<Arc<UpstreamSession>, UpstreamError> {
        let is_modern = shared.era() == ProtocolEra::Modern;
        // Tasks of an upstream that speaks both are those of the newer generation.
        let translates =
            is_modern && (side.knows_tasks || !(side.is_legacy && shared.greeting().speaks_legacy));
        if translates || !side.wants_session {
            return Ok(shared);
        }
        self.forget_idle(connection.id);
        let own = Some(OwnSession::of(side));
        let session = self.session_of(proof, connection, owner, auth.clone(), own).await?;
        session.set_log_level(side.log_level.as_deref(), &self.limits).await?;
        Ok(session)
    }

    /// Begins to hear of a task, or ends it.
    pub(crate) async fn watch_task(
        &self,
        permit: &Permit,
        connection: &Connection,
        auth: UpstreamAuth,
        (id, begins): (&str, bool),
    ) -> Result<(), UpstreamError> {
        let session = self.session(Proof::Call(permit), connection, permit.credential(), auth).await?;
        session.watch_task(id, begins).await;
        Ok(())
    }

    /// Ends clients' own sessions that nobody used for a while, and of very many with one server the one that was used the
    /// longest ago: each holds a stream open.
    fn forget_idle(&self, connection: ConnectionId) {
        let mut sessions = self.sessions.lock();
        sessions.retain(|key, slot| {
            key.audience.is_none() || slot.get().is_none_or(|session| session.idle() < OWN_SESSION_IDLE)
        });
        let own =
            || sessions.iter().filter(|(key, _)| key.connection == connection && key.audience.is_some());
        if own().count() < MOST_OWN_SESSIONS {
            return;
        }
        let idle = own().filter_map(|(key, slot)| Some((slot.get()?.idle(), key)));
        let longest = idle.max_by_key(|(idle, _)| *idle).map(|(_, key)| key.clone());
        if let Some(key) = longest {
            sessions.remove(&key);
        }
    }

    /// The pooled session, opened once for all who wait.
    pub(crate) async fn session(
        &self,
        proof: Proof<'_>,
        connection: &Connection,
        owner: CredentialOwner,
        auth: UpstreamAuth,
    ) -> Result<Arc<UpstreamSession>, UpstreamError> {
        self.session_of(proof, connection, owner, auth, None).await
    }

    async fn session_of(
        &self,
        proof: Proof<'_>,
        connection: &Connection,
        owner: CredentialOwner,
        auth: UpstreamAuth,
        own: Option<OwnSession>,
    ) -> Result<Arc<UpstreamSession>, UpstreamError> {
        prove(proof, connection)?;
        let key = SessionKey::new(connection, owner, &auth, own.as_ref());
        let slot = {
            let mut sessions = self.sessions.lock();
            if sessions.get(&key).and_then(|slot| slot.get()).is_some_and(|session| session.is_closed()) {
                sessions.remove(&key);
            }
            match sessions.get(&key) {
                Some(slot) => Arc::clone(slot),
                None => {
                    sessions.retain(|other, _| !other.is_outdated_by(&key));
                    Arc::clone(sessions.entry(key).or_default())
                }
            }
        };
        let target = self.target(connection, auth, own);
        let opened = slot
            .get_or_try_init(|| async {
                let session = UpstreamSession::open(&self.egress, &target, &self.limits).await?;
                let session = Arc::new(session);
                let opened = self.listen(connection, &session);
                if let (Some(_), Some(opened)) = (&session.own, opened) {
                    let _ = tokio::time::timeout(STREAM_OPENS, opened).await;
                }
                Ok::<_, UpstreamError>(session)
            })
            .await?;
        Ok(Arc::clone(opened))
    }

    fn target(&self, connection: &Connection, auth: UpstreamAuth, client: Option<OwnSession>) -> Target {
        Target {
            client,
            transport: connection.transport,
            url: connection.url.clone(),
            auth,
            era: connection.era,
            stdio: match self.stdio.get(connection.slug.as_str()) {
                Some(command) => Ok(Arc::clone(command)),
                None if self.stdio_allowed => {
                    Err("no [[stdio]] entry of the operator's configuration file has its slug any more")
                }
                None => Err("child processes are started only when Switchboard runs with --allow-stdio"),
            },
            in_process: self.in_process.clone(),
        }
    }

    /// Whether the operator's rules let this connection be spoken to, as far as that shows without asking anybody.
    pub(crate) fn judge(&self, connection: &Connection) -> Result<(), UpstreamError> {
        self.target(connection, UpstreamAuth::default(), None).judge(&self.egress)
    }

    /// Hears of changes for as long as the session lives.
    fn listen(
        &self,
        connection: &Connection,
        session: &Arc<UpstreamSession>,
    ) -> Option<oneshot::Receiver<()>> {
        let (organization, connection) = (connection.organization, connection.id);
        let (mut hints, changes) = (session.subscribe(), self.changes.clone());
        tokio::spawn(async move {
            use tokio::sync::broadcast::error::RecvError;
            loop {
                let what = match hints.recv().await {
                    Ok(what) => what,
                    // Too many to tell them apart: the tools are what must not be missed.
                    Err(RecvError::Lagged(_)) => Hint::ToolsChanged,
                    Err(RecvError::Closed) => return,
                };
                if changes.send(News { organization, connection, what }).is_err() {
                    return;
                }
            }
        });
        session.listen()
    }

    /// Takes a session that a check opened into the pool, unless there is one.
    pub(crate) fn adopt(&self, connection: &Connection, owner: CredentialOwner, session: UpstreamSession) {
        let key = SessionKey::new(connection, owner, &session.auth, None);
        let session = Arc::new(session);
        let slot: Slot = Arc::default();
        if slot.set(Arc::clone(&session)).is_err() {
            return;
        }
        let mut sessions = self.sessions.lock();
        let kept = sessions.get(&key).and_then(|slot| slot.get());
        if kept.is_none_or(|kept| kept.is_closed()) {
            sessions.retain(|other, _| !other.is_outdated_by(&key));
            sessions.insert(key, slot);
            drop(sessions);
            self.listen(connection, &session);
        }
    }

    /// Opens a session outside the pool: for a check, which must not trust what is pooled.
    pub(crate) async fn fresh_session(
        &self,
        proof: Proof<'_>,
        connection: &Connection,
        auth: UpstreamAuth,
    ) -> Result<UpstreamSession, UpstreamError> {
        prove(proof, connection)?;
        UpstreamSession::open(&self.egress, &self.target(connection, auth, None), &self.limits).await
    }

    fn forget(&self, connection: &Connection, owner: CredentialOwner, session: &Arc<UpstreamSession>) {
        let key = SessionKey::new(connection, owner, &session.auth, session.own.as_ref());
        let mut sessions = self.sessions.lock();
        let is_same =
            sessions.get(&key).and_then(|slot| slot.get()).is_some_and(|kept| Arc::ptr_eq(kept, session));
        if is_same {
            sessions.remove(&key);
        }
    }

    /// Drops every session of a connection: it was edited, disabled or deleted.
    pub(crate) fn drop_connection(&self, connection: ConnectionId) {
        self.sessions.lock().retain(|key, _| key.connection != connection);
        self.gates.lock().remove(&connection);
    }

    pub(crate) fn egress(&self) -> &Egress {
        &self.egress
    }

    /// Ends what the upstreams keep for us. Called when the process stops.
    pub(crate) async fn close_all(&self) {
        let sessions: Vec<_> =
            self.sessions.lock().drain().filter_map(|(_, slot)| slot.get().cloned()).collect();
        let closing = sessions.iter().map(|session| session.close());
        futures_util::future::join_all(closing).await;
    }
}

/// A modern request that meets a server which has forgotten the modern generation (a downgrade), or the reverse.
fn changed_generation(session: &UpstreamSession, error: &UpstreamError) -> bool {
    match (session.era(), error) {
        (ProtocolEra::Modern, UpstreamError::Http { status: 400 | 404 | 405, .. }) => true,
        (ProtocolEra::Legacy, UpstreamError::Rpc(error)) => {
            error.code == switchboard_mcp::code::UNSUPPORTED_VERSION
        }
        _ => false,
    }
}

#[cfg(test)]
#[path = "isolation_tests.rs"]
mod isolation_tests;
