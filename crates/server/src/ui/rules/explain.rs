//! `/policies/explain`: which rule decides a call, and why. It asks the very function that decides calls.

use askama::Template;
use axum::{
    body::Body,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, Response, Uri},
};
use serde::Deserialize;
use switchboard_broker::{
    SignedIn,
    manage::{ExplainRequest, Refusal, RefusalKind},
};
use switchboard_policy::{Explanation, LayerMatch};

use super::{
    layer::tabs,
    words::{Fate, action_in_words, list_in_words},
};
use crate::{
    ServerState, browser,
    ui::{
        account::{Sent, person},
        connections::{Tab, status_of},
        navigation::Navigation,
        page, unavailable,
    },
};

const PATH: &str = "/policies/explain";

/// What was asked; without a capability nothing was.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    capability: String,
    email: String,
    toolkit: String,
    #[serde(skip)]
    arguments: String,
}

/// What one list says.
struct Row {
    list: &'static str,
    position: u32,
    pattern: String,
    action: &'static str,
    condition: Option<String>,
    decides: bool,
    depends: bool,
}

struct Answer {
    sentence: String,
    fate: Fate,
    rows: Vec<Row>,
}

#[derive(Template)]
#[template(path = "explain.html")]
struct Explain<'a> {
    navigation: Navigation,
    tabs: Vec<Tab>,
    is_admin: bool,
    asked: &'a Asked,
    problem: Option<&'a str>,
    arguments_error: Option<&'a str>,
    capability_error: Option<&'a str>,
    answer: Option<Answer>,
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
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    render(&state, &signed_in, &browser::form_token(&state, &headers), &asked).await
}

/// Sent, not part of an address: arguments may be anything.
pub(super) async fn submit(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let sent = match Sent::read(&state, request).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let text = |name: &str| sent.fields.get(name).unwrap_or_default().trim().to_owned();
    let asked = Asked {
        capability: text("capability"),
        email: text("email"),
        toolkit: text("toolkit"),
        arguments: text("arguments"),
    };
    render(&state, &sent.signed_in, &sent.form_token, &asked).await
}

async fn render(
    state: &ServerState,
    signed_in: &SignedIn,
    form_token: &str,
    asked: &Asked,
) -> Response<Body> {
    let outcome = match asked.capability.is_empty() {
        true => None,
        false => Some(explained(state, signed_in, asked).await),
    };
    let (answer, refusal) = match outcome {
        None => (None, None),
        Some(Ok(explanation)) => (Some(answer(&explanation)), None),
        Some(Err(refusal)) if refusal.kind == RefusalKind::Unavailable => return unavailable(),
        Some(Err(refusal)) => (None, Some(refusal)),
    };
    let said = |path: &str| {
        let violations = refusal.iter().flat_map(|refusal| &refusal.violations);
        violations.into_iter().find(|it| it.path == path).map(|it| it.message.as_str())
    };
    let unknown = "There is no such tool, or not for this person: look at its name, at the toolkit, and at whom the connection is granted.";
    let problem = refusal.as_ref().map(|refusal| match refusal.kind {
        RefusalKind::NotFound => unknown,
        _ => refusal.message.as_str(),
    });
    let shown = Explain {
        navigation: Navigation::new(state, signed_in, form_token, PATH).await,
        tabs: tabs(signed_in, PATH),
        is_admin: signed_in.principal.role.is_admin(),
        asked,
        problem,
        arguments_error: said("arguments"),
        capability_error: said("capability"),
        answer,
    };
    page(status_of(refusal.as_ref()), &shown)
}

async fn explained(state: &ServerState, signed_in: &SignedIn, asked: &Asked) -> Result<Explanation, Refusal> {
    let principal = &signed_in.principal;
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let member = match asked.email.as_str() {
        "" => None,
        email => Some(state.broker.find_member(principal, email).await?.id),
    };
    let request = ExplainRequest {
        capability: asked.capability.clone(),
        member,
        toolkit: given(&asked.toolkit),
        arguments: given(&asked.arguments),
    };
    state.broker.explain_policies(principal, &request).await
}

fn answer(explanation: &Explanation) -> Answer {
    let row = |found: &LayerMatch| Row {
        list: list_in_words(found.layer),
        position: found.position,
        pattern: found.rule.pattern.to_string(),
        action: action_in_words(found.rule.action).0,
        condition: found.rule.condition.clone(),
        decides: found.decides,
        depends: found.depends,
    };
    Answer {
        sentence: format!("{}.", explanation.sentence),
        fate: Fate::of(explanation),
        rows: explanation.matches.iter().map(row).collect(),
    }
}
