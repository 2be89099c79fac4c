//! `/connections/{id}/activity`: what was called lately, and how it went.

use std::collections::HashMap;

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use serde::Deserialize;
use switchboard_broker::manage::{ActivityQuery, CallView};
use switchboard_catalog::displayed;
use switchboard_domain::{AuditOutcome, MemberId, Timestamp};

use super::{
    frame::{Head, Subject, refused},
    words::Moment,
};
use crate::{
    ServerState,
    ui::{navigation::Navigation, page},
};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    outcome: String,
    before: Option<String>,
}

struct Row {
    at: Moment,
    tool: String,
    who: String,
    client: String,
    word: &'static str,
    tone: &'static str,
    sign: &'static str,
    code: Option<String>,
    duration: Option<i64>,
    reference: Option<String>,
}

const OUTCOMES: &[(&str, &str)] = &[
    ("ok", "Went well"),
    ("tool_error", "The server's error"),
    ("failed", "Failed"),
    ("refused", "Refused"),
    ("held", "Waited for approval"),
];

#[derive(Template)]
#[template(path = "connection_activity.html")]
struct Activity<'a> {
    navigation: Navigation,
    head: Head,
    problem: Option<&'a str>,
    rows: Vec<Row>,
    outcomes: &'static [(&'static str, &'static str)],
    asked: &'a Asked,
    is_everybodys: bool,
    is_later: bool,
    next: Option<String>,
    /// Since when calls were looked through, when not as far back as the page goes.
    back: Option<Moment>,
}

pub(super) async fn show(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let subject = match Subject::find(&state, &headers, &uri, &id).await {
        Ok(subject) => subject,
        Err(response) => return *response,
    };
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let before = asked.before.as_deref().and_then(|before| before.parse().ok());
    let query = ActivityQuery {
        outcome: AuditOutcome::from_word(&asked.outcome),
        before: before.map(Timestamp::from_micros),
    };
    let principal = &subject.signed_in.principal;
    let found = match state.broker.connection_activity(principal, subject.connection.id, &query).await {
        Ok(found) => found,
        Err(refusal) => return refused(&refusal),
    };
    let names = names(&state, &subject, &found.calls).await;
    let now = state.broker.clock().now();
    let address = format!("{}/activity", subject.address());
    let shown = Activity {
        navigation: subject.navigation(&state).await,
        head: subject.head("/activity"),
        problem: None,
        rows: found.calls.into_iter().map(|call| row(call, &names, now)).collect(),
        outcomes: OUTCOMES,
        is_everybodys: found.is_everybodys,
        is_later: query.before.is_some(),
        back: found.back.map(|back| Moment::ago(back, now)),
        next: found.next.map(|next| {
            format!(
                "{address}?outcome={}&before={}",
                query.outcome.map_or("", AuditOutcome::as_str),
                next.as_micros()
            )
        }),
        asked: &asked,
    };
    page(StatusCode::OK, &shown)
}

/// Who they are, as an admin knows them.
async fn names(state: &ServerState, subject: &Subject, calls: &[CallView]) -> HashMap<String, String> {
    let ids: Vec<MemberId> = calls.iter().filter_map(|call| call.caller.parse().ok()).collect();
    // Where they can't be looked up, the calls are still shown.
    let members = state.broker.read_members(&subject.signed_in.principal, &ids).await.unwrap_or_default();
    let known: HashMap<String, String> =
        members.into_iter().map(|member| (member.id.to_string(), member.email)).collect();
    let name = |call: &CallView| match known.get(&call.caller) {
        Some(email) => email.clone(),
        None if call.caller.starts_with("mem_") => "somebody who has left".to_owned(),
        None => "a service account".to_owned(),
    };
    calls.iter().map(|call| (call.caller.clone(), name(call))).collect()
}

fn row(call: CallView, names: &HashMap<String, String>, now: Timestamp) -> Row {
    let (word, tone, sign) = match call.outcome {
        Some(AuditOutcome::Ok) => ("Went well", "good", "✓"),
        Some(AuditOutcome::ToolError) => ("The server's error", "ask", "!"),
        Some(AuditOutcome::Refused) => ("Refused", "ask", "–"),
        Some(AuditOutcome::Held) => ("Waited for approval", "ask", "→"),
        Some(AuditOutcome::Failed) | None => ("Failed", "bad", "!"),
    };
    let tool = call.capability.split_once('.').map_or(call.capability.as_str(), |(_, tool)| tool);
    Row {
        at: Moment::ago(call.at, now),
        tool: displayed(tool, 200),
        who: names.get(&call.caller).cloned().unwrap_or_default(),
        client: displayed(call.client.as_deref().unwrap_or_default(), 80),
        word,
        tone,
        sign,
        code: call.code,
        duration: call.duration_ms,
        reference: call.reference,
    }
}
