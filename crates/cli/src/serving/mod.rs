//! `serve` from the first line of its transcript to the last flush.
//!
//! The order: configuration, data directory, database and migrations, keys, broker, listener. What fails stops
//! the start with one message and nothing half done. The port is taken first of all, so that a taken one changes
//! nothing, but it accepts nobody until everything behind it is ready.

mod first_owner;
mod listener;
mod metrics_listener;
mod operator_connections;
mod stop;
mod transcript;

use std::{net::SocketAddr, sync::Arc};

use futures_util::future::BoxFuture;
use switchboard_broker::{Broker, BrokerOptions, InProcessServer, StdioCommand, UpstreamLimits};
use switchboard_domain::{Clock, Random, SystemClock, SystemRandom};
use switchboard_server::{Readiness, ServerConfig, ServerState};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    config::Config,
    failure::Failure,
    operator::{Operator, OperatorConnection},
    startup::{self, Notify},
    telemetry,
};
use transcript::Transcript;

/// Works on the open database, with the public URL at hand; what it returns is for the transcript.
type Preparation = Box<dyn FnOnce(Operator, Url) -> BoxFuture<'static, Result<String, Failure>>>;

/// What `demo` adds.
pub(crate) struct Demo {
    pub(crate) server: Arc<dyn InProcessServer>,
    /// Makes people and tokens once the database is open; what it returns is printed when all is ready.
    pub(crate) prepare: Preparation,
}

/// Everything that has to be closed again, in the order of opening.
struct Parts {
    broker: Broker,
    state: ServerState,
    bound: SocketAddr,
    closing: Option<String>,
}

/// Serves until a signal says otherwise.
pub(crate) async fn serve(config: Config, demo: Option<Demo>) -> Result<(), Failure> {
    config.check_for_serving()?;
    let operator_egress = startup::operator_egress(&config.egress)?;
    // Built for its judgement alone: a rule that can't be read stops the start before anything is changed.
    startup::upstream_egress(&config, Vec::new())?;
    let telemetry = telemetry::for_server(&config, &operator_egress)?;
    let metrics = telemetry::install_metrics()?;
    let transcript = Transcript::begin();
    let is_sqlite = config.database.url.is_none();
    let made = startup::prepare_if_needed(&config)?;
    transcript.data(&config, made);
    let mut lock = if is_sqlite { Some(startup::ServeLock::take(&config.data_dir)?) } else { None };
    let reserved = listener::reserve(config.listen)?;
    if let Some(lock) = &mut lock {
        lock.note(&config.public_url_for(reserved.address()?));
    }
    let metrics_listener = config.metrics_listen.map(listener::reserve).transpose()?;
    let opened = startup::open(&config).await?;
    transcript.database(&config, &opened);
    let db = opened.db.clone();
    let outcome = run(&config, demo, &transcript, opened, reserved, metrics_listener, metrics).await;
    db.close().await;
    telemetry.finish().await;
    outcome
}

async fn run(
    config: &Config,
    demo: Option<Demo>,
    transcript: &Transcript,
    opened: startup::Opened,
    reserved: listener::Reserved,
    metrics_listener: Option<listener::Reserved>,
    metrics: telemetry::Metrics,
) -> Result<(), Failure> {
    let readiness = Arc::new(Readiness::new(Some(Arc::new({
        let metrics = metrics.clone();
        move || metrics.render()
    }))));
    let parts = assemble(config, demo, transcript, opened, &reserved, readiness).await?;
    let notify = Notify::new(std::env::var("NOTIFY_SOCKET").ok().as_deref());
    let stop = CancellationToken::new();
    let outcome =
        accept(config, transcript, &parts, reserved, metrics_listener, metrics, &notify, &stop).await;
    stop.cancel();
    parts.broker.stop().await;
    tracing::info!("stopped");
    outcome
}

async fn assemble(
    config: &Config,
    demo: Option<Demo>,
    transcript: &Transcript,
    opened: startup::Opened,
    reserved: &listener::Reserved,
    readiness: Arc<Readiness>,
) -> Result<Parts, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let keys = startup::open_keys(&opened.db, config, &*random).await?;
    transcript.keys(&keys);
    let bound = reserved.address()?;
    let public_url = config.public_url_for(bound);
    let keyring = Arc::new(keys.keyring);
    let operator = Operator {
        db: opened.db.clone(),
        keyring: Arc::clone(&keyring),
        clock: Arc::clone(&clock),
        random: Arc::clone(&random),
    };
    let (sample, closing) = match demo {
        Some(demo) => (Some(demo.server), Some((demo.prepare)(operator, public_url.clone()).await?)),
        None => (None, first_owner::see_to(config, &operator, &public_url).await?),
    };
    let own_listeners: Vec<_> = [Some(bound), config.metrics_listen].into_iter().flatten().collect();
    let wanted = operator_connections::wanted(config, sample.is_some());
    let broker = Broker::start(BrokerOptions {
        clock,
        random,
        db: opened.db,
        keyring,
        public_egress: startup::public_egress(config, own_listeners.clone())?,
        egress: startup::upstream_egress(config, own_listeners)?,
        upstream: upstream_limits(config),
        stdio: stdio(config),
        stdio_allowed: config.stdio_not_allowed == 0,
        sample_server: sample,
        public_url: public_url.clone(),
        settings: switchboard_broker::Settings {
            session: config.session,
            sign_in: config.sign_in,
            authorization: config.authorization,
            approval: config.approval,
            requests: config.requests,
            calls: config.calls,
            guardrail: config.guardrail,
            sign_heads_every: config.sign_heads_every,
            ..switchboard_broker::Settings::default()
        },
        connect: config.connect.clone(),
    })
    .await?;
    let keys_again = config.clone();
    broker.read_keys_again_from(move || startup::load_keyring(&keys_again).ok().flatten());
    operator_connections::keep(&broker, wanted).await;
    let state = ServerState {
        broker: broker.clone(),
        config: Arc::new(server_config(config, public_url, bound)),
        readiness,
        talks: Arc::default(),
    };
    Ok(Parts { broker, state, bound, closing })
}

