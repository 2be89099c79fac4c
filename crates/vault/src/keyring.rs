//! Key-encryption keys: what wraps data keys, kept outside the database.
//!
//! A keyring is a short text, one key a line; the first wraps, all of them unwrap:
//!
//! ```text
//! # comment
//! kek_6zq… 3q2-7w…            id and 32 bytes in base64; the id is a digest of the key and reveals a typo
//! kek_1af… …                  an older key, still needed by data keys that were not re-wrapped
//! ```
//!
//! The id may be left out, so that `openssl rand -base64 32` makes a key that can be pasted into a setting;
//! where a setting takes one line only, commas separate the keys.

use std::fmt;

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use switchboard_domain::{DataKeyId, KeyEncryptionKeyId, OrganizationId, Random, SecretValue};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    cipher::{self, AssociatedData, CipherError},
    key::{DataKey, SecretKey},
};

const SENTINEL: &[u8] = b"switchboard key-encryption key sentinel";
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a text is not a keyring. Lines count from 1; the text itself is never repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    #[error(
        "there is no key in it: expected a line with 32 random bytes in base64, such as `openssl rand -base64 32` prints"
    )]
    Empty,
    #[error(
        "line {line} is not a key: expected 32 random bytes in base64, with or without their `kek_…` id in front"
    )]
    NotAKey { line: usize },
    #[error(
        "line {line} is damaged: the key on it is not the key {expected} that it is called; restore it from its backup"
    )]
    Damaged { line: usize, expected: KeyEncryptionKeyId },
    #[error("the key on line {line} is not random; make one with `openssl rand -base64 32`")]
    Weak { line: usize },
}

/// Why a data key did not unwrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnwrapError {
    /// Another process may have rotated: read the key file again before giving up.
    #[error("the data key is wrapped with {0}, which this process does not have")]
    UnknownKey(KeyEncryptionKeyId),
    #[error("the wrapped data key is not in a format that this version knows")]
    UnknownFormat,
    #[error("the wrapped data key was changed, or belongs to another organization")]
    NotAuthentic,
}

/// A data key as stored: which key-encryption key wraps it, and the wrapping.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey {
    pub kek_id: KeyEncryptionKeyId,
    pub bytes: Vec<u8>,
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappedKey({} bytes, {})", self.bytes.len(), self.kek_id)
    }
}

struct Kek {
    id: KeyEncryptionKeyId,
    key: SecretKey,
}

impl Kek {
    fn new(key: SecretKey) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&key.full_digest()[..16]);
        Self { id: KeyEncryptionKeyId::from_uuid(Uuid::from_bytes(id)), key }
    }
}

/// The key-encryption keys of this process: one primary, older ones for reading.
pub struct Keyring {
    primary: Kek,
    older: Vec<Kek>,
}

impl Keyring {
    /// A keyring of one new key. Keep it before anything is wrapped with it (see [`crate::key_file`]).
    pub fn generate(random: &dyn Random) -> Self {
        Self { primary: Kek::new(SecretKey::generate(random)), older: Vec::new() }
    }

    /// Reads the text form, from a file or a setting.
    pub fn parse(text: &SecretValue) -> Result<Self, KeyringError> {
        Self::parse_text(text.expose())
    }

