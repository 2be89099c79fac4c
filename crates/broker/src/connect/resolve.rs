//! What a URL, host or product name is: looked up in the list of known servers, then asked without a token. Nothing is
//! stored, nobody is registered anywhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchboard_catalog::{find_known_servers, known_servers_checked_at, similar_known_servers};
use switchboard_domain::{
    AuthConfig, AuthType, Connection, ConnectionId, ConnectionOwner, ConnectionStatus, CredentialMode,
    Principal, Status, Switches, ToolFilter, Transport,
};
use url::Url;

use super::{ConnectFailure, discovery::Found};
use crate::{
    Broker, maintenance,
    manage::{Operation, Refusal, Target, authorize},
    text,
    upstream::{Proof, UpstreamAuth, UpstreamError},
};

/// A name or address to look at.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Resolve)]
pub struct ResolveInput {
    /// A URL, a host or the name of a product.
    pub query: String,
    /// For a known server whose address has places in braces (`url_template`): what goes there.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
}

/// An address that was asked.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Candidate {
    pub url: String,
    #[schema(value_type = String)]
    pub transport: Transport,
    /// It answered as an MCP server does, or asked who we are.
    pub found: bool,
    /// What a connection to it would need; `null` when that is not known.
    #[schema(value_type = Option<String>)]
    pub auth_type: Option<AuthType>,
    /// With `oauth`: who issues its tokens.
    pub issuer: Option<String>,
    /// With `oauth`, how a connection would become known there: `client_metadata`, `dynamic`, or `static` when only a
    /// client made at the provider will do.
    pub registration: Option<&'static str>,
    /// What it calls itself. Untrusted.
    pub server_name: Option<String>,
    /// Where it is not found, or can't be signed in to: a stable code …
    pub reason: Option<&'static str>,
    /// … and a sentence.
    pub message: Option<String>,
}

/// What was found for a name or address.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Probed)]
pub struct ResolvedNow {
    /// Known servers that fit; where none does and there was nothing to ask, those whose name is nearly that.
    #[schema(value_type = Vec<Object>)]
    pub matches: Vec<&'static Value>,
    /// Addresses that were asked, best first.
    pub candidates: Vec<Candidate>,
    /// When the list of known servers was last gone through.
    pub checked_at: &'static str,
}

impl Broker {
    /// Looks a server up and asks it, as one that has no token.
    pub async fn resolve_now(
        &self,
        principal: &Principal,
        input: &ResolveInput,
    ) -> Result<ResolvedNow, Refusal> {
        let _allowed = authorize(principal, Operation::ProbeServer, Target::Organization)?;
        let query = input.query.trim();
        if query.is_empty() || query.len() > 2048 {
            return Err(Refusal::invalid("validation_failed", "`query`: Name a URL, a host or a product."));
        }
        let mut matches = find_known_servers(query);
        let mut candidates = Vec::new();
        for (url, transport) in addresses(query, &matches, &input.variables) {
            let candidate = self.probe(principal, &url, transport).await;
            let found = candidate.found;
            candidates.push(candidate);
            if found {
                break;
            }
        }
        candidates.sort_by_key(|candidate| !candidate.found);
        if matches.is_empty() && candidates.is_empty() {
            matches = similar_known_servers(query);
        }
        Ok(ResolvedNow { matches, candidates, checked_at: known_servers_checked_at() })
    }

    async fn probe(&self, principal: &Principal, url: &str, transport: Transport) -> Candidate {
        let mut candidate = Candidate {
            url: url.to_owned(),
            transport,
            found: false,
            auth_type: None,
            issuer: None,
            registration: None,
            server_name: None,
            reason: None,
            message: None,
        };
        let imagined = self.imagined(principal, url, transport);
        let permit = maintenance::check(imagined.organization, imagined.id);
        let proof = Proof::Background(&permit);
        match self.upstreams().fresh_session(proof, &imagined, UpstreamAuth::default()).await {
            Ok(session) => {
                let name = session.greeting().server_name.as_deref();
                candidate.server_name = name.map(|name| text::one_line(name, 100));
                candidate.found = true;
                candidate.auth_type = Some(AuthType::None);
                session.close().await;
            }
            Err(UpstreamError::Unauthorized { challenge, .. }) => {
                candidate.found = true;
                self.probe_authorization(&imagined, challenge.as_deref(), &mut candidate).await;
            }
            Err(error) => {
                let failure = ConnectFailure::upstream(&error);
                candidate.reason = Some(failure.reason);
                // What is wrong with the address as it was written is more to the point.
                let why = self.upstreams().egress().explain_url(url);
                candidate.message = Some(why.map_or(failure.message, str::to_owned));
            }
        }
        candidate
    }

