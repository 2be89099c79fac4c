//! The tools as they are listed: schemas of what goes in and comes out, and honest hints.

use serde_json::{Value, json};

pub(super) fn all() -> Vec<Value> {
    let mut tools = notes();
    tools.extend(offline());
    tools
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn note() -> Value {
    object(json!({"id": {"type": "integer"}, "text": {"type": "string"}}), &["id", "text"])
}

fn many_notes() -> Value {
    object(json!({"notes": {"type": "array", "items": note()}}), &["notes"])
}

fn hints(read_only: bool, destructive: bool) -> Value {
    json!({"readOnlyHint": read_only, "destructiveHint": destructive, "idempotentHint": read_only, "openWorldHint": false})
}

fn notes() -> Vec<Value> {
    vec![
        json!({
            "name": "add_note", "title": "Add a note",
            "description": "Keep a short text as a note. Returns the note with its id.",
            "inputSchema": object(json!({"text": {"type": "string", "minLength": 1, "maxLength": 2000, "description": "What to remember"}}), &["text"]),
            "outputSchema": note(), "annotations": hints(false, false),
        }),
        json!({
            "name": "list_notes", "title": "List notes",
            "description": "List all notes, oldest first.",
            "inputSchema": object(json!({}), &[]),
            "outputSchema": many_notes(), "annotations": hints(true, false),
        }),
        json!({
            "name": "search_notes", "title": "Search notes",
            "description": "Find the notes that contain a text, whatever its capitals.",
            "inputSchema": object(json!({"query": {"type": "string", "minLength": 1, "maxLength": 200}}), &["query"]),
            "outputSchema": many_notes(), "annotations": hints(true, false),
        }),
        json!({
            "name": "delete_note", "title": "Delete a note",
            "description": "Delete one note for good, by its id.",
            "inputSchema": object(json!({"id": {"type": "integer", "minimum": 1}}), &["id"]),
            "outputSchema": object(json!({"deleted": {"type": "integer"}}), &["deleted"]),
            "annotations": hints(false, true),
        }),
    ]
}

fn offline() -> Vec<Value> {
    vec![
        json!({
            "name": "calculate", "title": "Calculate",
            "description": "Evaluate an arithmetic expression with + - * / % ^ and parentheses.",
            "inputSchema": object(json!({"expression": {"type": "string", "minLength": 1, "maxLength": 500, "examples": ["(2 + 3) * 4"]}}), &["expression"]),
            "outputSchema": object(json!({"value": {"type": "number"}}), &["value"]), "annotations": hints(true, false),
        }),
        json!({
            "name": "convert_time", "title": "Convert a time",
            "description": "Convert an instant (RFC 3339) to the clock time at another UTC offset.",
            "inputSchema": object(json!({
                "time": {"type": "string", "examples": ["2026-11-21T09:30:00Z"]},
                "offset": {"type": "string", "pattern": "^[+-][0-9]{2}:[0-9]{2}$", "examples": ["+05:30"]},
            }), &["time", "offset"]),
            "outputSchema": object(json!({"time": {"type": "string"}, "weekday": {"type": "string"}}), &["time", "weekday"]),
            "annotations": hints(true, false),
        }),
        json!({
            "name": "text_statistics", "title": "Text statistics",
            "description": "Count the characters, words, lines and distinct words of a text.",
            "inputSchema": object(json!({"text": {"type": "string", "maxLength": 100_000}}), &["text"]),
            "outputSchema": object(json!({
                "characters": {"type": "integer"}, "words": {"type": "integer"},
                "lines": {"type": "integer"}, "distinct_words": {"type": "integer"},
            }), &["characters", "words", "lines", "distinct_words"]),
            "annotations": hints(true, false),
        }),
        json!({
            "name": "color_swatch", "title": "Color swatch",
            "description": "Draw a square of one color as a PNG image.",
            "inputSchema": object(json!({"color": {"type": "string", "pattern": "^#[0-9a-fA-F]{6}$", "examples": ["#3366cc"]}}), &["color"]),
            "annotations": hints(true, false),
        }),
        json!({
            "name": "always_fails", "title": "Always fails",
            "description": "Return a tool error, to try out how a client shows one.",
            "inputSchema": object(json!({}), &[]), "annotations": hints(true, false),
        }),
    ]
}
