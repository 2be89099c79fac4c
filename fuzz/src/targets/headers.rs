//! Headers that mirror the body, in plain and in Base64 form.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, value::RawValue};
use switchboard_mcp::{
    decode_header_value, encode_header_value, param_headers, param_values, validate_mirrored,
};

use super::Target;
use crate::corpus;

pub(super) const TARGET: Target = Target {
    name: "headers",
    corpus: || {
        let mut corpus =
            corpus::members("bad_mcp_requests.jsonl", &["Mcp-Name", "mcp-name", "Mcp-Method", "mcp-method"]);
        let own = [
            "us-west1",
            "Hello, 世界",
            " padded ",
            "=?base64?SGVsbG8sIOS4lueVjA==?=",
            "=?base64?literal?=",
            "=?base64?/w==?=",
            "{\"properties\":{\"region\":{\"type\":\"string\",\"x-mcp-header\":\"Region\"}},\"region\":\"us-west1\\n\"}",
        ];
        corpus.extend(own.map(|text| text.as_bytes().to_vec()));
        corpus
    },
    words: &[
        "=?base64?",
        "?=",
        "==",
        "=",
        "_-",
        "SGVsbG8=",
        "x-mcp-header",
        "properties",
        "\"x-mcp-header\":\"A\"",
    ],
    check,
};

fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let encoded = encode_header_value(&text);
    assert!(encoded.bytes().all(|byte| (0x20..=0x7e).contains(&byte)), "visible ASCII: {encoded:?}");
    assert_eq!(decode_header_value(&encoded).as_deref(), Some(&*text), "what is sent is what is meant");
    let decoded = decode_header_value(&text);
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        mirrored(value, decoded.as_deref());
    }
    if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
        for (_, value) in param_values(&param_headers(&value), &value) {
            HeaderValue::from_str(&value).expect("a header can hold it");
        }
    }
}

/// A header agrees with the body exactly when it says the same name.
fn mirrored(sent: HeaderValue, decoded: Option<&str>) {
    let readable = sent.to_str().is_ok();
    let mut headers = HeaderMap::new();
    for (name, value) in [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call")] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert("mcp-name", sent);
    for name in [decoded.unwrap_or_default(), "notes.search"] {
        let body = RawValue::from_string(serde_json::json!({ "name": name }).to_string()).expect("JSON");
        let agrees = validate_mirrored(&headers, "2026-07-28", "tools/call", Some(&body)).is_ok();
        assert_eq!(agrees, readable && decoded == Some(name), "{decoded:?} for {name:?}");
    }
}
