//! The private key of a client that proves itself with one (`private_key_jwt`): pasted, or made here. Only its public half
//! is ever read.

use std::collections::BTreeMap;

use switchboard_domain::SecretValue;
use switchboard_vault::ClientKey;

use super::refusal::Violations;
use crate::connect::new_key;

/// A public key, as a JSON Web Key (RFC 7517).
pub(crate) type PublicKey = BTreeMap<String, String>;

pub(crate) const PRIVATE_KEY_JWT: &str = "private_key_jwt";

/// The key to seal with its public half: the one that was given, or a new one.
pub(crate) fn client_key(
    path: &str,
    given: Option<SecretValue>,
    violations: &mut Violations,
) -> Option<(SecretValue, PublicKey)> {
    let Some(key) = given else { return new_key() };
    match ClientKey::read(key.expose()) {
        Ok(read) => Some((key, read.public())),
        Err(error) => {
            violations.add(path, error.to_string());
            None
        }
    }
}
