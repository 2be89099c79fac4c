//! Sign-in with an identity provider: `/sign-in/with/…` sends the browser off, `/sign-in/callback/…` takes it back. Links
//! rather than forms, because browsers hold redirects after a form to the page's `form-action`.

use axum::{
    body::Body,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts},
};
use serde::Deserialize;
use switchboard_broker::identity::{Begin, Finished, Intent, ProviderAddress, SignInError};
use switchboard_domain::{SecretValue, Slug};
use switchboard_oauth::Parameters;
use url::form_urlencoded;

use super::{
    account, message,
    sign_in::{slow_down_message, welcome},
    unavailable,
};
use crate::{ServerState, browser};

#[derive(Deserialize)]
pub(super) struct Asked {
    return_to: Option<String>,
}

/// The cookie that ties a sign-in to this browser.
fn cookie_name(state: &ServerState) -> &'static str {
    if browser::is_https(state) { "__Host-switchboard-sign-in" } else { "switchboard-sign-in" }
}

/// A provider by the two names in the path.
pub(super) fn address(organization: &str, provider: &str) -> Result<ProviderAddress, SignInError> {
    let slug = |text: &str| text.parse::<Slug>().map_err(|_| SignInError::UnknownProvider);
    Ok(ProviderAddress { organization: slug(organization)?, provider: slug(provider)? })
}

pub(super) async fn sign_in(
    State(state): State<ServerState>,
    Path((organization, provider)): Path<(String, String)>,
    asked: Result<Query<Asked>, QueryRejection>,
    parts: Parts,
) -> Response<Body> {
    let asked = asked.ok().and_then(|Query(asked)| asked.return_to);
    let to = Destination { organization: &organization, provider: &provider, return_to: asked.as_deref() };
    send_off(&state, &parts, to, Intent::SignIn).await
}

pub(super) async fn accept(
    State(state): State<ServerState>,
    Path((token, organization, provider)): Path<(String, String, String)>,
    parts: Parts,
) -> Response<Body> {
    let to = Destination { organization: &organization, provider: &provider, return_to: None };
    send_off(&state, &parts, to, Intent::Accept(&token)).await
}

pub(super) async fn reauthenticate(
    State(state): State<ServerState>,
    Path((organization, provider)): Path<(String, String)>,
    asked: Result<Query<Asked>, QueryRejection>,
    parts: Parts,
) -> Response<Body> {
    let signed_in = match account::person(&state, &parts.headers, &parts.uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let asked = asked.ok().and_then(|Query(asked)| asked.return_to);
    let to = Destination { organization: &organization, provider: &provider, return_to: asked.as_deref() };
    send_off(&state, &parts, to, Intent::Reauthenticate(&signed_in)).await
}

struct Destination<'a> {
    organization: &'a str,
    provider: &'a str,
    return_to: Option<&'a str>,
}

async fn send_off(
    state: &ServerState,
    parts: &Parts,
    to: Destination<'_>,
    intent: Intent<'_>,
) -> Response<Body> {
    let (cookie, set) = browser_cookie(state, &parts.headers);
    let begun = match address(to.organization, to.provider) {
        Ok(address) => {
            let begin = Begin {
                provider: &address,
                intent,
                return_to: browser::return_to(to.return_to),
                cookie: &cookie,
                browser: &browser::browser(parts),
            };
            state.broker.begin_sign_in(begin).await
        }
        Err(error) => Err(error),
    };
    match begun {
        Ok(url) => {
            let mut response = browser::see_other(&url);
            if let Some(set) = set {
                response.headers_mut().append(header::SET_COOKIE, set);
            }
            response
        }
        Err(error) => failed(&error),
    }
}

/// What ties a sign-in to this browser, and how to give it to a browser that has none.
pub(super) fn browser_cookie(state: &ServerState, headers: &HeaderMap) -> (SecretValue, Option<HeaderValue>) {
    let name = cookie_name(state);
    if let Some(known) = browser::cookie(headers, name) {
        return (SecretValue::new(known), None);
    }
    let fresh = state.broker.new_browser_secret();
    let set = browser::set_cookie(state, name, fresh.expose(), None);
    (fresh, Some(set))
}

