//! What a resource says of itself (RFC 9728): its name, and who issues tokens for it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::{Allowed, is_object, scopes};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
/// Authorization servers that are looked at.
const MAX_SERVERS: usize = 10;

/// The part of the metadata that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtectedResource {
    /// As written: what tokens are asked for (RFC 8707).
    pub resource: String,
    /// Issuer identifiers, as written.
    pub authorization_servers: Vec<String>,
    pub scopes_supported: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    #[error("it is no JSON object as RFC 9728 describes it")]
    Shape,
    #[error("its `resource` is another one than the server that was asked (RFC 9728 section 3.3)")]
    OtherResource,
    #[error("it names no authorization server")]
    NoServer,
    #[error("it names an authorization server that may not be asked from here")]
    ServerNotAllowed,
    #[error("it takes no token in a header, which is the only place where MCP has one")]
    NoHeader,
}

#[derive(Deserialize)]
struct Document {
    resource: String,
    authorization_servers: Option<Vec<String>>,
    scopes_supported: Option<Vec<Value>>,
    bearer_methods_supported: Option<Vec<Value>>,
}

impl ProtectedResource {
    /// Where it is when no challenge says so: below the server's path, then at the root (RFC 9728 section 3.1).
    pub fn locations(server: &Url) -> Vec<String> {
        let origin = server.origin().ascii_serialization();
        let path = server.path().trim_end_matches('/');
        let query = server.query().map_or_else(String::new, |query| format!("?{query}"));
        let mut locations = vec![format!("{origin}{WELL_KNOWN}{path}{query}")];
        let root = format!("{origin}{WELL_KNOWN}");
        if !locations.contains(&root) {
            locations.push(root);
        }
        locations
    }

    /// Reads the document of `server`, which is the MCP endpoint that was asked.
    pub fn parse(body: &[u8], server: &Url, allowed: Allowed<'_>) -> Result<Self, ResourceError> {
        if !is_object(body) {
            return Err(ResourceError::Shape);
        }
        let document: Document = serde_json::from_slice(body).map_err(|_| ResourceError::Shape)?;
        if !covers(&document.resource, server) {
            return Err(ResourceError::OtherResource);
        }
        if document.bearer_methods_supported.is_some_and(|methods| !methods.iter().any(|it| it == "header")) {
            return Err(ResourceError::NoHeader);
        }
        let mut authorization_servers = document.authorization_servers.unwrap_or_default();
        authorization_servers.truncate(MAX_SERVERS);
        if authorization_servers.is_empty() {
            return Err(ResourceError::NoServer);
        }
        let good = |issuer: &String| super::server_metadata::is_issuer(issuer) && allowed(issuer);
        if !authorization_servers.iter().all(good) {
            return Err(ResourceError::ServerNotAllowed);
        }
        let words = document.scopes_supported.unwrap_or_default();
        let scopes_supported = scopes(words.iter().filter_map(Value::as_str));
        Ok(Self { resource: document.resource, authorization_servers, scopes_supported })
    }
}

/// Whether a resource identifier is the server's URL, or one it lies under: servers that have one token for several
/// endpoints name the path they share.
fn covers(resource: &str, server: &Url) -> bool {
    let plain = resource.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'\\');
    let Ok(url) = Url::parse(resource) else { return false };
    let authority = resource.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    if !plain || resource.contains('#') || authority.contains('@') || url.origin() != server.origin() {
        return false;
    }
    let (base, path) = (url.path().trim_end_matches('/'), server.path());
    let under = path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    under && url.query().is_none_or(|query| Some(query) == server.query())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_the_server_or_what_it_lies_under() {
        let server: Url = "https://mcp.example.com/team/mcp".parse().unwrap();
        for good in [
            "https://mcp.example.com/team/mcp",
            "https://mcp.example.com/team/mcp/",
            "https://mcp.example.com/team",
            "https://mcp.example.com",
            "https://mcp.example.com/",
            "https://mcp.example.com:443/team/mcp",
        ] {
            assert!(covers(good, &server), "{good}");
        }
        for bad in [
            "https://mcp.example.com/team/mcp2",
            "https://mcp.example.com/team/mc",
            "https://mcp.example.com/team/mcp/more",
            "https://mcp.example.com/Team/mcp",
            "http://mcp.example.com/team/mcp",
            "https://mcp.example.com/team/mcp?x=1",
            "https://mcp.example.com/team/mcp#x",
            "https://a@mcp.example.com/team/mcp",
            "https://example.com/team/mcp",
            "mcp.example.com/team/mcp",
            "",
        ] {
            assert!(!covers(bad, &server), "{bad}");
        }
    }

    #[test]
    fn it_is_looked_for_below_the_path_and_then_at_the_root() {
        let locations = |url: &str| ProtectedResource::locations(&url.parse().unwrap());
        assert_eq!(
            locations("https://a.example/mcp/"),
            [
                "https://a.example/.well-known/oauth-protected-resource/mcp",
                "https://a.example/.well-known/oauth-protected-resource"
            ]
        );
        assert_eq!(
            locations("https://a.example:8443"),
            ["https://a.example:8443/.well-known/oauth-protected-resource"]
        );
    }
}
