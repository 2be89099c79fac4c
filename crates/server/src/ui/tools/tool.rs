//! `/tools/tool?name=…`: one tool with all that it says of itself, quoted, and a form that runs it.

use std::sync::Arc;

use askama::Template;
use axum::{
    body::Body,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use switchboard_broker::{
    SignedIn,
    manage::{ConnectionView, ExplainRequest, Refusal, RefusalKind, RunError, ToolCall, ToolDetail},
};
use switchboard_catalog::{displayed, revealed};
use switchboard_domain::{AuthType, CapabilityState, CredentialMode, Principal};
use switchboard_policy::Explanation;

use super::{
    PATH,
    form::{self, Field},
    list::badges,
    outcome::{self, Outcome},
};
use crate::{
    RequestId, ServerState, browser,
    ui::{
        account::{Sent, person},
        connections::words::State as Shown,
        leads_on,
        navigation::Navigation,
        once, scripted,
        sign_in::{encoded, not_the_form},
        unavailable,
    },
};

const NAME_CHARS: usize = 300;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    name: String,
}

#[derive(Template)]
#[template(path = "tool.html")]
struct Tool {
    navigation: Navigation,
    capability: String,
    shown: String,
    title: Option<String>,
    connection: ConnectionView,
    state: Shown,
    account: String,
    fate: Option<&'static str>,
    badges: Vec<(&'static str, &'static str)>,
    is_destructive: bool,
    description: String,
    fields: Option<Vec<Field>>,
    input_schema: Option<String>,
    output_schema: Option<String>,
    annotations: Option<String>,
    schema_digest: String,
    /// The whole of the arguments as JSON, where they are written so.
    raw: String,
    raw_problem: Option<String>,
    is_raw: bool,
    intent: String,
    outcome: Option<Outcome>,
    agent_call: String,
    curl: String,
    /// Where a rule about it is written: for everybody, or for oneself.
    rule_address: String,
    is_admin: bool,
}

/// What was sent with the form, as it is shown again.
#[derive(Default)]
struct Run {
    arguments: Option<String>,
    fields: Option<Vec<Field>>,
    raw_problem: Option<String>,
    is_raw: bool,
    intent: String,
    outcome: Option<Outcome>,
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
    let name = asked.map(|Query(asked)| asked.name).unwrap_or_default();
    match state.broker.read_tool(&signed_in.principal, &name).await {
        Ok(detail) => {
            let form_token = browser::form_token(&state, &headers);
            render(&state, &signed_in, &form_token, detail, Run::default()).await
        }
        Err(refusal) => refused(&state, &signed_in.principal, (&name, &refusal)).await,
    }
}

pub(super) async fn run(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let request_id = request.extensions().get::<RequestId>().map(|id| Arc::clone(&id.0)).unwrap_or_default();
    let sent = match Sent::read(&state, request).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let Some(name) = sent.fields.get("name") else { return not_the_form() };
    let mut detail = match state.broker.read_tool(&sent.signed_in.principal, name).await {
        Ok(detail) => detail,
        Err(refusal) => return refused(&state, &sent.signed_in.principal, (name, &refusal)).await,
    };
    let mut run = read(&sent, &detail);
    if let Some(arguments) = run.arguments.clone() {
        if let Some(response) = once::sent_before(&state, &sent, &address(name)).await {
            return response;
        }
        match call(&state, &sent, &detail, arguments, request_id).await {
            Ok(outcome) => run.outcome = Some(outcome),
            Err(response) => return *response,
        }
        // The call may have found out that the server is not there.
        if let Ok(now) = state.broker.read_tool(&sent.signed_in.principal, name).await {
            detail = now;
        }
    }
    render(&state, &sent.signed_in, &sent.form_token, detail, run).await
}

/// The arguments of the form, from its fields or from the JSON text.
fn read(sent: &Sent, detail: &ToolDetail) -> Run {
    let mut fields = form::fields(detail.tool.input_schema.as_ref());
    let intent = sent.fields.get("intent").unwrap_or_default().trim().to_owned();
    let given = sent.fields.get("raw").filter(|_| sent.fields.get("how") != Some("fields"));
    let (arguments, raw_problem) = match (given, &mut fields) {
        (None, Some(fields)) => {
            form::fill(fields, &sent.fields);
            (form::arguments(fields), None)
        }
        (raw, _) => {
            let raw = raw.unwrap_or_default();
            let problem = serde_json::from_str::<&RawValue>(raw).err();
            (Some(raw.to_owned()), problem.map(|error| format!("This is not JSON: {error}.")))
        }
    };
    let is_raw = given.is_some();
    let arguments = arguments.filter(|_| raw_problem.is_none());
    Run { arguments, fields, raw_problem, is_raw, intent, outcome: None }
}

async fn call(
    state: &ServerState,
    sent: &Sent,
    detail: &ToolDetail,
    arguments: String,
    request_id: Arc<str>,
) -> Result<Outcome, Box<Response<Body>>> {
    let text =
        |name: &str| sent.fields.get(name).map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned);
    let wanted = ToolCall {
        arguments: RawValue::from_string(arguments).ok(),
        intent: text("intent"),
        schema_digest: text("schema_digest"),
        approval_id: text("approval_id"),
    };
    let principal = &sent.signed_in.principal;
    let (id, name) = (detail.connection.id, &detail.tool.name);
    match state.broker.call_tool(principal, id, name, wanted, Arc::clone(&request_id)).await {
        Ok(done) => Ok(Outcome::done(&done)),
        Err(RunError::Failed(failure)) => Ok(Outcome::failed(&failure, state.config.origin(), &request_id)),
        Err(RunError::Refused(refusal)) => {
            Err(Box::new(refused(state, principal, (&detail.tool.capability, &refusal)).await))
        }
    }
}

