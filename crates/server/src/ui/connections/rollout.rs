//! `/connections/rollout`: what is staged is published, or taken back, in one switch.

use axum::{
    body::Body,
    extract::{Request, State},
    http::Response,
};
use switchboard_broker::manage::Operation;

use super::{PATH, frame::refused};
use crate::{
    ServerState, browser,
    ui::{account::Sent, no_page, sign_in::not_the_form},
};

pub(super) async fn change(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let sent = match Sent::read(&state, request).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let principal = &sent.signed_in.principal;
    let (operation, outcome) = match sent.fields.get("change") {
        Some("publish") => (Operation::PublishConnections, state.broker.publish_connections(principal).await),
        Some("take_back") => {
            (Operation::TakeBackConnections, state.broker.take_back_connections(principal).await)
        }
        _ => return not_the_form(),
    };
    match outcome {
        Ok(_) => browser::see_other(PATH),
        Err(refusal) => {
            let target = principal.organization.to_string();
            state.broker.record_refusal(principal, operation, &target, &refusal).await;
            if refusal.is_forbidden() { no_page() } else { refused(&refusal) }
        }
    }
}
