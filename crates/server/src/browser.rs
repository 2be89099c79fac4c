//! What a browser brings and takes: the session cookie, forms, and proof that a request comes from our own page.
//!
//! The cookie is `__Host-` prefixed on https, which ties it to this host and to TLS (RFC 6265bis section 4.1.3.2);
//! loopback http can't have that, so there it has no prefix. Cross-site requests are refused by what the browser
//! itself says (Fetch Metadata, else `Origin`) and, for whoever has a session, by a token in the form as well.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http_body_util::{BodyExt as _, Limited};
use sha2::{Digest as _, Sha256};
use switchboard_broker::{Browser, SignedIn, same_secret};
use switchboard_domain::SecretValue;
use url::form_urlencoded;

use crate::{ServerState, problem, serve::Peer};

/// Longest form: a few short fields.
const MAX_FORM: usize = 64 * 1024;

/// The session cookie's name under this public URL.
pub(crate) fn cookie_name(state: &ServerState) -> &'static str {
    if is_https(state) { "__Host-switchboard" } else { "switchboard" }
}

pub(crate) fn is_https(state: &ServerState) -> bool {
    state.config.public_url.scheme() == "https"
}

/// The one cookie of this name. Two of them are none: somebody set one from elsewhere.
pub(crate) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = pairs
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// `Set-Cookie` for a value that lives as long as the browser lets it, or `seconds`.
pub(crate) fn set_cookie(state: &ServerState, name: &str, value: &str, seconds: Option<u64>) -> HeaderValue {
    let secure = if is_https(state) { "; Secure" } else { "" };
    let age = seconds.map_or_else(String::new, |seconds| format!("; Max-Age={seconds}"));
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}");
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("switchboard=; Path=/; Max-Age=0"))
}

/// Who is at the browser, by the session cookie.
pub(crate) async fn signed_in(
    state: &ServerState,
    headers: &HeaderMap,
) -> Result<Option<SignedIn>, Box<Response<Body>>> {
    let Some(value) = cookie(headers, cookie_name(state)) else { return Ok(None) };
    state.broker.session(value).await.map_err(|error| {
        tracing::error!(%error, "a session can't be looked up");
        Box::new(problem::plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "Switchboard can't reach its own records right now. Try again in a moment.",
        ))
    })
}

/// What every form of a signed-in person carries: only a page that this session was shown knows it.
pub(crate) fn form_token(state: &ServerState, headers: &HeaderMap) -> String {
    let value = cookie(headers, cookie_name(state)).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(Sha256::new().chain_update(b"form:").chain_update(value).finalize())
}

/// Whether a form that changes something was sent from our own page.
pub(crate) fn is_own_form(headers: &HeaderMap) -> bool {
    match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin" || site == "none",
        // The guard refused every foreign `Origin` already; an old browser sends one with each POST.
        None => true,
    }
}

/// Whether the form has the token that its session was given.
pub(crate) fn has_form_token(state: &ServerState, headers: &HeaderMap, fields: &Fields) -> bool {
    let given = fields.get("form_token").unwrap_or_default();
    same_secret(form_token(state, headers).as_bytes(), given.as_bytes())
}

/// Who is at the other end, for the list of sessions and the audit log.
pub(crate) fn browser(parts: &Parts) -> Browser {
    let agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    Browser {
        user_agent: agent.unwrap_or_default().to_owned(),
        source: parts.extensions.get::<Peer>().map(|peer| peer.0.ip()),
    }
}

/// A form's fields in the order sent, each once.
pub(crate) struct Fields(Vec<(String, SecretValue)>);

impl Fields {
    /// Reads an `application/x-www-form-urlencoded` body. `None` for anything else, too large, or with a field twice
    /// that is not in `repeated`.
    pub(crate) async fn read(state: &ServerState, request: Request, repeated: &[&str]) -> Option<Self> {
        let kind = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
        let essence = kind.split(';').next()?.trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return None;
        }
        let reading = Limited::new(request.into_body(), MAX_FORM).collect();
        let read = tokio::time::timeout(state.config.request_body_timeout, reading).await.ok()?.ok()?;
        let mut fields: Vec<(String, SecretValue)> = Vec::new();
        for (name, value) in form_urlencoded::parse(&read.to_bytes()) {
            let twice = fields.iter().any(|(known, _)| *known == name);
            if twice && !repeated.contains(&&*name) {
                return None;
            }
            fields.push((name.into_owned(), SecretValue::new(value)));
        }
        Some(Self(fields))
    }

    /// Whether there is nothing but these: a field nobody asked for is refused, not ignored.
    pub(crate) fn are_among(&self, names: &[&str]) -> bool {
        self.0.iter().all(|(name, _)| names.contains(&name.as_str()))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.secret(name).map(SecretValue::expose)
    }

    /// All of them, as they were sent.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = &(String, SecretValue)> {
        self.0.iter()
    }

    /// Every value of a field that may be repeated.
    pub(crate) fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.expose())
    }

    /// The fields whose names begin so, by what comes after.
    pub(crate) fn secrets_below(&self, prefix: &str) -> BTreeMap<String, SecretValue> {
        let named = self.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value)));
        named.map(|(name, value)| (name.to_owned(), value.clone())).collect()
    }

    pub(crate) fn secret(&self, name: &str) -> Option<&SecretValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

/// Where to go on after signing in: a path of ours, or the start page (THREATS O12).
pub(crate) fn return_to(given: Option<&str>) -> &str {
    let ours = |path: &&str| {
        let known = [
            "/oauth/authorize",
            "/connect/",
            "/console",
            "/invitations/",
            "/sign-in",
            "/account/",
            "/reauthenticate",
            "/approvals",
            "/connections",
            "/tools",
            "/members",
            "/audit",
            "/usage",
            "/kept-form",
            "/settings",
            "/system",
            "/connect-client",
            "/toolkits",
            "/policies",
            "/overview",
            "/clients",
        ];
        let plain = path.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'\\');
        plain && !path.starts_with("//") && known.iter().any(|start| path.starts_with(start))
    };
    given.filter(ours).unwrap_or("/")
}

/// 303: what comes next is a GET.
pub(crate) fn see_other(location: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let location = HeaderValue::from_str(location).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_paths_are_returned_to() {
        for good in ["/oauth/authorize?client_id=x", "/connect/abc", "/console/tools"] {
            assert_eq!(return_to(Some(good)), good);
        }
        for bad in
            ["https://evil.example", "//evil.example", "/\\evil.example", "/elsewhere", "", "/console\r\nx"]
        {
            assert_eq!(return_to(Some(bad)), "/", "{bad}");
        }
        assert_eq!(return_to(None), "/");
    }

    #[test]
    fn a_cookie_is_there_once_or_not_at_all() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; switchboard=x"));
        assert_eq!(cookie(&headers, "switchboard"), Some("x"));
        assert_eq!(cookie(&headers, "b"), None);
        headers.append(header::COOKIE, HeaderValue::from_static("switchboard=y"));
        assert_eq!(cookie(&headers, "switchboard"), None);
    }
}
