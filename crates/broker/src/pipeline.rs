//! The way of one call, top to bottom. Read `docs/ARCHITECTURE.md` beside it: the steps have the same numbers.

mod forward;
mod guarded;
mod rounds;
mod tasks;

use std::sync::Arc;

use serde_json::{Value, json, value::RawValue};
use sha2::{Digest as _, Sha256};
use switchboard_domain::{
    AuditOutcome, AuditPhase, AuditRecord, CallError, CallId, Caller, CapabilityKind, CapabilityName,
    CapabilityState, CredentialOwner, ErrorCode, SecretValue, Timestamp,
};
use switchboard_mcp::{ErrorObject, param_values};
use switchboard_policy::{Arguments, Decision, Permit, Purpose};

use crate::{
    Broker, CallContext, CallFailure, Execute, Executed, Via,
    approvals::{Asked, HeldCall},
    arguments::CompiledTool,
    audit,
    connection_catalog::Capability,
    refused_call::{denied, not_yet_usable},
    snapshot::{Known, Snapshot},
    suggestions,
    surface::Surface,
    text,
    upstream::call_members,
};

/// Longest name and intent that are read, in bytes.
const MAX_NAME: usize = 1100;
const MAX_INTENT: usize = 2000;

/// What one call carries from step to step.
struct Call<'c> {
    action: &'static str,
    /// What the upstream answered instead of a result.
    upstream_error: Option<ErrorObject>,
    id: CallId,
    started: Timestamp,
    clock_start: tokio::time::Instant,
    context: &'c CallContext,
    record: AuditRecord,
    /// The arguments as they came, where the organization keeps them on record.
    arguments: Option<String>,
    /// What the call was made with: never on record.
    secrets: Vec<SecretValue>,
}

impl Broker {
    /// Runs one capability as this caller. Step 1 (authentication) and 2 (context) were the surface's.
    pub async fn execute(
        &self,
        context: &CallContext,
        request: &Execute<'_>,
    ) -> Result<Executed, CallFailure> {
        let _under_way = self.audit().call();
        let mut call = self.begin(context, request);
        let outcome = self.run(&mut call, request).await;
        metrics::counter!("switchboard_calls_total", "outcome" => outcome_label(&outcome)).increment(1);
        outcome.map_err(|error| CallFailure {
            error,
            reference: Some(call.id),
            upstream: call.upstream_error.take().map(Box::new),
        })
    }

    fn begin<'c>(&self, context: &'c CallContext, request: &Execute<'_>) -> Call<'c> {
        let started = self.clock().now();
        let id = CallId::new(self.clock(), self.random());
        let arguments = request.arguments.map_or("{}", RawValue::get);
        let record = AuditRecord {
            call_id: Some(id.to_string()),
            actor: Some(actor_of(context)),
            client: context
                .client
                .as_ref()
                .map(|client| format!("{} {}", client.name, client.version).trim_end().to_owned()),
            resource: Some(context.resource.path()),
            target: Some(text::one_line(&request.name, 200)),
            intent: request.intent.as_deref().map(|intent| text::one_line(intent, MAX_INTENT)),
            request_bytes: Some(arguments.len() as u64),
            arguments_digest: Some(hex::encode(Sha256::digest(arguments.as_bytes()))),
            ..AuditRecord::default()
        };
        Call {
            action: request.via.action(),
            upstream_error: None,
            id,
            started,
            clock_start: tokio::time::Instant::now(),
            context,
            record,
            arguments: None,
            secrets: Vec::new(),
        }
    }

    async fn run(&self, call: &mut Call<'_>, request: &Execute<'_>) -> Result<Executed, CallError> {
        let Some(snapshot) = self.snapshot(call.context.principal.organization) else {
            return Err(text::unavailable());
        };
        call.arguments = audit::keeps_arguments(&snapshot.organization.settings)
            .then(|| request.arguments.map_or("{}", RawValue::get).to_owned());
        let prepared = match self.prepare(call, &snapshot, request).await {
            Ok(prepared) => prepared,
            Err(error) => {
                self.refused(call, &error).await;
                return Err(error);
            }
        };
        // 6. on record before anything happens
        self.started(call).await?;
        // 7. and 8., then 9.
        let outcome = self.upstream(call, &prepared, request).await;
        let outcome = self.guarded_result(call, &snapshot, &prepared, request, outcome).await;
        self.completed(call, &outcome).await;
        outcome
    }