    /// OAuth, or a key: by what the challenge says, or where it says nothing, by what the server says of itself.
    async fn probe_authorization(
        &self,
        imagined: &Connection,
        challenge: Option<&str>,
        candidate: &mut Candidate,
    ) {
        let challenge =
            challenge.and_then(|header| switchboard_oauth::upstream::BearerChallenge::parse([header]));
        if challenge.as_ref().is_some_and(|challenge| !challenge.is_oauth()) {
            candidate.auth_type = Some(AuthType::ApiKey);
            return;
        }
        match self.discover(imagined).await {
            // Nothing but an assumption: a server that only takes keys says no more than this.
            Ok(found) if found.is_assumed && challenge.is_none() => {
                candidate.auth_type = Some(AuthType::ApiKey);
            }
            Ok(found) => {
                candidate.auth_type = Some(AuthType::OAuth);
                candidate.registration = Some(self.way_in(imagined, &found));
                candidate.issuer = Some(found.server.issuer);
            }
            Err(failure) => {
                candidate.auth_type = challenge.is_some().then_some(AuthType::OAuth);
                candidate.reason = Some(failure.reason);
                candidate.message = Some(failure.message);
            }
        }
    }

    fn way_in(&self, imagined: &Connection, found: &Found) -> &'static str {
        let server = Url::parse(&imagined.url).ok();
        let serves = |server: &Url| {
            self.0.connect.clients.iter().any(|client| client.serves(server, &found.server.issuer))
        };
        let operator = server.as_ref().is_some_and(serves);
        let reads = found.server.reads_client_documents && self.client_document_url(imagined).is_some();
        match found.server.registration_endpoint {
            _ if operator => "static",
            _ if reads => "client_metadata",
            Some(_) => "dynamic",
            None => "static",
        }
    }

    /// A connection that is not there: enough of one to be asked for.
    fn imagined(&self, principal: &Principal, url: &str, transport: Transport) -> Connection {
        let now = self.clock().now();
        Connection {
            id: ConnectionId::new(self.clock(), self.random()),
            organization: principal.organization,
            owner: ConnectionOwner::Organization,
            slug: "probe".parse().expect("it is a slug"),
            name: text::one_line(url, 200),
            url: url.to_owned(),
            transport,
            auth_type: AuthType::OAuth,
            auth: AuthConfig::default(),
            credential_mode: CredentialMode::Shared,
            switches: Switches::default(),
            tools: ToolFilter::default(),
            external_key: None,
            status: Status::new(ConnectionStatus::Checking, now),
            era: None,
            instructions: None,
            created_at: now,
            updated_at: now,
            revision: 1,
        }
    }
}

