//! `/connections/{id}/review`: definitions that were added or changed since somebody looked, with what differs. A decision
//! is about exactly what was shown: it carries its fingerprint.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, Response, Uri},
};
use serde_json::Value;
use switchboard_broker::manage::{
    DifferenceView, FindingView, Operation, PageRequest, Refusal, RefusalKind, ReviewDecision,
    ReviewDecisions, ReviewView, Verdict,
};
use switchboard_catalog::{displayed, revealed};
use switchboard_domain::CapabilityKind;

use super::{
    frame::{Head, Subject, refused, status_of},
    tools::Asked,
};
use crate::{
    ServerState, browser,
    ui::{navigation::Navigation, page, sign_in::not_the_form, unavailable},
};

/// On one page: each is a text to read.
const SHOWN: usize = 20;

struct Item {
    kind: &'static str,
    name: String,
    shown: String,
    fingerprint: String,
    what: &'static str,
    is_rejected: bool,
    differences: Vec<DifferenceView>,
    instructions: Option<String>,
    instructions_before: Option<String>,
    findings: Vec<FindingView>,
    listed: String,
}

#[derive(Template)]
#[template(path = "connection_review.html")]
struct Review<'a> {
    navigation: Navigation,
    head: Head,
    problem: Option<&'a str>,
    items: Vec<Item>,
    next: Option<String>,
}

pub(super) async fn show(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let cursor = asked.ok().and_then(|Query(asked)| asked.cursor);
    match Subject::find(&state, &headers, &uri, &id).await {
        Ok(subject) => render(&state, &subject, cursor, None).await,
        Err(response) => *response,
    }
}

async fn render(
    state: &ServerState,
    subject: &Subject,
    cursor: Option<String>,
    refusal: Option<&Refusal>,
) -> Response<Body> {
    let wanted = PageRequest { limit: Some(SHOWN), cursor };
    let principal = &subject.signed_in.principal;
    let found = match state.broker.read_review(principal, subject.connection.id, &wanted).await {
        Ok(found) => found,
        Err(refusal) => return refused(&refusal),
    };
    let review = Review {
        navigation: subject.navigation(state).await,
        head: subject.head("/tools"),
        problem: refusal.map(Refusal::in_words),
        next: found.next_cursor.map(|cursor| format!("{}/review?cursor={cursor}", subject.address())),
        items: found.items.into_iter().map(item).collect(),
    };
    page(status_of(refusal), &review)
}

fn item(review: ReviewView) -> Item {
    let text = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
    Item {
        shown: displayed(&review.name, 200),
        what: match review.change {
            "added" => "New since the first listing",
            "instructions" => "The same definition; what the server says of itself changed",
            _ => "Changed since it was approved",
        },
        is_rejected: review.state == switchboard_domain::CapabilityState::Rejected,
        listed: revealed(&text(&review.listed)),
        kind: review.kind.as_str(),
        name: review.name,
        fingerprint: review.fingerprint,
        differences: review.differences,
        instructions: review.instructions,
        instructions_before: review.instructions_before,
        findings: review.findings,
    }
}

pub(super) async fn decide(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let repeated = ["kind", "name", "fingerprint"];
    let (subject, fields) = match Subject::sent(&state, request, &id, &repeated).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let decision = match fields.get("decision") {
        Some("approve") => Verdict::Approve,
        Some("reject") => Verdict::Reject,
        _ => return not_the_form(),
    };
    let kinds = fields.all("kind").map(CapabilityKind::from_word);
    let looked_at = kinds.zip(fields.all("name").zip(fields.all("fingerprint")));
    let decisions = looked_at.map(|(kind, (name, fingerprint))| {
        let (name, fingerprint) = (name.to_owned(), fingerprint.to_owned());
        Some(ReviewDecision { kind: kind?, name, decision, fingerprint })
    });
    let Some(decisions) = decisions.collect() else { return not_the_form() };
    let decisions = ReviewDecisions { decisions };
    let (principal, id) = (&subject.signed_in.principal, subject.connection.id);
    match state.broker.decide_reviews(principal, id, decisions).await {
        Ok(()) => browser::see_other(&format!("{}/review", subject.address())),
        Err(refusal) if refusal.kind == RefusalKind::Unavailable => unavailable(),
        Err(refusal) => {
            let operation = Operation::DecideReview;
            state.broker.record_refusal(principal, operation, &id.to_string(), &refusal).await;
            render(&state, &subject, None, Some(&refusal)).await
        }
    }
}
