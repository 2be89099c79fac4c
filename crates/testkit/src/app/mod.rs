//! The whole of Switchboard in the test's own process: real database, real listener, real upstream sessions; only
//! the clock's seed and the port are the test's.

mod browser;
mod client;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use switchboard_broker::{
    Broker, BrokerOptions, InProcessServer, NewSecret, Settings, StdioCommand, UpstreamLimits,
};
use switchboard_domain::{
    ApiKeyHeader, AuthConfig, AuthType, Caller, Connection, ConnectionId, ConnectionOwner, ConnectionStatus,
    CredentialMode, CredentialOwner, Grants, MemberId, OrganizationId, Random, Role, Scope, SecretValue,
    SeededRandom, Status, Switches, SystemClock, Timestamp, TokenId, ToolFilter, Transport,
};
use switchboard_egress::{Egress, EgressConfig};
use switchboard_server::{Readiness, ServerConfig, ServerState, TrustedProxies, serve};
use switchboard_storage::{
    Db, InsertConnection, InsertMember, Member, MemberStatus, Organization, StoredToken, TokenKind,
};
use switchboard_vault::Keyring;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use url::Url;

pub use browser::Browser;
pub use client::{McpClient, McpReply};

/// What a test wants different.
#[derive(Debug)]
pub struct AppOptions {
    pub allow_private_networks: bool,
    pub upstream: UpstreamLimits,
    pub settings: Settings,
    pub stdio: Vec<StdioCommand>,
    pub sample_server: Option<Arc<dyn InProcessServer>>,
    /// Keys and ids of this instance; two instances on one database need the same keyring.
    pub keyring: Option<Arc<Keyring>>,
    pub trusted_proxies: TrustedProxies,
}

impl Default for AppOptions {
    fn default() -> Self {
        Self {
            allow_private_networks: true,
            upstream: UpstreamLimits::default(),
            settings: Settings::default(),
            stdio: Vec::new(),
            sample_server: None,
            keyring: None,
            trusted_proxies: TrustedProxies::default(),
        }
    }
}

