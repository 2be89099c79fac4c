//! Keys as types: wiped when dropped, never printed.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use switchboard_domain::Random;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::cipher::ALGORITHM;

/// 256 bits of key material on the heap, where moving the owner leaves no copy behind.
pub(crate) struct SecretKey {
    bytes: Box<[u8; 32]>,
    digest: [u8; 32],
}

impl SecretKey {
    fn new(bytes: Box<[u8; 32]>) -> Self {
        let digest = Sha256::new().chain_update([ALGORITHM]).chain_update(bytes.as_slice()).finalize().into();
        Self { bytes, digest }
    }

    pub(crate) fn generate(random: &dyn Random) -> Self {
        let mut bytes = Box::new([0; 32]);
        random.fill(bytes.as_mut_slice());
        Self::new(bytes)
    }

    /// Takes over bytes and wipes the copy that was passed.
    pub(crate) fn from_array(mut bytes: [u8; 32]) -> Self {
        let key = Self::new(Box::new(bytes));
        bytes.zeroize();
        key
    }

    /// `None` unless there are exactly 32 bytes.
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut boxed = Box::new([0; 32]);
        if bytes.len() != boxed.len() {
            return None;
        }
        boxed.copy_from_slice(bytes);
        Some(Self::new(boxed))
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// SHA-256 over algorithm and key. With 256 unknown bits in it, the digest tells nothing about the key.
    pub(crate) fn full_digest(&self) -> [u8; 32] {
        self.digest
    }

    pub(crate) fn digest(&self) -> KeyDigest {
        let mut digest = [0; 8];
        digest.copy_from_slice(&self.digest[..8]);
        KeyDigest(digest)
    }

    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.bytes.as_slice().ct_eq(other.bytes.as_slice()).into()
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl ZeroizeOnDrop for SecretKey {}

/// Names a key without telling anything about it: the first 8 bytes of SHA-256 over algorithm and key.
/// Every envelope carries the digest of the key it was sealed with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyDigest(pub [u8; 8]);

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyDigest({self})")
    }
}

/// What one organization's secrets are sealed with. Stored only wrapped (see [`crate::Keyring::wrap`]).
/// Not `Clone`: share it behind an `Arc`, so that it is wiped once and for all.
pub struct DataKey(pub(crate) SecretKey);

impl DataKey {
    pub fn generate(random: &dyn Random) -> Self {
        Self(SecretKey::generate(random))
    }

    /// The digest that stands in every [`crate::Sealed`] of this key; rotation finds rows of older keys by it.
    pub fn digest(&self) -> KeyDigest {
        self.0.digest()
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({}…)", self.digest())
    }
}
