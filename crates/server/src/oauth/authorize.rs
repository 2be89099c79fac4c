//! `/oauth/authorize`: the browser brings a client's request, the person signs in and decides.
//!
//! Until the client and its redirect URI are known to belong together every error is a page; never a redirect
//! (RFC 6749 section 4.1.2.1, THREATS S2). After that it is a page as well, with a link, unless somebody here allowed the
//! client before (RFC 9700 section 4.11.2).

use std::collections::BTreeSet;

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
};
use http_body_util::{BodyExt as _, Limited};
use switchboard_broker::{
    SignedIn,
    authorization::{Asked, AuthorizationError, PendingAuthorization, ToolkitChoice, audience},
};
use switchboard_domain::{Scope, ToolkitId};
use switchboard_oauth::{AuthorizationRequest, ClientPart, OauthError, Parameters, RedirectUri};
use url::{Url, form_urlencoded};

use crate::{
    ServerState,
    attempts::OfClient,
    browser::{self, Fields},
    serve::Peer,
    ui::{capitalized, message, page},
};

const PATH: &str = "/oauth/authorize";
const NO_ANSWER: &str = "This request can't be answered";
/// Longest request in a form: it becomes an address.
const MAX_REQUEST: usize = 8 * 1024;

#[derive(Template)]
#[template(path = "consent.html")]
struct Consent<'a> {
    name: &'a str,
    verified_by: Option<&'a str>,
    destination: &'a str,
    /// It leads to a program on this computer, which can be any.
    local: bool,
    resource: &'a str,
    may: &'a [&'static str],
    toolkits: &'a [ToolkitChoice],
    email: &'a str,
    action: &'a str,
    form_token: &'a str,
}

#[derive(Template)]
#[template(path = "leads_back.html")]
struct LeadsBack<'a> {
    title: &'a str,
    reason: &'a str,
    destination: &'a str,
    /// Where the client is told; followed by the person alone.
    to: &'a str,
}

/// The cookie that ties a request to this browser.
fn cookie_name(state: &ServerState) -> &'static str {
    if browser::is_https(state) { "__Host-switchboard-authorize" } else { "switchboard-authorize" }
}

pub(super) async fn start(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let query = request.uri().query().unwrap_or("");
    let pairs =
        form_urlencoded::parse(query.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned()));
    let Some(parameters) = Parameters::new(pairs) else {
        return no_request("It names a parameter twice.");
    };
    let part = match ClientPart::parse(&parameters) {
        Ok(part) => part,
        Err(error) => return no_request(&error.description),
    };
    let source = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
    let client = match state.broker.oauth_client(&part.client_id, source).await {
        Ok(client) => client,
        Err(error) => return failed(&error),
    };
    if !client.redirect_uris.iter().any(|known| part.redirect_uri.matches(known)) {
        return no_request("The address it wants the answer sent to is not one that this client registered.");
    }
    let asked = match AuthorizationRequest::parse(&parameters, state.config.origin(), audience(&client)) {
        Ok(asked) => asked,
        Err(error) => {
            let to = state.broker.error_answer(&part.redirect_uri, parameters.get("state"), &error);
            let person = browser::signed_in(&state, request.headers()).await.ok().flatten();
            return match state.broker.may_lead_back(&client, person.as_ref()).await {
                true => browser::see_other(&to),
                false => leads_back(&part.redirect_uri, &to, &error),
            };
        }
    };
    let name = cookie_name(&state);
    let fresh = state.broker.new_browser_secret();
    let known = browser::cookie(request.headers(), name);
    let begun = Asked {
        client: &client,
        redirect_uri: &part.redirect_uri,
        request: &asked,
        browser: known.unwrap_or(fresh.expose()),
        source,
    };
    match state.broker.begin_authorization(begun).await {
        Ok(handle) => {
            let mut response = browser::see_other(&format!("{PATH}/{}", handle.expose()));
            if known.is_none() {
                let cookie = browser::set_cookie(&state, name, fresh.expose(), None);
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            response.extensions_mut().insert(OfClient(client.client_id.clone()));
            response
        }
        Err(error) => failed(&error),
    }
}