    pub(crate) fn parse_text(text: &str) -> Result<Self, KeyringError> {
        let mut keys = Vec::<Kek>::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            for text in line.split(',') {
                let kek = parse_key(text, index + 1)?;
                if keys.iter().all(|known| known.id != kek.id) {
                    keys.push(kek);
                }
            }
        }
        let mut keys = keys.into_iter();
        let primary = keys.next().ok_or(KeyringError::Empty)?;
        Ok(Self { primary, older: keys.collect() })
    }

    /// The text form, primary first: for the key file alone.
    pub(crate) fn to_text(&self) -> Zeroizing<String> {
        // Sized beforehand: a buffer that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(128 * (1 + self.older.len())));
        for kek in self.keks() {
            text.push_str(&kek.id.to_string());
            text.push(' ');
            BASE64.encode_string(kek.key.bytes(), &mut text);
            text.push('\n');
        }
        text
    }

    /// The same keys behind a new primary: first step of a rotation.
    #[must_use]
    pub(crate) fn with_new_primary(self, random: &dyn Random) -> Self {
        let mut older = self.older;
        older.insert(0, self.primary);
        Self { primary: Kek::new(SecretKey::generate(random)), older }
    }

    /// Without an older key; the primary stays. Last step of a rotation.
    #[must_use]
    pub(crate) fn without(mut self, id: KeyEncryptionKeyId) -> Self {
        self.older.retain(|kek| kek.id != id);
        self
    }

    fn keks(&self) -> impl Iterator<Item = &Kek> {
        std::iter::once(&self.primary).chain(&self.older)
    }

    fn find(&self, id: KeyEncryptionKeyId) -> Result<&Kek, UnwrapError> {
        self.keks().find(|kek| kek.id == id).ok_or(UnwrapError::UnknownKey(id))
    }

    /// The key that wraps.
    pub fn primary(&self) -> KeyEncryptionKeyId {
        self.primary.id
    }

    /// All keys, primary first. An id is a digest of its key and may be shown.
    pub fn ids(&self) -> impl Iterator<Item = KeyEncryptionKeyId> {
        self.keks().map(|kek| kek.id)
    }

    pub fn contains(&self, id: KeyEncryptionKeyId) -> bool {
        self.find(id).is_ok()
    }

    /// Wraps a data key with the primary.
    #[must_use]
    pub fn wrap(
        &self,
        key: &DataKey,
        organization: OrganizationId,
        id: DataKeyId,
        random: &dyn Random,
    ) -> WrappedKey {
        let data = wrapping_data(organization, id, self.primary.id);
        let bytes = cipher::seal(&self.primary.key, data, key.0.bytes(), random);
        WrappedKey { kek_id: self.primary.id, bytes }
    }

    /// The data key, if it was wrapped for this organization and id with a key that is here.
    pub fn unwrap(
        &self,
        wrapped: &WrappedKey,
        organization: OrganizationId,
        id: DataKeyId,
    ) -> Result<DataKey, UnwrapError> {
        let kek = self.find(wrapped.kek_id)?;
        let bytes = cipher::open(&kek.key, wrapping_data(organization, id, kek.id), &wrapped.bytes).map_err(
            |error| match error {
                CipherError::UnknownFormat => UnwrapError::UnknownFormat,
                // The row names a key that its own bytes contradict.
                CipherError::OtherKey(_) | CipherError::NotAuthentic => UnwrapError::NotAuthentic,
            },
        )?;
        SecretKey::from_slice(&bytes).map(DataKey).ok_or(UnwrapError::UnknownFormat)
    }

    /// Wraps a data key anew with the primary, and proves that the result unwraps to the same key before
    /// returning it: what comes back can safely replace the stored wrapping.
    ///
    /// Rotation is a loop over data keys whose `kek_id` is not [`Self::primary`], each written with
    /// compare-and-swap on the old bytes. It can stop anywhere and start again, in several processes at once.
    pub fn rewrap(
        &self,
        wrapped: &WrappedKey,
        organization: OrganizationId,
        id: DataKeyId,
        random: &dyn Random,
    ) -> Result<WrappedKey, UnwrapError> {
        let key = self.unwrap(wrapped, organization, id)?;
        let rewrapped = self.wrap(&key, organization, id, random);
        let proof = self.unwrap(&rewrapped, organization, id)?;
        if proof.0.same_as(&key.0) { Ok(rewrapped) } else { Err(UnwrapError::NotAuthentic) }
    }

    /// A known text sealed with one of the keys, stored beside its id: at the next start it shows whether
    /// the key is still the same one. `None` when the key is not here.
    pub fn sentinel(&self, id: KeyEncryptionKeyId, random: &dyn Random) -> Option<Vec<u8>> {
        let kek = self.find(id).ok()?;
        Some(cipher::seal(&kek.key, sentinel_data(id), SENTINEL, random))
    }

    /// Whether `bytes` are the sentinel of a key that is here.
    pub fn check_sentinel(&self, id: KeyEncryptionKeyId, bytes: &[u8]) -> bool {
        self.find(id).is_ok_and(|kek| {
            cipher::open(&kek.key, sentinel_data(id), bytes).is_ok_and(|text| text.as_slice() == SENTINEL)
        })
    }
}

fn wrapping_data(organization: OrganizationId, id: DataKeyId, kek: KeyEncryptionKeyId) -> AssociatedData {
    let mut data = AssociatedData::new("data key");
    data.part(organization.as_uuid().as_bytes()).part(id.as_uuid().as_bytes()).part(kek.as_uuid().as_bytes());
    data
}

fn sentinel_data(kek: KeyEncryptionKeyId) -> AssociatedData {
    let mut data = AssociatedData::new("sentinel");
    data.part(kek.as_uuid().as_bytes());
    data
}

fn parse_key(text: &str, line: usize) -> Result<Kek, KeyringError> {
    let mut words = text.split_ascii_whitespace();
    let (id, key) = match (words.next(), words.next(), words.next()) {
        (Some(key), None, None) => (None, key),
        (Some(id), Some(key), None) => (Some(id.parse().map_err(|_| KeyringError::NotAKey { line })?), key),
        _ => return Err(KeyringError::NotAKey { line }),
    };
    let key = decode(key).ok_or(KeyringError::NotAKey { line })?;
    if is_weak(key.bytes()) {
        return Err(KeyringError::Weak { line });
    }
    let kek = Kek::new(key);
    match id {
        Some(expected) if expected != kek.id => Err(KeyringError::Damaged { line, expected }),
        _ => Ok(kek),
    }
}

/// Takes the standard and the URL-safe alphabet, padded or not.
fn decode(text: &str) -> Option<SecretKey> {
    let standard = Zeroizing::new(text.replace('-', "+").replace('_', "/"));
    let bytes = Zeroizing::new(BASE64.decode(standard.as_bytes()).ok()?);
    SecretKey::from_slice(&bytes)
}

/// Zeros, a repeated letter, a short pattern: 32 random bytes with so few different ones do not occur.
fn is_weak(key: &[u8; 32]) -> bool {
    let mut seen = [false; 256];
    key.iter().for_each(|&byte| seen[usize::from(byte)] = true);
    seen.iter().filter(|&&seen| seen).count() <= 8
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyring").field(&self.ids().collect::<Vec<_>>()).finish()
    }
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
