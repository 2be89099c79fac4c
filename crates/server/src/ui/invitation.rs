//! `/invitations/{token}`: the page that an invitation's link opens. Opening it changes nothing; sending the form makes
//! the member and signs them in.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, Response, StatusCode},
};
use switchboard_broker::{
    identity::Offer,
    manage::{AcceptError, InvitationState, Refusal, RefusalKind},
};

use super::{message, page, sign_in, unavailable};
use crate::{
    ServerState,
    browser::{self, Fields},
};

#[derive(Template, Default)]
#[template(path = "invitation.html")]
struct Form<'a> {
    action: &'a str,
    organization: &'a str,
    email: &'a str,
    by_password: bool,
    offers: &'a [Offer],
    /// Who is signed in in this browser, and would be signed out by joining.
    here: Option<&'a str>,
    name: &'a str,
    problem: Option<&'a str>,
    name_error: Option<&'a str>,
    password_error: Option<&'a str>,
}

pub(super) async fn show(
    State(state): State<ServerState>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let here = match browser::signed_in(&state, &headers).await {
        Ok(here) => here.map(|signed_in| signed_in.email),
        Err(response) => return *response,
    };
    show_form(&state, &token, here.as_deref(), Typed::default()).await
}

/// What was sent, and what is wrong with it.
#[derive(Default)]
struct Typed<'a> {
    name: &'a str,
    refusal: Option<&'a Refusal>,
}

pub(super) async fn accept(
    State(state): State<ServerState>,
    Path(token): Path<String>,
    request: Request,
) -> Response<Body> {
    if !browser::is_own_form(request.headers()) {
        return sign_in::other_site();
    }
    let (parts, body) = request.into_parts();
    let who = browser::browser(&parts);
    let fields = Fields::read(&state, Request::from_parts(parts, body), &[]).await;
    let fields = fields.filter(|fields| fields.are_among(&["name", "password"]));
    let taken = fields.as_ref().and_then(|fields| Some((fields.get("name")?, fields.secret("password")?)));
    let Some((name, password)) = taken else { return sign_in::not_the_form() };
    match state.broker.accept_invitation(&token, name, password.clone(), &who).await {
        Ok(opened) => sign_in::welcome(&state, &opened, "/").await,
        Err(AcceptError::Over(over)) => is_over(&over),
        Err(AcceptError::Refused(refusal)) if refusal.kind == RefusalKind::Unavailable => unavailable(),
        Err(AcceptError::Refused(refusal)) => {
            show_form(&state, &token, None, Typed { name, refusal: Some(&refusal) }).await
        }
    }
}

async fn show_form(
    state: &ServerState,
    token: &str,
    here: Option<&str>,
    Typed { name, refusal }: Typed<'_>,
) -> Response<Body> {
    let (email, organization, by_password, offers) = match state.broker.invitation_state(token).await {
        Ok(InvitationState::Open { email, organization, by_password, offers }) => {
            (email, organization, by_password, offers)
        }
        Ok(over) => return is_over(&over),
        Err(error) => {
            tracing::error!(%error, "an invitation can't be looked up");
            return unavailable();
        }
    };
    let about = |field: &str| {
        let found = refusal?.violations.iter().find(|violation| violation.path == field);
        found.map(|violation| violation.message.as_str())
    };
    let problem = refusal.map(|refusal| match refusal.violations.as_slice() {
        [] => refusal.message.as_str(),
        _ => "You are not in yet: some of this can't be taken.",
    });
    let form = Form {
        action: &format!("/invitations/{token}"),
        organization: &organization,
        email: &email,
        by_password,
        offers: &offers,
        here,
        name,
        problem,
        name_error: about("name"),
        password_error: about("password"),
    };
    let status = if refusal.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    page(status, &form)
}

fn is_over(state: &InvitationState) -> Response<Body> {
    let (status, title, text) = match state {
        InvitationState::Used => (
            StatusCode::GONE,
            "This invitation is over",
            "It was used, taken back, or a newer one took its place. If you joined already, sign in. Otherwise ask an \
             admin of the organization for a new one.",
        ),
        InvitationState::Expired => (
            StatusCode::GONE,
            "This invitation has expired",
            "Ask an admin of the organization for a new one.",
        ),
        InvitationState::Unknown | InvitationState::Open { .. } => (
            StatusCode::NOT_FOUND,
            "This is not an invitation",
            "The link may be cut off: copy it again, whole.",
        ),
    };
    message(status, title, text, None)
}
