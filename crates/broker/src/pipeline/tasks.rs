//! What is asked of an upstream about a task, in its own generation, and what a client of either hears of it.

use std::{collections::HashSet, fmt::Write as _, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json, value::RawValue};
use switchboard_mcp::{Era, ErrorObject, RawObject, TASKS, code};
use switchboard_storage::McpTaskPlace;

use super::forward::Way;
use crate::{
    Broker,
    tasks::{Status, Task, TaskStep, TaskUnderway, empty, named, result_of},
    upstream::{RawResult, RelatedTask, Side, UpstreamError, may_ask_all},
};

/// Between two questions how a task gets on, where its upstream says nothing of that or something absurd.
const POLL: Duration = Duration::from_millis(500);
const LEAST_POLL: Duration = Duration::from_millis(50);
const MOST_POLL: Duration = Duration::from_secs(10);

fn read(result: &Bytes) -> Result<RawObject<'_>, UpstreamError> {
    serde_json::from_slice(result)
        .map_err(|error| UpstreamError::Protocol(format!("what it says of a task can't be read: {error}")))
}

fn rpc(code: i64, message: &str) -> UpstreamError {
    UpstreamError::Rpc(ErrorObject { code, message: message.into(), data: None })
}

/// A client that does not know tasks, and a tool that only works as one.
pub(super) fn needs_tasks() -> UpstreamError {
    UpstreamError::Rpc(ErrorObject {
        code: code::MISSING_CAPABILITY,
        message: format!("this tool works as a task only, and the request does not declare `{TASKS}`"),
        data: Some(json!({ "requiredCapabilities": { "extensions": { TASKS: {} } } })),
    })
}

/// Whether an upstream refused a call because it would have become a task.
pub(super) fn wants_tasks(error: &UpstreamError) -> bool {
    let UpstreamError::Rpc(ErrorObject { code: code::MISSING_CAPABILITY, data: Some(data), .. }) = error
    else {
        return false;
    };
    data.pointer("/requiredCapabilities/extensions").is_some_and(|needed| needed.get(TASKS).is_some())
}

/// Whether an answer to a call that was to be a task of the older generation is one.
pub(super) fn is_created(result: &RawObject<'_>) -> bool {
    let task = result.get("task").and_then(|task| RawObject::parse(task).ok());
    task.is_some_and(|task| task.read::<String>("taskId").is_some())
}

/// The client's side of what is asked about a task.
pub(super) fn side_of(task: &TaskUnderway, side: Option<&Side>) -> Side {
    let is_modern = task.place == McpTaskPlace::Modern;
    let upstream = (!is_modern).then(|| task.upstream_id.as_str().into());
    Side {
        knows_tasks: is_modern,
        related: Some(RelatedTask { here: task.id.to_string().into(), upstream }),
        ..side.cloned().unwrap_or_else(|| Side::deaf(task.era == Era::Legacy))
    }
}

impl Broker {
    pub(super) async fn about_task(
        &self,
        way: &Way<'_>,
        task: &TaskUnderway,
    ) -> Result<RawResult, UpstreamError> {
        let answer = match (task.place, task.era, &task.step) {
            (McpTaskPlace::Here, ..) => self.about_task_here(task).await,
            (McpTaskPlace::Modern, _, TaskStep::Listen { begins }) => {
                let about = (task.upstream_id.as_str(), *begins);
                way.watch_task(self, about).await.map(|()| empty(task.era))
            }
            (McpTaskPlace::Legacy, _, TaskStep::Listen { .. }) => Ok(empty(task.era)),
            (McpTaskPlace::Modern, Era::Modern, _) | (McpTaskPlace::Legacy, Era::Legacy, _) => {
                same_generation(self, way, task).await
            }
            (McpTaskPlace::Legacy, Era::Modern, _) => at_legacy(self, way, task).await,
            (McpTaskPlace::Modern, Era::Legacy, _) => at_modern(self, way, task).await,
        };
        // Its own name of the task is nothing for the client.
        answer.map_err(|error| match error {
            UpstreamError::Rpc(error) if !task.upstream_id.is_empty() => UpstreamError::Rpc(ErrorObject {
                message: error.message.replace(&task.upstream_id, &task.id.to_string()),
                ..error
            }),
            error => error,
        })
    }

