//! What the settings mean: typed values, and the rules between them.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use switchboard_broker::{
    ApprovalSettings, AuthorizationSettings, CallSettings, RequestSettings, SessionSettings, SignInSettings,
    connect::ConnectSettings,
};
use switchboard_domain::SecretValue;
use switchboard_server::TrustedProxies;
use url::{Host, Url};

use super::{
    error::{ConfigError, Fault},
    file::StdioEntry,
    oauth_clients::OauthClientEntry,
    settings::Settings,
    table::SETTINGS,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Auto,
    Pretty,
    Json,
}

#[derive(Debug, Clone)]
pub(crate) struct LogSettings {
    pub(crate) format: LogFormat,
    pub(crate) filter: String,
}

#[derive(Debug, Clone)]
pub(crate) struct OtlpSettings {
    pub(crate) endpoint: Url,
    pub(crate) headers: Option<SecretValue>,
    pub(crate) service_name: String,
}

/// The way out, before files are read and patterns parsed.
#[derive(Debug, Clone)]
pub(crate) struct EgressSettings {
    pub(crate) allow_private_networks: bool,
    pub(crate) private_networks: Vec<String>,
    /// Whether metadata documents of clients may lie in what the two above open.
    pub(crate) private_client_documents: bool,
    pub(crate) allowed_hosts: Option<Vec<String>>,
    pub(crate) proxy: Option<SecretValue>,
    pub(crate) proxy_resolves_names: bool,
    pub(crate) extra_root_certificates: Vec<PathBuf>,
    /// By name below `egress.limits`, as written.
    pub(crate) limits: BTreeMap<&'static str, String>,
}

#[derive(Debug, Clone)]
pub(crate) struct UpstreamSettings {
    pub(crate) max_concurrent: usize,
    pub(crate) max_queued: usize,
    pub(crate) breaker_failures: u32,
    pub(crate) breaker_pause: Duration,
    pub(crate) breaker_max_pause: Duration,
    pub(crate) call: Duration,
    pub(crate) interactive: Duration,
    pub(crate) open: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) idle: Duration,
    pub(crate) max_event_bytes: usize,
    pub(crate) max_answer_bytes: u64,
    pub(crate) max_error_bytes: usize,
    pub(crate) max_tools: usize,
    pub(crate) max_pages: usize,
    pub(crate) max_validation_steps: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct BootstrapSettings {
    pub(crate) owner_email: Option<String>,
    pub(crate) owner_password: Option<SecretValue>,
    pub(crate) organization: String,
}

#[derive(Debug, Clone)]
pub(crate) struct DatabaseSettings {
    /// PostgreSQL; without it SQLite in the data directory.
    pub(crate) url: Option<SecretValue>,
    pub(crate) migrate: bool,
    pub(crate) strict_audit: bool,
    pub(crate) read_connections: u32,
    pub(crate) write_connections: u32,
    pub(crate) acquire_timeout: Duration,
    pub(crate) statement_timeout: Duration,
}

