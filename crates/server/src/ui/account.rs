//! `/reauthenticate` and `/account/password`: what a signed-in person does with their password.

use askama::Template;
use axum::{
    body::Body,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, Response, StatusCode, Uri, header},
};
use serde::Deserialize;
use switchboard_broker::{Browser, PasswordChange, Reauthentication, SignedIn, identity::Offer};
use switchboard_domain::SecretValue;

use super::{
    done, kept,
    navigation::Navigation,
    page,
    sign_in::{encoded, not_the_form, other_site, slow_down, too_many_attempts},
    unavailable,
};
use crate::{
    ServerState,
    browser::{self, Fields},
};

const WRONG: &str = "The password is wrong.";

#[derive(Template, Default)]
#[template(path = "reauthenticate.html")]
struct Again<'a> {
    problem: Option<&'a str>,
    email: &'a str,
    form_token: &'a str,
    return_to: &'a str,
    /// `return_to` for the query of a link.
    encoded: String,
    by_password: bool,
    offers: &'a [Offer],
}

#[derive(Template, Default)]
#[template(path = "password.html")]
struct NewPassword<'a> {
    navigation: Navigation,
    problem: Option<&'a str>,
    email: &'a str,
    form_token: &'a str,
}

#[derive(Deserialize)]
pub(super) struct Asked {
    return_to: Option<String>,
}

pub(super) async fn show_reauthenticate(
    State(state): State<ServerState>,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let asked = asked.ok().and_then(|Query(asked)| asked.return_to);
    let form_token = browser::form_token(&state, &headers);
    let return_to = browser::return_to(asked.as_deref());
    let ways = match ways(&state, &signed_in).await {
        Ok(ways) => ways,
        Err(response) => return *response,
    };
    let form = Again { form_token: &form_token, ..ways.form(&signed_in, return_to) };
    page(StatusCode::OK, &form)
}

/// How a person can prove again who they are.
struct Ways {
    by_password: bool,
    offers: Vec<Offer>,
}

impl Ways {
    fn form<'a>(&'a self, signed_in: &'a SignedIn, return_to: &'a str) -> Again<'a> {
        let (by_password, offers) = (self.by_password, self.offers.as_slice());
        Again {
            email: &signed_in.email,
            return_to,
            encoded: encoded(return_to),
            by_password,
            offers,
            ..Again::default()
        }
    }
}

async fn ways(state: &ServerState, signed_in: &SignedIn) -> Result<Ways, Box<Response<Body>>> {
    let by_password = state.broker.has_usable_password(signed_in).await.map_err(|error| {
        tracing::error!(%error, "how a person can prove who they are can't be looked up");
        Box::new(unavailable())
    })?;
    let accounts = state.broker.own_accounts(signed_in).await.map_err(|_| Box::new(unavailable()))?;
    // Whoever has neither is told that a password is needed by the form that asks for it.
    Ok(Ways { by_password: by_password || accounts.known.is_empty(), offers: accounts.known })
}

pub(super) async fn reauthenticate(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let sent = match Sent::read(&state, request).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let Some(password) = sent.fields.secret("password") else { return not_the_form() };
    let return_to = browser::return_to(sent.fields.get("return_to"));
    let ways = match ways(&state, &sent.signed_in).await {
        Ok(ways) => ways,
        Err(response) => return *response,
    };
    let form = Again { form_token: &sent.form_token, ..ways.form(&sent.signed_in, return_to) };
    match state.broker.reauthenticate(&sent.signed_in, password, &sent.browser).await {
        Ok(Reauthentication::Done(cookie)) => with_cookie(&state, &cookie, browser::see_other(return_to)),
        Ok(Reauthentication::Refused) => page(StatusCode::FORBIDDEN, &Again { problem: Some(WRONG), ..form }),
        Ok(Reauthentication::TooMany(too_many)) => {
            let problem = too_many_attempts(too_many);
            slow_down(too_many, &Again { problem: Some(&problem), ..form })
        }
        Err(error) => {
            tracing::error!(%error, "whether it is the person can't be decided");
            unavailable()
        }
    }
}