    /// A call that was over at once, and is kept here for a while.
    async fn about_task_here(&self, task: &TaskUnderway) -> Result<RawResult, UpstreamError> {
        let kept =
            self.result_kept_here(task).await.map_err(|error| rpc(code::INTERNAL_ERROR, &error.message))?;
        let result = kept
            .ok_or_else(|| rpc(code::INVALID_PARAMS, "the task is over, and its result is no longer kept"))?;
        let is_over = || rpc(code::INVALID_PARAMS, "the task is over");
        match (&task.step, task.era) {
            (TaskStep::Get, era) => {
                let state = Task::over(task.id, task.began, &result);
                let is_error = state.status == Status::Failed;
                let further = match era {
                    Era::Modern => format!("\"result\":{}", text_of(&result)),
                    Era::Legacy => String::new(),
                };
                Ok(state.ended(era, is_error).result(era, &further))
            }
            (TaskStep::Result, _) => {
                let raw: Box<RawValue> = serde_json::from_slice(&result).map_err(|_| is_over())?;
                Ok(result_of(&raw, task.id))
            }
            (TaskStep::Cancel, Era::Legacy) => Err(is_over()),
            (TaskStep::Cancel | TaskStep::Update(_) | TaskStep::Listen { .. }, era) => Ok(empty(era)),
        }
    }

    /// The result of a task at an upstream of the newer generation, for a client that knows no such tasks: what it asks for
    /// is asked of the client.
    pub(super) async fn end_of_task(
        &self,
        way: &Way<'_>,
        upstream_id: &str,
    ) -> Result<RawResult, UpstreamError> {
        let members = format!("\"taskId\":{}", Value::from(upstream_id));
        let mut asked = HashSet::new();
        let waiting = async {
            loop {
                let said = way.ask(self, "tasks/get", &members).await?;
                let said = read(&said)?;
                match Status::read(&said) {
                    Status::Completed => {
                        let result = said.get("result").ok_or_else(|| {
                            UpstreamError::Protocol("its task is over and has no result".into())
                        })?;
                        return Ok(Bytes::copy_from_slice(result.get().as_bytes()));
                    }
                    Status::Failed => {
                        let error = said.read::<ErrorObject>("error");
                        return Err(error.map_or_else(
                            || UpstreamError::Protocol("its task failed and does not say why".into()),
                            UpstreamError::Rpc,
                        ));
                    }
                    Status::Cancelled => return Err(rpc(code::INTERNAL_ERROR, "the task was cancelled")),
                    Status::InputRequired => {
                        let answers = answers(way, &said, &mut asked).await?;
                        if !answers.is_empty() {
                            let members = format!("{members},\"inputResponses\":{{{answers}}}");
                            way.ask(self, "tasks/update", &members).await?;
                        }
                    }
                    Status::Working => {}
                }
                let pause =
                    said.read::<f64>("pollIntervalMs").map_or(POLL, |it| Duration::from_millis(it as u64));
                tokio::time::sleep(pause.clamp(LEAST_POLL, MOST_POLL)).await;
            }
        };
        let (deadline, limit) = way.deadline;
        tokio::time::timeout(deadline, waiting)
            .await
            .map_err(|_| UpstreamError::Timeout { after: deadline, limit })?
    }
}

/// The client's answers to what a task asks for and was not asked before, as members.
async fn answers(
    way: &Way<'_>,
    said: &RawObject<'_>,
    asked: &mut HashSet<String>,
) -> Result<String, UpstreamError> {
    let unreadable = || UpstreamError::Protocol("what its task asks for can't be read".into());
    let side = way.side.filter(|side| side.takes_questions()).ok_or_else(|| {
        UpstreamError::Protocol("its task asks for input, and the client takes no questions".into())
    })?;
    let mut answers = String::new();
    let requests = said.get("inputRequests").map(RawObject::parse).transpose().map_err(|_| unreadable())?;
    for (key, raw) in requests.unwrap_or_default().iter() {
        if !asked.insert(key.to_owned()) {
            continue;
        }
        let question = RawObject::parse(raw).map_err(|_| unreadable())?;
        let method: String = question.read("method").ok_or_else(unreadable)?;
        let answer = side.ask(&method, question.get("params").map(RawValue::to_owned)).await;
        let comma = if answers.is_empty() { "" } else { "," };
        let _ = write!(answers, "{comma}{}:{}", Value::from(key), answer.map_err(UpstreamError::Rpc)?.get());
    }
    Ok(answers)
}

