//! Whether the keys at hand are the keys this database was sealed with, decided before anything is served.
//!
//! The database remembers each key-encryption key by id with a sentinel sealed under it. A missing or wrong
//! key stops the start: a new key made silently beside existing rows would strand every secret in them.

use std::{fmt, path::PathBuf};

use switchboard_domain::KeyEncryptionKeyId;

use crate::keyring::{Keyring, KeyringError};

/// What the database says of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KekState {
    /// The primary, or a key that some data key is still wrapped with: needed.
    Active,
    /// Nothing is wrapped with it any more.
    Retired,
}

/// A row about a key-encryption key; the key itself is never stored.
#[derive(Clone)]
pub struct StoredKek {
    pub id: KeyEncryptionKeyId,
    pub sentinel: Vec<u8>,
    pub state: KekState,
}

impl fmt::Debug for StoredKek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredKek({}, {:?})", self.id, self.state)
    }
}

/// Why Switchboard does not start. Each says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "secrets in this database are sealed with {}, but there is no master key. Restore `secrets/master.key` in the \
         data directory from its backup, or give the key in SWITCHBOARD_MASTER_KEY or SWITCHBOARD_MASTER_KEY_FILE. \
         No new key was made: it could not open them",
        list(needed)
    )]
    Missing { needed: Vec<KeyEncryptionKeyId> },
    #[error(
        "wrong master key: secrets in this database are sealed with {}, but the key given is {}. Restore the right \
         `secrets/master.key` from its backup, or point the settings at the database that belongs to this key",
        list(needed),
        list(given)
    )]
    Wrong { needed: Vec<KeyEncryptionKeyId>, given: Vec<KeyEncryptionKeyId> },
    #[error(
        "the record of key {id} in this database does not open with that key: the database was damaged or changed. \
         Restore the database from a backup"
    )]
    Sentinel { id: KeyEncryptionKeyId },
    #[error(
        "secrets in this database are sealed, but it does not say with which key. Restore the database from a backup"
    )]
    Unrecorded,
    #[error(
        "the master key file {path} can't be read: {source}. Make it readable for the user that runs Switchboard"
    )]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error(
        "the master key file {path} can't be written: {source}. Make its directory writable for the user that runs Switchboard"
    )]
    Unwritable { path: PathBuf, source: std::io::Error },
    #[error("{path} is open to other users of this machine (mode {mode:04o}). Run: chmod {wanted:o} {path}")]
    TooOpen { path: PathBuf, mode: u32, wanted: u32 },
    #[error("the master key file {path} can't be used: {source}")]
    Corrupt { path: PathBuf, source: KeyringError },
    #[error(
        "the master key file {path} can't be used: it is longer than {limit} bytes, so it is not a key file"
    )]
    TooLong { path: PathBuf, limit: u64 },
    #[error("the master key in {place} can't be used: {source}")]
    Setting { place: String, source: KeyringError },
    #[error(
        "{path} already holds a master key; it was not replaced. Use `switchboard keys rotate` for a new one"
    )]
    Exists { path: PathBuf },
    #[error("{0} is the key that seals now and can't be removed")]
    InUse(KeyEncryptionKeyId),
}

fn list(ids: &[KeyEncryptionKeyId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The keys to start with, and what the database has to learn about them.
#[derive(Debug)]
pub struct StartupKeys {
    pub keyring: Keyring,
    /// Keys without a row yet: store id and [`Keyring::sentinel`] of each before wrapping anything. When two
    /// processes start at once, insert in one transaction that saw no row, then check again.
    pub to_record: Vec<KeyEncryptionKeyId>,
    /// Active rows whose key is gone and nothing needs, because nothing is sealed: mark them retired.
    pub to_retire: Vec<KeyEncryptionKeyId>,
}

/// The answer of [`startup_check`].
#[derive(Debug)]
pub enum Startup {
    Ready(StartupKeys),
    /// No key and nothing that needs one: make one ([`crate::key_file::generate`]), tell the operator to back
    /// it up, and check again.
    FirstStart,
}

/// Compares keys and database. `sealed_rows_exist` counts data keys as well as sealed values.
pub fn startup_check(
    keyring: Option<Keyring>,
    stored: &[StoredKek],
    sealed_rows_exist: bool,
) -> Result<Startup, KeyError> {
    let active = || stored.iter().filter(|kek| kek.state == KekState::Active).map(|kek| kek.id);
    if sealed_rows_exist && active().next().is_none() {
        return Err(KeyError::Unrecorded);
    }
    let Some(keyring) = keyring else {
        return if sealed_rows_exist {
            Err(KeyError::Missing { needed: active().collect() })
        } else {
            Ok(Startup::FirstStart)
        };
    };
    let absent: Vec<_> = active().filter(|&id| !keyring.contains(id)).collect();
    if sealed_rows_exist && !absent.is_empty() {
        return Err(KeyError::Wrong { needed: absent, given: keyring.ids().collect() });
    }
    for kek in stored.iter().filter(|kek| keyring.contains(kek.id)) {
        if !keyring.check_sentinel(kek.id, &kek.sentinel) {
            return Err(KeyError::Sentinel { id: kek.id });
        }
    }
    let to_record = keyring.ids().filter(|id| stored.iter().all(|kek| kek.id != *id)).collect();
    Ok(Startup::Ready(StartupKeys { keyring, to_record, to_retire: absent }))
}

#[cfg(test)]
#[path = "startup_tests.rs"]
mod tests;
