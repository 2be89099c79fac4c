//! Runs `switchboard` as a person would: arguments, environment, exit code, what it printed.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use switchboard_storage::Location;
use switchboard_testkit::database::{empty_postgres, sqlite_only};

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);
pub const PASSWORD: &str = "correct horse battery staple";

#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    #[track_caller]
    pub fn fails_with(self, code: i32, parts: &[&str]) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is missing: {self:?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self.stderr
    }

    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.ok()).expect("JSON on stdout")
    }
}

/// A directory to run in, and the environment of every run.
pub struct Place {
    directory: tempfile::TempDir,
    environment: Vec<(String, String)>,
    _database: Option<Box<dyn std::fmt::Debug>>,
}

impl Place {
    pub fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("password"), format!("{PASSWORD}\n")).expect("a password file");
        Self { directory, environment: Vec::new(), _database: None }
    }

    /// On an empty PostgreSQL database; `None` where those tests are left out.
    pub fn postgres() -> Option<Self> {
        if sqlite_only() {
            return None;
        }
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (options, database) = runtime.block_on(empty_postgres());
        let Location::Postgres(url) = options.location else { panic!("PostgreSQL was asked for") };
        let mut place = Self::sqlite();
        place.environment.push(("SWITCHBOARD_DATABASE_URL".into(), url));
        place._database = Some(Box::new(database));
        Some(place)
    }

    pub fn each() -> Vec<Self> {
        [Some(Self::sqlite()), Self::postgres()].into_iter().flatten().collect()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.command_behind(&[], arguments)
    }

    /// Behind another program, with the program and its arguments as that one's last arguments.
    #[expect(clippy::disallowed_methods, reason = "these tests start the real program")]
    fn command_behind(&self, before: &[&str], arguments: &[&str]) -> Command {
        let words = [before, &[env!("CARGO_BIN_EXE_switchboard")], arguments].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(self.directory.path()).env_clear().env("TZ", "UTC");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with(arguments, &[])
    }

    pub fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied());
        let output = command.output().expect("the program starts");
        Finished {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn create_owner(&self) {
        self.run(&["admin", "create-owner", "--email", "ana@example.com", "--password-file", "password"])
            .ok();
    }

    pub fn create_token(&self, scopes: &str) -> String {
        let made = self
            .run(&["admin", "create-token", "--email", "ana@example.com", "--scope", scopes, "--json"])
            .json();
        assert!(
            made["id"].as_str().is_some_and(|id| id.starts_with("tok_")) && made["expires_at"].is_string()
        );
        made["token"].as_str().expect("a token").to_owned()
    }

    pub fn serve(&self, arguments: &[&str]) -> Server {
        self.start(&[&["serve"], arguments].concat())
    }

    /// Starts `serve` or `demo` on a free port and waits until it listens.
    pub fn start(&self, arguments: &[&str]) -> Server {
        self.start_with(arguments, &[])
    }

    pub fn start_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Server {
        self.start_behind(&[], arguments, environment)
    }

    /// Starts it so that a write beyond a limit of file sizes fails, as on a full disk, and does not end it.
    pub fn start_on_a_disk_that_can_fill(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Server {
        self.start_behind(&["bash", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""], arguments, environment)
    }

    fn start_behind(&self, before: &[&str], arguments: &[&str], environment: &[(&str, &str)]) -> Server {
        let mut command = self.command_behind(before, &[arguments, &["--listen", "127.0.0.1:0"]].concat());
        command.envs(environment.iter().copied());
        Server::wait(command.spawn().expect("the program starts"))
    }
}

/// `switchboard login` while it waits for the browser.
pub struct SignIn {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl SignIn {
    pub fn start(place: &Place, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = place.command(arguments);
        command.envs(environment.iter().copied());
        let mut child = command.spawn().expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, stdout }
    }

    /// The address that it prints for the person.
    pub fn address(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }

    pub fn finish(mut self) -> Finished {
        let mut stdout = String::new();
        let _ = self.stdout.read_to_string(&mut stdout);
        let output = self.child.wait_with_output().expect("it ends");
        Finished {
            code: output.status.code(),
            stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    lines: Receiver<String>,
    pub transcript: Vec<String>,
    pub url: String,
    log: std::thread::JoinHandle<String>,
}

impl Server {
    fn wait(mut child: Child) -> Self {
        let stdout = child.stdout.take().expect("piped");
        let mut stderr = child.stderr.take().expect("piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let mut server = Self { child, lines, transcript: Vec::new(), url: String::new(), log };
        server.url = server.line_with("listening ").split_whitespace().nth(1).expect("an address").to_owned();
        server
    }

    /// Reads the transcript up to a line with this text.
    #[track_caller]
    pub fn line_with(&mut self, text: &str) -> String {
        if let Some(line) = self.transcript.iter().find(|line| line.contains(text)) {
            return line.clone();
        }
        loop {
            let line = match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(_) => panic!("no line with `{text}` in {:#?}", self.transcript),
            };
            self.transcript.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Asks it to stop and waits: exit code and log.
    pub fn stop(mut self) -> (Option<i32>, String) {
        self.signal(rustix::process::Signal::TERM);
        let code = self.child.wait().expect("it ends").code();
        let log = std::mem::replace(&mut self.log, std::thread::spawn(String::new));
        (code, log.join().expect("the log"))
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.process(), signal).expect("it runs");
    }

    pub fn process(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_raw(self.child.id() as i32).expect("a process id")
    }

    pub fn wait_for_end(&mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }

    /// The same program as a client of this server.
    pub fn client(&self, place: &Place, token: &str, arguments: &[&str]) -> Finished {
        place.run_with(arguments, &[("SWITCHBOARD_SERVER", &self.url), ("SWITCHBOARD_TOKEN", token)])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode()
        & 0o777
}
