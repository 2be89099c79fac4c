//! What `switchboard login` leaves behind, and how it goes on by itself: refresh tokens, one file, 0600, in the person's
//! configuration directory. Processes take turns at the file, so that a refresh token is used once.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use switchboard_domain::{Clock as _, SystemClock};

use crate::{config::Environment, failure::Failure};

/// Refreshed this long before it ends, so that it lasts for the request it is made for.
const EARLY: i64 = 30;

/// A person signed in at one server.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Login {
    pub(crate) token_endpoint: String,
    pub(crate) revocation_endpoint: String,
    pub(crate) refresh_token: String,
    /// By the path of the endpoint that each is for.
    #[serde(default)]
    pub(crate) access_tokens: BTreeMap<String, AccessToken>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AccessToken {
    pub(crate) token: String,
    /// Seconds since 1970.
    pub(crate) expires_at: i64,
}

impl AccessToken {
    pub(crate) fn new(token: &str, expires_in: i64) -> Self {
        Self { token: token.to_owned(), expires_at: SystemClock.now().as_secs() + expires_in }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.expires_at - EARLY > SystemClock.now().as_secs()
    }
}

/// Tokens are not for the log.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("token_endpoint", &self.token_endpoint).finish_non_exhaustive()
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Contents {
    /// The server that commands talk to when none is named: where the person signed in last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    #[serde(default)]
    logins: BTreeMap<String, Login>,
}

/// The file, locked for as long as this is held.
pub(crate) struct Logins {
    path: PathBuf,
    contents: Contents,
    _turn: File,
}

impl Logins {
    /// Waits for its turn.
    pub(crate) fn open() -> Result<Self, Failure> {
        let path = path(&Environment::of_process())?;
        let parent = path.parent().unwrap_or(Path::new("."));
        make_directory(parent).map_err(|error| unusable(parent, &error))?;
        let turn = open_own(&path.with_extension("lock"), true).map_err(|error| unusable(&path, &error))?;
        turn.lock().map_err(|error| unusable(&path, &error))?;
        Ok(Self { contents: read(&path)?, path, _turn: turn })
    }

    pub(crate) fn find(&self, server: &str) -> Option<&Login> {
        self.contents.logins.get(server)
    }

    /// Keeps a sign-in; commands that name no server talk to this one from now on.
    pub(crate) fn put(&mut self, server: &str, login: Login) -> Result<(), Failure> {
        self.contents.logins.insert(server.to_owned(), login);
        self.contents.server = Some(server.to_owned());
        self.write()
    }

    /// New tokens of a sign-in that goes on.
    pub(crate) fn refreshed(&mut self, server: &str, login: Login) -> Result<(), Failure> {
        self.contents.logins.insert(server.to_owned(), login);
        self.write()
    }

    pub(crate) fn remove(&mut self, server: &str) -> Result<Option<Login>, Failure> {
        let removed = self.contents.logins.remove(server);
        if self.contents.server.as_deref() == Some(server) {
            self.contents.server = None;
        }
        self.write()?;
        Ok(removed)
    }

    /// Written beside and moved into place: what is there is always whole.
    fn write(&self) -> Result<(), Failure> {
        let beside = self.path.with_extension("new");
        let text = serde_json::to_vec_pretty(&self.contents)
            .map_err(|error| Failure::failed(format!("The sign-in can't be written: {error}.")))?;
        let written = (|| {
            let _ = std::fs::remove_file(&beside);
            let mut file = open_own(&beside, true)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&beside, &self.path)
        })();
        written.map_err(|error| unusable(&self.path, &error))
    }
}

/// The server that the person signed in at last; nothing is locked or made.
pub(super) fn last_server(environment: &Environment) -> Option<String> {
    read(&path(environment).ok()?).ok()?.server
}

/// Whether the person is signed in there.
pub(super) fn is_signed_in(environment: &Environment, server: &str) -> bool {
    path(environment).and_then(|path| read(&path)).is_ok_and(|contents| contents.logins.contains_key(server))
}

fn path(environment: &Environment) -> Result<PathBuf, Failure> {
    let base = environment
        .get("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(PathBuf::from(environment.get("HOME")?).join(".config")));
    base.map(|base| base.join("switchboard").join("login.json")).ok_or_else(|| {
        Failure::failed("There is no place for a sign-in: neither XDG_CONFIG_HOME nor HOME is set.")
    })
}

fn read(path: &Path) -> Result<Contents, Failure> {
    let mut text = String::new();
    match open_own(path, false).and_then(|mut file| file.read_to_string(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Contents::default()),
        Err(error) => return Err(unusable(path, &error)),
    }
    serde_json::from_str(&text).map_err(|error| {
        Failure::failed(format!(
            "{} can't be read: {error}. Remove it and sign in again: switchboard login.",
            path.display()
        ))
    })
}

fn open_own(path: &Path, make: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(make).create(make).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn make_directory(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make_directory(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{} can't be used: {error}.", path.display()))
}
