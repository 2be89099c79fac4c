//! A server that has what the official conformance suite asks a server for, built on the SDK of most Rust servers.
//!
//! What passes here directly is expected to pass through Switchboard as well; the difference is the table in
//! `docs/reference/conformance.md`. The suite is `@modelcontextprotocol/conformance`:
//! <https://github.com/modelcontextprotocol/conformance>.
#![expect(
    deprecated,
    reason = "roots, sampling and logging are deprecated since 2026-07-28 and still have scenarios"
)]

mod fixtures;
mod rounds;
mod tasks;
mod tools;

use std::{collections::HashMap, sync::Arc};

use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestParams,
        CompleteResult, CompletionInfo, GetPromptRequestParams, GetPromptResponse, GetPromptResult,
        GetTaskParams, GetTaskResult, Implementation, InitializeRequestParams, InitializeResult,
        ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
        PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse, RequestStateCodec,
        ServerCapabilities, ServerConfig, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter,
        Tool, UnsubscribeRequestParams, UpdateTaskParams,
    },
    service::{NotificationContext, Peer, RequestContext, SubscriptionContext, SubscriptionSink},
    task_manager::TaskManager,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde_json::{Value, json};

use crate::upstream::listener::Listener;
use fixtures::{FIXTURES, complete};

/// How long a client may keep what it was told, in milliseconds.
const TTL: u64 = 60_000;

/// What all sessions and requests share.
struct Shared {
    states: RequestStateCodec,
    tasks: TaskManager,
    /// Streams of `subscriptions/listen`, and sessions of the older generation.
    subscriptions: Mutex<HashMap<u64, SubscriptionSink>>,
    sessions: Mutex<Vec<Peer<RoleServer>>>,
}

/// Which list changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Changed {
    Tools,
    Prompts,
}

impl Shared {
    async fn announce(&self, what: Changed) {
        let streams: Vec<_> = self.subscriptions.lock().values().cloned().collect();
        for stream in streams {
            // One that is gone has nobody to tell; one that did not ask is not told.
            let _ = match what {
                Changed::Tools => stream.notify_tool_list_changed().await,
                Changed::Prompts => stream.notify_prompt_list_changed().await,
            };
        }
        let sessions = self.sessions.lock().clone();
        for session in sessions {
            let _ = match what {
                Changed::Tools => session.notify_tool_list_changed().await,
                Changed::Prompts => session.notify_prompt_list_changed().await,
            };
        }
    }
}

/// One session's, or one modern request's, view of the server.
#[derive(Clone)]
struct Conformance(Arc<Shared>);

