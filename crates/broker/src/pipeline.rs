//! The way of one call, top to bottom. Read `docs/ARCHITECTURE.md` beside it: the steps have the same numbers.

use std::sync::Arc;

use http::HeaderName;
use serde_json::{Value, json, value::RawValue};
use sha2::{Digest as _, Sha256};
use switchboard_domain::{
    Actor, AuditOutcome, AuditPhase, AuditRecord, CallError, CallId, Caller, CapabilityKind, CapabilityName,
    CapabilityState, Connection, ConnectionStatus, CredentialOwner, ErrorCode, Proof, Timestamp,
};
use switchboard_mcp::{RawObject, param_values};
use switchboard_policy::{Decision, Permit, Purpose};

use crate::{
    Broker, CallContext, CallFailure, Execute, Executed,
    approvals::{Asked, HeldCall},
    arguments::CompiledTool,
    audit,
    check::lacking_scopes,
    credentials::{CredentialError, renews},
    redact::{redact, redact_text},
    refused_call::{denied, not_yet_usable},
    snapshot::{Capability, Known, Snapshot},
    suggestions,
    surface::Surface,
    text,
    upstream::{Ask, CallIdentity, UpstreamError, call_members},
};

/// Longest name and intent that are read, in bytes.
const MAX_NAME: usize = 1100;
const MAX_INTENT: usize = 2000;