pub(super) async fn show_password(
    State(state): State<ServerState>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let form_token = browser::form_token(&state, &headers);
    let navigation = Navigation::new(&state, &signed_in, &form_token, uri.path()).await;
    let email = &signed_in.email;
    page(StatusCode::OK, &NewPassword { navigation, problem: None, email, form_token: &form_token })
}

pub(super) async fn change_password(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let sent = match Sent::read(&state, request).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let (Some(old), Some(new)) = (sent.fields.secret("old_password"), sent.fields.secret("new_password"))
    else {
        return not_the_form();
    };
    let navigation = Navigation::new(&state, &sent.signed_in, &sent.form_token, "/account/password").await;
    let email = &sent.signed_in.email;
    let form = NewPassword { navigation, problem: None, email, form_token: &sent.form_token };
    match state.broker.change_password(&sent.signed_in, old, new, &sent.browser).await {
        Ok(PasswordChange::Done(cookie)) => {
            let text =
                "Your password is changed. Whoever was signed in as you in another browser no longer is.";
            with_cookie(&state, &cookie, done("Password changed", text))
        }
        Ok(PasswordChange::Refused) => {
            let problem = Some("The old password is wrong. Nothing was changed.");
            page(StatusCode::FORBIDDEN, &NewPassword { problem, ..form })
        }
        Ok(PasswordChange::Unusable(error)) => {
            let problem = format!("The new password can't be taken: {error}.");
            page(StatusCode::UNPROCESSABLE_ENTITY, &NewPassword { problem: Some(&problem), ..form })
        }
        Ok(PasswordChange::TooMany(too_many)) => {
            let problem = too_many_attempts(too_many);
            slow_down(too_many, &NewPassword { problem: Some(&problem), ..form })
        }
        Err(error) => {
            tracing::error!(%error, "a password can't be changed");
            unavailable()
        }
    }
}

/// A form of a signed-in person, from our own page.
pub(super) struct Sent {
    pub(super) signed_in: SignedIn,
    pub(super) fields: Fields,
    pub(super) form_token: String,
    pub(super) browser: Browser,
}

impl Sent {
    pub(super) async fn read(state: &ServerState, request: Request) -> Result<Self, Box<Response<Body>>> {
        Self::read_repeating(state, request, &[]).await
    }

    /// A form with fields of which there may be several.
    pub(super) async fn read_repeating(
        state: &ServerState,
        request: Request,
        repeated: &[&str],
    ) -> Result<Self, Box<Response<Body>>> {
        if !browser::is_own_form(request.headers()) {
            return Err(Box::new(other_site()));
        }
        let (parts, body) = request.into_parts();
        let browser = browser::browser(&parts);
        let headers = parts.headers.clone();
        let signed_in = match person(state, &headers, &parts.uri).await {
            Ok(signed_in) => signed_in,
            Err(response) => {
                let kept = kept::of_ended_session(state, &parts, body, repeated).await;
                return Err(kept.map_or(response, Box::new));
            }
        };
        let fields = Fields::read(state, Request::from_parts(parts, body), repeated).await;
        let Some(fields) = fields.filter(|fields| browser::has_form_token(state, &headers, fields)) else {
            return Err(Box::new(not_the_form()));
        };
        Ok(Self { signed_in, fields, form_token: browser::form_token(state, &headers), browser })
    }
}

/// Who is signed in; everybody else signs in first and comes back.
pub(super) async fn person(
    state: &ServerState,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<SignedIn, Box<Response<Body>>> {
    if let Some(signed_in) = browser::signed_in(state, headers).await? {
        return Ok(signed_in);
    }
    // With its query: it may say itself where to go on afterwards.
    let back = uri.path_and_query().map_or(uri.path(), |back| back.as_str());
    Err(Box::new(browser::see_other(&format!("/sign-in?return_to={}", encoded(back)))))
}

pub(super) fn with_cookie(
    state: &ServerState,
    cookie: &SecretValue,
    mut response: Response<Body>,
) -> Response<Body> {
    let set = browser::set_cookie(state, browser::cookie_name(state), cookie.expose(), None);
    response.headers_mut().append(header::SET_COOKIE, set);
    response
}