    /// Steps 3 to 5: scope, resolve, decide. Whatever is refused here was never started.
    async fn prepare<'s>(
        &self,
        call: &mut Call<'_>,
        snapshot: &'s Snapshot,
        request: &Execute<'_>,
    ) -> Result<Prepared<'s>, CallError> {
        self.call_limits().check(&call.context.principal)?;
        // 3. what this endpoint shows
        let surface = Surface::of(snapshot, call.context);
        // 4. the capability and its definition
        let unknown = || suggestions::unknown_capability(snapshot, call.context, &surface, &request.name);
        if request.name.len() > MAX_NAME || !surface.exists() {
            return Err(unknown());
        }
        let mut name: CapabilityName = request.name.parse().map_err(|_| unknown())?;
        let member = call.context.principal.member();
        let known = snapshot.named(name.personal, &name.slug, member).ok_or_else(unknown)?;
        call.record.connection = Some(known.connection.id.to_string());
        if request.via.kind() == CapabilityKind::Resource
            && let Some(listed) = known.catalog.listed_as(&name.name)
        {
            name.name = listed.into();
        }
        let capability = resolve(known, &name, request).ok_or_else(|| {
            // A connection that is older than its pins of prompts.
            if request.via.kind() == CapabilityKind::Prompt && known.catalog.prompts.is_empty() {
                self.refresh_soon(known.connection.organization, known.connection.id);
            }
            if is_visible(call.context, &surface, known) {
                not_yet_usable(self, known, call.context).unwrap_or_else(unknown)
            } else {
                unknown()
            }
        })?;
        // 5. decide
        let on = surface.on(known, call.context);
        let arguments = read_arguments(request.arguments)?;
        let decision = match request.via {
            Via::Task(task) => {
                on.execute(&name.name, &capability, Arguments::Unknown, Purpose::GoOn(&task.underway))
            }
            _ => on.execute(&name.name, &capability, Arguments::Given(&arguments), Purpose::Execute),
        };
        if let Decision::Deny(reason) = decision {
            call.record.decision = Some(format!("deny:{}", reason.as_str()));
            return Err(match reason.error_code() {
                ErrorCode::UnknownCapability => unknown(),
                _ => denied(self, reason, &name, known),
            });
        }
        let (param_headers, is_task_only) = match request.via {
            Via::Tool => {
                let tool = self.compiled(known, &name.name, &capability).await?;
                let bytes = request.arguments.map_or(2, |raw| raw.get().len());
                tool.validate(&arguments, bytes, self.upstreams().limits.max_validation_steps)?;
                (param_values(&tool.param_headers, &arguments), tool.is_task_only)
            }
            _ => (Vec::new(), false),
        };
        let again = self.opened_again(call.context, known, &name, request).await?;
        self.call_limits().check_connection(known.connection.id)?;
        // Given back unless the call happens.
        let spent = self.spend_quotas(snapshot, &call.context.principal, known).await.inspect_err(|_| {
            call.record.decision = Some("deny:quota".into());
        })?;
        self.guarded_call(call, snapshot, (known, &name), request).await?;
        let permit = match decision {
            Decision::Allow(permit) => permit,
            Decision::Deny(_) => return Err(unknown()),
            // Its arguments are those that were approved: the state is sealed with them.
            Decision::RequireApproval { .. } if again.underway.is_some() => {
                let purpose = again.underway.as_ref().map_or(Purpose::Execute, Purpose::GoOn);
                self.use_up_state(call.context, request.again.request_state.unwrap_or_default()).await?;
                match on.execute(&name.name, &capability, Arguments::Given(&arguments), purpose) {
                    Decision::Allow(permit) => permit,
                    Decision::RequireApproval { .. } | Decision::Deny(_) => return Err(unknown()),
                }
            }
            Decision::RequireApproval { requirement, trace } => {
                call.record.decision = Some("require_approval".into());
                call.record.rule = trace.source.map(|source| source.to_string());
                let held = HeldCall {
                    context: call.context,
                    known,
                    name: &name,
                    capability: &capability,
                    requirement: &requirement,
                    trace,
                    arguments: &arguments,
                    asked: Asked {
                        arguments: request.arguments.map_or("{}", RawValue::get).to_owned(),
                        intent: request.intent.as_deref().map(|it| it.chars().take(MAX_INTENT).collect()),
                    },
                    record: &call.record,
                };
                let permit = self.permit_approved(&held, request.approval_id.as_deref(), &on).await;
                call.record.approval = match &permit {
                    Ok(permit) => permit.approval().map(|id| id.to_string()),
                    Err(error) => approval_in(error),
                };
                permit?
            }
        };
        call.record.decision = Some("allow".into());
        call.record.approval = permit.approval().map(|id| id.to_string());
        call.record.rule = permit.trace().source.map(|source| source.to_string());
        call.record.credential = Some(match permit.credential() {
            CredentialOwner::Shared => "shared".into(),
            CredentialOwner::Member(id) => id.to_string(),
        });
        spent.keep();
        let members = members_of(request, &name.name);
        let again = again.members;
        Ok(Prepared { permit, known, members, again, param_headers, is_task_only, name })
    }

    /// The definition ready for use; read from the database the first time.
    pub(crate) async fn compiled(
        &self,
        known: &Known,
        name: &str,
        capability: &Capability,
    ) -> Result<Arc<CompiledTool>, CallError> {
        if let Some(tool) = self.compiled_tools().get(&capability.fingerprint) {
            return Ok(tool);
        }
        let connection = &*known.connection;
        let found = async {
            let mut tx = self.db().single().await?;
            tx.capabilities().definition(connection.organization, connection.id, capability.kind, name).await
        };
        let definition = found.await.map_err(|error| {
            tracing::error!(%error, "a definition can't be read");
            text::unavailable()
        })?;
        let raw = definition.and_then(|definition| definition.approved).ok_or_else(text::unavailable)?;
        let value: Value = serde_json::from_str(&raw).map_err(|_| text::unavailable())?;
        let tool = Arc::new(CompiledTool::new(&value));
        self.compiled_tools().insert(capability.fingerprint, Arc::clone(&tool));
        Ok(tool)
    }

    async fn started(&self, call: &Call<'_>) -> Result<(), CallError> {
        let event = audit::event(
            call.context.principal.organization,
            call.started,
            AuditPhase::Started,
            call.action,
            call.record.clone(),
        );
        self.audit().write(event).await.map_err(|_| text::unavailable())
    }

    /// 9. how it ended. Nothing waits for this entry: the start is on record already.
    async fn completed(&self, call: &mut Call<'_>, outcome: &Result<Executed, CallError>) {
        let (word, code) = match outcome {
            Ok(done) if done.is_error => (AuditOutcome::ToolError, None),
            Ok(_) => (AuditOutcome::Ok, None),
            Err(error) => (AuditOutcome::Failed, Some(error.code)),
        };
        self.end(call, word, code).await;
    }

    async fn refused(&self, call: &mut Call<'_>, error: &CallError) {
        let outcome = match error.code {
            ErrorCode::ApprovalRequired => AuditOutcome::Held,
            _ => AuditOutcome::Refused,
        };
        self.end(call, outcome, Some(error.code)).await;
    }

    async fn end(&self, call: &mut Call<'_>, outcome: AuditOutcome, code: Option<ErrorCode>) {
        let elapsed = call.clock_start.elapsed();
        let mut record = std::mem::take(&mut call.record);
        record.outcome = Some(outcome);
        record.arguments = call.arguments.take().map(|sent| audit::kept_arguments(&sent, &call.secrets));
        record.code = code.map(|code| code.as_str().to_owned());
        record.duration_ms = Some(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        metrics::histogram!("switchboard_call_duration_seconds").record(elapsed.as_secs_f64());
        let at = call.started.plus(elapsed);
        let organization = call.context.principal.organization;
        self.count_call(organization, call.context.principal.caller, (at, outcome), &record);
        let event = audit::event(organization, at, AuditPhase::Completed, call.action, record);
        self.audit().queue(event).await;
    }
}

