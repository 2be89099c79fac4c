//! Whose tokens a server takes: its challenge, its own metadata, its authorization server's (MCP authorization,
//! 2026-07-28; the fallback of 2025-03-26 for servers that have neither).

use serde::{Deserialize, Serialize};
use switchboard_domain::{AuthType, Connection, OauthConfig};
use switchboard_oauth::upstream::{BearerChallenge, ProtectedResource, ServerMetadata};
use switchboard_storage::UpstreamIssuer;
use url::Url;

use super::ConnectFailure;
use crate::{
    Broker, maintenance,
    upstream::{Proof, UpstreamAuth, UpstreamError},
};

/// A server that names ever more scopes is not followed for ever.
const MAX_STEPPED_UP: usize = 50;

/// What was found for one connection; kept while a person is away at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Found {
    /// What tokens are asked for (RFC 8707).
    pub(crate) resource: String,
    /// The least that the server says is needed.
    pub(crate) scopes: Vec<String>,
    pub(crate) server: ServerMetadata,
    /// An admin wrote the endpoints: who answers there was not found out.
    pub(crate) by_hand: bool,
    /// What calls turned out to need beyond that (RFC 6750, `insufficient_scope`).
    #[serde(default)]
    pub(crate) stepped_up: Vec<String>,
    /// Nobody said where the endpoints are: they are where servers of 2025-03-26 had them.
    pub(crate) is_assumed: bool,
}

/// What the server itself says, before its authorization server was asked.
struct Asked {
    resource: String,
    scopes: Vec<String>,
    /// Issuers, as written; `None` of a server that says nothing of itself.
    servers: Option<Vec<String>>,
}

impl Broker {
    /// Asks the server and then its authorization server. Changes nothing.
    pub(crate) async fn discover(&self, connection: &Connection) -> Result<Found, ConnectFailure> {
        let config = connection.auth.oauth.clone().unwrap_or_default();
        let known =
            self.db().single().await?.upstream_issuers().find(connection.organization, connection.id).await?;
        if let Some(mut found) = by_hand(connection, &config) {
            found.stepped_up = known.as_ref().map(stepped_up).unwrap_or_default();
            add_scopes(&mut found.scopes, &found.stepped_up);
            return Ok(found);
        }
        let stepped_up = known.as_ref().map(stepped_up).unwrap_or_default();
        let accepted = config.issuer.clone().or(known.map(|known| known.issuer));
        let challenge = self.challenge(connection).await?;
        let asked = self.ask_resource(connection, challenge).await?;
        let (server, is_assumed) = match &asked.servers {
            Some(servers) => (self.one_of(connection, servers, accepted.as_deref()).await?, false),
            None => self.beside(connection, accepted.as_deref()).await?,
        };
        let mut scopes = config.scopes.unwrap_or(asked.scopes);
        add_scopes(&mut scopes, &stepped_up);
        // Without it many providers issue no refresh token; asked for only where it is offered.
        let offline = "offline_access";
        if !scopes.is_empty()
            && server.refreshes
            && server.offers_scope(offline)
            && !scopes.iter().any(|it| it == offline)
        {
            scopes.push(offline.to_owned());
        }
        Ok(Found { resource: asked.resource, scopes, server, by_hand: false, stepped_up, is_assumed })
    }

