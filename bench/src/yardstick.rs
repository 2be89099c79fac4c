//! The yardstick: the least that a proxy on rmcp can do. `tools/list` and `tools/call` are forwarded through
//! one client session with each upstream; there is no authentication, no policy, no audit.
//!
//! With several upstreams, tools are named `<slug>__<tool>` and lists are asked for at the same time.

use std::sync::Arc;

use futures_util::future::try_join_all;
use rmcp::ErrorData;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientConfig, ClientRequest, Implementation, ListToolsRequest,
    ListToolsResult, PaginatedRequestParams, ProtocolVersion, ServerCapabilities, ServerConfig, ServerResult,
};
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt, Peer, RequestContext, RoleClient, RoleServer, RunningService,
    ServiceError,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;

use crate::hyper_client::HyperClient;
use crate::serving;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// `SLUG=URL`, once for each upstream
    #[arg(long, required = true)]
    upstream: Vec<String>,
}

type Session = RunningService<RoleClient, ClientConfig>;

struct Upstream {
    prefix: String,
    session: Session,
}

#[derive(Clone)]
struct Yardstick(Arc<Vec<Upstream>>);

fn refused(error: ServiceError) -> ErrorData {
    match error {
        ServiceError::McpError(error) => error,
        other => ErrorData::internal_error(other.to_string(), None),
    }
}

/// Always asks: the client's helper would answer from its cache.
async fn list(peer: &Peer<RoleClient>) -> Result<ListToolsResult, ErrorData> {
    let request = ClientRequest::ListToolsRequest(ListToolsRequest::default());
    match peer.send_request(request).await.map_err(refused)? {
        ServerResult::ListToolsResult(result) => Ok(result),
        _ => Err(ErrorData::internal_error("the upstream did not answer with a list of tools", None)),
    }
}

impl Yardstick {
    /// Which upstream a tool belongs to, and its name there.
    fn split<'a>(&self, name: &'a str) -> Option<(&Upstream, &'a str)> {
        self.0.iter().find_map(|upstream| name.strip_prefix(&upstream.prefix).map(|name| (upstream, name)))
    }
}

impl ServerHandler for Yardstick {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("yardstick", env!("CARGO_PKG_VERSION")))
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        if let [only] = self.0.as_slice() {
            return list(only.session.peer()).await;
        }
        let lists = try_join_all(self.0.iter().map(async |upstream| {
            let mut tools = list(upstream.session.peer()).await?.tools;
            for tool in &mut tools {
                tool.name = format!("{}{}", upstream.prefix, tool.name).into();
            }
            Ok::<_, ErrorData>(tools)
        }))
        .await?;
        Ok(ListToolsResult::with_all_items(lists.concat()))
    }

    async fn call_tool(
        &self,
        mut request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let (upstream, name) = self.split(&request.name).ok_or_else(|| {
            ErrorData::invalid_params(format!("no upstream has a tool {}", request.name), None)
        })?;
        request.name = name.to_owned().into();
        // The upstream is asked as this proxy, with the metadata of its own session.
        request.meta = None;
        upstream.session.call_tool_once(request).await.map_err(refused)
    }
}

async fn connect(url: &str) -> Result<Session, String> {
    let configuration = StreamableHttpClientTransportConfig::with_uri(url).max_concurrent_requests(256);
    let transport = StreamableHttpClientTransport::with_client(HyperClient::new(), configuration);
    let lifecycle = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    ClientConfig::default()
        .serve_with_lifecycle(transport, lifecycle)
        .await
        .map_err(|error| format!("the yardstick cannot connect to {url}: {error}"))
}

async fn connect_all(arguments: &Arguments) -> Result<Yardstick, String> {
    let alone = arguments.upstream.len() == 1;
    let mut upstreams = Vec::new();
    for upstream in &arguments.upstream {
        let (slug, url) = upstream.split_once('=').ok_or("an upstream is given as SLUG=URL")?;
        let prefix = if alone { String::new() } else { format!("{slug}__") };
        upstreams.push(Upstream { prefix, session: connect(url).await? });
    }
    Ok(Yardstick(Arc::new(upstreams)))
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    serving::block_on(async {
        let service = serving::service(connect_all(arguments).await?);
        serving::serve(&arguments.listen, move |request| {
            let service = service.clone();
            async move { Ok(service.handle(request).await) }
        })
        .await
    })
}
