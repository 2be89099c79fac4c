//! Settings of one concern together, read from the table's keys.

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf, time::Duration};

use switchboard_broker::{
    AuthorizationSettings, CallSettings, GuardrailSettings, RequestSettings, SignInSettings,
};
use switchboard_domain::SecretValue;
use url::Url;

use super::{settings::Settings, table::SETTINGS};

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

pub(super) fn bytes(settings: &Settings, key: &str) -> usize {
    usize::try_from(settings.size(key)).unwrap_or(usize::MAX)
}

pub(super) fn database(settings: &Settings) -> DatabaseSettings {
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

pub(super) fn sign_in(settings: &Settings) -> SignInSettings {
    SignInSettings {
        attempts_per_minute: at_least_one(settings, "sign_in.attempts_per_minute"),
        attempts_per_minute_per_source: at_least_one(settings, "sign_in.attempts_per_minute_per_source"),
        wrong_tokens_per_minute_per_source: at_least_one(
            settings,
            "sign_in.wrong_tokens_per_minute_per_source",
        ),
    }
}

pub(super) fn requests(settings: &Settings) -> RequestSettings {
    RequestSettings {
        per_minute: at_least_one(settings, "api.requests_per_minute"),
        per_minute_unauthenticated: at_least_one(settings, "api.requests_per_minute_unauthenticated"),
    }
}

pub(super) fn calls(settings: &Settings) -> CallSettings {
    let limit = |key| NonZeroU32::new(settings.count(key));
    CallSettings {
        per_minute_per_token: limit("calls.per_minute_per_token"),
        per_minute_per_member: limit("calls.per_minute_per_member"),
        per_minute_per_organization: limit("calls.per_minute_per_organization"),
        per_minute_per_connection: limit("calls.per_minute_per_connection"),
    }
}

pub(super) fn guardrail(settings: &Settings) -> GuardrailSettings {
    GuardrailSettings {
        timeout: settings.duration("guardrail.timeout").max(Duration::from_millis(1)),
        max_question_bytes: bytes(settings, "guardrail.max_question_bytes") as u64,
        max_answer_bytes: bytes(settings, "guardrail.max_answer_bytes") as u64,
    }
}

pub(super) fn authorization(settings: &Settings) -> AuthorizationSettings {
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

pub(super) fn log(settings: &Settings) -> LogSettings {
    LogSettings {
        format: match settings.text("log.format") {
            Some("json") => LogFormat::Json,
            Some("pretty") => LogFormat::Pretty,
            _ => LogFormat::Auto,
        },
        filter: settings.text("log.filter").unwrap_or("info").to_owned(),
    }
}

pub(super) fn egress(settings: &Settings) -> EgressSettings {
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

pub(super) fn upstream(settings: &Settings) -> UpstreamSettings {
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
