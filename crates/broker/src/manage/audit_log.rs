//! Reading the audit log: in pages, as an export.

use std::time::Duration;

use super::{
    Operation, Page, PageRequest, Refusal, Target, authorize,
    page::{unreadable_cursor, write_cursor},
    refusal::Violations,
};
use crate::Broker;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use switchboard_domain::{AuditOutcome, CallId, OrganizationId, Principal, Timestamp, WriterId};
use switchboard_storage::{AuditCursor, AuditEntry, AuditFilter};

const EXPORT_PAGE: u32 = 500;
/// About how many calls are looked at for somebody who waits for a page.
const GLANCE: i64 = 150_000;
/// A call's entries are looked for so long before and after it began.
const AROUND_CALL: [Duration; 2] = [Duration::from_secs(60 * 60), Duration::from_secs(7 * 24 * 60 * 60)];

/// Which entries; everything given must match.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditQuery {
    /// Id of a member or service account.
    pub actor: Option<String>,
    /// Such as `capability.execute` or `grants.put`.
    pub action: Option<String>,
    /// Such as `linear.create_issue`.
    pub target: Option<String>,
    /// `ok`, `tool_error`, `refused`, `held` or `failed`.
    pub outcome: Option<AuditOutcome>,
    /// The `reference_id` of an error.
    pub call_id: Option<String>,
    /// At or after; RFC 3339.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
    pub limit: Option<usize>,
    pub cursor: Option<String>,
    /// For the export: `jsonl` (without) or `csv`.
    pub format: Option<String>,
    /// Leaves out that a call began: how it ended says all of it again.
    #[serde(skip)]
    pub without_starts: bool,
}

impl AuditQuery {
    fn filter(&self) -> Result<AuditFilter, Refusal> {
        let page = PageRequest { limit: self.limit, cursor: self.cursor.clone() };
        Ok(AuditFilter {
            actor: self.actor.clone(),
            action: self.action.clone(),
            target: self.target.clone(),
            outcome: self.outcome,
            call_id: self.call_id.clone(),
            without_starts: self.without_starts,
            from: self.from,
            to: self.to,
            after: page.after()?.map(|text| read_cursor(&text)).transpose()?,
        })
    }
}

fn read_cursor(text: &str) -> Result<AuditCursor, Refusal> {
    let mut parts = text.split('|');
    let cursor = (|| {
        let at = Timestamp::from_micros(parts.next()?.parse().ok()?);
        let writer: WriterId = parts.next()?.parse().ok()?;
        let seq = parts.next()?.parse().ok()?;
        Some(AuditCursor { at, writer, seq })
    })();
    cursor.ok_or_else(unreadable_cursor)
}

fn cursor_text(cursor: AuditCursor) -> String {
    write_cursor(&format!("{}|{}|{}", cursor.at.as_micros(), cursor.writer, cursor.seq))
}

/// What is asked of one call, in the time it may have taken: its id says when it began.
fn around_call(filter: &AuditFilter) -> Option<AuditFilter> {
    let call = filter.call_id.as_deref()?.parse::<CallId>().ok()?;
    let began = call.made_at()?;
    let [before, after] = AROUND_CALL;
    let (from, to) = (began.minus(before), began.plus(after));
    Some(AuditFilter {
        from: Some(filter.from.map_or(from, |given| given.max(from))),
        to: Some(filter.to.map_or(to, |given| given.min(to))),
        ..filter.clone()
    })
}

/// One entry as it is shown: what was hashed, its place in the chain, and instants for people.
pub(crate) fn entry_view(entry: &AuditEntry) -> Value {
    let mut shown = Map::new();
    shown.insert("seq".into(), json!(entry.seq));
    shown.insert("writer".into(), json!(entry.writer));
    shown.insert("at".into(), json!(entry.at));
    let body: Map<String, Value> = serde_json::from_str(&entry.body).unwrap_or_default();
    for (name, value) in body {
        if !matches!(name.as_str(), "organization" | "seq" | "writer" | "at" | "key") {
            shown.insert(name, value);
        }
    }
    if let Some(call) = &entry.call_id {
        shown.insert("reference_id".into(), json!(call));
    }
    shown.insert("previous_hash".into(), json!(hex::encode(entry.previous_hash)));
    shown.insert("hash".into(), json!(hex::encode(entry.hash)));
    shown.into()
}

/// Continues an export.
#[derive(Debug)]
pub struct AuditExport {
    broker: Broker,
    organization: OrganizationId,
    filter: AuditFilter,
    csv: bool,
    begun: bool,
    done: bool,
}

impl AuditExport {
    pub fn is_csv(&self) -> bool {
        self.csv
    }

    /// The next piece of text; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<String>, Refusal> {
        if self.done {
            return Ok(None);
        }
        let mut tx = self.broker.db().single().await?;
        let entries = tx.audit().page(self.organization, &self.filter, EXPORT_PAGE).await?;
        drop(tx);
        self.done = entries.len() < EXPORT_PAGE as usize;
        self.filter.after = entries.last().map(AuditCursor::from).or(self.filter.after);
        let mut text = String::new();
        if self.csv && !self.begun {
            text.push_str(&COLUMNS.join(","));
            text.push_str("\r\n");
        }
        self.begun = true;
        for entry in &entries {
            let shown = entry_view(entry);
            if self.csv {
                write_row(&mut text, &shown);
            } else {
                text.push_str(&shown.to_string());
                text.push('\n');
            }
        }
        Ok(Some(text))
    }
}

