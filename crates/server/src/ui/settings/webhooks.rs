//! `/settings/webhooks`: where an organization is told what happens, and whether it was heard.

use askama::Template;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Response, Uri},
};
use switchboard_broker::{
    SignedIn,
    manage::{CreatedWebhook, NewWebhook, Operation, Refusal, WebhookEdit, WebhookView},
};
use switchboard_catalog::displayed;
use switchboard_domain::{Role, WebhookFormat, WebhookId};

use super::{Tab, WEBHOOKS, tabs};
use crate::{
    ServerState, browser,
    ui::{
        account::{Sent, person},
        connections::words::Moment,
        kept,
        navigation::Navigation,
        no_page, once,
        refused::{recorded, refused, status_of},
        scripted,
        sign_in::not_the_form,
    },
};

const EVENTS: [(&str, &str); 3] = [
    ("approval.requested", "a call waits for approval"),
    ("approval.decided", "somebody approved or declined"),
    ("audit.entries", "every entry of the audit log"),
];
const TEXT: usize = 300;

struct Row {
    id: WebhookId,
    name: String,
    url: String,
    events: String,
    enabled: bool,
    failures: i64,
    last_error: Option<String>,
    told: Option<Moment>,
}

/// What was typed, to be shown again.
#[derive(Default)]
struct Typed {
    name: String,
    url: String,
    events: Vec<String>,
    otlp: bool,
}

#[derive(Template)]
#[template(path = "webhooks.html")]
struct List<'a> {
    navigation: Navigation,
    tabs: Vec<Tab>,
    problem: Option<&'a str>,
    made: Option<&'a CreatedWebhook>,
    rows: Vec<Row>,
    typed: &'a Typed,
    events: Vec<(&'static str, &'static str, bool)>,
}

pub(super) async fn show(State(state): State<ServerState>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let form_token = browser::form_token(&state, &headers);
    render(&state, (&signed_in, &form_token), (&Typed::default(), None), None).await
}

async fn render(
    state: &ServerState,
    (signed_in, form_token): (&SignedIn, &str),
    (typed, refusal): (&Typed, Option<&Refusal>),
    made: Option<&CreatedWebhook>,
) -> Response<Body> {
    let principal = &signed_in.principal;
    let found = match state.broker.list_webhooks(principal).await {
        Ok(found) => found.items,
        Err(refusal) => return refused(&refusal),
    };
    let chosen = |event: &str| typed.events.iter().any(|it| it == event);
    let list = List {
        navigation: Navigation::new(state, signed_in, form_token, WEBHOOKS).await,
        tabs: tabs(WEBHOOKS, principal.role == Role::Owner),
        problem: refusal.map(Refusal::in_words),
        made,
        rows: found.into_iter().map(|webhook| row(state, webhook)).collect(),
        events: EVENTS.into_iter().map(|(event, word)| (event, word, chosen(event))).collect(),
        typed,
    };
    scripted(status_of(refusal), &list)
}

fn row(state: &ServerState, webhook: WebhookView) -> Row {
    let now = state.broker.clock().now();
    Row {
        id: webhook.id,
        name: webhook.name,
        url: displayed(&webhook.url, TEXT),
        events: webhook.events.join(", "),
        enabled: webhook.enabled,
        failures: webhook.failures,
        last_error: webhook.last_error.map(|error| displayed(&error, TEXT)),
        told: webhook.told_at.map(|at| Moment::ago(at, now)),
    }
}

pub(super) async fn change(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let uri = request.uri().clone();
    let sent = match Sent::read_repeating(&state, request, &["event"]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    // Who may not look may not be told that a proof is missing.
    if let Err(refusal) = state.broker.list_webhooks(&sent.signed_in.principal).await {
        return refused(&refusal);
    }
    if let Some(response) = kept::until_proven(&state, &sent, &uri).await {
        return response;
    }
    match sent.fields.get("what") {
        Some("add") => add(&state, &sent).await,
        Some(what) => edit(&state, &sent, what).await,
        None => not_the_form(),
    }
}

async fn add(state: &ServerState, sent: &Sent) -> Response<Body> {
    if let Some(response) = once::sent_before(state, sent, WEBHOOKS).await {
        return response;
    }
    let text = |name: &str| sent.fields.get(name).unwrap_or_default().trim().to_owned();
    let events: Vec<String> = sent.fields.all("event").map(str::to_owned).collect();
    let otlp = sent.fields.get("otlp").is_some();
    let typed = Typed { name: text("name"), url: text("url"), events: events.clone(), otlp };
    let format = if otlp { WebhookFormat::Otlp } else { WebhookFormat::Json };
    let new = NewWebhook { name: typed.name.clone(), url: typed.url.clone(), events, format };
    let who = (&sent.signed_in, sent.form_token.as_str());
    match state.broker.create_webhook(&sent.signed_in.principal, new).await {
        Ok(made) => render(state, who, (&Typed::default(), None), Some(&made)).await,
        Err(refusal) => {
            let about = (Operation::CreateWebhook, typed.name.as_str());
            match recorded(state, &sent.signed_in, about, refusal).await {
                Ok(refusal) => render(state, who, (&typed, Some(&refusal)), None).await,
                Err(response) => *response,
            }
        }
    }
}

async fn edit(state: &ServerState, sent: &Sent, what: &str) -> Response<Body> {
    let Some(id) = sent.fields.get("id").and_then(|id| id.parse::<WebhookId>().ok()) else {
        return no_page();
    };
    let principal = &sent.signed_in.principal;
    let enabled = |on| WebhookEdit { name: None, url: None, events: None, enabled: Some(on) };
    let (operation, outcome) = match what {
        "on" => (
            Operation::UpdateWebhook,
            state.broker.update_webhook(principal, id, None, enabled(true)).await.map(drop),
        ),
        "off" => (
            Operation::UpdateWebhook,
            state.broker.update_webhook(principal, id, None, enabled(false)).await.map(drop),
        ),
        "delete" => (Operation::DeleteWebhook, state.broker.delete_webhook(principal, id).await),
        _ => return not_the_form(),
    };
    let Err(refusal) = outcome else { return browser::see_other(WEBHOOKS) };
    match recorded(state, &sent.signed_in, (operation, &id.to_string()), refusal).await {
        Ok(refusal) => refused(&refusal),
        Err(response) => *response,
    }
}
