//! Connecting third-party MCP servers with OAuth: we are the client there.
//!
//! Read in the order of a sign-in: [`discovery`](self) (whose tokens does the server take), `client` (as whom are we
//! known there), `start` (a member begins, their browser is sent away), `finish` (it comes back, tokens are stored and
//! tools listed). What strangers say is read by `switchboard_oauth::upstream`; where it may be asked decides `egress`.
//!
//! Three bindings keep one person's account from ending up in another's hands: the state belongs to the member who
//! began and to the browser that was sent away (THREATS O4), every connection has a callback address of its own (O3),
//! and tokens and clients stay with the issuer that they came from (O6).

mod client;
mod client_key;
mod discovery;
mod failure;
mod fetch;
mod finish;
mod prepare;
mod registration;
mod resolve;
mod start;
mod token_endpoint;

use switchboard_domain::{AssertionAudience, Connection, SecretValue, Slug};
use switchboard_egress::HostPattern;
use switchboard_oauth::upstream::ClientRequest;
use url::Url;

use crate::Broker;

pub(crate) use client_key::{assertion_terms, new_key};
pub use switchboard_oauth::upstream::Authentication;

pub use failure::ConnectFailure;
pub(crate) use fetch::PATIENCE;
pub use finish::{Callback, Finished};
pub use resolve::{Candidate, ResolveInput, ResolvedNow};
pub use start::{AuthorizationView, StartedAuthorization};
pub(crate) use token_endpoint::{TokenRequestError, authenticated_form};

/// What the operator decides about signing in at third-party servers.
#[derive(Debug, Clone, Default)]
pub struct ConnectSettings {
    /// Where providers find our client metadata documents, with `{connection_id}` in it. Without one it is below the
    /// public URL, when that is https.
    pub client_metadata_url: Option<String>,
    /// Clients that the operator made at providers, for connections of those issuers.
    pub clients: Vec<OperatorClient>,
}

/// A client for the whole deployment, from the operator's configuration file.
#[derive(Debug, Clone)]
pub struct OperatorClient {
    pub name: Slug,
    pub issuer: String,
    /// Where the tokens that it gets may go. What a server says of itself decides which issuer is asked: without this, any
    /// server that names the issuer would be sent tokens that people there gave to the operator's client.
    pub hosts: Vec<HostPattern>,
    pub client_id: String,
    /// Its private key, with `private_key_jwt`.
    pub client_secret: Option<SecretValue>,
    pub authentication: Option<Authentication>,
    pub assertion_audience: AssertionAudience,
}

impl OperatorClient {
    /// Whether tokens of this issuer for this server are got with it.
    fn serves(&self, server: &Url, issuer: &str) -> bool {
        self.issuer == issuer && self.hosts.iter().any(|host| host.names(server))
    }
}

impl Broker {
    /// Where a provider sends people back to for this connection, and for no other.
    pub(crate) fn callback_of(&self, connection: &Connection) -> String {
        format!("{}/oauth/callback/{}", self.issuer(), connection.id)
    }

    /// The address of our client metadata document for this connection, where providers can read it.
    fn client_document_url(&self, connection: &Connection) -> Option<String> {
        let settings = &self.0.connect;
        match &settings.client_metadata_url {
            Some(template) => Some(template.replace("{connection_id}", &connection.id.to_string())),
            None => (self.public_url().scheme() == "https")
                .then(|| format!("{}/oauth/client-metadata/{}.json", self.issuer(), connection.id)),
        }
    }

    /// What we say of ourselves to the provider of one connection.
    fn client_request<'r>(
        &'r self,
        redirect_uri: &'r str,
        authentication: Authentication,
    ) -> ClientRequest<'r> {
        ClientRequest {
            name: "Switchboard",
            uri: self.public_url().as_str(),
            redirect_uri,
            authentication,
            public_key: None,
        }
    }

    /// The client metadata document of a connection. Without a key that an admin wanted for it, it is made of its address
    /// alone: whether there is such a connection is nobody's business.
    pub fn client_document(&self, connection: switchboard_domain::ConnectionId) -> serde_json::Value {
        let address = match &self.0.connect.client_metadata_url {
            Some(template) => template.replace("{connection_id}", &connection.to_string()),
            None => format!("{}/oauth/client-metadata/{connection}.json", self.issuer()),
        };
        let callback = format!("{}/oauth/callback/{connection}", self.issuer());
        let keys = self.client_public_keys(connection).is_some();
        let method = if keys { Authentication::PrivateKeyJwt } else { Authentication::None };
        let mut document = self.client_request(&callback, method).document(&address);
        if keys {
            document["jwks_uri"] = serde_json::json!(self.client_keys_url(connection));
        }
        document
    }
}
