//! Clients that prove themselves with a private key (`private_key_jwt`, RFC 7523): each request to the provider carries an
//! assertion that is signed for it alone, and the key itself never leaves.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use switchboard_domain::{AssertionAudience, ConnectionId, SecretValue};
use switchboard_oauth::upstream::{AssertionTerms, ClientAssertion};
use switchboard_vault::ClientKey;

use super::{ConnectFailure, discovery::Found};
use crate::{Broker, UpstreamClient};

/// A key that is made here, with its public half.
pub(crate) fn new_key() -> Option<(SecretValue, BTreeMap<String, String>)> {
    let key = SecretValue::new(ClientKey::generate()?.as_str());
    let public_key = ClientKey::read(key.expose()).ok()?.public();
    Some((key, public_key))
}

/// What assertions with this key have to be like at the provider that was found.
pub(crate) fn assertion_terms(
    key: &SecretValue,
    audience: AssertionAudience,
    found: &Found,
) -> Result<AssertionTerms, ConnectFailure> {
    let key = ClientKey::read(key.expose()).map_err(|_| {
        ConnectFailure::new(
            "client_unreadable",
            "The private key of the OAuth client can't be read. Enter it again, or have a new one made.",
        )
    })?;
    let server = &found.server;
    let taken = &server.signing_algorithms;
    let fits = |algorithm: &&&str| taken.is_empty() || taken.iter().any(|it| it == **algorithm);
    let algorithm = key.algorithms().iter().find(fits).ok_or_else(|| {
        ConnectFailure::new(
            "client_key_not_taken",
            format!(
                "The private key of the OAuth client signs with {}, and the provider verifies only {}. Use another key.",
                key.algorithms().join(" or "),
                crate::text::one_line(&taken.join(", "), 200),
            ),
        )
    })?;
    // Of endpoints that an admin wrote, nobody knows the issuer.
    let audience = match audience {
        AssertionAudience::Issuer if !found.by_hand => &server.issuer,
        _ => &server.token_endpoint,
    };
    Ok(AssertionTerms { audience: audience.clone(), algorithm: (*algorithm).to_owned() })
}

impl Broker {
    /// For one request. `None` of a client that proves itself otherwise, and of one whose key does not sign: it then
    /// proves nothing, and is refused.
    pub(super) fn assertion(&self, client: &UpstreamClient) -> Option<SecretValue> {
        let terms = client.terms.as_ref()?;
        let key = ClientKey::read(client.secret.as_ref()?.expose());
        let key = key
            .inspect_err(|error| tracing::error!(%error, "the key of an OAuth client can't be read"))
            .ok()?;
        let id = URL_SAFE_NO_PAD.encode(self.random().bytes::<16>());
        let assertion = ClientAssertion {
            client_id: &client.id,
            terms,
            key_id: key.id(),
            id: &id,
            now: self.clock().now().as_secs(),
        };
        let input = assertion.signing_input();
        let signature = key.sign(&terms.algorithm, input.as_bytes())?;
        Some(SecretValue::new(ClientAssertion::signed(&input, &signature)))
    }

    /// Where the public half of the key of a connection's client is.
    pub(crate) fn client_keys_url(&self, connection: ConnectionId) -> String {
        format!("{}/oauth/client-jwks/{connection}.json", self.issuer())
    }

    /// The set of public keys (RFC 7517 section 5) for the provider of a connection; `None` when there is none, or no such
    /// connection.
    pub fn client_public_keys(&self, connection: ConnectionId) -> Option<Value> {
        let snapshots = self.all_snapshots();
        let known = snapshots.iter().find_map(|snapshot| snapshot.connections.get(&connection))?;
        known.connection.auth.client_public_key().map(|key| json!({ "keys": [key] }))
    }
}