/// Where to ask, in order: what is known first, then where servers usually are.
fn addresses(
    query: &str,
    matches: &[&'static Value],
    variables: &BTreeMap<String, String>,
) -> Vec<(String, Transport)> {
    let transport = |server: &Value| match server["transport"].as_str() {
        Some("sse") => Transport::Sse,
        _ => Transport::StreamableHttp,
    };
    if query.contains("://") {
        let known = matches.iter().find(|server| server["url"] == query).map(|server| transport(server));
        return over_both_or_where_servers_are(query, known);
    }
    let exact = matches.iter().find(|server| {
        [&server["slug"], &server["name"]]
            .iter()
            .any(|it| it.as_str().is_some_and(|it| it.eq_ignore_ascii_case(query)))
    });
    if let Some(server) = exact.or_else(|| matches.first().filter(|_| matches.len() == 1)) {
        let filled = server["url_template"].as_str().and_then(|template| filled(template, variables));
        let url = filled.or_else(|| server["url"].as_str().map(str::to_owned));
        return url.map(|url| (url, transport(server))).into_iter().collect();
    }
    match with_scheme(query) {
        Some(url) => over_both_or_where_servers_are(&url, None),
        None => Vec::new(),
    }
}

/// An address without its scheme, as people copy it: `mcp.example.com`, `example.com/v1/mcp`, `localhost:3001`. Plain
/// HTTP is meant at this machine and at private addresses, where next to nobody has a certificate.
fn with_scheme(text: &str) -> Option<String> {
    let authority = text.split(['/', '?', '#']).next().unwrap_or_default();
    let parsed = url::Url::parse(&format!("http://{authority}")).ok()?;
    let is_near = match parsed.host()? {
        url::Host::Ipv4(address) => address.is_loopback() || address.is_private(),
        url::Host::Ipv6(address) => address.is_loopback() || address.is_unique_local(),
        url::Host::Domain(name) if name == "localhost" || name.ends_with(".localhost") => true,
        url::Host::Domain(_) if authority.contains('.') => false,
        url::Host::Domain(_) => return None,
    };
    Some(format!("{}://{text}", if is_near { "http" } else { "https" }))
}

/// A whole address is asked over both transports; of one that names no path it is not known where its endpoint is.
fn over_both_or_where_servers_are(url: &str, known: Option<Transport>) -> Vec<(String, Transport)> {
    let origin = url.trim_end_matches('/');
    if known.is_none() && origin.split_once("://").is_some_and(|(_, rest)| !rest.contains(['/', '?', '#'])) {
        return vec![
            (format!("{origin}/mcp"), Transport::StreamableHttp),
            (format!("{origin}/sse"), Transport::Sse),
            (format!("{origin}/"), Transport::StreamableHttp),
        ];
    }
    let first =
        known.unwrap_or(if origin.ends_with("/sse") { Transport::Sse } else { Transport::StreamableHttp });
    let other = if first == Transport::Sse { Transport::StreamableHttp } else { Transport::Sse };
    vec![(url.to_owned(), first), (url.to_owned(), other)]
}

/// The template with every place filled, or nothing: one name or label each, so that nobody adds a path or a host.
fn filled(template: &str, variables: &BTreeMap<String, String>) -> Option<String> {
    let plain = |value: &str| {
        let letters = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        !value.is_empty() && letters && !value.starts_with('.')
    };
    let mut url = template.to_owned();
    for (name, value) in variables.iter().filter(|(_, value)| plain(value)) {
        url = url.replace(&format!("{{{name}}}"), value);
    }
    (!url.contains(['{', '}']) && !url.contains("...")).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str, variables: &[(&str, &str)]) -> Vec<String> {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let found = addresses(query, &find_known_servers(query), &variables);
        found.into_iter().map(|(url, _)| url).collect()
    }

    #[test]
    fn people_write_what_they_have() {
        assert_eq!(asked("linear", &[]), ["https://mcp.linear.app/mcp"]);
        assert_eq!(asked("Linear", &[]), ["https://mcp.linear.app/mcp"]);
        let exact = "https://mcp.linear.app/mcp";
        assert_eq!(asked(exact, &[]), [exact, exact], "over both transports");
        let guesses =
            ["https://mcp.example.org/mcp", "https://mcp.example.org/sse", "https://mcp.example.org/"];
        for origin in
            ["mcp.example.org", "mcp.example.org/", "https://mcp.example.org", "https://mcp.example.org/"]
        {
            assert_eq!(asked(origin, &[]), guesses, "{origin}");
        }
        let with_port = ["http://127.0.0.1:3001/mcp", "http://127.0.0.1:3001/sse", "http://127.0.0.1:3001/"];
        assert_eq!(asked("127.0.0.1:3001", &[]), with_port);
        for (written, meant) in [
            ("localhost:3001/mcp", "http://localhost:3001/mcp"),
            ("[::1]:3001/mcp", "http://[::1]:3001/mcp"),
            ("10.1.2.3/mcp", "http://10.1.2.3/mcp"),
            ("example.org:8443/v1/mcp", "https://example.org:8443/v1/mcp"),
        ] {
            assert_eq!(asked(written, &[]), [meant, meant]);
        }
        assert!(asked("no such product anywhere", &[]).is_empty());
    }

    #[test]
    fn an_address_with_places_takes_names_and_nothing_else() {
        let host = [("host", "git.example.org")];
        assert_eq!(asked("gitlab", &host), ["https://git.example.org/api/v4/mcp"]);
        for bad in ["evil.example/x", "a@b", "", "..", "a#b", "a b"] {
            assert_eq!(asked("gitlab", &[("host", bad)]), ["https://gitlab.com/api/v4/mcp"], "{bad}");
        }
    }
}
