//! `/connect/{state_id}` and `/oauth/callback/…`: a person's way to a provider and back, and our client metadata
//! documents.
//!
//! Out: whoever is signed in must be who began; the browser gets a cookie and leaves. Back: the same person in the same
//! browser, or nothing is asked. The result is on a page of its own, so that no code stays in the address bar; its
//! script tells the window that opened it, and closes it.

use askama::Template;
use axum::{
    Json, Router,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use switchboard_broker::{
    SignedIn,
    connect::{AuthorizationView, Callback, ConnectFailure, Finished},
    manage::RefusalKind,
};
use switchboard_domain::{AuthorizationId, ConnectionId};
use switchboard_oauth::Parameters;
use url::form_urlencoded;

use super::{leads_on, message, page, unavailable};
use crate::{ServerState, browser, problem};

/// The only page of ours with a script: a file of ours, and nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'none'; \
                      frame-ancestors 'none'; base-uri 'none'";

pub(super) fn router() -> Router<ServerState> {
    Router::new()
        .route("/connections/{id}/connect", get(begin))
        .route("/connect/{state_id}", get(leave))
        .route("/connect/{state_id}/result", get(result))
        .route("/oauth/callback/{connection_id}", get(back))
        .route("/oauth/callback/client/{name}", get(back_to_operator))
        .route("/oauth/client-metadata/{file}", get(client_metadata))
        .route("/oauth/jwks/{file}", get(public_keys))
        .route("/oauth/client-jwks/{file}", get(client_public_keys))
}

#[derive(Template)]
#[template(path = "connected.html")]
struct Outcome<'a> {
    title: &'a str,
    text: &'a str,
    reason: Option<&'a str>,
    state_id: String,
    status: &'a str,
    /// Where a person who came by a full page goes on.
    connection: String,
}

/// The cookie that ties a sign-in to this browser.
fn cookie_name(state: &ServerState) -> &'static str {
    if browser::is_https(state) { "__Host-switchboard-connect" } else { "switchboard-connect" }
}

/// What an agent is given for a person who has no account yet: begins for whoever is signed in, as themselves.
async fn begin(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let Ok(id) = id.parse::<ConnectionId>() else { return super::no_page() };
    let signed_in = match person(&state, &headers, &format!("/connections/{id}/connect")).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    match state.broker.start_authorization(&signed_in.principal, id).await {
        Ok(started) => browser::see_other(&format!("/connect/{}", started.state_id)),
        Err(refusal) => match refusal.kind {
            RefusalKind::NotFound => super::no_page(),
            RefusalKind::Unavailable => unavailable(),
            RefusalKind::Forbidden => not_connected(
                "Everybody here uses one account of it, and an admin of your organization connects that.",
            ),
            _ => not_connected(&refusal.message),
        },
    }
}

async fn leave(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let Ok(id) = id.parse::<AuthorizationId>() else { return problem::not_found() };
    let signed_in = match person(&state, &headers, &format!("/connect/{id}")).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let name = cookie_name(&state);
    let fresh = state.broker.new_browser_secret();
    let known = browser::cookie(&headers, name);
    let cookie = known.unwrap_or(fresh.expose());
    match state.broker.send_away(&signed_in, id, cookie).await {
        Ok(url) => {
            let mut response = browser::see_other(&url);
            if known.is_none() {
                let cookie = browser::set_cookie(&state, name, fresh.expose(), None);
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            response
        }
        // A cookie that is none of ours would stand in the way for ever.
        Err(failure) if failure.reason == "unavailable" && known.is_some() => {
            let mut response = refused(&failure);
            let gone = browser::set_cookie(&state, name, "", Some(0));
            response.headers_mut().append(header::SET_COOKIE, gone);
            response
        }
        Err(failure) => refused(&failure),
    }
}

async fn back(
    State(state): State<ServerState>,
    Path(connection): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    match connection.parse::<ConnectionId>() {
        Ok(id) => arrive(&state, &Callback::Connection(id), query, &headers).await,
        Err(_) => problem::not_found(),
    }
}

async fn back_to_operator(
    State(state): State<ServerState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    arrive(&state, &Callback::Operator(name), query, &headers).await
}

async fn arrive(
    state: &ServerState,
    callback: &Callback,
    query: Option<String>,
    headers: &HeaderMap,
) -> Response<Body> {
    let query = query.unwrap_or_default();
    let pairs =
        form_urlencoded::parse(query.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned()));
    let Some(parameters) = Parameters::new(pairs) else {
        return not_connected("The provider's answer names a parameter twice. Start again where you began.");
    };
    let signed_in = match browser::signed_in(state, headers).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let cookie = browser::cookie(headers, cookie_name(state));
    let finished = state.broker.finish_authorization(callback, &parameters, signed_in.as_ref(), cookie).await;
    match finished {
        Finished::Known(id) => browser::see_other(&format!("/connect/{id}/result")),
        Finished::Refused(failure) => match callback {
            Callback::Connection(id) if failure.reason != "unavailable" => {
                let next = (format!("/connections/{id}"), "To the connection");
                leads_on(StatusCode::BAD_REQUEST, NOT_CONNECTED, &failure.message, (&next.0, next.1))
            }
            _ => refused(&failure),
        },
    }
}

