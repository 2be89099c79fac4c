//! Bringing master keys and database together, before anything is served or sealed.

use std::path::{Path, PathBuf};

use switchboard_domain::{Clock, KeyEncryptionKeyId, Random, SecretValue, SystemClock, WriterId};
use switchboard_storage::{Db, KeyEncryptionKey, KeyState, Sealed, StorageError};
use switchboard_vault::{
    KekState, KeyError, Keyring, Startup, StartupKeys, StoredKek, key_file, startup_check,
};

use crate::{config::Config, failure::Failure};

/// Where the master key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyPlace {
    File(PathBuf),
    /// A setting, named by where it was given.
    Setting(String),
}

impl KeyPlace {
    pub(crate) fn of(config: &Config) -> Self {
        match config.master_key {
            Some(_) => Self::Setting(config.master_key_origin.clone()),
            None => Self::File(key_file::path_in(&config.data_dir)),
        }
    }

    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Setting(_) => None,
        }
    }
}

/// Keys that fit the database.
pub(crate) struct OpenedKeys {
    pub(crate) keyring: Keyring,
    pub(crate) place: KeyPlace,
    /// Made just now: the operator has to back it up.
    pub(crate) generated: bool,
}

/// The keys at hand, if there are any.
pub(crate) fn load_keyring(config: &Config) -> Result<Option<Keyring>, KeyError> {
    match (&config.master_key, KeyPlace::of(config)) {
        (Some(text), KeyPlace::Setting(place)) => parse_setting(text, place).map(Some),
        (_, KeyPlace::File(path)) => key_file::load(&path),
        (None, KeyPlace::Setting(_)) => Ok(None),
    }
}

fn parse_setting(text: &SecretValue, place: String) -> Result<Keyring, KeyError> {
    Keyring::parse(text).map_err(|source| KeyError::Setting { place, source })
}

/// What the database knows of keys, and whether anything in it needs one.
pub(crate) async fn stored(db: &Db) -> Result<(Vec<StoredKek>, bool), StorageError> {
    let mut tx = db.read().await?;
    let keks = tx.keys().key_encryption_keys().await?;
    let mut is_sealed = tx.credentials().any().await?;
    for organization in tx.organizations().list().await? {
        is_sealed = is_sealed || !tx.keys().data_keys(organization.id).await?.is_empty();
    }
    tx.rollback().await?;
    Ok((keks.into_iter().map(known).collect(), is_sealed))
}

fn known(kek: KeyEncryptionKey) -> StoredKek {
    let state = match kek.state {
        KeyState::Active => KekState::Active,
        KeyState::Retired => KekState::Retired,
    };
    StoredKek { id: kek.id, sentinel: kek.sentinel.0, state }
}

/// Checks the keys, makes the first one if nothing needs another, and records what the database does not know.
pub(crate) async fn open_keys(db: &Db, config: &Config, random: &dyn Random) -> Result<OpenedKeys, Failure> {
    let place = KeyPlace::of(config);
    let mut generated = false;
    // Twice at most: once more after a key was made, or another process recorded one in between.
    for _ in 0..4 {
        let (stored, is_sealed) = stored(db).await?;
        let keys = match startup_check(load_keyring(config)?, &stored, is_sealed)? {
            Startup::Ready(keys) => keys,
            Startup::FirstStart => {
                generated |= make_first(&place, random)?;
                continue;
            }
        };
        if record(db, &keys, &stored, random).await? {
            return Ok(OpenedKeys { keyring: keys.keyring, place, generated });
        }
    }
    Err(Failure::failed(
        "Other processes keep changing the record of master keys. Start one Switchboard at a time, all with the same key.",
    ))
}

/// Whether the keys at hand fit, changing nothing; the primary, or none where none is needed yet.
pub(crate) async fn check_keys(db: &Db, config: &Config) -> Result<Option<KeyEncryptionKeyId>, Failure> {
    let (stored, is_sealed) = stored(db).await?;
    Ok(match startup_check(load_keyring(config)?, &stored, is_sealed)? {
        Startup::Ready(keys) => Some(keys.keyring.primary()),
        Startup::FirstStart => None,
    })
}

fn make_first(place: &KeyPlace, random: &dyn Random) -> Result<bool, Failure> {
    let Some(path) = place.file() else {
        return Err(Failure::failed(
            "No master key was given. Set SWITCHBOARD_MASTER_KEY, or remove it to use a key file.",
        ));
    };
    match key_file::generate(path, random) {
        Ok(_) => Ok(true),
        // Another process was first: its key is read next.
        Err(KeyError::Exists { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Writes what `keys` says is missing; `false` when the database changed meanwhile.
async fn record(
    db: &Db,
    keys: &StartupKeys,
    seen: &[StoredKek],
    random: &dyn Random,
) -> Result<bool, StorageError> {
    if keys.to_record.is_empty() && keys.to_retire.is_empty() {
        return Ok(true);
    }
    let clock = SystemClock;
    let now = clock.now();
    let mut tx = db.write().await?;
    // Taken for its row lock alone: on PostgreSQL two first starts would not see each other's rows.
    let turn = tx.leases().acquire("master-keys", WriterId::new(&clock, random), now, now).await?;
    let current = tx.keys().key_encryption_keys().await?;
    if turn.is_none() || current.len() != seen.len() {
        tx.rollback().await?;
        return Ok(false);
    }
    for &id in &keys.to_record {
        let Some(sentinel) = keys.keyring.sentinel(id, random) else { continue };
        let key =
            KeyEncryptionKey { id, sentinel: Sealed(sentinel), state: KeyState::Active, created_at: now };
        tx.keys().insert_key_encryption_key(&key).await?;
    }
    for &id in &keys.to_retire {
        tx.keys().set_key_encryption_key_state(id, KeyState::Retired).await?;
    }
    tx.commit().await?;
    Ok(true)
}
