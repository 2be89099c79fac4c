//! As whom we are known at an authorization server: by an admin's client, the operator's, our metadata document, or a
//! registration (`registration.rs`), in this order (MCP authorization, client registration).

use serde::{Deserialize, Serialize};
use switchboard_domain::{
    AssertionAudience, ClientRegistration, Connection, ConnectionId, OrganizationId, SecretValue,
};
use switchboard_oauth::upstream::Authentication;
use switchboard_storage::{Sealed, UpstreamClientKind, UpstreamClientRow};
use switchboard_vault::{SealContext, open, seal};
use url::Url;
use zeroize::{Zeroize as _, Zeroizing};

use super::{ConnectFailure, OperatorClient, assertion_terms, discovery::Found};
use crate::{Broker, UpstreamClient};

/// How we are known there; kept while a person is away at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KnownAs {
    /// Stored for the connection: an admin's client, or a registration.
    Stored,
    /// By the address of our document.
    Document,
    /// The operator's, by its name.
    Operator(String),
}

/// A client, ready to be used, with where its people come back to.
#[derive(Debug, Clone)]
pub(crate) struct ReadyClient {
    pub(crate) client: UpstreamClient,
    pub(crate) redirect_uri: String,
    pub(crate) known_as: KnownAs,
}

/// What of a client is sealed.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Secrets {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) management_token: Option<String>,
}

impl Drop for Secrets {
    fn drop(&mut self) {
        self.client_secret.zeroize();
        self.management_token.zeroize();
    }
}

fn context(organization: OrganizationId, connection: ConnectionId, generation: i64) -> SealContext {
    SealContext {
        organization,
        table: "upstream_client",
        row: connection.as_uuid(),
        owner: None,
        field: "secret",
        version: generation,
    }
}

impl Broker {
    /// The client to sign people in as; registers when that is what it takes.
    pub(super) async fn client_for(
        &self,
        connection: &Connection,
        found: &Found,
    ) -> Result<ReadyClient, ConnectFailure> {
        let config = connection.auth.oauth.clone().unwrap_or_default();
        let callback = self.callback_of(connection);
        if config.client_id.is_some() {
            return self.admins_client(connection, found).await;
        }
        use ClientRegistration as R;
        let choice = config.registration;
        if matches!(choice, R::Auto | R::Static)
            && let Some(client) = self.operators_client(connection, found)
        {
            return client;
        }
        let server = &found.server;
        if choice == R::ClientMetadata || (choice == R::Auto && server.reads_client_documents) {
            if let Some(address) = self.client_document_url(connection) {
                let client = self.documented_client(connection, address, found).await?;
                return Ok(ReadyClient { client, redirect_uri: callback, known_as: KnownAs::Document });
            }
            if choice == R::ClientMetadata {
                return Err(ConnectFailure::new(
                    "client_metadata_unreachable",
                    "The provider would have to read our client metadata document, and can't: the public URL of \
                     Switchboard is not https.",
                ));
            }
        }
        match (choice, &server.registration_endpoint) {
            (R::Auto | R::Dynamic, Some(endpoint)) => self.registered(connection, found, endpoint).await,
            (R::Dynamic, None) => Err(ConnectFailure::client_needed(
                "registration_not_offered",
                "The provider lets nobody register by program.",
                &callback,
            )),
            _ => Err(ConnectFailure::client_needed(
                "client_required",
                "The provider knows only clients that somebody made there.",
                &callback,
            )),
        }
    }

