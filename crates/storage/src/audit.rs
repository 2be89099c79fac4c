//! The audit log: append-only. Entries arrive in groups, chained by their writer; a group is one statement on a
//! connection whose durability is the setting's.

use std::sync::Arc;

use serde::Serialize;
use switchboard_domain::{AuditOutcome, AuditPhase, OrganizationId, Timestamp, WriterId};
use switchboard_vault::StatementKind;
use uuid::Uuid;

use crate::{
    Db, StorageError, Tx,
    db::Backend,
    row::{digest, hex, text, word},
    statement::{execute, fetch_all, fetch_optional, statements},
    transaction::{Driver, Link},
};

/// One entry as stored. `body` is exactly the text that was hashed; the other columns are copies to filter by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    pub organization: OrganizationId,
    pub writer: WriterId,
    /// Counts one writer's entries of one organization, from 1, without gaps.
    pub seq: i64,
    pub at: Timestamp,
    pub phase: AuditPhase,
    pub action: String,
    pub call_id: Option<String>,
    pub actor: Option<String>,
    pub target: Option<String>,
    pub outcome: Option<AuditOutcome>,
    pub previous_hash: [u8; 32],
    pub hash: [u8; 32],
    pub body: String,
}

/// Which entries to show; everything given must match.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub actor: Option<String>,
    pub action: Option<String>,
    pub target: Option<String>,
    pub outcome: Option<AuditOutcome>,
    pub call_id: Option<String>,
    /// Leaves out that a call began: how it ended says all of it again.
    pub without_starts: bool,
    /// At or after.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
    /// Continue after this entry of the page before.
    pub after: Option<AuditCursor>,
}

/// Where a page ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditCursor {
    pub at: Timestamp,
    pub writer: WriterId,
    pub seq: i64,
}

impl AuditCursor {
    /// Goes on with what is before this instant.
    pub fn at_the_end_of(at: Timestamp) -> Self {
        Self { at, writer: WriterId::from_uuid(Uuid::nil()), seq: i64::MIN }
    }
}

/// How many calls ended in an hour (hours since 1970-01-01, UTC), with one outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourlyCalls {
    pub hour: i64,
    pub outcome: Option<AuditOutcome>,
    pub calls: i64,
}

/// Which calls of a connection.
#[derive(Debug, Clone)]
pub struct CallsOf {
    /// At or after.
    pub from: Timestamp,
    pub before: Timestamp,
    pub actor: Option<String>,
    pub outcome: Option<AuditOutcome>,
    pub limit: u32,
}

impl From<&AuditEntry> for AuditCursor {
    fn from(entry: &AuditEntry) -> Self {
        Self { at: entry.at, writer: entry.writer, seq: entry.seq }
    }
}