async fn same_generation(
    broker: &Broker,
    way: &Way<'_>,
    task: &TaskUnderway,
) -> Result<RawResult, UpstreamError> {
    let result = way.ask(broker, task.step.method(), &task.members()).await?;
    if !may_ask_all(&result) {
        let why = "it asks a person to open an address that is no web page";
        return Err(UpstreamError::Protocol(why.into()));
    }
    match task.step {
        TaskStep::Result => {
            let raw: Box<RawValue> = serde_json::from_slice(&result)
                .map_err(|error| UpstreamError::Protocol(format!("its result can't be read: {error}")))?;
            Ok(result_of(&raw, task.id))
        }
        _ => Ok(named(&read(&result)?, task.id)),
    }
}

/// A client of the newer generation, and a task of the older one.
async fn at_legacy(broker: &Broker, way: &Way<'_>, task: &TaskUnderway) -> Result<RawResult, UpstreamError> {
    let members = task.members();
    match task.step {
        // There is nothing in the newer generation's words that it waits for.
        TaskStep::Update(_) => return Ok(empty(Era::Modern)),
        TaskStep::Cancel => {
            return match way.ask(broker, "tasks/cancel", &members).await {
                Ok(_) => Ok(empty(Era::Modern)),
                // One that is over can't be cancelled in the older generation, and may be in the newer.
                Err(UpstreamError::Rpc(error)) if error.code == code::INVALID_PARAMS => {
                    way.ask(broker, "tasks/get", &members).await.map(|_| empty(Era::Modern))
                }
                Err(error) => Err(error),
            };
        }
        _ => {}
    }
    let said = way.ask(broker, "tasks/get", &members).await?;
    let state = Task::read(&read(&said)?, task.id, task.place);
    if !matches!(state.status, Status::Completed | Status::Failed) {
        return Ok(state.waiting().result(Era::Modern, ""));
    }
    match way.ask(broker, "tasks/result", &members).await {
        Ok(result) => {
            let raw: Box<RawValue> = serde_json::from_slice(&result)
                .map_err(|error| UpstreamError::Protocol(format!("its result can't be read: {error}")))?;
            let result = result_of(&raw, task.id);
            let state = state.now(Status::Completed);
            Ok(state.result(Era::Modern, &format!("\"result\":{}", text_of(&result))))
        }
        Err(UpstreamError::Rpc(error)) => {
            let state = state.now(Status::Failed);
            let error = serde_json::to_string(&error).unwrap_or_else(|_| "{}".into());
            Ok(state.result(Era::Modern, &format!("\"error\":{error}")))
        }
        Err(error) => Err(error),
    }
}

/// A client of the older generation, and a task of the newer one.
async fn at_modern(broker: &Broker, way: &Way<'_>, task: &TaskUnderway) -> Result<RawResult, UpstreamError> {
    let members = task.members();
    if matches!(task.step, TaskStep::Result) {
        let result = broker.end_of_task(way, &task.upstream_id).await?;
        let raw: Box<RawValue> = serde_json::from_slice(&result)
            .map_err(|error| UpstreamError::Protocol(format!("its result can't be read: {error}")))?;
        return Ok(result_of(&raw, task.id));
    }
    let mut said = way.ask(broker, "tasks/get", &members).await?;
    if matches!(task.step, TaskStep::Cancel) {
        if Task::read(&read(&said)?, task.id, task.place).status.is_over() {
            return Err(rpc(code::INVALID_PARAMS, "the task is over"));
        }
        way.ask(broker, "tasks/cancel", &members).await?;
        said = way.ask(broker, "tasks/get", &members).await?;
    }
    let said = read(&said)?;
    let result = said.get("result").and_then(|result| RawObject::parse(result).ok());
    let is_error = result.is_some_and(|result| result.read("isError").unwrap_or(false));
    Ok(Task::read(&said, task.id, task.place).ended(Era::Legacy, is_error).result(Era::Legacy, ""))
}

fn text_of(result: &Bytes) -> &str {
    std::str::from_utf8(result).unwrap_or("{}")
}
