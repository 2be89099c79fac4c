//! The two tools, as every agent sees them.

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Value, json};
use switchboard_mcp::Era;

pub(super) const SEARCH: &str = "search_capabilities";
pub(super) const EXECUTE: &str = "execute_capability";

pub(super) const INSTRUCTIONS: &str = "Switchboard gives you the tools of every service this organization has \
connected. First call search_capabilities with a few words on what you need; it returns capability names with \
their signatures. Then call execute_capability with that name and its arguments. Search again with other words \
when nothing fits; ask for detail \"schema\" when a signature is not enough. When a match says that a connection \
needs something, tell the person what to do and where.";

pub(super) const DIRECT_INSTRUCTIONS: &str = "Switchboard gives you the tools, prompts and resources of services that \
this organization has connected, as those services offer them. When a call fails, its structured content says what \
happened, who can change it, and what to do.";

fn search_tool() -> Value {
    json!({
        "name": SEARCH,
        "title": "Search capabilities",
        "description": "Find tools of the connected services by what they do. Give a few words (\"create issue\", \
    \"list unpaid invoices\"); an empty query lists everything. Returns names and one-line signatures to call with \
    execute_capability. A match of kind connection_status is a service that you were granted but can't be used yet: \
    it says who must do what.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "query": { "type": "string", "description": "What you need, in a few words. Empty lists everything." },
                "limit": { "type": "integer", "minimum": 1, "maximum": 20, "default": 5,
                           "description": "How many matches." },
                "cursor": { "type": "string", "description": "next_cursor of the page before." },
                "connection": { "type": "string", "description": "Only this connection, by its slug." },
                "detail": { "type": "string", "enum": ["brief", "signature", "schema"], "default": "signature",
                            "description": "How much to say about each match." }
            },
            "additionalProperties": false
        },
        "outputSchema": {
            "type": "object",
            "properties": {
                "matches": { "type": "array", "items": { "type": "object" } },
                "total": { "type": "integer" },
                "next_cursor": { "type": "string" },
                "coverage": {
                    "type": "object",
                    "properties": {
                        "connections_searched": { "type": "integer" },
                        "connections_total": { "type": "integer" }
                    }
                },
                "hint": { "type": "string" }
            }
        },
        "annotations": { "title": "Search capabilities", "readOnlyHint": true, "openWorldHint": false }
    })
}

fn execute_tool() -> Value {
    json!({
        "name": EXECUTE,
        "title": "Execute a capability",
        "description": "Call one capability found with search_capabilities. The result is the service's own, \
    unchanged. When it fails, structuredContent has a code, who must act, and what to do.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "name": { "type": "string", "description": "The capability, as search_capabilities names it, such as linear.create_issue." },
                "arguments": { "type": "object", "description": "Its arguments, by its signature or schema." },
                "schema_digest": { "type": "string", "description": "The schema_digest of the match; the call is refused when the definition has changed since." },
                "intent": { "type": "string", "description": "One sentence on why, for the person who may have to approve it." },
                "approval_id": { "type": "string", "description": "When a person has approved this very call." }
            },
            "required": ["name"],
            "additionalProperties": false
        },
        "annotations": { "title": "Execute a capability", "readOnlyHint": false, "destructiveHint": true,
                         "openWorldHint": true }
    })
}

static LEGACY: LazyLock<Bytes> =
    LazyLock::new(|| json!({ "tools": [search_tool(), execute_tool()] }).to_string().into());
static MODERN: LazyLock<Bytes> = LazyLock::new(|| {
    json!({
        "resultType": "complete",
        "tools": [search_tool(), execute_tool()],
        "ttlMs": 3_600_000,
        "cacheScope": "private"
    })
    .to_string()
    .into()
});

/// The result of `tools/list`, made once.
pub(super) fn list(era: Era) -> Bytes {
    match era {
        Era::Legacy => LEGACY.clone(),
        Era::Modern => MODERN.clone(),
    }
}
