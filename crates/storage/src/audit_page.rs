//! The audit log in pages, newest first.
//!
//! A question that fits most entries finds a page of them at once by going back in time. One that fits few (a single
//! member's, a tool that nobody calls) would read the whole log that way, so it is answered from an index that has what is
//! asked for in it: of calls by when they ended, of everything else, of what did not go well. A call puts one entry into one
//! of them, in the order of time. An index by member or tool would find such pages sooner, and cost every call a quarter more.
//!
//! Even an index of a million calls takes its time. Whoever wants an answer soon looks no further back than some days, and
//! says so.
//!
//! SQLite does not take an index over a part of a table by itself, so its texts name it.

use switchboard_domain::{AuditOutcome, AuditPhase, OrganizationId, Timestamp, WriterId};
use uuid::Uuid;

use crate::{
    AuditCursor, AuditEntry, AuditFilter, StorageError,
    audit::{Audit, Row},
    row::text,
    statement::{Statement, fetch_all, statements},
};

/// What is no call, as the indexes over it say.
macro_rules! others {
    () => {
        "(action <> 'capability.execute' OR phase = 'event') AND phase <> 'started'"
    };
}

/// Of the entries that an index is over, those that fit.
macro_rules! part {
    ($index:literal, $narrow:literal, $over:expr) => {
        concat!(
            "SELECT organization_id, writer_id, seq, at, phase, action, call_id, actor, target, outcome, previous_hash, hash, body FROM audit_entry",
            $index,
            " WHERE organization_id = $1 AND at >= $2 AND at < $3 AND (at, writer_id, seq) < ($4, $5, $6) AND ",
            $narrow,
            " AND (CAST($7 AS TEXT) IS NULL OR actor = $7) AND (CAST($8 AS TEXT) IS NULL OR action = $8) AND (CAST($9 AS TEXT) IS NULL OR target = $9) AND (CAST($10 AS TEXT) IS NULL OR outcome = $10) AND (CAST($11 AS TEXT) IS NULL OR call_id = $11) AND ",
            $over,
            " ORDER BY at DESC, writer_id DESC, seq DESC LIMIT $12"
        )
    };
}

/// Calls that ended, and everything that is no call.
macro_rules! either {
    ($calls:literal, $others:literal, $narrow:literal) => {
        concat!(
            "SELECT organization_id, writer_id, seq, at, phase, action, call_id, actor, target, outcome, previous_hash, hash, body FROM (",
            part!($calls, $narrow, "action = 'capability.execute' AND phase = 'completed'"),
            ") AS calls UNION ALL SELECT organization_id, writer_id, seq, at, phase, action, call_id, actor, target, outcome, previous_hash, hash, body FROM (",
            part!($others, $narrow, others!()),
            ") AS others ORDER BY at DESC, writer_id DESC, seq DESC LIMIT $12"
        )
    };
}

statements! {
    PAGE = "SELECT organization_id, writer_id, seq, at, phase, action, call_id, actor, target, outcome, previous_hash, hash, body FROM audit_entry WHERE organization_id = $1 AND at >= $2 AND at < $3 AND (at, writer_id, seq) < ($4, $5, $6) AND (CAST($7 AS TEXT) IS NULL OR actor = $7) AND (CAST($8 AS TEXT) IS NULL OR action = $8) AND (CAST($9 AS TEXT) IS NULL OR target = $9) AND (CAST($10 AS TEXT) IS NULL OR outcome = $10) AND (CAST($11 AS TEXT) IS NULL OR call_id = $11) AND (CAST($13 AS TEXT) IS NULL OR phase <> $13) ORDER BY at DESC, writer_id DESC, seq DESC LIMIT $12";
    OF_CALL = {
        sqlite: either!(" INDEXED BY audit_entry_of_calls", " INDEXED BY audit_entry_of_others", "call_id = $11"),
        postgres: either!("", "", "call_id = $11")
    };
    OF_ACTOR = {
        sqlite: either!(" INDEXED BY audit_entry_of_calls", " INDEXED BY audit_entry_of_others", "actor = $7"),
        postgres: either!("", "", "actor = $7")
    };
    OF_TARGET = {
        sqlite: either!(" INDEXED BY audit_entry_of_calls", " INDEXED BY audit_entry_of_others", "target = $9"),
        postgres: either!("", "", "target = $9")
    };
    /// What did not go well is little, as a rule.
    OF_OUTCOME = {
        sqlite: part!(" INDEXED BY audit_entry_of_trouble", "outcome = $10 AND outcome <> 'ok'", "phase <> 'started'"),
        postgres: part!("", "outcome = $10 AND outcome <> 'ok'", "phase <> 'started'")
    };
    /// Other actions than calls of tools.
    OF_ACTION = {
        sqlite: part!(" INDEXED BY audit_entry_of_others", "action = $8", others!()),
        postgres: part!("", "action = $8", others!())
    };
}

impl AuditFilter {
    /// The one that reads the fewest entries. The beginnings of calls are in no index but that of time.
    fn statement(&self) -> Statement {
        let in_trouble = self.outcome.is_some_and(|outcome| outcome != AuditOutcome::Ok);
        let is_change = self.action.as_deref().is_some_and(|action| action != "capability.execute");
        match self {
            _ if !self.without_starts => PAGE,
            Self { call_id: Some(_), .. } => OF_CALL,
            _ if is_change => OF_ACTION,
            _ if in_trouble => OF_OUTCOME,
            Self { actor: Some(_), .. } => OF_ACTOR,
            Self { target: Some(_), .. } => OF_TARGET,
            _ => PAGE,
        }
    }
}

impl AuditFilter {
    /// Whether every call has to be looked at, because no index is by what is asked for.
    pub fn looks_at_every_call(&self) -> bool {
        [OF_CALL.name, OF_ACTOR.name, OF_TARGET.name].contains(&self.statement().name)
    }

    /// Only what is before this fits.
    pub fn ends(&self) -> Timestamp {
        let ends = [self.to, self.after.map(|after| after.at)];
        ends.into_iter().flatten().min().unwrap_or(Timestamp::from_micros(i64::MAX))
    }
}

impl Audit<'_> {
    /// Newest first, at most `limit`; the last one's [`AuditCursor`] continues.
    pub async fn page(
        self,
        organization: OrganizationId,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StorageError> {
        let after = filter.after.unwrap_or(AuditCursor {
            at: Timestamp::from_micros(i64::MAX),
            writer: WriterId::from_uuid(Uuid::max()),
            seq: i64::MAX,
        });
        let statement = filter.statement();
        let starts = filter.without_starts.then_some(AuditPhase::Started.as_str());
        macro_rules! found {
            ($($more:expr)?) => {
                fetch_all!(
                    self.tx,
                    statement => Row,
                    organization.as_uuid(),
                    filter.from.map_or(i64::MIN, Timestamp::as_micros),
                    filter.to.map_or(i64::MAX, Timestamp::as_micros),
                    after.at.as_micros(),
                    after.writer.as_uuid(),
                    after.seq,
                    filter.actor.as_deref().map(text),
                    filter.action.as_deref().map(text),
                    filter.target.as_deref().map(text),
                    filter.outcome.map(AuditOutcome::as_str),
                    filter.call_id.as_deref().map(text),
                    i64::from(limit),
                    $($more)?
                )?
            };
        }
        let rows = if statement.name == PAGE.name { found!(starts) } else { found!() };
        rows.into_iter().map(Row::try_into).collect()
    }
}
