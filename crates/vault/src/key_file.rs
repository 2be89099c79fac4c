//! The key file, `<data-dir>/secrets/master.key`: the one place of this crate that touches a disk.
//!
//! The file is replaced, never edited: written beside, synced, renamed, and the directory synced, so that
//! a crash leaves the old or the new file, whole. A lock file keeps two processes from replacing it at once.
//! Others must not be able to read it: the directory is 0700, the file 0600, and a file that is more open is refused.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use switchboard_domain::{KeyEncryptionKeyId, Random};
use zeroize::Zeroizing;

use crate::{keyring::Keyring, startup::KeyError};

/// Far more than any number of keys in use; anything longer is some other file.
const MAX_BYTES: u64 = 64 * 1024;
const HEADER: &str = "\
# Switchboard master keys. BACK THIS FILE UP, apart from the database: without it no stored secret opens again.
# Whoever has both this file and the database can read every secret in it.
# One key a line. The first seals, the others still open what was sealed before a rotation.
# Change it with `switchboard keys rotate`.
";

/// Where the key file of a data directory is.
pub fn path_in(data_directory: &Path) -> PathBuf {
    data_directory.join("secrets").join("master.key")
}

/// Reads the key file; `None` when there is none.
pub fn load(path: &Path) -> Result<Option<Keyring>, KeyError> {
    let unreadable = |source| KeyError::Unreadable { path: path.into(), source };
    // Looked at before it is opened: opening a pipe would wait for a writer.
    let length = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        Ok(_) => return Err(unreadable(io::Error::other("it is not a regular file"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    if length > MAX_BYTES {
        return Err(KeyError::TooLong { path: path.into(), limit: MAX_BYTES });
    }
    let file = File::open(path).map_err(unreadable)?;
    check_modes(path, &file)?;
    // Sized beforehand: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    Keyring::parse_text(&text).map(Some).map_err(|source| KeyError::Corrupt { path: path.into(), source })
}

/// Makes the first key. Refuses to replace a file: when another process was first, [`load`] has its key.
///
/// Call it only after [`crate::startup_check`] said [`crate::Startup::FirstStart`].
pub fn generate(path: &Path, random: &dyn Random) -> Result<Keyring, KeyError> {
    let _lock = lock(path)?;
    if load(path)?.is_some() {
        return Err(KeyError::Exists { path: path.into() });
    }
    let keyring = Keyring::generate(random);
    replace(path, &keyring)?;
    Ok(keyring)
}

/// Adds a new primary in front of the keys in the file: first step of a rotation. Then record its sentinel,
/// and [`Keyring::rewrap`] every data key; only then [`remove`] the old key.
pub fn add_primary(path: &Path, random: &dyn Random) -> Result<Keyring, KeyError> {
    change(path, |keyring| Ok(keyring.with_new_primary(random)))
}

/// Removes a key that nothing is wrapped with any more. Backups that are older still need it.
pub fn remove(path: &Path, id: KeyEncryptionKeyId) -> Result<Keyring, KeyError> {
    change(
        path,
        |keyring| {
            if keyring.primary() == id { Err(KeyError::InUse(id)) } else { Ok(keyring.without(id)) }
        },
    )
}

fn change(path: &Path, edit: impl FnOnce(Keyring) -> Result<Keyring, KeyError>) -> Result<Keyring, KeyError> {
    let _lock = lock(path)?;
    let keyring = load(path)?.ok_or_else(|| KeyError::Unreadable {
        path: path.into(),
        source: io::Error::from(io::ErrorKind::NotFound),
    })?;
    let keyring = edit(keyring)?;
    replace(path, &keyring)?;
    Ok(keyring)
}

/// Held until dropped; the operating system releases it when the process dies.
fn lock(path: &Path) -> Result<File, KeyError> {
    let unwritable = |source| KeyError::Unwritable { path: path.into(), source };
    create_directory(directory_of(path)).map_err(unwritable)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    owner_only(&mut options);
    let file = options.open(path.with_extension("lock")).map_err(unwritable)?;
    file.lock().map_err(unwritable)?;
    Ok(file)
}

/// Only under the lock: whatever lies at the name beside is left over from a process that died.
fn replace(path: &Path, keyring: &Keyring) -> Result<(), KeyError> {
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
    .and_then(|()| write_whole(&beside, keyring))
    .and_then(|()| fs::rename(&beside, path))
    .and_then(|()| sync_directory(directory_of(path)))
    .map_err(|source| KeyError::Unwritable { path: path.into(), source })
}

fn write_whole(path: &Path, keyring: &Keyring) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    owner_only(&mut options);
    let mut file = options.open(path)?;
    file.write_all(HEADER.as_bytes())?;
    file.write_all(keyring.to_text().as_bytes())?;
    file.sync_all()
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(unix)]
fn owner_only(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600);
}

#[cfg(unix)]
fn create_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The file may be for its owner alone; its directory must not let others put another file in its place.
#[cfg(unix)]
fn check_modes(path: &Path, file: &File) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    let unreadable = |source| KeyError::Unreadable { path: path.into(), source };
    let refuse_bits = |metadata: fs::Metadata, path: &Path, refused: u32, wanted: u32| {
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & refused == 0 { Ok(()) } else { Err(KeyError::TooOpen { path: path.into(), mode, wanted }) }
    };
    refuse_bits(file.metadata().map_err(unreadable)?, path, 0o077, 0o600)?;
    let directory = directory_of(path);
    refuse_bits(fs::metadata(directory).map_err(unreadable)?, directory, 0o022, 0o700)
}

#[cfg(not(unix))]
fn owner_only(_: &mut OpenOptions) {}

#[cfg(not(unix))]
fn create_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn check_modes(_: &Path, _: &File) -> Result<(), KeyError> {
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
#[path = "key_file_tests.rs"]
mod tests;
