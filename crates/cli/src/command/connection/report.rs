//! A connection and its diagnosis, for people.

use serde_json::{Value, json};

use crate::{
    client::{CONNECTION, Client, cell},
    failure::Failure,
    output::{self, plain},
};

/// One line a fact; what is absent is left out.
pub(super) fn facts(connection: &Value) -> String {
    let members = [
        ("slug", "slug"),
        ("name", "name"),
        ("id", "id"),
        ("url", "url"),
        ("transport", "transport"),
        ("auth_type", "auth"),
        ("credential_mode", "credential"),
        ("enabled", "enabled"),
        ("status", "state"),
        ("reason", "reason"),
        ("message", "message"),
        ("tools_count", "tools"),
        ("checked_at", "checked"),
    ];
    let mut text = String::new();
    for (member, label) in members {
        let value = cell(connection, member);
        if !value.is_empty() {
            text.push_str(&format!("{label:<10}  {}\n", plain(&value)));
        }
    }
    let auth_type = cell(connection, "auth_type");
    let key = &connection[auth_type.as_str()]["public_key"];
    if key.is_object() {
        text.push_str(&format!("public key  {}\n", plain(&key.to_string())));
        text.push_str(&format!("also at     {}\n", plain(&cell(connection, "client_keys_url"))));
    }
    if let Some(label) = connection["action"]["label"].as_str() {
        let who = cell(connection, "action_owner").replace('_', " ");
        let (kind, slug) = (cell(&connection["action"], "type"), cell(connection, "slug"));
        let how = match kind.as_str() {
            "retry" | "configure" | "contact" => format!("switchboard connection check {slug}"),
            _ => cell(&connection["action"], "url"),
        };
        text.push_str(&format!("next        {} ({}): {}\n", plain(label), plain(&who), plain(&how)));
    }
    text
}

pub(super) async fn check(client: &Client, given: &str, json: bool) -> Result<(), Failure> {
    let id = client.id_of(&CONNECTION, given).await?;
    let answer = client.post(&format!("/connections/{id}/check"), &json!({})).await?;
    let diagnosis = if answer["diagnosis"].is_object() { &answer["diagnosis"] } else { &answer };
    let passed = diagnosis["failed"].is_null();
    if json {
        output::print_json(&answer);
    } else {
        output::print(&verdict(diagnosis));
    }
    if passed { Ok(()) } else { Err(Failure::Reported) }
}

fn verdict(diagnosis: &Value) -> String {
    let line = |label: &str, text: &str| {
        if text.is_empty() { String::new() } else { format!("{label:<10}  {}\n", plain(text)) }
    };
    let mut text = line("reached", &cell(diagnosis, "reached"));
    text.push_str(&line("failed", &cell(diagnosis, "failed")));
    text.push_str(&line("reason", &cell(diagnosis, "reason")));
    text.push_str(&line("message", &cell(diagnosis, "message")));
    text.push_str(&line("who", &cell(diagnosis, "actor").replace('_', " ")));
    text.push_str(&line("next", &cell(&diagnosis["action"], "label")));
    text.push_str(&line("took", &format!("{} ms", cell(diagnosis, "duration_ms"))));
    text
}
