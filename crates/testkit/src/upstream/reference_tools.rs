//! The reference upstream's tools: one for each kind of answer a tool can give.

use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{CallToolResult, ContentBlock, JsonObject, Tool};
use serde_json::{Value, json};

/// A PNG of one transparent pixel.
const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

fn tool(definition: Value) -> Tool {
    serde_json::from_value(definition).expect("a tool definition")
}

/// The tools with a behaviour of their own, then fillers up to `count` (never fewer than the former).
pub(super) fn tools(count: usize) -> Vec<Tool> {
    let mut tools = behaviours();
    let fillers = count.saturating_sub(tools.len());
    tools.extend((1..=fillers).map(filler));
    tools
}

fn behaviours() -> Vec<Tool> {
    vec![
        tool(json!({
            "name": "echo", "title": "Echo", "description": "Answers with the text it was given.",
            "inputSchema": {"type": "object", "properties": {"text": {"type": "string", "description": "What to answer"}}, "required": ["text"]},
            "annotations": {"readOnlyHint": true, "idempotentHint": true},
        })),
        tool(json!({
            "name": "bytes", "description": "Answers with a text of the given length.",
            "inputSchema": {"type": "object", "properties": {"count": {"type": "integer", "minimum": 0}}, "required": ["count"]},
            "annotations": {"readOnlyHint": true},
        })),
        tool(json!({
            "name": "slow", "description": "Answers after a while.",
            "inputSchema": {"type": "object", "properties": {"milliseconds": {"type": "integer", "minimum": 0}}, "required": ["milliseconds"]},
        })),
        tool(json!({
            "name": "fail", "description": "Answers that it failed: a result with isError.",
            "inputSchema": {"type": "object", "properties": {"message": {"type": "string"}}},
        })),
        tool(json!({
            "name": "refuse", "description": "Answers with a JSON-RPC error instead of a result.",
            "inputSchema": {"type": "object", "properties": {"message": {"type": "string"}}},
        })),
        tool(json!({
            "name": "add", "description": "Adds two numbers; answers with structured content.",
            "inputSchema": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"]},
            "outputSchema": {"type": "object", "properties": {"sum": {"type": "number"}}, "required": ["sum"]},
            "annotations": {"readOnlyHint": true},
        })),
        tool(json!({
            "name": "content", "description": "Answers with one block of every kind of content.",
            "inputSchema": {"type": "object"},
        })),
        tool(json!({
            "name": "delete_everything", "description": "Says that it is destructive; deletes nothing.",
            "inputSchema": {"type": "object"},
            "annotations": {"destructiveHint": true, "readOnlyHint": false},
        })),
        tool(json!({
            "name": "change_tools", "description": "Adds a tool and tells every subscriber that the list changed.",
            "inputSchema": {"type": "object"},
        })),
    ]
}

/// About the size that tools of real servers have: a sentence and three parameters.
fn filler(number: usize) -> Tool {
    const SUBJECTS: [&str; 8] =
        ["issue", "invoice", "calendar event", "branch", "customer", "message", "dashboard", "file"];
    const ACTIONS: [&str; 5] = ["list", "create", "update", "search", "archive"];
    let subject = SUBJECTS[number % SUBJECTS.len()];
    let action = ACTIONS[number / SUBJECTS.len() % ACTIONS.len()];
    tool(json!({
        "name": format!("{action}_{}_{number:04}", subject.replace(' ', "_")),
        "description": format!("Use this to {action} one {subject} or several of workspace {number}. Results are ordered by the time of their last change."),
        "inputSchema": {
            "type": "object",
            "properties": {
                "identifier": {"type": "string", "description": format!("Identifier of the {subject}")},
                "limit": {"type": "integer", "minimum": 1, "maximum": 100, "description": "How many to return"},
                "include_archived": {"type": "boolean"},
            },
            "required": ["identifier"],
        },
    }))
}

/// What a tool answers; `change_tools` is the server's own business.
pub(super) async fn call(name: &str, arguments: &JsonObject) -> Result<CallToolResult, ErrorData> {
    let text = |field: &str| arguments.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let count = |field: &str| {
        arguments
            .get(field)
            .and_then(Value::as_u64)
            .ok_or_else(|| ErrorData::invalid_params(format!("{field} must be a whole number"), None))
    };
    match name {
        "echo" => Ok(CallToolResult::success(vec![ContentBlock::text(text("text"))])),
        "bytes" => {
            Ok(CallToolResult::success(vec![ContentBlock::text("a".repeat(count("count")? as usize))]))
        }
        "slow" => {
            tokio::time::sleep(Duration::from_millis(count("milliseconds")?)).await;
            Ok(CallToolResult::success(vec![ContentBlock::text("done")]))
        }
        "fail" => Ok(CallToolResult::error(vec![ContentBlock::text(text("message"))])),
        "refuse" => Err(ErrorData::internal_error(text("message"), None)),
        "add" => {
            let number = |field: &str| arguments.get(field).and_then(Value::as_f64).unwrap_or_default();
            Ok(CallToolResult::structured(json!({"sum": number("a") + number("b")})))
        }
        "content" => content(),
        "delete_everything" => Ok(CallToolResult::success(vec![ContentBlock::text("nothing was deleted")])),
        // Fillers say what they were asked.
        _ => Ok(CallToolResult::success(vec![ContentBlock::text(
            Value::Object(arguments.clone()).to_string(),
        )])),
    }
}

fn content() -> Result<CallToolResult, ErrorData> {
    let blocks = json!([
        {"type": "text", "text": "every kind of content", "annotations": {"audience": ["user"], "priority": 0.5}},
        {"type": "image", "data": PIXEL, "mimeType": "image/png"},
        {"type": "audio", "data": "UklGRiQAAABXQVZFZm10IBAAAAABAAEA", "mimeType": "audio/wav"},
        {"type": "resource", "resource": {"uri": "reference://note", "mimeType": "text/plain", "text": "a note"}},
        {"type": "resource_link", "uri": "reference://report", "name": "report", "mimeType": "text/csv"},
    ]);
    let blocks: Vec<ContentBlock> =
        serde_json::from_value(blocks).map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    Ok(CallToolResult::success(blocks))
}
