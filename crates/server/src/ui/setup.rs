//! `/setup/{token}`: the single-use link that makes the first owner. Opening it shows a form and changes nothing,
//! since mail scanners and previews open links too; sending the form redeems it.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, Response, StatusCode, header},
};
use switchboard_broker::manage::{Refusal, RefusalKind, SetupDone, SetupError, SetupLinkState, SetupRequest};

use super::{is_local, message, page, scripted, unavailable};
use crate::{
    ServerState,
    browser::{self, Fields},
};

#[derive(Template, Default)]
#[template(path = "setup.html")]
struct Form<'a> {
    action: &'a str,
    origin: &'a str,
    is_local: bool,
    problem: Option<&'a str>,
    organization: &'a str,
    organization_error: Option<&'a str>,
    email: &'a str,
    email_error: Option<&'a str>,
    password_error: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "setup_done.html")]
struct Done<'a> {
    origin: &'a str,
    organization: &'a str,
    slug: &'a str,
    email: &'a str,
    token: &'a str,
    days: u64,
    is_signed_in: bool,
}

pub(super) async fn show(State(state): State<ServerState>, Path(token): Path<String>) -> Response<Body> {
    match state.broker.setup_link_state(&token).await {
        Ok(SetupLinkState::Valid) => {
            let action = format!("/setup/{token}");
            page(StatusCode::OK, &Form { action: &action, ..empty(&state) })
        }
        Ok(over) => link_is_over(over),
        Err(error) => {
            tracing::error!(%error, "a setup link can't be looked up");
            unavailable()
        }
    }
}

pub(super) async fn redeem(
    State(state): State<ServerState>,
    Path(token): Path<String>,
    request: Request,
) -> Response<Body> {
    if let Some(refusal) = refuse_other_sites(request.headers()) {
        return refusal;
    }
    let (parts, body) = request.into_parts();
    let who = browser::browser(&parts);
    let fields = Fields::read(&state, Request::from_parts(parts, body), &[]).await;
    let fields = fields.filter(|fields| fields.are_among(&["organization", "email", "password"]));
    let taken = fields.as_ref().and_then(|fields| {
        Some((fields.get("organization")?, fields.get("email")?, fields.secret("password")?))
    });
    let Some((organization, email, password)) = taken else {
        return message(
            StatusCode::BAD_REQUEST,
            "That was not the form",
            "Open the setup link again and fill in the form it shows.",
            None,
        );
    };
    let request = SetupRequest {
        organization_name: organization.to_owned(),
        email: email.to_owned(),
        password: password.clone(),
    };
    match state.broker.redeem_setup_link(&token, request, &who).await {
        Ok(done) => show_done(&state, &done),
        Err(SetupError::Link(over)) => link_is_over(over),
        Err(SetupError::Refused(refusal)) if refusal.kind == RefusalKind::Unavailable => unavailable(),
        Err(SetupError::Refused(refusal)) => show_again(&state, &token, organization, email, &refusal),
    }
}

fn empty(state: &ServerState) -> Form<'_> {
    Form { origin: state.config.origin(), is_local: is_local(state), ..Form::default() }
}

fn show_done(state: &ServerState, done: &SetupDone) -> Response<Body> {
    let token = &done.token.token;
    let days = token.expires_at.map_or(0, |at| at.since(token.created_at).as_secs() / 86_400);
    let mut response = scripted(
        StatusCode::OK,
        &Done {
            origin: state.config.origin(),
            organization: &done.organization_name,
            slug: done.organization_slug.as_str(),
            email: &done.email,
            token: done.token.secret.expose(),
            days,
            is_signed_in: done.session.is_some(),
        },
    );
    if let Some(session) = &done.session {
        let cookie = browser::set_cookie(state, browser::cookie_name(state), session.cookie.expose(), None);
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// The form with what was typed, but for the password, and what is wrong with it.
fn show_again(
    state: &ServerState,
    token: &str,
    organization: &str,
    email: &str,
    refusal: &Refusal,
) -> Response<Body> {
    let about = |name: &str| {
        let found = refusal.violations.iter().find(|violation| violation.path == name);
        found.map(|violation| violation.message.as_str())
    };
    let problem = if refusal.violations.is_empty() {
        refusal.message.as_str()
    } else {
        "Nothing was made yet: some of this can't be taken."
    };
    let action = format!("/setup/{token}");
    let form = Form {
        action: &action,
        problem: Some(problem),
        organization,
        organization_error: about("organization"),
        email,
        email_error: about("email"),
        password_error: about("password"),
        ..empty(state)
    };
    page(StatusCode::UNPROCESSABLE_ENTITY, &form)
}

fn link_is_over(state: SetupLinkState) -> Response<Body> {
    let (status, title, text) = match state {
        SetupLinkState::Used => (
            StatusCode::GONE,
            "This link was used",
            "A setup link works once, and somebody made an owner with this one. If it was you: sign in at /sign-in. The token \
             that the page showed is not shown again; the first command makes another. If it was not you, look into \
             it now: the second gives an owner a new password.",
        ),
        SetupLinkState::Expired => (
            StatusCode::GONE,
            "This link has expired",
            "A setup link works for half an hour. Whoever operates the server can make a new one:",
        ),
        SetupLinkState::Unknown | SetupLinkState::Valid => (
            StatusCode::NOT_FOUND,
            "This is not a setup link",
            "It may be cut off, or a newer link has replaced it. Copy the last one whole, or make a new one on the server:",
        ),
    };
    let command = match state {
        SetupLinkState::Used => {
            "switchboard admin create-token --email you@example.com --scope mcp:read --scope mcp:write --scope api\n\
             switchboard admin reset-password --email you@example.com --password-file ./password"
        }
        _ => "switchboard admin setup-link",
    };
    message(status, title, text, Some(command))
}

/// A browser says where a request comes from: only our own form may be sent here. Without the header the guard's
/// look at `Origin` has to do.
fn refuse_other_sites(headers: &HeaderMap) -> Option<Response<Body>> {
    let site = headers.get("sec-fetch-site")?;
    (site != "same-origin" && site != "none").then(|| {
        message(
            StatusCode::FORBIDDEN,
            "Not from here",
            "Another page sent this form. Open the setup link yourself and fill in the form it shows.",
            None,
        )
    })
}
