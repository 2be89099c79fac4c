//! The server's tools: a mailbox for each account, so that it shows whose account a call is made with.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde_json::{Value, json};
use switchboard_mcp::code;

/// Messages that were sent, by recipient.
#[derive(Debug, Default)]
pub(super) struct Mail {
    sent: Mutex<HashMap<String, Vec<Value>>>,
}

const MOST: usize = 1000;

type Failed = (i64, String);

impl Mail {
    pub(super) fn handle(&self, account: &str, method: &str, params: &Value) -> Result<Value, Failed> {
        match method {
            "server/discover" => Ok(json!({
                "resultType": "complete", "supportedVersions": [switchboard_mcp::MODERN],
                "capabilities": { "tools": {} }, "ttlMs": 3_600_000, "cacheScope": "private",
                "instructions": "A mailbox for each account of the demo.",
                "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "demo-mail", "version": "1" } },
            })),
            "tools/list" => Ok(json!({
                "tools": tools(), "resultType": "complete", "ttlMs": 3_600_000, "cacheScope": "private",
            })),
            "tools/call" => self.call(account, params),
            _ => Err((code::METHOD_NOT_FOUND, format!("there is no method {method}"))),
        }
    }

    fn call(&self, account: &str, params: &Value) -> Result<Value, Failed> {
        let arguments = &params["arguments"];
        let text = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
        let answer = match params["name"].as_str().unwrap_or_default() {
            "list_messages" => {
                let mut messages = vec![json!({ "from": "demo", "subject": format!("Welcome, {account}") })];
                messages.extend(self.sent.lock().get(account).into_iter().flatten().cloned());
                json!({ "account": account, "messages": messages })
            }
            "send_message" => {
                let message = json!({ "from": account, "subject": text("subject") });
                let mut sent = self.sent.lock();
                if sent.values().map(Vec::len).sum::<usize>() < MOST {
                    sent.entry(text("to")).or_default().push(message.clone());
                }
                json!({ "sent": message, "to": text("to") })
            }
            name => return Err((code::INVALID_PARAMS, format!("there is no tool {name}"))),
        };
        Ok(json!({
            "content": [{ "type": "text", "text": answer.to_string() }], "structuredContent": answer,
            "resultType": "complete",
        }))
    }
}

fn tools() -> Value {
    json!([
        {
            "name": "list_messages", "title": "Read the inbox",
            "description": "Lists the messages in the mailbox of the account that is signed in.",
            "inputSchema": { "type": "object", "properties": {} }, "annotations": { "readOnlyHint": true },
        },
        {
            "name": "send_message", "title": "Write to somebody",
            "description": "Sends a message to another account: ada or ben.",
            "inputSchema": {
                "type": "object", "required": ["to", "subject"],
                "properties": { "to": { "type": "string", "enum": ["ada", "ben"] }, "subject": { "type": "string" } },
            },
        },
    ])
}
