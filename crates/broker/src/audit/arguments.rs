//! Arguments on record, where an organization wants them there: without what looks secret. Beside them the digest of what was
//! really sent is always there.
//!
//! Three things are taken out: members whose name says that they are secret, the credentials that the call was made with,
//! however they are spelled, and tokens of our own. What else a person thinks of as secret can't be known here, which is why
//! this is off until somebody switches it on.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use switchboard_catalog::REDACTED;
use switchboard_domain::SecretValue;

use crate::redact::redact;

/// Largest arguments that are kept, in bytes, as they were sent.
const MOST: usize = 16 * 1024;
/// What a name says when its value is secret; without regard to case, and to what is between the words.
const SECRET_NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "authorization",
    "cookie",
    "credential",
    "bearer",
    "signature",
    "otp",
];

/// Off unless an admin says so.
pub(crate) fn keeps_arguments(settings: &Value) -> bool {
    settings["audit_arguments"].as_bool().unwrap_or(false)
}

/// As they go on record. What is too large, or can't be read, is named and left out.
pub(crate) fn kept_arguments(sent: &str, secrets: &[SecretValue]) -> Value {
    if sent.len() > MOST {
        return json!({ "omitted": format!("larger than {MOST} bytes") });
    }
    let known = redact(Bytes::copy_from_slice(sent.as_bytes()), secrets);
    match serde_json::from_slice(&known) {
        Ok(value) => without_secrets(value),
        Err(_) => json!({ "omitted": "it can't be read without what is secret in it" }),
    }
}

fn without_secrets(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let shown = members.into_iter().map(|(name, value)| {
                let value = if is_secret(&name) && !value.is_null() {
                    json!(REDACTED)
                } else {
                    without_secrets(value)
                };
                (name, value)
            });
            Value::Object(shown.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(without_secrets).collect(),
        Value::String(text) if text.contains("swb_") || text.contains("whsec_") => json!(REDACTED),
        other => other,
    }
}

fn is_secret(name: &str) -> bool {
    let plain: String = name.chars().filter(|it| it.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    SECRET_NAMES.iter().any(|word| plain.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_secret_is_left_out() {
        let secrets = [SecretValue::new("hunter2/+key")];
        let sent = r#"{"to":"ana","API-Key":"k","nested":[{"user_password":"p","note":"it is hunter2\/+key, ok"}],"clientSecret":{"a":1},"empty_token":null,"text":"swb_pat_abc","n":1}"#;
        let kept = kept_arguments(sent, &secrets);
        assert_eq!((&kept["to"], &kept["n"], &kept["empty_token"]), (&json!("ana"), &json!(1), &Value::Null));
        for (name, value) in
            [("API-Key", &kept["API-Key"]), ("clientSecret", &kept["clientSecret"]), ("text", &kept["text"])]
        {
            assert_eq!(value, REDACTED, "{name}");
        }
        assert_eq!(kept["nested"][0]["user_password"], REDACTED);
        assert!(!kept.to_string().contains("hunter2"), "{kept}");
        assert!(kept["nested"][0]["note"].as_str().unwrap().ends_with(", ok"));
    }

    #[test]
    fn what_is_too_large_is_named() {
        let sent = format!("{{\"a\":\"{}\"}}", "x".repeat(MOST));
        assert!(kept_arguments(&sent, &[])["omitted"].as_str().unwrap().contains("16384"));
        assert!(kept_arguments("{", &[])["omitted"].is_string());
    }
}