    /// The same client as when the person was sent away.
    pub(super) async fn client_again(
        &self,
        connection: &Connection,
        (known_as, client_id): (&KnownAs, &str),
        found: &Found,
    ) -> Result<UpstreamClient, ConnectFailure> {
        let gone = || {
            ConnectFailure::new(
                "client_changed",
                "The OAuth client of this connection was changed meanwhile. Start again.",
            )
        };
        let client = match known_as {
            KnownAs::Document => self.documented_client(connection, client_id.to_owned(), found).await?,
            KnownAs::Operator(name) => {
                let ready = self.operators_client(connection, found).ok_or_else(gone)??;
                if !matches!(&ready.known_as, KnownAs::Operator(now) if now == name) {
                    return Err(gone());
                }
                ready.client
            }
            KnownAs::Stored => {
                let row = self.stored_client(connection).await?.ok_or_else(gone)?;
                self.opened(connection, &row, found).await?
            }
        };
        if client.id == client_id { Ok(client) } else { Err(gone()) }
    }

    /// Our client as it proves itself today, towards the authorization server that once issued tokens to it: with what is
    /// stored for the connection now, or with the operator's. `None` when an admin has named another client since: tokens
    /// belong to the one that they were issued to.
    pub(crate) async fn client_of_today(
        &self,
        connection: &Connection,
        (then, issuer): (UpstreamClient, &str),
    ) -> Result<Option<UpstreamClient>, ConnectFailure> {
        let config = connection.auth.oauth.clone().unwrap_or_default();
        if config.client_id.as_ref().is_some_and(|id| *id != then.id) {
            return Ok(None);
        }
        let server = Url::parse(&connection.url).ok();
        let serves =
            |client: &&OperatorClient| server.as_ref().is_some_and(|server| client.serves(server, issuer));
        let mut operators = self.0.connect.clients.iter();
        let mut same =
            operators.clone().filter(|client| client.issuer == issuer && client.client_id == then.id);
        // The operator's client, at a server that it is not for, or not any more.
        if config.client_id.is_none() && same.clone().next().is_some() && !same.any(|client| serves(&client))
        {
            return Ok(None);
        }
        let (organization, id) = (connection.organization, connection.id);
        let known = self.db().single().await?.upstream_issuers().find(organization, id).await?;
        let found = known.and_then(|known| serde_json::from_value::<Found>(known.found).ok());
        // What is stored now goes to the server that it is of, and to no other.
        let Some(found) = found.filter(|found| found.server.issuer == issuer) else { return Ok(Some(then)) };
        let is_it = |client: &&OperatorClient| client.client_id == then.id && serves(client);
        if let (None, Some(client)) = (&config.client_id, operators.find(is_it)) {
            return operator_client(client, &found).map(Some);
        }
        let row = self.stored_client(connection).await?;
        let row = row.filter(|row| row.client_id == then.id);
        let Some(row) = row.filter(|row| row.issuer.as_deref().is_none_or(|bound| bound == issuer)) else {
            return Ok(Some(then));
        };
        let mut client = self.opened(connection, &row, &found).await?;
        if row.kind == UpstreamClientKind::Static && config.token_endpoint_auth_method.is_none() {
            client.method = best_method(&found.server.authentication, client.secret.is_some());
        }
        Ok(Some(client))
    }

    fn operators_client(
        &self,
        connection: &Connection,
        found: &Found,
    ) -> Option<Result<ReadyClient, ConnectFailure>> {
        let server = Url::parse(&connection.url).ok()?;
        let is_it = |client: &&OperatorClient| client.serves(&server, &found.server.issuer);
        let client = self.0.connect.clients.iter().find(is_it)?;
        let ready = |opened| ReadyClient {
            client: opened,
            redirect_uri: format!("{}/oauth/callback/client/{}", self.issuer(), client.name),
            known_as: KnownAs::Operator(client.name.to_string()),
        };
        Some(operator_client(client, found).map(ready))
    }

    /// As our document says: anybody, or whoever has the key that is published with it.
    async fn documented_client(
        &self,
        connection: &Connection,
        address: String,
        found: &Found,
    ) -> Result<UpstreamClient, ConnectFailure> {
        let config = connection.auth.oauth.clone().unwrap_or_default();
        if config.public_key.is_none() {
            return Ok(UpstreamClient {
                id: address,
                secret: None,
                method: Authentication::None,
                terms: None,
            });
        }
        let row = self.stored_client(connection).await?;
        let row = row.filter(|row| row.kind == UpstreamClientKind::Document).ok_or_else(unreadable)?;
        let client = self.opened(connection, &row, found).await?;
        Ok(UpstreamClient { id: address, ..client })
    }

