//! A connection's tools: what is there and what the rules say of it, and a run by hand.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use switchboard_catalog::{Definition, DefinitionLimits};
use switchboard_domain::{
    CallError, CapabilityKind, CapabilityState, ClientInfo, ConnectionId, ErrorCode, Principal, Resource,
    Scope,
};
use switchboard_mcp::{Era, check};
use switchboard_policy::{Arguments, CapabilityFacts, ConnectionPolicy, Listed};
use switchboard_storage as storage;

use super::{Operation, Page, PageRequest, Refusal, Target, authorize};
use crate::{Broker, CallContext, CallFailure, Execute, Executed, Known, Narrowing};

/// Deepest nesting of arguments, as of an AI client's message.
const MAX_DEPTH: usize = 64;

/// What a reviewer should look at, and where (a JSON Pointer).
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Finding)]
pub struct FindingView {
    pub flag: &'static str,
    pub pointer: String,
}

/// A tool of a connection.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Tool)]
pub struct ToolView {
    /// As agents call it: `<connection>.<name>`.
    pub capability: String,
    /// The upstream's own name.
    pub name: String,
    pub title: Option<String>,
    pub description: String,
    pub signature: String,
    #[schema(value_type = Option<Object>)]
    pub input_schema: Option<Value>,
    #[schema(value_type = Option<Object>)]
    pub output_schema: Option<Value>,
    pub schema_digest: String,
    pub read_only_hint: Option<bool>,
    pub destructive_hint: Option<bool>,
    /// `approved`, `held` or `rejected`.
    #[schema(value_type = String)]
    pub state: CapabilityState,
    /// What would happen to a call of yours: `allow`, `require_approval` or `deny`.
    pub decision: &'static str,
    /// Why it would be denied.
    pub reason: Option<&'static str>,
    /// Advisory: text in the definition that hides, misleads or commands.
    pub findings: Vec<FindingView>,
}

/// A run by hand.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// Arguments of the tool; none without.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub arguments: Option<Box<RawValue>>,
    #[serde(default)]
    pub intent: Option<String>,
    #[serde(default)]
    pub schema_digest: Option<String>,
    /// An approval of exactly this call, when a person let it through.
    #[serde(default)]
    pub approval_id: Option<String>,
}

/// Why a run by hand did not happen: ours, or the call's.
#[derive(Debug)]
pub enum RunError {
    Refused(Refusal),
    Failed(CallFailure),
}

impl From<Refusal> for RunError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A person at the API or the console, towards the policy: on `/mcp`, through no AI client. The record says which of
/// the two it was.
pub(crate) fn by_hand(principal: Principal, request_id: Arc<str>) -> CallContext {
    let name = if principal.proof.session().is_some() { "console" } else { "rest" };
    CallContext {
        principal,
        resource: Resource::Default,
        request_id,
        client: Some(ClientInfo { name: name.into(), version: env!("CARGO_PKG_VERSION").into() }),
        narrowing: Narrowing::default(),
        patience: None,
        era: Era::Modern,
        challenge_organization: None,
    }
}

/// For saying what the rules say: as if the token had the scopes of calls. Nothing is run with it.
pub(crate) fn hypothetical(principal: &Principal) -> CallContext {
    let scopes = [Scope::McpRead, Scope::McpWrite].into_iter().collect();
    by_hand(Principal { scopes, ..principal.clone() }, Arc::default())
}

impl Broker {
    pub async fn list_tools(
        &self,
        principal: &Principal,
        id: ConnectionId,
        page: &PageRequest,
    ) -> Result<Page<ToolView>, Refusal> {
        let known = self.known_connection(principal.organization, id).await?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let _allowed = authorize(principal, Operation::ListTools, target)?;
        let manages = authorize(principal, Operation::ReadReview, target).is_ok();
        let mut tx = self.db().single().await?;
        let rows = tx.capabilities().definitions(principal.organization, id).await?;
        drop(tx);
        let snapshot = self.organization_snapshot(principal.organization)?;
        let context = hypothetical(principal);
        let policies = snapshot.policies(&context, None);
        let on = policies.on_connection(context.requester(), known.facts(&context));
        let tools = rows.into_iter().filter(|(kind, ..)| *kind == CapabilityKind::Tool);
        let shown = tools.filter_map(|(_, name, row)| seen(&known, &on, &name, &row, manages));
        let shown = shown.collect();
        page.cut(shown, |tool| tool.name.clone())
    }

