//! Tools that talk to the client while they work.

use std::time::Duration;

use rmcp::{
    ErrorData, RoleServer,
    model::{
        CallToolResult, ClientCapabilities, JsonObject, LoggingLevel, LoggingMessageNotificationParam,
        ProgressNotificationParam,
    },
    service::RequestContext,
};
use serde_json::{Value, json};

use super::fixtures::{FIXTURES, complete, typed};

/// Between two messages, so that they are not one.
const MOMENT: Duration = Duration::from_millis(50);

pub(super) fn text(text: &str) -> Result<CallToolResult, ErrorData> {
    complete(json!({ "content": [{ "type": "text", "text": text }] }))
}

pub(super) async fn call(
    name: &str,
    arguments: &JsonObject,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResult, ErrorData> {
    if let Some(ready) = FIXTURES.results.get(name) {
        return complete(ready.clone());
    }
    if let Some(schema) = FIXTURES.elicitations.get(name) {
        return elicit(schema, arguments, context).await;
    }
    let argument = |name: &str| arguments.get(name).and_then(Value::as_str);
    match name {
        "test_tool_with_logging" => {
            for message in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
                log(context, LoggingLevel::Info, message).await;
                tokio::time::sleep(MOMENT).await;
            }
            text("Logging test completed")
        }
        "test_logging_tool" => {
            if let Some(level) = context.meta.log_level() {
                log(context, level, "logLevel was requested").await;
            }
            text("Logging tool completed")
        }
        "test_tool_with_progress" => progress(context).await,
        "test_custom_header" => match argument("value") {
            Some(value) => text(value),
            None => Err(ErrorData::invalid_params("value must be a string", None)),
        },
        "test_sampling" => sample(argument("prompt").unwrap_or("Hello"), context).await,
        "test_reconnection" => {
            tokio::time::sleep(MOMENT * 2).await;
            text("Reconnection test completed")
        }
        "test_missing_capability" => {
            if context.meta.client_capabilities().unwrap_or_default().sampling.is_none() {
                let needed = ClientCapabilities::builder().enable_sampling().build();
                return Err(ErrorData::missing_required_client_capability(needed));
            }
            text("Required capability declared")
        }
        name => Err(ErrorData::invalid_params(format!("Unknown tool: {name}"), None)),
    }
}

async fn log(context: &RequestContext<RoleServer>, level: LoggingLevel, message: &str) {
    let message = LoggingMessageNotificationParam::new(level, json!(message)).with_logger("conformance");
    // A client that has gone hears nothing.
    let _ = context.peer.notify_logging_message(message).await;
}

async fn progress(context: &RequestContext<RoleServer>) -> Result<CallToolResult, ErrorData> {
    let token = context.meta.get_progress_token();
    for done in [0.0, 50.0, 100.0] {
        if let Some(token) = token.clone() {
            let told = ProgressNotificationParam::new(token, done).with_total(100.0).with_message("working");
            let _ = context.peer.notify_progress(told).await;
        }
        tokio::time::sleep(MOMENT).await;
    }
    text("Progress test completed")
}

async fn elicit(
    schema: &Value,
    arguments: &JsonObject,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResult, ErrorData> {
    let message = arguments.get("message").and_then(Value::as_str).unwrap_or("Please tell");
    let asked = typed(json!({ "mode": "form", "message": message, "requestedSchema": schema }))?;
    match context.peer.create_elicitation(asked).await {
        Ok(answer) => {
            let action = serde_json::to_value(&answer.action).unwrap_or(Value::Null);
            let content = answer.content.unwrap_or(Value::Null);
            text(&format!("User response: action={}, content={content}", action.as_str().unwrap_or("")))
        }
        Err(error) => failed(&error),
    }
}

async fn sample(prompt: &str, context: &RequestContext<RoleServer>) -> Result<CallToolResult, ErrorData> {
    let message = json!({ "role": "user", "content": { "type": "text", "text": prompt } });
    let asked = typed(json!({ "messages": [message], "maxTokens": 100 }))?;
    match context.peer.create_message(asked).await {
        Ok(answer) => {
            let said = serde_json::to_value(&answer).unwrap_or(Value::Null);
            let said = said.pointer("/content/text").and_then(Value::as_str).unwrap_or("nothing").to_owned();
            text(&format!("LLM response: {said}"))
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::fmt::Display) -> Result<CallToolResult, ErrorData> {
    complete(json!({ "content": [{ "type": "text", "text": error.to_string() }], "isError": true }))
}