fn leads_back(redirect_uri: &RedirectUri, to: &str, error: &OauthError) -> Response<Body> {
    let reason = &error.description;
    let destination = &redirect_uri.shown_destination();
    page(StatusCode::BAD_REQUEST, &LeadsBack { title: NO_ANSWER, reason, destination, to })
}

/// The same as a form (RFC 6749 section 3.1). It goes on as a page that is got: then the browser brings its cookies, which
/// it leaves out of a form that another site sent.
pub(super) async fn start_with_form(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_form = kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    let reading = Limited::new(request.into_body(), MAX_REQUEST).collect();
    let body = match tokio::time::timeout(state.config.request_body_timeout, reading).await {
        Ok(Ok(body)) if is_form => body.to_bytes(),
        _ => return no_request("It is no form, or a very long one."),
    };
    let query =
        form_urlencoded::Serializer::new(String::new()).extend_pairs(form_urlencoded::parse(&body)).finish();
    browser::see_other(&format!("{PATH}?{query}"))
}

/// The request of this address, and who is signed in.
async fn waiting(
    state: &ServerState,
    headers: &HeaderMap,
    handle: &str,
) -> Result<(PendingAuthorization, SignedIn), Box<Response<Body>>> {
    let cookie = browser::cookie(headers, cookie_name(state)).unwrap_or_default();
    let pending = state.broker.pending_authorization(handle, cookie).await;
    let pending = pending.map_err(|error| Box::new(failed(&error)))?;
    match browser::signed_in(state, headers).await? {
        Some(signed_in) => Ok((pending, signed_in)),
        None => Err(Box::new(browser::see_other(&format!("/sign-in?return_to={PATH}/{handle}")))),
    }
}

/// Whether the person's organization has this endpoint and lets this client in.
async fn admit(
    state: &ServerState,
    pending: &PendingAuthorization,
    signed_in: &SignedIn,
) -> Result<(), Box<Response<Body>>> {
    if !state.broker.is_of_organization(pending, signed_in) {
        return Err(Box::new(other_organization()));
    }
    match state.broker.is_let_in(pending, signed_in).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Box::new(kept_out())),
        Err(error) => Err(Box::new(failed(&error))),
    }
}

pub(super) async fn show(
    State(state): State<ServerState>,
    Path(handle): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let (pending, signed_in) = match waiting(&state, &headers, &handle).await {
        Ok(found) => found,
        Err(response) => return *response,
    };
    if let Err(response) = admit(&state, &pending, &signed_in).await {
        return *response;
    }
    let client_url = Url::parse(&pending.client.client_id).ok();
    let verified_by = client_url.as_ref().filter(|url| url.scheme() == "https").and_then(Url::host_str);
    let may: Vec<&'static str> = pending.scopes.iter().filter_map(in_words).collect();
    let name = match pending.client.name.trim() {
        "" => "an AI client without a name",
        name => name,
    };
    let resource = format!("{}{}", state.config.origin(), pending.resource.path());
    let consent = Consent {
        name,
        verified_by,
        destination: &pending.redirect_uri.shown_destination(),
        local: pending.redirect_uri.is_loopback() || pending.redirect_uri.is_application(),
        resource: &resource,
        may: &may,
        toolkits: &state.broker.toolkit_choices(&pending, &signed_in),
        email: &signed_in.email,
        action: &format!("{PATH}/{handle}"),
        form_token: &browser::form_token(&state, &headers),
    };
    let mut response = page(StatusCode::OK, &consent);
    // Browsers hold redirects after a form to this as well: the client's own address has to be in it.
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' {}; frame-ancestors 'none'; \
         base-uri 'none'",
        pending.redirect_uri.policy_source()
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn in_words(scope: Scope) -> Option<&'static str> {
    match scope {
        Scope::McpRead => Some("search and list the tools you may use"),
        Scope::McpWrite => Some("run every tool you may use, also those that change or delete something"),
        Scope::McpPlan => Some("run tools of the connections that are allowed in plan mode"),
        Scope::Api => Some("do everything that you may do in the console and at the REST API"),
        Scope::OfflineAccess => None,
    }
}

