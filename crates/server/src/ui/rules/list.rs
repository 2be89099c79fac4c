//! A list of rules in its order: moved by buttons, and by dragging where there is JavaScript.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, Response, Uri},
};
use serde::Deserialize;
use switchboard_broker::manage::{PageRequest, Reached, Refusal, RefusalKind, TeamSummary};
use switchboard_domain::TeamId;
use switchboard_policy::{Approvers, Rule, RuleAction};

use super::{
    layer::{Layer, Subject, Top, refused},
    words::{action_in_words, covering},
};
use crate::{
    ServerState, browser,
    ui::{connections::status_of, navigation::Navigation, scripted, sign_in::not_the_form, unavailable},
};

/// On one page.
const SHOWN: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// Position of the first that is shown.
    from: Option<usize>,
}

struct Row {
    position: usize,
    pattern: String,
    word: &'static str,
    tone: &'static str,
    sign: &'static str,
    kind: Option<&'static str>,
    condition: Option<String>,
    approvers: Option<String>,
    reached: Reached,
    /// Position and pattern of an earlier rule after which this one never counts.
    covered: Option<(usize, String)>,
    is_first: bool,
    is_last: bool,
}

#[derive(Template)]
#[template(path = "rules.html")]
struct List<'a> {
    navigation: Navigation,
    top: Top,
    problem: Option<&'a str>,
    revision: i64,
    rows: Vec<Row>,
    count: usize,
    before: Option<usize>,
    after: Option<usize>,
}

pub(super) async fn organization(
    state: State<ServerState>,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    show(&state, asked, &uri, &headers, Layer::Organization).await
}

pub(super) async fn own(
    state: State<ServerState>,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    show(&state, asked, &uri, &headers, Layer::Own).await
}

pub(super) async fn toolkit(
    state: State<ServerState>,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    show(&state, asked, &uri, &headers, Layer::Toolkit(id)).await
}

async fn show(
    state: &ServerState,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: &Uri,
    headers: &HeaderMap,
    layer: Layer,
) -> Response<Body> {
    let from = asked.ok().and_then(|Query(asked)| asked.from).unwrap_or(1);
    match Subject::find(state, headers, uri, layer.clone()).await {
        Ok(subject) => render(state, &subject, from, None).await,
        // The organization's rules are the admins'; everybody has rules of their own.
        Err(response) => match (layer, browser::signed_in(state, headers).await) {
            (Layer::Organization, Ok(Some(signed_in))) if !signed_in.principal.role.is_admin() => {
                browser::see_other("/policies/mine")
            }
            _ => *response,
        },
    }
}

async fn render(
    state: &ServerState,
    subject: &Subject,
    from: usize,
    refusal: Option<&Refusal>,
) -> Response<Body> {
    let rules = &subject.rules;
    let first = from.saturating_sub(1).min(rules.len().saturating_sub(1)) / SHOWN * SHOWN;
    let shown = &rules[first..rules.len().min(first + SHOWN)];
    let principal = &subject.signed_in.principal;
    let patterns: Vec<_> = shown.iter().map(|rule| rule.pattern.clone()).collect();
    let reached = match state.broker.count_reached(principal, &patterns) {
        Ok(reached) => reached,
        Err(refusal) => return refused(&refusal),
    };
    let teams = named_teams(state, subject, shown).await;
    let rows =
        reached.into_iter().enumerate().map(|(index, reached)| row(rules, first + index, reached, &teams));
    let list = List {
        navigation: subject.navigation(state).await,
        top: subject.top(),
        problem: refusal.map(Refusal::in_words),
        revision: subject.revision,
        rows: rows.collect(),
        count: rules.len(),
        before: (first > 0).then(|| first + 1 - SHOWN),
        after: (first + SHOWN < rules.len()).then(|| first + 1 + SHOWN),
    };
    scripted(status_of(refusal), &list)
}

