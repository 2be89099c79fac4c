//! A form that was sent after its session had ended, or before its sender proved who they are. Nothing of it is lost and
//! nothing of it happens: it waits in this process for a quarter of an hour, under a random handle that only this browser
//! has, for the member whose session it was. They sign in, see what waits, and send it or don't.
//!
//! It is kept here and not in the sign-in page: whoever is at the browser then is not known yet, and a form may hold a key.
//! Somebody else who signs in meets the page of one for whom nothing is kept. Behind a load balancer another process knows
//! nothing of it; then the page says so.

use std::{collections::VecDeque, time::Duration};

use askama::Template;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use switchboard_broker::SignedIn;
use switchboard_catalog::revealed;
use switchboard_domain::{MemberId, SecretValue, Timestamp};

use super::{
    account::{Sent, person},
    capitalized, message,
    navigation::Navigation,
    once::{self, SentForms},
    page,
    sign_in::encoded,
};
use crate::{
    ServerState,
    browser::{self, Fields},
};

pub(super) const PATH: &str = "/kept-form";
const FOR: Duration = Duration::from_secs(15 * 60);
/// Of everybody together; the oldest give way.
const MOST: usize = 256;
/// What stands in place of a value that is nobody's to read from a screen.
const SECRETS: &[&str] = &["password", "secret", "key", "token", "header"];
const SHOWN: usize = 200;

/// Forms that wait.
#[derive(Debug, Default)]
pub struct KeptForms {
    waiting: Mutex<VecDeque<Kept>>,
    /// Those that are not done twice.
    pub(super) sent: SentForms,
}

#[derive(Debug, Clone)]
struct Kept {
    handle: [u8; 32],
    member: MemberId,
    /// Where it was sent to.
    action: String,
    fields: Vec<(String, SecretValue)>,
    until: Timestamp,
}

fn digest(handle: &str) -> [u8; 32] {
    Sha256::digest(handle.as_bytes()).into()
}

impl KeptForms {
    fn put(&self, kept: Kept, now: Timestamp) {
        let mut all = self.waiting.lock();
        all.retain(|it| it.until > now);
        while all.len() >= MOST {
            all.pop_front();
        }
        all.push_back(kept);
    }

    fn find(&self, handle: &str, member: MemberId, now: Timestamp) -> Option<Kept> {
        let handle = digest(handle);
        let all = self.waiting.lock();
        all.iter().find(|it| it.handle == handle && it.member == member && it.until > now).cloned()
    }

    fn remove(&self, handle: &str, member: MemberId) {
        let handle = digest(handle);
        self.waiting.lock().retain(|it| it.handle != handle || it.member != member);
    }
}

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
    let member = state.broker.owner_of_ended_session(cookie).await?;
    let request = Request::from_parts(parts.clone(), body);
    let fields = Fields::read(state, request, repeated).await?;
    browser::has_form_token(state, &parts.headers, &fields)
        .then(|| keep(state, member, (&parts.uri, &fields), "/sign-in"))
}

/// Keeps a form of somebody who has to prove first who they are, and sends them off to do so.
pub(super) fn until_proven(state: &ServerState, sent: &Sent, action: &Uri) -> Option<Response<Body>> {
    let ask = || keep(state, sent.signed_in.member, (action, &sent.fields), "/reauthenticate");
    (!state.broker.recently(&sent.signed_in)).then(ask)
}

fn keep(
    state: &ServerState,
    member: MemberId,
    (action, fields): (&Uri, &Fields),
    next: &str,
) -> Response<Body> {
    let mut bytes = [0u8; 32];
    state.broker.random().fill(&mut bytes);
    let handle = URL_SAFE_NO_PAD.encode(bytes);
    let now = state.broker.clock().now();
    let given = fields.pairs().filter(|(name, _)| name != "form_token");
    let kept = Kept {
        handle: digest(&handle),
        member,
        action: action.path_and_query().map_or_else(|| action.path().to_owned(), ToString::to_string),
        fields: given.cloned().collect(),
        until: now.plus(FOR),
    };
    state.kept.put(kept, now);
    let mut response = browser::see_other(&format!("{next}?return_to={}", encoded(PATH)));
    set_handle(state, &mut response, &handle, FOR.as_secs());
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
    let Some(kept) = find(&state, &headers, &signed_in) else { return nothing() };
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

fn find(state: &ServerState, headers: &HeaderMap, signed_in: &SignedIn) -> Option<Kept> {
    let handle = browser::cookie(headers, cookie_name(state))?;
    state.kept.find(handle, signed_in.member, state.broker.clock().now())
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
    if let Some(handle) = browser::cookie(&headers, cookie_name(&state)) {
        state.kept.remove(handle, sent.signed_in.member);
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
    use switchboard_domain::{FixedClock, SeededRandom};

    use super::*;

    #[test]
    fn only_the_same_member_finds_it_and_not_for_long() {
        let (clock, random) = (FixedClock::at_micros(1_795_000_000_000_000), SeededRandom::new(1));
        let [mine, theirs] = [MemberId::new(&clock, &random), MemberId::new(&clock, &random)];
        let now = Timestamp::from_micros(1_795_000_000_000_000);
        let forms = KeptForms::default();
        let form = |handle: &str| Kept {
            handle: digest(handle),
            member: mine,
            action: "/teams".into(),
            fields: vec![("name".into(), SecretValue::new("Keepers"))],
            until: now.plus(FOR),
        };
        forms.put(form("h"), now);
        assert!(forms.find("h", mine, now).is_some());
        assert!(forms.find("h", theirs, now).is_none() && forms.find("i", mine, now).is_none());
        assert!(forms.find("h", mine, now.plus(FOR)).is_none());
        for number in 0..MOST {
            forms.put(form(&number.to_string()), now);
        }
        assert!(forms.find("h", mine, now).is_none(), "the oldest gave way");
        assert_eq!(forms.waiting.lock().len(), MOST);
        assert_eq!(shown("api_key", "s3cret"), "kept, not shown");
        assert_eq!(shown("name", "a\u{202e}b"), "a⟨U+202E⟩b");
    }
}
