//! The MCP server built into `switchboard demo`: small useful tools that work offline, and one of each kind of
//! answer (text, structured content, an image, an error), so that a client can be tried against all of them.
//!
//! It speaks the same JSON as a server behind a socket; what it remembers is gone when the process ends.

mod calculate;
mod definitions;
mod notes;
mod picture;
mod text;
mod time;
pub(crate) mod vendor;

use bytes::Bytes;
use serde_json::{Value, json};
use switchboard_broker::InProcessServer;
use switchboard_mcp::{ErrorObject, code};

use notes::Notes;

/// Slug of its connection.
pub(crate) const SLUG: &str = "sample";

#[derive(Debug, Default)]
pub(crate) struct SampleServer {
    notes: Notes,
}

/// What a tool has to say: content, and whether it went wrong.
enum Answer {
    /// Structured content; its text form is made from it.
    Structured(Value),
    Content(Value),
    /// `isError`: the tool ran and failed.
    Failed(String),
}

impl InProcessServer for SampleServer {
    fn instructions(&self) -> Option<String> {
        Some("Notes, arithmetic, time and text: a sample server that runs inside Switchboard.".into())
    }

    fn handle(&self, method: &str, members: &str) -> Result<Bytes, ErrorObject> {
        let parameters: Value = serde_json::from_str(&format!("{{{members}}}")).map_err(|error| {
            failure(code::INVALID_PARAMS, format!("the parameters can't be read: {error}"))
        })?;
        let result = match method {
            "tools/list" => json!({
                "tools": definitions::all(),
                "ttlMs": 3_600_000,
                "cacheScope": "public",
                "resultType": "complete",
            }),
            "tools/call" => self.call(&parameters)?,
            "ping" => json!({}),
            _ => return Err(failure(code::METHOD_NOT_FOUND, format!("there is no method {method}"))),
        };
        Ok(result.to_string().into())
    }
}

impl SampleServer {
    fn call(&self, parameters: &Value) -> Result<Value, ErrorObject> {
        let name = parameters["name"].as_str().unwrap_or_default();
        let arguments = &parameters["arguments"];
        let answer = match name {
            "add_note" => self.notes.add(arguments),
            "list_notes" => self.notes.list(),
            "search_notes" => self.notes.search(arguments),
            "delete_note" => self.notes.delete(arguments),
            "calculate" => calculate::answer(arguments),
            "convert_time" => time::answer(arguments),
            "text_statistics" => text::answer(arguments),
            "color_swatch" => picture::answer(arguments),
            "always_fails" => Answer::Failed(
                "This tool always fails, so that you can see what a failure looks like.".into(),
            ),
            _ => return Err(failure(code::INVALID_PARAMS, format!("there is no tool {name}"))),
        };
        Ok(match answer {
            Answer::Structured(value) => json!({
                "content": [{"type": "text", "text": value.to_string()}],
                "structuredContent": value,
                "resultType": "complete",
            }),
            Answer::Content(content) => json!({"content": content, "resultType": "complete"}),
            Answer::Failed(message) => {
                json!({"content": [{"type": "text", "text": message}], "isError": true, "resultType": "complete"})
            }
        })
    }
}

fn failure(code: i64, message: String) -> ErrorObject {
    ErrorObject { code, message, data: None }
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
