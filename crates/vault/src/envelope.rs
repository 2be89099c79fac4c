//! Sealed values: what a secret looks like in the database.
//!
//! The associated data names organization, table, row, owner, field, version and key. Whoever can write to
//! the database but has no key can neither read a value, nor move it to a row of their own, nor put an older
//! value back (as long as the row counts its versions), nor replace it by plaintext: all of that fails to open.

use std::fmt;

use switchboard_domain::{OrganizationId, Random};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    cipher::{self, AssociatedData, CipherError},
    key::{DataKey, KeyDigest},
};

/// Where a sealed value belongs. Every field is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealContext {
    pub organization: OrganizationId,
    pub table: &'static str,
    /// Primary key of the row.
    pub row: Uuid,
    /// The member it belongs to, or `None` when it is the organization's.
    pub owner: Option<Uuid>,
    /// The column, or the name of the part within it.
    pub field: &'static str,
    /// The row's counter of writes to this value; it must grow with each, so that an older value put back
    /// does not open.
    pub version: i64,
}

impl SealContext {
    fn associated_data(&self) -> AssociatedData {
        let mut data = AssociatedData::new("secret");
        data.part(self.organization.as_uuid().as_bytes())
            .part(self.table.as_bytes())
            .part(self.row.as_bytes())
            .part(self.owner.as_ref().map_or(&[], |owner| owner.as_bytes().as_slice()))
            .part(self.field.as_bytes())
            .part(&self.version.to_be_bytes());
        data
    }
}

/// A sealed value, as `storage` keeps it. Any bytes may be put in; only an envelope opens.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sealed(pub Vec<u8>);

impl Sealed {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key it says it is sealed with; `None` when this is no envelope that we know.
    pub fn key_digest(&self) -> Option<KeyDigest> {
        cipher::digest_of(&self.0)
    }

    /// Whether it is sealed with this key, as far as can be seen without opening it.
    pub fn is_under(&self, key: &DataKey) -> bool {
        self.key_digest() == Some(key.digest())
    }
}

impl From<Vec<u8>> for Sealed {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<Sealed> for Vec<u8> {
    fn from(sealed: Sealed) -> Self {
        sealed.0
    }
}

/// Ciphertext is no secret, but a row written by hand may hold plaintext: never shown.
impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key_digest() {
            Some(digest) => write!(f, "Sealed({} bytes, key {digest})", self.0.len()),
            None => write!(f, "Sealed({} bytes, unknown format)", self.0.len()),
        }
    }
}

/// Why a stored value did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the stored value is not in a sealed format that this version knows; it is never taken as plaintext"
    )]
    UnknownFormat,
    /// Ask for the data key with this digest: the row may have been written before or after a rotation.
    #[error("the stored value is sealed with key {found}, not with the key that was given")]
    OtherKey { found: KeyDigest },
    #[error("the stored value was changed, moved from another row or put back from an older version")]
    NotAuthentic,
}

impl From<CipherError> for OpenError {
    fn from(error: CipherError) -> Self {
        match error {
            CipherError::UnknownFormat => Self::UnknownFormat,
            CipherError::OtherKey(found) => Self::OtherKey { found },
            CipherError::NotAuthentic => Self::NotAuthentic,
        }
    }
}

/// Seals a secret for exactly one place. Two calls never give the same bytes.
#[must_use]
pub fn seal(key: &DataKey, context: &SealContext, plaintext: &[u8], random: &dyn Random) -> Sealed {
    Sealed(cipher::seal(&key.0, context.associated_data(), plaintext, random))
}

/// Opens what [`seal`] made for the same place. `broker::credentials` is its only caller outside rotation and tests.
pub fn open(key: &DataKey, context: &SealContext, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    Ok(cipher::open(&key.0, context.associated_data(), &sealed.0)?)
}

/// Moves a value to a new data key, and opens the result before returning it: what comes back can safely
/// replace the stored value.
///
/// Rotation is a loop over rows whose [`Sealed::key_digest`] is not the new key's, each written with
/// compare-and-swap on the old bytes. It can stop anywhere and start again, in several processes at once.
pub fn reseal(
    old: &DataKey,
    new: &DataKey,
    context: &SealContext,
    sealed: &Sealed,
    random: &dyn Random,
) -> Result<Sealed, OpenError> {
    let plaintext = open(old, context, sealed)?;
    let resealed = seal(new, context, &plaintext, random);
    if *open(new, context, &resealed)? == *plaintext { Ok(resealed) } else { Err(OpenError::NotAuthentic) }
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
