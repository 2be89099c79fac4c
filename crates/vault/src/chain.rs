//! The keyed hash of the audit chain: each entry's hash covers its predecessor's, so that an entry that is
//! edited, removed or moved breaks every hash after it, and nobody without the key can repair the chain.
//!
//! The key is derived from a data key with HKDF (RFC 5869) over HMAC-SHA-256. Entries should keep the
//! [`ChainKey::digest`] they were hashed with: after a rotation of data keys, older entries verify with the
//! older one, which therefore has to stay (wrapped) as long as the entries do.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use switchboard_domain::OrganizationId;
use zeroize::Zeroizing;

use crate::key::{DataKey, KeyDigest, SecretKey};

/// Separates this use of a data key from every other.
const SALT: &[u8] = b"switchboard audit chain v1";

/// Hashes one organization's audit entries.
pub struct ChainKey(SecretKey);

impl ChainKey {
    #[must_use]
    pub fn derive(key: &DataKey, organization: OrganizationId) -> Self {
        Self(SecretKey::from_array(derived(SALT, key, organization)))
    }

    /// Names the key, for entries to say which one hashed them.
    pub fn digest(&self) -> KeyDigest {
        self.0.digest()
    }
}

impl fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainKey({}…)", self.digest())
    }
}

/// The hash of an entry: HMAC-SHA-256 over the previous hash (fixed width) and the entry's canonical bytes.
/// The first entry of a chain follows 32 zero bytes.
#[must_use]
pub fn chain_hash(key: &ChainKey, previous: &[u8; 32], canonical: &[u8]) -> [u8; 32] {
    hmac(key.0.bytes(), &[previous, canonical])
}

/// HKDF with one block: a key for one use (`salt`) of one organization's data key.
pub(crate) fn derived(salt: &[u8], key: &DataKey, organization: OrganizationId) -> [u8; 32] {
    let extracted = Zeroizing::new(hmac(salt, &[key.0.bytes()]));
    hmac(extracted.as_slice(), &[organization.as_uuid().as_bytes(), &[1]])
}

/// HMAC-SHA-256 (RFC 2104) over the parts, one after another.
#[must_use]
pub fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use switchboard_domain::SeededRandom;
    use uuid::Uuid;

    use super::*;

    fn organization(number: u128) -> OrganizationId {
        OrganizationId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn hmac_answers_rfc_4231_case_2() {
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let mac = hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(mac.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), expected);
    }

    /// Made by an independent implementation: data key 00…1f, organization 1.
    #[test]
    fn known_answer() {
        let data_key = DataKey(SecretKey::from_slice(&(0..32).collect::<Vec<u8>>()).unwrap());
        let key = ChainKey::derive(&data_key, organization(1));
        let hash = chain_hash(&key, &[0; 32], br#"{"action":"capability.execute"}"#);
        let expected = "5db406cf912a48b05e08d13b694e68d27cfd121ea5a134589b958b72ef472371";
        assert_eq!(hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), expected);
        assert!(!format!("{key:?}").contains("0, 1"), "{key:?}");
    }

    #[test]
    fn a_chain_key_belongs_to_one_data_key_and_one_organization() {
        let random = SeededRandom::new(1);
        let (one, two) = (DataKey::generate(&random), DataKey::generate(&random));
        let first = ChainKey::derive(&one, organization(1));
        assert_eq!(first.digest(), ChainKey::derive(&one, organization(1)).digest());
        assert_ne!(first.digest(), ChainKey::derive(&one, organization(2)).digest());
        assert_ne!(first.digest(), ChainKey::derive(&two, organization(1)).digest());
        assert_ne!(first.digest(), one.digest(), "the data key itself is never used as a chain key");
    }

    #[test]
    fn a_hash_depends_on_key_predecessor_and_entry() {
        let random = SeededRandom::new(2);
        let key = ChainKey::derive(&DataKey::generate(&random), organization(1));
        let other = ChainKey::derive(&DataKey::generate(&random), organization(1));
        let hash = chain_hash(&key, &[0; 32], b"entry");
        assert_eq!(hash, chain_hash(&key, &[0; 32], b"entry"));
        assert_ne!(hash, chain_hash(&other, &[0; 32], b"entry"));
        assert_ne!(hash, chain_hash(&key, &[1; 32], b"entry"));
        assert_ne!(hash, chain_hash(&key, &[0; 32], b"entrz"));
    }
}
