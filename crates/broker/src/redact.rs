//! An upstream that sends our credential back must not give it to the agent (THREATS U5).

use bytes::Bytes;
use memchr::memmem;
use switchboard_domain::SecretValue;

const MARK: &[u8] = b"[redacted]";

/// Replaces every secret in a body, as it is and as JSON and URLs spell it. Copies only when there is one.
pub(crate) fn redact(body: Bytes, secrets: &[SecretValue]) -> Bytes {
    let mut body = body;
    for secret in secrets {
        for spelling in spellings(secret.expose()) {
            if memmem::find(&body, &spelling).is_some() {
                body = replace(&body, &spelling);
            }
        }
    }
    body
}

/// The same for a text of ours that quotes an upstream.
pub(crate) fn redact_text(text: &str, secrets: &[SecretValue]) -> String {
    String::from_utf8_lossy(&redact(Bytes::copy_from_slice(text.as_bytes()), secrets)).into_owned()
}

fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let mut spellings = vec![secret.as_bytes().to_vec()];
    let json = serde_json::to_string(secret).unwrap_or_default();
    let escaped = json.trim_matches('"').as_bytes().to_vec();
    let url: Vec<u8> =
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>().into_bytes();
    for other in [escaped, url] {
        if !other.is_empty() && !spellings.contains(&other) {
            spellings.push(other);
        }
    }
    spellings
}

fn replace(body: &[u8], secret: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = 0;
    for at in memmem::find_iter(body, secret) {
        out.extend_from_slice(&body[rest..at]);
        out.extend_from_slice(MARK);
        rest = at + secret.len();
    }
    out.extend_from_slice(&body[rest..]);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_replaced_and_nothing_else_copied() {
        let secrets = [SecretValue::new("s3cr\"et/+key")];
        let body = Bytes::from(r#"{"a":"s3cr\"et/+key","b":"s3cr%22et%2F%2Bkey","c":1}"#);
        let clean = redact(body, &secrets);
        assert_eq!(clean, r#"{"a":"[redacted]","b":"[redacted]","c":1}"#);
        let untouched = Bytes::from("nothing here");
        assert_eq!(redact(untouched.clone(), &secrets).as_ptr(), untouched.as_ptr());
    }
}
