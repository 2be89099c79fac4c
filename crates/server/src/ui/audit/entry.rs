//! `/audit/{writer}/{seq}`: all that an entry says.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use serde_json::Value;
use switchboard_catalog::{revealed, revealed_json};

use super::{PATH, words};
use crate::{
    ServerState, browser,
    ui::{account::person, navigation::Navigation, no_page, page, refused::refused},
};

/// What is shown by name, in order; whatever else an entry has comes after.
const NAMED: &[(&str, &str)] = &[
    ("action", "Action"),
    ("target", "What"),
    ("client", "Client, in its own words"),
    ("resource", "Endpoint"),
    ("connection", "Connection"),
    ("credential", "Account used"),
    ("decision", "Decision"),
    ("rule", "Rule"),
    ("approval", "Approval"),
    ("code", "Code"),
    ("duration_ms", "Milliseconds"),
    ("request_bytes", "Bytes sent"),
    ("response_bytes", "Bytes received"),
    ("arguments_digest", "Digest of the arguments (SHA-256)"),
    ("reference_id", "Reference"),
    ("phase", "Phase"),
    ("writer", "Written by process"),
    ("seq", "Number there"),
    ("previous_hash", "Hash of the entry before"),
    ("hash", "Hash"),
];
const APART: &[&str] = &["at", "actor", "intent", "outcome", "details", "call_id"];

#[derive(Template)]
#[template(path = "audit_entry.html")]
struct Entry {
    navigation: Navigation,
    title: String,
    at: String,
    exact: String,
    actor: String,
    actor_id: String,
    outcome: (String, &'static str, &'static str),
    intent: Option<String>,
    facts: Vec<(String, String)>,
    details: Option<String>,
    call: Option<String>,
    approval: Option<String>,
}

pub(super) async fn show(
    State(state): State<ServerState>,
    Path((writer, seq)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let (Ok(writer), Ok(seq)) = (writer.parse(), seq.parse()) else { return no_page() };
    let principal = &signed_in.principal;
    let entry = match state.broker.read_audit_entry(principal, writer, seq).await {
        Ok(entry) => entry,
        Err(refusal) => return refused(&refusal),
    };
    let id = entry["actor"]["id"].as_str().unwrap_or_default().to_owned();
    let names = match state.broker.actor_names(principal, [id.clone()]).await {
        Ok(names) => names,
        Err(refusal) => return refused(&refusal),
    };
    let form_token = browser::form_token(&state, &headers);
    let text = |name: &str| entry[name].as_str().map(str::to_owned);
    let shown = Entry {
        navigation: Navigation::new(&state, &signed_in, &form_token, &format!("{PATH}/entry")).await,
        title: words::text(&entry, if entry["call_id"].is_null() { "action" } else { "target" }),
        at: words::moment(&entry),
        exact: text("at").unwrap_or_default(),
        actor: words::actor(&entry, &names),
        actor_id: id,
        outcome: words::outcome(&entry),
        intent: text("intent").map(|intent| revealed(&intent)),
        facts: facts(&entry),
        details: entry.get("details").filter(|given| !given.is_null()).map(json),
        call: text("reference_id"),
        approval: text("approval"),
    };
    page(StatusCode::OK, &shown)
}

fn facts(entry: &Value) -> Vec<(String, String)> {
    let shown = |value: &Value| match value {
        Value::String(text) => revealed(text),
        other => json(other),
    };
    let named = NAMED.iter().filter_map(|(name, label)| {
        let value = entry.get(*name).filter(|value| !value.is_null())?;
        Some(((*label).to_owned(), shown(value)))
    });
    let others = entry.as_object().into_iter().flatten().filter(|(name, value)| {
        let known = NAMED.iter().any(|(known, _)| known == name) || APART.contains(&name.as_str());
        !known && !value.is_null()
    });
    named.chain(others.map(|(name, value)| (name.replace('_', " "), shown(value)))).collect()
}

fn json(value: &Value) -> String {
    let raw = value.to_string();
    revealed_json(&raw).unwrap_or_else(|_| revealed(&raw))
}
