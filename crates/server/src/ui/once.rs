//! Forms whose answer can't be a redirect, because it is where something is shown once or what a run came to. A reload of such
//! an answer sends the form again; a second link would end the first one, a second run would do it twice. So the form has a
//! number of its page, and what was sent with it before, word for word, is not done again.
//!
//! The process remembers the last few thousand. Behind a load balancer another one does not know of them.

use std::collections::VecDeque;

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::{account::Sent, message::leads_on};
use crate::ServerState;

/// The field that says of which page a form is.
pub(super) const FIELD: &str = "once";
/// Of everybody together; the oldest give way.
const MOST: usize = 4096;

/// Forms that were sent, by digest.
#[derive(Debug, Default)]
pub(super) struct SentForms(Mutex<VecDeque<[u8; 32]>>);

impl SentForms {
    /// Whether this is the first of it.
    fn is_first(&self, form: [u8; 32]) -> bool {
        let mut all = self.0.lock();
        if all.contains(&form) {
            return false;
        }
        while all.len() >= MOST {
            all.pop_front();
        }
        all.push_back(form);
        true
    }
}

/// What a page's forms have in the field.
pub(super) fn page_number(state: &ServerState) -> String {
    let mut bytes = [0u8; 12];
    state.broker.random().fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The answer to a form that was sent before; `None` for any other, which from then on was. `here` is where the person
/// finds what it made.
pub(super) fn sent_before(state: &ServerState, sent: &Sent, here: &str) -> Option<Response<Body>> {
    sent.fields.get(FIELD)?;
    let mut digest = Sha256::new().chain_update(sent.signed_in.member.to_string());
    for (name, value) in sent.fields.pairs() {
        let value = value.expose();
        digest.update([name.len().to_be_bytes(), value.len().to_be_bytes()].concat());
        digest.update(name);
        digest.update(value);
    }
    if state.kept.sent.is_first(digest.finalize().into()) {
        return None;
    }
    let text = "Reloading a page sends its form again. Nothing was done a second time: what the first one made stays as it \
                is, and what it showed is not shown again.";
    Some(leads_on(StatusCode::CONFLICT, "This was sent before", text, (here, "Go on")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_form_is_first_once() {
        let sent = SentForms::default();
        assert!(sent.is_first([1; 32]) && sent.is_first([2; 32]));
        assert!(!sent.is_first([1; 32]) && !sent.is_first([2; 32]));
        for number in 0..MOST as u64 {
            let mut form = [0; 32];
            form[..8].copy_from_slice(&number.to_be_bytes());
            sent.is_first(form);
        }
        assert!(sent.is_first([1; 32]), "the oldest gave way");
        assert_eq!(sent.0.lock().len(), MOST);
    }
}
