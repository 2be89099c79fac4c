//! Tools as a person looks for them: the very answer that an agent of theirs gets (`search_capabilities`), and one tool
//! with all that is known of it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use switchboard_catalog::{MatchReason, match_reasons};
use switchboard_domain::{Action, CapabilityKind, CapabilityName, Principal};

use super::{
    ConnectionView, Operation, Refusal, Target, ToolView, authorize,
    tool::{by_hand, hypothetical, seen},
};
use crate::{Broker, CallFailure, Detail, Search};

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub struct ToolQuery {
    pub text: String,
    /// Slug of the only connection, `~` before a personal one.
    pub connection: Option<String>,
    pub cursor: Option<String>,
    pub limit: u32,
}

/// What is found, in the order in which an agent gets it.
#[derive(Debug)]
pub struct FoundTools {
    pub tools: Vec<FoundTool>,
    /// Connections that can't be used now and may have what was looked for.
    pub waiting: Vec<WaitingConnection>,
    pub total: usize,
    pub next_cursor: Option<String>,
    pub hint: Option<String>,
}

#[derive(Debug)]
pub struct FoundTool {
    /// As agents call it.
    pub capability: String,
    pub connection: String,
    pub title: Option<String>,
    pub description: String,
    /// Untrusted: the upstream's own word.
    pub read_only_hint: bool,
    pub destructive_hint: bool,
    pub needs_approval: bool,
    pub reasons: Vec<MatchReason>,
}

#[derive(Debug)]
pub struct WaitingConnection {
    pub slug: String,
    pub name: String,
    pub message: String,
    pub action: Option<Action>,
}

/// One tool, and the connection that a call goes through.
#[derive(Debug)]
pub struct ToolDetail {
    pub tool: ToolView,
    pub connection: ConnectionView,
    /// What the upstream says that it does, as it says it.
    pub annotations: Option<Value>,
}

/// The answer of a search, as far as it is read here.
#[derive(Deserialize)]
struct Answer {
    matches: Vec<Match>,
    total: usize,
    next_cursor: Option<String>,
    hint: Option<String>,
}

#[derive(Deserialize)]
struct Match {
    /// Of a capability; absent from a connection's status.
    name: Option<String>,
    connection: Label,
    title: Option<String>,
    summary: Option<String>,
    description: Option<String>,
    input_schema: Option<Value>,
    decision: Option<String>,
    read_only_hint: Option<bool>,
    destructive_hint: Option<bool>,
    message: Option<String>,
    action: Option<Action>,
}

#[derive(Deserialize)]
struct Label {
    slug: String,
    name: String,
}

impl Broker {
    /// Answers as `search_capabilities` would, by the same function, and says of each match why it is one.
    pub async fn find_tools(
        &self,
        principal: &Principal,
        query: &ToolQuery,
    ) -> Result<FoundTools, CallFailure> {
        let search = Search {
            query: Some(query.text.clone()),
            limit: Some(query.limit),
            cursor: query.cursor.clone(),
            connection: query.connection.clone(),
            detail: Some(Detail::Schema),
        };
        let found = self.search(&by_hand(principal.clone(), Arc::default()), &search).await?;
        let answer: Answer = serde_json::from_value(found).map_err(|error| {
            tracing::error!(%error, "an answer of ours can't be read");
            CallFailure::unrecorded(crate::text::unavailable())
        })?;
        let (tools, waiting): (Vec<Match>, Vec<Match>) =
            answer.matches.into_iter().partition(|found| found.name.is_some());
        Ok(FoundTools {
            tools: tools.into_iter().map(|found| tool(&query.text, found)).collect(),
            waiting: waiting.into_iter().map(waits).collect(),
            total: answer.total,
            next_cursor: answer.next_cursor,
            hint: answer.hint,
        })
    }

    /// One tool by the name that agents call it by.
    pub async fn read_tool(&self, principal: &Principal, name: &str) -> Result<ToolDetail, Refusal> {
        let name: CapabilityName = name.parse().map_err(|_| Refusal::not_found())?;
        let snapshot = self.organization_snapshot(principal.organization)?;
        let found = snapshot.named(name.personal, &name.slug, principal.member());
        let id = found.ok_or_else(Refusal::not_found)?.connection.id;
        let known = self.known_connection(principal.organization, id).await?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let _allowed = authorize(principal, Operation::ListTools, target)?;
        let manages = authorize(principal, Operation::ReadReview, target).is_ok();
        if !known.catalog.capabilities.contains_key(&name.name) {
            return Err(Refusal::not_found());
        }
        let mut tx = self.db().single().await?;
        let row = tx
            .capabilities()
            .definition(principal.organization, id, CapabilityKind::Tool, &name.name)
            .await?;
        let row = row.ok_or_else(Refusal::not_found)?;
        let context = hypothetical(principal);
        let policies = snapshot.policies(&context, None);
        let on = policies.on_connection(context.requester(), known.facts(&context));
        let tool = seen(&known, &on, &name.name, &row, manages).ok_or_else(Refusal::not_found)?;
        let raw = row.approved.as_deref().unwrap_or(&row.listed);
        let definition: Value = serde_json::from_str(raw).unwrap_or_default();
        let annotations = definition.get("annotations").filter(|given| given.is_object()).cloned();
        Ok(ToolDetail { tool, connection: self.connection_view(&known, principal), annotations })
    }
}

fn tool(query: &str, found: Match) -> FoundTool {
    let parameters = found.input_schema.as_ref().map(parameter_names).unwrap_or_default();
    let capability = found.name.unwrap_or_default();
    let name = capability.split_once('.').map_or("", |(_, name)| name);
    let description = found.description.or(found.summary).unwrap_or_default();
    let connection = format!("{} {}", found.connection.slug, found.connection.name);
    let places = [
        ("its name", name),
        ("its title", found.title.as_deref().unwrap_or_default()),
        ("the name of its connection", connection.as_str()),
        ("its description", description.as_str()),
        ("the names of its parameters", parameters.as_str()),
    ];
    FoundTool {
        reasons: match_reasons(query, &places),
        connection: found.connection.name,
        title: found.title,
        description,
        read_only_hint: found.read_only_hint == Some(true),
        destructive_hint: found.destructive_hint == Some(true),
        needs_approval: found.decision.as_deref() == Some("require_approval"),
        capability,
    }
}

fn parameter_names(schema: &Value) -> String {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(|them| them.keys()).cloned().collect::<Vec<_>>().join(" ")
}

fn waits(found: Match) -> WaitingConnection {
    WaitingConnection {
        slug: found.connection.slug,
        name: found.connection.name,
        message: found.message.unwrap_or_default(),
        action: found.action,
    }
}
