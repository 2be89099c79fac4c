//! Tokens that several processes use, and processes that are killed: a child is this same test binary in another role,
//! a whole Switchboard on the parent's database, which calls for as long as it lives.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use serde_json::{Value, json};
use switchboard_domain::{Clock as _, SystemClock};
use switchboard_storage::{Db, Dialect, Location, Migrations, Options};
use switchboard_testkit::{
    app::{App, McpClient},
    database::run,
    on_both,
};

use crate::{
    support::owner,
    upstream_tokens::{World, code},
};

/// Calls of one process at the same time; of four, more than fifty.
const AT_ONCE: usize = 13;
/// How far the parent's clock is ahead of its children's: what they held when they were killed has ended for it, and no
/// token of theirs is old enough for the parent to renew by itself.
const AHEAD_OF_CHILDREN: Duration = Duration::from_secs(120);
/// Processes that come up while others are killed.
const AHEAD: usize = 2;
/// Tries of a call that a process could not take at that moment.
const TRIES: usize = 200;

const PLACE: &str = "SWITCHBOARD_SERVER_TEST_PLACE";

/// How often a long loop goes round, when somebody wants it otherwise.
fn rounds(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A process that could not confirm in time what it knows admits nobody (503): a client comes back, for as long as is
/// reasonable.
async fn patient_echo(client: &McpClient) -> Value {
    let call = json!({ "name": "execute_capability", "arguments": { "name": "linear.echo", "arguments": { "text": "hello" } } });
    for _ in 0..TRIES {
        let reply = client.modern("tools/call", call.clone()).await;
        if reply.status != StatusCode::SERVICE_UNAVAILABLE {
            return reply.result();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it admits nobody any more");
}

/// What a child says of its calls.
#[derive(Debug, Default)]
struct Said {
    ok: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

struct Caller {
    process: Child,
    said: Arc<Said>,
}

impl Caller {
    #[expect(clippy::disallowed_methods, reason = "the test's own child process")]
    fn start(options: &Options) -> Self {
        let place = match &options.location {
            Location::Sqlite(path) => path.display().to_string(),
            Location::Postgres(url) => url.clone(),
        };
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "upstream_token_processes::role_of_a_child", "--ignored", "--nocapture"])
            .env(PLACE, place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Said::default());
        let (lines, heard) = (BufReader::new(process.stdout.take().unwrap()).lines(), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                match line.split(' ').next() {
                    Some("ok") => drop(heard.ok.fetch_add(1, Ordering::SeqCst)),
                    Some("failed") => {
                        heard.failed.lock().unwrap().push(line);
                    }
                    _ => {}
                }
            }
        });
        Self { process, said }
    }

    /// From now on it calls.
    fn go(&mut self) {
        writeln!(self.process.stdin.as_mut().unwrap(), "go").unwrap();
    }

    fn ok(&self) -> usize {
        self.said.ok.load(Ordering::SeqCst)
    }

    /// Until it has called successfully so often since.
    async fn has_called(&self, more: usize) {
        let wanted = self.ok() + more;
        for _ in 0..24_000 {
            if self.ok() >= wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("a child calls no more: {:?}", self.said);
    }

    fn kill(self) {
        drop(self);
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // It may be gone already; nobody is left behind.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "a role of this binary when other tests start it as a child process"]
fn role_of_a_child() {
    let Ok(place) = std::env::var(PLACE) else { return };
    let options =
        if place.starts_with("postgres") { Options::postgres(place) } else { Options::sqlite(place) };
    run(async move {
        let app = App::start(Db::open(&options, Migrations::Ignore).await.unwrap()).await;
        let client = owner(&app).await;
        let say = |line: String| {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{line}").unwrap();
            out.flush().unwrap();
        };
        // Started ahead of its turn.
        let mut turn = String::new();
        std::io::stdin().read_line(&mut turn).unwrap();
        loop {
            let calls = (0..AT_ONCE).map(|_| patient_echo(&client));
            for done in futures_util::future::join_all(calls).await {
                say(if done["isError"] == json!(false) { "ok".into() } else { format!("failed {done}") });
            }
        }
    });
}

on_both! {
    async fn processes_that_share_a_database_use_a_refresh_token_once(database) {
        shared(&database.db, &database.options, 15).await;
    }

    #[ignore = "takes minutes: run by ./test --long"]
    async fn of_a_thousand_rounds_of_four_processes_none_uses_one_twice(database) {
        shared(&database.db, &database.options, rounds("SWITCHBOARD_TEST_ROUNDS", 1000)).await;
    }

    async fn a_killed_process_loses_no_token_that_it_could_use(database) {
        killed(&database.db, &database.options, 8).await;
    }

    #[ignore = "takes minutes: run by ./test --long"]
    async fn of_two_hundred_killed_processes_none_loses_a_token_that_it_could_use(database) {
        killed(&database.db, &database.options, rounds("SWITCHBOARD_TEST_KILLS", 200)).await;
    }
}

/// Each round the upstream refuses the token that four processes are calling with.
async fn shared(db: &Db, options: &Options, rounds: usize) {
    // Replicas share a PostgreSQL; a SQLite file belongs to one of them.
    if db.dialect() == Dialect::Sqlite {
        return;
    }
    let world = World::on_the_machines_clock(db).await;
    let mut callers: Vec<Caller> = (0..4).map(|_| Caller::start(options)).collect();
    for caller in &mut callers {
        caller.go();
        caller.has_called(1).await;
    }
    for round in 1..=rounds {
        world.provider.end_access();
        for caller in &callers {
            // Two whole turns: the second began after the token had been refused.
            caller.has_called(2 * AT_ONCE).await;
        }
        assert_eq!((world.provider.refreshes(), world.provider.replays()), (round, 0));
    }
    for caller in callers {
        assert_eq!(*caller.said.failed.lock().unwrap(), Vec::<String>::new());
        caller.kill();
    }
    world.stop().await;
}

/// Killed somewhere between asking for a token and having used it. What only the provider has seen (its answer was under
/// way) nobody can keep; whatever was used once was on disk before.
#[expect(clippy::print_stderr, reason = "what the provider alone knew is a figure to be told")]
async fn killed(db: &Db, options: &Options, rounds: usize) {
    let world = World::on_the_machines_clock(db).await;
    let client = owner(&world.apps[0]).await;
    let mut lost = 0;
    // The next ones come up while one is killed.
    let mut ready: VecDeque<Caller> = (0..AHEAD).map(|_| Caller::start(options)).collect();
    for round in 0..rounds {
        let wanted = SystemClock.now().plus(AHEAD_OF_CHILDREN);
        world.clock.advance(wanted.since(world.clock.now()));
        if round + AHEAD < rounds {
            ready.push_back(Caller::start(options));
        }
        let mut caller = ready.pop_front().unwrap();
        caller.go();
        caller.has_called(1).await;
        let asked = world.provider.log().all().len();
        world.provider.end_access();
        let mut looks = 0;
        while world.provider.log().all().len() == asked {
            looks += 1;
            assert!(looks < 30_000, "round {round}: nobody asks for another token: {:?}", caller.said);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_micros(u64::try_from(round * 1700 % 23_000).unwrap())).await;
        caller.kill();
        let was_used = world.provider.newest_was_used();
        let done = patient_echo(&client).await;
        if done["isError"] == json!(false) {
            continue;
        }
        assert_eq!(code(&done), "reauth_required", "{done}");
        assert!(!was_used, "round {round}: a token that had been used is lost");
        lost += 1;
        world.sign_in().await;
    }
    eprintln!("{lost} of {rounds} rounds fell into the time in which only the provider knew");
    world.stop().await;
}
