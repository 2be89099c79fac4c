//! Writing messages. A large result is never copied: it is sent as the buffer it arrived in, between a head and a tail.

use bytes::Bytes;
use serde_json::{Value, value::RawValue};

use crate::{ErrorObject, RequestId};

/// Below this size one buffer is cheaper than three.
const COPY_BELOW: usize = 16 * 1024;

/// A message ready to be sent, in one or more pieces.
#[derive(Debug, Clone)]
pub struct Payload {
    pub pieces: Vec<Bytes>,
}

impl Payload {
    pub fn one(bytes: impl Into<Bytes>) -> Self {
        Self { pieces: vec![bytes.into()] }
    }

    /// Bytes of the whole message.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The message in one buffer; copies only when there are several pieces.
    pub fn into_bytes(self) -> Bytes {
        match <[Bytes; 1]>::try_from(self.pieces) {
            Ok([only]) => only,
            Err(pieces) => pieces.concat().into(),
        }
    }
}

/// `{"jsonrpc":"2.0","id":…,"result":…}` around a result that is already JSON.
pub fn success(id: &RequestId, result: &Bytes) -> Payload {
    enclose(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":"), result)
}

/// The same around a result of a server of the legacy generation, which lacks the `resultType` that
/// 2026-07-28 requires. `result` must be an object.
pub fn success_complete(id: &RequestId, result: &Bytes) -> Payload {
    let rest = result.slice(1.min(result.len())..);
    let comma = if rest.first() == Some(&b'}') { "" } else { "," };
    let head = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"resultType\":\"complete\"{comma}");
    enclose(head, &rest)
}

fn enclose(head: String, result: &Bytes) -> Payload {
    if result.len() < COPY_BELOW {
        let mut whole = Vec::with_capacity(head.len() + result.len() + 1);
        whole.extend_from_slice(head.as_bytes());
        whole.extend_from_slice(result);
        whole.push(b'}');
        return Payload::one(whole);
    }
    Payload { pieces: vec![head.into(), result.clone(), Bytes::from_static(b"}")] }
}

/// An error answer. Without an id (none could be read) the member is null, as JSON-RPC has it.
pub fn error_response(id: Option<&RequestId>, error: &ErrorObject) -> Payload {
    let id = id.map_or_else(|| "null".to_owned(), RequestId::to_string);
    let error = serde_json::to_string(error)
        .unwrap_or_else(|_| format!("{{\"code\":{},\"message\":\"\"}}", error.code));
    Payload::one(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{error}}}"))
}

/// A request of ours to an upstream.
pub fn request(id: i64, method: &str, params: Option<&str>) -> Bytes {
    let method = Value::from(method);
    match params {
        Some(params) => {
            format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":{method},\"params\":{params}}}").into()
        }
        None => format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":{method}}}").into(),
    }
}

/// A notification of ours.
pub fn notification(method: &str, params: Option<&RawValue>) -> Bytes {
    let method = Value::from(method);
    match params {
        Some(params) => {
            format!("{{\"jsonrpc\":\"2.0\",\"method\":{method},\"params\":{}}}", params.get()).into()
        }
        None => format!("{{\"jsonrpc\":\"2.0\",\"method\":{method}}}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_gets_its_type_without_being_parsed() {
        let id = RequestId::Text("\"result\":{".into());
        for (result, expected) in [
            ("{}", r#"{"resultType":"complete"}"#),
            (r#"{"content":[]}"#, r#"{"resultType":"complete","content":[]}"#),
        ] {
            let whole = success_complete(&id, &Bytes::from(result)).into_bytes();
            let value: serde_json::Value = serde_json::from_slice(&whole).unwrap();
            assert_eq!(value["result"].to_string(), expected);
            assert_eq!(value["id"], "\"result\":{");
        }
    }

    #[test]
    fn a_large_result_is_shared_not_copied() {
        let large = Bytes::from(format!("{{\"a\":\"{}\"}}", "x".repeat(COPY_BELOW)));
        let payload = success(&RequestId::Number(1), &large);
        assert_eq!(payload.pieces[1].as_ptr(), large.as_ptr());
    }
}