pub(super) async fn decide(
    State(state): State<ServerState>,
    Path(handle): Path<String>,
    request: Request,
) -> Response<Body> {
    if !browser::is_own_form(request.headers()) {
        return not_the_form();
    }
    let headers = request.headers().clone();
    let (pending, signed_in) = match waiting(&state, &headers, &handle).await {
        Ok(found) => found,
        Err(response) => return *response,
    };
    let Some(fields) = Fields::read(&state, request, &["toolkit"]).await else { return not_the_form() };
    let known = fields.are_among(&["form_token", "decision", "reach", "toolkit"]);
    if !known || !browser::has_form_token(&state, &headers, &fields) {
        return not_the_form();
    }
    if let Err(response) = admit(&state, &pending, &signed_in).await {
        return *response;
    }
    let decided = match fields.get("decision") {
        Some("allow") => match chosen_toolkits(&fields) {
            Ok(toolkits) => state.broker.allow_authorization(&pending, &signed_in, toolkits).await,
            Err(response) => return *response,
        },
        Some("deny") => state.broker.deny_authorization(&pending, &signed_in).await,
        _ => return not_the_form(),
    };
    match decided {
        Ok(to) => browser::see_other(&to),
        Err(error) => failed(&error),
    }
}

/// What the person narrowed the client to; `None`: everything they may use. A form that says both is refused rather
/// than read as one of them.
fn chosen_toolkits(fields: &Fields) -> Result<Option<BTreeSet<ToolkitId>>, Box<Response<Body>>> {
    let ids: Result<BTreeSet<ToolkitId>, _> = fields.all("toolkit").map(str::parse).collect();
    let Ok(ids) = ids else { return Err(Box::new(not_the_form())) };
    match (fields.get("reach"), ids.is_empty()) {
        (None | Some("everything"), true) => Ok(None),
        (Some("toolkits"), false) => Ok(Some(ids)),
        (Some("toolkits"), true) => Err(Box::new(undecided("You chose toolkits but ticked none."))),
        (Some("everything"), false) => {
            Err(Box::new(undecided("You chose everything and ticked toolkits as well.")))
        }
        _ => Err(Box::new(not_the_form())),
    }
}

/// What went wrong, for a person.
fn failed(error: &AuthorizationError) -> Response<Body> {
    match error {
        AuthorizationError::Refused(error) => no_request(&error.description),
        AuthorizationError::TooMany { retry_after, .. } => {
            let mut response = message(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many sign-ins at once",
                &format!("Wait {retry_after} seconds, then start again in the app."),
                None,
            );
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*retry_after));
            response
        }
        AuthorizationError::Storage(_) | AuthorizationError::Key(_) | AuthorizationError::Unrecorded => {
            tracing::error!(%error, "a client's sign-in can't go on");
            message(
                StatusCode::SERVICE_UNAVAILABLE,
                "Try again in a moment",
                "Switchboard can't reach its own records right now, so nothing was done.",
                None,
            )
        }
    }
}

fn no_request(reason: &str) -> Response<Body> {
    let reason = capitalized(reason.trim_end_matches('.'));
    let text = format!("Nothing was allowed. {reason}. Start again in the app you came from.");
    message(StatusCode::BAD_REQUEST, NO_ANSWER, &text, None)
}

fn other_organization() -> Response<Body> {
    let text = "The address this app asks for belongs to another organization than the one you are signed in to. \
                Sign out, sign in there, and start again in the app.";
    message(StatusCode::FORBIDDEN, "Another organization", text, None)
}

fn kept_out() -> Response<Body> {
    let text =
        "The admins of your organization don't let this app in. Ask them about it; nothing was allowed.";
    message(StatusCode::FORBIDDEN, "This app is kept out", text, None)
}

fn undecided(what: &str) -> Response<Body> {
    let text =
        format!("{what} Nothing was allowed yet: go back, choose one of the two, and press Allow again.");
    message(StatusCode::BAD_REQUEST, "What may it use?", &text, None)
}

fn not_the_form() -> Response<Body> {
    let text = "Go back, load the page again and press one of its two buttons.";
    message(StatusCode::BAD_REQUEST, "That was not the form", text, None)
}
