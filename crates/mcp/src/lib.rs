//! The Model Context Protocol as it stands on the wire, for both of its generations and for both sides of
//! us: JSON-RPC envelopes read once and strictly, SSE framing, mirrored headers, error codes.
//!
//! *Legacy* is 2025-11-25 and older (`initialize`, sessions); *modern* is 2026-07-28 (no sessions, metadata on
//! each request). What passes through is carried as raw JSON: a typed model would drop the members it
//! does not know. No I/O happens here, so all of it can be fuzzed alone.

mod error;
mod headers;
mod message;
mod meta;
mod object;
mod param_headers;
mod sse;
mod strict;
mod version;
mod write;

pub use error::{ErrorObject, ProtocolError, code};
pub use headers::{decode_header_value, encode_header_value, names, validate_mirrored};
pub use message::{Answer, Incoming, Outcome, Request, RequestId, parse_incoming, parse_upstream};
pub use meta::{RequestMeta, TASKS, knows_tasks, offers_url_elicitation, read_meta, uses_modern_meta};
pub use object::RawObject;
pub use param_headers::{ParamHeader, param_headers, param_values};
pub use sse::{SseDecoder, SseError, SseEvent, write_event};
pub use strict::{StrictError, check, is_deeper_than};
pub use version::{Era, LATEST_LEGACY, MODERN, SUPPORTED, Version};
pub use write::{Payload, error_response, notification, request, success, success_complete};
