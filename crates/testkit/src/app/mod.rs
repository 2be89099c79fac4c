//! The whole of Switchboard in the test's own process: real database, real listener, real upstream sessions; only
//! the clock's seed and the port are the test's.

mod browser;
mod client;
mod fixtures;
mod stream;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use switchboard_broker::{Broker, BrokerOptions, InProcessServer, Settings, StdioCommand, UpstreamLimits};
use switchboard_domain::{
    Clock, ConnectionId, ConnectionStatus, MemberId, OrganizationId, Random, SeededRandom, SystemClock,
    Timestamp,
};
use switchboard_egress::{Egress, EgressConfig};
use switchboard_server::{Readiness, ServerConfig, ServerState, TrustedProxies, serve};
use switchboard_storage::Db;
use switchboard_vault::Keyring;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use url::Url;

pub use browser::Browser;
pub use client::{McpClient, McpReply};
use fixtures::first_owner;
pub use stream::McpStream;
pub use switchboard_egress::{Resolve, ResolveError};

/// What a test wants different.
#[derive(Debug)]
pub struct AppOptions {
    pub allow_private_networks: bool,
    pub upstream: UpstreamLimits,
    pub settings: Settings,
    pub connect: switchboard_broker::connect::ConnectSettings,
    pub stdio: Vec<StdioCommand>,
    pub sample_server: Option<Arc<dyn InProcessServer>>,
    /// Keys and ids of this instance; two instances on one database need the same keyring.
    pub keyring: Option<Arc<Keyring>>,
    pub trusted_proxies: TrustedProxies,
    pub allowed_origins: Vec<String>,
    /// Another than the listener's own address.
    pub public_url: Option<Url>,
    /// What the listener is to do differently.
    pub configure: fn(&mut ServerConfig),
    /// The authority of documents of clients that this very machine serves.
    pub client_documents: Option<Vec<u8>>,
    /// Who answers for names.
    pub resolver: Option<Arc<dyn Resolve>>,
    /// The machine's clock without.
    pub clock: Option<Arc<dyn Clock>>,
}

impl Default for AppOptions {
    fn default() -> Self {
        Self {
            allow_private_networks: true,
            upstream: UpstreamLimits::default(),
            settings: Settings::default(),
            connect: switchboard_broker::connect::ConnectSettings::default(),
            stdio: Vec::new(),
            sample_server: None,
            keyring: None,
            trusted_proxies: TrustedProxies::default(),
            allowed_origins: Vec::new(),
            public_url: None,
            configure: |_| {},
            client_documents: None,
            resolver: None,
            clock: None,
        }
    }
}

/// Of everybody who has one.
pub const PASSWORD: &str = "lantern gravel quiet orbit";

/// A running instance.
#[derive(Debug)]
pub struct App {
    pub broker: Broker,
    pub db: Db,
    pub address: SocketAddr,
    pub organization: OrganizationId,
    pub owner: MemberId,
    pub keyring: Arc<Keyring>,
    egress: Egress,
    random: Arc<dyn Random>,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

impl App {
    /// Starts on a database; makes an organization with an owner when there is none.
    pub async fn start(db: Db) -> Self {
        Self::start_with(db, AppOptions::default()).await
    }

