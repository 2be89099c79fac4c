//! Every setting, once. The reference (`docs/reference/configuration.md`) is generated from this table.

use super::setting::{Kind, Setting};

const S: fn(&'static str, &'static str, Kind, &'static str, &'static str) -> Setting = Setting::new;

/// What the operator can decide, in the order of the reference.
pub(crate) static SETTINGS: std::sync::LazyLock<Vec<Setting>> = std::sync::LazyLock::new(|| {
    let mut settings = main();
    settings.extend(people());
    settings.extend(authorization());
    settings.extend(egress());
    settings.extend(egress_limits());
    settings.extend(upstream());
    settings.extend(observation());
    settings
});

pub(crate) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

#[rustfmt::skip]
fn main() -> Vec<Setting> {
    vec![
        S("data_dir", "DATA_DIR", Kind::Path, "./data", "Directory of the SQLite database and the master key; made with mode 0700.").flag("data-dir", "DIR"),
        S("server.listen", "LISTEN", Kind::Address, "127.0.0.1:8080", "Address and port to listen on.").flag("listen", "ADDRESS"),
        S("server.public_url", "PUBLIC_URL", Kind::Url, "", "URL under which people and AI clients reach it; without it, http:// and the listen address. Hosted clients such as claude.ai and ChatGPT need https.").flag("public-url", "URL"),
        S("server.insecure_http", "INSECURE_HTTP", Kind::Switch, "false", "Serve the network without an https public URL: tokens and passwords then cross the network in the clear.").flag("insecure-http", "BOOL"),
        S("server.allowed_hosts", "ALLOWED_HOSTS", Kind::List, "", "Further host names (name or name:port) that requests may be addressed to, beside the public URL's and loopback's."),
        S("server.allowed_origins", "ALLOWED_ORIGINS", Kind::List, "", "Origins of web pages that may call the MCP endpoints from the browser, exactly as the browser sends them, such as http://localhost:6274 for the Inspector's page. Pages call with a token only, never with a cookie."),
        S("server.trusted_proxies", "TRUSTED_PROXIES", Kind::List, "", "Addresses and ranges (10.1.0.0/16) of the reverse proxies in front: a request that one of them sends counts as from the last address in its X-Forwarded-For that is none of them. Believed of nobody else, and for nothing else; the Forwarded header is ignored."),
        S("server.drain", "DRAIN", Kind::Duration, "30s", "How long calls in progress may go on after SIGTERM."),
        S("server.max_request_bytes", "MAX_REQUEST_BYTES", Kind::Size, "4MiB", "Largest request body."),
        S("server.request_body_timeout", "REQUEST_BODY_TIMEOUT", Kind::Duration, "30s", "How long a request body may take to arrive."),
        S("server.request_head_timeout", "REQUEST_HEAD_TIMEOUT", Kind::Duration, "10s", "How long the head of a request may take to arrive, from its first byte on."),
        S("server.keep_alive", "KEEP_ALIVE", Kind::Duration, "75s", "How long a connection may wait for its next request. Longer than what a reverse proxy in front keeps its own for, so that none is closed under it."),
        S("server.max_header_bytes", "MAX_HEADER_BYTES", Kind::Size, "32KiB", "Largest header section of a request."),
        S("server.max_connections", "MAX_CONNECTIONS", Kind::Count, "10000", "Connections at once. Beyond, a few are told to come back, and learn at /livez and /readyz how it is; others wait to be accepted."),
        S("server.max_batch", "MAX_BATCH", Kind::Count, "50", "Messages of one batch (clients of MCP revision 2025-03-26 alone send them)."),
        S("server.max_watched", "MAX_WATCHED", Kind::Count, "100", "Resources that an MCP session may watch, and tasks that one stream tells of."),
        S("server.max_streams_per_caller", "MAX_STREAMS_PER_CALLER", Kind::Count, "32", "Streams of changes that one caller may have open."),
        S("server.max_replay_bytes", "MAX_REPLAY_BYTES", Kind::Size, "32MiB", "Messages that are kept, in memory, for clients of the older generation of MCP that come back to a stream that was cut (Last-Event-ID). Of streams that are over the oldest go first."),
        S("server.max_connections_per_source", "MAX_CONNECTIONS_PER_SOURCE", Kind::Count, "1000", "Connections at once of one source (an address; of IPv6 its /64); more are closed. Trusted proxies are not counted: they stand for many."),
        S("server.write_timeout", "WRITE_TIMEOUT", Kind::Duration, "30s", "How long an answer waits for a client that stopped reading before the connection is closed."),
        S("api.requests_per_minute", "API_REQUESTS_PER_MINUTE", Kind::Count, "1200", "Requests of the REST API a minute from one token or console session; so many may also come at once."),
        S("api.requests_per_minute_unauthenticated", "API_REQUESTS_PER_MINUTE_UNAUTHENTICATED", Kind::Count, "120", "Requests of the REST API a minute from one source (an address; of IPv6 its /64) without a token or session that is good for it."),
        S("calls.per_minute_per_token", "CALLS_PER_MINUTE_PER_TOKEN", Kind::Count, "0", "Calls of capabilities a minute with one token, or from one console session; so many may also come at once. 0: no limit. Each process counts for itself, as for the next three."),
        S("calls.per_minute_per_member", "CALLS_PER_MINUTE_PER_MEMBER", Kind::Count, "0", "The same, of one member or service account. 0: no limit."),
        S("calls.per_minute_per_organization", "CALLS_PER_MINUTE_PER_ORGANIZATION", Kind::Count, "0", "The same, of a whole organization. 0: no limit."),
        S("calls.per_minute_per_connection", "CALLS_PER_MINUTE_PER_CONNECTION", Kind::Count, "0", "Calls that go out to one connection a minute, by everybody together. 0: no limit."),
        S("guardrail.timeout", "GUARDRAIL_TIMEOUT", Kind::Duration, "5s", "How long an organization's guardrail may take to answer about one call or one result."),
        S("guardrail.max_question_bytes", "GUARDRAIL_MAX_QUESTION_BYTES", Kind::Size, "4MiB", "Largest question to a guardrail, with arguments or result; a larger one counts as a failure of the guardrail."),
        S("guardrail.max_answer_bytes", "GUARDRAIL_MAX_ANSWER_BYTES", Kind::Size, "64KiB", "Largest answer of a guardrail."),
        S("database.url", "DATABASE_URL", Kind::Secret, "", "PostgreSQL instead of SQLite in the data directory: postgres://user:password@host/database.").flag("database-url", "URL"),
        S("database.no_migrate", "NO_MIGRATE", Kind::Switch, "false", "Refuse to start instead of migrating an older schema.").flag("no-migrate", "BOOL"),
        S("database.read_connections", "DATABASE_READ_CONNECTIONS", Kind::Count, "4", "Connections that read at the same time."),
        S("database.write_connections", "DATABASE_WRITE_CONNECTIONS", Kind::Count, "8", "Connections that write at the same time (PostgreSQL only; SQLite has one)."),
        S("database.acquire_timeout", "DATABASE_ACQUIRE_TIMEOUT", Kind::Duration, "10s", "How long to wait for a connection, or for SQLite's write lock."),
        S("database.statement_timeout", "DATABASE_STATEMENT_TIMEOUT", Kind::Duration, "30s", "When PostgreSQL gives up on one statement."),
        S("keys.master_key", "MASTER_KEY", Kind::Secret, "", "Master key instead of the file in the data directory: one key a line, the first seals (`openssl rand -base64 32` makes one)."),
        S("bootstrap.owner_email", "BOOTSTRAP_OWNER_EMAIL", Kind::Text, "", "Makes this owner at the first start instead of printing a setup link."),
        S("bootstrap.owner_password", "BOOTSTRAP_OWNER_PASSWORD", Kind::Secret, "", "Password of that owner; read at the first start only."),
        S("bootstrap.organization", "BOOTSTRAP_ORGANIZATION", Kind::Text, "default", "Slug of the organization made at the first start."),
        S("audit.sign_heads_every", "AUDIT_SIGN_HEADS_EVERY", Kind::Duration, "1m", "How often the ends of the audit log's chains are signed, stored and written to the log, if they moved. What is cut off later is then noticed."),
        S("audit.durability", "AUDIT_DURABILITY", Kind::Choice(&["process", "strict"]), "process", "What an acknowledged audit entry survives: the end of the process by any means, or (strict) power loss, at the price of a flush to disk per group."),
    ]
}

