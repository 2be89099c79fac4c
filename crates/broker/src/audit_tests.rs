//! Groups, who leads them, and what happens when somebody stops waiting.

use std::collections::HashMap;

use futures_util::{FutureExt as _, future::join_all};
use switchboard_domain::{
    AuditOutcome, AuditPhase, AuditRecord, Clock as _, OrganizationId, SystemClock, SystemRandom,
};
use switchboard_storage::{AuditEntry, KeyEncryptionKey, KeyState, Sealed};
use switchboard_testkit::{database::TestDatabase, on_both};
use switchboard_vault::{ChainKey, Keyring, chain_hash};

use super::*;

struct Log {
    audit: Audit,
    running: tokio::task::JoinHandle<()>,
    keys: Arc<DataKeys>,
    organization: OrganizationId,
}

async fn log(database: &TestDatabase) -> Log {
    let organization = database.organization("acme").await.id;
    let keyring = Arc::new(Keyring::generate(&database.random));
    let row = KeyEncryptionKey {
        id: keyring.primary(),
        sentinel: Sealed(vec![2; 48]),
        state: KeyState::Active,
        created_at: database.clock.now(),
    };
    let mut tx = database.db.write().await.unwrap();
    assert!(tx.keys().insert_key_encryption_key(&row).await.unwrap());
    tx.commit().await.unwrap();
    let keys = DataKeys::new(database.db.clone(), keyring, Arc::new(SystemClock), Arc::new(SystemRandom));
    let keys = Arc::new(keys);
    let (audit, running) =
        Audit::start(database.db.clone(), Arc::clone(&keys), &database.clock, &database.random);
    Log { audit, running, keys, organization }
}

impl Log {
    fn event(&self, target: &str) -> AuditEvent {
        let record = AuditRecord {
            target: Some(target.into()),
            outcome: Some(AuditOutcome::Ok),
            ..AuditRecord::default()
        };
        event(self.organization, Timestamp::from_micros(1), AuditPhase::Event, "test.event", record)
    }

    async fn write(&self, target: &str) -> Result<(), AuditUnavailable> {
        self.audit.write(self.event(target)).await
    }

    /// Ends the writer; everything on record, after its chain was followed.
    async fn end(self, db: &Db) -> Vec<AuditEntry> {
        self.audit.finish();
        self.running.await.unwrap();
        let key = self.keys.active(self.organization).await.unwrap();
        let key = ChainKey::derive(&key.key, self.organization);
        let mut tx = db.read().await.unwrap();
        let mut writers = tx.audit().heads(self.organization).await.unwrap();
        let Some((writer, ..)) = writers.pop() else { return Vec::new() };
        assert!(writers.is_empty(), "one process, one writer");
        let chain = tx.audit().chain(self.organization, writer, 0, 1_000_000).await.unwrap();
        let mut previous = [0; 32];
        for (index, entry) in chain.iter().enumerate() {
            assert_eq!(entry.seq, index as i64 + 1, "no gap");
            assert_eq!(entry.previous_hash, previous, "chained");
            assert_eq!(entry.hash, chain_hash(&key, &previous, entry.body.as_bytes()));
            previous = entry.hash;
        }
        chain
    }
}

fn count(chain: &[AuditEntry]) -> HashMap<&str, usize> {
    chain.iter().fold(HashMap::new(), |mut counts, entry| {
        *counts.entry(entry.target.as_deref().unwrap_or_default()).or_default() += 1;
        counts
    })
}

on_both! {
    async fn what_many_write_at_once_is_one_chain(database) {
        let log = log(&database).await;
        log.audit.queue(log.event("first of all")).await;
        for _ in 0..20 {
            let outcomes = join_all((0..30).map(|_| log.write("waited"))).await;
            assert!(outcomes.iter().all(Result::is_ok));
            log.audit.queue(log.event("queued")).await;
        }
        let chain = log.end(&database.db).await;
        assert_eq!(chain[0].target.as_deref(), Some("first of all"), "in the order of coming");
        assert_eq!(count(&chain)["waited"], 600);
        assert_eq!(count(&chain)["queued"], 20, "what nobody waits for is written too");
    }

    async fn who_goes_away_in_the_middle_harms_nobody(database) {
        let log = log(&database).await;
        log.write("before").await.unwrap();
        // With more than one call under way a lead waits for company.
        let under_way = (log.audit.call(), log.audit.call());
        for _ in 0..50 {
            // Queued, the lead taken; then given up before it comes to committing.
            let mut leaving = Box::pin(log.write("left"));
            // A database that is very quick has answered by now; nothing is left in the middle then.
            let _ = leaving.as_mut().now_or_never();
            let mut following = Box::pin(log.write("follows"));
            let followed = following.as_mut().now_or_never();
            drop(leaving);
            match followed {
                Some(outcome) => outcome.unwrap(),
                None => following.await.unwrap(),
            }
        }
        drop(under_way);
        log.write("after").await.unwrap();
        let chain = log.end(&database.db).await;
        let counts = count(&chain);
        assert_eq!((counts["left"], counts["follows"], counts["after"]), (50, 50, 1));
    }

    async fn a_database_that_is_being_written_to_is_waited_for(database) {
        let log = log(&database).await;
        log.write("before").await.unwrap();
        let tx = database.db.write().await.unwrap();
        let mut writing = Box::pin(log.write("meanwhile"));
        for _ in 0..10 {
            if (&mut writing).now_or_never().is_some() {
                // PostgreSQL has more than one writer.
                writing = Box::pin(log.write("meanwhile"));
            }
            tokio::task::yield_now().await;
        }
        tx.commit().await.unwrap();
        writing.await.unwrap();
        log.write("after").await.unwrap();
        let chain = log.end(&database.db).await;
        assert_eq!(chain.last().unwrap().target.as_deref(), Some("after"));
    }

    async fn after_a_failure_the_chain_goes_on(database) {
        let log = log(&database).await;
        log.write("before").await.unwrap();
        // An organization that is not there: its entry, and the group it is in, is refused.
        let mut stranger = log.event("stranger");
        stranger.organization = OrganizationId::new(&database.clock, &database.random);
        assert_eq!(log.audit.write(stranger).await, Err(AuditUnavailable));
        log.write("after").await.unwrap();
        let chain = log.end(&database.db).await;
        let targets: Vec<_> = chain.iter().filter_map(|entry| entry.target.as_deref()).collect();
        assert_eq!(targets, ["before", "after"]);
    }

    async fn after_the_end_nothing_is_taken(database) {
        let log = log(&database).await;
        log.write("before").await.unwrap();
        log.audit.queue(log.event("last")).await;
        log.audit.finish();
        while !log.running.is_finished() {
            tokio::task::yield_now().await;
        }
        assert_eq!(log.write("too late").await, Err(AuditUnavailable));
        assert_eq!(log.end(&database.db).await.len(), 2);
    }
}