    pub async fn start_with(db: Db, options: AppOptions) -> Self {
        let clock = options.clock.unwrap_or_else(|| Arc::new(SystemClock));
        let random: Arc<dyn Random> = Arc::new(switchboard_domain::SystemRandom);
        let keyring = options.keyring.unwrap_or_else(|| Arc::new(Keyring::generate(&SeededRandom::new(7))));
        record_keys(&db, &keyring, &*random).await;
        let (organization, owner) = first_owner(&db, &*random).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let own = || format!("http://{address}").parse().expect("a URL");
        let public_url: Url = options.public_url.unwrap_or_else(own);
        let mut public = options.resolver.map_or_else(EgressConfig::default, EgressConfig::with_resolver);
        public.own_listeners = vec![address];
        let guarded =
            EgressConfig { allow_private_networks: options.allow_private_networks, ..public.clone() };
        let egress = Egress::new(guarded).expect("an egress");
        if let Some(authority) = options.client_documents {
            public.allow_private_networks = true;
            public.extra_root_certificates.push(authority);
        }
        let public_egress = Egress::new(public).expect("an egress");
        let broker = Broker::start(BrokerOptions {
            clock,
            random: Arc::clone(&random),
            db: db.clone(),
            keyring: Arc::clone(&keyring),
            egress,
            public_egress,
            upstream: options.upstream,
            stdio_allowed: !options.stdio.is_empty(),
            stdio: options.stdio,
            sample_server: options.sample_server,
            public_url: public_url.clone(),
            settings: options.settings,
            connect: options.connect,
        })
        .await
        .expect("a broker");
        let mut config = ServerConfig::new(public_url, address);
        config.trusted_proxies = options.trusted_proxies;
        config.allowed_origins = options.allowed_origins;
        (options.configure)(&mut config);
        let state = ServerState {
            broker: broker.clone(),
            config: Arc::new(config),
            readiness: Arc::new(Readiness::new(None)),
            talks: Arc::default(),
        };
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let serving = tokio::spawn(async move {
            serve(listener, state, stopping).await.expect("the listener");
        });
        let egress = Egress::new(EgressConfig { allow_private_networks: true, ..EgressConfig::default() })
            .expect("a client's egress");
        Self {
            broker,
            db,
            address,
            organization,
            owner,
            keyring,
            egress,
            random,
            stop,
            serving: Some(serving),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The way out of a test's own clients.
    pub fn egress(&self) -> &Egress {
        &self.egress
    }

    /// Stops as SIGTERM does.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(serving) = self.serving.take() {
            serving.await.expect("an orderly end");
        }
        self.broker.stop().await;
    }

    /// A browser that nobody is signed in with.
    pub fn browser(&self) -> Browser {
        Browser::new(self.egress.clone(), format!("http://{}", self.address))
    }

    /// A browser in which this person is signed in; they need [`PASSWORD`].
    pub async fn signed_in(&self, email: &str) -> Browser {
        let browser = self.browser();
        let reply = browser.post("/sign-in", &[("email", email), ("password", PASSWORD)]).await;
        assert_eq!(reply.status.as_u16(), 303, "{}", reply.text());
        browser
    }

    /// A client of `/mcp`.
    pub fn client(&self, token: &str) -> McpClient {
        McpClient::new(self.egress.clone(), self.url("/mcp"), Some(token.to_owned()))
    }

    pub fn client_at(&self, path: &str, token: Option<&str>) -> McpClient {
        McpClient::new(self.egress.clone(), self.url(path), token.map(str::to_owned))
    }

    /// Waits until a connection has this status, as the database sees it.
    pub async fn wait_for_status(&self, id: ConnectionId, wanted: ConnectionStatus) {
        for _ in 0..400 {
            let mut tx = self.db.read().await.expect("a transaction");
            let found = tx.connections().find(self.organization, id).await.expect("read");
            if found.is_some_and(|connection| connection.status.status == wanted) {
                return;
            }
            drop(tx);
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{id} did not become {}", wanted.as_str());
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn record_keys(db: &Db, keyring: &Keyring, random: &dyn Random) {
    let mut tx = db.write().await.expect("a transaction");
    for id in keyring.ids() {
        let sentinel = keyring.sentinel(id, random).expect("a sentinel");
        tx.keys()
            .insert_key_encryption_key(&switchboard_storage::KeyEncryptionKey {
                id,
                sentinel: switchboard_storage::Sealed(sentinel),
                state: switchboard_storage::KeyState::Active,
                created_at: Timestamp::from_micros(0),
            })
            .await
            .expect("recorded");
    }
    tx.commit().await.expect("committed");
}
