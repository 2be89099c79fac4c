//! The key that a connection signs the identity of its callers with: made when it is first wanted, sealed, and published
//! as a JSON Web Key (RFC 8037) under an address of the connection's own.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use switchboard_domain::{Connection, ConnectionId};
use switchboard_storage::{ConnectionKeyRow, SealedWith};
use switchboard_vault::{SealContext, SigningKey, open, seal};

use super::CredentialError;
use crate::Broker;

/// A key, open, with the name it is published under (RFC 7638).
#[derive(Debug, Clone)]
pub(crate) struct ConnectionKey {
    pub(crate) key: Arc<SigningKey>,
    pub(crate) id: Arc<str>,
}

impl ConnectionKey {
    fn of(key: SigningKey) -> Self {
        let id = thumbprint(key.public_key()).into();
        Self { key: Arc::new(key), id }
    }
}

/// RFC 7638 section 3: members in their order, nothing between.
fn thumbprint(public_key: &[u8]) -> String {
    let x = URL_SAFE_NO_PAD.encode(public_key);
    let canonical = format!("{{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"{x}\"}}");
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
}

fn context(connection: &Connection) -> SealContext {
    SealContext {
        organization: connection.organization,
        table: "connection_key",
        row: connection.id.as_uuid(),
        owner: None,
        field: "sealed",
        version: 1,
    }
}

impl Broker {
    /// The key of a connection; the first who asks makes it.
    pub(crate) async fn connection_key(
        &self,
        connection: &Connection,
    ) -> Result<ConnectionKey, CredentialError> {
        if let Some(key) = self.credentials().signing.get(&connection.id) {
            return Ok(key);
        }
        let (organization, id) = (connection.organization, connection.id);
        let found = self.db().single().await?.connection_keys().find(organization, id).await?;
        let row = match found {
            Some(row) => row,
            None => self.make_connection_key(connection).await?,
        };
        let SealedWith { data_key, sealed } = &row.sealed;
        let data_key = self.credentials().keys.by_id(organization, *data_key).await?;
        let data_key = data_key.ok_or(CredentialError::Unavailable)?;
        let seed = open(&data_key.key, &context(connection), sealed).map_err(|error| {
            tracing::error!(connection = %id, %error, "the key of a connection can't be opened");
            CredentialError::Unavailable
        })?;
        let key = SigningKey::from_seed(&seed).ok_or(CredentialError::Unavailable)?;
        let key = ConnectionKey::of(key);
        self.credentials().signing.insert(id, key.clone());
        Ok(key)
    }

    async fn make_connection_key(
        &self,
        connection: &Connection,
    ) -> Result<ConnectionKeyRow, CredentialError> {
        let (organization, id) = (connection.organization, connection.id);
        let key = SigningKey::generate(self.random()).ok_or(CredentialError::Unavailable)?;
        let data_key = self.credentials().keys.active(organization).await?;
        let sealed = seal(&data_key.key, &context(connection), key.seed(), self.random());
        let row = ConnectionKeyRow {
            public_key: key.public_key().to_vec(),
            created_at: self.clock().now(),
            sealed: SealedWith { data_key: data_key.id, sealed },
        };
        let mut tx = self.db().write().await?;
        let is_first = tx.connection_keys().insert(organization, id, &row).await?;
        tx.commit().await?;
        if is_first {
            return Ok(row);
        }
        let found = self.db().single().await?.connection_keys().find(organization, id).await?;
        found.ok_or(CredentialError::Missing)
    }

    /// Where the public half of a connection's key is.
    pub(crate) fn connection_keys_url(&self, connection: ConnectionId) -> String {
        format!("{}/oauth/jwks/{connection}.json", self.issuer())
    }

    /// The set of public keys (RFC 7517 section 5); `None` when there is none, or no such connection.
    pub async fn public_keys(&self, connection: ConnectionId) -> Result<Option<Value>, CredentialError> {
        let snapshots = self.all_snapshots();
        let of = snapshots.iter().find(|snapshot| snapshot.connections.contains_key(&connection));
        let Some(organization) = of.map(|snapshot| snapshot.organization.id) else { return Ok(None) };
        let found = self.db().single().await?.connection_keys().find(organization, connection).await?;
        Ok(found.map(|row| {
            json!({ "keys": [{
                "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(&row.public_key),
                "kid": thumbprint(&row.public_key), "use": "sig", "alg": "EdDSA",
            }] })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037 appendix A.3.
    #[test]
    fn a_key_is_named_by_its_thumbprint() {
        let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        assert_eq!(thumbprint(&x), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