#[rustfmt::skip]
fn people() -> Vec<Setting> {
    vec![
        S("session.idle", "SESSION_IDLE", Kind::Duration, "12h", "A console session that is not used for this long is over."),
        S("session.absolute", "SESSION_ABSOLUTE", Kind::Duration, "168h", "However busy, a console session is over after this: the person signs in again."),
        S("sign_in.attempts_per_minute", "SIGN_IN_ATTEMPTS_PER_MINUTE", Kind::Count, "10", "Passwords tried a minute for one account from one source (an address; of IPv6 its /64)."),
        S("sign_in.attempts_per_minute_per_source", "SIGN_IN_ATTEMPTS_PER_MINUTE_PER_SOURCE", Kind::Count, "30", "Passwords tried a minute from one source, for whatever accounts."),
        S("sign_in.wrong_tokens_per_minute_per_source", "SIGN_IN_WRONG_TOKENS_PER_MINUTE_PER_SOURCE", Kind::Count, "60", "Wrong access tokens a minute from one source, before it has to wait."),
        S("approval.lifetime", "APPROVAL_LIFETIME", Kind::Duration, "1h", "A call that waits for a person's approval: within this, somebody decides and the agent calls again."),
        S("approval.max_waiting", "APPROVAL_MAX_WAITING", Kind::Count, "50", "Calls of one person or service account that may wait for an approval."),
        S("approval.max_argument_bytes", "APPROVAL_MAX_ARGUMENT_BYTES", Kind::Size, "256KiB", "Largest arguments of a call that can wait for an approval: a person has to look through them."),
        S("approval.max_wait", "APPROVAL_MAX_WAIT", Kind::Duration, "5m", "The longest that a held call waits for a person's decision where its client asks for that (Switchboard-Wait); 0s: it never waits."),
        S("approval.kept", "APPROVAL_KEPT", Kind::Duration, "720h", "How long an approval that is over can still be looked at; then its arguments are gone."),
    ]
}

