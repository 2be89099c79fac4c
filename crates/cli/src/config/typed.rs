//! What the settings mean: typed values, and the rules between them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use switchboard_broker::{
    ApprovalSettings, AuthorizationSettings, CallSettings, GuardrailSettings, RequestSettings,
    SessionSettings, SignInSettings, connect::ConnectSettings,
};
use switchboard_domain::SecretValue;
use switchboard_server::TrustedProxies;
use url::{Host, Url};

use super::{
    error::{ConfigError, Fault},
    file::StdioEntry,
    groups::{
        BootstrapSettings, DatabaseSettings, EgressSettings, LogSettings, OtlpSettings, UpstreamSettings,
        authorization, bytes, calls, database, egress, guardrail, log, requests, sign_in, upstream,
    },
    oauth_clients::OauthClientEntry,
    settings::Settings,
};

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
    pub(crate) guardrail: GuardrailSettings,
    pub(crate) sign_heads_every: Duration,
    pub(crate) max_header_bytes: usize,
    pub(crate) max_connections: usize,
    pub(crate) max_streams_per_caller: usize,
    pub(crate) max_batch: usize,
    pub(crate) max_watched: usize,
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
            guardrail: guardrail(settings),
            sign_heads_every: settings.duration("audit.sign_heads_every"),
            max_header_bytes: bytes(settings, "server.max_header_bytes"),
            // With none nobody could connect: the least is one.
            max_connections: settings.count("server.max_connections").max(1) as usize,
            max_streams_per_caller: settings.count("server.max_streams_per_caller") as usize,
            max_batch: settings.count("server.max_batch") as usize,
            max_watched: settings.count("server.max_watched") as usize,
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
                max_argument_bytes: settings.size("approval.max_argument_bytes"),
                max_wait: settings.duration("approval.max_wait"),
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

#[cfg(test)]
#[path = "typed_tests.rs"]
mod tests;
