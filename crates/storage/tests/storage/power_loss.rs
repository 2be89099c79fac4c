//! Power loss, simulated from a recording of what the operating system was asked to do.
//!
//! A child writes under `strace`, which records every write, truncation and flush of the database's files with its
//! bytes, and what the child acknowledged, in order. For many moments of that recording the disk is rebuilt as a
//! power cut could leave it: everything flushed by then is there, and of each write that was not, all, nothing or
//! some leading sectors, at random. Each such disk is opened and checked.
//!
//! This proves that acknowledged credentials need nothing that was not flushed before the acknowledgement, in any
//! order of the writes after it. It takes the disk's word for a flush, and does not model a file system that loses
//! a new file's name.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    process::Command,
};

use switchboard_domain::{OrganizationId, Random, SeededRandom};
use switchboard_storage::{Db, Migrations, Options};
use switchboard_testkit::database::{TestDatabase, run};

use crate::durability::{Acknowledged, check, command, prepare};

#[derive(Debug, Clone)]
enum Write {
    Bytes { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

/// One file: what is certainly on disk, and what may be.
#[derive(Debug, Default, Clone)]
struct File {
    flushed: Vec<u8>,
    pending: Vec<Write>,
}

fn apply(content: &mut Vec<u8>, write: &Write) {
    match write {
        Write::Bytes { offset, bytes } => {
            content.resize(content.len().max(offset + bytes.len()), 0);
            content[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        Write::Truncate(length) => content.resize(*length, 0),
    }
}

impl File {
    fn flush(&mut self, writes: usize) {
        for write in self.pending.drain(..writes) {
            apply(&mut self.flushed, &write);
        }
    }

    /// What a power cut may leave.
    fn after_power_loss(&self, random: &dyn Random) -> Vec<u8> {
        let mut content = self.flushed.clone();
        for write in &self.pending {
            let [fate, sectors] = random.bytes();
            match (fate % 3, write) {
                (0, _) => {}
                (1, Write::Bytes { offset, bytes }) => {
                    let kept = (usize::from(sectors) * 512).min(bytes.len());
                    apply(&mut content, &Write::Bytes { offset: *offset, bytes: bytes[..kept].to_vec() });
                }
                _ => apply(&mut content, write),
            }
        }
        content
    }
}

/// What one line of the recording means.
#[derive(Debug)]
enum Event {
    Write(String, Write),
    FlushBegins(u32, String),
    FlushEnds(u32),
    Said(String),
}

/// `"\x61\x62"` as bytes.
fn unescape(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Reads `strace -f -y -xx`; a call that another thread interrupted comes in two lines.
fn read(recording: &str) -> Vec<Event> {
    let mut begun: HashMap<u32, String> = HashMap::new();
    let mut events = Vec::new();
    for line in recording.lines() {
        let Some((pid, call)) = line.split_once(' ') else { continue };
        let (Ok(pid), call) = (pid.parse::<u32>(), call.trim_start()) else { continue };
        let flushes = |call: &str| call.starts_with("fsync(") || call.starts_with("fdatasync(");
        if let Some(start) = call.strip_suffix(" <unfinished ...>") {
            if flushes(start) {
                events.push(Event::FlushBegins(pid, name_of(start)));
            }
            begun.insert(pid, start.to_owned());
            continue;
        }
        let resumed = call.starts_with("<... ");
        let call = match call.split_once(" resumed>") {
            Some((_, rest)) if resumed => begun.remove(&pid).unwrap_or_default() + rest,
            _ => call.to_owned(),
        };
        if call.ends_with(')') || call.contains(") = -1") {
            continue;
        }
        if flushes(&call) {
            if !resumed {
                events.push(Event::FlushBegins(pid, name_of(&call)));
            }
            events.push(Event::FlushEnds(pid));
        } else if call.starts_with("write(1<") || call.starts_with("write(1,") {
            let said = String::from_utf8_lossy(&unescape(quoted(&call))).into_owned();
            events.push(Event::Said(said));
        } else if call.starts_with("pwrite64(") {
            let after = call.rsplit_once("\", ").unwrap().1;
            let numbers = after.split_once(')').unwrap().0;
            let (count, offset) = numbers.split_once(", ").unwrap();
            let bytes = unescape(quoted(&call));
            assert_eq!(bytes.len(), count.parse::<usize>().unwrap(), "the recording has every byte");
            events
                .push(Event::Write(name_of(&call), Write::Bytes { offset: offset.parse().unwrap(), bytes }));
        } else if call.starts_with("ftruncate(") {
            let length = call.split_once(", ").unwrap().1.split_once(')').unwrap().0;
            events.push(Event::Write(name_of(&call), Write::Truncate(length.parse().unwrap())));
        }
    }
    events
}

fn quoted(call: &str) -> &str {
    let start = call.find('"').unwrap() + 1;
    &call[start..call.rfind('"').unwrap()]
}

/// The file's name without its directory, from the `<…>` after the descriptor.
fn name_of(call: &str) -> String {
    let path = call.split_once('<').map_or("", |(_, rest)| rest.split_once('>').unwrap_or((rest, "")).0);
    let path = if path.starts_with("\\x") {
        String::from_utf8_lossy(&unescape(path)).into_owned()
    } else {
        path.to_owned()
    };
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Whether programs can be traced here; containers may forbid it.
#[expect(clippy::disallowed_methods, reason = "the test's own child process")]
#[expect(clippy::print_stderr, reason = "what was left out is said")]
fn can_trace() -> bool {
    let tried = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    let works = tried.is_ok_and(|output| output.status.success());
    if !works {
        eprintln!(
            "LEFT OUT: power loss is simulated with strace, which is not installed or not allowed here"
        );
    }
    works
}

fn record(role: &str, options: &Options, directory: &Path) -> Vec<Event> {
    let log = directory.join("recording");
    let place = log.display().to_string();
    const CALLS: &str = "trace=write,pwrite64,ftruncate,fsync,fdatasync";
    let before =
        ["strace", "-f", "-qq", "-y", "-xx", "-s", "1000000", "-e", CALLS, "-e", "signal=none", "-o", &place];
    let output = command(&before, role, options).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    read(&std::fs::read_to_string(log).unwrap())
}

#[derive(Debug, Default)]
struct Tally {
    disks: usize,
    with_audit_lost: usize,
}

async fn check_disk(
    disk: &BTreeMap<String, File>,
    organization: OrganizationId,
    acknowledged: &Acknowledged,
    random: &dyn Random,
    tally: &mut Tally,
) {
    let directory = tempfile::tempdir().unwrap();
    for (name, file) in disk {
        std::fs::write(directory.path().join(name), file.after_power_loss(random)).unwrap();
    }
    let options = Options::sqlite(directory.path().join("switchboard.db"));
    let db = Db::open(&options, Migrations::Require).await.unwrap();
    let appended = check(&db, organization, acknowledged).await;
    tally.disks += 1;
    tally.with_audit_lost += usize::from(appended < acknowledged.audit);
    db.close().await;
}

async fn cut_the_power(role: &str, random: &dyn Random) -> Tally {
    let database = TestDatabase::sqlite().await;
    let organization = prepare(&database).await;
    database.db.close().await;
    let mut disk = BTreeMap::from([(
        "switchboard.db".to_owned(),
        File { flushed: std::fs::read(database.file()).unwrap(), pending: Vec::new() },
    )]);
    let home = tempfile::tempdir().unwrap();
    let events = record(role, &database.options, home.path());
    let flushes = events.iter().filter(|event| matches!(event, Event::FlushEnds(_))).count();
    assert!(events.len() > 200 && flushes > 20, "{} events, {flushes} flushes", events.len());
    let folded =
        events.iter().any(|event| matches!(event, Event::Write(name, _) if name == "switchboard.db"));
    assert!(folded, "the log was folded into the file while writing went on");
    let every = events.len() / 60;
    let mut acknowledged = Acknowledged::default();
    let mut flushing: HashMap<u32, (String, usize)> = HashMap::new();
    let mut tally = Tally::default();
    for (index, event) in events.into_iter().enumerate() {
        match event {
            // Other processes' business (`-shm` is memory) and standard output are no part of the disk.
            Event::Write(name, _) | Event::FlushBegins(_, name)
                if !["switchboard.db", "switchboard.db-wal"].contains(&&*name) => {}
            Event::Write(name, write) => disk.entry(name).or_default().pending.push(write),
            Event::FlushBegins(pid, name) => {
                let writes = disk.entry(name.clone()).or_default().pending.len();
                flushing.insert(pid, (name, writes));
            }
            Event::FlushEnds(pid) => {
                let Some((name, writes)) = flushing.remove(&pid) else { continue };
                disk.get_mut(&name).unwrap().flush(writes);
                // Another thread's flush that began before has that many fewer to wait for.
                for (other, begun) in flushing.values_mut() {
                    if *other == name {
                        *begun = begun.saturating_sub(writes);
                    }
                }
            }
            Event::Said(line) => {
                acknowledged.hear(line.trim());
            }
        }
        if index % every == 0 {
            check_disk(&disk, organization, &acknowledged, random, &mut tally).await;
        }
    }
    assert!(acknowledged.credential > 20 && acknowledged.audit > 100, "{acknowledged:?}");
    tally
}

#[test]
fn credentials_survive_power_loss_and_the_newest_audit_entries_may_not() {
    if !can_trace() {
        return;
    }
    run(async {
        let tally = cut_the_power("write-some", &SeededRandom::new(1)).await;
        assert!(tally.disks > 50);
        assert!(tally.with_audit_lost > 0, "the simulation loses what was not flushed: {tally:?}");
    });
}

#[test]
fn strict_audit_entries_survive_power_loss_too() {
    if !can_trace() {
        return;
    }
    run(async {
        let tally = cut_the_power("write-some-strict", &SeededRandom::new(2)).await;
        assert!(tally.disks > 50);
        assert_eq!(tally.with_audit_lost, 0, "{tally:?}");
    });
}