#[rustfmt::skip]
fn authorization() -> Vec<Setting> {
    vec![
        S("oauth.dynamic_registration", "OAUTH_DYNAMIC_REGISTRATION", Kind::Switch, "true", "Let AI clients register themselves (RFC 7591). Without, only clients with a metadata document of their own and those that an admin made can sign people in."),
        S("oauth.code_lifetime", "OAUTH_CODE_LIFETIME", Kind::Duration, "60s", "How long a client may take to turn the code it was sent into tokens."),
        S("oauth.access_token_lifetime", "OAUTH_ACCESS_TOKEN_LIFETIME", Kind::Duration, "1h", "How long an access token lives; the client then refreshes it by itself."),
        S("oauth.refresh_token_lifetime", "OAUTH_REFRESH_TOKEN_LIFETIME", Kind::Duration, "720h", "A client that does not come back for this long has to sign its person in again."),
        S("oauth.refresh_grace", "OAUTH_REFRESH_GRACE", Kind::Duration, "30s", "How long a used refresh token still gets the same successor, for a client that did not get the answer."),
        S("oauth.unused_client_lifetime", "OAUTH_UNUSED_CLIENT_LIFETIME", Kind::Duration, "24h", "A client that registered and that nobody allowed is forgotten after this."),
        S("oauth.max_unused_clients", "OAUTH_MAX_UNUSED_CLIENTS", Kind::Count, "10000", "Clients that registered and that nobody allowed; beyond, the ones older than an hour go, and without any new ones have to wait."),
        S("oauth.registrations_per_minute", "OAUTH_REGISTRATIONS_PER_MINUTE", Kind::Count, "60", "Clients that may register a minute from one source."),
        S("oauth.requests_per_minute", "OAUTH_REQUESTS_PER_MINUTE", Kind::Count, "120", "Sign-ins of clients that may begin a minute from one source."),
        S("oauth.recorded_refusals_per_minute", "OAUTH_RECORDED_REFUSALS_PER_MINUTE", Kind::Count, "30", "Refusals at the token endpoint that one organization's audit log takes a minute. The rest goes to the program's log: a flood must not fill the log that is there to find it."),
        S("oauth.client_documents_per_minute", "OAUTH_CLIENT_DOCUMENTS_PER_MINUTE", Kind::Count, "120", "Metadata documents of clients that are fetched a minute, for everybody together."),
        S("oauth.client_documents_per_source_per_minute", "OAUTH_CLIENT_DOCUMENTS_PER_SOURCE_PER_MINUTE", Kind::Count, "20", "The same, for one source."),
        S("oauth.client_document_timeout", "OAUTH_CLIENT_DOCUMENT_TIMEOUT", Kind::Duration, "5s", "Fetching one; a failure is told when this is over, whatever it was, so that nobody learns from it what an address answers."),
        S("oauth.private_client_documents", "OAUTH_PRIVATE_CLIENT_DOCUMENTS", Kind::Switch, "false", "Let the addresses of such documents lie in private networks that egress opens. Anybody who reaches the sign-in page can then make Switchboard ask any https address there."),
    ]
}

