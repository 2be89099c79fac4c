//! Dynamic client registration (RFC 7591), as forgiving as real clients need: what is odd is passed over, redirect
//! URIs that may not be used are dropped, and only a client with none left is refused.

use serde::Deserialize;
use serde_json::Value;

use crate::{ErrorCode, OauthError, RedirectUri};

/// Longest name that is kept; what is shown is shorter still.
const MAX_NAME: usize = 2000;
/// Most redirect URIs of one client.
const MAX_REDIRECT_URIS: usize = 50;
/// Of all of them together: whoever registers has not shown who they are, and their rows stay for a day.
const MAX_REDIRECT_URI_BYTES: usize = 8 * 1024;

/// How a client proves at the token endpoint that it is itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// A public client: PKCE is what ties a code to it.
    None,
    SecretBasic,
    SecretPost,
}

impl ClientAuthentication {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SecretBasic => "client_secret_basic",
            Self::SecretPost => "client_secret_post",
        }
    }
}

/// A client that asks to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// What it calls itself. Untrusted text.
    pub name: String,
    pub redirect_uris: Vec<RedirectUri>,
    pub authentication: ClientAuthentication,
}

/// A known member twice is refused by the reader, an unknown one is nobody's.
#[derive(Deserialize)]
struct Body {
    client_name: Option<String>,
    redirect_uris: Option<Vec<Value>>,
    token_endpoint_auth_method: Option<Value>,
    jwks: Option<Value>,
    jwks_uri: Option<Value>,
}

impl Registration {
    pub fn parse(body: &[u8]) -> Result<Self, OauthError> {
        let invalid = |text: &str| OauthError::new(ErrorCode::InvalidClientMetadata, text);
        if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(invalid("send a JSON object"));
        }
        let body: Body = serde_json::from_slice(body)
            .map_err(|error| invalid(&format!("the client metadata can't be read: {error}")))?;
        if body.jwks.is_some() && body.jwks_uri.is_some() {
            return Err(invalid("`jwks` and `jwks_uri` exclude each other (RFC 7591 section 2)"));
        }
        let name = body.client_name.unwrap_or_default();
        if name.len() > MAX_NAME {
            return Err(invalid("`client_name` is longer than 2000 bytes"));
        }
        let redirect_uris: Vec<_> = body
            .redirect_uris
            .unwrap_or_default()
            .iter()
            .filter_map(|uri| RedirectUri::parse(uri.as_str()?).ok())
            .take(MAX_REDIRECT_URIS)
            .collect();
        if redirect_uris.is_empty() {
            let text = "none of the `redirect_uris` can be used: https, http on 127.0.0.1, [::1] or localhost, or a \
                        scheme of the application's own domain; no fragment, user name or wildcard";
            return Err(OauthError::new(ErrorCode::InvalidRedirectUri, text));
        }
        let bytes: usize = redirect_uris.iter().map(|uri| uri.as_str().len()).sum();
        if bytes > MAX_REDIRECT_URI_BYTES {
            let text = format!("the `redirect_uris` together are longer than {MAX_REDIRECT_URI_BYTES} bytes");
            return Err(OauthError::new(ErrorCode::InvalidRedirectUri, text));
        }
        let authentication = match body.token_endpoint_auth_method.as_ref().and_then(Value::as_str) {
            Some("client_secret_basic") => ClientAuthentication::SecretBasic,
            Some("client_secret_post") => ClientAuthentication::SecretPost,
            // Whoever says nothing is a public client: most MCP clients are, and mean it.
            _ => ClientAuthentication::None,
        };
        Ok(Self { name, redirect_uris, authentication })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: &Value) -> Result<Registration, OauthError> {
        Registration::parse(body.to_string().as_bytes())
    }

    #[test]
    fn cursor_registers_what_it_always_did() {
        let registered = parse(&json!({
            "client_name": "Cursor", "application_type": "web", "logo_uri": null, "grant_types": ["device_code"],
            "redirect_uris": ["cursor://anysphere.cursor-mcp/oauth/callback", "http://localhost:8787/callback",
                "https://www.cursor.com/agents/mcp/oauth/callback", "javascript:alert(1)", 7],
        }))
        .expect("a client");
        let kept: Vec<_> = registered.redirect_uris.iter().map(RedirectUri::as_str).collect();
        assert_eq!(kept.len(), 3, "{kept:?}");
        assert_eq!(registered.authentication, ClientAuthentication::None);
    }

    #[test]
    fn without_a_usable_redirect_there_is_no_client() {
        for uris in [json!([]), json!(["http://evil.example/cb"]), json!(null), json!([1])] {
            let refused = parse(&json!({ "client_name": "x", "redirect_uris": uris })).unwrap_err();
            assert_eq!(refused.code, ErrorCode::InvalidRedirectUri);
        }
        let long = |count: usize| vec![format!("https://a.example/{}", "x".repeat(2000)); count];
        assert!(parse(&json!({ "redirect_uris": long(4) })).is_ok());
        let refused = parse(&json!({ "redirect_uris": long(5) })).unwrap_err();
        assert!(refused.description.contains("8192 bytes"), "{}", refused.description);
        assert_eq!(parse(&json!([])).unwrap_err().code, ErrorCode::InvalidClientMetadata);
        let twice = br#"{"redirect_uris":["http://127.0.0.1/cb"],"redirect_uris":["https://a.example/cb"]}"#;
        assert_eq!(Registration::parse(twice).unwrap_err().code, ErrorCode::InvalidClientMetadata);
    }
}
