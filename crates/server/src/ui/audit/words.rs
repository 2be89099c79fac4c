//! An entry of the audit log in words.

use std::collections::BTreeMap;

use serde_json::Value;
use switchboard_catalog::displayed;
use switchboard_domain::AuditOutcome;

const TEXT: usize = 200;

/// As the list and the filter name them.
pub(super) const OUTCOMES: [(AuditOutcome, &str, &str, &str); 5] = [
    (AuditOutcome::Ok, "Done", "good", "✓"),
    (AuditOutcome::ToolError, "The tool's own error", "ask", "!"),
    (AuditOutcome::Refused, "Refused", "bad", "!"),
    (AuditOutcome::Held, "Waited for approval", "ask", "→"),
    (AuditOutcome::Failed, "Failed", "bad", "!"),
];

/// How it ended: word, look, sign.
pub(super) fn outcome(entry: &Value) -> (String, &'static str, &'static str) {
    let word = entry["outcome"].as_str().and_then(AuditOutcome::from_word);
    let known = OUTCOMES.into_iter().find(|(outcome, ..)| Some(*outcome) == word);
    known.map_or(("Begun".to_owned(), "off", "…"), |(_, word, tone, sign)| (word.to_owned(), tone, sign))
}

/// Who did it: a member or a program by name, anybody else by kind.
pub(super) fn actor(entry: &Value, names: &BTreeMap<String, String>) -> String {
    let id = entry["actor"]["id"].as_str().unwrap_or_default();
    match (names.get(id), entry["actor"]["type"].as_str()) {
        (Some(name), _) => displayed(name, TEXT),
        (None, Some("job" | "system")) => "Switchboard itself".to_owned(),
        (None, Some(kind)) if kind == id => displayed(&kind.replace('_', " "), TEXT),
        (None, Some(kind)) => displayed(&format!("{} {id}", kind.replace('_', " ")), TEXT),
        (None, None) => "Switchboard itself".to_owned(),
    }
}

pub(super) fn text(entry: &Value, name: &str) -> String {
    match &entry[name] {
        Value::Null => String::new(),
        Value::String(text) => displayed(text, TEXT),
        other => displayed(&other.to_string(), TEXT),
    }
}

/// `2026-11-21 15:04:05`, UTC.
pub(super) fn moment(entry: &Value) -> String {
    let at = entry["at"].as_str().unwrap_or_default();
    at.chars().take(19).collect::<String>().replace('T', " ")
}

/// The endpoint that a call came in on, as people call it.
pub(super) fn endpoint(entry: &Value) -> String {
    let resource = entry["resource"].as_str().unwrap_or_default();
    match resource.strip_prefix("/mcp/toolkits/").or_else(|| resource.strip_prefix("/mcp/connections/")) {
        Some(slug) => displayed(slug, TEXT),
        None if resource == "/mcp" => "everything".to_owned(),
        None => displayed(resource, TEXT),
    }
}

/// The slug before the tool's own name.
pub(super) fn connection(entry: &Value) -> String {
    let target = entry["target"].as_str().unwrap_or_default();
    let slug = target.split_once('.').filter(|_| entry["connection"].is_string());
    slug.map_or_else(String::new, |(slug, _)| displayed(slug, TEXT))
}
