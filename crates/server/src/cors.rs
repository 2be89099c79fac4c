//! AI clients that are web pages (CORS, Fetch section 3.2): the origins that the operator lists may call the MCP
//! endpoints, each exactly as it is written.
//!
//! Only tokens count there, never a cookie, so nothing is allowed with credentials. Any page may read metadata and talk to
//! the authorization server's endpoints for clients (`oauth`): they give nothing away that a token does not open.

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header},
    middleware::Next,
};

use crate::ServerState;

const METHODS: &str = "GET, POST, DELETE, OPTIONS";
const HEADERS: &str = "authorization, content-type, accept, last-event-id, mcp-protocol-version, mcp-session-id, \
                       mcp-method, mcp-name, switchboard-mode, switchboard-connections";
const EXPOSED: &str = "www-authenticate, mcp-session-id, mcp-protocol-version, retry-after, x-request-id";
/// How long a browser may remember what it was told, in seconds.
const REMEMBERED: &str = "3600";

/// Whether a listed page may call this path.
pub(crate) fn is_endpoint(path: &str) -> bool {
    let is_mcp = |path: &str| path == "/mcp" || path.starts_with("/mcp/");
    let pinned = path.strip_prefix("/o/").and_then(|rest| rest.find('/').map(|slash| &rest[slash..]));
    is_mcp(path) || pinned.is_some_and(is_mcp)
}

/// Around the MCP endpoints: answers a browser's question beforehand, and lets the page read the answer.
pub(crate) async fn for_listed_pages(
    State(state): State<ServerState>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let listed = origin.filter(|origin| origin.to_str().is_ok_and(|it| state.config.allows_page(it)));
    let Some(origin) = listed else { return next.run(request).await };
    let asks = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !asks {
        let mut response = next.run(request).await;
        allow(response.headers_mut(), origin);
        return response;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED));
    allow(headers, origin);
    response
}

fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

#[cfg(test)]
mod tests {
    use super::is_endpoint;

    #[test]
    fn only_mcp_is_open_to_listed_pages() {
        for path in ["/mcp", "/mcp/", "/mcp/toolkits/x", "/o/acme/mcp", "/o/acme/mcp/connections/x"] {
            assert!(is_endpoint(path), "{path}");
        }
        for path in ["/", "/mcpx", "/api/v1/mcp", "/o/acme", "/o/acme/api/v1", "/sign-in", "/o/mcp"] {
            assert!(!is_endpoint(path), "{path}");
        }
    }
}