/// The whole configuration.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    /// The configuration file that was read, if one was.
    pub(crate) file: Option<PathBuf>,
    pub(crate) listen: SocketAddr,
    /// As given; see [`Config::public_url_for`].
    pub(crate) public_url: Option<Url>,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) drain: Duration,
    pub(crate) max_request_bytes: usize,
    pub(crate) request_body_timeout: Duration,
    pub(crate) request_head_timeout: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) requests: RequestSettings,
    pub(crate) calls: CallSettings,
    pub(crate) sign_heads_every: Duration,
    pub(crate) max_header_bytes: usize,
    pub(crate) max_connections: usize,
    pub(crate) max_streams_per_caller: usize,
    pub(crate) max_replay_bytes: usize,
    pub(crate) max_connections_per_source: usize,
    pub(crate) write_timeout: Duration,
    pub(crate) database: DatabaseSettings,
    pub(crate) master_key: Option<SecretValue>,
    pub(crate) master_key_origin: String,
    pub(crate) bootstrap: BootstrapSettings,
    pub(crate) session: SessionSettings,
    pub(crate) sign_in: SignInSettings,
    pub(crate) authorization: AuthorizationSettings,
    pub(crate) approval: ApprovalSettings,
    pub(crate) egress: EgressSettings,
    pub(crate) upstream: UpstreamSettings,
    /// Empty unless child processes are allowed.
    pub(crate) stdio: Vec<StdioEntry>,
    /// `[[stdio]]` entries that are not started because `--allow-stdio` is missing.
    pub(crate) stdio_not_allowed: usize,
    pub(crate) connect: ConnectSettings,
    pub(crate) log: LogSettings,
    pub(crate) otlp: Option<OtlpSettings>,
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) metrics_token: Option<SecretValue>,
    pub(crate) insecure_http: bool,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("data_dir", &self.data_dir)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// What the settings mean. Rules for serving are [`Self::check_for_serving`]'s: commands that only open
    /// the database work with a listener that could not be used.
    pub(crate) fn new(settings: &Settings) -> Result<Self, ConfigError> {
        let mut faults = Vec::new();
        let public_url = settings.url("server.public_url");
        if let Some(why) = public_url.as_ref().and_then(wrong_public_url) {
            let origin = settings.origin("server.public_url");
            faults.push(Fault::Value { origin, key: "server.public_url", why: why.into() });
        }
        let database_url = settings.secret("database.url");
        if database_url.is_some_and(|url| {
            let url = url.expose().trim_start();
            !url.starts_with("postgres://") && !url.starts_with("postgresql://")
        }) {
            let origin = settings.origin("database.url");
            let why = "is no URL of a PostgreSQL database: it begins with postgres:// (without it, SQLite in the data \
                       directory is used)";
            faults.push(Fault::Value { origin, key: "database.url", why: why.into() });
        }
        let trusted_proxies = TrustedProxies::parse(settings.list("server.trusted_proxies"));
        let trusted_proxies = trusted_proxies.unwrap_or_else(|error| {
            let origin = settings.origin("server.trusted_proxies");
            faults.push(Fault::Value { origin, key: "server.trusted_proxies", why: error.to_string() });
            TrustedProxies::default()
        });
        for text in settings.list("server.allowed_origins") {
            let is_origin = Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == *text);
            if !is_origin {
                let origin = settings.origin("server.allowed_origins");
                let why = format!(
                    "has `{text}`, which is no origin: write https://host or http://host:port, nothing after"
                );
                faults.push(Fault::Value { origin, key: "server.allowed_origins", why });
            }
        }
        let allow_stdio = settings.switch("upstream.allow_stdio");
        let mut slugs = std::collections::BTreeSet::new();
        for entry in settings.stdio.iter().filter(|entry| !entry.slug.is_empty()) {
            if !slugs.insert(&entry.slug) {
                let text = format!(
                    "line {}: two [[stdio]] entries have the slug `{}`: give one of them another",
                    entry.line, entry.slug
                );
                faults.push(Fault::Rule(text));
            }
        }
        let mut names = std::collections::BTreeSet::new();
        for entry in settings.oauth_clients.iter().filter(|entry| !names.insert(&entry.name)) {
            faults.push(Fault::Rule(format!(
                "line {}: two [[oauth_clients]] entries have the name `{}`: give one of them another",
                entry.line, entry.name
            )));
        }
        if !faults.is_empty() {
            return Err(ConfigError(faults));
        }
        Ok(Self {
            data_dir: PathBuf::from(settings.text("data_dir").unwrap_or("./data")),
            file: settings.file.clone(),
            listen: settings.address("server.listen").unwrap_or(Self::DEFAULT_LISTEN),
            public_url,
            allowed_hosts: settings.list("server.allowed_hosts").to_vec(),
            allowed_origins: settings.list("server.allowed_origins").to_vec(),
            trusted_proxies,
            drain: settings.duration("server.drain"),
            max_request_bytes: bytes(settings, "server.max_request_bytes"),
            request_body_timeout: settings.duration("server.request_body_timeout"),
            request_head_timeout: settings.duration("server.request_head_timeout"),
            keep_alive: settings.duration("server.keep_alive"),
            requests: requests(settings),
            calls: calls(settings),
            sign_heads_every: settings.duration("audit.sign_heads_every"),
            max_header_bytes: bytes(settings, "server.max_header_bytes"),
            // With none nobody could connect: the least is one.
            max_connections: settings.count("server.max_connections").max(1) as usize,
            max_streams_per_caller: settings.count("server.max_streams_per_caller") as usize,
            max_replay_bytes: bytes(settings, "server.max_replay_bytes"),
            max_connections_per_source: settings.count("server.max_connections_per_source").max(1) as usize,
            write_timeout: settings.duration("server.write_timeout").max(Duration::from_secs(1)),
            database: database(settings),
            master_key: settings.secret("keys.master_key"),
            master_key_origin: settings.origin("keys.master_key").to_string(),
            bootstrap: BootstrapSettings {
                owner_email: settings.text("bootstrap.owner_email").map(str::to_owned),
                owner_password: settings.secret("bootstrap.owner_password"),
                organization: settings.text("bootstrap.organization").unwrap_or("default").to_owned(),
            },
            session: SessionSettings {
                idle: settings.duration("session.idle"),
                absolute: settings.duration("session.absolute"),
            },
            sign_in: sign_in(settings),
            authorization: authorization(settings),
            approval: ApprovalSettings {
                lifetime: settings.duration("approval.lifetime"),
                max_waiting: settings.count("approval.max_waiting"),
                kept: settings.duration("approval.kept"),
            },
            egress: egress(settings),
            upstream: upstream(settings),
            stdio: if allow_stdio { settings.stdio.clone() } else { Vec::new() },
            stdio_not_allowed: if allow_stdio { 0 } else { settings.stdio.len() },
            connect: ConnectSettings {
                client_metadata_url: settings.text("upstream.client_metadata_url").map(str::to_owned),
                clients: settings.oauth_clients.iter().filter_map(OauthClientEntry::client).collect(),
            },
            log: log(settings),
            otlp: settings.url("telemetry.otlp_endpoint").map(|endpoint| OtlpSettings {
                endpoint,
                headers: settings.secret("telemetry.otlp_headers"),
                service_name: settings.text("telemetry.service_name").unwrap_or("switchboard").to_owned(),
            }),
            metrics_listen: settings.address("telemetry.metrics_listen"),
            metrics_token: settings.secret("telemetry.metrics_token"),
            insecure_http: settings.switch("server.insecure_http"),
        })
    }

    pub(crate) const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

    /// What `admin` has to be told to work on the same data from another directory, as flags. A password in a
    /// database URL is for nobody's terminal: its place is named instead.
    pub(crate) fn flags_for_admin(&self) -> String {
        let mut flags = Vec::new();
        if let Some(file) = &self.file {
            flags.push(format!("--config {}", quoted(file)));
        }
        if self.database.url.is_some() {
            flags.push("--database-url \"$SWITCHBOARD_DATABASE_URL\"".into());
        }
        if self.database.url.is_none() || self.master_key.is_none() {
            flags.push(format!("--data-dir {}", quoted(&self.data_dir)));
        }
        flags.join(" ")
    }

    /// Nobody but this machine may talk to us without TLS, unless the operator says so.
    pub(crate) fn check_for_serving(&self) -> Result<(), ConfigError> {
        let is_https = self.public_url.as_ref().is_some_and(|url| url.scheme() == "https");
        if self.listen.ip().is_loopback() || is_https || self.insecure_http {
            return Ok(());
        }
        Err(ConfigError(vec![Fault::Rule(format!(
            "listening on {} makes this server reachable from other machines, and there is no https public URL: tokens \
             and passwords would cross the network in the clear. Put a reverse proxy with TLS in front and set \
             --public-url https://… (SWITCHBOARD_PUBLIC_URL), or listen on 127.0.0.1, or accept it with --insecure-http",
            self.listen
        ))]))
    }

    /// The public URL, once it is known which port the listener got.
    pub(crate) fn public_url_for(&self, bound: SocketAddr) -> Url {
        if let Some(url) = &self.public_url {
            return url.clone();
        }
        let port = bound.port();
        let host = match bound.ip() {
            ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
            std::net::IpAddr::V4(ip) => ip.to_string(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Url::parse(&format!("http://{host}:{port}")).expect("an address and a port make a URL")
    }
}

/// An absolute path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string();
    let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@%:,".contains(c));
    if plain { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

fn wrong_public_url(url: &Url) -> Option<&'static str> {
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    match (url.scheme(), url.host()) {
        ("http" | "https", Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_))) if !plain => {
            Some("is more than an origin: leave out user, query and fragment")
        }
        ("http" | "https", Some(_)) if url.path() != "/" => {
            Some("has a path: Switchboard needs a host name of its own, such as https://switchboard.example")
        }
        ("http" | "https", Some(_)) => None,
        _ => Some("is not an http or https URL"),
    }
}

