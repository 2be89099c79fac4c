//! What runs without anybody asking: versions are polled, catalogues refreshed, uses of tokens noted, and what is over
//! is cleared away.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use switchboard_domain::{ConnectionId, ConnectionStatus, OrganizationId, WriterId};
use switchboard_storage::StorageError;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{Broker, DataKeyError, snapshot::Known, usage::KEPT_DAYS};

/// How often versions are compared; a change is in force everywhere within a second.
const POLL: Duration = Duration::from_millis(250);
/// How often due connections are looked for.
const SCAN: Duration = Duration::from_secs(5);
const FLUSH: Duration = Duration::from_secs(30);
/// How often what was counted is brought to the database: about as much a quota may be overrun by several processes.
const COUNT: Duration = Duration::from_secs(2);
/// What is over is refused at once; this is only how long its rows stay.
const CLEANUP: Duration = Duration::from_secs(600);
/// For how long it can be asked what became of a sign-in at a third-party server.
const TOLD: Duration = Duration::from_secs(24 * 3600);
/// Between two background checks of one connection at the least.
const DEBOUNCE: Duration = Duration::from_secs(3);

/// When each connection is due.
#[derive(Debug)]
pub(crate) struct Schedule {
    last: Mutex<HashMap<ConnectionId, Instant>>,
    ttl: Mutex<HashMap<ConnectionId, Duration>>,
    /// Names this process in leases.
    holder: WriterId,
}

impl Schedule {
    pub(crate) fn new(holder: WriterId) -> Self {
        Self { last: Mutex::default(), ttl: Mutex::default(), holder }
    }

    /// This process, as it holds leases.
    pub(crate) fn holder(&self) -> WriterId {
        self.holder
    }
}

impl Broker {
    pub(crate) fn start_jobs(&self) {
        self.spawn(poll_versions(self.clone()));
        self.spawn(refresh_catalogs(self.clone()));
        self.spawn(clear_away(self.clone()));
        self.spawn(tell_webhooks(self.clone()));
        let uses = "uses of tokens can't be noted";
        self.spawn(every(self.clone(), FLUSH, uses, |broker| async move { broker.flush_token_uses().await }));
        let counts = "calls are counted later";
        self.spawn(every(self.clone(), COUNT, counts, |broker| async move { broker.flush_counts().await }));
        let revocations = "revocations at providers are left for later";
        self.spawn(every(
            self.clone(),
            FLUSH,
            revocations,
            |broker| async move { broker.revoke_due().await },
        ));
        let heads = "the ends of the audit log's chains can't be signed";
        let pause = self.settings().sign_heads_every.max(Duration::from_secs(1));
        self.spawn(every(self.clone(), pause, heads, sign_heads));
    }

    /// Not more often than every few seconds, however often an upstream says that something changed.
    pub(crate) fn may_refresh_now(&self, connection: ConnectionId) -> bool {
        let mut last = self.schedule().last.lock();
        let now = Instant::now();
        let recent = last.get(&connection).is_some_and(|at| now.duration_since(*at) < DEBOUNCE);
        if !recent {
            last.insert(connection, now);
        }
        !recent
    }

    /// An upstream's own word on how long its list stays good; between a minute and a day is believed.
    pub(crate) fn note_ttl(&self, connection: ConnectionId, ttl: Option<Duration>) {
        let mut known = self.schedule().ttl.lock();
        match ttl {
            Some(ttl) => {
                let believed = ttl.clamp(Duration::from_secs(60), Duration::from_secs(24 * 3600));
                known.insert(connection, believed);
            }
            None => drop(known.remove(&connection)),
        }
    }

    fn is_due(&self, known: &Known) -> bool {
        let connection = &*known.connection;
        if !connection.switches.enabled {
            return false;
        }
        use ConnectionStatus as S;
        let settings = self.settings();
        let pause = match connection.status.status {
            S::Connected | S::Degraded => {
                let ttl = self.schedule().ttl.lock().get(&connection.id).copied();
                ttl.map_or(settings.refresh_every, |ttl| ttl.min(settings.refresh_every))
            }
            S::Unreachable | S::Error | S::Checking => settings.retry_every,
            S::ReauthRequired | S::Blocked => settings.refresh_every,
            S::NeedsConnection | S::NeedsClient | S::SetupIncomplete | S::Authorizing | S::Disabled => {
                return false;
            }
        };
        let checked = connection.status.checked_at;
        // Spread over a tenth of the pause, so that connections added together are not checked together.
        let spread = pause.mul_f64(0.9 + 0.1 * f64::from(connection.id.as_uuid().as_bytes()[15]) / 255.0);
        checked.is_none_or(|at| self.clock().now().since(at) >= spread)
    }

    /// In all limits that count by source.
    fn forget_old_sources(&self) {
        self.sign_in_limits().forget_old();
        self.0.request_limits.forget_old();
        self.0.call_limits.forget_old();
        self.0.authentication.forget_old_failures();
        self.0.authorization_limits.forget_old();
    }

