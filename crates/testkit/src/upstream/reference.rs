use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use parking_lot::Mutex;
use rmcp::ErrorData;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, SubscriptionFilter, Tool,
};
use rmcp::service::{NotificationContext, Peer, RequestContext, RoleServer, SubscriptionContext};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::sync::watch;

use super::listener::{ConnectionEnd, Listener, Outcome};
use super::reference_tools;
use super::request_log::{LoggedRequest, RequestLog};
use super::token_provider::TokenProvider;

/// What all sessions and all requests of one reference upstream share.
#[derive(Debug)]
struct Shared {
    tools: Mutex<Vec<Tool>>,
    page_size: Option<usize>,
    sessions: Mutex<Vec<Peer<RoleServer>>>,
    changes: watch::Sender<u64>,
}

impl Shared {
    fn tool(&self, name: &str) -> Option<Tool> {
        self.tools.lock().iter().find(|tool| tool.name == name).cloned()
    }

    /// Sessions hear it on their GET stream, subscriptions of 2026-07-28 on theirs.
    async fn announce(&self) {
        self.changes.send_modify(|version| *version += 1);
        let peers = self.sessions.lock().clone();
        for peer in peers {
            // A session that is gone has nobody to tell.
            drop(peer.notify_tool_list_changed().await);
        }
    }

    async fn add_tool(&self) {
        {
            let mut tools = self.tools.lock();
            let added = reference_tools::tools(tools.len() + 1).pop();
            tools.extend(added);
        }
        self.announce().await;
    }
}

/// One session's, or one modern request's, view of the server.
#[derive(Debug, Clone)]
struct Reference(Arc<Shared>);

