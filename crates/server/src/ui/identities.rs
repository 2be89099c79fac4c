//! `/account/identities`: a member's own accounts at identity providers.
//!
//! Connecting one begins with a form of ours and a recent proof of who is there, so that no other page can have somebody
//! else's account connected. The answer is a page with a link: browsers would hold a redirect after a form back.

use askama::Template;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Response, StatusCode, Uri, header},
};
use switchboard_broker::identity::{Begin, Intent, OwnAccounts};

use super::{account, identity, message, navigation::Navigation, page, sign_in::not_the_form};
use crate::{ServerState, browser};

const PATH: &str = "/account/identities";

#[derive(Template)]
#[template(path = "identities.html")]
struct Identities<'a> {
    navigation: Navigation,
    email: &'a str,
    accounts: &'a OwnAccounts,
    form_token: &'a str,
}

#[derive(Template)]
#[template(path = "connect_identity.html")]
struct GoOn<'a> {
    url: &'a str,
}

pub(super) async fn show(State(state): State<ServerState>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let signed_in = match account::person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let form_token = browser::form_token(&state, &headers);
    match state.broker.own_accounts(&signed_in).await {
        Ok(accounts) => {
            let navigation = Navigation::new(&state, &signed_in, &form_token, PATH).await;
            let email = &signed_in.email;
            let shown = Identities { navigation, email, accounts: &accounts, form_token: &form_token };
            page(StatusCode::OK, &shown)
        }
        Err(error) => identity::failed(&error),
    }
}

pub(super) async fn change(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let headers = request.headers().clone();
    let sent = match account::Sent::read(&state, request).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    if !state.broker.recently(&sent.signed_in) {
        return browser::see_other(&format!("/reauthenticate?return_to={PATH}"));
    }
    match (sent.fields.get("connect"), sent.fields.get("disconnect")) {
        (Some(connect), None) => go_to(&state, &headers, &sent, connect).await,
        (None, Some(id)) => {
            let Ok(id) = id.parse() else { return not_the_form() };
            match state.broker.disconnect_account(&sent.signed_in, id).await {
                Ok(true) => browser::see_other(PATH),
                Ok(false) => message(
                    StatusCode::CONFLICT,
                    "This account stays",
                    "Without it you could not sign in any more. Nothing was changed.",
                    None,
                ),
                Err(error) => identity::failed(&error),
            }
        }
        _ => not_the_form(),
    }
}

async fn go_to(
    state: &ServerState,
    headers: &HeaderMap,
    sent: &account::Sent,
    provider: &str,
) -> Response<Body> {
    let Some((organization, provider)) = provider.split_once('/') else { return not_the_form() };
    let address = match identity::address(organization, provider) {
        Ok(address) => address,
        Err(error) => return identity::failed(&error),
    };
    let (cookie, set) = identity::browser_cookie(state, headers);
    let begin = Begin {
        provider: &address,
        intent: Intent::Link(&sent.signed_in),
        return_to: PATH,
        cookie: &cookie,
        browser: &sent.browser,
    };
    match state.broker.begin_sign_in(begin).await {
        Ok(url) => {
            let mut response = page(StatusCode::OK, &GoOn { url: &url });
            if let Some(set) = set {
                response.headers_mut().append(header::SET_COOKIE, set);
            }
            response
        }
        Err(error) => identity::failed(&error),
    }
}
