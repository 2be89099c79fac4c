//! Tools of the tasks extension (`io.modelcontextprotocol/tasks`, SEP-2663).

use std::time::Duration;

use rmcp::{
    ErrorData, RoleServer,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, CreateTaskResult,
        InputRequiredResult,
    },
    service::RequestContext,
    task_manager::{TaskExit, TaskManager, TaskOptions},
};
use serde_json::{Value, json};

use super::{fixtures::complete, rounds::input_request, tools::text};

/// Those that only make sense as a task.
const REQUIRED: [&str; 4] = ["failing_job", "test_tool_with_task", "confirm_delete", "multi_input"];

pub(super) fn is_one(name: &str) -> bool {
    REQUIRED.contains(&name) || matches!(name, "greet" | "slow_compute" | "protocol_error_job")
}

pub(super) async fn call(
    tasks: &TaskManager,
    request: CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let known = context.client_capabilities().is_some_and(|capabilities| capabilities.supports_tasks());
    let name = request.name.to_string();
    if REQUIRED.contains(&name.as_str()) && !known {
        let needed = ClientCapabilities::builder().enable_tasks().build();
        return Err(ErrorData::missing_required_client_capability(needed));
    }
    if name == "test_tool_with_task" {
        let answer = request.input_responses.as_ref().and_then(|all| all.get("user_name"));
        let Some(answer) = answer.filter(|answer| answer.is_object()) else {
            let asked = [("user_name".to_owned(), input_request("elicit_name")?)].into();
            return Ok(InputRequiredResult::from_input_requests(asked).into());
        };
        let who = answer.pointer("/content/name").and_then(Value::as_str).unwrap_or("friend").to_owned();
        let work = move || async move { text(&format!("Hello, {who}! (async)")) };
        return Ok(spawn(tasks, Duration::from_millis(200), work));
    }
    let arguments = Value::Object(request.arguments.unwrap_or_default());
    match name.as_str() {
        "greet" => {
            text(&format!("Hello, {}!", arguments["name"].as_str().unwrap_or("friend"))).map(Into::into)
        }
        "confirm_delete" => Ok(asking(tasks, &[("confirm", "elicit_confirm")])),
        "multi_input" => Ok(asking(tasks, &[("input-a", "elicit_value"), ("input-b", "elicit_value")])),
        _ => {
            let seconds = arguments["seconds"].as_f64().unwrap_or(1.0);
            let pause = Duration::from_secs_f64(if name == "protocol_error_job" { 0.2 } else { seconds });
            let work = move || async move { outcome(&name, seconds) };
            if known {
                return Ok(spawn(tasks, pause, work));
            }
            tokio::time::sleep(pause).await;
            work().await.map(Into::into)
        }
    }
}

fn outcome(name: &str, seconds: f64) -> Result<CallToolResult, ErrorData> {
    match name {
        "failing_job" => {
            complete(json!({ "content": [{ "type": "text", "text": "failed, as meant" }], "isError": true }))
        }
        "protocol_error_job" => Err(ErrorData::internal_error("failed, as meant", None)),
        _ => text(&format!("computed for {seconds} s")),
    }
}

/// A task that waits, unless it is cancelled, and then has its outcome.
fn spawn<F, W>(tasks: &TaskManager, pause: Duration, work: W) -> CallToolResponse
where
    F: Future<Output = Result<CallToolResult, ErrorData>> + Send + 'static,
    W: FnOnce() -> F + Send + 'static,
{
    let task = tasks.spawn(TaskOptions::default(), move |context| {
        Box::pin(async move {
            tokio::select! {
                _ = context.cancelled() => Err(TaskExit::Cancelled),
                () = tokio::time::sleep(pause) => work().await.map_err(TaskExit::Error),
            }
        })
    });
    CreateTaskResult::new(task).into()
}

/// A task that asks for all inputs at once and ends when it has them.
fn asking(tasks: &TaskManager, inputs: &'static [(&'static str, &'static str)]) -> CallToolResponse {
    let task = tasks.spawn(TaskOptions::default(), move |context| {
        Box::pin(async move {
            let mut asked = Vec::new();
            for (key, input) in inputs {
                let question = input_request(input).map_err(TaskExit::Error)?;
                asked.push(context.request_input(*key, question));
            }
            let answers = futures_util::future::try_join_all(asked).await?;
            text(&format!("answered: {}", json!(answers))).map_err(TaskExit::Error)
        })
    });
    CreateTaskResult::new(task).into()
}
