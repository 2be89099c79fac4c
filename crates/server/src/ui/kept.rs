//! A form that was sent after its session had ended, or before its sender proved who they are. Nothing of it is lost and
//! nothing of it happens: it waits for a quarter of an hour, sealed, under a random handle that only this browser has, for
//! the member whose session it was. They sign in, see what waits, and send it or don't.
//!
//! It is kept with the records and not in the sign-in page: whoever is at the browser then is not known yet, and a form may
//! hold a key. Somebody else who signs in meets the page of one for whom nothing is kept.

use askama::Template;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header, request::Parts},
};
use switchboard_broker::{FormOwner, KeptForm, SignedIn, manage::Refusal};
use switchboard_catalog::revealed;

use super::{
    account::{Sent, person},
    capitalized, message,
    navigation::Navigation,
    once, page,
    refused::refused,
    sign_in::encoded,
};
use crate::{
    ServerState,
    browser::{self, Fields},
};

pub(super) const PATH: &str = "/kept-form";
/// What stands in place of a value that is nobody's to read from a screen.
const SECRETS: &[&str] = &["password", "secret", "key", "token", "header"];
const SHOWN: usize = 200;

fn cookie_name(state: &ServerState) -> &'static str {
    if browser::is_https(state) { "__Host-switchboard-form" } else { "switchboard-form" }
}

/// Keeps a form that came with a session that is over; `None` where it can't be known whose it was, or it is no form of
/// ours: then it is refused as it would have been anyway.
pub(super) async fn of_ended_session(
    state: &ServerState,
    parts: &Parts,
    body: Body,
    repeated: &[&str],
) -> Option<Response<Body>> {
    let cookie = browser::cookie(&parts.headers, browser::cookie_name(state))?;
    let owner = state.broker.owner_of_ended_session(cookie).await?;
    let request = Request::from_parts(parts.clone(), body);
    let fields = Fields::read(state, request, repeated).await?;
    // A password of ours is asked for again: nobody stores it so that it can be read.
    let passwords = ["password", "old_password", "new_password"];
    let has_password = fields.pairs().any(|(name, _)| passwords.contains(&name.as_str()));
    if has_password || !browser::has_form_token(state, &parts.headers, &fields) {
        return None;
    }
    Some(keep(state, owner, (&parts.uri, &fields), "/sign-in").await)
}

/// Keeps a form of somebody who has to prove first who they are, and sends them off to do so.
pub(super) async fn until_proven(state: &ServerState, sent: &Sent, action: &Uri) -> Option<Response<Body>> {
    if state.broker.recently(&sent.signed_in) {
        return None;
    }
    let owner = (sent.signed_in.principal.organization, sent.signed_in.member);
    Some(keep(state, owner, (action, &sent.fields), "/reauthenticate").await)
}

async fn keep(
    state: &ServerState,
    owner: FormOwner,
    (action, fields): (&Uri, &Fields),
    next: &str,
) -> Response<Body> {
    let given = fields.pairs().filter(|(name, _)| name != "form_token");
    let form = KeptForm {
        action: action.path_and_query().map_or_else(|| action.path().to_owned(), ToString::to_string),
        fields: given.cloned().collect(),
    };
    let handle = match state.broker.keep_form(owner, &form).await {
        Ok(handle) => handle,
        Err(refusal) => return refused(&refusal),
    };
    let mut response = browser::see_other(&format!("{next}?return_to={}", encoded(PATH)));
    set_handle(state, &mut response, handle.expose(), KeptForm::WAITS.as_secs());
    response
}

fn set_handle(state: &ServerState, response: &mut Response<Body>, handle: &str, seconds: u64) {
    let cookie: HeaderValue = browser::set_cookie(state, cookie_name(state), handle, Some(seconds));
    response.headers_mut().append(header::SET_COOKIE, cookie);
}

struct Field<'k> {
    name: &'k str,
    label: String,
    value: &'k str,
    shown: String,
}

#[derive(Template)]
#[template(path = "kept_form.html")]
struct Shown<'k> {
    navigation: Navigation,
    action: &'k str,
    fields: Vec<Field<'k>>,
}

pub(super) async fn show(State(state): State<ServerState>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let kept = match find(&state, &headers, &signed_in).await {
        Ok(Some(kept)) => kept,
        Ok(None) => return nothing(),
        Err(refusal) => return refused(&refusal),
    };
    let form_token = browser::form_token(&state, &headers);
    let fields = kept.fields.iter().map(|(name, value)| Field {
        // Which page it came from says nothing to a person.
        shown: if name == once::FIELD { String::new() } else { shown(name, value.expose()) },
        label: label(name),
        name,
        value: value.expose(),
    });
    let shown = Shown {
        navigation: Navigation::new(&state, &signed_in, &form_token, PATH).await,
        action: &kept.action,
        fields: fields.collect(),
    };
    page(StatusCode::OK, &shown)
}

async fn find(
    state: &ServerState,
    headers: &HeaderMap,
    signed_in: &SignedIn,
) -> Result<Option<KeptForm>, Refusal> {
    let Some(handle) = browser::cookie(headers, cookie_name(state)) else { return Ok(None) };
    state.broker.kept_form(signed_in, handle).await
}

/// A field's name for a person; the names of buttons say what is to be done.
fn label(name: &str) -> String {
    match name {
        "what" | "step" | "change" | "how" | "decision" => "What to do".to_owned(),
        name => capitalized(&name.replace(['_', '.'], " ")),
    }
}

/// A value as it is shown: never one that may be a secret.
fn shown(name: &str, value: &str) -> String {
    if SECRETS.iter().any(|secret| name.to_lowercase().contains(secret)) {
        return "kept, not shown".to_owned();
    }
    let text = revealed(value);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

pub(super) async fn discard(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let headers = request.headers().clone();
    let sent = match Sent::read(&state, request).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    if let Some(handle) = browser::cookie(&headers, cookie_name(&state))
        && let Err(refusal) = state.broker.discard_form(&sent.signed_in, handle).await
    {
        return refused(&refusal);
    }
    let mut response = browser::see_other("/");
    set_handle(&state, &mut response, "", 0);
    response
}

fn nothing() -> Response<Body> {
    let text = "No form is kept for you here. It may have been sent or thrown away, it is kept for a quarter of an hour, and \
                only for whoever filled it in.";
    message(StatusCode::NOT_FOUND, "Nothing is kept", text, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        assert_eq!(shown("api_key", "s3cret"), "kept, not shown");
        assert_eq!(shown("name", "a\u{202e}b"), "a⟨U+202E⟩b");
    }
}
