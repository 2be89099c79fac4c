//! Pages for people: their own page, the setup link, signing in, their password. Plain HTML and one style sheet;
//! everything works without JavaScript, and the policy of the pages allows none but where a sign-in at a provider begins
//! or ends.

mod access;
mod account;
mod approval;
mod assets;
mod audit;
mod clients;
mod connect;
mod connect_client;
mod connections;
mod home;
mod identities;
mod identity;
mod invitation;
mod kept;
mod mark;
mod members;
mod message;
mod navigation;
mod once;
mod overview;
mod prose;
mod refused;
mod rules;
mod settings;
mod setup;
pub(crate) mod sign_in;
mod toolkits;
mod tools;
mod user_agent;
mod visible;

pub(crate) use assets::asset;
pub(crate) use message::{message, with_menu};
pub(crate) use prose::prose;

use askama::Template;
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header},
    routing::{get, post},
};
use url::form_urlencoded;

use message::leads_on;
pub(crate) use visible::Visible;

use crate::{ServerState, problem};

const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// A page with a script of ours, which asks our own API: files, and nothing inline.
const POLICY_WITH_SCRIPT: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; \
                                  img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

pub(crate) fn router() -> Router<ServerState> {
    Router::new()
        .route("/", get(home::show).post(no_endpoint))
        .route(overview::PATH, get(overview::show))
        .route("/account/clients/{id}/revoke", post(home::revoke_client))
        .route("/sign-in", get(sign_in::show).post(sign_in::submit))
        .route("/sign-in/with/{organization}/{provider}", get(identity::sign_in))
        .route("/sign-in/callback/{organization}/{provider}", get(identity::callback))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/invitations/{token}", get(invitation::show).post(invitation::accept))
        .route("/invitations/{token}/with/{organization}/{provider}", get(identity::accept))
        .route("/reauthenticate/with/{organization}/{provider}", get(identity::reauthenticate))
        .route("/reauthenticate", get(account::show_reauthenticate).post(account::reauthenticate))
        .route("/account/password", get(account::show_password).post(account::change_password))
        .route("/approvals", get(approval::list))
        .route("/approvals/{id}", get(approval::show).post(approval::decide))
        .route("/account/identities", get(identities::show).post(identities::change))
        .route("/setup/{token}", get(setup::show).post(setup::redeem))
        .route(access::PATH, get(access::show).post(access::change))
        .route(kept::PATH, get(kept::show).post(kept::discard))
        .route("/assets/{name}", get(assets::serve))
        .route("/assets/logos/{name}", get(mark::logo))
        .merge(connect::router())
        .merge(connections::router())
        .merge(connect_client::router())
        .merge(settings::router())
        .merge(audit::router())
        .merge(members::router())
        .merge(tools::router())
        .merge(toolkits::router())
        .merge(rules::router())
        .merge(clients::router())
}

/// Whatever address nothing is at: a page for a browser, a problem for everything else.
pub(crate) async fn fallback(
    State(state): State<ServerState>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    if wants_page(&headers) {
        return no_page();
    }
    let asks_for_an_endpoint = uri.path().split('/').any(|part| {
        let known = ["mcp", "sse", "message", "messages"];
        known.iter().any(|known| part.eq_ignore_ascii_case(known))
    });
    if asks_for_an_endpoint { not_the_endpoint(&state, StatusCode::NOT_FOUND) } else { problem::not_found() }
}

/// A client that was given the address of the console instead of the endpoint's.
async fn no_endpoint(State(state): State<ServerState>) -> Response<Body> {
    let mut response = not_the_endpoint(&state, StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
    response
}

fn not_the_endpoint(state: &ServerState, status: StatusCode) -> Response<Body> {
    let origin = state.config.origin();
    let detail =
        format!("There is nothing here for you. AI clients connect to {origin}/mcp, over streamable HTTP.");
    problem::plain(status, &detail)
}

/// A browser, in which a person looks at the answer.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("text/html")
}

/// An endpoint's refusal of somebody who opened its address in a browser: the same to a machine, and in words.
pub(crate) fn for_clients(refusal: &Response<Body>) -> Response<Body> {
    let text = "Give it to your AI app as the address of an MCP server. The app then opens a page here, on which you \
                allow it.";
    let next = ("/connect-client", "How to connect one");
    let mut response = leads_on(refusal.status(), "This address is for AI clients", text, next);
    if let Some(challenge) = refusal.headers().get(header::WWW_AUTHENTICATE) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.clone());
    }
    response
}

/// A reason that was written to follow a colon, as a sentence of its own.
pub(crate) fn capitalized(reason: &str) -> String {
    let mut letters = reason.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Whether this Switchboard is at an address that only its own machine reaches.
fn is_local(state: &ServerState) -> bool {
    let host = state.config.public_url.host_str().unwrap_or_default();
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

/// Where the next page of a list is: the same question, after the last entry of this one.
fn next_page(path: &str, asked: &[(&str, &str)], cursor: &str) -> String {
    let given = asked.iter().copied().chain([("cursor", cursor)]).filter(|(_, value)| !value.is_empty());
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    format!("{path}?{query}")
}

fn no_page() -> Response<Body> {
    let text = "There is no page at this address, or not for you. The link may be cut off, or what it led to is gone.";
    leads_on(StatusCode::NOT_FOUND, "Nothing here", text, ("/", "To the start page"))
}

fn unavailable() -> Response<Body> {
    message(
        StatusCode::SERVICE_UNAVAILABLE,
        "Try again in a moment",
        "Switchboard can't reach its own records right now, so nothing was done.",
        None,
    )
}

/// Something is done; the person goes on to their own page.
pub(crate) fn done(title: &str, text: &str) -> Response<Body> {
    leads_on(StatusCode::OK, title, text, ("/", "Go on to your page"))
}

/// Works without its script too.
fn scripted(status: StatusCode, template: &impl Template) -> Response<Body> {
    let mut response = page(status, template);
    let policy = HeaderValue::from_static(POLICY_WITH_SCRIPT);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

pub(crate) fn page(status: StatusCode, template: &impl Template) -> Response<Body> {
    let html = match template.render() {
        Ok(html) => html,
        Err(error) => {
            tracing::error!(%error, "a page can't be made");
            return problem::plain(StatusCode::INTERNAL_SERVER_ERROR, "The page can't be made.");
        }
    };
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}
