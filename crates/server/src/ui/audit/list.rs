//! `/audit`: the log, newest first. What is asked for stands in the address, so that it can be kept and passed on.

use std::time::Duration;

use askama::Template;
use axum::{
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use serde::Deserialize;
use serde_json::Value;
use switchboard_broker::{
    SignedIn,
    manage::{AuditQuery, Refusal, RefusalKind},
};
use switchboard_domain::{AuditOutcome, MemberId, ServiceAccountId};
use url::form_urlencoded;

use super::{
    PATH,
    words::{self, OUTCOMES},
};
use crate::{
    ServerState, browser,
    ui::{account::person, navigation::Navigation, refused::refused, scripted},
};

const SHOWN: usize = 50;
const DAY: u64 = 24 * 60 * 60;

/// How far back, and how that is put. A log of a million entries is looked through to the end only when asked.
const PERIODS: [(&str, &str, Option<u64>); 4] = [
    ("day", "Last 24 hours", Some(DAY)),
    ("week", "Last 7 days", Some(7 * DAY)),
    ("month", "Last 30 days", Some(30 * DAY)),
    ("all", "All that is kept", None),
];
const USUAL: &str = "week";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// Email address of a member, or any actor's id.
    actor: String,
    action: String,
    target: String,
    outcome: String,
    call_id: String,
    period: String,
    cursor: Option<String>,
}

struct Row {
    address: String,
    at: String,
    exact: String,
    actor: String,
    client: String,
    endpoint: String,
    connection: String,
    what: String,
    is_call: bool,
    decision: String,
    outcome: (String, &'static str, &'static str),
    code: String,
    millis: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct List<'a> {
    navigation: Navigation,
    asked: &'a Asked,
    problem: Option<String>,
    periods: Vec<(&'static str, &'static str, bool)>,
    outcomes: Vec<(&'static str, &'static str, bool)>,
    rows: Vec<Row>,
    is_filtered: bool,
    is_later: bool,
    begin: String,
    next: Option<String>,
    /// Since when the log was looked through, when not as far as was asked.
    back: Option<String>,
    csv: String,
    json: String,
}

pub(super) async fn show(
    State(state): State<ServerState>,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let mut asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    if !PERIODS.iter().any(|(known, ..)| *known == asked.period) {
        // By its reference a call is found whenever it was.
        asked.period = if asked.call_id.trim().is_empty() { USUAL } else { "all" }.to_owned();
    }
    let query = match query(&state, &signed_in, &asked).await {
        Ok(query) => query,
        Err(refusal) if refusal.kind == RefusalKind::Invalid => {
            return render(&state, (&signed_in, &headers), &asked, Err(refusal.message)).await;
        }
        Err(refusal) => return refused(&refusal),
    };
    render(&state, (&signed_in, &headers), &asked, Ok(query)).await
}

async fn query(state: &ServerState, signed_in: &SignedIn, asked: &Asked) -> Result<AuditQuery, Refusal> {
    let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let actor = match given(&asked.actor) {
        Some(actor) if actor.contains('@') => {
            Some(state.broker.find_member(&signed_in.principal, &actor).await?.id.to_string())
        }
        Some(actor) if is_actor(&actor) => Some(actor),
        Some(actor) => {
            let text = format!("“{actor}” is neither the address of a member nor the id of one.");
            return Err(Refusal::invalid("validation_failed", text));
        }
        None => None,
    };
    let back = PERIODS.iter().find(|(known, ..)| *known == asked.period).and_then(|(.., back)| *back);
    Ok(AuditQuery {
        actor,
        action: given(&asked.action),
        target: given(&asked.target),
        outcome: AuditOutcome::from_word(&asked.outcome),
        call_id: given(&asked.call_id),
        from: back.map(|back| state.broker.clock().now().minus(Duration::from_secs(back))),
        limit: Some(SHOWN),
        cursor: asked.cursor.clone(),
        without_starts: true,
        ..AuditQuery::default()
    })
}

fn is_actor(text: &str) -> bool {
    text.parse::<MemberId>().is_ok() || text.parse::<ServiceAccountId>().is_ok()
}