    /// A server refused a call for scopes that its token lacks: what was asked for grows by them, and whoever connects
    /// again is asked for all. `false` when they were asked for before: asking again would not help.
    pub(crate) async fn step_up(
        &self,
        connection: &Connection,
        wanted: &[String],
    ) -> Result<bool, ConnectFailure> {
        let (organization, id) = (connection.organization, connection.id);
        let mut tx = self.db().write().await?;
        let Some(mut known) = tx.upstream_issuers().find(organization, id).await? else { return Ok(false) };
        let Ok(mut found) = serde_json::from_value::<Found>(known.found.clone()) else { return Ok(false) };
        let before = found.stepped_up.len();
        let asked = found.scopes.clone();
        let new: Vec<String> = wanted.iter().filter(|scope| !asked.contains(scope)).cloned().collect();
        add_scopes(&mut found.stepped_up, &new);
        if found.stepped_up.len() == before || found.stepped_up.len() > MAX_STEPPED_UP {
            return Ok(false);
        }
        known.found = serde_json::to_value(&found).map_err(|_| ConnectFailure::unavailable())?;
        tx.upstream_issuers().put(organization, id, &known).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Remembers who issues this connection's tokens, so that another one is noticed.
    pub(crate) async fn remember_issuer(
        &self,
        connection: &Connection,
        found: &Found,
    ) -> Result<(), ConnectFailure> {
        let issuer = UpstreamIssuer {
            issuer: found.server.issuer.clone(),
            found_at: self.clock().now(),
            found: serde_json::to_value(found).map_err(|_| ConnectFailure::unavailable())?,
        };
        let mut tx = self.db().write().await?;
        tx.upstream_issuers().put(connection.organization, connection.id, &issuer).await?;
        Ok(tx.commit().await?)
    }

    /// What the server says to who has no token.
    async fn challenge(&self, connection: &Connection) -> Result<Option<BearerChallenge>, ConnectFailure> {
        let permit = maintenance::check(connection.organization, connection.id);
        let opened = self
            .upstreams()
            .fresh_session(Proof::Background(&permit), connection, UpstreamAuth::default())
            .await;
        match opened {
            Ok(session) => {
                session.close().await;
                Ok(None)
            }
            Err(UpstreamError::Unauthorized { challenge, .. }) => {
                Ok(challenge.as_deref().and_then(|header| BearerChallenge::parse([header])))
            }
            Err(error @ UpstreamError::Egress(_)) => Err(ConnectFailure::upstream(&error)),
            // It may want a token before it says anything sensible.
            Err(_) => Ok(None),
        }
    }

    async fn ask_resource(
        &self,
        connection: &Connection,
        challenge: Option<BearerChallenge>,
    ) -> Result<Asked, ConnectFailure> {
        let url = self.0.egress.check_url(&connection.url);
        let url = url.map_err(|refused| ConnectFailure::egress("the server", &refused.into()))?;
        let url = url.url();
        let challenge = challenge.unwrap_or_default();
        let wanted = challenge.scopes;
        let allowed = |url: &str| self.may_ask(url);
        for location in self.resource_locations(url, challenge.resource_metadata)? {
            let Some(body) = self.document(&location).await? else { continue };
            let resource = ProtectedResource::parse(&body, url, &allowed)
                .map_err(|error| ConnectFailure::resource(&location, error))?;
            return Ok(Asked {
                resource: resource.resource,
                scopes: wanted.unwrap_or(resource.scopes_supported),
                servers: Some(resource.authorization_servers),
            });
        }
        Ok(Asked { resource: connection.url.clone(), scopes: wanted.unwrap_or_default(), servers: None })
    }

    /// Where the challenge says, or the two well-known places. An address that may not be asked ends it.
    fn resource_locations(&self, url: &Url, named: Option<String>) -> Result<Vec<String>, ConnectFailure> {
        let Some(named) = named else { return Ok(ProtectedResource::locations(url)) };
        if let Err(refused) = self.0.egress.check_url(&named) {
            return Err(ConnectFailure::egress("the server's metadata", &refused.into()));
        }
        Ok(std::iter::once(named).chain(ProtectedResource::locations(url)).collect())
    }

    /// The first of the named servers that can be used, or the one that was used before. Another one than before is
    /// an admin's decision.
    async fn one_of(
        &self,
        connection: &Connection,
        servers: &[String],
        accepted: Option<&str>,
    ) -> Result<ServerMetadata, ConnectFailure> {
        if let Some(accepted) = accepted {
            if !servers.iter().any(|server| server == accepted) {
                return Err(ConnectFailure::server_changed(accepted, servers));
            }
            return self.server_metadata(connection, accepted).await;
        }
        let mut first_failure = None;
        for server in servers {
            match self.server_metadata(connection, server).await {
                Ok(metadata) => return Ok(metadata),
                Err(failure) => first_failure.get_or_insert(failure),
            };
        }
        Err(first_failure.unwrap_or_else(|| not_found("the server")))
    }

    async fn server_metadata(
        &self,
        connection: &Connection,
        issuer: &str,
    ) -> Result<ServerMetadata, ConnectFailure> {
        let parse = match connection.auth_type {
            AuthType::ClientCredentials => ServerMetadata::parse_for_clients,
            _ => ServerMetadata::parse,
        };
        let allowed = |url: &str| self.may_ask(url);
        for (kind, location) in ServerMetadata::locations(issuer) {
            let Some(body) = self.document(&location).await? else { continue };
            return parse(&body, kind, issuer, &allowed)
                .map_err(|error| ConnectFailure::server(&location, error));
        }
        Err(not_found(issuer))
    }

    /// A server that says nothing of itself is its own authorization server (revision 2025-03-26): at its origin are
    /// metadata, or the endpoints that everybody assumed then.
    async fn beside(
        &self,
        connection: &Connection,
        accepted: Option<&str>,
    ) -> Result<(ServerMetadata, bool), ConnectFailure> {
        let url = Url::parse(&connection.url).map_err(|_| not_found(&connection.url))?;
        let origin = url.origin().ascii_serialization();
        let allowed = |url: &str| self.may_ask(url);
        let mut server = None;
        for (kind, location) in ServerMetadata::locations(&origin) {
            let Some(body) = self.document(&location).await? else { continue };
            // Nobody wrote the issuer down, so both of its spellings are the one that was asked.
            let parsed = ServerMetadata::parse(&body, kind, &origin, &allowed)
                .or_else(|_| ServerMetadata::parse(&body, kind, &format!("{origin}/"), &allowed));
            server = Some(parsed.map_err(|error| ConnectFailure::server(&location, error))?);
            break;
        }
        let is_assumed = server.is_none();
        let server = server.unwrap_or_else(|| ServerMetadata::assumed(&origin));
        match accepted {
            Some(accepted) if accepted != server.issuer => {
                Err(ConnectFailure::server_changed(accepted, &[server.issuer]))
            }
            _ => Ok((server, is_assumed)),
        }
    }
}

/// As a union: nothing that was granted is given up by asking for more.
fn add_scopes(scopes: &mut Vec<String>, more: &[String]) {
    for scope in more {
        if !scopes.contains(scope) {
            scopes.push(scope.clone());
        }
    }
}

fn stepped_up(known: &UpstreamIssuer) -> Vec<String> {
    serde_json::from_value::<Found>(known.found.clone()).map(|found| found.stepped_up).unwrap_or_default()
}

fn not_found(issuer: &str) -> ConnectFailure {
    ConnectFailure::new(
        "authorization_server_not_found",
        format!(
            "The authorization server {issuer} does not say where its endpoints are. If you know them, enter them by \
             hand with a client id."
        ),
    )
}

fn by_hand(connection: &Connection, config: &OauthConfig) -> Option<Found> {
    let (authorization, token) =
        (config.authorization_endpoint.as_deref()?, config.token_endpoint.as_deref()?);
    let issuer = Url::parse(token).ok()?.origin().ascii_serialization();
    Some(Found {
        resource: connection.url.clone(),
        scopes: config.scopes.clone().unwrap_or_default(),
        server: ServerMetadata::by_hand(&issuer, authorization, token),
        by_hand: true,
        stepped_up: Vec::new(),
        is_assumed: false,
    })
}