async fn result(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let Ok(id) = id.parse::<AuthorizationId>() else { return problem::not_found() };
    let signed_in = match person(&state, &headers, &format!("/connect/{id}/result")).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    match state.broker.own_authorization(&signed_in, id).await {
        Ok(Some((found, connection))) => outcome(&found, &connection),
        Ok(None) => problem::not_found(),
        Err(error) => {
            tracing::error!(%error, "what became of a sign-in can't be read");
            unavailable()
        }
    }
}

fn outcome(found: &AuthorizationView, connection: &str) -> Response<Body> {
    let (title, text) = match found.status {
        "connected" => (
            format!("{connection} is connected"),
            "You can close this window and go on where you were.".to_owned(),
        ),
        "pending" => (
            format!("{connection} is not connected yet"),
            "Finish signing in at the provider. This page does not change by itself: load it again."
                .to_owned(),
        ),
        _ => (
            format!("{connection} is not connected"),
            found.message.clone().unwrap_or_else(|| "Start again where you began.".to_owned()),
        ),
    };
    let shown = Outcome {
        title: &title,
        text: &text,
        reason: found.reason.as_deref(),
        state_id: found.state_id.to_string(),
        status: found.status,
        connection: found.connection.to_string(),
    };
    let mut response = page(StatusCode::OK, &shown);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

async fn client_metadata(State(state): State<ServerState>, Path(file): Path<String>) -> Response<Body> {
    let id = file.strip_suffix(".json").and_then(|id| id.parse::<ConnectionId>().ok());
    let Some(id) = id else { return problem::not_found() };
    let mut response = Json(state.broker.client_document(id)).into_response();
    let fresh = HeaderValue::from_static("public, max-age=3600");
    response.headers_mut().insert(header::CACHE_CONTROL, fresh);
    response
}

/// What servers verify the identity of callers with.
async fn public_keys(State(state): State<ServerState>, Path(file): Path<String>) -> Response<Body> {
    let id = file.strip_suffix(".json").and_then(|id| id.parse::<ConnectionId>().ok());
    let Some(id) = id else { return problem::not_found() };
    match state.broker.public_keys(id).await {
        Ok(Some(keys)) => {
            let mut response = Json(keys).into_response();
            let fresh = HeaderValue::from_static("public, max-age=3600");
            response.headers_mut().insert(header::CACHE_CONTROL, fresh);
            response
        }
        Ok(None) => problem::not_found(),
        Err(error) => {
            tracing::error!(%error, "a connection's key can't be read");
            unavailable()
        }
    }
}

/// What the provider of a connection verifies us with, as its client.
async fn client_public_keys(State(state): State<ServerState>, Path(file): Path<String>) -> Response<Body> {
    let id = file.strip_suffix(".json").and_then(|id| id.parse::<ConnectionId>().ok());
    let Some(keys) = id.and_then(|id| state.broker.client_public_keys(id)) else {
        return problem::not_found();
    };
    let mut response = Json(keys).into_response();
    // Not for long: a provider has to learn of a new key before somebody signs in with it.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

/// Who is signed in; everybody else signs in first and comes back.
async fn person(
    state: &ServerState,
    headers: &HeaderMap,
    path: &str,
) -> Result<SignedIn, Box<Response<Body>>> {
    match browser::signed_in(state, headers).await? {
        Some(signed_in) => Ok(signed_in),
        None => Err(Box::new(browser::see_other(&format!("/sign-in?return_to={path}")))),
    }
}

/// Of this attempt: an earlier one may have.
const NOT_CONNECTED: &str = "Nothing was connected";

fn refused(failure: &ConnectFailure) -> Response<Body> {
    if failure.reason == "unavailable" {
        return unavailable();
    }
    not_connected(&failure.message)
}

fn not_connected(text: &str) -> Response<Body> {
    message(StatusCode::BAD_REQUEST, NOT_CONNECTED, text, None)
}
