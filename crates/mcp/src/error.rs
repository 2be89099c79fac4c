//! JSON-RPC error codes as the two generations use them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{RequestId, SUPPORTED};

/// Codes of JSON-RPC 2.0 and of MCP.
pub mod code {
    pub const PARSE_ERROR: i64 = -32700;
    pub const INVALID_REQUEST: i64 = -32600;
    pub const METHOD_NOT_FOUND: i64 = -32601;
    pub const INVALID_PARAMS: i64 = -32602;
    pub const INTERNAL_ERROR: i64 = -32603;
    /// A mirrored header is missing or disagrees with the body (2026-07-28).
    pub const HEADER_MISMATCH: i64 = -32020;
    /// The client did not declare a capability that the request needs (2026-07-28).
    pub const MISSING_CAPABILITY: i64 = -32021;
    /// Of 2025-11-25 alone: the client is to open an address, then to try again.
    pub const URL_ELICITATION_REQUIRED: i64 = -32042;
    pub const UNSUPPORTED_VERSION: i64 = -32022;
    /// What the legacy generation calls a resource that is not there.
    pub const RESOURCE_NOT_FOUND_LEGACY: i64 = -32002;

    /// Whether an error with this code shows that its sender speaks the modern generation.
    pub const fn is_modern(code: i64) -> bool {
        matches!(code, HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_VERSION | METHOD_NOT_FOUND)
    }
}

/// The `error` member of a JSON-RPC response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorObject {
    pub code: i64,
    #[serde(default)]
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// A request that can't be served as a protocol message: what to answer, with which HTTP status.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", self.error.message)]
pub struct ProtocolError {
    /// HTTP status of the answer.
    pub status: u16,
    /// Id to answer with, where one could be read.
    pub id: Option<RequestId>,
    pub error: ErrorObject,
}

impl ProtocolError {
    pub fn new(status: u16, code: i64, message: impl Into<String>) -> Self {
        Self { status, id: None, error: ErrorObject { code, message: message.into(), data: None } }
    }

    pub fn parse(message: impl Into<String>) -> Self {
        Self::new(400, code::PARSE_ERROR, message)
    }

    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(400, code::INVALID_REQUEST, message)
    }

    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(400, code::INVALID_PARAMS, message)
    }

    pub fn header_mismatch(message: impl Into<String>) -> Self {
        Self::new(400, code::HEADER_MISMATCH, message)
    }

    /// Names what we do speak, as 2026-07-28 demands.
    pub fn unsupported_version(requested: &str) -> Self {
        let shown: String = requested.chars().take(40).collect();
        let mut error =
            Self::new(400, code::UNSUPPORTED_VERSION, format!("Unsupported protocol version: {shown}"));
        error.error.data = Some(serde_json::json!({ "supported": SUPPORTED, "requested": shown }));
        error
    }

    #[must_use]
    pub fn for_request(mut self, id: &RequestId) -> Self {
        self.id = Some(id.clone());
        self
    }
}
