//! Who asks: clients that registered, clients known by a document at their `client_id`.

use std::{fmt, net::IpAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use switchboard_domain::{COMMAND_LINE, OauthClientId, SecretValue, Timestamp};
use switchboard_egress::{Deadlines, Redirects, Request};
use switchboard_oauth::{
    ClientAuthentication, ClientDocument, ErrorCode, OauthError, RedirectUri, Registration, fingerprint,
    is_client_document_url, well_known_client,
};
use switchboard_storage::{OauthClient, OauthClientKind, Tx};
use switchboard_vault::{TokenKind, issue};

use super::{AuthorizationError, settings::check};
use crate::{Broker, text};

/// How long a document is believed that says nothing on it, and a copy of one that can't be had.
const FRESH: Duration = Duration::from_secs(3600);
const FRESHEST: Duration = Duration::from_secs(300);
const STALEST: Duration = Duration::from_secs(24 * 3600);
/// Within which a client that registered is allowed, if it ever is: the person is sitting there.
const CHANCE: Duration = Duration::from_secs(3600);
/// Whatever went wrong with a document, this is all that is said: who asks is nobody yet, and what an address answers is
/// not theirs to learn (THREATS E8). The operator's log says which.
const NO_DOCUMENT: &str = "this client's metadata document can't be had from its address";

/// A client that just registered; its secret is shown this once.
#[derive(Debug)]
pub struct RegisteredClient {
    pub client: OauthClient,
    pub authentication: ClientAuthentication,
    pub secret: Option<SecretValue>,
}

impl Broker {
    /// Whether clients may register themselves.
    pub fn takes_registrations(&self) -> bool {
        self.settings().authorization.dynamic_registration
    }

    /// Dynamic registration (RFC 7591). What the client says of itself is kept as its word only.
    pub async fn register_oauth_client(
        &self,
        registration: Registration,
        source: Option<IpAddr>,
    ) -> Result<RegisteredClient, AuthorizationError> {
        if !self.takes_registrations() {
            let text = "clients can't register themselves here (setting `oauth.dynamic_registration`): use one with a \
                        metadata document, or ask an admin to make a client";
            return Err(OauthError::new(ErrorCode::AccessDenied, text).into());
        }
        check(&self.0.authorization_limits.registrations, source, "oauth.registrations_per_minute")?;
        let now = self.clock().now();
        let id = OauthClientId::new(self.clock(), self.random());
        let secret = (registration.authentication != ClientAuthentication::None)
            .then(|| issue(TokenKind::ClientSecret, self.random()));
        let client = OauthClient {
            id,
            client_id: id.to_string(),
            kind: OauthClientKind::Dynamic,
            owner: None,
            name: text::one_line(&registration.name, 100),
            redirect_uris: texts(&registration.redirect_uris),
            secret_hash: secret.as_ref().map(|secret| secret.hash.0),
            fingerprint: fingerprint(&registration.name, &registration.redirect_uris, &[]),
            created_at: now,
            fresh_until: None,
            last_used_at: None,
            expires_at: Some(now.plus(self.settings().authorization.unused_client_lifetime)),
            disabled_at: None,
            source: source.map(|source| source.to_string()),
            scopes: None,
        };
        let mut tx = self.db().write().await?;
        self.make_room(&mut tx).await?;
        tx.oauth_clients().insert(&client).await?;
        tx.commit().await?;
        // It is of no organization yet, so it is in nobody's audit log before somebody allows it.
        tracing::info!(client = %client.client_id, name = %client.name, "an AI client registered");
        Ok(RegisteredClient {
            client,
            authentication: registration.authentication,
            secret: secret.map(|secret| secret.secret),
        })
    }

    /// Clients that nobody allowed are bounded in number. Where there are too many, those go that had their chance; a
    /// flood then keeps new ones out for as long as it lasts and pushes out none that is about to be allowed.
    async fn make_room(&self, tx: &mut Tx) -> Result<(), AuthorizationError> {
        let most = u64::from(self.settings().authorization.max_unused_clients);
        if tx.oauth_clients().count_unused().await? < most {
            return Ok(());
        }
        let before = self.clock().now().minus(CHANCE);
        if tx.oauth_clients().forget_unused(before).await? > 0 {
            return Ok(());
        }
        Err(AuthorizationError::TooMany { limit: "oauth.max_unused_clients", retry_after: CHANCE.as_secs() })
    }

    /// The client of this id, its document read again when that is due.
    pub async fn oauth_client(
        &self,
        client_id: &str,
        source: Option<IpAddr>,
    ) -> Result<OauthClient, AuthorizationError> {
        let now = self.clock().now();
        let known = self.db().single().await?.oauth_clients().find(client_id).await?;
        let stale = |client: &OauthClient| {
            client.kind == OauthClientKind::Document && client.fresh_until.is_none_or(|until| until <= now)
        };
        match known {
            Some(client) if client.disabled_at.is_some() || client.expires_at.is_some_and(|at| at <= now) => {
                Err(unknown())
            }
            Some(client) if !stale(&client) => Ok(client),
            None if client_id == COMMAND_LINE => self.first_party_client().await,
            None if !is_client_document_url(client_id) => Err(unknown()),
            known => self.read_document(client_id, known, source).await,
        }
    }

    async fn read_document(
        &self,
        client_id: &str,
        known: Option<OauthClient>,
        source: Option<IpAddr>,
    ) -> Result<OauthClient, AuthorizationError> {
        let now = self.clock().now();
        let limits = &self.0.authorization_limits;
        check(&limits.fetches_of_source, source, "oauth.client_documents_per_source_per_minute")?;
        if limits.fetches.check().is_err() {
            return Err(AuthorizationError::TooMany {
                limit: "oauth.client_documents_per_minute",
                retry_after: 30,
            });
        }
        let began = tokio::time::Instant::now();
        let (document, fresh_until) = match self.fetch_document(client_id).await {
            Ok((document, fresh)) => (document, now.plus(fresh)),
            Err(error) => {
                tracing::info!(client = client_id, error = error.why, "a client's document can't be had");
                match (known, well_known_client(client_id)) {
                    // The last good copy goes on; the next sign-in tries again.
                    (Some(client), _) => return Ok(client),
                    (None, Some(copy)) => (copy, now.plus(FRESH)),
                    (None, None) => {
                        if error.asked {
                            // Closed port, silence, no such name: all take as long.
                            tokio::time::sleep_until(
                                began + self.settings().authorization.client_document_timeout,
                            )
                            .await;
                        }
                        return Err(AuthorizationError::invalid_client(NO_DOCUMENT));
                    }
                }
            }
        };
        self.keep_document(client_id, document, fresh_until).await
    }

    async fn keep_document(
        &self,
        client_id: &str,
        document: ClientDocument,
        fresh_until: Timestamp,
    ) -> Result<OauthClient, AuthorizationError> {
        let now = self.clock().now();
        let mut client = OauthClient {
            id: OauthClientId::new(self.clock(), self.random()),
            client_id: client_id.to_owned(),
            kind: OauthClientKind::Document,
            owner: None,
            name: text::one_line(&document.name, 100),
            redirect_uris: texts(&document.redirect_uris),
            secret_hash: None,
            fingerprint: document.fingerprint,
            created_at: now,
            fresh_until: Some(fresh_until),
            last_used_at: None,
            expires_at: Some(now.plus(self.settings().authorization.unused_client_lifetime)),
            disabled_at: None,
            source: None,
            scopes: None,
        };
        let mut tx = self.db().write().await?;
        if !tx.oauth_clients().insert(&client).await? {
            let before = tx.oauth_clients().find(client_id).await?.ok_or_else(unknown)?;
            client = OauthClient { id: before.id, ..client };
            tx.oauth_clients().update_document(&client, now).await?;
        }
        let client = tx.oauth_clients().find(client_id).await?.ok_or_else(unknown)?;
        tx.commit().await?;
        Ok(client)
    }

    /// The document and how long it is good. Nothing is followed, nothing but JSON of status 200 is read. Anybody may
    /// name the address, so it has to be a public one.
    async fn fetch_document(&self, client_id: &str) -> Result<(ClientDocument, Duration), NoDocument> {
        let egress = &self.0.public_egress;
        let url = egress.check_url(client_id).map_err(|error| NoDocument::before(&error))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let most = egress.limits().client_metadata_bytes();
        let fetch = self.settings().authorization.client_document_timeout;
        let request = Request {
            method: Method::GET,
            url,
            headers,
            body: Bytes::new(),
            deadlines: Deadlines { total: fetch, first_byte: fetch, idle: fetch },
            max_wire_bytes: most,
            max_inflated_bytes: most,
            redirects: Redirects::Refuse,
            accept_gzip: false,
        };
        let response = egress.send(request).await.map_err(|error| NoDocument::after(&error))?;
        if response.status != StatusCode::OK {
            return Err(NoDocument::after(&format!("status {}", response.status.as_u16())));
        }
        let kind = response.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or("").trim().to_ascii_lowercase();
        if essence != "application/json" && !essence.ends_with("+json") {
            return Err(NoDocument::after(&"not JSON"));
        }
        let fresh = freshness(&response.headers);
        let body = response.body.collect_bytes().await.map_err(|error| NoDocument::after(&error))?;
        let document = ClientDocument::parse(client_id, &body).map_err(|error| NoDocument::after(&error))?;
        Ok((document, fresh))
    }
}

/// Why a document can't be had: for the log.
struct NoDocument {
    why: String,
    /// Whether its address was asked; if not, its text alone was wrong.
    asked: bool,
}

impl NoDocument {
    fn before(why: &dyn fmt::Display) -> Self {
        Self { why: why.to_string(), asked: false }
    }

    fn after(why: &dyn fmt::Display) -> Self {
        Self { why: why.to_string(), asked: true }
    }
}

fn unknown() -> AuthorizationError {
    AuthorizationError::invalid_client("this client is not known here, or no longer: register it again")
}

fn texts(uris: &[RedirectUri]) -> Vec<String> {
    uris.iter().map(|uri| uri.as_str().to_owned()).collect()
}

/// `max-age` of `Cache-Control`, within bounds of ours.
fn freshness(headers: &HeaderMap) -> Duration {
    let control = headers.get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or("");
    let seconds = control.split(',').find_map(|part| part.trim().strip_prefix("max-age=")?.parse().ok());
    seconds.map_or(FRESH, Duration::from_secs).clamp(FRESHEST, STALEST)
}