#[rustfmt::skip]
fn egress() -> Vec<Setting> {
    vec![
        S("egress.allow_private_networks", "ALLOW_PRIVATE_NETWORKS", Kind::Switch, "false", "Allow upstreams on private networks: loopback and private ranges open, and plain http to them; link-local and metadata addresses stay closed.").flag("allow-private-networks", "BOOL"),
        S("egress.private_networks", "EGRESS_PRIVATE_NETWORKS", Kind::List, "", "Private networks to allow, such as 10.1.0.0/16, instead of all of them; never loopback."),
        S("egress.allowed_hosts", "EGRESS_ALLOWED_HOSTS", Kind::List, "", "If given, nothing else is reachable: names such as api.example.com or *.example.com. Narrows the other rules, opens nothing."),
        S("egress.proxy", "EGRESS_PROXY", Kind::Secret, "", "Egress proxy, http://[user:password@]host:port. Proxy variables such as HTTPS_PROXY are not read."),
        S("egress.proxy_resolves_names", "EGRESS_PROXY_RESOLVES_NAMES", Kind::Switch, "false", "Hand the proxy host names instead of checked addresses: it must then refuse inner addresses itself."),
        S("egress.extra_root_certificates", "EGRESS_EXTRA_ROOT_CERTIFICATES", Kind::List, "", "PEM files with certificate authorities to trust beside the public ones."),
    ]
}

