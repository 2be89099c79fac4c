//! What the authorization server says of itself (RFC 8414), the same under the OpenID name that some clients ask.

use serde_json::{Value, json};

/// `issuer` is our origin without a path. Access tokens are opaque, so the key set at `jwks_uri` is empty: clients that
/// read OpenID's document want one to be named. `offline_access` is taken but not listed: everybody gets a refresh token.
/// Whether clients may register themselves is the operator's decision.
pub fn authorization_server_metadata(issuer: &str, dynamic_registration: bool) -> Value {
    let mut metadata = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/oauth/authorize"),
        "token_endpoint": format!("{issuer}/oauth/token"),
        "revocation_endpoint": format!("{issuer}/oauth/revoke"),
        "introspection_endpoint": format!("{issuer}/oauth/introspect"),
        "jwks_uri": format!("{issuer}/oauth/jwks.json"),
        "scopes_supported": ["mcp:read", "mcp:write", "mcp:plan"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "revocation_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "client_id_metadata_document_supported": true,
        "authorization_response_iss_parameter_supported": true,
    });
    if dynamic_registration {
        metadata["registration_endpoint"] = json!(format!("{issuer}/oauth/register"));
    }
    metadata
}
