//! Child processes: MCP servers that speak over standard input and output (stdio transport).
//!
//! A command comes from the operator's configuration file and from nowhere else; no API reaches this module.
//! A child inherits nothing of our environment but `PATH`, `HOME` and `LANG`, so that no key of ours leaks into
//! a third party's program. It leads a process group of its own, and the group is what is ended: package
//! runners start the real server as a grandchild.

mod lines;
mod stderr;

use std::{collections::BTreeMap, ffi::OsString, io, path::PathBuf, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

pub use lines::{LineError, LineReader, LineWriter};
pub use stderr::StderrTail;

use crate::limits::Limits;

/// Of our own environment, what every program needs to run at all.
const INHERITED: &[&str] = &["PATH", "HOME", "LANG"];

/// What to start. Values of `env` may be secrets; `Debug` shows only their names.
#[derive(Clone)]
pub struct ChildSpec {
    pub command: String,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub working_dir: Option<PathBuf>,
}

impl std::fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChildSpec")
            .field("command", &self.command)
            .field("args", &self.args.len())
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Why a child did not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("the command `{0}` was not found; install it or give its full path")]
    NotFound(String),
    #[error("the command `{0}` may not be executed; check its permissions")]
    NotExecutable(String),
    #[error("the working directory `{0}` does not exist")]
    WorkingDirectory(PathBuf),
    #[error("the command `{command}` could not be started: {source}")]
    Io { command: String, source: io::Error },
}

/// A running child: its two pipes, which may be moved into tasks of their own, and the process.
#[derive(Debug)]
pub struct ChildProcess {
    pub reader: LineReader,
    pub writer: LineWriter,
    pub process: Process,
}

/// Owner of the process group: dropping it kills the group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Equal to the child's id; `None` once the group is gone.
    group: Option<Pid>,
    stderr: StderrTail,
    exit_timeout: Duration,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
    Unknown,
}

/// Starts a child. Must be called within a Tokio runtime.
pub fn spawn(spec: &ChildSpec, limits: &Limits) -> Result<ChildProcess, SpawnError> {
    if let Some(directory) = spec.working_dir.as_ref().filter(|directory| !directory.is_dir()) {
        return Err(SpawnError::WorkingDirectory(directory.clone()));
    }
    let mut child = command(spec).spawn().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => SpawnError::NotFound(spec.command.clone()),
        io::ErrorKind::PermissionDenied => SpawnError::NotExecutable(spec.command.clone()),
        _ => SpawnError::Io { command: spec.command.clone(), source },
    })?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        let source = io::Error::other("its pipes are missing");
        return Err(SpawnError::Io { command: spec.command.clone(), source });
    };
    Ok(ChildProcess {
        reader: LineReader::new(stdout, limits.stdio_line_bytes()),
        writer: LineWriter::new(stdin),
        process: Process {
            child,
            group,
            stderr: StderrTail::follow(stderr),
            exit_timeout: limits.child_exit_timeout,
        },
    })
}

#[expect(clippy::disallowed_methods, reason = "the one place that starts child processes")]
fn command(spec: &ChildSpec) -> Command {
    let mut command = Command::new(&spec.command);
    let inherited = INHERITED.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
    command
        .args(&spec.args)
        .env_clear()
        .envs(inherited)
        .envs(&spec.env)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(directory) = &spec.working_dir {
        command.current_dir(directory);
    }
    command
}

impl Process {
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The last of what the child wrote to standard error.
    pub const fn stderr(&self) -> &StderrTail {
        &self.stderr
    }

    /// Waits until the child itself has ended, then ends what is left of its group. Safe to cancel.
    pub async fn wait(&mut self) -> Exit {
        let exit = exit(self.child.wait().await);
        self.signal_group(Signal::KILL);
        self.group = None;
        exit
    }

    /// Ends the child as the stdio transport asks: close its input, wait, SIGTERM, wait, SIGKILL.
    pub async fn close(mut self, writer: LineWriter) -> Exit {
        drop(writer);
        let patience = self.exit_timeout;
        if let Ok(exit) = tokio::time::timeout(patience, self.wait()).await {
            return exit;
        }
        self.signal_group(Signal::TERM);
        if let Ok(exit) = tokio::time::timeout(patience, self.wait()).await {
            return exit;
        }
        self.signal_group(Signal::KILL);
        self.wait().await
    }

    fn signal_group(&self, signal: Signal) {
        if let Some(group) = self.group {
            // The only error is that nobody is left.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal_group(Signal::KILL);
    }
}

fn exit(status: io::Result<std::process::ExitStatus>) -> Exit {
    use std::os::unix::process::ExitStatusExt as _;
    match status.map(|status| (status.code(), status.signal())) {
        Ok((Some(code), _)) => Exit::Code(code),
        Ok((None, Some(signal))) => Exit::Signal(signal),
        _ => Exit::Unknown,
    }
}