/// A call that may happen.
pub(crate) struct Prepared<'s> {
    pub(crate) permit: Permit,
    pub(crate) known: &'s Known,
    members: String,
    /// Answers and state of an earlier try, as members; empty without.
    again: String,
    param_headers: Vec<(String, String)>,
    /// A tool that works as a task only, by the words of the older generation.
    is_task_only: bool,
    pub(crate) name: CapabilityName,
}

/// The capability that a name means. A resource need not be in any list: its connection's rules decide about it.
fn resolve(known: &Known, name: &CapabilityName, request: &Execute<'_>) -> Option<Capability> {
    match request.via.kind() {
        CapabilityKind::Tool => {
            let found = known.catalog.capabilities.get(&name.name)?;
            Some(Capability { state: pin_of(found, request.schema_digest.as_deref()), ..found.clone() })
        }
        CapabilityKind::Prompt => known.catalog.prompts.get(&name.name).cloned(),
        CapabilityKind::Resource => {
            let found = known.catalog.of_uri(&name.name).cloned();
            Some(found.unwrap_or_else(|| Capability::unlisted(CapabilityKind::Resource)))
        }
    }
}

/// Members of `params` as the upstream gets them.
fn members_of(request: &Execute<'_>, name: &str) -> String {
    let quoted = Value::from(name);
    match request.via {
        Via::Tool => call_members(name, request.arguments),
        Via::Prompt => match request.arguments {
            Some(arguments) => format!("\"name\":{quoted},\"arguments\":{}", arguments.get()),
            None => format!("\"name\":{quoted}"),
        },
        Via::Resource | Via::Subscribe | Via::Unsubscribe => format!("\"uri\":{quoted}"),
        Via::Complete { kind: CapabilityKind::Prompt, members } => {
            format!("\"ref\":{{\"type\":\"ref/prompt\",\"name\":{quoted}}}{members}")
        }
        Via::Task(task) => task.members(),
        Via::Complete { members, .. } => {
            format!("\"ref\":{{\"type\":\"ref/resource\",\"uri\":{quoted}}}{members}")
        }
    }
}