statements! {
    APPEND = {
        sqlite: "INSERT INTO audit_entry (organization_id, writer_id, seq, at, phase, action, call_id, actor, target, outcome, previous_hash, hash, body) SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, unhex(value ->> 10), unhex(value ->> 11), value ->> 12 FROM json_each($1)",
        postgres: "INSERT INTO audit_entry (organization_id, writer_id, seq, at, phase, action, call_id, actor, target, outcome, previous_hash, hash, body) SELECT (value ->> 0)::uuid, (value ->> 1)::uuid, (value ->> 2)::bigint, (value ->> 3)::bigint, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, decode(value ->> 10, 'hex'), decode(value ->> 11, 'hex'), value ->> 12 FROM json_array_elements($1::json)"
    };
    /// The same entry by entry, for SQLite's own connection: all of a transaction.
    APPEND_ONE = "INSERT INTO audit_entry (organization_id, writer_id, seq, at, phase, action, call_id, actor, target, outcome, previous_hash, hash, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    HEAD = "SELECT seq, hash FROM audit_entry WHERE organization_id = $1 AND writer_id = $2 ORDER BY seq DESC LIMIT 1";
    /// Per writer, its last entry: what a signed head covers. Goes from writer to writer in the index, however long their
    /// chains are.
    HEADS = "WITH RECURSIVE w (id) AS (SELECT (SELECT a.writer_id FROM audit_entry a WHERE a.organization_id = $1 ORDER BY a.writer_id LIMIT 1) UNION ALL SELECT (SELECT b.writer_id FROM audit_entry b WHERE b.organization_id = $1 AND b.writer_id > w.id ORDER BY b.writer_id LIMIT 1) FROM w WHERE w.id IS NOT NULL) SELECT w.id, e.seq, e.hash FROM w JOIN audit_entry e ON e.organization_id = $1 AND e.writer_id = w.id AND e.seq = (SELECT l.seq FROM audit_entry l WHERE l.organization_id = $1 AND l.writer_id = w.id ORDER BY l.seq DESC LIMIT 1) ORDER BY w.id";
    /// Calls that ended since an instant, by hour (hours since 1970-01-01) and outcome.
    CALLS_BY_HOUR = {
        sqlite: "SELECT at / 3600000000 AS hour, outcome, count(*) AS calls FROM audit_entry INDEXED BY audit_entry_of_calls WHERE organization_id = $1 AND at >= $2 AND action = 'capability.execute' AND phase = 'completed' GROUP BY at / 3600000000, outcome",
        postgres: "SELECT at / 3600000000 AS hour, outcome, count(*) AS calls FROM audit_entry WHERE organization_id = $1 AND at >= $2 AND action = 'capability.execute' AND phase = 'completed' GROUP BY at / 3600000000, outcome"
    };
    ANY_CALL = {
        sqlite: "SELECT 1 FROM audit_entry INDEXED BY audit_entry_of_calls WHERE organization_id = $1 AND action = 'capability.execute' AND phase = 'completed' LIMIT 1",
        postgres: "SELECT 1 FROM audit_entry WHERE organization_id = $1 AND action = 'capability.execute' AND phase = 'completed' LIMIT 1"
    };
    /// The newest calls of one connection: their targets begin with its name and a dot.
    CALLS_OF = {
        sqlite: "SELECT organization_id, writer_id, seq, at, phase, action, call_id, actor, target, outcome, previous_hash, hash, body FROM audit_entry INDEXED BY audit_entry_of_calls WHERE organization_id = $1 AND at >= $2 AND at < $3 AND action = 'capability.execute' AND phase = 'completed' AND substr(target, 1, length($4)) = $4 AND (CAST($5 AS TEXT) IS NULL OR actor = $5) AND (CAST($6 AS TEXT) IS NULL OR outcome = $6) ORDER BY at DESC LIMIT $7",
        postgres: "SELECT organization_id, writer_id, seq, at, phase, action, call_id, actor, target, outcome, previous_hash, hash, body FROM audit_entry WHERE organization_id = $1 AND at >= $2 AND at < $3 AND action = 'capability.execute' AND phase = 'completed' AND substr(target, 1, length($4)) = $4 AND (CAST($5 AS TEXT) IS NULL OR actor = $5) AND (CAST($6 AS TEXT) IS NULL OR outcome = $6) ORDER BY at DESC LIMIT $7"
    };
    CHAIN = "SELECT organization_id, writer_id, seq, at, phase, action, call_id, actor, target, outcome, previous_hash, hash, body FROM audit_entry WHERE organization_id = $1 AND writer_id = $2 AND seq > $3 ORDER BY seq LIMIT $4";
}

#[derive(sqlx::FromRow)]
pub(crate) struct Row {
    organization_id: Uuid,
    writer_id: Uuid,
    seq: i64,
    at: i64,
    phase: String,
    action: String,
    call_id: Option<String>,
    actor: Option<String>,
    target: Option<String>,
    outcome: Option<String>,
    previous_hash: Vec<u8>,
    hash: Vec<u8>,
    body: String,
}

