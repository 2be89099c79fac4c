//! A use case that did not do it, as pages say it; and the proof that a sensitive change asks for first.

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use switchboard_broker::{
    SignedIn,
    manage::{Operation, Refusal, RefusalKind},
};

use super::{message, no_page, sign_in::encoded, unavailable};
use crate::{ServerState, browser};

/// Where there is no form to say it in. What is not for somebody is not there.
pub(super) fn refused(refusal: &Refusal) -> Response<Body> {
    match refusal.kind {
        RefusalKind::NotFound | RefusalKind::Forbidden => no_page(),
        RefusalKind::Unavailable => unavailable(),
        RefusalKind::Stale => message(StatusCode::CONFLICT, "Somebody was quicker", &refusal.message, None),
        RefusalKind::Conflict | RefusalKind::Invalid => {
            message(status_of(Some(refusal)), "Nothing was changed", &refusal.message, None)
        }
    }
}

/// The status of a page that says why a form was not taken.
pub(super) const fn status_of(refusal: Option<&Refusal>) -> StatusCode {
    match refusal {
        None => StatusCode::OK,
        Some(Refusal { kind: RefusalKind::Conflict | RefusalKind::Stale, .. }) => StatusCode::CONFLICT,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// A refused change is on record. What the person can put right is theirs to read on the page; anything else ends it.
pub(super) async fn recorded(
    state: &ServerState,
    signed_in: &SignedIn,
    (operation, target): (Operation, &str),
    refusal: Refusal,
) -> Result<Refusal, Box<Response<Body>>> {
    if refusal.kind != RefusalKind::Unavailable {
        state.broker.record_refusal(&signed_in.principal, operation, target, &refusal).await;
    }
    match refusal.kind {
        RefusalKind::Unavailable | RefusalKind::NotFound | RefusalKind::Forbidden => {
            Err(Box::new(refused(&refusal)))
        }
        _ => Ok(refusal),
    }
}

/// Sends whoever did not just prove who they are off to do so; they come back to `here`.
pub(super) fn unproven(state: &ServerState, signed_in: &SignedIn, here: &str) -> Option<Response<Body>> {
    let ask = || browser::see_other(&format!("/reauthenticate?return_to={}", encoded(here)));
    (!state.broker.recently(signed_in)).then(ask)
}
