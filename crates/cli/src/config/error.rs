//! What is wrong with a configuration: each fault says where it stands and what to write instead.

use std::{fmt, path::PathBuf};

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File {
        path: PathBuf,
        line: usize,
    },
    Environment(String),
    /// A file that a `_FILE` form names.
    SecretFile {
        named_by: String,
        path: PathBuf,
    },
    /// A file in systemd's `$CREDENTIALS_DIRECTORY`.
    Credential(PathBuf),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::SecretFile { named_by, path } => write!(f, "{named_by} → {}", path.display()),
            Self::Credential(path) => write!(f, "credential {}", path.display()),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// One thing that has to be put right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(
        "{origin}: `{key}` is not a setting{}. `switchboard config show` lists all of them",
        suggested(suggestion)
    )]
    Unknown { origin: Origin, key: String, suggestion: Option<String> },
    #[error("{origin}: the value of `{key}` {why}")]
    Value { origin: Origin, key: &'static str, why: String },
    #[error("{origin}: `{key}` {why}")]
    Shape { origin: Origin, key: String, why: String },
    #[error("{path}:{line}: this is not TOML: {detail}", path = path.display())]
    Syntax { path: PathBuf, line: usize, detail: String },
    #[error("the configuration file {path} can't be read: {source}. Check the path given with --config or SWITCHBOARD_CONFIG", path = path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{named_by} names {path}, which can't be read: {source}", path = path.display())]
    SecretFile { named_by: String, path: PathBuf, source: std::io::Error },
    #[error("{first} and {second} both give `{key}`: remove one of them")]
    Twice { key: &'static str, first: String, second: String },
    #[error("{0}")]
    Rule(String),
}

impl Fault {
    /// Line of the file it stands on; 0 elsewhere.
    pub(super) fn line(&self) -> usize {
        match self {
            Self::Unknown { origin: Origin::File { line, .. }, .. }
            | Self::Value { origin: Origin::File { line, .. }, .. }
            | Self::Shape { origin: Origin::File { line, .. }, .. }
            | Self::Syntax { line, .. } => *line,
            _ => 0,
        }
    }
}

fn suggested(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

/// Everything that is wrong, so that one run shows it all.
#[derive(Debug)]
pub(crate) struct ConfigError(pub(crate) Vec<Fault>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if index > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
