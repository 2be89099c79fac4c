//! JSON-RPC messages: what a client sends us, what an upstream answers.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{ErrorObject, ProtocolError, StrictError, check, is_deeper_than};

/// Longest request id we take, in bytes.
const MAX_ID: usize = 1024;

/// Deepest nesting of a message of an upstream.
const MAX_UPSTREAM_DEPTH: usize = 128;

/// A request id: a text or an integer. MCP forbids null and JSON-RPC discourages fractions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RequestId {
    Number(i64),
    Text(Box<str>),
}

impl RequestId {
    /// `None` for anything that no request may have.
    pub fn parse(raw: &RawValue) -> Option<Self> {
        let text = raw.get();
        if text.starts_with('"') {
            let id: String = serde_json::from_str(text).ok()?;
            return (id.len() <= MAX_ID).then(|| Self::Text(id.into()));
        }
        text.parse().ok().map(Self::Number)
    }
}

/// The id as JSON.
impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?),
        }
    }
}

/// A request with its parameters as they came.
#[derive(Debug)]
pub struct Request<'a> {
    pub id: RequestId,
    pub method: Cow<'a, str>,
    pub params: Option<&'a RawValue>,
}

/// What a client can send.
#[derive(Debug)]
pub enum Incoming<'a> {
    Request(Request<'a>),
    Notification {
        method: Cow<'a, str>,
        params: Option<&'a RawValue>,
    },
    /// An answer to a request of ours (legacy only).
    Response(Answer<'a>),
}

/// An answer to a request.
#[derive(Debug)]
pub struct Answer<'a> {
    /// `None` when the peer sent an error with a null or absent id.
    pub id: Option<RequestId>,
    pub outcome: Outcome<'a>,
}

#[derive(Debug)]
pub enum Outcome<'a> {
    Result(&'a RawValue),
    Error(ErrorObject),
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// All members that a JSON-RPC message can have; duplicates are an error, unknown ones are ignored.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default, borrow, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    fn is_version_2(&self) -> bool {
        self.jsonrpc.is_some_and(|version| version.get() == "\"2.0\"")
    }

    fn method(&self) -> Result<Cow<'a, str>, &'static str> {
        let raw = self.method.ok_or("`method` is missing")?.get();
        match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(inner) if !inner.contains('\\') => Ok(Cow::Borrowed(inner)),
            Some(_) => serde_json::from_str(raw).map(Cow::Owned).map_err(|_| "`method` must be a string"),
            None => Err("`method` must be a string"),
        }
    }
}

/// Reads one message of a client: one strict pass, then the envelope. Errors say what to answer.
pub fn parse_incoming(body: &[u8], max_depth: usize) -> Result<Incoming<'_>, ProtocolError> {
    match check(body, max_depth) {
        Ok(()) => {}
        Err(error @ StrictError::Syntax(_)) => return Err(ProtocolError::parse(error.to_string())),
        Err(error) => return Err(ProtocolError::invalid_request(error.to_string())),
    }
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(ProtocolError::invalid_request(
            "the body must be one JSON-RPC message, not a batch or a bare value",
        ));
    }
    let envelope: Envelope<'_> = serde_json::from_slice(body)
        .map_err(|error| ProtocolError::invalid_request(format!("not a JSON-RPC message: {error}")))?;
    let id = match envelope.id {
        None => None,
        Some(raw) => Some(RequestId::parse(raw).ok_or_else(|| {
            ProtocolError::invalid_request("`id` must be an integer or a text of at most 1024 bytes")
        })?),
    };
    let refuse = |message: &str| {
        let error = ProtocolError::invalid_request(message);
        id.iter().fold(error, |error, id| error.for_request(id))
    };
    if !envelope.is_version_2() {
        return Err(refuse("`jsonrpc` must be \"2.0\""));
    }
    if envelope.method.is_none() && (envelope.result.is_some() || envelope.error.is_some()) {
        return Ok(Incoming::Response(answer(&envelope, id.clone()).map_err(refuse)?));
    }
    let method = envelope.method().map_err(refuse)?;
    let params = envelope.params;
    if params.is_some_and(|params| !params.get().starts_with('{')) {
        let error = ProtocolError::invalid_params("`params` must be an object");
        return Err(id.iter().fold(error, |error, id| error.for_request(id)));
    }
    Ok(match id {
        Some(id) => Incoming::Request(Request { id, method, params }),
        None => Incoming::Notification { method, params },
    })
}

