//! What every request passes first: a `Host` that is ours, an `Origin` that is ours or none, an id, and on the way
//! out the headers that keep browsers from doing harm.
//!
//! DNS rebinding is refused here (THREATS M1); forwarded headers are not believed.

use std::{borrow::Cow, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header},
    middleware::Next,
};
use tracing::Instrument as _;

use crate::{RequestId, ServerState, cors, oauth, problem, unread};

pub(crate) async fn guard(
    State(state): State<ServerState>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let id: Arc<str> = state.broker.new_request_id().into();
    let started = tokio::time::Instant::now();
    let method = request.method().clone();
    let path: Arc<str> = path_to_write_down(request.uri().path()).into();
    let refusal = (method == Method::CONNECT)
        .then(|| problem::plain(StatusCode::METHOD_NOT_ALLOWED, "There is no tunnel here."))
        .or_else(|| refuse(&state, request.headers(), request.uri()));
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let spelled = match state.config.spelled_origin(request.headers()) {
        Cow::Owned(spelled) => Some(spelled),
        Cow::Borrowed(_) => None,
    };
    let (parts, body) = request.into_parts();
    let (body, rest) = unread::keep(body, &parts.headers, parts.version);
    let request = Request::from_parts(parts, body);
    let mut response = match refusal {
        Some(response) => response,
        None => {
            let span = tracing::info_span!("request", id = %id, %method, path = %path);
            next.run(request).instrument(span).await
        }
    };
    let status = response.status().as_u16();
    let millis = started.elapsed().as_secs_f64() * 1000.0;
    metrics::histogram!("switchboard_http_request_duration_seconds").record(millis / 1000.0);
    metrics::counter!("switchboard_http_requests_total", "status" => status_class(status)).increment(1);
    tracing::debug!(target: "switchboard::access", id = %id, %method, path = %path, status, millis, "request");
    protect(response.headers_mut(), &id, referrer_policy(&state));
    if let Some(spelled) = spelled {
        respell_challenge(response.headers_mut(), state.config.origin(), &spelled);
    }
    rest.settle(&mut response).await;
    response
}

/// The metadata that a challenge names is fetched under the spelling that the client uses, see
/// [`ServerConfig::spelled_origin`](crate::ServerConfig::spelled_origin).
fn respell_challenge(headers: &mut HeaderMap, origin: &str, spelled: &str) {
    let challenge = headers.get(header::WWW_AUTHENTICATE).and_then(|challenge| challenge.to_str().ok());
    let respelled = challenge.map(|challenge| challenge.replace(origin, spelled));
    if let Some(Ok(respelled)) = respelled.map(|text| HeaderValue::from_str(&text)) {
        headers.insert(header::WWW_AUTHENTICATE, respelled);
    }
}

/// Links to set up, to accept an invitation and the like prove something by a token in their path: it is in no log and
/// in no trace.
fn path_to_write_down(path: &str) -> String {
    let shown = |segment| if str::starts_with(segment, "swb_") { "…" } else { segment };
    path.split('/').map(shown).collect::<Vec<_>>().join("/")
}

fn status_class(status: u16) -> &'static str {
    match status {
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

fn refuse(state: &ServerState, headers: &HeaderMap, uri: &Uri) -> Option<Response<Body>> {
    let limit = state.config.max_header_bytes;
    if header_bytes(headers, uri) > limit {
        let text =
            format!("The request's headers have more than {limit} bytes (limit `server.max_header_bytes`).");
        return Some(problem::plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, &text));
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => {
            return Some(problem::plain(StatusCode::BAD_REQUEST, "Two `Host` headers were sent."));
        }
        (Some(host), None) => host.to_str().ok(),
        // HTTP/2 has the authority in the URI.
        (None, _) => uri.authority().map(|authority| authority.as_str()),
    };
    // A request target with an authority of its own (RFC 9112 section 3.2.2): others would take that for the host.
    let named = uri.authority().map(|authority| authority.as_str());
    if named.zip(host).is_some_and(|(named, host)| !named.eq_ignore_ascii_case(host)) {
        let text = "The address of the request and its `Host` header name different hosts.";
        return Some(problem::plain(StatusCode::BAD_REQUEST, text));
    }
    let known = host.is_some_and(|host| state.config.accepts_host(host));
    if !known {
        return Some(problem::plain(
            StatusCode::FORBIDDEN,
            "This host name is not one that Switchboard answers to. The operator sets it with --public-url.",
        ));
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let foreign = origins.any(|origin| {
        let ours = origin.to_str().is_ok_and(|origin| state.config.accepts_origin(origin));
        let listed = cors::is_endpoint(uri.path())
            && origin.to_str().is_ok_and(|origin| state.config.allows_page(origin));
        let own_form = origin == "null" && (is_own_page(headers) || is_setup_form(headers, uri));
        !ours && !listed && !own_form
    });
    (foreign && !oauth::is_open_to_pages(uri.path()))
        .then(|| problem::plain(StatusCode::FORBIDDEN, "Pages of another origin may not call Switchboard."))
}

/// As they stood on the wire: name, colon, space, value, line break.
fn header_bytes(headers: &HeaderMap, uri: &Uri) -> usize {
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>() + target
}

/// Our pages send no referrer, and then a browser sends `Origin: null` with their forms too (Fetch, "append a request
/// `Origin` header"). It says itself whether such a request comes from our own page, in a header no script can set.
fn is_own_page(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin")
}

/// Browsers send `Sec-Fetch-Site` to trustworthy origins only: https and loopback (Fetch Metadata, section 2). A setup
/// page opened over plain http from another machine therefore sends `Origin: null` and nothing else. It is let in, and
/// it alone: the single-use token in its path is what proves the request, no cookie is read there, and another page
/// would have to know that token to send the form. A browser that says it comes from elsewhere is refused all the same.
fn is_setup_form(headers: &HeaderMap, uri: &Uri) -> bool {
    let token = uri.path().strip_prefix("/setup/");
    token.is_some_and(|token| !token.is_empty()) && !headers.contains_key("sec-fetch-site")
}

/// With no referrer a browser sends `Origin: null` with a form. Where it also says where a form comes from
/// (`Sec-Fetch-Site`: https and loopback only) that is enough; over plain http on another machine it says nothing else, so
/// there our own pages keep the `Origin` of our own forms, and tell no other site anything either.
fn referrer_policy(state: &ServerState) -> HeaderValue {
    HeaderValue::from_static(if state.config.is_trustworthy() { "no-referrer" } else { "same-origin" })
}

fn protect(headers: &mut HeaderMap, id: &str, referrer_policy: HeaderValue) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert("x-request-id", id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, referrer_policy);
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ));
}
