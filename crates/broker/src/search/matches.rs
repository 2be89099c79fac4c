//! One match as an agent reads it, and how much of the agent's context an answer may take.

use serde_json::{Map, Value, json};
use switchboard_catalog::{EntryRef, Hit, displayed};
use switchboard_policy::RuleAction;

use crate::{
    Broker, Detail,
    snapshot::{Known, Snapshot},
    status::ShownStatus,
    text,
};

/// What a match of an answer may take at detail `signature`: under 80 tokens, where four characters are one. An
/// answer of five stays under 400.
const CHARS_PER_MATCH: usize = 319;
/// An answer has at least the room of so many matches.
const LEAST_MATCHES: usize = 5;
/// What gives way, step by step, where an answer is longer: characters of a summary and of a signature, and whether
/// titles stay. Summaries give way first, because names and parameters say more about a call.
const STEPS: [(usize, usize, bool); 9] = [
    (80, 120, true),
    (80, 100, false),
    (64, 100, false),
    (64, 80, false),
    (48, 80, false),
    (48, 64, false),
    (32, 64, false),
    (32, 48, false),
    (0, 48, false),
];

impl Broker {
    /// One capability. What is not known is left out: a hint that the upstream does not give is no `false`.
    pub(super) async fn describe(
        &self,
        snapshot: &Snapshot,
        entry: &EntryRef<'_>,
        decision: RuleAction,
        detail: Detail,
    ) -> Value {
        let mut out = Map::new();
        out.insert("name".into(), json!(format!("{}.{}", entry.slug(), entry.name())));
        out.insert("connection".into(), json!({ "slug": entry.slug(), "name": entry.connection_name() }));
        if let Some(title) = entry.title().filter(|title| !says_the_same(title, entry.name())) {
            out.insert("title".into(), json!(title));
        }
        if !entry.summary().is_empty() {
            out.insert("summary".into(), json!(entry.summary()));
        }
        if detail != Detail::Brief {
            out.insert("signature".into(), json!(entry.signature().to_string()));
        }
        if let Some(known) = snapshot.connections.get(&entry.connection()) {
            if detail == Detail::Schema {
                self.add_schema(known, entry, &mut out).await;
            }
            out.insert("decision".into(), json!(decision.as_str()));
            if let Some(capability) = known.catalog.capabilities.get(entry.name()) {
                out.insert("schema_digest".into(), json!(capability.fingerprint.short()));
            }
        }
        let hints =
            [("read_only_hint", entry.read_only_hint()), ("destructive_hint", entry.destructive_hint())];
        for (name, hint) in hints {
            if let Some(hint) = hint {
                out.insert(name.into(), json!(hint));
            }
        }
        Value::Object(out)
    }

    async fn add_schema(&self, known: &Known, entry: &EntryRef<'_>, out: &mut Map<String, Value>) {
        let Some(capability) = known.catalog.capabilities.get(entry.name()) else { return };
        if let Ok(tool) = self.compiled(known, entry.name(), capability).await {
            out.insert("description".into(), json!(text::one_line(&tool.description, 16 * 1024)));
            out.insert("input_schema".into(), tool.input_schema.clone());
            if let Some(schema) = &tool.output_schema {
                out.insert("output_schema".into(), schema.clone());
            }
        }
    }
}

/// Whether a title is the name in other clothes: `Create issue` of `create_issue`.
fn says_the_same(title: &str, name: &str) -> bool {
    let letters = |text: &str| {
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>()
    };
    letters(title) == letters(name)
}

/// Shortens what can be shorter until the answer is within its bound, or nothing more can give way: names that are
/// very long stay as they are, because they are what a call needs.
pub(super) fn shorten(answer: &mut Value, hits: &[Hit]) {
    let bound = CHARS_PER_MATCH * hits.len().max(LEAST_MATCHES);
    for (summary, signature, with_title) in STEPS {
        if answer.to_string().chars().count() < bound {
            return;
        }
        let Some(matches) = answer["matches"].as_array_mut() else { return };
        let matches = matches.iter_mut().filter_map(Value::as_object_mut);
        for (shown, hit) in matches.zip(hits) {
            let entry = hit.entry();
            if !with_title {
                shown.shift_remove("title");
            }
            if summary == 0 {
                shown.shift_remove("summary");
            } else if let Some(text) = shown.get_mut("summary") {
                *text = json!(displayed(entry.summary(), summary));
            }
            shown.insert("signature".into(), json!(entry.signature().within(signature)));
        }
    }
}

/// A granted connection that can't be used now: who must do what.
pub(super) fn of_status(known: &Known, status: ShownStatus) -> Value {
    let connection = &*known.connection;
    json!({
        "kind": "connection_status",
        "connection": { "slug": connection.name_prefix(), "name": connection.name },
        "status": status.status,
        "reason": status.reason,
        "message": status.message,
        "actor": status.actor,
        "action": status.action,
        "retry": { "tool": "search_capabilities" }
    })
}