async fn render(
    state: &ServerState,
    signed_in: &SignedIn,
    form_token: &str,
    detail: ToolDetail,
    run: Run,
) -> Response<Body> {
    let ToolDetail { tool, connection, annotations } = detail;
    let fields = run.fields.or_else(|| form::fields(tool.input_schema.as_ref()));
    let status = if run.outcome.is_none() && (run.raw_problem.is_some() || has_problem(fields.as_deref())) {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let arguments = run.arguments.unwrap_or_else(|| form::skeleton(fields.as_deref()));
    let is_destructive = tool.destructive_hint == Some(true);
    let is_admin = signed_in.principal.role.is_admin();
    let shown = |given: &Value| outcome::json(&given.to_string());
    let page = Tool {
        navigation: Navigation::new(state, signed_in, form_token, &format!("{PATH}/tool")).await,
        shown: displayed(&tool.capability, NAME_CHARS),
        title: tool.title.as_deref().map(|title| displayed(title, NAME_CHARS)),
        state: Shown::of(&connection),
        account: account(&connection),
        fate: fate(tool.state, tool.decision),
        badges: badges(
            tool.read_only_hint == Some(true),
            is_destructive,
            tool.decision == "require_approval",
        ),
        is_destructive,
        description: revealed(&tool.description),
        input_schema: tool.input_schema.as_ref().map(shown),
        output_schema: tool.output_schema.as_ref().map(shown),
        annotations: annotations.as_ref().map(shown),
        is_raw: run.is_raw || fields.is_none(),
        fields,
        raw_problem: run.raw_problem,
        intent: run.intent,
        outcome: run.outcome,
        agent_call: agent_call(&tool.capability, &arguments),
        curl: curl(state.config.origin(), &connection, &tool.name, &arguments),
        rule_address: format!(
            "/policies/{}rule?pattern={}",
            if is_admin { "" } else { "mine/" },
            encoded(&tool.capability)
        ),
        is_admin,
        raw: arguments,
        schema_digest: tool.schema_digest,
        capability: tool.capability,
        connection,
    };
    scripted(status, &page)
}

fn has_problem(fields: Option<&[Field]>) -> bool {
    fields.into_iter().flatten().any(|field| field.problem.is_some())
}

/// As whom a call goes out.
fn account(connection: &ConnectionView) -> String {
    let name = &connection.name;
    match (connection.auth_type, connection.credential_mode) {
        (AuthType::None, _) => "No account: this server asks for none".to_owned(),
        (AuthType::UserOidc, _) => "Your own sign-in with your organization".to_owned(),
        (_, CredentialMode::Shared) => format!("The account at {name} that your organization shares"),
        (_, CredentialMode::PerMember) if connection.has_credential => format!("Your own account at {name}"),
        (_, CredentialMode::PerMember) => format!("Your own account at {name}, which is not connected yet"),
    }
}

/// What happens to a call before it runs; nothing where it just runs.
fn fate(state: CapabilityState, decision: &str) -> Option<&'static str> {
    match (state, decision) {
        (CapabilityState::Held, _) => {
            Some("It is new or changed and waits for review: nobody can call it yet.")
        }
        (CapabilityState::Rejected, _) => Some("It was rejected in review: nobody can call it."),
        (_, "deny") => Some("The rules refuse your call, or the tool is off."),
        (_, "require_approval") => Some("A person has to approve each call."),
        _ => None,
    }
}

/// Arguments go on as they were written: nothing is left out, and no digit of a number changes.
fn agent_call(capability: &str, arguments: &str) -> String {
    let name = Value::from(capability);
    let arguments = arguments.replace('\n', "\n  ");
    format!("{{\n  \"name\": {name},\n  \"arguments\": {arguments}\n}}")
}

fn curl(origin: &str, connection: &ConnectionView, name: &str, arguments: &str) -> String {
    let name = encoded(name).replace('+', "%20");
    // The shell takes everything between single quotes as it is.
    let body = format!("{{\"arguments\":{arguments}}}").replace('\'', "'\\''");
    let path = format!("{origin}/api/v1/connections/{}/tools/{name}/call", connection.id);
    format!(
        "curl -X POST '{path}' \\\n  -H \"Authorization: Bearer $SWITCHBOARD_TOKEN\" \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'"
    )
}

fn address(name: &str) -> String {
    format!("{PATH}/tool?name={}", encoded(name))
}

/// Why there is nothing to show of a tool. What a person may ask the rules about, they are told here.
async fn refused(
    state: &ServerState,
    principal: &Principal,
    (name, refusal): (&str, &Refusal),
) -> Response<Body> {
    if refusal.kind == RefusalKind::Unavailable {
        return unavailable();
    }
    let asked = ExplainRequest { capability: name.to_owned(), member: None, toolkit: None, arguments: None };
    let explained = state.broker.explain_policies(principal, &asked).await.ok();
    if let Some(explained) = explained.filter(|explained| explained.reason == Some("blocked")) {
        let text = format!("{}. {}", explained.sentence, who_may_change(&explained));
        let why = format!("/policies/explain?capability={}", encoded(name));
        return leads_on(StatusCode::NOT_FOUND, "A rule blocks this tool", &text, (&why, "Why is it so?"));
    }
    let text = "There is no such tool, or it is not for you. It may have a new name, be off, be blocked by a rule, or belong \
                to a connection that is not granted to you. An admin of your organization can tell.";
    leads_on(StatusCode::NOT_FOUND, "No such tool", text, (PATH, "All your tools"))
}

fn who_may_change(explained: &Explanation) -> &'static str {
    match explained.matches.iter().find(|found| found.decides).map(|found| found.layer) {
        Some("member") => "The rule is your own: you can change it.",
        _ => "An admin of your organization can change that.",
    }
}
