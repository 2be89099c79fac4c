//! A disk without room while the program serves: what can't be put on record does not happen, reading goes on, and so
//! does everything else once there is room again.
//!
//! The disk is full for the server alone: its limit of file sizes is set to nothing from outside, while it runs.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use switchboard_testkit::upstream::{Script, ScriptedUpstream};

use crate::program::{Finished, Place, Server};

/// A server on SQLite with a connection, and an upstream that counts what it is asked to do.
struct Stage {
    place: Place,
    token: String,
    server: Server,
    upstream: ScriptedUpstream,
    runtime: tokio::runtime::Runtime,
}

impl Stage {
    fn start(environment: &[(&str, &str)]) -> Self {
        let place = Place::sqlite();
        place.create_owner();
        let token = place.create_token("api,mcp:read,mcp:write");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let upstream = runtime.block_on(ScriptedUpstream::start(Script::new()));
        let serve = ["serve", "--allow-private-networks"];
        let server = place.start_on_a_disk_that_can_fill(&serve, environment);
        server.client(&place, &token, &["connection", "add", "notes", upstream.url(), "--everyone"]).ok();
        Self { place, token, server, upstream, runtime }
    }

    fn client(&self, arguments: &[&str]) -> Finished {
        self.server.client(&self.place, &self.token, arguments)
    }

    fn call(&self, text: &str) -> Finished {
        self.client(&["call", "notes.echo", &format!(r#"{{"text": "{text}"}}"#)])
    }

    fn fill_disk(&self) {
        limit_files(self.server.process(), Some(0));
    }

    fn free_disk(&self) {
        limit_files(self.server.process(), None);
    }

    /// Calls that reached the upstream.
    fn executed(&self) -> usize {
        self.upstream.executions("echo")
    }

    /// Full, refused, free again, done: what all of these tests have in common.
    fn refuses_until_there_is_room(&self) {
        let before = self.executed();
        self.fill_disk();
        for text in ["one", "two"] {
            let refused = self.call(text).fails_with(1, &["can't decide or record calls right now"]);
            assert!(!refused.contains("SQLite") && !refused.contains("switchboard.db"), "{refused}");
        }
        assert_eq!(self.executed(), before, "what isn't on record is not done");
        self.client(&["search", "echo"]).ok();
        self.client(&["connection", "list"]).ok();
        self.free_disk();
        assert!(self.call("room").ok().contains("room"));
        assert_eq!(self.executed(), before + 1);
    }

    /// Stops it; what it logged.
    fn stop(self) -> (Place, String) {
        let (code, log) = self.server.stop();
        assert_eq!(code, Some(0), "{log}");
        assert!(!log.contains("panicked"), "{log}");
        drop(self.runtime);
        (self.place, log)
    }
}

fn limit_files(process: Pid, bytes: Option<u64>) {
    // The hard limit stays as it was inherited, so that the soft one can be raised again.
    let Rlimit { maximum, .. } = getrlimit(Resource::Fsize);
    let limit = Rlimit { current: bytes.or(maximum), maximum };
    prlimit(Some(process), Resource::Fsize, limit).expect("the server's limit");
}

#[test]
fn a_call_that_cannot_be_recorded_is_not_made_and_the_next_one_is() {
    let stage = Stage::start(&[]);
    stage.call("first").ok();
    stage.refuses_until_there_is_room();
    let listed = stage.client(&["audit", "list", "--action", "capability.execute", "--json"]).json();
    let started =
        listed["items"].as_array().expect("entries").iter().filter(|entry| entry["phase"] == "started");
    assert_eq!(started.count(), 2, "one for each call that was made: {listed}");
    let (place, log) = stage.stop();
    assert!(log.contains("the audit log can't be written"), "{log}");
    assert!(log.contains("the database has no room left"), "the operator reads why: {log}");
    assert_eq!(place.serve(&[]).stop().0, Some(0), "the database is whole");
}

#[test]
fn a_disk_that_is_full_before_the_first_call() {
    Stage::start(&[]).refuses_until_there_is_room();
}

#[test]
fn a_full_disk_with_every_entry_flushed() {
    let stage = Stage::start(&[("SWITCHBOARD_AUDIT_DURABILITY", "strict")]);
    stage.call("first").ok();
    stage.refuses_until_there_is_room();
}

#[test]
fn a_change_that_cannot_be_recorded_is_not_made() {
    let stage = Stage::start(&[]);
    stage.fill_disk();
    let add = ["connection", "add", "other", stage.upstream.url(), "--everyone"];
    stage.client(&add).fails_with(1, &["again"]);
    let listed = stage.client(&["connection", "list", "--json"]).json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    stage.free_disk();
    // SQLite rolled back by itself; the one connection that writes must not be lost over it.
    stage.client(&add).ok();
    stage.call("room").ok();
    let (place, _) = stage.stop();
    place.run(&["doctor"]).ok();
}