    /// Removes sessions, access tokens and approvals that are over. Doing it on two replicas at once does no harm.
    pub async fn forget_what_is_over(&self) -> Result<(), StorageError> {
        let now = self.clock().now();
        let unused = now.minus(self.settings().session.idle);
        for snapshot in self.all_snapshots() {
            let organization = snapshot.organization.id;
            let mut tx = self.db().write().await?;
            let known = crate::session::KNOWN_FOR;
            tx.sessions().forget(organization, now.minus(known), unused.minus(known)).await?;
            tx.mcp_sessions().forget(organization, now.minus(crate::mcp_session::UNUSED)).await?;
            tx.mcp_tasks().forget(organization, now.minus(crate::tasks::UNUSED)).await?;
            tx.mcp_relay().forget(organization, now.minus(crate::relay::KEPT)).await?;
            tx.mcp_used_states().forget(organization, now).await?;
            tx.tokens().forget_expired(organization, now).await?;
            tx.approvals().forget(organization, now.minus(self.settings().approval.kept)).await?;
            tx.sign_ins().forget_expired(organization, now).await?;
            tx.usage().forget(organization, now.day() - KEPT_DAYS).await?;
            tx.kept_forms().forget(organization, now).await?;
            tx.upstream_authorizations().forget_expired(organization, now.minus(TOLD)).await?;
            tx.commit().await?;
        }
        self.forget_expired_authorizations().await
    }

    /// One replica does it: whoever gets the lease.
    async fn has_turn(&self, connection: ConnectionId) -> bool {
        let now = self.clock().now();
        let turn = async {
            let mut tx = self.db().write().await?;
            let name = format!("catalog:{connection}");
            let until = now.plus(Duration::from_secs(60));
            let lease = tx.leases().acquire(&name, self.schedule().holder, now, until).await?;
            tx.commit().await?;
            Ok::<_, switchboard_storage::StorageError>(lease.is_some())
        };
        turn.await.unwrap_or(false)
    }
}

async fn poll_versions(broker: Broker) {
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut hints = broker.db().changes().await.ok();
    loop {
        let hinted = async {
            match hints.as_mut() {
                Some(hints) => drop(hints.next().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = broker.stopping() => return,
            _ = ticks.tick() => {}
            () = hinted => {}
        }
        if let Err(error) = broker.refresh_snapshots().await {
            metrics::counter!("switchboard_refresh_failures_total").increment(1);
            tracing::error!(%error, "what is known of the organizations can't be refreshed; calls are refused after two seconds");
        }
    }
}

async fn refresh_catalogs(broker: Broker) {
    let mut ticks = interval(SCAN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let at_once = std::sync::Arc::new(tokio::sync::Semaphore::new(8));
    loop {
        tokio::select! {
            () = broker.stopping() => return,
            _ = ticks.tick() => {}
        }
        metrics::gauge!("switchboard_job_last_run_timestamp_seconds", "job" => "catalog")
            .set(broker.clock().now().as_secs() as f64);
        for (organization, connection) in due(&broker) {
            if !broker.may_refresh_now(connection) || !broker.has_turn(connection).await {
                continue;
            }
            let Ok(place) = std::sync::Arc::clone(&at_once).acquire_owned().await else { return };
            let check = broker.clone();
            broker.spawn(async move {
                let _place = place;
                if let Err(error) = check.look_at(organization, connection, None).await {
                    tracing::warn!(%error, %connection, "a background check failed");
                }
            });
        }
    }
}

fn due(broker: &Broker) -> Vec<(OrganizationId, ConnectionId)> {
    broker
        .all_snapshots()
        .iter()
        .flat_map(|snapshot| {
            let organization = snapshot.organization.id;
            snapshot
                .connections
                .values()
                .filter(|known| broker.is_due(known))
                .map(move |known| (organization, known.connection.id))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Works at once and whenever `pause` has passed, until this process stops. What fails is tried again the next time.
async fn every<F, E>(broker: Broker, pause: Duration, failing: &'static str, work: impl Fn(Broker) -> F)
where
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = broker.stopping() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = work(broker.clone()).await {
            tracing::warn!(%error, "{failing}");
        }
    }
}

/// What happened, to who wants to be told.
async fn tell_webhooks(broker: Broker) {
    let mut ticks = interval(SCAN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = broker.stopping() => return,
            _ = ticks.tick() => {}
            () = broker.delivery_due() => {}
        }
        let told = tokio::select! {
            () = broker.stopping() => return,
            told = broker.deliver_due() => told,
        };
        if let Err(error) = told {
            tracing::warn!(%error, "webhooks are told later");
        }
    }
}

/// The ends of this process's own chains of the audit log.
async fn sign_heads(broker: Broker) -> Result<(), DataKeyError> {
    broker.sign_own_heads().await?;
    metrics::gauge!("switchboard_job_last_success_timestamp_seconds", "job" => "audit_heads")
        .set(broker.clock().now().as_secs() as f64);
    Ok(())
}

/// Its age is the time since it last worked: an alarm looks at `switchboard_job_last_success_timestamp_seconds`.
async fn clear_away(broker: Broker) {
    let mut ticks = interval(CLEANUP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = broker.stopping() => return,
            _ = ticks.tick() => {}
        }
        broker.forget_old_sources();
        if let Err(error) = broker.forget_old_entries().await {
            tracing::warn!(error = error.message, "old entries of the audit log can't be deleted");
        }
        for snapshot in broker.all_snapshots() {
            if let Err(error) = broker.sign_all_heads(snapshot.organization.id).await {
                tracing::warn!(%error, "the ends of the audit log's chains can't be signed");
            }
        }
        match broker.forget_what_is_over().await {
            Ok(()) => metrics::gauge!("switchboard_job_last_success_timestamp_seconds", "job" => "cleanup")
                .set(broker.clock().now().as_secs() as f64),
            Err(error) => tracing::warn!(%error, "sessions and tokens that are over can't be cleared away"),
        }
    }
}
