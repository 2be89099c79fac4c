//! What an authorization server does with a client that proves itself with a private key (RFC 7523): verify.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::Value;

/// The claims of the assertion in a form, once its signature is verified with this JSON Web Key of P-256.
///
/// # Panics
///
/// When there is none, or it is not signed with that key.
pub fn verified_assertion(public_key: &Value, form: &HashMap<String, String>) -> Value {
    let kind = form.get("client_assertion_type").map(String::as_str);
    assert_eq!(kind, Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), "{form:?}");
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64url");
    let member = |name: &str| decode(public_key[name].as_str().expect("a key of P-256"));
    let (signed, signature) = form["client_assertion"].rsplit_once('.').expect("a JSON Web Signature");
    let point = [&[4][..], &member("x"), &member("y")].concat();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.verify(signed.as_bytes(), &decode(signature)).expect("it is signed with this key");
    let (header, claims) = signed.split_once('.').expect("a header and claims");
    let header: Value = serde_json::from_slice(&decode(header)).expect("JSON");
    assert_eq!((&header["alg"], &header["kid"]), (&Value::from("ES256"), &public_key["kid"]));
    let claims: Value = serde_json::from_slice(&decode(claims)).expect("JSON");
    assert_eq!(claims["sub"], form["client_id"], "who says `client_id` beside it means the same");
    claims
}
