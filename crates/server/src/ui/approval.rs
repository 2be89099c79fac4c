//! `/approvals` and `/approvals/{id}`: where a person lets a held call through, or not. It shows the whole of what would
//! run; nothing in it can hide. Opening it decides nothing.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use switchboard_broker::{
    SignedIn,
    manage::{ApprovalDecision, ApprovalQuery, ApprovalView, Refusal, RefusalKind},
};
use switchboard_catalog::{displayed, revealed};
use switchboard_domain::{ApprovalStatus, Timestamp};
use switchboard_policy::ApprovalRequirement;

use super::{
    account::{Sent, person},
    connections::words::Moment,
    message,
    navigation::Navigation,
    page,
    sign_in::not_the_form,
    unavailable,
};
use crate::{ServerState, browser};

/// Longest name that is shown.
const NAME_CHARS: usize = 200;

struct Row {
    id: String,
    capability: String,
    requested_by: String,
    client: String,
    status: &'static str,
    asked: Moment,
    ends: Moment,
}

#[derive(Template)]
#[template(path = "approvals.html")]
struct List {
    navigation: Navigation,
    waiting: Vec<Row>,
    others: Vec<Row>,
}

#[derive(Template)]
#[template(path = "approval.html")]
struct One<'a> {
    navigation: Navigation,
    problem: Option<&'a str>,
    id: String,
    capability: String,
    requested_by: String,
    client: String,
    resource: &'a str,
    rule: String,
    deciders: String,
    title: &'static str,
    asked: Moment,
    ends: Moment,
    /// By whom, and when.
    decided: Option<(String, Moment)>,
    is_approved: bool,
    intent: String,
    arguments: String,
    may_decide: bool,
    may_take_back: bool,
}

pub(super) async fn list(State(state): State<ServerState>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let asked = |decidable| ApprovalQuery { decidable: Some(decidable), ..ApprovalQuery::default() };
    let listed = async {
        let waiting = state.broker.list_approvals(&signed_in.principal, &asked(true)).await?;
        let others = state.broker.list_approvals(&signed_in.principal, &asked(false)).await?;
        Ok::<_, Refusal>((waiting.items, others.items))
    };
    match listed.await {
        Ok((waiting, others)) => {
            let now = state.broker.clock().now();
            let rows = |items: Vec<ApprovalView>| items.into_iter().map(|item| row(item, now)).collect();
            let form_token = browser::form_token(&state, &headers);
            let navigation = Navigation::new(&state, &signed_in, &form_token, uri.path()).await;
            page(StatusCode::OK, &List { navigation, waiting: rows(waiting), others: rows(others) })
        }
        Err(refusal) => refused(&refusal),
    }
}

fn row(approval: ApprovalView, now: Timestamp) -> Row {
    Row {
        id: approval.id.to_string(),
        capability: displayed(&approval.capability, NAME_CHARS),
        requested_by: displayed(&approval.requested_by_name, NAME_CHARS),
        client: displayed(&approval.client, NAME_CHARS),
        status: match approval.status {
            ApprovalStatus::Pending => "Waits",
            ApprovalStatus::Approved => "Approved, did not run yet",
            ApprovalStatus::Declined => "Declined",
            ApprovalStatus::Expired => "Over",
            ApprovalStatus::Used => "Approved, ran",
        },
        asked: Moment::ago(approval.created_at, now),
        ends: Moment::of_end(approval.expires_at, now),
    }
}

/// Who may let it through, in words.
fn deciders(needed: &ApprovalRequirement) -> String {
    let who = match (needed.admin, needed.teams.is_empty()) {
        (true, _) => "An admin",
        (false, false) => "Somebody in the teams that the rule names",
        (false, true) if needed.second_person => {
            return "Somebody other than the person whose agent asks".to_owned();
        }
        (false, true) => "The person whose agent asks",
    };
    let second = if needed.second_person { ", other than the person whose agent asks" } else { "" };
    format!("{who}{second}")
}

