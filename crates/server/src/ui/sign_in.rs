//! `/sign-in` and `/sign-out`. One form; it works without JavaScript. A person in several organizations picks one
//! after the password was right.

use askama::Template;
use axum::{
    body::Body,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
};
use serde::Deserialize;
use switchboard_broker::{Choice, OpenedSession, PasswordSignIn, TooMany, identity::Offer};
use switchboard_domain::Slug;
use url::form_urlencoded;

use super::{message, overview, page, unavailable};
use crate::{
    ServerState,
    browser::{self, Fields},
};

#[derive(Template, Default)]
#[template(path = "sign_in.html")]
struct Form<'a> {
    problem: Option<&'a str>,
    email: &'a str,
    return_to: &'a str,
    /// `return_to` for the query of a link.
    encoded: String,
    organization: Option<&'a Slug>,
    choices: &'a [Choice],
    offers: Vec<Offer>,
    /// Only owners may use a password here: the providers come first.
    is_for_owners: bool,
    /// There are several organizations, and none was named.
    asks_organization: bool,
}

impl<'a> Form<'a> {
    /// With the providers that may be used instead of a password.
    async fn new(state: &ServerState, organization: Option<&'a Slug>, return_to: &'a str) -> Self {
        let offers = state.broker.offers(organization).await.unwrap_or_default();
        let asks_organization = organization.is_none() && state.broker.has_several_organizations();
        Self {
            return_to,
            encoded: encoded(return_to),
            organization,
            is_for_owners: !offers.is_empty() && state.broker.is_password_for_owners(organization),
            offers,
            asks_organization,
            ..Self::default()
        }
    }
}

pub(super) fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[derive(Deserialize)]
pub(super) struct Asked {
    return_to: Option<String>,
    /// Slug of the organization to sign in to.
    organization: Option<String>,
}

pub(super) async fn show(
    State(state): State<ServerState>,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Response<Body> {
    let asked = asked.map_or(Asked { return_to: None, organization: None }, |Query(asked)| asked);
    let return_to = browser::return_to(asked.return_to.as_deref());
    let organization = asked.organization.and_then(|slug| slug.parse().ok());
    match browser::signed_in(&state, &headers).await {
        Ok(Some(_)) => browser::see_other(return_to),
        Ok(None) => page(StatusCode::OK, &Form::new(&state, organization.as_ref(), return_to).await),
        Err(response) => *response,
    }
}

pub(super) async fn submit(State(state): State<ServerState>, request: Request) -> Response<Body> {
    if !browser::is_own_form(request.headers()) {
        return other_site();
    }
    let (parts, body) = request.into_parts();
    let who = browser::browser(&parts);
    let request = Request::from_parts(parts, body);
    let Some(fields) = Fields::read(&state, request, &[]).await else { return not_the_form() };
    let (Some(email), Some(password)) = (fields.get("email"), fields.secret("password")) else {
        return not_the_form();
    };
    let return_to = browser::return_to(fields.get("return_to"));
    let organization = fields.get("organization").map(str::parse);
    let Ok(organization) = organization.transpose() else { return not_the_form() };
    let form = Form { email, ..Form::new(&state, organization.as_ref(), return_to).await };
    match state.broker.sign_in_with_password(email, password, organization.as_ref(), &who).await {
        Ok(PasswordSignIn::SignedIn(opened)) => welcome(&state, &opened, return_to).await,
        Ok(PasswordSignIn::Choose(choices)) => page(StatusCode::OK, &Form { choices: &choices, ..form }),
        Ok(PasswordSignIn::Refused) => {
            let problem = Some("The address or the password is wrong. An owner can give you a new password.");
            page(StatusCode::UNAUTHORIZED, &Form { problem, ..form })
        }
        Ok(PasswordSignIn::TooMany(too_many)) => {
            let problem = too_many_attempts(too_many);
            slow_down(too_many, &Form { problem: Some(&problem), ..form })
        }
        Err(error) => {
            tracing::error!(%error, "a sign-in can't be decided");
            unavailable()
        }
    }
}

pub(super) fn too_many_attempts(too_many: TooMany) -> String {
    let TooMany { retry_after, limit } = too_many;
    format!("Too many attempts (limit `{limit}`). Wait {retry_after} seconds and try again.")
}

pub(super) fn slow_down(too_many: TooMany, shown: &impl Template) -> Response<Body> {
    let mut response = page(StatusCode::TOO_MANY_REQUESTS, shown);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(too_many.retry_after));
    response
}

pub(super) fn slow_down_message(too_many: TooMany) -> Response<Body> {
    let text = too_many_attempts(too_many);
    let mut response = message(StatusCode::TOO_MANY_REQUESTS, "Too many attempts", &text, None);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(too_many.retry_after));
    response
}

/// The session's cookie, and on to where the person wanted to go. Who was going nowhere in particular begins on their own
/// page, admins on the overview.
pub(crate) async fn welcome(state: &ServerState, opened: &OpenedSession, return_to: &str) -> Response<Body> {
    let is_admin = return_to == "/"
        && state
            .broker
            .session(opened.cookie.expose())
            .await
            .ok()
            .flatten()
            .is_some_and(|signed_in| signed_in.principal.role.is_admin());
    let mut response = browser::see_other(if is_admin { overview::PATH } else { return_to });
    let cookie = browser::set_cookie(state, browser::cookie_name(state), opened.cookie.expose(), None);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

pub(super) async fn sign_out(State(state): State<ServerState>, request: Request) -> Response<Body> {
    if !browser::is_own_form(request.headers()) {
        return other_site();
    }
    let signed_in = match browser::signed_in(&state, request.headers()).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let mut next = "/sign-in".to_owned();
    if let Some(signed_in) = signed_in {
        let headers = request.headers().clone();
        let fields = Fields::read(&state, request, &[]).await;
        let fields = fields.filter(|fields| browser::has_form_token(&state, &headers, fields));
        let Some(fields) = fields else { return not_the_form() };
        if let Some(return_to) = fields.get("return_to") {
            next = format!("/sign-in?return_to={}", encoded(browser::return_to(Some(return_to))));
        }
        if let Err(error) = state.broker.end_session(&signed_in).await {
            tracing::error!(%error, "a session can't be ended");
            return unavailable();
        }
    }
    let mut response = browser::see_other(&next);
    let gone = browser::set_cookie(&state, browser::cookie_name(&state), "", Some(0));
    response.headers_mut().append(header::SET_COOKIE, gone);
    response
}

pub(super) fn other_site() -> Response<Body> {
    let text = "Another page sent this form. Open Switchboard yourself and try again.";
    message(StatusCode::FORBIDDEN, "Not from here", text, None)
}

pub(super) fn not_the_form() -> Response<Body> {
    let text = "Go back, load the page again and fill in the form it shows.";
    message(StatusCode::BAD_REQUEST, "That was not the form", text, None)
}