fn answer<'a>(envelope: &Envelope<'a>, id: Option<RequestId>) -> Result<Answer<'a>, &'static str> {
    let outcome = match (envelope.result, envelope.error) {
        (Some(result), None) => Outcome::Result(result),
        (None, Some(error)) => Outcome::Error(
            serde_json::from_str(error.get()).map_err(|_| "`error` is not a JSON-RPC error object")?,
        ),
        _ => return Err("an answer has either `result` or `error`"),
    };
    Ok(Answer { id, outcome })
}

/// Reads one message of an upstream. The envelope is strict (no duplicate members of its own, `2.0`, result or
/// error); what is inside the result is data and stays raw.
pub fn parse_upstream(body: &[u8]) -> Result<Incoming<'_>, String> {
    if is_deeper_than(body, MAX_UPSTREAM_DEPTH) {
        return Err(format!("a message is nested deeper than {MAX_UPSTREAM_DEPTH} levels"));
    }
    let envelope: Envelope<'_> =
        serde_json::from_slice(body).map_err(|error| format!("not a JSON-RPC message: {error}"))?;
    if !envelope.is_version_2() {
        return Err("`jsonrpc` is not \"2.0\"".into());
    }
    let id = match envelope.id {
        None => None,
        Some(raw) if raw.get() == "null" => None,
        Some(raw) => Some(RequestId::parse(raw).ok_or("`id` is neither an integer nor a short text")?),
    };
    if envelope.method.is_none() {
        return Ok(Incoming::Response(answer(&envelope, id)?));
    }
    if envelope.result.is_some() || envelope.error.is_some() {
        return Err("a message is both a request and an answer".into());
    }
    let method = envelope.method()?;
    let params = envelope.params;
    Ok(match id {
        Some(id) => Incoming::Request(Request { id, method, params }),
        None => Incoming::Notification { method, params },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(body: &str) -> i64 {
        parse_incoming(body.as_bytes(), 64).unwrap_err().error.code
    }

    #[test]
    fn requests_notifications_and_answers() {
        let body = br#"{"jsonrpc":"2.0","id":"a\"b","method":"tools/call","params":{"name":"x"}}"#;
        let Incoming::Request(request) = parse_incoming(body, 64).unwrap() else { panic!("a request") };
        assert_eq!(request.id, RequestId::Text("a\"b".into()));
        assert_eq!(request.id.to_string(), r#""a\"b""#);
        assert_eq!((&*request.method, request.params.unwrap().get()), ("tools/call", r#"{"name":"x"}"#));
        let note = parse_incoming(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, 64);
        assert!(matches!(note, Ok(Incoming::Notification { .. })));
        let answer = parse_incoming(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#, 64);
        assert!(matches!(answer, Ok(Incoming::Response(_))));
    }

    #[test]
    fn refusals() {
        for (body, code) in [
            ("", -32700),
            ("{\"jsonrpc\":\"2.0\",", -32700),
            ("[]", -32600),
            ("42", -32600),
            (r#"{"id":1,"method":"x"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":[1],"method":"x"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[]}"#, -32602),
            (r#"{"jsonrpc":"2.0","id":1,"method":"x","method":"y"}"#, -32600),
        ] {
            assert_eq!(code_of(body), code, "{body}");
        }
    }

    #[test]
    fn upstream_answers() {
        let ok = parse_upstream(br#"{"jsonrpc":"2.0","id":7,"result":{"a":1}}"#).unwrap();
        assert!(matches!(ok, Incoming::Response(Answer { id: Some(RequestId::Number(7)), .. })));
        let idless = parse_upstream(br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no"}}"#);
        assert!(matches!(idless, Ok(Incoming::Response(Answer { id: None, outcome: Outcome::Error(_) }))));
        for bad in [
            r#"{"jsonrpc":"2.0","id":7,"result":{},"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{},"error":{"code":1,"message":""}}"#,
            r#"{"jsonrpc":"2.0","id":7}"#,
            r#"<html>"#,
        ] {
            assert!(parse_upstream(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