#[expect(clippy::too_many_arguments, reason = "the one place where everything meets; each is used once")]
async fn accept(
    config: &Config,
    transcript: &Transcript,
    parts: &Parts,
    reserved: listener::Reserved,
    metrics_listener: Option<listener::Reserved>,
    metrics: telemetry::Metrics,
    notify: &Notify,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    // Before the first word of being ready: who waits for it may send a signal at once.
    stop::on_signal(stop.clone(), Arc::clone(&parts.state.readiness))?;
    let listener = reserved.listen()?;
    if let Some(reserved) = metrics_listener {
        let listener = reserved.listen()?;
        transcript.metrics(listener.local_addr().ok());
        tokio::spawn(metrics_listener::serve(listener, metrics, config.allowed_hosts.clone(), stop.clone()));
    }
    transcript.public(config, &parts.state.config.public_url);
    transcript.listening(parts.bound);
    if let Some(text) = &parts.closing {
        transcript.block(text);
    }
    if config.stdio_not_allowed > 0 {
        tracing::warn!(
            entries = config.stdio_not_allowed,
            "[[stdio]] entries are not started without --allow-stdio"
        );
    }
    notify.ready();
    tracing::info!(address = %parts.bound, "ready");
    let served = switchboard_server::serve(listener, parts.state.clone(), stop.clone()).await;
    notify.stopping();
    served.map_err(|error| Failure::failed(format!("{error}. Start it again.")))
}

fn server_config(config: &Config, public_url: Url, bound: SocketAddr) -> ServerConfig {
    let mut server = ServerConfig::new(public_url, bound);
    server.allowed_hosts.clone_from(&config.allowed_hosts);
    server.allowed_origins.clone_from(&config.allowed_origins);
    server.trusted_proxies.clone_from(&config.trusted_proxies);
    server.max_request_bytes = config.max_request_bytes;
    server.request_body_timeout = config.request_body_timeout;
    server.request_head_timeout = config.request_head_timeout;
    server.keep_alive = config.keep_alive;
    server.max_header_bytes = config.max_header_bytes;
    server.max_connections = config.max_connections;
    server.max_streams_per_caller = config.max_streams_per_caller;
    server.max_batch = config.max_batch;
    server.max_watched = config.max_watched;
    server.max_replay_bytes = config.max_replay_bytes;
    server.max_connections_per_source = config.max_connections_per_source;
    server.write_timeout = config.write_timeout;
    server.drain = config.drain;
    server.metrics_token.clone_from(&config.metrics_token);
    server.doctor = Some(crate::command::doctor::for_console(config));
    server
}

fn upstream_limits(config: &Config) -> UpstreamLimits {
    let settings = &config.upstream;
    UpstreamLimits {
        max_concurrent: settings.max_concurrent,
        max_queued: settings.max_queued,
        breaker_failures: settings.breaker_failures,
        breaker_pause: settings.breaker_pause,
        breaker_max_pause: settings.breaker_max_pause,
        call: settings.call,
        interactive: settings.interactive,
        open: settings.open,
        first_byte: settings.first_byte,
        idle: settings.idle,
        max_event_bytes: settings.max_event_bytes,
        max_answer_bytes: settings.max_answer_bytes,
        max_error_bytes: settings.max_error_bytes,
        max_tools: settings.max_tools,
        max_pages: settings.max_pages,
        max_validation_steps: settings.max_validation_steps as u64,
    }
}

fn stdio(config: &Config) -> Vec<StdioCommand> {
    let entries = config.stdio.iter().filter_map(|entry| {
        Some(StdioCommand {
            slug: entry.slug.parse().ok()?,
            command: entry.command.clone(),
            args: entry.args.clone(),
            env: entry.env.clone(),
        })
    });
    entries.collect()
}

/// The sample as a connection.
pub(crate) fn sample_connection() -> OperatorConnection {
    OperatorConnection {
        slug: crate::sample::SLUG.parse().expect("the sample's slug is one"),
        name: "Sample".into(),
        transport: switchboard_domain::Transport::InProcess,
        for_everyone: true,
    }
}
