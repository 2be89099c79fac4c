//! Forms whose answer can't be a redirect, because it is where something is shown once or what a run came to. A reload of such
//! an answer sends the form again; a second link would end the first one, a second run would do it twice. So the form has a
//! number of its page, and what was sent with it before, word for word, is not done again, at whichever process.

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::{account::Sent, message::leads_on, refused::refused};
use crate::ServerState;

/// The field that says of which page a form is.
pub(super) const FIELD: &str = "once";
/// What a page's forms have in the field.
pub(super) fn page_number(state: &ServerState) -> String {
    let mut bytes = [0u8; 12];
    state.broker.random().fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The answer to a form that was sent before; `None` for any other, which from then on was. `here` is where the person
/// finds what it made.
pub(super) async fn sent_before(state: &ServerState, sent: &Sent, here: &str) -> Option<Response<Body>> {
    sent.fields.get(FIELD)?;
    let mut digest = Sha256::new().chain_update(sent.signed_in.member.to_string());
    // Without the form's token: it is another one after signing in again.
    for (name, value) in sent.fields.pairs().filter(|(name, _)| name != "form_token") {
        let value = value.expose();
        digest.update([name.len().to_be_bytes(), value.len().to_be_bytes()].concat());
        digest.update(name);
        digest.update(value);
    }
    match state.broker.first_time(sent.signed_in.principal.organization, digest.finalize().into()).await {
        Ok(true) => return None,
        Ok(false) => {}
        Err(refusal) => return Some(refused(&refusal)),
    }
    let text = "Reloading a page or pressing twice sends its form again. It is not done a second time: what came of the first \
                one stays as it is, and is not shown again. Go on to see what it is.";
    Some(leads_on(StatusCode::CONFLICT, "This was sent before", text, (here, "Go on")))
}
