//! Pages for people: the landing page, the setup link, signing in, their password. Plain HTML and one style sheet;
//! everything works without JavaScript, and the policy of the pages allows none but on the one that ends a sign-in at
//! a provider.

mod account;
mod approval;
mod assets;
mod connect;
mod identities;
mod identity;
mod invitation;
mod setup;
pub(crate) mod sign_in;

use askama::Template;
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderValue, Response, StatusCode, header},
    routing::{get, post},
};

use crate::{ServerState, problem};

const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

pub(crate) fn router() -> Router<ServerState> {
    Router::new()
        .route("/", get(landing))
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
        .route("/assets/{name}", get(assets::asset))
        .merge(connect::router())
}

#[derive(Template)]
#[template(path = "landing.html")]
struct Landing<'a> {
    version: &'static str,
    origin: &'a str,
    has_owner: bool,
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
    command: Option<&'a str>,
}

async fn landing(State(state): State<ServerState>) -> Response<Body> {
    // When the database can't be asked, the hint is not worth an error.
    let has_owner = state.broker.owner_exists().await.unwrap_or(true);
    let origin = state.config.origin();
    page(StatusCode::OK, &Landing { version: env!("CARGO_PKG_VERSION"), origin, has_owner })
}

fn unavailable() -> Response<Body> {
    message(
        StatusCode::SERVICE_UNAVAILABLE,
        "Try again in a moment",
        "Switchboard can't reach its own records right now, so nothing was done.",
        None,
    )
}

pub(crate) fn message(status: StatusCode, title: &str, text: &str, command: Option<&str>) -> Response<Body> {
    page(status, &Message { title, text, command })
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
