//! The requests a load client sends, built once.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use serde_json::{Value, json};

/// The text that a correct answer to a call contains.
pub const MARKER: &str = "bench-answer";

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Era {
    /// 2026-07-28: every request carries its own metadata
    Modern,
    /// 2025-11-25: `initialize` first, then a session when the server gives one
    Legacy,
}

impl Era {
    pub fn version(self) -> &'static str {
        match self {
            Self::Modern => "2026-07-28",
            Self::Legacy => "2025-11-25",
        }
    }
}

/// What is asked of a target again and again.
#[derive(Debug, Clone)]
pub enum Ask {
    /// `echo` under its own name, or another name in front of a proxy.
    Tool { name: String, bytes: usize },
    /// `echo` through `execute_capability`.
    Capability { name: String, bytes: usize },
    /// `tools/list`, and how many tools must come.
    List { tools: usize },
}

impl Ask {
    fn method(&self) -> &'static str {
        match self {
            Self::List { .. } => "tools/list",
            Self::Tool { .. } | Self::Capability { .. } => "tools/call",
        }
    }

    fn tool(&self) -> Option<&str> {
        match self {
            Self::Tool { name, .. } => Some(name),
            Self::Capability { .. } => Some("execute_capability"),
            Self::List { .. } => None,
        }
    }

    fn params(&self) -> Value {
        let echo = |bytes: &usize| json!({"text": MARKER, "bytes": bytes});
        match self {
            Self::Tool { name, bytes } => json!({"name": name, "arguments": echo(bytes)}),
            Self::Capability { name, bytes } => json!({
                "name": "execute_capability",
                "arguments": {"name": name, "arguments": echo(bytes)},
            }),
            Self::List { .. } => json!({}),
        }
    }

    /// Bytes that a correct answer has at least.
    pub fn expected_bytes(&self) -> usize {
        match self {
            Self::Tool { bytes, .. } | Self::Capability { bytes, .. } => *bytes,
            Self::List { tools } => tools * 20,
        }
    }
}

/// Where requests go and what they always carry.
#[derive(Debug, Clone)]
pub struct Target {
    pub name: String,
    pub url: Uri,
    pub bearer: Option<String>,
    pub ask: Ask,
}

/// A request that only needs to be sent.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Target {
    pub fn authority(&self) -> Result<&str, String> {
        self.url.authority().map(http::uri::Authority::as_str).ok_or(format!("{} names no host", self.url))
    }

    fn prepared(&self, message: &Value, extra: &[(&'static str, &str)]) -> Result<Prepared, String> {
        let mut headers = HeaderMap::new();
        let bearer = self.bearer.as_ref().map(|token| format!("Bearer {token}"));
        let always = [
            ("host", self.authority()?),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        let bearer = bearer.as_deref().map(|value| ("authorization", value));
        for (name, value) in always.into_iter().chain(bearer).chain(extra.iter().copied()) {
            let value = HeaderValue::from_str(value).map_err(|error| format!("{name}: {error}"))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let path = self.url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let uri = path.parse().map_err(|error| format!("{path}: {error}"))?;
        Ok(Prepared { uri, headers, body: Bytes::from(message.to_string()) })
    }

    /// The request to measure.
    pub fn request(&self, era: Era, session: Option<&str>) -> Result<Prepared, String> {
        let mut params = self.ask.params();
        let mut extra = vec![("mcp-protocol-version", era.version())];
        if era == Era::Modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": era.version(),
                "io.modelcontextprotocol/clientInfo": {"name": "switchboard-bench", "version": env!("CARGO_PKG_VERSION")},
                "io.modelcontextprotocol/clientCapabilities": {},
            });
            extra.push(("mcp-method", self.ask.method()));
            extra.extend(self.ask.tool().map(|tool| ("mcp-name", tool)));
        }
        extra.extend(session.map(|session| ("mcp-session-id", session)));
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": self.ask.method(), "params": params});
        self.prepared(&message, &extra)
    }

    pub fn initialize(&self) -> Result<Prepared, String> {
        let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": Era::Legacy.version(),
            "capabilities": {},
            "clientInfo": {"name": "switchboard-bench", "version": env!("CARGO_PKG_VERSION")},
        }});
        self.prepared(&message, &[])
    }

    pub fn initialized(&self, session: Option<&str>) -> Result<Prepared, String> {
        let mut extra = vec![("mcp-protocol-version", Era::Legacy.version())];
        extra.extend(session.map(|session| ("mcp-session-id", session)));
        self.prepared(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}), &extra)
    }
}
