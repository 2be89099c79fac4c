//! The use cases of Switchboard: the way of one call, and everything around it.
//!
//! Read [`pipeline`](self) first: `pipeline.rs` is the request path, top to bottom. A credential is opened by
//! `credentials/` alone, an upstream is spoken to through `upstream/`, what a call knows is in `snapshot.rs`.

mod account;
mod approvals;
mod arguments;
mod attempts;
mod audit;
mod authenticate;
pub mod authorization;
mod call_limits;
mod change_log;
mod check;
pub mod connect;
mod connection_catalog;
mod context;
mod credentials;
mod direct;
mod guardrail;
pub mod identity;
mod intent;
mod jobs;
mod kept_form;
mod keys;
mod listing;
mod maintenance;
pub mod manage;
mod mcp_session;
mod pipeline;
mod quota;
mod redact;
mod refused_call;
mod relay;
mod request_limits;
mod search;
mod session;
mod sign_in;
mod snapshot;
mod source;
mod status;
mod suggestions;
mod surface;
mod tasks;
mod text;
pub mod upstream;
mod usage;
mod webhooks;

use std::{collections::HashMap, future::Future, net::IpAddr, sync::Arc, time::Duration};

use switchboard_domain::{Clock, OrganizationId, Principal, Random, Resource, Slug, WriterId};
use switchboard_egress::Egress;
use switchboard_storage::{Db, StorageError};
use switchboard_vault::Keyring;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

pub use account::{PasswordChange, Reauthentication};
pub use approvals::ApprovalSettings;
pub use attempts::{Attempt, AttemptStep, Stranger, Trail};
pub use audit::{AuditFault, AuditReport, AuditUnavailable, BadEntry, chained_entry};
pub use authorization::AuthorizationSettings;
pub use call_limits::CallSettings;
pub use check::CheckError;
pub use connection_catalog::{Capability, ConnectionCatalog};
pub use context::{
    Again, AuthenticationError, CallContext, CallFailure, Detail, Execute, Executed, Narrowing, Search, Via,
};
pub use credentials::{
    CredentialError, NewSecret, RevocationReport, UpstreamClient, UpstreamTokens, sealed_context,
};
pub use direct::{DirectItems, DirectTools, Listing, Offer};
pub use guardrail::GuardrailSettings;
pub use intent::Meant;
pub use kept_form::{FormOwner, KeptForm};
pub use keys::DataKeyError;
pub use mcp_session::{McpSession, NewMcpSession};
pub use quota::{NoSubject, Quota, QuotaSubject};
pub use relay::{Letter, RelayedEvent};
pub use request_limits::RequestSettings;
pub use session::{Browser, OpenedSession, SessionSettings, SignedIn};
pub use sign_in::{Choice, PasswordSignIn, SignInSettings, TooMany};
pub use snapshot::{Known, Snapshot};
pub use source::machine;
pub use status::ShownStatus;
pub use tasks::{TaskPage, TaskStep, TaskUnderway};
pub use upstream::{
    Hint, InProcessServer, News, Offers, Side, SideEvent, SideReply, StdioCommand, UpstreamLimits,
};

/// What a broker is made of.
#[derive(Debug)]
pub struct BrokerOptions {
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub db: Db,
    /// Checked against the database (`vault::startup_check`) before.
    pub keyring: Arc<Keyring>,
    pub egress: Egress,
    /// For addresses that anybody may name without signing in: to where private networks are closed whatever else the
    /// operator opens.
    pub public_egress: Egress,
    pub upstream: UpstreamLimits,
    /// From the operator's configuration file only.
    pub stdio: Vec<StdioCommand>,
    /// Whether child processes are started at all (`--allow-stdio`).
    pub stdio_allowed: bool,
    pub sample_server: Option<Arc<dyn InProcessServer>>,
    /// Origin under which people and clients reach us.
    pub public_url: Url,
    pub settings: Settings,
    pub connect: connect::ConnectSettings,
}