impl ServerHandler for Reference {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_tool_list_changed().build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("reference-upstream", env!("CARGO_PKG_VERSION")))
            .with_instructions("A server for tests: every tool says in its description what it answers.")
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.0.tool(name)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.0.tools.lock();
        let start = match request.and_then(|request| request.cursor) {
            None => 0,
            Some(cursor) => cursor
                .parse::<usize>()
                .ok()
                .filter(|start| *start <= tools.len())
                .ok_or_else(|| ErrorData::invalid_params("no such cursor", None))?,
        };
        let end = self.0.page_size.map_or(tools.len(), |size| (start + size).min(tools.len()));
        let mut result = ListToolsResult::with_all_items(tools[start..end].to_vec());
        result.next_cursor = (end < tools.len()).then(|| end.to_string());
        Ok(result)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if self.0.tool(&request.name).is_none() {
            return Err(ErrorData::invalid_params(format!("Unknown tool: {}", request.name), None));
        }
        let arguments = request.arguments.unwrap_or_default();
        if request.name == "change_tools" {
            self.0.add_tool().await;
            return Ok(CallToolResult::success(vec![ContentBlock::text("changed")]).into());
        }
        reference_tools::call(&request.name, &arguments).await.map(Into::into)
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        self.0.sessions.lock().push(context.peer);
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.0.changes.subscribe();
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                changed = changes.changed() => {
                    if changed.is_err() || context.sink().notify_tool_list_changed().await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Choices made before a [`ReferenceUpstream`] starts.
#[derive(Debug, Clone)]
pub struct ReferenceUpstreamBuilder {
    tools: usize,
    page_size: Option<usize>,
    json_response: bool,
    legacy_sessions: bool,
    required_header: Option<(String, String)>,
    provider: Option<TokenProvider>,
}

impl ReferenceUpstreamBuilder {
    /// How many tools it lists; the nine with a behaviour of their own are always there.
    #[must_use]
    pub fn tools(mut self, count: usize) -> Self {
        self.tools = count;
        self
    }

    /// Pages `tools/list`.
    #[must_use]
    pub fn page_size(mut self, size: usize) -> Self {
        self.page_size = Some(size);
        self
    }

    /// Answers with JSON instead of one-event SSE streams where the SDK can.
    #[must_use]
    pub fn json_response(mut self, on: bool) -> Self {
        self.json_response = on;
        self
    }

    /// Off: legacy clients get no session id.
    #[must_use]
    pub fn legacy_sessions(mut self, on: bool) -> Self {
        self.legacy_sessions = on;
        self
    }

    /// Refuses every request without this header with 401, as a server that wants an API key does.
    #[must_use]
    pub fn require_header(mut self, name: &str, value: &str) -> Self {
        self.required_header = Some((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// Refuses every request without an access token that this provider issued and still accepts.
    #[must_use]
    pub fn accept_tokens_of(mut self, provider: &TokenProvider) -> Self {
        self.provider = Some(provider.clone());
        self
    }

    pub async fn start(self) -> ReferenceUpstream {
        let shared = Arc::new(Shared {
            tools: Mutex::new(reference_tools::tools(self.tools)),
            page_size: self.page_size,
            sessions: Mutex::new(Vec::new()),
            changes: watch::Sender::new(0),
        });
        let configuration = StreamableHttpServerConfig::default()
            .with_json_response(self.json_response)
            .with_legacy_session_mode(self.legacy_sessions);
        let handler = Reference(shared.clone());
        let service = StreamableHttpService::new(
            move || Ok(handler.clone()),
            Arc::new(LocalSessionManager::default()),
            configuration,
        );
        let (log, refused) = (RequestLog::default(), Arc::<Mutex<Vec<String>>>::default());
        let front = Front {
            service,
            log: log.clone(),
            required_header: self.required_header,
            provider: self.provider,
            refused: Arc::clone(&refused),
        };
        let listener = Listener::bind(Arc::new(move |request, _reset| {
            let front = front.clone();
            Box::pin(async move { front.handle(request).await })
        }))
        .await;
        ReferenceUpstream { shared, log, refused, listener }
    }
}

/// Writes requests down and checks the required header before the SDK sees them.
#[derive(Clone)]
struct Front {
    service: StreamableHttpService<Reference, LocalSessionManager>,
    log: RequestLog,
    required_header: Option<(String, String)>,
    provider: Option<TokenProvider>,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Front {
    async fn handle(self, request: Request<Incoming>) -> Outcome {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| ConnectionEnd)?.to_bytes();
        let logged = LoggedRequest::new(&parts, &body);
        let welcome = self
            .required_header
            .as_ref()
            .is_none_or(|(name, value)| logged.header(name) == Some(value.as_str()));
        let bearer = logged.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let welcome = welcome
            && self
                .provider
                .as_ref()
                .is_none_or(|provider| bearer.is_some_and(|token| provider.accepts(token)))
            && !self.refused.lock().iter().any(|token| Some(token.as_str()) == bearer);
        self.log.record(logged);
        let path = parts.uri.path();
        if let (Some(provider), true) =
            (&self.provider, path.starts_with("/.well-known/oauth-protected-resource"))
        {
            let host = parts.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
            let document = serde_json::json!({
                "resource": format!("http://{host}/mcp"),
                "authorization_servers": [provider.origin()],
            });
            let body = Full::new(Bytes::from(document.to_string())).map_err(|never| match never {});
            return Response::builder()
                .header("content-type", "application/json")
                .body(body.boxed_unsync())
                .map_err(|_| ConnectionEnd);
        }
        if !welcome {
            let body =
                Full::new(Bytes::from_static(b"unauthorized")).map_err(|never| match never {}).boxed_unsync();
            return Response::builder()
                .status(401)
                .header("www-authenticate", "Bearer error=\"invalid_token\"")
                .body(body)
                .map_err(|_| ConnectionEnd);
        }
        let response = self.service.handle(Request::from_parts(parts, Full::new(body))).await;
        Ok(response.map(|body| body.map_err(|never| match never {}).boxed_unsync()))
    }
}

/// A well-behaved MCP server on a loopback port, legacy sessions and 2026-07-28 on one endpoint. It stops
/// when it is dropped.
#[derive(Debug)]
pub struct ReferenceUpstream {
    shared: Arc<Shared>,
    log: RequestLog,
    refused: Arc<Mutex<Vec<String>>>,
    listener: Listener,
}

impl ReferenceUpstream {
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    pub fn builder() -> ReferenceUpstreamBuilder {
        ReferenceUpstreamBuilder {
            tools: 0,
            page_size: None,
            json_response: false,
            legacy_sessions: true,
            required_header: None,
            provider: None,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.listener.address)
    }

    pub fn log(&self) -> &RequestLog {
        &self.log
    }

    /// Takes this bearer token no more.
    pub fn refuse_token(&self, token: &str) {
        self.refused.lock().push(token.to_owned());
    }

    /// Names in the order it lists them.
    pub fn tool_names(&self) -> Vec<String> {
        self.shared.tools.lock().iter().map(|tool| tool.name.to_string()).collect()
    }

    /// Adds a tool and sends `notifications/tools/list_changed` to every session and subscription.
    pub async fn add_tool(&self) {
        self.shared.add_tool().await;
    }

    /// Drops a tool by name and announces it.
    pub async fn remove_tool(&self, name: &str) {
        self.shared.tools.lock().retain(|tool| tool.name != name);
        self.shared.announce().await;
    }

    /// Changes a tool's description and announces it, as a rug pull does.
    pub async fn describe_tool(&self, name: &str, description: &str) {
        for tool in self.shared.tools.lock().iter_mut().filter(|tool| tool.name == name) {
            tool.description = Some(description.to_owned().into());
        }
        self.shared.announce().await;
    }
}