/// A digest that the caller was given for another definition counts as a change.
fn pin_of(capability: &Capability, digest: Option<&str>) -> CapabilityState {
    let expected = digest.is_none_or(|digest| digest == capability.fingerprint.short());
    if capability.state == CapabilityState::Approved && !expected {
        CapabilityState::Held
    } else {
        capability.state
    }
}

/// The approval that an error is about.
fn approval_in(error: &CallError) -> Option<String> {
    Some(error.details.as_ref()?["approval_id"].as_str()?.to_owned())
}

fn read_arguments(arguments: Option<&RawValue>) -> Result<Value, CallError> {
    let raw = arguments.map_or("{}", RawValue::get);
    match serde_json::from_str(raw) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(CallError::new(
            ErrorCode::InvalidArguments,
            "`arguments` must be an object, such as {\"title\": \"…\"}, not a text with JSON in it.",
        )),
        Err(error) => {
            Err(CallError::new(ErrorCode::InvalidArguments, format!("`arguments` can't be read: {error}.")))
        }
    }
}

/// Whether this caller may know that the connection exists.
pub(crate) fn is_visible(context: &CallContext, surface: &Surface<'_>, known: &Known) -> bool {
    surface.may_include(known)
        && !surface.on(known, context).closed().is_some_and(|reason| reason.hides_connection())
}

pub(crate) fn actor_of(context: &CallContext) -> Value {
    let kind = match context.principal.caller {
        Caller::Member(_) => "member",
        Caller::ServiceAccount(_) => "service_account",
    };
    json!({
        "type": kind,
        "id": context.principal.caller.to_string(),
        "token": context.principal.proof.token().map(|token| token.to_string()),
    })
}

fn outcome_label(outcome: &Result<Executed, CallError>) -> &'static str {
    match outcome {
        Ok(done) if done.is_error => "tool_error",
        Ok(_) => "ok",
        Err(error) => error.code.as_str(),
    }
}