fn bytes(settings: &Settings, key: &str) -> usize {
    usize::try_from(settings.size(key)).unwrap_or(usize::MAX)
}

fn database(settings: &Settings) -> DatabaseSettings {
    DatabaseSettings {
        url: settings.secret("database.url"),
        migrate: !settings.switch("database.no_migrate"),
        strict_audit: settings.text("audit.durability") == Some("strict"),
        read_connections: settings.count("database.read_connections").max(1),
        write_connections: settings.count("database.write_connections").max(1),
        acquire_timeout: settings.duration("database.acquire_timeout"),
        statement_timeout: settings.duration("database.statement_timeout"),
    }
}

/// None a minute would keep everybody out: the least is one.
fn at_least_one(settings: &Settings, key: &str) -> NonZeroU32 {
    NonZeroU32::new(settings.count(key)).unwrap_or(NonZeroU32::MIN)
}

fn sign_in(settings: &Settings) -> SignInSettings {
    SignInSettings {
        attempts_per_minute: at_least_one(settings, "sign_in.attempts_per_minute"),
        attempts_per_minute_per_source: at_least_one(settings, "sign_in.attempts_per_minute_per_source"),
        wrong_tokens_per_minute_per_source: at_least_one(
            settings,
            "sign_in.wrong_tokens_per_minute_per_source",
        ),
    }
}