impl TryFrom<Row> for AuditEntry {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        let outcome = row.outcome.as_deref().map(|it| word(it, AuditOutcome::from_word, "audit outcome"));
        Ok(Self {
            organization: OrganizationId::from_uuid(row.organization_id),
            writer: WriterId::from_uuid(row.writer_id),
            seq: row.seq,
            at: Timestamp::from_micros(row.at),
            phase: word(&row.phase, AuditPhase::from_word, "audit phase")?,
            action: row.action,
            call_id: row.call_id,
            actor: row.actor,
            target: row.target,
            outcome: outcome.transpose()?,
            previous_hash: digest(&row.previous_hash, "audit hash")?,
            hash: digest(&row.hash, "audit hash")?,
            body: row.body,
        })
    }
}

/// An entry on its way in: one element of the statement's JSON argument, by position.
#[derive(Serialize)]
struct Appended<'a>(
    String,
    String,
    i64,
    i64,
    &'static str,
    std::borrow::Cow<'a, str>,
    Option<&'a str>,
    Option<std::borrow::Cow<'a, str>>,
    Option<std::borrow::Cow<'a, str>>,
    Option<&'static str>,
    String,
    String,
    &'a str,
);

impl<'a> From<&'a AuditEntry> for Appended<'a> {
    fn from(entry: &'a AuditEntry) -> Self {
        Self(
            entry.organization.as_uuid().simple().to_string(),
            entry.writer.as_uuid().simple().to_string(),
            entry.seq,
            entry.at.as_micros(),
            entry.phase.as_str(),
            text(&entry.action),
            entry.call_id.as_deref(),
            entry.actor.as_deref().map(text),
            entry.target.as_deref().map(text),
            entry.outcome.map(AuditOutcome::as_str),
            hex(&entry.previous_hash),
            hex(&entry.hash),
            &entry.body,
        )
    }
}

fn group(entries: &[AuditEntry]) -> Result<String, StorageError> {
    let entries: Vec<Appended<'_>> = entries.iter().map(Appended::from).collect();
    serde_json::to_string(&entries).map_err(|_| StorageError::Unreadable("audit entry"))
}

/// What a group adds to SQLite's log, in pages.
fn pages(entries: &[AuditEntry]) -> usize {
    1 + entries.iter().map(|entry| entry.body.len() + 256).sum::<usize>() / 4096
}

impl Db {
    /// Appends a group of entries: all or none, one round trip. When this returns they survive what the setting
    /// promises. Groups of one writer must come one after another.
    pub async fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), StorageError> {
        if entries.is_empty() {
            return Ok(());
        }
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => {
                let turn = sqlite.turn().await?;
                sqlite.account(pages(entries));
                let (audit, entries) = (Arc::clone(&sqlite.audit), entries.to_vec());
                // The turn goes with the work, so that a caller who stops waiting does not let others in.
                let append = move || {
                    let _turn = turn;
                    audit.append(&entries)
                };
                match tokio::task::spawn_blocking(append).await {
                    Ok(appended) => appended,
                    Err(stopped) => Err(StorageError::Unavailable(stopped.into())),
                }
            }
            Backend::Postgres(postgres) => {
                let group = group(entries)?;
                let link = Link::single(&postgres.audit).await?;
                execute!(&mut self.tx(Driver::Postgres(link), None), APPEND, &group).map(drop)
            }
        }
    }

    /// Whether [`Self::try_append_audit`] is worth trying.
    pub fn appends_at_once(&self) -> bool {
        matches!(&self.inner.backend, Backend::Sqlite(sqlite) if sqlite.audit.is_quick())
    }

    /// The same on this very thread, when that takes neither a flush to disk nor any waiting, which is some tens of
    /// microseconds; `false`, with nothing done, when it can't be.
    pub fn try_append_audit(&self, entries: &[AuditEntry]) -> Result<bool, StorageError> {
        let Backend::Sqlite(sqlite) = &self.inner.backend else { return Ok(false) };
        let Some(_turn) = sqlite.turn_now() else { return Ok(false) };
        let appended = sqlite.audit.try_append(entries)?;
        if appended {
            sqlite.account(pages(entries));
        }
        Ok(appended)
    }
}

