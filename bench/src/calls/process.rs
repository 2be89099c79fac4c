//! Processes under test: started with their address read from their output, stopped when dropped, and what
//! the kernel says they used (proc(5)).

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A child that is killed when it is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pub address: String,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Running {
    /// Kills it and waits for its end; already gone is as good.
    pub fn stop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the bench starts what it measures; there is no egress to go through"
)]
pub fn command(program: &Path) -> Command {
    Command::new(program)
}

/// Starts a hidden subcommand of this binary and waits for its `listening on ADDRESS`.
pub fn start_own(arguments: &[&str]) -> Result<Running, String> {
    let own = std::env::current_exe().map_err(|error| format!("cannot find this binary: {error}"))?;
    let mut child = command(&own)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", own.display()))?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
    }
    let mut running = Running { child, address: String::new() };
    match line.trim().strip_prefix("listening on ") {
        Some(address) => {
            address.clone_into(&mut running.address);
            Ok(running)
        }
        None => Err(format!("`switchboard-bench {}` stopped before it listened", arguments.join(" "))),
    }
}

/// Wraps a child that says where it listens in another way.
pub fn adopt(child: Child, address: String) -> Running {
    Running { child, address }
}

/// CPU time of a process in microseconds, user and system, all its threads. The kernel counts in ticks of
/// 10 ms; a measured window has hundreds of them.
pub fn cpu_us(pid: u32) -> Option<u64> {
    const US_PER_TICK: u64 = 10_000;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name may hold spaces and parentheses; fields count from behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some((ticks(11)? + ticks(12)?) * US_PER_TICK)
}

/// Resident memory in megabytes (10^6 bytes).
pub fn rss_mb(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}

/// The process that listens on a loopback port: found by the socket's inode in /proc/net/tcp.
pub fn listener(port: u16) -> Option<u32> {
    let wanted = format!(":{port:04X}");
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let table = std::fs::read_to_string(table).ok()?;
        table.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let listens = fields.get(1)?.ends_with(&wanted) && *fields.get(3)? == "0A";
            listens.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
        })
    })?;
    let socket = format!("socket:[{inode}]");
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find(|pid| {
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"));
        descriptors.is_ok_and(|descriptors| {
            descriptors.flatten().any(|entry| {
                std::fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == socket.as_str())
            })
        })
    })
}