/// The teams that rules may name; nobody but admins is told their names.
async fn named_teams(state: &ServerState, subject: &Subject, rules: &[Rule]) -> Vec<TeamSummary> {
    if !rules.iter().any(|rule| matches!(rule.approvers, Approvers::Teams(_))) {
        return Vec::new();
    }
    let all = PageRequest { limit: Some(200), cursor: None };
    let teams = state.broker.find_teams(&subject.signed_in.principal, &all).await;
    teams.map(|teams| teams.items).unwrap_or_default()
}

fn row(rules: &[Rule], index: usize, reached: Reached, teams: &[TeamSummary]) -> Row {
    let rule = &rules[index];
    let (word, tone, sign) = action_in_words(rule.action);
    let covered = covering(rules, index).map(|earlier| (earlier + 1, rules[earlier].pattern.to_string()));
    Row {
        position: index + 1,
        pattern: rule.pattern.to_string(),
        word,
        tone,
        sign,
        kind: rule.kind.map(|kind| kind.as_str()),
        condition: rule.condition.clone(),
        approvers: (rule.action == RuleAction::RequireApproval).then(|| approvers(rule, teams)),
        reached,
        covered,
        is_first: index == 0,
        is_last: index + 1 == rules.len(),
    }
}

fn approvers(rule: &Rule, teams: &[TeamSummary]) -> String {
    let name = |id: &TeamId| {
        let team = teams.iter().find(|team| team.id == *id);
        team.map_or_else(|| "a team".to_owned(), |team| team.name.clone())
    };
    let who = match &rule.approvers {
        Approvers::Caller => "by the person whose agent asks".to_owned(),
        Approvers::Admins => "by an admin".to_owned(),
        Approvers::Teams(ids) => {
            format!("by somebody of {}", ids.iter().map(name).collect::<Vec<_>>().join(" or "))
        }
    };
    if rule.second_person { format!("{who}, who is not the one whose agent asks") } else { who }
}

pub(super) async fn change_organization(state: State<ServerState>, request: Request) -> Response<Body> {
    change(&state, request, Layer::Organization).await
}

pub(super) async fn change_own(state: State<ServerState>, request: Request) -> Response<Body> {
    change(&state, request, Layer::Own).await
}

pub(super) async fn change_toolkit(
    state: State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    change(&state, request, Layer::Toolkit(id)).await
}

/// Moves or deletes one rule of the list that the page showed.
async fn change(state: &ServerState, request: Request, layer: Layer) -> Response<Body> {
    let (subject, fields) = match Subject::sent(state, request, layer, &[]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let number = |name: &str| fields.get(name).and_then(|text| text.parse::<usize>().ok());
    let seen = fields.get("revision").and_then(|revision| revision.parse::<i64>().ok());
    let (Some(position), Some(seen)) = (number("position"), seen) else { return not_the_form() };
    let mut rules = subject.rules.clone();
    let Some(index) = position.checked_sub(1) else { return not_the_form() };
    if seen == subject.revision && index >= rules.len() {
        return not_the_form();
    }
    let last = rules.len().saturating_sub(1);
    let to = match fields.get("change") {
        Some("up") => Some(index.saturating_sub(1)),
        Some("down") => Some((index + 1).min(last)),
        Some("move") => number("to").map(|to| to.saturating_sub(1).min(last)),
        Some("delete") => None,
        _ => return not_the_form(),
    };
    // Of a list that somebody else changed meanwhile nothing is taken out: that is refused below.
    if seen == subject.revision {
        let rule = rules.remove(index);
        if let Some(to) = to {
            rules.insert(to, rule);
        }
    }
    let shown = to.map_or(position, |to| to + 1);
    match subject.put(state, Some(seen), rules).await {
        Ok(_) => browser::see_other(&format!("{}?from={shown}#rule-{shown}", subject.address())),
        Err(refusal) if refusal.kind == RefusalKind::Unavailable => unavailable(),
        Err(refusal) => render(state, &subject, position, Some(&refusal)).await,
    }
}
