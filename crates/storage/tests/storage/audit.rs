//! The audit log: groups, pages, chains.

use switchboard_domain::{AuditOutcome, AuditPhase, OrganizationId, Timestamp, WriterId};
use switchboard_storage::{AuditCursor, AuditEntry, AuditFilter, Db, Migrations, StorageError};
use switchboard_testkit::on_both;

use crate::at;

pub(crate) fn entry(organization: OrganizationId, writer: WriterId, seq: i64) -> AuditEntry {
    AuditEntry {
        organization,
        writer,
        seq,
        at: at(seq / 2),
        phase: if seq % 2 == 1 { AuditPhase::Started } else { AuditPhase::Completed },
        action: "capability.execute".into(),
        call_id: Some(format!("call_{}", (seq + 1) / 2)),
        actor: Some(format!("mem_{}", seq % 3)),
        target: Some("linear.create_issue".into()),
        outcome: (seq % 2 == 0).then_some(AuditOutcome::Ok),
        previous_hash: [(seq - 1) as u8; 32],
        hash: [seq as u8; 32],
        body: format!(
            r#"{{"call_id":"call_{}","intent":"\u0000 \"quoted\" é \ud83d\ude00","n":{seq}}}"#,
            (seq + 1) / 2
        ),
    }
}

on_both! {
    async fn a_group_reads_back_exactly(database) {
        let org = database.organization("acme").await.id;
        let writer = WriterId::new(&database.clock, &database.random);
        let written: Vec<AuditEntry> = (1..=100).map(|seq| entry(org, writer, seq)).collect();
        database.db.append_audit(&[]).await.unwrap();
        database.db.append_audit(&written[..60]).await.unwrap();
        database.db.append_audit(&written[60..]).await.unwrap();
        let mut tx = database.db.read().await.unwrap();
        assert_eq!(tx.audit().head(org, writer).await.unwrap(), Some((100, [100; 32])));
        assert_eq!(tx.audit().heads(org).await.unwrap(), [(writer, 100, [100; 32])]);
        let mut read = tx.audit().chain(org, writer, 0, 70).await.unwrap();
        read.extend(tx.audit().chain(org, writer, 70, 70).await.unwrap());
        assert_eq!(read, written);
    }

    async fn a_group_is_appended_whole_or_not_at_all(database) {
        let org = database.organization("acme").await.id;
        let writer = WriterId::new(&database.clock, &database.random);
        database.db.append_audit(&[entry(org, writer, 1)]).await.unwrap();
        let refused = database.db.append_audit(&[entry(org, writer, 2), entry(org, writer, 1)]).await;
        assert!(matches!(refused, Err(StorageError::Duplicate)), "{refused:?}");
        let mut stranger = entry(org, writer, 3);
        stranger.organization = OrganizationId::new(&database.clock, &database.random);
        let refused = database.db.append_audit(&[entry(org, writer, 2), stranger]).await;
        assert!(matches!(refused, Err(StorageError::Reference)), "{refused:?}");
        let mut tx = database.db.single().await.unwrap();
        assert_eq!(tx.audit().head(org, writer).await.unwrap(), Some((1, [1; 32])));
    }

    async fn a_hostile_target_does_not_spoil_the_group(database) {
        let org = database.organization("acme").await.id;
        let writer = WriterId::new(&database.clock, &database.random);
        let mut hostile = entry(org, writer, 1);
        hostile.target = Some("evil.\0tool\u{feff}".into());
        database.db.append_audit(&[hostile.clone(), entry(org, writer, 2)]).await.unwrap();
        let mut tx = database.db.single().await.unwrap();
        let filter = AuditFilter { target: hostile.target.clone(), ..AuditFilter::default() };
        let found = tx.audit().page(org, &filter, 10).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].body, hostile.body, "what was hashed is kept");
    }

    async fn pages_are_filtered_and_continue(database) {
        let org = database.organization("acme").await.id;
        let other = database.organization("other").await.id;
        let writers = [(); 2].map(|()| WriterId::new(&database.clock, &database.random));
        for writer in writers {
            let group: Vec<AuditEntry> = (1..=50).map(|seq| entry(org, writer, seq)).collect();
            database.db.append_audit(&group).await.unwrap();
        }
        database.db.append_audit(&[entry(other, writers[0], 1)]).await.unwrap();
        let mut tx = database.db.read().await.unwrap();
        let mut filter = AuditFilter::default();
        let mut seen: Vec<AuditEntry> = Vec::new();
        loop {
            let page = tx.audit().page(org, &filter, 7).await.unwrap();
            let Some(last) = page.last() else { break };
            filter.after = Some(AuditCursor::from(last));
            seen.extend(page);
        }
        assert_eq!(seen.len(), 100, "none twice, none missing, none of another organization");
        assert!(seen.is_sorted_by(|a, b| (b.at, b.writer, b.seq) < (a.at, a.writer, a.seq)), "newest first");
        let mut count = async |filter: AuditFilter| tx.audit().page(org, &filter, 1_000).await.unwrap().len();
        let all = AuditFilter::default;
        assert_eq!(count(AuditFilter { actor: Some("mem_0".into()), ..all() }).await, 32);
        assert_eq!(count(AuditFilter { outcome: Some(AuditOutcome::Ok), ..all() }).await, 50);
        assert_eq!(count(AuditFilter { outcome: Some(AuditOutcome::Failed), ..all() }).await, 0);
        assert_eq!(count(AuditFilter { call_id: Some("call_3".into()), ..all() }).await, 4);
        assert_eq!(count(AuditFilter { action: Some("token.create".into()), ..all() }).await, 0);
        assert_eq!(count(AuditFilter { from: Some(at(10)), to: Some(at(12)), ..all() }).await, 8);
    }

    async fn a_page_can_be_looked_for_piece_by_piece(database) {
        let org = database.organization("acme").await.id;
        let writer = WriterId::new(&database.clock, &database.random);
        let log: Vec<AuditEntry> = (1..=60).map(|seq| entry(org, writer, seq)).collect();
        database.db.append_audit(&log).await.unwrap();
        let mut tx = database.db.read().await.unwrap();
        let mut filter = AuditFilter { actor: Some("mem_1".into()), without_starts: true, ..AuditFilter::default() };
        assert!(filter.looks_at_every_call() && !AuditFilter::default().looks_at_every_call());
        let whole = tx.audit().page(org, &filter, 100).await.unwrap();
        let mut pieces = Vec::new();
        for back in [Some(at(23)), Some(at(15)), Some(at(7)), None] {
            filter.from = back;
            pieces.extend(tx.audit().page(org, &filter, 100).await.unwrap());
            filter.after = back.map(AuditCursor::at_the_end_of);
            assert_eq!(Some(filter.ends()), back.or(Some(Timestamp::from_micros(i64::MAX))));
        }
        assert_eq!((pieces.len(), pieces), (10, whole));
    }

    async fn what_an_index_answers_is_what_reading_everything_finds(database) {
        let org = database.organization("acme").await.id;
        let writer = WriterId::new(&database.clock, &database.random);
        let outcomes = [AuditOutcome::Ok, AuditOutcome::ToolError, AuditOutcome::Refused, AuditOutcome::Failed];
        let mut log: Vec<AuditEntry> = (1..=120).map(|seq| entry(org, writer, seq)).collect();
        for (number, entry) in log.iter_mut().enumerate() {
            entry.target = Some(format!("linear.tool_{}", number % 4));
            entry.outcome = entry.outcome.map(|_| outcomes[number / 2 % 4]);
            if number % 10 == 9 {
                (entry.phase, entry.action) = (AuditPhase::Event, format!("token.act_{}", number % 3));
            }
        }
        // Neither a call of a tool nor a change.
        log[6].action = "resource.read".into();
        database.db.append_audit(&log).await.unwrap();
        let mut tx = database.db.read().await.unwrap();
        let text = |text: &str| Some(text.to_owned());
        let plain = || AuditFilter { without_starts: true, ..AuditFilter::default() };
        let questions = [
            plain(),
            AuditFilter { actor: text("mem_1"), ..plain() },
            AuditFilter { actor: text("mem_9"), ..plain() },
            AuditFilter { target: text("linear.tool_3"), ..plain() },
            AuditFilter { target: text("linear.tool_1"), actor: text("mem_2"), ..plain() },
            AuditFilter { call_id: text("call_7"), ..plain() },
            AuditFilter { outcome: Some(AuditOutcome::Ok), ..plain() },
            AuditFilter { outcome: Some(AuditOutcome::Refused), ..plain() },
            AuditFilter { outcome: Some(AuditOutcome::Failed), actor: text("mem_0"), ..plain() },
            AuditFilter { action: text("capability.execute"), ..plain() },
            AuditFilter { action: text("token.act_0"), ..plain() },
            AuditFilter { action: text("resource.read"), ..plain() },
            AuditFilter { actor: text("mem_1"), from: Some(at(10)), to: Some(at(40)), ..plain() },
        ];
        for asked in questions {
            let fits = |entry: &&AuditEntry| {
                entry.phase != AuditPhase::Started
                    && asked.actor.as_ref().is_none_or(|it| entry.actor.as_ref() == Some(it))
                    && asked.action.as_ref().is_none_or(|it| entry.action == *it)
                    && asked.target.as_ref().is_none_or(|it| entry.target.as_ref() == Some(it))
                    && asked.outcome.is_none_or(|it| entry.outcome == Some(it))
                    && asked.call_id.as_ref().is_none_or(|it| entry.call_id.as_ref() == Some(it))
                    && asked.from.is_none_or(|from| entry.at >= from)
                    && asked.to.is_none_or(|to| entry.at < to)
            };
            let mut expected: Vec<AuditEntry> = log.iter().filter(fits).cloned().collect();
            expected.sort_by_key(|entry| std::cmp::Reverse((entry.at, entry.writer, entry.seq)));
            let mut filter = asked.clone();
            let mut found: Vec<AuditEntry> = Vec::new();
            loop {
                let page = tx.audit().page(org, &filter, 4).await.unwrap();
                let Some(last) = page.last() else { break };
                filter.after = Some(AuditCursor::from(last));
                found.extend(page);
            }
            assert_eq!(found, expected, "{asked:?}");
        }
    }

    async fn an_entry_goes_with_the_change_it_is_about(database) {
        let org = database.organization("acme").await.id;
        let writer = WriterId::new(&database.clock, &database.random);
        let mut tx = database.db.write().await.unwrap();
        tx.organizations().touch(org).await.unwrap();
        tx.audit().append(&[entry(org, writer, 1)]).await.unwrap();
        tx.rollback().await.unwrap();
        let mut tx = database.db.single().await.unwrap();
        assert_eq!(tx.audit().head(org, writer).await.unwrap(), None);
    }

    async fn appending_at_once_is_whole_or_not_at_all(database) {
        let org = database.organization("acme").await.id;
        let writer = WriterId::new(&database.clock, &database.random);
        let first = [entry(org, writer, 1)];
        assert!(!database.db.try_append_audit(&first).unwrap(), "its connection is opened by one that can wait");
        database.db.append_audit(&first).await.unwrap();
        if !database.db.appends_at_once() {
            assert!(!database.db.try_append_audit(&[entry(org, writer, 2)]).unwrap());
            return;
        }
        let refused = database.db.try_append_audit(&[entry(org, writer, 2), entry(org, writer, 1)]);
        assert!(matches!(refused, Err(StorageError::Duplicate)), "{refused:?}");
        let mut stranger = entry(org, writer, 3);
        stranger.organization = OrganizationId::new(&database.clock, &database.random);
        let refused = database.db.try_append_audit(&[entry(org, writer, 2), stranger]);
        assert!(matches!(refused, Err(StorageError::Reference)), "{refused:?}");
        let mut tx = database.db.write().await.unwrap();
        tx.organizations().touch(org).await.unwrap();
        assert!(!database.db.try_append_audit(&[entry(org, writer, 2)]).unwrap(), "while somebody writes");
        tx.commit().await.unwrap();
        // Another program on the same file, which this process's turns do not know of.
        let other = Db::open(&database.options, Migrations::Require).await.unwrap();
        let tx = other.write().await.unwrap();
        assert!(!database.db.try_append_audit(&[entry(org, writer, 2)]).unwrap(), "while another program does");
        drop(tx);
        other.close().await;
        database.db.append_audit(&[entry(org, writer, 2)]).await.unwrap();
        assert!(database.db.try_append_audit(&[entry(org, writer, 3)]).unwrap());
        let mut tx = database.db.single().await.unwrap();
        assert_eq!(tx.audit().head(org, writer).await.unwrap(), Some((3, [3; 32])));
        drop(tx);
        database.db.close().await;
        assert!(database.db.try_append_audit(&[entry(org, writer, 4)]).is_ok_and(|appended| !appended));
        assert!(database.db.append_audit(&[entry(org, writer, 4)]).await.is_err(), "closed");
    }
}
