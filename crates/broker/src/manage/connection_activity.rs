//! The latest calls of a connection, from the audit log: everybody's for whoever manages it, the caller's own for others.

use std::time::Duration;

use serde_json::Value;
use switchboard_domain::{AuditOutcome, ConnectionId, ConnectionOwner, Principal, Timestamp};
use switchboard_storage::{AuditEntry, CallsOf};

use super::{Operation, Refusal, Target, authorize};
use crate::Broker;

/// How far back it goes: beyond that there is the audit log.
const LOOKS_BACK: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// About how many calls of the whole organization are looked at for a page.
const GLANCE: i64 = 40_000;
const PAGE: usize = 50;

/// Which calls.
#[derive(Debug, Clone, Default)]
pub struct ActivityQuery {
    pub outcome: Option<AuditOutcome>,
    /// Older ones alone: continues a page.
    pub before: Option<Timestamp>,
}

/// A call that ended.
#[derive(Debug)]
pub struct CallView {
    pub at: Timestamp,
    pub capability: String,
    /// Id of the member or service account.
    pub caller: String,
    pub client: Option<String>,
    pub outcome: Option<AuditOutcome>,
    /// Why it did not go well.
    pub code: Option<String>,
    pub duration_ms: Option<i64>,
    /// What an error named as its reference.
    pub reference: Option<String>,
}

#[derive(Debug)]
pub struct ActivityView {
    /// Newest first.
    pub calls: Vec<CallView>,
    /// The page goes on before this instant.
    pub next: Option<Timestamp>,
    /// Since when calls were looked through, when not as far back as it goes.
    pub back: Option<Timestamp>,
    /// Everybody's calls, not the caller's own alone.
    pub is_everybodys: bool,
}

impl Broker {
    pub async fn connection_activity(
        &self,
        principal: &Principal,
        id: ConnectionId,
        query: &ActivityQuery,
    ) -> Result<ActivityView, Refusal> {
        let known = self.known_connection(principal.organization, id).await?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let _allowed = authorize(principal, Operation::ReadConnection, target)?;
        // The names of personal connections are their owners' alone: another's may be called the same.
        let is_everybodys = known.connection.owner == ConnectionOwner::Organization
            && authorize(principal, Operation::ReadGrants, target).is_ok();
        let now = self.clock().now();
        let before = query.before.unwrap_or(Timestamp::from_micros(i64::MAX));
        let back = self.since_so_many_calls(principal.organization, before, GLANCE).await?;
        let furthest = now.minus(LOOKS_BACK);
        let back = back.filter(|back| *back > furthest);
        let asked = CallsOf {
            from: back.unwrap_or(furthest),
            before,
            actor: (!is_everybodys).then(|| principal.caller.to_string()),
            outcome: query.outcome,
            limit: u32::try_from(PAGE + 1).unwrap_or(u32::MAX),
        };
        let prefix = known.connection.name_prefix();
        let mut reader = self.db().single().await?;
        let mut entries = reader.audit().calls_of(principal.organization, &prefix, &asked).await?;
        let more = entries.len() > PAGE;
        entries.truncate(PAGE);
        let back = back.filter(|_| !more);
        Ok(ActivityView {
            next: entries.last().filter(|_| more).map(|last| last.at).or(back),
            back,
            calls: entries.into_iter().map(view).collect(),
            is_everybodys,
        })
    }
}

fn view(entry: AuditEntry) -> CallView {
    let body: Value = serde_json::from_str(&entry.body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    CallView {
        at: entry.at,
        capability: entry.target.unwrap_or_default(),
        caller: entry.actor.unwrap_or_default(),
        client: match &body["client"] {
            Value::Object(client) => client.get("name").and_then(Value::as_str).map(str::to_owned),
            _ => text("client"),
        },
        outcome: entry.outcome,
        code: text("code"),
        duration_ms: body["duration_ms"].as_i64(),
        reference: entry.call_id,
    }
}