impl Tx {
    pub fn audit(&mut self) -> Audit<'_> {
        Audit { tx: self }
    }
}

/// See [`Tx::audit`].
#[derive(Debug)]
pub struct Audit<'t> {
    pub(crate) tx: &'t mut Tx,
}

impl Audit<'_> {
    /// Appends in the transaction of the change that the entries are about.
    pub async fn append(self, entries: &[AuditEntry]) -> Result<(), StorageError> {
        if entries.is_empty() {
            return Ok(());
        }
        execute!(self.tx, APPEND, &group(entries)?).map(drop)
    }

    /// The last sequence number and hash of one writer; after its last entry was deleted, that entry's.
    pub async fn head(
        self,
        organization: OrganizationId,
        writer: WriterId,
    ) -> Result<Option<(i64, [u8; 32])>, StorageError> {
        let row = fetch_optional!(self.tx, HEAD => (i64, Vec<u8>), organization.as_uuid(), writer.as_uuid())?;
        if let Some((seq, hash)) = row {
            return Ok(Some((seq, digest(&hash, "audit hash")?)));
        }
        let checkpoint = self.tx.audit_heads().find(organization, writer, StatementKind::Checkpoint).await?;
        Ok(checkpoint.map(|checkpoint| (checkpoint.statement.seq, checkpoint.statement.hash)))
    }

    /// The last sequence number and hash of every writer.
    pub async fn heads(
        self,
        organization: OrganizationId,
    ) -> Result<Vec<(WriterId, i64, [u8; 32])>, StorageError> {
        fetch_all!(self.tx, HEADS => (Uuid, i64, Vec<u8>), organization.as_uuid())?
            .into_iter()
            .map(|(writer, seq, hash)| Ok((WriterId::from_uuid(writer), seq, digest(&hash, "audit hash")?)))
            .collect()
    }

    /// Calls that ended since an instant, by hour and outcome.
    pub async fn calls_by_hour(
        self,
        organization: OrganizationId,
        since: Timestamp,
    ) -> Result<Vec<HourlyCalls>, StorageError> {
        let org = organization.as_uuid();
        let rows = fetch_all!(self.tx, CALLS_BY_HOUR => (i64, Option<String>, i64), org, since.as_micros())?;
        rows.into_iter()
            .map(|(hour, outcome, calls)| {
                let outcome = outcome.as_deref().map(|it| word(it, AuditOutcome::from_word, "audit outcome"));
                Ok(HourlyCalls { hour, outcome: outcome.transpose()?, calls })
            })
            .collect()
    }

    /// Whether there ever was a call, as far as the log is kept.
    pub async fn any_call(self, organization: OrganizationId) -> Result<bool, StorageError> {
        Ok(fetch_optional!(self.tx, ANY_CALL => (i32,), organization.as_uuid())?.is_some())
    }

    /// The newest calls of a connection, by how its name stands before the dot.
    pub async fn calls_of(
        self,
        organization: OrganizationId,
        prefix: &str,
        asked: &CallsOf,
    ) -> Result<Vec<AuditEntry>, StorageError> {
        let rows = fetch_all!(
            self.tx,
            CALLS_OF => Row,
            organization.as_uuid(),
            asked.from.as_micros(),
            asked.before.as_micros(),
            format!("{prefix}."),
            asked.actor.as_deref().map(text),
            asked.outcome.map(AuditOutcome::as_str),
            i64::from(asked.limit),
        )?;
        rows.into_iter().map(Row::try_into).collect()
    }

    /// One writer's chain in order, at most `limit` entries after sequence number `after`: for verifying.
    pub async fn chain(
        self,
        organization: OrganizationId,
        writer: WriterId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StorageError> {
        let (org, writer) = (organization.as_uuid(), writer.as_uuid());
        fetch_all!(self.tx, CHAIN => Row, org, writer, after, i64::from(limit))?
            .into_iter()
            .map(Row::try_into)
            .collect()
    }
}
