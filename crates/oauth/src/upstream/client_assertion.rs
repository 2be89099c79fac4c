//! What a client with a key of its own says to prove itself: a JSON Web Token that it signs anew for every request
//! (RFC 7523 section 3, RFC 7521 section 4.2).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// `client_assertion_type` (RFC 7523 section 2.2).
pub const CLIENT_ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// In seconds. It is used at once; the rest is for clocks that differ.
const LIFE: i64 = 60;

/// What an authorization server wants of the assertions that it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssertionTerms {
    /// Its issuer, and nothing else (draft-ietf-oauth-rfc7523bis): an assertion that names a token endpoint may have been
    /// asked for by another server, which named that endpoint as its own. Older servers want the endpoint all the same.
    pub audience: String,
    pub algorithm: String,
}

/// One assertion, to be signed.
#[derive(Debug, Clone, Copy)]
pub struct ClientAssertion<'a> {
    pub client_id: &'a str,
    pub terms: &'a AssertionTerms,
    pub key_id: Option<&'a str>,
    /// Never the same again: who takes an assertion takes it once.
    pub id: &'a str,
    /// Seconds since the Unix epoch.
    pub now: i64,
}

impl ClientAssertion<'_> {
    /// Header and claims, as they are signed (RFC 7515 section 5.1).
    pub fn signing_input(self) -> String {
        // `JWT` and not the type that the draft names: widely used servers refuse every type but this one.
        let mut header = json!({ "alg": self.terms.algorithm, "typ": "JWT" });
        if let Some(key_id) = self.key_id {
            header["kid"] = json!(key_id);
        }
        let claims = json!({
            "iss": self.client_id, "sub": self.client_id, "aud": self.terms.audience, "jti": self.id,
            "iat": self.now, "exp": self.now + LIFE,
        });
        let encode = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        format!("{}.{}", encode(&header), encode(&claims))
    }

    /// The whole of it.
    pub fn signed(input: &str, signature: &[u8]) -> String {
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_to_whom_and_for_how_long() {
        let terms = AssertionTerms { audience: "https://as.example".into(), algorithm: "ES256".into() };
        let assertion =
            ClientAssertion { client_id: "us", terms: &terms, key_id: Some("k"), id: "1", now: 1_000 };
        let input = assertion.signing_input();
        let parts: Vec<serde_json::Value> = input
            .split('.')
            .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        assert_eq!(parts[0], json!({ "alg": "ES256", "typ": "JWT", "kid": "k" }));
        let claims = json!({
            "iss": "us", "sub": "us", "aud": "https://as.example", "jti": "1", "iat": 1000, "exp": 1060,
        });
        assert_eq!(parts[1], claims);
        assert_eq!(ClientAssertion::signed("a.b", &[0xfb, 0xff]), "a.b.-_8");
        let unnamed = ClientAssertion { key_id: None, ..assertion }.signing_input();
        let header = URL_SAFE_NO_PAD.decode(unnamed.split('.').next().unwrap()).unwrap();
        assert!(!String::from_utf8(header).unwrap().contains("kid"));
    }
}