async fn render(
    state: &ServerState,
    (signed_in, headers): (&SignedIn, &HeaderMap),
    asked: &Asked,
    query: Result<AuditQuery, String>,
) -> Response<Body> {
    let principal = &signed_in.principal;
    let (found, export, problem) = match query {
        Ok(query) => match state.broker.glance_at_audit(principal, &query).await {
            Ok(found) => (Some(found), exported(&query), None),
            Err(refusal) => return refused(&refusal),
        },
        Err(problem) => (None, String::new(), Some(problem)),
    };
    let (items, next, back) = match found {
        Some((page, back)) => (page.items, page.next_cursor, back),
        None => (Vec::new(), None, None),
    };
    let ids: Vec<String> =
        items.iter().filter_map(|entry| entry["actor"]["id"].as_str().map(str::to_owned)).collect();
    let names = match state.broker.actor_names(principal, ids).await {
        Ok(names) => names,
        Err(refusal) => return refused(&refusal),
    };
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let form_token = browser::form_token(state, headers);
    let filters = [&asked.actor, &asked.action, &asked.target, &asked.outcome, &asked.call_id];
    let list = List {
        navigation: Navigation::new(state, signed_in, &form_token, PATH).await,
        problem,
        periods: PERIODS.into_iter().map(|(value, word, _)| (value, word, value == asked.period)).collect(),
        outcomes: OUTCOMES
            .into_iter()
            .map(|(it, word, ..)| (it.as_str(), word, it.as_str() == asked.outcome))
            .collect(),
        rows: items.iter().map(|entry| row(entry, words::actor(entry, &names))).collect(),
        is_filtered: filters.into_iter().any(|it| !it.trim().is_empty()),
        is_later: asked.cursor.is_some(),
        begin: address(asked, None),
        next: next.map(|cursor| address(asked, Some(&cursor))),
        back: back.map(|back| back.to_string()),
        csv: format!("/api/v1/audit/export?format=csv{export}"),
        json: format!("/api/v1/audit/export?format=jsonl{export}"),
        asked,
    };
    scripted(status, &list)
}

fn address(asked: &Asked, cursor: Option<&str>) -> String {
    let pairs = [
        ("actor", asked.actor.as_str()),
        ("action", &asked.action),
        ("target", &asked.target),
        ("outcome", &asked.outcome),
        ("call_id", &asked.call_id),
        ("period", &asked.period),
        ("cursor", cursor.unwrap_or_default()),
    ];
    let given = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    format!("{PATH}?{query}")
}

/// The same question to the export, whole.
fn exported(query: &AuditQuery) -> String {
    let from = query.from.map(|from| from.to_string());
    let pairs = [
        ("actor", query.actor.as_deref()),
        ("action", query.action.as_deref()),
        ("target", query.target.as_deref()),
        ("outcome", query.outcome.map(AuditOutcome::as_str)),
        ("call_id", query.call_id.as_deref()),
        ("from", from.as_deref()),
    ];
    let mut out = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if let Some(value) = value {
            out.append_pair(name, value);
        }
    }
    let query = out.finish();
    if query.is_empty() { query } else { format!("&{query}") }
}

fn row(entry: &Value, actor: String) -> Row {
    let action = words::text(entry, "action");
    let is_call = entry["call_id"].is_string() || entry["reference_id"].is_string();
    let target = words::text(entry, "target");
    Row {
        address: format!("{PATH}/{}/{}", entry["writer"].as_str().unwrap_or_default(), entry["seq"]),
        at: words::moment(entry),
        exact: entry["at"].as_str().unwrap_or_default().to_owned(),
        actor,
        client: words::text(entry, "client"),
        endpoint: words::endpoint(entry),
        connection: words::connection(entry),
        what: if is_call && !target.is_empty() && action == "capability.execute" {
            target
        } else {
            format!("{action} {target}").trim().to_owned()
        },
        is_call,
        decision: words::text(entry, "decision"),
        outcome: words::outcome(entry),
        code: words::text(entry, "code"),
        millis: words::text(entry, "duration_ms"),
    }
}
