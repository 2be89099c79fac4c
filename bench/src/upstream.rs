//! The MCP server that every target forwards to: rmcp's streamable-HTTP server, both generations on each
//! endpoint, JSON answers, no sessions, so that the upstream costs as little as that SDK can.
//!
//! `/mcp` has `echo` alone, `/all` lists 250 tools, `/s1` to `/s5` list fifty of them each.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rmcp::ErrorData;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Value, json};

use crate::serving::{self, ResponseBody, Service};

/// Tools that all five upstreams of a list measurement have together.
pub const LISTED_TOOLS: usize = 250;
pub const LISTED_UPSTREAMS: usize = 5;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Serve `/idle/1` to `/idle/N` with this many tools each, too
    #[arg(long, default_value_t = 100)]
    idle_tools: usize,
}

#[derive(Clone)]
struct Upstream {
    tools: Arc<Vec<Tool>>,
}

impl ServerHandler for Upstream {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("bench-upstream", env!("CARGO_PKG_VERSION")))
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools.as_ref().clone()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let mut text = arguments.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
        let bytes = arguments.get("bytes").and_then(Value::as_u64).unwrap_or(0) as usize;
        text.extend(std::iter::repeat_n('a', bytes.saturating_sub(text.len())));
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}

fn echo() -> Result<Tool, String> {
    tool(json!({
        "name": "echo",
        "description": "Answers with the text, padded to a number of bytes.",
        "inputSchema": {
            "type": "object",
            "properties": {"text": {"type": "string"}, "bytes": {"type": "integer", "minimum": 0}},
            "required": ["text"],
        },
    }))
}

/// About the size of tools that real servers list: two sentences and four parameters.
fn listed(number: usize) -> Result<Tool, String> {
    const SUBJECTS: [&str; 8] =
        ["issue", "invoice", "event", "branch", "customer", "message", "dashboard", "file"];
    const ACTIONS: [&str; 5] = ["list", "create", "update", "search", "archive"];
    let subject = SUBJECTS[number % SUBJECTS.len()];
    let action = ACTIONS[number / SUBJECTS.len() % ACTIONS.len()];
    tool(json!({
        "name": format!("{action}_{subject}_{number:04}"),
        "description": format!("Use this to {action} one {subject} or several of a workspace. Answers with the identifiers, newest change first."),
        "inputSchema": {
            "type": "object",
            "properties": {
                "identifier": {"type": "string", "description": format!("Identifier of the {subject}")},
                "workspace": {"type": "string", "description": "Workspace to look in"},
                "limit": {"type": "integer", "minimum": 1, "maximum": 100, "description": "How many to return"},
                "include_archived": {"type": "boolean", "description": "Whether archived ones count"},
            },
            "required": ["identifier"],
        },
    }))
}

fn tool(definition: Value) -> Result<Tool, String> {
    serde_json::from_value(definition).map_err(|error| format!("a tool of the upstream is wrong: {error}"))
}

fn listed_range(range: std::ops::Range<usize>) -> Result<Vec<Tool>, String> {
    range.map(listed).collect()
}

#[derive(Clone)]
struct Routes {
    echo: Service<Upstream>,
    all: Service<Upstream>,
    parts: Vec<Service<Upstream>>,
    idle: Service<Upstream>,
}

impl Routes {
    fn new(idle_tools: usize) -> Result<Self, String> {
        let service = |tools: Vec<Tool>| serving::service(Upstream { tools: Arc::new(tools) });
        let each = LISTED_TOOLS / LISTED_UPSTREAMS;
        let parts = (0..LISTED_UPSTREAMS)
            .map(|part| listed_range(part * each..(part + 1) * each).map(service))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            echo: service(vec![echo()?]),
            all: service(listed_range(0..LISTED_TOOLS)?),
            parts,
            idle: service(listed_range(0..idle_tools)?),
        })
    }

    fn route(&self, path: &str) -> Option<&Service<Upstream>> {
        match path {
            "/mcp" => Some(&self.echo),
            "/all" => Some(&self.all),
            _ if path.starts_with("/idle/") => Some(&self.idle),
            _ => {
                let part: usize = path.strip_prefix("/s")?.parse().ok()?;
                self.parts.get(part.checked_sub(1)?)
            }
        }
    }

    async fn handle(&self, request: Request<Incoming>) -> Result<Response<ResponseBody>, Infallible> {
        match self.route(request.uri().path()) {
            Some(service) => Ok(service.handle(request).await),
            None => {
                let mut response = Response::new(http_body_util::Empty::new().boxed());
                *response.status_mut() = http::StatusCode::NOT_FOUND;
                Ok(response)
            }
        }
    }
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let routes = Routes::new(arguments.idle_tools)?;
    serving::block_on(serving::serve(&arguments.listen, move |request| {
        let routes = routes.clone();
        async move { routes.handle(request).await }
    }))
}
