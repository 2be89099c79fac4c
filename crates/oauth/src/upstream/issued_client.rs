//! Becoming known to an authorization server (RFC 7591), as the one who asks.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use switchboard_domain::SecretValue;

use super::{Allowed, is_object, is_visible, server_metadata::Authentication};

/// Longest client id or secret that is kept.
const MAX_LENGTH: usize = 4096;

/// What we say of ourselves, to an authorization server or in a client metadata document.
#[derive(Debug, Clone, Copy)]
pub struct ClientRequest<'a> {
    pub name: &'a str,
    /// Our own address, for people.
    pub uri: &'a str,
    pub redirect_uri: &'a str,
    pub authentication: Authentication,
    /// With `private_key_jwt`: the public key, as a JSON Web Key.
    pub public_key: Option<&'a BTreeMap<String, String>>,
}

impl ClientRequest<'_> {
    /// The body of a registration.
    pub fn to_json(self) -> Value {
        // A program on somebody's own machine may be sent its answer over http; everything else is a web application.
        let loopback = self.redirect_uri.starts_with("http://");
        let mut request = json!({
            "client_name": self.name,
            "client_uri": self.uri,
            "redirect_uris": [self.redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": self.authentication.as_str(),
            "application_type": if loopback { "native" } else { "web" },
        });
        if let Some(key) = self.public_key {
            request["jwks"] = json!({ "keys": [key] });
            request["token_endpoint_auth_signing_alg"] = json!(key.get("alg"));
        }
        request
    }

    /// The document that is found at `client_id` (draft-ietf-oauth-client-id-metadata-document).
    pub fn document(self, client_id: &str) -> Value {
        let mut document = self.to_json();
        document["client_id"] = json!(client_id);
        document
    }
}

/// A client as an authorization server knows it.
#[derive(Debug, Clone)]
pub struct IssuedClient {
    pub client_id: String,
    pub client_secret: Option<SecretValue>,
    /// Seconds since the Unix epoch.
    pub secret_expires_at: Option<i64>,
    pub authentication: Authentication,
    /// Where and with what it can be taken away again (RFC 7592).
    pub management: Option<(String, SecretValue)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssuedClientError {
    #[error("the answer is no JSON object with a `client_id`")]
    Shape,
    #[error("the `client_id` or `client_secret` has characters that none may have")]
    Characters,
    #[error("the address to manage the registration at may not be asked from here")]
    NotAllowed,
    #[error("the secret is over already")]
    Expired,
    #[error("it wants a way of client authentication that is not known here")]
    Authentication,
}

#[derive(Deserialize)]
struct Answer {
    client_id: String,
    client_secret: Option<String>,
    client_secret_expires_at: Option<Value>,
    token_endpoint_auth_method: Option<String>,
    registration_client_uri: Option<String>,
    registration_access_token: Option<String>,
}

impl IssuedClient {
    /// `asked` is what was asked for, `now` seconds since the Unix epoch.
    pub fn parse(
        body: &[u8],
        asked: Authentication,
        now: i64,
        allowed: Allowed<'_>,
    ) -> Result<Self, IssuedClientError> {
        use IssuedClientError as E;
        if !is_object(body) {
            return Err(E::Shape);
        }
        let answer: Answer = serde_json::from_slice(body).map_err(|_| E::Shape)?;
        let secret = answer.client_secret.filter(|secret| !secret.is_empty());
        let good = |text: &str| is_visible(text, MAX_LENGTH);
        if !good(&answer.client_id) || !secret.as_deref().is_none_or(good) {
            return Err(E::Characters);
        }
        let secret_expires_at =
            answer.client_secret_expires_at.as_ref().and_then(Value::as_i64).filter(|at| *at > 0);
        if secret.is_some() && secret_expires_at.is_some_and(|at| at <= now) {
            return Err(E::Expired);
        }
        let management = match (answer.registration_client_uri, answer.registration_access_token) {
            (Some(uri), _) if !allowed(&uri) => return Err(E::NotAllowed),
            (Some(uri), Some(token)) if good(&token) => Some((uri, SecretValue::new(token))),
            _ => None,
        };
        let authentication = match (answer.token_endpoint_auth_method.as_deref(), &secret) {
            (Some(word), secret) => {
                let method = Authentication::from_word(word).ok_or(E::Authentication)?;
                match (method, secret) {
                    (Authentication::PrivateKeyJwt, _) if asked != method => return Err(E::Authentication),
                    (Authentication::PrivateKeyJwt, _) | (_, Some(_)) => method,
                    (_, None) => Authentication::None,
                }
            }
            (None, None) if asked == Authentication::PrivateKeyJwt => asked,
            (None, None) => Authentication::None,
            (None, Some(_)) if asked == Authentication::None => Authentication::ClientSecretBasic,
            (None, Some(_)) => asked,
        };
        Ok(Self {
            client_id: answer.client_id,
            client_secret: secret.map(SecretValue::new),
            secret_expires_at,
            authentication,
            management,
        })
    }
}