    /// Runs a tool as the caller, through the same steps as every call: the token needs `mcp:write` beside `api`.
    pub async fn call_tool(
        &self,
        principal: &Principal,
        id: ConnectionId,
        name: &str,
        call: ToolCall,
        request_id: Arc<str>,
    ) -> Result<Executed, RunError> {
        let known = self.known_connection(principal.organization, id).await?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let _allowed = authorize(principal, Operation::CallTool, target)?;
        check_strictly(call.arguments.as_deref()).map_err(RunError::Failed)?;
        let context = by_hand(principal.clone(), request_id);
        let capability = format!("{}.{name}", known.connection.name_prefix());
        let request = Execute {
            name: capability.into(),
            arguments: call.arguments.as_deref(),
            schema_digest: call.schema_digest,
            intent: call.intent,
            approval_id: call.approval_id,
            via: crate::Via::Tool,
            side: None,
            again: crate::Again::default(),
        };
        self.execute(&context, &request).await.map_err(RunError::Failed)
    }
}

/// As the bodies of AI clients are read: of a member that stands twice, rules and servers may each take another one.
fn check_strictly(arguments: Option<&RawValue>) -> Result<(), CallFailure> {
    let Some(arguments) = arguments else { return Ok(()) };
    check(arguments.get().as_bytes(), MAX_DEPTH).map_err(|error| {
        let message = format!("`arguments` can't be read: {error}.");
        CallFailure::unrecorded(CallError::new(ErrorCode::InvalidArguments, message))
    })
}

/// A tool as the rules show it to this caller; `None` where search would not show it either, but to whoever manages the
/// connection.
pub(super) fn seen(
    known: &Known,
    on: &ConnectionPolicy<'_>,
    name: &str,
    row: &storage::Definition,
    manages: bool,
) -> Option<ToolView> {
    let definition = parse(row.approved.as_deref().unwrap_or(&row.listed), known)?;
    let listed = on.list(&CapabilityFacts {
        name,
        kind: CapabilityKind::Tool,
        admitted: known.connection.tools.admits(name),
        offered: true,
        state: row.state,
        read_only_hint: definition.read_only_hint(),
        destructive_hint: definition.destructive_hint(),
        arguments: Arguments::Unknown,
    });
    let (decision, reason) = match listed {
        Listed::Shown(trace) => (trace.action.as_str(), None),
        // Members see what search shows them.
        Listed::Hidden(_) if !manages => return None,
        Listed::Hidden(reason) => ("deny", Some(reason.as_str())),
    };
    Some(tool_view(known, &definition, row, decision, reason))
}

fn parse(raw: &str, known: &Known) -> Option<Definition> {
    parse_as(CapabilityKind::Tool, raw, known)
}

pub(super) fn parse_as(kind: CapabilityKind, raw: &str, known: &Known) -> Option<Definition> {
    let instructions = known.connection.instructions.as_deref();
    Definition::parse_as(kind, raw, instructions, &DefinitionLimits::default()).ok()
}

fn tool_view(
    known: &Known,
    definition: &Definition,
    row: &storage::Definition,
    decision: &'static str,
    reason: Option<&'static str>,
) -> ToolView {
    ToolView {
        capability: format!("{}.{}", known.connection.name_prefix(), definition.name()),
        name: definition.name().to_owned(),
        title: definition.title().map(str::to_owned),
        description: definition.description().to_owned(),
        signature: definition.signature().to_string(),
        input_schema: definition.input_schema().cloned(),
        output_schema: definition.output_schema().cloned(),
        schema_digest: row.approved_fingerprint.unwrap_or(row.fingerprint).short(),
        read_only_hint: definition.read_only_hint(),
        destructive_hint: definition.destructive_hint(),
        state: row.state,
        decision,
        reason,
        findings: findings(definition),
    }
}

pub(super) fn findings(definition: &Definition) -> Vec<FindingView> {
    let view = |finding: switchboard_catalog::Finding| FindingView {
        flag: finding.flag.as_str(),
        pointer: finding.pointer,
    };
    definition.findings().into_iter().map(view).collect()
}
