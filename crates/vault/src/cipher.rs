//! The envelope on the level of bytes, and the encoding of associated data; both layers of keys use it.
//!
//! ```text
//! offset  0   version     1
//!         1   algorithm   1 = XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha)
//!         2   key         first 8 bytes of SHA-256(algorithm || key)
//!        10   nonce       24 random bytes: at 2^80 messages per key a repetition is still unlikely
//!        34   ciphertext, then the 16-byte Poly1305 tag
//! ```
//!
//! Version, algorithm and key digest are part of the associated data too, so no byte of an envelope can be changed.

use chacha20poly1305::{
    AeadInOut, KeyInit, XChaCha20Poly1305,
    aead::{Key, Nonce},
};
use switchboard_domain::Random;
use zeroize::Zeroizing;

use crate::key::{KeyDigest, SecretKey};

pub(crate) const VERSION: u8 = 1;
/// XChaCha20-Poly1305.
pub(crate) const ALGORITHM: u8 = 1;
const NONCE_START: usize = 10;
const BODY_START: usize = 34;
const TAG_LENGTH: usize = 16;
pub(crate) const OVERHEAD: usize = BODY_START + TAG_LENGTH;

/// Why bytes did not open; the caller's error says of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CipherError {
    UnknownFormat,
    OtherKey(KeyDigest),
    NotAuthentic,
}

/// Associated data: each part behind its length (32 bits, big endian), so that no two lists of parts give
/// the same bytes. The name of the application comes first: bytes sealed by another program with the same
/// key don't open here.
pub(crate) struct AssociatedData(Vec<u8>);

impl AssociatedData {
    pub(crate) fn new(purpose: &str) -> Self {
        let mut data = Self(Vec::with_capacity(192));
        data.part(b"switchboard").part(purpose.as_bytes());
        data
    }

    pub(crate) fn part(&mut self, bytes: &[u8]) -> &mut Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    fn with_header(mut self, digest: KeyDigest) -> Vec<u8> {
        self.part(&[VERSION, ALGORITHM]).part(&digest.0);
        self.0
    }
}

pub(crate) fn seal(key: &SecretKey, data: AssociatedData, plaintext: &[u8], random: &dyn Random) -> Vec<u8> {
    seal_with_nonce(key, data, plaintext, random.bytes())
}

/// Apart from [`seal`] for the known-answer tests alone: a nonce must never be chosen.
fn seal_with_nonce(key: &SecretKey, data: AssociatedData, plaintext: &[u8], nonce: [u8; 24]) -> Vec<u8> {
    let digest = key.digest();
    let mut sealed = Vec::with_capacity(OVERHEAD + plaintext.len());
    sealed.extend_from_slice(&[VERSION, ALGORITHM]);
    sealed.extend_from_slice(&digest.0);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plaintext);
    let tag = cipher(key)
        .encrypt_inout_detached(
            &Nonce::<XChaCha20Poly1305>::from(nonce),
            &data.with_header(digest),
            (&mut sealed[BODY_START..]).into(),
        )
        .expect("XChaCha20-Poly1305 takes 256 GiB, more than an allocation holds");
    sealed.extend_from_slice(&tag);
    sealed
}

pub(crate) fn open(
    key: &SecretKey,
    data: AssociatedData,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CipherError> {
    let found = digest_of(sealed).ok_or(CipherError::UnknownFormat)?;
    let digest = key.digest();
    if found != digest {
        return Err(CipherError::OtherKey(found));
    }
    let nonce: [u8; 24] =
        sealed[NONCE_START..BODY_START].try_into().map_err(|_| CipherError::UnknownFormat)?;
    let mut plaintext = Zeroizing::new(sealed[BODY_START..].to_vec());
    cipher(key)
        .decrypt_in_place(
            &Nonce::<XChaCha20Poly1305>::from(nonce),
            &data.with_header(digest),
            &mut *plaintext,
        )
        .map_err(|_| CipherError::NotAuthentic)?;
    Ok(plaintext)
}

/// Which key an envelope says it is sealed with; `None` when it is no envelope of a known version.
pub(crate) fn digest_of(sealed: &[u8]) -> Option<KeyDigest> {
    if sealed.len() < OVERHEAD || sealed[..2] != [VERSION, ALGORITHM] {
        return None;
    }
    sealed[2..NONCE_START].try_into().ok().map(KeyDigest)
}

fn cipher(key: &SecretKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(<&Key<XChaCha20Poly1305>>::from(key.bytes()))
}

#[cfg(test)]
#[path = "cipher_tests.rs"]
mod tests;