/// How often what is done, and for how long a sign-in holds.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Between two listings of a connection that works.
    pub refresh_every: Duration,
    /// Between two tries of one that does not.
    pub retry_every: Duration,
    pub session: SessionSettings,
    pub sign_in: SignInSettings,
    pub authorization: AuthorizationSettings,
    pub approval: ApprovalSettings,
    pub requests: RequestSettings,
    pub calls: CallSettings,
    pub guardrail: GuardrailSettings,
    /// Between two signatures of where the chains of the audit log end.
    pub sign_heads_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            refresh_every: Duration::from_secs(600),
            retry_every: Duration::from_secs(60),
            session: SessionSettings::default(),
            sign_in: SignInSettings::default(),
            authorization: AuthorizationSettings::default(),
            approval: ApprovalSettings::default(),
            requests: RequestSettings::default(),
            calls: CallSettings::default(),
            guardrail: GuardrailSettings::default(),
            sign_heads_every: Duration::from_secs(60),
        }
    }
}

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    db: Db,
    snapshots: snapshot::Snapshots,
    authentication: authenticate::Authentication,
    keys: Arc<keys::DataKeys>,
    credentials: credentials::Credentials,
    upstreams: upstream::Upstreams,
    audit: audit::Audit,
    change_log: change_log::ChangeLog,
    /// Up to where the ends of this process's own chains are signed.
    signed_ends: parking_lot::Mutex<HashMap<(OrganizationId, WriterId), i64>>,
    audit_writer: parking_lot::Mutex<Option<tokio::task::JoinHandle<()>>>,
    compiled: arguments::CompiledTools,
    direct_lists: direct::DirectLists,
    direct_items: direct::KeptItems,
    sign_in_limits: sign_in::SignInLimits,
    request_limits: request_limits::RequestLimits,
    webhooks_due: tokio::sync::Notify,
    call_limits: call_limits::CallLimits,
    counts: usage::Counts,
    waits: approvals::Waits,
    authorization_limits: authorization::AuthorizationLimits,
    providers: identity::Providers,
    egress: Egress,
    public_egress: Egress,
    schedule: jobs::Schedule,
    news: tokio::sync::broadcast::Sender<upstream::News>,
    settings: Settings,
    connect: connect::ConnectSettings,
    public_url: Url,
    /// Sums of the calls of hours that are over.
    counted_calls: manage::CountedCalls,
    counted_days: manage::CountedDays,
    /// Sign-ins of AI clients that have not ended in a token.
    attempts: attempts::Attempts,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The use cases; clones share everything.
#[derive(Debug, Clone)]
pub struct Broker(Arc<Inner>);

impl Broker {
    /// Loads what calls need and starts the background work.
    pub async fn start(options: BrokerOptions) -> Result<Self, StorageError> {
        let BrokerOptions { clock, random, db, keyring, egress, upstream, stdio, .. } = options;
        let keys =
            Arc::new(keys::DataKeys::new(db.clone(), keyring, Arc::clone(&clock), Arc::clone(&random)));
        let (audit, writer) = audit::Audit::start(db.clone(), Arc::clone(&keys), &*clock, &*random);
        let (upstreams, changes) = upstream::Upstreams::new(
            egress.clone(),
            Arc::clone(&clock),
            Arc::clone(&random),
            upstream,
            (stdio, options.stdio_allowed),
            options.sample_server,
        );
        let broker = Self(Arc::new(Inner {
            snapshots: snapshot::Snapshots::new(db.clone()),
            authentication: authenticate::Authentication::new(
                db.clone(),
                Arc::clone(&clock),
                options.settings.sign_in.wrong_tokens_per_minute_per_source,
            ),
            credentials: credentials::Credentials::new(
                db.clone(),
                Arc::clone(&keys),
                Arc::clone(&clock),
                Arc::clone(&random),
            ),
            upstreams,
            audit,
            change_log: change_log::ChangeLog::new(&*clock, &*random),
            signed_ends: parking_lot::Mutex::default(),
            audit_writer: parking_lot::Mutex::new(Some(writer)),
            compiled: arguments::CompiledTools::new(4_000),
            direct_lists: direct::kept_lists(),
            direct_items: direct::kept_items(),
            sign_in_limits: sign_in::SignInLimits::new(options.settings.sign_in),
            authorization_limits: authorization::AuthorizationLimits::new(&options.settings.authorization),
            request_limits: request_limits::RequestLimits::new(options.settings.requests),
            webhooks_due: tokio::sync::Notify::new(),
            call_limits: call_limits::CallLimits::new(&options.settings.calls),
            counts: usage::Counts::default(),
            waits: approvals::Waits::default(),
            providers: identity::Providers::new(egress.clone()),
            egress,
            public_egress: options.public_egress,
            schedule: jobs::Schedule::new(WriterId::new(&*clock, &*random)),
            news: tokio::sync::broadcast::channel(256).0,
            settings: options.settings,
            connect: options.connect,
            public_url: options.public_url,
            counted_calls: manage::CountedCalls::default(),
            counted_days: manage::CountedDays::default(),
            attempts: attempts::Attempts::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            clock,
            random,
            db,
            keys,
        }));
        broker.refresh_snapshots().await?;
        broker.judge_again().await;
        broker.follow_changes(changes);
        broker.start_jobs();
        Ok(broker)
    }

