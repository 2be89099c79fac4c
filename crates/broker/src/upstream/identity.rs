//! Saying to an upstream for whom a call is, where its connection asks for that (`send_identity`): headers, signed as
//! HTTP Message Signatures (RFC 9421) with the connection's key, over the method, the address and the digest of the body
//! (RFC 9530), so that nobody else can say it, of another call or of this one changed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};
use switchboard_domain::Timestamp;

use crate::credentials::ConnectionKey;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");
/// Tells these signatures from others that a message may carry (RFC 9421 section 2.3).
const TAG: &str = "switchboard-identity";

/// For whom a call is.
#[derive(Debug, Clone)]
pub(crate) struct CallIdentity {
    /// `switchboard-…` and what it says; ids only, never names or addresses.
    pub(crate) facts: Vec<(HeaderName, String)>,
    pub(crate) call: String,
    pub(crate) key: ConnectionKey,
    pub(crate) now: Timestamp,
}

impl CallIdentity {
    /// Adds the facts and their signature to a request as it will be sent.
    pub(crate) fn sign(&self, headers: &mut HeaderMap, url: &url::Url, body: &[u8]) {
        let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)));
        let mut covered = vec![
            ("@method".to_owned(), "POST".to_owned()),
            ("@target-uri".to_owned(), url.as_str().to_owned()),
            (CONTENT_DIGEST.as_str().to_owned(), digest.clone()),
        ];
        covered.extend(self.facts.iter().map(|(name, value)| (name.as_str().to_owned(), value.clone())));
        let names: Vec<String> = covered.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let parameters = format!(
            "({});created={};keyid=\"{}\";alg=\"ed25519\";tag=\"{TAG}\"",
            names.join(" "),
            self.now.as_secs(),
            self.key.id
        );
        let signature = self.key.key.sign(signature_base(&covered, &parameters).as_bytes());
        let mut all = vec![
            (CONTENT_DIGEST, digest),
            (SIGNATURE_INPUT, format!("switchboard={parameters}")),
            (SIGNATURE, format!("switchboard=:{}:", STANDARD.encode(signature))),
        ];
        all.extend(self.facts.iter().cloned());
        for (name, value) in all {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }
}

/// RFC 9421 section 2.5.
fn signature_base(covered: &[(String, String)], parameters: &str) -> String {
    let lines: String = covered.iter().map(|(name, value)| format!("\"{name}\": {value}\n")).collect();
    format!("{lines}\"@signature-params\": {parameters}")
}