const COLUMNS: &[&str] = &[
    "at",
    "action",
    "phase",
    "actor",
    "client",
    "resource",
    "connection",
    "target",
    "decision",
    "rule",
    "outcome",
    "code",
    "duration_ms",
    "request_bytes",
    "response_bytes",
    "intent",
    "credential",
    "reference_id",
    "details",
    "writer",
    "seq",
    "previous_hash",
    "hash",
    "guardrail",
    "arguments",
];

/// RFC 4180, and no cell that a spreadsheet would take for a formula.
fn write_row(text: &mut String, shown: &Value) {
    for (index, column) in COLUMNS.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        let cell = match &shown[*column] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Object(actor) if *column == "actor" => {
                actor.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()
            }
            other => other.to_string(),
        };
        text.push_str(&csv_cell(&cell));
    }
    text.push_str("\r\n");
}

fn csv_cell(cell: &str) -> String {
    let dangerous =
        cell.trim_start().starts_with(['=', '+', '-', '@']) || cell.starts_with(['\t', '\r', '\n']);
    let safe = if dangerous { format!("'{cell}") } else { cell.to_owned() };
    if safe.contains(['"', ',', '\n', '\r']) || safe != cell {
        format!("\"{}\"", safe.replace('"', "\"\""))
    } else {
        safe
    }
}

impl Broker {
    pub async fn read_audit(
        &self,
        principal: &Principal,
        query: &AuditQuery,
    ) -> Result<Page<Value>, Refusal> {
        let _allowed = authorize(principal, Operation::ReadAudit, Target::Organization)?;
        self.audit_page(principal.organization, query.filter()?, query.limit).await
    }

    /// For somebody who waits: what fits little is looked for in the newest calls first, and the page says how far back.
    pub async fn glance_at_audit(
        &self,
        principal: &Principal,
        query: &AuditQuery,
    ) -> Result<(Page<Value>, Option<Timestamp>), Refusal> {
        let _allowed = authorize(principal, Operation::ReadAudit, Target::Organization)?;
        let (organization, filter) = (principal.organization, query.filter()?);
        if let Some(around) = around_call(&filter) {
            let found = self.audit_page(organization, around, query.limit).await?;
            if !found.items.is_empty() {
                return Ok((found, None));
            }
        }
        let back = match filter.looks_at_every_call() {
            true => self.since_so_many_calls(organization, filter.ends(), GLANCE).await?,
            false => None,
        };
        let Some(back) = back.filter(|back| filter.from.is_none_or(|from| from < *back)) else {
            return Ok((self.audit_page(organization, filter, query.limit).await?, None));
        };
        let newest = AuditFilter { from: Some(back), ..filter };
        let mut page = self.audit_page(organization, newest, query.limit).await?;
        if page.next_cursor.is_some() {
            return Ok((page, None));
        }
        page.next_cursor = Some(cursor_text(AuditCursor::at_the_end_of(back)));
        Ok((page, Some(back)))
    }

    async fn audit_page(
        &self,
        organization: OrganizationId,
        filter: AuditFilter,
        limit: Option<usize>,
    ) -> Result<Page<Value>, Refusal> {
        let limit = PageRequest { limit, cursor: None }.limit()?;
        let most = u32::try_from(limit + 1).unwrap_or(u32::MAX);
        let mut entries = self.db().single().await?.audit().page(organization, &filter, most).await?;
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next_cursor = entries.last().filter(|_| more).map(|last| cursor_text(last.into()));
        Ok(Page { items: entries.iter().map(entry_view).collect(), next_cursor })
    }

    pub fn export_audit(&self, principal: &Principal, query: &AuditQuery) -> Result<AuditExport, Refusal> {
        let _allowed = authorize(principal, Operation::ExportAudit, Target::Organization)?;
        let csv = match query.format.as_deref() {
            None | Some("jsonl") => false,
            Some("csv") => true,
            Some(_) => {
                let mut violations = Violations::default();
                violations.add("format", "Use `jsonl` or `csv`.");
                return Err(violations.into_result().err().unwrap_or_else(Refusal::unavailable));
            }
        };
        Ok(AuditExport {
            broker: self.clone(),
            organization: principal.organization,
            filter: query.filter()?,
            csv,
            begun: false,
            done: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::csv_cell;

    #[test]
    fn no_cell_is_a_formula() {
        for (cell, written) in [
            ("plain", "plain"),
            ("=1+1", "\"'=1+1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("-2", "\"'-2\""),
            ("  +3", "\"'  +3\""),
            ("\t=1", "\"'\t=1\""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("", ""),
        ] {
            assert_eq!(csv_cell(cell), written, "{cell:?}");
        }
    }
}