#[rustfmt::skip]
fn egress_limits() -> Vec<Setting> {
    vec![
        S("egress.limits.metadata_document_bytes", "EGRESS_LIMITS_METADATA_DOCUMENT_BYTES", Kind::Size, "256KiB", "OAuth and protected-resource metadata documents."),
        S("egress.limits.client_metadata_bytes", "EGRESS_LIMITS_CLIENT_METADATA_BYTES", Kind::Size, "64KiB", "A client metadata document that a client id points to."),
        S("egress.limits.registration_response_bytes", "EGRESS_LIMITS_REGISTRATION_RESPONSE_BYTES", Kind::Size, "64KiB", "The answer to a dynamic client registration."),
        S("egress.limits.token_response_bytes", "EGRESS_LIMITS_TOKEN_RESPONSE_BYTES", Kind::Size, "64KiB", "The answer of a token endpoint."),
        S("egress.limits.logo_bytes", "EGRESS_LIMITS_LOGO_BYTES", Kind::Size, "256KiB", "A server's logo."),
        S("egress.limits.message_bytes", "EGRESS_LIMITS_MESSAGE_BYTES", Kind::Size, "16MiB", "One server-sent event, or one JSON answer."),
        S("egress.limits.answer_bytes", "EGRESS_LIMITS_ANSWER_BYTES", Kind::Size, "32MiB", "A whole answer with all its events, inflated."),
        S("egress.limits.answer_wire_bytes", "EGRESS_LIMITS_ANSWER_WIRE_BYTES", Kind::Size, "32MiB", "A whole answer as it comes over the wire."),
        S("egress.limits.header_bytes", "EGRESS_LIMITS_HEADER_BYTES", Kind::Size, "32KiB", "The header section of an answer."),
        S("egress.limits.stdio_line_bytes", "EGRESS_LIMITS_STDIO_LINE_BYTES", Kind::Size, "16MiB", "One line from a child process."),
        S("egress.limits.name_resolution_timeout", "EGRESS_LIMITS_NAME_RESOLUTION_TIMEOUT", Kind::Duration, "5s", "Looking up a host name."),
        S("egress.limits.connect_timeout", "EGRESS_LIMITS_CONNECT_TIMEOUT", Kind::Duration, "5s", "TCP, over all addresses of a host, and the egress proxy's answer."),
        S("egress.limits.tls_timeout", "EGRESS_LIMITS_TLS_TIMEOUT", Kind::Duration, "5s", "The TLS handshake."),
        S("egress.limits.first_byte_timeout", "EGRESS_LIMITS_FIRST_BYTE_TIMEOUT", Kind::Duration, "30s", "Until the header section of an answer."),
        S("egress.limits.idle_timeout", "EGRESS_LIMITS_IDLE_TIMEOUT", Kind::Duration, "60s", "Between two pieces of an answer."),
        S("egress.limits.call_timeout", "EGRESS_LIMITS_CALL_TIMEOUT", Kind::Duration, "120s", "One exchange from beginning to end."),
        S("egress.limits.call_timeout_with_progress", "EGRESS_LIMITS_CALL_TIMEOUT_WITH_PROGRESS", Kind::Duration, "900s", "A call that keeps reporting progress may last this long."),
        S("egress.limits.pool_idle_timeout", "EGRESS_LIMITS_POOL_IDLE_TIMEOUT", Kind::Duration, "90s", "How long an unused connection is kept."),
        S("egress.limits.child_exit_timeout", "EGRESS_LIMITS_CHILD_EXIT_TIMEOUT", Kind::Duration, "2s", "How long a child process may take to leave after its input was closed, and again after SIGTERM."),
        S("egress.limits.header_count", "EGRESS_LIMITS_HEADER_COUNT", Kind::Count, "100", "Header fields of an answer."),
        S("egress.limits.discovery_redirects", "EGRESS_LIMITS_DISCOVERY_REDIRECTS", Kind::Count, "3", "Redirects a discovery GET may follow, within one origin."),
        S("egress.limits.name_addresses", "EGRESS_LIMITS_NAME_ADDRESSES", Kind::Count, "32", "Addresses a name may resolve to."),
        S("egress.limits.pool_idle_per_host", "EGRESS_LIMITS_POOL_IDLE_PER_HOST", Kind::Count, "32", "Unused connections kept for each upstream."),
        S("egress.limits.upstream_concurrency", "EGRESS_LIMITS_UPSTREAM_CONCURRENCY", Kind::Count, "64", "Calls in flight to one upstream."),
        S("egress.limits.upstream_queue", "EGRESS_LIMITS_UPSTREAM_QUEUE", Kind::Count, "64", "Calls that may wait for one upstream."),
    ]
}

