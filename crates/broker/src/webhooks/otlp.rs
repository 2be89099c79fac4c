//! Entries of the audit log as OTLP logs, in the protocol's JSON form
//! (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>): what a collector takes at `/v1/logs`. They are brought
//! as to any webhook: in order, in the background, from where the collector last took them.

use serde_json::{Value, json};
use switchboard_domain::{AuditOutcome, Timestamp};
use switchboard_storage::AuditEntry;

use crate::manage::entry_view;

/// Of the log data model: <https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber>.
const INFO: (u8, &str) = (9, "INFO");
const WARN: (u8, &str) = (13, "WARN");

/// One `ExportLogsServiceRequest`.
pub(super) fn logs(entries: &[AuditEntry], now: Timestamp) -> Value {
    let organization = entries.first().map(|entry| entry.organization.to_string()).unwrap_or_default();
    let records: Vec<Value> = entries.iter().map(|entry| record(entry, now)).collect();
    json!({ "resourceLogs": [{
        "resource": { "attributes": [
            attribute("service.name", "switchboard"),
            attribute("service.version", env!("CARGO_PKG_VERSION")),
            attribute("switchboard.organization.id", &organization),
        ] },
        "scopeLogs": [{ "scope": { "name": "switchboard.audit" }, "logRecords": records }],
    }] })
}

/// The whole entry is the body, as text: whoever keeps it can verify the chain. Attributes are what one filters by.
fn record(entry: &AuditEntry, now: Timestamp) -> Value {
    let shown = entry_view(entry);
    let (number, text) = match entry.outcome {
        Some(AuditOutcome::Refused | AuditOutcome::Failed) => WARN,
        _ => INFO,
    };
    let of = |member: &str| shown[member].as_str().map(str::to_owned);
    let attributes = [
        ("switchboard.audit.action", Some(entry.action.clone())),
        ("switchboard.audit.phase", Some(entry.phase.as_str().to_owned())),
        ("switchboard.audit.outcome", of("outcome")),
        ("switchboard.audit.code", of("code")),
        ("switchboard.audit.target", entry.target.clone()),
        ("switchboard.audit.connection", of("connection")),
        ("switchboard.audit.decision", of("decision")),
        ("switchboard.audit.writer", Some(entry.writer.to_string())),
        ("switchboard.audit.call_id", entry.call_id.clone()),
        ("user.id", entry.actor.clone()),
    ];
    let attributes: Vec<Value> =
        attributes.into_iter().filter_map(|(name, value)| Some(attribute(name, &value?))).collect();
    json!({
        "timeUnixNano": nanoseconds(entry.at),
        "observedTimeUnixNano": nanoseconds(now),
        "severityNumber": number,
        "severityText": text,
        "eventName": format!("switchboard.{}", entry.action),
        "body": { "stringValue": shown.to_string() },
        "attributes": attributes,
    })
}

/// 64-bit numbers are text in this form.
fn nanoseconds(at: Timestamp) -> String {
    (i128::from(at.as_micros()) * 1_000).to_string()
}

fn attribute(name: &str, value: &str) -> Value {
    json!({ "key": name, "value": { "stringValue": value } })
}