    /// How to read the master keys again, when another process rotated them. Set once.
    pub fn read_keys_again_from(&self, source: impl Fn() -> Option<Keyring> + Send + Sync + 'static) {
        self.0.keys.read_again_from(Box::new(source));
    }

    /// Stops background work, ends upstream sessions, writes what is still to be written.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(5), self.0.tasks.wait()).await;
        self.0.credentials.finish().await;
        self.0.upstreams.close_all().await;
        if let Err(error) = self.flush_token_uses().await {
            tracing::warn!(%error, "uses of tokens can't be noted");
        }
        if let Err(error) = self.flush_counts().await {
            tracing::warn!(%error, "the last calls can't be counted");
        }
        self.0.audit.finish();
        let writer = self.0.audit_writer.lock().take();
        if let Some(writer) = writer {
            let _ = tokio::time::timeout(Duration::from_secs(10), writer).await;
        }
        if let Err(error) = self.sign_own_heads().await {
            tracing::warn!(%error, "the last ends of the audit log's chains are not signed");
        }
    }

    /// Step 1 of a call.
    pub async fn authenticate(
        &self,
        token: &str,
        resource: &Resource,
        organization: Option<&Slug>,
        source: Option<IpAddr>,
    ) -> Result<Principal, AuthenticationError> {
        let attempt =
            || self.0.authentication.authenticate(&self.0.snapshots, token, resource, organization, source);
        if let Some(principal) = attempt().await? {
            return Ok(principal);
        }
        // Of an organization made a moment ago, by a command beside this process.
        self.refresh_snapshots().await.map_err(|_| AuthenticationError::Unavailable)?;
        attempt().await?.ok_or(AuthenticationError::InvalidToken)
    }

    /// Step 1 for a call that waited: who was let in then, as things stand now. `None` when their token no longer counts.
    pub async fn authenticate_again(&self, principal: &Principal) -> Option<Principal> {
        self.0.authentication.again(&self.0.snapshots, principal).await
    }

    /// Counts a request of the REST API for who made it.
    pub fn admit_request(&self, principal: &Principal) -> Result<(), TooMany> {
        self.0.request_limits.check(principal)
    }

    /// Counts a request of the REST API that proved nothing.
    pub fn admit_request_of_source(&self, source: IpAddr) -> Result<(), TooMany> {
        self.0.request_limits.check_source(source)
    }

    /// Notes how far somebody got who tries to sign in.
    pub fn note_attempt(&self, who: &Stranger, step: AttemptStep, client: Option<&str>) {
        self.0.attempts.note(who, step, client, self.clock().now());
    }

    /// An id for one HTTP request.
    pub fn new_request_id(&self) -> String {
        let bytes: [u8; 10] = self.0.random.bytes();
        format!("req_{}", hex::encode(bytes))
    }

    /// What is known of an organization; `None` when it is unknown or too old to act on.
    pub fn snapshot(&self, organization: OrganizationId) -> Option<Arc<Snapshot>> {
        self.0.snapshots.get(organization)
    }

    /// Brings what calls know up to the database's state: after every change of our own, before it is answered.
    pub async fn refresh_snapshots(&self) -> Result<(), StorageError> {
        let changed = self.0.snapshots.refresh().await?;
        if !changed.is_empty() {
            // Keys may have been rotated; the next use reads them again.
            self.0.keys.forget();
        }
        for organization in changed {
            let Some(snapshot) = self.snapshot(organization) else { continue };
            let closed = snapshot.connections.values().filter(|known| !known.connection.switches.enabled);
            closed.for_each(|known| self.0.upstreams.drop_connection(known.connection.id));
        }
        Ok(())
    }

    /// Whether calls can be decided right now: what is known is fresh.
    pub fn is_ready(&self) -> bool {
        self.0.snapshots.is_fresh()
    }

    pub fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub fn random(&self) -> &dyn Random {
        &*self.0.random
    }

    pub fn db(&self) -> &Db {
        &self.0.db
    }

    /// The way out to what admins and upstreams name.
    pub fn egress(&self) -> &Egress {
        &self.0.egress
    }

    pub fn public_url(&self) -> &Url {
        &self.0.public_url
    }

    fn follow_changes(&self, mut changes: tokio::sync::mpsc::UnboundedReceiver<upstream::News>) {
        let broker = self.clone();
        self.spawn(async move {
            loop {
                tokio::select! {
                    () = broker.stopping() => return,
                    change = changes.recv() => match change {
                        Some(news) => broker.heard(news),
                        None => return,
                    },
                }
            }
        });
    }

    /// Tells whoever listens, and looks again at lists that changed.
    fn heard(&self, news: upstream::News) {
        match news.what {
            Hint::ToolsChanged => self.refresh_soon(news.organization, news.connection),
            Hint::PromptsChanged | Hint::ResourcesChanged => {
                self.0.direct_items.invalidate_all();
                self.refresh_soon(news.organization, news.connection);
            }
            Hint::ResourceUpdated(_) | Hint::TaskChanged(_) => {}
        }
        // Nobody listening is fine.
        let _ = self.0.news.send(news);
    }

    /// What upstreams say of their own accord, from now on.
    pub fn news(&self) -> tokio::sync::broadcast::Receiver<upstream::News> {
        self.0.news.subscribe()
    }

    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(work);
    }

    pub(crate) async fn stopping(&self) {
        self.0.stop.cancelled().await;
    }

    pub(crate) fn all_snapshots(&self) -> Vec<Arc<Snapshot>> {
        self.0.snapshots.organizations()
    }

    pub(crate) async fn flush_token_uses(&self) -> Result<(), StorageError> {
        self.0.authentication.flush_used().await
    }

    pub(crate) fn credentials(&self) -> &credentials::Credentials {
        &self.0.credentials
    }

    pub(crate) fn data_keys(&self) -> &keys::DataKeys {
        &self.0.keys
    }

    pub(crate) fn providers(&self) -> &identity::Providers {
        &self.0.providers
    }

    pub(crate) fn upstreams(&self) -> &upstream::Upstreams {
        &self.0.upstreams
    }

    pub(crate) fn audit(&self) -> &audit::Audit {
        &self.0.audit
    }

    pub(crate) fn compiled_tools(&self) -> &arguments::CompiledTools {
        &self.0.compiled
    }

    pub(crate) fn direct_lists(&self) -> &direct::DirectLists {
        &self.0.direct_lists
    }

    pub(crate) fn call_limits(&self) -> &call_limits::CallLimits {
        &self.0.call_limits
    }

    pub(crate) fn counts(&self) -> &usage::Counts {
        &self.0.counts
    }

    pub(crate) fn counted_days(&self) -> &manage::CountedDays {
        &self.0.counted_days
    }

    pub(crate) fn direct_items_kept(&self) -> &direct::KeptItems {
        &self.0.direct_items
    }

    pub(crate) fn schedule(&self) -> &jobs::Schedule {
        &self.0.schedule
    }

    pub fn settings(&self) -> Settings {
        self.0.settings
    }
}

/// Whether two secrets are the same, without telling by the time it takes where they differ.
pub fn same_secret(left: &[u8], right: &[u8]) -> bool {
    use subtle::ConstantTimeEq as _;
    left.ct_eq(right).into()
}