/// `organization/2` is what the record says.
fn rule_in_words(rule: &str) -> String {
    match rule.rsplit_once('/') {
        Some((list, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("Rule {number} of the {list}")
        }
        Some((_, "hold_destructive")) => "Calls that may destroy something are held (settings)".to_owned(),
        _ => rule.to_owned(),
    }
}

pub(super) async fn show(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    show_one(&state, &signed_in, &id, &browser::form_token(&state, &headers), None).await
}

pub(super) async fn decide(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let sent = match Sent::read(&state, request).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let decision = match sent.fields.get("decision") {
        Some("approve") => ApprovalDecision::Approve,
        Some("decline") => ApprovalDecision::Decline,
        _ => return not_the_form(),
    };
    let Ok(parsed) = id.parse() else { return refused(&Refusal::not_found()) };
    let principal = &sent.signed_in.principal;
    match state.broker.decide_approval(principal, parsed, decision).await {
        Ok(_) => browser::see_other(&format!("/approvals/{parsed}")),
        Err(refusal) if refusal.kind == RefusalKind::Unavailable => unavailable(),
        Err(refusal) => {
            state.broker.record_refusal(principal, decision.operation(), &id, &refusal).await;
            show_one(&state, &sent.signed_in, &id, &sent.form_token, Some(&refusal)).await
        }
    }
}

async fn show_one(
    state: &ServerState,
    signed_in: &SignedIn,
    id: &str,
    form_token: &str,
    refusal: Option<&Refusal>,
) -> Response<Body> {
    let Ok(parsed) = id.parse() else { return refused(&Refusal::not_found()) };
    let approval = match state.broker.read_approval(&signed_in.principal, parsed).await {
        Ok(approval) => approval,
        Err(refusal) => return refused(&refusal),
    };
    let arguments = approval.shown_arguments;
    let now = state.broker.clock().now();
    let decided = approval.decided_by_name.as_ref().zip(approval.decided_at);
    let decided = decided.map(|(name, at)| (displayed(name, NAME_CHARS), Moment::ago(at, now)));
    // What can't be shown can't be approved.
    let may_decide = approval.may_decide && arguments.is_some();
    let path = format!("/approvals/{id}");
    let shown = One {
        navigation: Navigation::new(state, signed_in, form_token, &path).await,
        problem: refusal.map(Refusal::in_words),
        id: approval.id.to_string(),
        capability: displayed(&approval.capability, NAME_CHARS),
        requested_by: displayed(&approval.requested_by_name, NAME_CHARS),
        client: displayed(&approval.client, NAME_CHARS),
        resource: &approval.resource,
        rule: rule_in_words(approval.rule.as_deref().unwrap_or_default()),
        deciders: deciders(&approval.approvers),
        title: match approval.status {
            ApprovalStatus::Pending if may_decide => "Let this call through?",
            ApprovalStatus::Pending => "This call waits for a decision",
            ApprovalStatus::Approved => "This call is approved",
            ApprovalStatus::Declined => "This call is declined",
            ApprovalStatus::Expired => "The time for this call is over",
            ApprovalStatus::Used => "This call was approved, and ran",
        },
        asked: Moment::ago(approval.created_at, now),
        ends: Moment::of_end(approval.expires_at, now),
        decided,
        is_approved: approval.status == ApprovalStatus::Approved,
        intent: revealed(approval.intent.as_deref().unwrap_or_default()),
        may_decide,
        may_take_back: approval.may_take_back && approval.status == ApprovalStatus::Approved,
        arguments: arguments.unwrap_or_else(|| "They can't be read any more.".into()),
    };
    let status = match refusal.map(|refusal| refusal.kind) {
        None => StatusCode::OK,
        Some(RefusalKind::Conflict) => StatusCode::CONFLICT,
        Some(_) => StatusCode::FORBIDDEN,
    };
    page(status, &shown)
}

fn refused(refusal: &Refusal) -> Response<Body> {
    match refusal.kind {
        RefusalKind::Unavailable => unavailable(),
        _ => message(
            StatusCode::NOT_FOUND,
            "Nothing here for you",
            "There is no such approval, or it is not for you: sign in as somebody who may decide it.",
            None,
        ),
    }
}