pub(super) async fn callback(
    State(state): State<ServerState>,
    Path((organization, provider)): Path<(String, String)>,
    parts: Parts,
) -> Response<Body> {
    let query = parts.uri.query().unwrap_or("");
    let pairs =
        form_urlencoded::parse(query.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned()));
    let Some(answer) = Parameters::new(pairs) else { return failed(&SignInError::Over) };
    let signed_in = match browser::signed_in(&state, &parts.headers).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let cookie = browser::cookie(&parts.headers, cookie_name(&state));
    let address = match address(&organization, &provider) {
        Ok(address) => address,
        Err(error) => return failed(&error),
    };
    let browser = browser::browser(&parts);
    let finished =
        state.broker.finish_sign_in(&address, (&answer, cookie), signed_in.as_ref(), &browser).await;
    match finished {
        Ok(Finished::SignedIn { opened, return_to }) => {
            let mut response = welcome(&state, &opened, &return_to).await;
            // The next sign-in in this browser is tied to a new cookie.
            let gone = browser::set_cookie(&state, cookie_name(&state), "", Some(0));
            response.headers_mut().append(header::SET_COOKIE, gone);
            response
        }
        Ok(Finished::Reauthenticated { cookie, return_to }) => {
            account::with_cookie(&state, &cookie, browser::see_other(&return_to))
        }
        Ok(Finished::Linked { return_to }) => browser::see_other(&return_to),
        Err(error) => failed(&error),
    }
}

/// Why nobody was let in, for a person.
pub(super) fn failed(error: &SignInError) -> Response<Body> {
    let (status, title, text) = match error {
        SignInError::Unavailable => return unavailable(),
        SignInError::TooMany(too_many) => return slow_down_message(*too_many),
        SignInError::UnknownProvider => (
            StatusCode::NOT_FOUND,
            "There is nothing here for you",
            "This identity provider is not set up here, or switched off. Go to /sign-in and choose from there.",
        ),
        SignInError::Over => (
            StatusCode::BAD_REQUEST,
            "This sign-in is over",
            "It was used already, took longer than ten minutes, or began in another browser. Nobody was signed in. Start \
             again at /sign-in.",
        ),
        SignInError::Changed => (
            StatusCode::CONFLICT,
            "Start again",
            "Something about this sign-in was changed while you were at your provider. Nobody was signed in. Start again \
             at /sign-in.",
        ),
        SignInError::Declined(_) => (
            StatusCode::FORBIDDEN,
            "Your identity provider said no",
            "Nobody was signed in. Start again at /sign-in; if it goes on, ask who runs the identity provider whether you \
             may use Switchboard.",
        ),
        SignInError::Unreachable(_) => (
            StatusCode::BAD_GATEWAY,
            "Your identity provider can't be reached",
            "Nobody was signed in. Try again in a moment; if it goes on, an admin finds the reason in the audit log.",
        ),
        SignInError::Untrusted(_) => (
            StatusCode::BAD_GATEWAY,
            "Your identity provider's answer can't be believed",
            "Nobody was signed in. Start again at /sign-in; if it goes on, an admin finds the reason in the audit log.",
        ),
        SignInError::NotInvited { .. } => (
            StatusCode::FORBIDDEN,
            "You are not a member yet",
            "Your identity provider knows you, but nobody invited you here. Ask an admin of your organization for an \
             invitation and open its link.",
        ),
        SignInError::OwnerNotConnected => (
            StatusCode::FORBIDDEN,
            "Connect your account first",
            "An owner's account is not taken over by an address. Sign in with your password once and connect this \
             provider at /account/identities.",
        ),
        SignInError::OtherAccount => (
            StatusCode::FORBIDDEN,
            "This is another account",
            "A member with your address signs in here with another account of this provider. Sign in with that one, or \
             ask an admin.",
        ),
        SignInError::KeptOut => (
            StatusCode::FORBIDDEN,
            "You are kept out",
            "Your membership was suspended or ended. Ask an admin of your organization.",
        ),
        SignInError::NotThePerson => (
            StatusCode::FORBIDDEN,
            "That was somebody else",
            "You proved to be another person than the one who is signed in here. Nothing was changed.",
        ),
        SignInError::NotAskedAgain => (
            StatusCode::FORBIDDEN,
            "Your identity provider did not ask you again",
            "It has to ask who you are once more, and to say when it did (`auth_time`). Nothing was changed. Sign out and \
             in again instead.",
        ),
        SignInError::TakenByAnother => (
            StatusCode::CONFLICT,
            "This account is somebody else's",
            "Another member signs in with it. Nothing was changed.",
        ),
        SignInError::InvitationOver => (
            StatusCode::GONE,
            "This invitation is over",
            "It was used, taken back, has expired, or you are a member already. Sign in, or ask an admin for a new one.",
        ),
    };
    message(status, title, text, None)
}
