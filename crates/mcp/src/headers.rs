//! Headers that mirror the body (2026-07-28, Streamable HTTP: request metadata).
//!
//! A proxy may have decided by the header; we decide by the body. So the two must agree, or the request is refused.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderMap;
use serde_json::value::RawValue;

use crate::{ProtocolError, RawObject};

/// Header names, in the lower case that HTTP libraries use.
pub mod names {
    pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
    pub const METHOD: &str = "mcp-method";
    pub const NAME: &str = "mcp-name";
    pub const SESSION_ID: &str = "mcp-session-id";
    /// Takes up a stream of the legacy generation after this event.
    pub const LAST_EVENT_ID: &str = "last-event-id";
    pub const PARAM_PREFIX: &str = "mcp-param-";
}

const PREFIX: &str = "=?base64?";
const SUFFIX: &str = "?=";

/// A value as it may stand in a header: Base64 in the sentinel form unless it is plain visible ASCII.
pub fn encode_header_value(value: &str) -> String {
    let looks_encoded = value.starts_with(PREFIX) && value.ends_with(SUFFIX);
    let plain = value.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
        && !value.starts_with(' ')
        && !value.ends_with(' ')
        && !looks_encoded;
    if plain { value.to_owned() } else { format!("{PREFIX}{}{SUFFIX}", STANDARD.encode(value)) }
}

/// Reverses [`encode_header_value`]; `None` when the sentinel holds no Base64 of UTF-8.
pub fn decode_header_value(value: &str) -> Option<String> {
    match value.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX)) {
        None => Some(value.to_owned()),
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
    }
}

fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, ProtocolError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ProtocolError::header_mismatch(format!("Header mismatch: `{name}` stands twice")));
    }
    value.to_str().map(Some).map_err(|_| {
        ProtocolError::header_mismatch(format!("Header mismatch: `{name}` has invalid characters"))
    })
}

/// The member of `params` that `Mcp-Name` mirrors for this method.
fn named_member(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" => Some("uri"),
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some("taskId"),
        _ => None,
    }
}

/// Checks version, method and name headers of a modern request against its body.
pub fn validate_mirrored(
    headers: &HeaderMap,
    version: &str,
    method: &str,
    params: Option<&RawValue>,
) -> Result<(), ProtocolError> {
    let missing =
        |name: &str| ProtocolError::header_mismatch(format!("Header mismatch: `{name}` is missing"));
    let differs = |name: &str| {
        ProtocolError::header_mismatch(format!("Header mismatch: `{name}` does not match the body"))
    };
    let sent = single(headers, names::PROTOCOL_VERSION)?.ok_or_else(|| missing("MCP-Protocol-Version"))?;
    if sent != version {
        return Err(differs("MCP-Protocol-Version"));
    }
    if single(headers, names::METHOD)?.ok_or_else(|| missing("Mcp-Method"))? != method {
        return Err(differs("Mcp-Method"));
    }
    let Some(member) = named_member(method) else { return Ok(()) };
    let sent = single(headers, names::NAME)?.ok_or_else(|| missing("Mcp-Name"))?;
    let sent = decode_header_value(sent).ok_or_else(|| {
        ProtocolError::header_mismatch("Header mismatch: `Mcp-Name` holds no Base64 of UTF-8 text")
    })?;
    let in_body: Option<String> =
        params.and_then(|params| RawObject::parse(params).ok()).and_then(|params| params.read(member));
    if in_body.as_deref() == Some(&sent) { Ok(()) } else { Err(differs("Mcp-Name")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification() {
        for (value, header) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ] {
            assert_eq!(encode_header_value(value), header);
            assert_eq!(decode_header_value(header).as_deref(), Some(value));
        }
        assert_eq!(decode_header_value("=?base64?%%%?="), None);
    }
}
