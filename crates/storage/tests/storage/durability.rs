//! What was acknowledged is there: after `kill -9`, and (see `power_loss`) after power loss.
//!
//! A child process, this same test binary in another role, writes and says on its standard output what was
//! acknowledged. It is killed in the middle; the parent opens the database and compares.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use switchboard_domain::{
    Clock as _, CredentialId, CredentialOwner, OrganizationId, SystemClock, SystemRandom, Timestamp, WriterId,
};
use switchboard_storage::{
    AuditDurability, CredentialHealth, CredentialInfo, Db, Dialect, InsertOrganization, Location, Migrations,
    Options, Organization, PutCredential, Sealed, StorageError, StoredCredential,
};
use switchboard_testkit::database::{TestDatabase, run, sqlite_only};

use crate::{audit::entry, tenancy::data_key};

const ROLE: &str = "SWITCHBOARD_STORAGE_TEST_ROLE";
const PLACE: &str = "SWITCHBOARD_STORAGE_TEST_PLACE";

fn place(options: &Options) -> String {
    match &options.location {
        Location::Sqlite(path) => path.display().to_string(),
        Location::Postgres(url) => url.clone(),
    }
}

/// This binary again, as `role` on the same database, behind `before` (another program with its arguments).
#[expect(clippy::disallowed_methods, reason = "the test's own child process")]
pub(crate) fn command(before: &[&str], role: &str, options: &Options) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut words = before.iter().map(std::ffi::OsString::from).chain([program.into_os_string()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--exact", "durability::role_of_a_child", "--ignored", "--nocapture"]);
    command.env(ROLE, role).env(PLACE, place(options)).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

pub(crate) fn child(role: &str, options: &Options) -> Child {
    command(&[], role, options).spawn().unwrap()
}

/// A child whose files can't grow beyond `blocks` of 1,024 bytes.
pub(crate) fn limited_child(role: &str, options: &Options, blocks: u32) -> Output {
    let limit = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    command(&["bash", "-c", &limit], role, options).output().unwrap()
}

/// Written through at once: the parent must see it before the next statement.
fn say(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

#[test]
#[ignore = "a role of this binary when other tests start it as a child process"]
fn role_of_a_child() {
    let (Ok(role), Ok(place)) = (std::env::var(ROLE), std::env::var(PLACE)) else { return };
    let mut options =
        if place.starts_with("postgres") { Options::postgres(place) } else { Options::sqlite(place) };
    if role == "write-some-strict" {
        options.audit_durability = AuditDurability::Strict;
    }
    run(async move {
        let now = SystemClock.now();
        let db = Db::open(&options, Migrations::Apply { release: "1.0.0", now }).await.unwrap();
        match &*role {
            "migrate" => db.close().await,
            "write" => write(&db, i64::MAX).await,
            // Then gone at once, without closing anything.
            "write-some" | "write-some-strict" => {
                write(&db, 150).await;
                std::process::exit(0);
            }
            "fill" => fill(&db).await,
            other => panic!("no such role: {other}"),
        }
    });
}

/// Two tasks at once, as in a busy server: groups of audit entries, and a credential refreshed again and again.
async fn write(db: &Db, generations: i64) {
    let mut tx = db.single().await.unwrap();
    let organization = tx.organizations().list().await.unwrap()[0].id;
    let credential = tx.connections().list(organization).await.unwrap()[0].id;
    let stored = tx.credentials().find(organization, credential, CredentialOwner::Shared).await.unwrap();
    drop(tx);
    let audit = tokio::spawn(append_groups(db.clone(), organization));
    let mut stored = stored.expect("the parent stored the first");
    while stored.info.generation < generations {
        stored.info.generation += 1;
        stored.sealed = Sealed(vec![stored.info.generation as u8; 600]);
        let mut tx = db.write().await.unwrap();
        assert_eq!(tx.credentials().put(&stored).await.unwrap(), PutCredential::Stored);
        tx.commit().await.unwrap();
        say(format_args!("credential {}", stored.info.generation));
        assert!(!audit.is_finished(), "appending failed");
    }
}

async fn append_groups(db: Db, organization: OrganizationId) {
    let writer = WriterId::new(&SystemClock, &SystemRandom);
    let mut seq = 0;
    loop {
        let mut group: Vec<_> = (1..=5).map(|offset| entry(organization, writer, seq + offset)).collect();
        // Large enough that the log is folded into the file before long.
        group.iter_mut().for_each(|entry| entry.body = format!("{:>9000}", entry.seq));
        db.append_audit(&group).await.unwrap();
        seq += 5;
        say(format_args!("audit {} {seq}", writer.as_uuid()));
    }
}

async fn fill(db: &Db) {
    let mut count = 0;
    let full = loop {
        let organization = Organization {
            id: OrganizationId::new(&SystemClock, &SystemRandom),
            slug: format!("org-{count}").parse().unwrap(),
            name: "x".repeat(50_000),
            settings: serde_json::json!({}),
            version: 1,
            created_at: Timestamp::from_micros(0),
        };
        let mut tx = db.write().await.unwrap();
        match tx.organizations().insert(&organization).await {
            Ok(inserted) => assert_eq!(inserted, InsertOrganization::Inserted),
            Err(error) => break error,
        }
        if let Err(error) = tx.commit().await {
            break error;
        }
        count += 1;
    };
    assert!(matches!(full, StorageError::Full(_)), "{full:?}");
    assert!(full.to_string().contains("reads go on"), "{full}");
    let mut tx = db.single().await.unwrap();
    assert_eq!(tx.organizations().list().await.unwrap().len(), count, "reads go on");
    say(format_args!("filled after {count}"));
}

/// What a child acknowledged.
#[derive(Debug, Default, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) credential: i64,
    pub(crate) writer: Option<WriterId>,
    pub(crate) audit: i64,
}

impl Acknowledged {
    pub(crate) fn hear(&mut self, line: &str) -> bool {
        let mut words = line.split_ascii_whitespace();
        let (kind, first, second) = (words.next(), words.next(), words.next());
        match (kind, first, second) {
            (Some("credential"), Some(generation), None) => {
                let Ok(generation) = generation.parse() else { return false };
                self.credential = generation;
            }
            (Some("audit"), Some(writer), Some(seq)) => {
                let (Ok(writer), Ok(seq)) = (writer.parse(), seq.parse()) else { return false };
                (self.writer, self.audit) = (Some(WriterId::from_uuid(writer)), seq);
            }
            _ => return false,
        }
        true
    }
}

/// An organization with a connection and the first generation of a shared credential.
pub(crate) async fn prepare(database: &TestDatabase) -> OrganizationId {
    let organization = database.organization("acme").await.id;
    let connection = database.connection(organization, "linear").await.id;
    let info = CredentialInfo {
        id: CredentialId::new(&database.clock, &database.random),
        organization,
        connection,
        owner: CredentialOwner::Shared,
        data_key: data_key(database, organization).await,
        generation: 1,
        health: CredentialHealth::Healthy,
        expires_at: None,
        updated_at: database.clock.now(),
    };
    let first = StoredCredential { info, sealed: Sealed(vec![1; 600]) };
    let mut tx = database.db.write().await.unwrap();
    assert_eq!(tx.credentials().put(&first).await.unwrap(), PutCredential::Stored);
    tx.commit().await.unwrap();
    organization
}

/// The database is sound, the credential is whole and no older than acknowledged; how far each audit chain goes.
pub(crate) async fn check(db: &Db, organization: OrganizationId, acknowledged: &Acknowledged) -> i64 {
    assert_eq!(db.integrity_check().await.unwrap(), Vec::<String>::new());
    let mut tx = db.read().await.unwrap();
    let connection = tx.connections().list(organization).await.unwrap()[0].id;
    let found =
        tx.credentials().find(organization, connection, CredentialOwner::Shared).await.unwrap().unwrap();
    assert!(found.info.generation >= acknowledged.credential, "{:?} lost: {found:?}", acknowledged);
    assert_eq!(
        found.sealed,
        Sealed(vec![found.info.generation as u8; 600]),
        "one generation, not two halves"
    );
    let Some(writer) = acknowledged.writer else { return 0 };
    let chain = tx.audit().chain(organization, writer, 0, 1_000_000).await.unwrap();
    for (index, entry) in chain.iter().enumerate() {
        assert_eq!(entry.seq, index as i64 + 1, "no gap in the chain");
    }
    assert_eq!(chain.len() % 5, 0, "groups are whole");
    chain.len() as i64
}

fn kill_rounds(database: &TestDatabase, organization: OrganizationId, rounds: u64) {
    let mut total = Acknowledged::default();
    for round in 0..rounds {
        let mut process = child("write", &database.options);
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut acknowledged = Acknowledged::default();
        let mut heard = 0;
        // Killed after a different number of acknowledgements, at a different moment, each round.
        let enough = 3 + round * 7 % 41;
        for line in lines.map_while(Result::ok) {
            heard += u64::from(acknowledged.hear(&line));
            if heard == enough {
                std::thread::sleep(Duration::from_micros(round * 137 % 2_000));
                process.kill().unwrap();
            }
        }
        process.wait().unwrap();
        assert!(heard >= enough, "round {round}: the child stopped by itself after {heard}");
        let options = database.options.clone();
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let db = Db::open(&options, Migrations::Require).await.unwrap();
                let appended = check(&db, organization, &acknowledged).await;
                assert!(appended >= acknowledged.audit, "round {round}: {appended} of {acknowledged:?}");
                db.close().await;
            });
        });
        total.credential += acknowledged.credential;
        total.audit += acknowledged.audit;
    }
    assert!(total.audit > 0 && total.credential > 0, "both kinds were written: {total:?}");
}

fn kill_loop(dialect: Dialect, rounds: u64) {
    run(async {
        let database = match dialect {
            Dialect::Sqlite => TestDatabase::sqlite().await,
            Dialect::Postgres => TestDatabase::postgres().await,
        };
        let organization = prepare(&database).await;
        kill_rounds(&database, organization, rounds);
    });
}

#[test]
fn kill_9_loses_nothing_acknowledged_on_sqlite() {
    kill_loop(Dialect::Sqlite, 20);
}

#[test]
fn kill_9_loses_nothing_acknowledged_on_postgres() {
    if !sqlite_only() {
        kill_loop(Dialect::Postgres, 5);
    }
}

#[test]
#[ignore = "minutes: ./test --long"]
fn kill_9_a_thousand_times() {
    // A fresh database now and then: checking one that only grows would take most of the time.
    for _ in 0..20 {
        kill_loop(Dialect::Sqlite, 50);
    }
}