fn requests(settings: &Settings) -> RequestSettings {
    RequestSettings {
        per_minute: at_least_one(settings, "api.requests_per_minute"),
        per_minute_unauthenticated: at_least_one(settings, "api.requests_per_minute_unauthenticated"),
    }
}

fn calls(settings: &Settings) -> CallSettings {
    let limit = |key| NonZeroU32::new(settings.count(key));
    CallSettings {
        per_minute_per_token: limit("calls.per_minute_per_token"),
        per_minute_per_member: limit("calls.per_minute_per_member"),
        per_minute_per_organization: limit("calls.per_minute_per_organization"),
        per_minute_per_connection: limit("calls.per_minute_per_connection"),
    }
}

fn authorization(settings: &Settings) -> AuthorizationSettings {
    let count = |key| NonZeroU32::new(settings.count(key)).unwrap_or(NonZeroU32::MIN);
    // What lives no time at all could never be used: the least is a second. A grace may be none.
    let lifetime = |key| settings.duration(key).max(Duration::from_secs(1));
    AuthorizationSettings {
        dynamic_registration: settings.switch("oauth.dynamic_registration"),
        code_lifetime: lifetime("oauth.code_lifetime"),
        access_token_lifetime: lifetime("oauth.access_token_lifetime"),
        refresh_token_lifetime: lifetime("oauth.refresh_token_lifetime"),
        refresh_grace: settings.duration("oauth.refresh_grace"),
        unused_client_lifetime: lifetime("oauth.unused_client_lifetime"),
        max_unused_clients: settings.count("oauth.max_unused_clients"),
        registrations_per_minute: count("oauth.registrations_per_minute"),
        requests_per_minute: count("oauth.requests_per_minute"),
        recorded_refusals_per_minute: count("oauth.recorded_refusals_per_minute"),
        client_documents_per_minute: count("oauth.client_documents_per_minute"),
        client_documents_per_source_per_minute: count("oauth.client_documents_per_source_per_minute"),
        client_document_timeout: lifetime("oauth.client_document_timeout"),
    }
}

fn log(settings: &Settings) -> LogSettings {
    LogSettings {
        format: match settings.text("log.format") {
            Some("json") => LogFormat::Json,
            Some("pretty") => LogFormat::Pretty,
            _ => LogFormat::Auto,
        },
        filter: settings.text("log.filter").unwrap_or("info").to_owned(),
    }
}

fn egress(settings: &Settings) -> EgressSettings {
    let hosts = settings.list("egress.allowed_hosts");
    let limits = SETTINGS.iter().filter_map(|setting| {
        let name = setting.key.strip_prefix("egress.limits.")?;
        Some((name, settings.text(setting.key)?.to_owned()))
    });
    EgressSettings {
        allow_private_networks: settings.switch("egress.allow_private_networks"),
        private_networks: settings.list("egress.private_networks").to_vec(),
        private_client_documents: settings.switch("oauth.private_client_documents"),
        allowed_hosts: settings.found("egress.allowed_hosts").map(|_| hosts.to_vec()),
        proxy: settings.secret("egress.proxy"),
        proxy_resolves_names: settings.switch("egress.proxy_resolves_names"),
        extra_root_certificates: settings
            .list("egress.extra_root_certificates")
            .iter()
            .map(PathBuf::from)
            .collect(),
        limits: limits.collect(),
    }
}

fn upstream(settings: &Settings) -> UpstreamSettings {
    let count = |key| settings.count(key) as usize;
    UpstreamSettings {
        max_concurrent: count("upstream.max_concurrent"),
        max_queued: count("upstream.max_queued"),
        breaker_failures: settings.count("upstream.breaker_failures"),
        breaker_pause: settings.duration("upstream.breaker_pause"),
        breaker_max_pause: settings.duration("upstream.breaker_max_pause"),
        call: settings.duration("upstream.call_timeout"),
        interactive: settings.duration("upstream.interactive_timeout"),
        open: settings.duration("upstream.open_timeout"),
        first_byte: settings.duration("upstream.first_byte_timeout"),
        idle: settings.duration("upstream.idle_timeout"),
        max_event_bytes: bytes(settings, "upstream.max_event_bytes"),
        max_answer_bytes: settings.size("upstream.max_answer_bytes"),
        max_error_bytes: bytes(settings, "upstream.max_error_bytes"),
        max_tools: count("upstream.max_tools"),
        max_pages: count("upstream.max_pages"),
        max_validation_steps: count("upstream.max_validation_steps"),
    }
}

#[cfg(test)]
#[path = "typed_tests.rs"]
mod tests;