impl ServerHandler for Conformance {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_resources_list_changed()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_logging()
            .enable_completions()
            .enable_tasks()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("conformance-upstream", env!("CARGO_PKG_VERSION")))
            .with_instructions("Has what the conformance suite asks for.")
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        FIXTURES.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let info = self.get_info();
        Ok(InitializeResult::new(info.capabilities)
            .with_protocol_version(request.protocol_version)
            .with_server_info(info.server_info)
            .with_instructions(info.instructions.unwrap_or_default()))
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        self.0.sessions.lock().push(context.peer);
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let key = {
            let mut subscriptions = self.0.subscriptions.lock();
            let key = subscriptions.keys().max().map_or(0, |last| last + 1);
            subscriptions.insert(key, context.sink().clone());
            key
        };
        context.cancelled().await;
        self.0.subscriptions.lock().remove(&key);
        Ok(())
    }

    async fn ping(&self, _context: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn set_level(
        &self,
        _request: SetLevelRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let list = ListToolsResult::with_all_items(FIXTURES.tools.clone());
        Ok(list.with_ttl_ms(TTL).with_cache_scope(CacheScope::Public))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let name = request.name.to_string();
        if let Some(rounds) = FIXTURES.rounds.get(&name) {
            return match rounds::step(&self.0.states, rounds, &rounds::Given::of_call(&request, &context))? {
                rounds::Step::Asks(asked) => Ok(asked.into()),
                rounds::Step::Done(text) => tools::text(&text).map(Into::into),
            };
        }
        if tasks::is_one(&name) {
            return tasks::call(&self.0.tasks, request, &context).await;
        }
        match name.as_str() {
            "test_trigger_tool_change" => self.0.announce(Changed::Tools).await,
            "test_trigger_prompt_change" => self.0.announce(Changed::Prompts).await,
            _ => {
                return tools::call(&name, &request.arguments.unwrap_or_default(), &context)
                    .await
                    .map(Into::into);
            }
        }
        tools::text("announced").map(Into::into)
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        Ok(GetTaskResult::new(self.0.tasks.get_task(&request.task_id)?))
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.0.tasks.update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.0.tasks.cancel_task(&request.task_id)
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let list = ListResourcesResult::with_all_items(FIXTURES.resources.clone());
        Ok(list.with_ttl_ms(TTL).with_cache_scope(CacheScope::Public))
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let list = ListResourceTemplatesResult::with_all_items(FIXTURES.templates.clone());
        Ok(list.with_ttl_ms(TTL).with_cache_scope(CacheScope::Public))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri.as_str();
        let of_template = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
        let contents = match (FIXTURES.contents.get(uri), of_template) {
            (Some(contents), _) => contents.clone(),
            (None, Some(id)) => {
                let text = json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
                json!({ "uri": uri, "mimeType": "application/json", "text": text.to_string() })
            }
            (None, None) => {
                let message = format!("Resource not found: {uri}");
                return Err(ErrorData::resource_not_found(message, Some(json!({ "uri": uri }))));
            }
        };
        let result = json!({ "contents": [contents], "ttlMs": TTL, "cacheScope": "public" });
        complete::<rmcp::model::ReadResourceResult>(result).map(Into::into)
    }

    async fn subscribe(
        &self,
        _request: SubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _request: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let list = ListPromptsResult::with_all_items(FIXTURES.prompts.clone());
        Ok(list.with_ttl_ms(TTL).with_cache_scope(CacheScope::Public))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let messages = if let Some(rounds) = FIXTURES.rounds.get(&request.name) {
            match rounds::step(&self.0.states, rounds, &rounds::Given::of_prompt(&request, &context))? {
                rounds::Step::Asks(asked) => return Ok(asked.into()),
                rounds::Step::Done(text) => {
                    json!([{ "role": "user", "content": { "type": "text", "text": text } }])
                }
            }
        } else {
            let found = FIXTURES.messages.get(&request.name).ok_or_else(|| {
                ErrorData::invalid_params(format!("Unknown prompt: {}", request.name), None)
            })?;
            let mut text = found.to_string();
            for (name, value) in request.arguments.unwrap_or_default() {
                text = text.replace(&format!("{{{name}}}"), value.as_str().unwrap_or_default());
            }
            serde_json::from_str(&text).unwrap_or(Value::Null)
        };
        complete::<GetPromptResult>(json!({ "messages": messages })).map(Into::into)
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let all = ["paris", "park", "party"].map(str::to_owned);
        let fitting = all.into_iter().filter(|value| value.starts_with(&request.argument.value));
        let values = CompletionInfo::new(fitting.collect());
        Ok(CompleteResult::new(values.map_err(|error| ErrorData::internal_error(error, None))?))
    }
}

/// The server on a loopback port. It stops when it is dropped.
#[derive(Debug)]
pub struct ConformanceUpstream {
    listener: Listener,
}

impl ConformanceUpstream {
    pub async fn start() -> Self {
        let shared = Arc::new(Shared {
            // Any key will do: it seals what only this process reads.
            states: RequestStateCodec::new_unchecked(*b"a key of the conformance upstream, for tests"),
            tasks: TaskManager::new(),
            subscriptions: Mutex::default(),
            sessions: Mutex::default(),
        });
        let service = StreamableHttpService::new(
            move || Ok(Conformance(Arc::clone(&shared))),
            Arc::new(LocalSessionManager::default()),
            StreamableHttpServerConfig::default(),
        );
        let listener = Listener::bind(Arc::new(move |request, _reset| {
            let service = service.clone();
            Box::pin(async move {
                let response = service.handle(request).await;
                Ok(response.map(|body| body.map_err(|never| match never {}).boxed_unsync()))
            })
        }))
        .await;
        Self { listener }
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.listener.address)
    }
}
