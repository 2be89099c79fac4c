//! Client ID metadata documents: a client whose id is the https address of a document about it.
//! <https://datatracker.ietf.org/doc/draft-ietf-oauth-client-id-metadata-document/>

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::{Host, Url};

use crate::RedirectUri;

const MAX_NAME: usize = 2000;
const MAX_REDIRECT_URIS: usize = 50;

/// What a client says of itself in its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientDocument {
    pub name: String,
    pub redirect_uris: Vec<RedirectUri>,
    /// SHA-256 over what a person who allowed it relied on: name, logo, redirect URIs, keys.
    pub fingerprint: [u8; 32],
}

/// Why a document is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    #[error("the document is no JSON object with `client_id`, `client_name` and `redirect_uris`")]
    Shape,
    #[error("the document is about another `client_id` than its address")]
    OtherClient,
    #[error("the document has a secret in it, and everybody can read it")]
    Secret,
    #[error("none of the document's `redirect_uris` can be used")]
    RedirectUris,
    #[error("the document points into a private network")]
    PrivateReference,
}

#[derive(Deserialize)]
struct Body {
    client_id: String,
    client_name: String,
    redirect_uris: Vec<Value>,
    logo_uri: Option<Value>,
    jwks: Option<Value>,
    jwks_uri: Option<Value>,
    client_secret: Option<Value>,
    client_secret_expires_at: Option<Value>,
    token_endpoint_auth_method: Option<Value>,
}

/// Whether a `client_id` is the address of such a document: https with a path, nothing hidden in it.
pub fn is_client_document_url(client_id: &str) -> bool {
    let plain = client_id.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'\\');
    if !plain || client_id.len() > 2048 || client_id.contains(['#', '@']) {
        return false;
    }
    let lower = client_id.to_ascii_lowercase();
    let Ok(url) = Url::parse(client_id) else { return false };
    // As written: a parser would resolve dot segments and respell the host.
    url.scheme() == "https"
        && url.as_str() == client_id
        && url.path().len() > 1
        && url.query().is_none()
        && !lower.contains("%2e")
        && matches!(url.host(), Some(Host::Domain(name)) if name.contains('.'))
}

impl ClientDocument {
    pub fn parse(client_id: &str, body: &[u8]) -> Result<Self, DocumentError> {
        let body: Body = serde_json::from_slice(body).map_err(|_| DocumentError::Shape)?;
        if body.client_id != client_id {
            return Err(DocumentError::OtherClient);
        }
        if body.client_name.trim().is_empty() || body.client_name.len() > MAX_NAME {
            return Err(DocumentError::Shape);
        }
        if has_secret(&body) {
            return Err(DocumentError::Secret);
        }
        if body.jwks_uri.as_ref().is_some_and(|uri| !uri.as_str().is_some_and(is_public_https)) {
            return Err(DocumentError::PrivateReference);
        }
        let redirect_uris: Vec<_> = body
            .redirect_uris
            .iter()
            .filter_map(|uri| RedirectUri::parse(uri.as_str()?).ok())
            .take(MAX_REDIRECT_URIS)
            .collect();
        if redirect_uris.is_empty() {
            return Err(DocumentError::RedirectUris);
        }
        let keys =
            [body.logo_uri, body.jwks, body.jwks_uri].map(|value| value.unwrap_or_default().to_string());
        let fingerprint = fingerprint(&body.client_name, &redirect_uris, &keys);
        Ok(Self { name: body.client_name, redirect_uris, fingerprint })
    }
}

/// Digest of what a person saw and relied on; each part with its length, so that none runs into the next.
pub fn fingerprint(name: &str, redirect_uris: &[RedirectUri], more: &[String]) -> [u8; 32] {
    let parts = redirect_uris.iter().map(RedirectUri::as_str).chain(more.iter().map(String::as_str));
    let mut hash = Sha256::new();
    for part in std::iter::once(name).chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn has_secret(body: &Body) -> bool {
    let method = body.token_endpoint_auth_method.as_ref().and_then(Value::as_str).unwrap_or("none");
    let symmetric = |key: &Value| key["kty"] == "oct" || key.get("k").is_some() || key.get("d").is_some();
    let keys = body.jwks.as_ref().and_then(|jwks| jwks["keys"].as_array());
    body.client_secret.is_some()
        || body.client_secret_expires_at.is_some()
        || method.starts_with("client_secret")
        || keys.is_some_and(|keys| keys.iter().any(symmetric))
}

fn is_public_https(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        url.scheme() == "https" && matches!(url.host(), Some(Host::Domain(name)) if name.contains('.'))
    })
}
