//! Registering at an authorization server (RFC 7591) and giving it back (RFC 7592): one registration for each
//! connection, reused for as long as it is good.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use switchboard_domain::{Connection, Timestamp};
use switchboard_oauth::upstream::{Authentication, ClientRequest, IssuedClient};
use switchboard_storage::{UpstreamClientKind, UpstreamClientRow};

use super::{
    ConnectFailure,
    client::{KnownAs, ReadyClient, Secrets},
    client_key::new_key,
    discovery::Found,
    fetch,
};
use crate::{Broker, text};

/// A secret that is over within this is not used for a new sign-in.
const MARGIN: Duration = Duration::from_secs(600);

impl Broker {
    /// Reuses a registration that is good, or makes one.
    pub(super) async fn registered(
        &self,
        connection: &Connection,
        found: &Found,
        endpoint: &str,
    ) -> Result<ReadyClient, ConnectFailure> {
        let redirect_uri = self.callback_of(connection);
        let now = self.clock().now();
        let before = self.stored_client(connection).await?;
        if let Some(row) = &before
            && row.kind == UpstreamClientKind::Dynamic
            && row.issuer.as_deref() == Some(found.server.issuer.as_str())
            && row.redirect_uri == redirect_uri
            && row.expires_at.is_none_or(|at| at > now.plus(MARGIN))
        {
            let client = self.opened(connection, row, found).await?;
            return Ok(ReadyClient { client, redirect_uri, known_as: KnownAs::Stored });
        }
        let issued = self.register(endpoint, &redirect_uri, wanted(connection, found)).await?;
        let generation = before.as_ref().map_or(1, |row| row.generation + 1);
        let row = self.row_of(connection, found, &issued, generation).await?;
        let mut tx = self.db().write().await?;
        if tx.upstream_clients().put(connection.organization, connection.id, &row).await? {
            tx.commit().await?;
            self.give_back(connection, before);
        } else {
            // Somebody else registered at the same time: theirs is the connection's.
            drop(tx);
            self.give_back(connection, Some(row));
        }
        let row = self.stored_client(connection).await?.ok_or_else(ConnectFailure::unavailable)?;
        let client = self.opened(connection, &row, found).await?;
        Ok(ReadyClient { client, redirect_uri, known_as: KnownAs::Stored })
    }

    async fn register(
        &self,
        endpoint: &str,
        redirect_uri: &str,
        authentication: Authentication,
    ) -> Result<IssuedClient, ConnectFailure> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let key = match authentication {
            Authentication::PrivateKeyJwt => Some(new_key().ok_or_else(ConnectFailure::unavailable)?),
            _ => None,
        };
        let request = self.client_request(redirect_uri, authentication);
        let public_key = key.as_ref().map(|(_, public_key)| public_key);
        let body = ClientRequest { public_key, ..request }.to_json().to_string();
        let most = self.0.egress.limits().registration_response_bytes();
        let answer = self.send_body(Method::POST, endpoint, (headers, body.into()), most).await;
        let answer = answer.map_err(|error| ConnectFailure::egress("the provider's registration", &error))?;
        if !(200..300).contains(&answer.status) {
            let said = refusal_in_words(&answer);
            return Err(ConnectFailure::client_needed(
                "registration_refused",
                &format!("The provider refused to register us{said}."),
                redirect_uri,
            ));
        }
        let now = self.clock().now().as_secs();
        let mut issued = IssuedClient::parse(&answer.body, authentication, now, &|url| self.may_ask(url))
            .map_err(ConnectFailure::issued_client)?;
        if issued.authentication == Authentication::PrivateKeyJwt {
            issued.client_secret = key.map(|(key, _)| key);
        }
        Ok(issued)
    }

    async fn row_of(
        &self,
        connection: &Connection,
        found: &Found,
        issued: &IssuedClient,
        generation: i64,
    ) -> Result<UpstreamClientRow, ConnectFailure> {
        let secrets = Secrets {
            client_secret: issued.client_secret.as_ref().map(|secret| secret.expose().to_owned()),
            management_token: issued.management.as_ref().map(|(_, token)| token.expose().to_owned()),
        };
        Ok(UpstreamClientRow {
            kind: UpstreamClientKind::Dynamic,
            issuer: Some(found.server.issuer.clone()),
            client_id: issued.client_id.clone(),
            authentication: issued.authentication.as_str().to_owned(),
            redirect_uri: self.callback_of(connection),
            generation,
            created_at: self.clock().now(),
            expires_at: issued
                .secret_expires_at
                .map(|at| Timestamp::from_micros(at.saturating_mul(1_000_000))),
            management_uri: issued.management.as_ref().map(|(uri, _)| uri.clone()),
            sealed: self.sealed(connection, &secrets, generation).await?,
        })
    }

    /// Takes a registration away at the provider (RFC 7592), in the background: a courtesy, which nothing waits for.
    pub(crate) fn give_back(&self, connection: &Connection, row: Option<UpstreamClientRow>) {
        let Some(row) = row else { return };
        let Some(uri) = row.management_uri.clone() else { return };
        let (broker, of) = (self.clone(), (connection.organization, connection.id));
        self.spawn(async move {
            let Ok(secrets) = broker.secrets(of, &row).await else { return };
            let Some(token) = secrets.management_token.as_deref() else { return };
            let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {token}")) else { return };
            value.set_sensitive(true);
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value);
            let most = broker.0.egress.limits().registration_response_bytes();
            let done = broker.send_body(Method::DELETE, &uri, (headers, Bytes::new()), most).await;
            match done {
                Ok(answer) => tracing::info!(connection = %of.1, status = answer.status, "a registration was given back"),
                Err(error) => tracing::warn!(connection = %of.1, %error, "a registration can't be given back"),
            }
        });
    }
}

/// What an admin chose, or what the provider takes first.
fn wanted(connection: &Connection, found: &Found) -> Authentication {
    let chosen = connection.auth.oauth.as_ref().and_then(|it| it.token_endpoint_auth_method.as_deref());
    let offered = || found.server.authentication.first().copied();
    chosen.and_then(Authentication::from_word).or_else(offered).unwrap_or(Authentication::None)
}

/// What a provider says when it refuses, as far as it says anything.
fn refusal_in_words(answer: &fetch::Answer) -> String {
    let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let words = [said["error"].as_str(), said["error_description"].as_str()];
    let words: Vec<String> = words.into_iter().flatten().map(|word| text::one_line(word, 200)).collect();
    match words.is_empty() {
        true => format!(" (HTTP {})", answer.status),
        false => format!(" ({})", words.join(": ")),
    }
}