#[rustfmt::skip]
fn upstream() -> Vec<Setting> {
    vec![
        S("upstream.allow_stdio", "ALLOW_STDIO", Kind::Switch, "false", "Start the child processes of the [[stdio]] entries. They run as the user that runs Switchboard.").flag("allow-stdio", "BOOL"),
        S("upstream.client_metadata_url", "UPSTREAM_CLIENT_METADATA_URL", Kind::Text, "", "Where providers read our OAuth client metadata documents, with {connection_id} in it; below the public URL without, when that is https."),
        S("upstream.max_concurrent", "UPSTREAM_MAX_CONCURRENT", Kind::Count, "64", "Calls at once to one connection."),
        S("upstream.max_queued", "UPSTREAM_MAX_QUEUED", Kind::Count, "512", "Calls that wait for a place at one connection."),
        S("upstream.breaker_failures", "UPSTREAM_BREAKER_FAILURES", Kind::Count, "5", "Failures in a row that open a connection's circuit breaker."),
        S("upstream.breaker_pause", "UPSTREAM_BREAKER_PAUSE", Kind::Duration, "1s", "First pause of an open breaker; doubles each time."),
        S("upstream.breaker_max_pause", "UPSTREAM_BREAKER_MAX_PAUSE", Kind::Duration, "60s", "Longest pause of an open breaker."),
        S("upstream.call_timeout", "UPSTREAM_CALL_TIMEOUT", Kind::Duration, "120s", "A whole tool call."),
        S("upstream.interactive_timeout", "UPSTREAM_INTERACTIVE_TIMEOUT", Kind::Duration, "600s", "A whole tool call whose client can be asked meanwhile."),
        S("upstream.open_timeout", "UPSTREAM_OPEN_TIMEOUT", Kind::Duration, "30s", "Connecting and greeting, a check, one page of a listing."),
        S("upstream.first_byte_timeout", "UPSTREAM_FIRST_BYTE_TIMEOUT", Kind::Duration, "120s", "Until the first byte of an upstream's answer."),
        S("upstream.idle_timeout", "UPSTREAM_IDLE_TIMEOUT", Kind::Duration, "60s", "Between two pieces of an upstream's answer."),
        S("upstream.max_event_bytes", "UPSTREAM_MAX_EVENT_BYTES", Kind::Size, "16MiB", "Largest event, or line of a child process."),
        S("upstream.max_answer_bytes", "UPSTREAM_MAX_ANSWER_BYTES", Kind::Size, "32MiB", "Largest answer."),
        S("upstream.max_error_bytes", "UPSTREAM_MAX_ERROR_BYTES", Kind::Size, "64KiB", "How much of an HTTP error is read."),
        S("upstream.max_tools", "UPSTREAM_MAX_TOOLS", Kind::Count, "2000", "Tools of one connection."),
        S("upstream.max_pages", "UPSTREAM_MAX_PAGES", Kind::Count, "100", "Pages of one listing."),
        S("upstream.max_validation_steps", "UPSTREAM_MAX_VALIDATION_STEPS", Kind::Count, "500000", "Steps that checking the arguments of one call against the tool's schema may take, at the worst."),
    ]
}

#[rustfmt::skip]
fn observation() -> Vec<Setting> {
    vec![
        S("log.format", "LOG_FORMAT", Kind::Choice(&["auto", "pretty", "json"]), "auto", "How the log on stderr looks; auto is pretty on a terminal and JSON elsewhere.").flag("log-format", "FORMAT"),
        S("log.filter", "LOG", Kind::Text, "info", "What is logged: a level, or directives such as info,switchboard_broker=debug."),
        S("telemetry.metrics_listen", "METRICS_LISTEN", Kind::Address, "", "Serve /metrics on this address, without authentication: keep it internal.").flag("metrics-listen", "ADDRESS"),
        S("telemetry.metrics_token", "METRICS_TOKEN", Kind::Secret, "", "Serve /metrics on the main listener to who presents this bearer token."),
        S("telemetry.otlp_endpoint", "OTLP_ENDPOINT", Kind::Url, "", "Send traces to this collector (OTLP over HTTP), for example http://127.0.0.1:4318. Off by default."),
        S("telemetry.otlp_headers", "OTLP_HEADERS", Kind::Secret, "", "Headers for the collector: name=value, separated by commas."),
        S("telemetry.service_name", "SERVICE_NAME", Kind::Text, "switchboard", "Name of this process in traces."),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_and_names_are_unique_and_defaults_are_values() {
        let mut names = BTreeSet::new();
        for setting in SETTINGS.iter() {
            assert!(names.insert(setting.key.to_owned()), "{} twice", setting.key);
            assert!(names.insert(setting.environment_name()), "{} twice", setting.environment);
            if !setting.default.is_empty() {
                setting.check(setting.default).expect(setting.key);
            }
            assert!(setting.help.ends_with('.'), "{}", setting.key);
            assert!(
                !setting.is_secret() || setting.default.is_empty(),
                "{}: no default secrets",
                setting.key
            );
        }
    }
}