    async fn admins_client(
        &self,
        connection: &Connection,
        found: &Found,
    ) -> Result<ReadyClient, ConnectFailure> {
        let row = self.stored_client(connection).await?;
        let row = row.filter(|row| row.kind == UpstreamClientKind::Static).ok_or_else(|| {
            ConnectFailure::client_needed(
                "client_required",
                "The client id has no client stored with it.",
                &self.callback_of(connection),
            )
        })?;
        if row.issuer.as_ref().is_some_and(|issuer| *issuer != found.server.issuer) {
            return Err(ConnectFailure::client_needed(
                "client_of_other_issuer",
                "The client that is stored was made at another authorization server, and its secret goes nowhere else.",
                &self.callback_of(connection),
            ));
        }
        if row.issuer.is_none() {
            let mut tx = self.db().write().await?;
            let (organization, id) = (connection.organization, connection.id);
            tx.upstream_clients().bind(organization, id, &found.server.issuer).await?;
            tx.commit().await?;
        }
        let mut client = self.opened(connection, &row, found).await?;
        let chosen = connection.auth.oauth.as_ref().and_then(|it| it.token_endpoint_auth_method.as_deref());
        if chosen.is_none() {
            client.method = best_method(&found.server.authentication, client.secret.is_some());
        }
        let redirect_uri = self.callback_of(connection);
        Ok(ReadyClient { client, redirect_uri, known_as: KnownAs::Stored })
    }

    /// Stores the client that an admin made at the provider, or the key that goes with our document, in place of any
    /// other.
    pub(crate) async fn put_client(
        &self,
        connection: &Connection,
        secret: Option<&SecretValue>,
    ) -> Result<(), ConnectFailure> {
        let config = connection.auth.oauth.clone().unwrap_or_default();
        let (kind, client_id) = match config.client_id {
            Some(client_id) => (UpstreamClientKind::Static, client_id),
            None => {
                let address = self.client_document_url(connection).unwrap_or_default();
                (UpstreamClientKind::Document, address)
            }
        };
        let before = self.stored_client(connection).await?;
        let generation = before.as_ref().map_or(1, |row| row.generation + 1);
        let secrets = Secrets {
            client_secret: secret.map(|secret| secret.expose().to_owned()),
            management_token: None,
        };
        let otherwise =
            if secret.is_some() { Authentication::ClientSecretBasic } else { Authentication::None };
        let method = config.token_endpoint_auth_method.unwrap_or_else(|| otherwise.as_str().to_owned());
        let row = UpstreamClientRow {
            kind,
            issuer: None,
            client_id,
            authentication: method,
            redirect_uri: self.callback_of(connection),
            generation,
            created_at: self.clock().now(),
            expires_at: None,
            management_uri: None,
            sealed: self.sealed(connection, &secrets, generation).await?,
        };
        let mut tx = self.db().write().await?;
        tx.upstream_clients().put(connection.organization, connection.id, &row).await?;
        tx.commit().await?;
        self.give_back(connection, before);
        Ok(())
    }

    /// Forgets the client of a connection, and at the provider too where we registered.
    pub(crate) async fn drop_client(&self, connection: &Connection) -> Result<(), ConnectFailure> {
        let before = self.stored_client(connection).await?;
        let mut tx = self.db().write().await?;
        tx.upstream_clients().delete(connection.organization, connection.id).await?;
        tx.commit().await?;
        self.give_back(connection, before);
        Ok(())
    }

    pub(crate) async fn stored_client(
        &self,
        connection: &Connection,
    ) -> Result<Option<UpstreamClientRow>, ConnectFailure> {
        let mut reader = self.db().single().await?;
        Ok(reader.upstream_clients().find(connection.organization, connection.id).await?)
    }

