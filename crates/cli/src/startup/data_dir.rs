//! The data directory: made for its owner alone, checked before anything is put into it, and locked so that two
//! servers can't work on one SQLite database. `admin` and its like don't take the lock: SQLite's own log lets
//! them write while a server runs.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Seek as _, Write as _},
    path::Path,
};

use url::Url;

use crate::{config::Config, failure::Failure};

/// Makes the directory if it is not there; whether it was made.
pub(crate) fn prepare(path: &Path) -> Result<bool, Failure> {
    let is_new = !path.exists();
    make(path).map_err(|error| unusable(path, &error))?;
    let probe = path.join(".switchboard-write-test");
    File::create(&probe)
        .and_then(|mut file| file.write_all(b"x"))
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(|error| unusable(path, &error))?;
    Ok(is_new)
}

/// [`prepare`], unless everything is elsewhere: PostgreSQL, and the master key in a setting.
pub(crate) fn prepare_if_needed(config: &Config) -> Result<Option<bool>, Failure> {
    if config.database.url.is_some() && config.master_key.is_some() {
        return Ok(None);
    }
    prepare(&config.data_dir).map(Some)
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    let next = match error.kind() {
        io::ErrorKind::StorageFull => "Free space on its disk, then start again",
        io::ErrorKind::ReadOnlyFilesystem => {
            "It is on a read-only file system: choose another directory with --data-dir (SWITCHBOARD_DATA_DIR)"
        }
        _ => {
            "Make it writable for the user that runs Switchboard, or choose another with --data-dir (SWITCHBOARD_DATA_DIR)"
        }
    };
    Failure::failed(format!("The data directory {} can't be used: {error}. {next}.", path.display()))
}

#[cfg(unix)]
fn make(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Held while serving; the operating system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct ServeLock(File);

impl ServeLock {
    pub(crate) fn take(data_dir: &Path) -> Result<Self, Failure> {
        let path = data_dir.join("serve.lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).map_err(|error| unusable(data_dir, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = std::fs::read_to_string(&path).unwrap_or_default();
                let process = holder.lines().next().and_then(|line| line.trim().parse::<u32>().ok());
                let holder = process.map_or_else(String::new, |id| format!(" (process {id})"));
                return Err(Failure::failed(format!(
                    "Another Switchboard{holder} serves {}. Stop it first, or give this one a directory of its own with \
                     --data-dir; several servers for one organization need PostgreSQL (--database-url).",
                    data_dir.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(data_dir, &error)),
        }
        // Who holds it, for the message above; nothing depends on it.
        let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        Ok(Self(file))
    }

    /// Notes where it is served, for links that `admin` makes. Nothing else depends on it.
    pub(crate) fn note(&mut self, public_url: &Url) {
        let note = format!("{}\n{public_url}\n", std::process::id());
        let noted =
            self.0.set_len(0).and_then(|()| self.0.rewind()).and_then(|()| self.0.write_all(note.as_bytes()));
        if let Err(error) = noted {
            tracing::warn!(%error, "where this is served can't be noted in serve.lock");
        }
    }
}

/// The public URL of the server that works, or last worked, on this data directory.
pub(crate) fn last_public_url(config: &Config) -> Option<Url> {
    let note = std::fs::read_to_string(config.data_dir.join("serve.lock")).ok()?;
    Url::parse(note.lines().nth(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_at_a_time() {
        let scratch = tempfile::tempdir().unwrap();
        let held = ServeLock::take(scratch.path()).unwrap();
        let message = ServeLock::take(scratch.path()).unwrap_err().to_string();
        assert!(
            message.contains(&std::process::id().to_string()) && message.contains("PostgreSQL"),
            "{message}"
        );
        drop(held);
        ServeLock::take(scratch.path()).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named_with_the_next_step() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        std::fs::write(&file, "").unwrap();
        let message = prepare(&file.join("data")).unwrap_err().to_string();
        assert!(message.contains("file/data") && message.contains("--data-dir"), "{message}");
        assert!(prepare(&scratch.path().join("a/b")).unwrap());
        assert!(!prepare(&scratch.path().join("a/b")).unwrap());
    }
}