/// Of everybody who has one.
pub const PASSWORD: &str = "a password of tests";

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
        let clock = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(switchboard_domain::SystemRandom);
        let keyring = options.keyring.unwrap_or_else(|| Arc::new(Keyring::generate(&SeededRandom::new(7))));
        record_keys(&db, &keyring, &*random).await;
        let (organization, owner) = first_owner(&db, &*random).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let public_url: Url = format!("http://{address}").parse().expect("a URL");
        let egress = Egress::new(EgressConfig {
            allow_private_networks: options.allow_private_networks,
            own_listeners: vec![address],
            ..EgressConfig::default()
        })
        .expect("an egress");
        let broker = Broker::start(BrokerOptions {
            clock,
            random: Arc::clone(&random),
            db: db.clone(),
            keyring: Arc::clone(&keyring),
            egress,
            upstream: options.upstream,
            stdio: options.stdio,
            sample_server: options.sample_server,
            public_url: public_url.clone(),
            settings: options.settings,
        })
        .await
        .expect("a broker");
        let mut config = ServerConfig::new(public_url, address);
        config.trusted_proxies = options.trusted_proxies;
        let state = ServerState {
            broker: broker.clone(),
            config: Arc::new(config),
            readiness: Arc::new(Readiness::new(None)),
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

    pub async fn member(&self, email: &str, role: Role) -> MemberId {
        add_member(&self.db, &*self.random, self.organization, email, role).await
    }

    /// A member who can sign in with [`PASSWORD`].
    pub async fn member_with_password(&self, email: &str, role: Role) -> MemberId {
        let id = self.member(email, role).await;
        self.give_password(id).await;
        id
    }

    pub async fn give_password(&self, member: MemberId) {
        let hash =
            switchboard_vault::hash_password(&SecretValue::new(PASSWORD), &*self.random).expect("a hash");
        let mut tx = self.db.write().await.expect("a transaction");
        tx.members()
            .set_password(self.organization, member, &hash, self.broker.clock().now())
            .await
            .expect("a password");
        tx.commit().await.expect("committed");
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

    /// A token of a member, with these scopes, for every resource.
    pub async fn token(&self, member: MemberId, scopes: &[Scope]) -> String {
        self.token_for(member, scopes, None, None).await.0
    }

    pub async fn token_for(
        &self,
        member: MemberId,
        scopes: &[Scope],
        resource: Option<&str>,
        expires_at: Option<Timestamp>,
    ) -> (String, TokenId) {
        self.token_in(self.organization, member, scopes, resource, expires_at).await
    }

    async fn token_in(
        &self,
        organization: OrganizationId,
        member: MemberId,
        scopes: &[Scope],
        resource: Option<&str>,
        expires_at: Option<Timestamp>,
    ) -> (String, TokenId) {
        let issued = switchboard_vault::issue(switchboard_vault::TokenKind::Personal, &*self.random);
        let id = TokenId::new(&SystemClock, &*self.random);
        let mut tx = self.db.write().await.expect("a transaction");
        tx.tokens()
            .insert(&StoredToken {
                id,
                organization,
                kind: TokenKind::Personal,
                caller: Caller::Member(member),
                name: "test".into(),
                hash: *issued.hash.as_bytes(),
                prefix: issued.prefix,
                last_four: issued.last_four,
                scopes: scopes.iter().copied().collect(),
                resource: resource.map(str::to_owned),
                expires_at,
                last_used_at: None,
                revoked_at: None,
                grant: None,
                created_at: self.broker.clock().now(),
            })
            .await
            .expect("a token");
        tx.commit().await.expect("committed");
        (issued.secret.expose().to_owned(), id)
    }

    /// Another organization in the same database, with an owner and a token of theirs.
    pub async fn stranger(&self, scopes: &[Scope]) -> (OrganizationId, MemberId, String) {
        let id = OrganizationId::new(&SystemClock, &*self.random);
        let mut tx = self.db.write().await.expect("a transaction");
        tx.organizations()
            .insert(&Organization {
                id,
                slug: "elsewhere".parse().expect("a slug"),
                name: "Elsewhere".into(),
                settings: serde_json::json!({}),
                version: 1,
                created_at: Timestamp::from_micros(1),
            })
            .await
            .expect("an organization");
        tx.commit().await.expect("committed");
        let owner = add_member(&self.db, &*self.random, id, "stranger@example.test", Role::Owner).await;
        let (token, _) = self.token_in(id, owner, scopes, None, None).await;
        self.broker.refresh_snapshots().await.expect("refreshed");
        (id, owner, token)
    }

    pub async fn revoke(&self, token: TokenId) {
        let mut tx = self.db.write().await.expect("a transaction");
        tx.tokens().revoke(self.organization, token, self.broker.clock().now()).await.expect("revoked");
        tx.commit().await.expect("committed");
    }

    /// Adds a connection of authentication type `none`; it is neither granted nor checked yet.
    pub async fn add(&self, slug: &str, url: &str) -> ConnectionId {
        self.add_with(slug, url, |_| {}).await
    }

    pub async fn add_with(
        &self,
        slug: &str,
        url: &str,
        change: impl FnOnce(&mut Connection),
    ) -> ConnectionId {
        let now = self.broker.clock().now();
        let mut connection = Connection {
            id: ConnectionId::new(&SystemClock, &*self.random),
            organization: self.organization,
            owner: ConnectionOwner::Organization,
            slug: slug.parse().expect("a slug"),
            name: slug.to_owned(),
            url: url.to_owned(),
            transport: Transport::StreamableHttp,
            auth_type: AuthType::None,
            auth: AuthConfig::default(),
            credential_mode: CredentialMode::Shared,
            switches: Switches::default(),
            tools: ToolFilter::default(),
            external_key: None,
            status: Status::new(ConnectionStatus::SetupIncomplete, now),
            era: None,
            instructions: None,
            created_at: now,
            updated_at: now,
            revision: 1,
        };
        change(&mut connection);
        let mut tx = self.db.write().await.expect("a transaction");
        let inserted = tx.connections().insert(&connection).await.expect("inserted");
        assert!(matches!(inserted, InsertConnection::Inserted), "{inserted:?}");
        tx.commit().await.expect("committed");
        connection.id
    }

    /// Adds, grants to everyone, checks: ready for calls.
    pub async fn connect(&self, slug: &str, url: &str) -> ConnectionId {
        let id = self.add(slug, url).await;
        self.grant_everyone(id).await;
        let diagnosis = self.broker.check(self.organization, id, None).await.expect("a check");
        assert!(diagnosis.failed.is_none(), "{diagnosis:?}");
        id
    }

    /// Adds a connection that sends an API key as bearer.
    pub async fn add_with_key(&self, slug: &str, url: &str, key: &str) -> ConnectionId {
        let id = self
            .add_with(slug, url, |connection| {
                connection.auth_type = AuthType::ApiKey;
                connection.auth.api_key = Some(ApiKeyHeader::default());
            })
            .await;
        self.broker
            .put_credential(
                self.organization,
                id,
                CredentialOwner::Shared,
                NewSecret::ApiKey(SecretValue::new(key)),
            )
            .await
            .expect("a credential");
        id
    }

    pub async fn grant(&self, connection: ConnectionId, grants: Grants) {
        let mut tx = self.db.write().await.expect("a transaction");
        tx.grants().replace(self.organization, connection, &grants).await.expect("granted");
        tx.commit().await.expect("committed");
        self.broker.refresh_snapshots().await.expect("refreshed");
    }

    pub async fn grant_everyone(&self, connection: ConnectionId) {
        self.grant(connection, Grants { everyone: true, ..Grants::default() }).await;
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

async fn first_owner(db: &Db, random: &dyn Random) -> (OrganizationId, MemberId) {
    let known = db.single().await.expect("a reader").organizations().list().await.expect("read");
    if let Some(first) = known.first() {
        let mut tx = db.read().await.expect("a transaction");
        let owner = tx.members().find_by_email(first.id, "owner@example.test").await.expect("read");
        return (first.id, owner.expect("an owner").id);
    }
    let id = OrganizationId::new(&SystemClock, random);
    let mut tx = db.write().await.expect("a transaction");
    tx.organizations()
        .insert(&Organization {
            id,
            slug: "acme".parse().expect("a slug"),
            name: "Acme".into(),
            settings: serde_json::json!({}),
            version: 1,
            created_at: Timestamp::from_micros(1),
        })
        .await
        .expect("an organization");
    tx.commit().await.expect("committed");
    (id, add_member(db, random, id, "owner@example.test", Role::Owner).await)
}

async fn add_member(
    db: &Db,
    random: &dyn Random,
    organization: OrganizationId,
    email: &str,
    role: Role,
) -> MemberId {
    let id = MemberId::new(&SystemClock, random);
    let now = switchboard_domain::Clock::now(&SystemClock);
    let mut tx = db.write().await.expect("a transaction");
    let inserted = tx
        .members()
        .insert(
            &Member {
                id,
                organization,
                email: email.into(),
                display_name: email.into(),
                role,
                status: MemberStatus::Active,
                created_at: now,
                updated_at: now,
            },
            None,
        )
        .await
        .expect("inserted");
    assert_eq!(inserted, InsertMember::Inserted);
    tx.commit().await.expect("committed");
    id
}