    pub(super) async fn sealed(
        &self,
        connection: &Connection,
        secrets: &Secrets,
        generation: i64,
    ) -> Result<Option<(switchboard_domain::DataKeyId, Sealed)>, ConnectFailure> {
        if secrets.client_secret.is_none() && secrets.management_token.is_none() {
            return Ok(None);
        }
        let plain = serde_json::to_vec(secrets).map(Zeroizing::new);
        let plain = plain.map_err(|_| ConnectFailure::unavailable())?;
        let key = self.0.keys.active(connection.organization).await?;
        let context = context(connection.organization, connection.id, generation);
        Ok(Some((key.id, seal(&key.key, &context, &plain, self.random()))))
    }

    pub(super) async fn secrets(
        &self,
        (organization, connection): (OrganizationId, ConnectionId),
        row: &UpstreamClientRow,
    ) -> Result<Secrets, ConnectFailure> {
        let Some((key, sealed)) = &row.sealed else { return Ok(Secrets::default()) };
        let key = self.0.keys.by_id(organization, *key).await?.ok_or_else(unreadable)?;
        let plain = open(&key.key, &context(organization, connection, row.generation), sealed);
        let plain = plain.map_err(|error| {
            tracing::error!(%connection, %error, "the secret of an OAuth client can't be opened");
            unreadable()
        })?;
        serde_json::from_slice(&plain).map_err(|_| unreadable())
    }

    pub(super) async fn opened(
        &self,
        connection: &Connection,
        row: &UpstreamClientRow,
        found: &Found,
    ) -> Result<UpstreamClient, ConnectFailure> {
        let secrets = self.secrets((connection.organization, connection.id), row).await?;
        let config = connection.auth.oauth.clone().unwrap_or_default();
        // What an admin chose since counts; of a registration, what was registered.
        let chosen = config.token_endpoint_auth_method.filter(|_| row.kind != UpstreamClientKind::Dynamic);
        let method = chosen.as_deref().unwrap_or(&row.authentication);
        let method = Authentication::from_word(method).ok_or_else(unreadable)?;
        let id = row.client_id.clone();
        client_of(
            (id, secrets.client_secret.as_deref().map(SecretValue::new)),
            method,
            (config.assertion_audience, found),
        )
    }
}

/// A client, ready to prove itself at the provider that was found.
fn client_of(
    (id, secret): (String, Option<SecretValue>),
    method: Authentication,
    (audience, found): (AssertionAudience, &Found),
) -> Result<UpstreamClient, ConnectFailure> {
    let terms = match (method, &secret) {
        (Authentication::PrivateKeyJwt, Some(key)) => Some(assertion_terms(key, audience, found)?),
        (Authentication::PrivateKeyJwt, None) => return Err(unreadable()),
        _ => None,
    };
    Ok(UpstreamClient { id, secret, method, terms })
}

fn unreadable() -> ConnectFailure {
    ConnectFailure::new(
        "client_unreadable",
        "The stored OAuth client can't be opened. Enter its client id and secret or key again.",
    )
}

fn operator_client(client: &OperatorClient, found: &Found) -> Result<UpstreamClient, ConnectFailure> {
    let otherwise = match client.client_secret {
        Some(_) => Authentication::ClientSecretBasic,
        None => Authentication::None,
    };
    let proof = (client.client_id.clone(), client.client_secret.clone());
    client_of(proof, client.authentication.unwrap_or(otherwise), (client.assertion_audience, found))
}

/// Of those that need no key: a key is somebody's choice.
fn best_method(offered: &[Authentication], has_secret: bool) -> Authentication {
    let fits = |method: &&Authentication| match method {
        Authentication::ClientSecretBasic | Authentication::ClientSecretPost => has_secret,
        Authentication::None => !has_secret,
        Authentication::PrivateKeyJwt => false,
    };
    let otherwise = if has_secret { Authentication::ClientSecretBasic } else { Authentication::None };
    offered.iter().find(fits).copied().unwrap_or(otherwise)
}