/// What one call carries from step to step.
struct Call<'c> {
    id: CallId,
    started: Timestamp,
    clock_start: tokio::time::Instant,
    context: &'c CallContext,
    record: AuditRecord,
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
        outcome.map_err(|error| CallFailure { error, reference: Some(call.id) })
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
        Call { id, started, clock_start: tokio::time::Instant::now(), context, record }
    }

    async fn run(&self, call: &mut Call<'_>, request: &Execute<'_>) -> Result<Executed, CallError> {
        let Some(snapshot) = self.snapshot(call.context.principal.organization) else {
            return Err(text::unavailable());
        };
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
        let outcome = self.upstream(call, &prepared).await;
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
        let name: CapabilityName = request.name.parse().map_err(|_| unknown())?;
        let member = call.context.principal.member();
        let known = snapshot.named(name.personal, &name.slug, member).ok_or_else(unknown)?;
        call.record.connection = Some(known.connection.id.to_string());
        let capability = known
            .catalog
            .capabilities
            .get(&name.name)
            .filter(|capability| capability.kind == CapabilityKind::Tool)
            .ok_or_else(|| {
                if is_visible(call.context, &surface, known) {
                    not_yet_usable(self, known, call.context).unwrap_or_else(unknown)
                } else {
                    unknown()
                }
            })?;
        // 5. decide
        let capability =
            Capability { state: pin_of(capability, request.schema_digest.as_deref()), ..capability.clone() };
        let on = surface.on(known, call.context);
        let arguments = read_arguments(request.arguments)?;
        let decision = on.execute(&name.name, &capability, &arguments, Purpose::Execute);
        if let Decision::Deny(reason) = decision {
            call.record.decision = Some(format!("deny:{}", reason.as_str()));
            return Err(match reason.error_code() {
                ErrorCode::UnknownCapability => unknown(),
                _ => denied(self, reason, &name, known),
            });
        }
        let tool = self.compiled(known, &name.name, &capability).await?;
        let bytes = request.arguments.map_or(2, |raw| raw.get().len());
        tool.validate(&arguments, bytes, self.upstreams().limits.max_validation_steps)?;
        self.call_limits().check_connection(known.connection.id)?;
        let permit = match decision {
            Decision::Allow(permit) => permit,
            Decision::Deny(_) => return Err(unknown()),
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
        call.record.rule = permit.trace().source.map(|source| source.to_string());
        call.record.credential = Some(match permit.credential() {
            CredentialOwner::Shared => "shared".into(),
            CredentialOwner::Member(id) => id.to_string(),
        });
        Ok(Prepared {
            permit,
            known,
            members: call_members(&name.name, request.arguments),
            param_headers: param_values(&tool.param_headers, &arguments),
            tool_name: name.name,
        })
    }

    /// Steps 7 and 8: the credential, then the call itself.
    async fn upstream(&self, call: &mut Call<'_>, prepared: &Prepared<'_>) -> Result<Executed, CallError> {
        let known = prepared.known;
        let connection = &*known.connection;
        let owner = prepared.permit.credential();
        // 7. the credential that the permit names
        let permit = &prepared.permit;
        let refused = |error| self.no_credential(&error, known, owner);
        let mut auth =
            self.unlock(permit, &known.connection, known.credential(owner)).await.map_err(refused)?;
        let identity = self.identity_of(call, connection).await.map_err(refused)?;
        // 8. the call, with deadline and size cap
        let limits = &self.upstreams().limits;
        let ask = Ask {
            method: "tools/call",
            members: &prepared.members,
            name: Some(&prepared.tool_name),
            params: &prepared.param_headers,
            identity: identity.as_ref(),
            deadline: limits.call,
            deadline_name: "upstream.call_timeout",
            max_bytes: limits.max_answer_bytes,
        };
        let mut secrets = auth.secrets.clone();
        let mut outcome = self.upstreams().request(permit, connection, auth.clone(), &ask).await;
        // Refused before anything ran: once more, with another token, if the provider gives one.
        if renews(connection) && matches!(outcome, Err(UpstreamError::Unauthorized { status: 401, .. })) {
            auth = self.renew_refused(permit, &known.connection, &auth).await.map_err(refused)?;
            secrets.extend(auth.secrets.iter().cloned());
            outcome = self.upstreams().request(permit, connection, auth.clone(), &ask).await;
        }
        match outcome {
            Ok(result) => {
                self.reached_again(known);
                let result = redact(result, &secrets);
                let peek = Peek::of(&result).map_err(|error| error.to_call_error(&connection.name, None))?;
                call.record.response_bytes = Some(result.len() as u64);
                Ok(Executed {
                    is_error: peek.is_error,
                    has_result_type: peek.has_result_type,
                    result,
                    call_id: call.id,
                })
            }
            Err(error) => {
                self.learn_from(&error, known, (owner, auth.generation), &prepared.tool_name);
                let mut told = error.to_call_error(&connection.name, self.where_to_connect(connection));
                if let Some(scopes) = lacking_scopes(&error) {
                    let scopes = scopes.join(" ");
                    told.message = format!(
                        "{} wants more than the connected account allows it: {}. Connect it again to allow that.",
                        connection.name,
                        crate::upstream::plain(&scopes)
                    );
                    told.details = Some(json!({ "scope": scopes }));
                }
                told.message = redact_text(&told.message, &secrets);
                if matches!((&error, owner), (UpstreamError::Unauthorized { .. }, CredentialOwner::Member(_)))
                {
                    told.actor = Some(Actor::Member);
                }
                Err(told)
            }
        }
    }

    /// For whom this call is, where the connection sends that on.
    async fn identity_of(
        &self,
        call: &Call<'_>,
        connection: &Connection,
    ) -> Result<Option<CallIdentity>, CredentialError> {
        if !connection.switches.send_identity {
            return Ok(None);
        }
        let principal = &call.context.principal;
        let session = match &principal.proof {
            Proof::Grant { grant, .. } => Some(grant.to_string()),
            Proof::Token(token) => Some(token.to_string()),
            Proof::Session(session) => Some(session.to_string()),
            Proof::Inquiry => None,
        };
        let facts = [
            ("switchboard-organization-id", Some(principal.organization.to_string())),
            ("switchboard-member-id", principal.member().map(|member| member.to_string())),
            ("switchboard-session-id", session),
            ("switchboard-call-id", Some(call.id.to_string())),
        ];
        let facts =
            facts.into_iter().filter_map(|(name, value)| Some((HeaderName::from_static(name), value?)));
        let key = self.connection_key(connection).await?;
        Ok(Some(CallIdentity {
            facts: facts.collect(),
            call: call.id.to_string(),
            key,
            now: self.clock().now(),
        }))
    }

    /// What a failed call says about the connection: a refused credential, a tool that is gone.
    fn learn_from(
        &self,
        error: &UpstreamError,
        known: &Known,
        (owner, generation): (CredentialOwner, i64),
        tool: &str,
    ) {
        match error {
            UpstreamError::Unauthorized { .. } => self.credential_refused(known, owner, generation, error),
            // Nothing got there: while the state still says otherwise, look soon, so that it tells the truth.
            error
                if error.never_got_there()
                    && matches!(
                        known.connection.status.status,
                        ConnectionStatus::Connected | ConnectionStatus::Degraded
                    ) =>
            {
                tracing::warn!(connection = %known.connection.slug, %error, "a call did not get there");
                self.refresh_soon(known.connection.organization, known.connection.id);
            }
            // Unknown tool: the catalogue is behind; look again in the background.
            UpstreamError::Rpc(rpc)
                if rpc.code == switchboard_mcp::code::INVALID_PARAMS
                    && rpc.message.to_lowercase().contains("unknown tool") =>
            {
                tracing::info!(connection = %known.connection.id, tool, "the upstream does not know a tool of its list");
                self.refresh_soon(known.connection.organization, known.connection.id);
            }
            _ => {}
        }
    }

    /// A call got through to a connection that is said not to work: look again soon.
    fn reached_again(&self, known: &Known) {
        use ConnectionStatus as S;
        if matches!(known.connection.status.status, S::Unreachable | S::Error | S::Blocked) {
            self.refresh_soon(known.connection.organization, known.connection.id);
        }
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
            "capability.execute",
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
        self.end(call, AuditOutcome::Refused, Some(error.code)).await;
    }

    async fn end(&self, call: &mut Call<'_>, outcome: AuditOutcome, code: Option<ErrorCode>) {
        let elapsed = call.clock_start.elapsed();
        let mut record = std::mem::take(&mut call.record);
        record.outcome = Some(outcome);
        record.code = code.map(|code| code.as_str().to_owned());
        record.duration_ms = Some(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        metrics::histogram!("switchboard_call_duration_seconds").record(elapsed.as_secs_f64());
        let at = call.started.plus(elapsed);
        let organization = call.context.principal.organization;
        let event = audit::event(organization, at, AuditPhase::Completed, "capability.execute", record);
        self.audit().queue(event).await;
    }
}

/// A call that may happen.
struct Prepared<'s> {
    permit: Permit,
    known: &'s Known,
    members: String,
    param_headers: Vec<(String, String)>,
    tool_name: Box<str>,
}

/// What must be known of a result; the rest passes unseen.
struct Peek {
    is_error: bool,
    has_result_type: bool,
}

impl Peek {
    fn of(result: &[u8]) -> Result<Self, UpstreamError> {
        let object: RawObject<'_> = serde_json::from_slice(result)
            .map_err(|error| UpstreamError::Protocol(format!("its result can't be read: {error}")))?;
        let result_type: Option<String> = object.read("resultType");
        match result_type.as_deref() {
            None | Some("complete") => {}
            Some("input_required") => {
                return Err(UpstreamError::Protocol(
                    "it asks for input from a person, which this endpoint can't pass on yet".into(),
                ));
            }
            Some(_) => return Err(UpstreamError::Protocol("its result is of an unknown type".into())),
        }
        Ok(Self { is_error: object.read("isError").unwrap_or(false), has_result_type: result_type.is_some() })
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
