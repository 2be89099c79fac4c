//! Steps 7 and 8 of a call: the credential, the upstream, and what a failure teaches.

use std::{borrow::Cow, time::Duration};

use http::HeaderName;
use serde_json::{json, value::RawValue};
use switchboard_domain::{
    Actor, CallError, Connection, ConnectionStatus, CredentialOwner, Proof, SecretValue,
};
use switchboard_mcp::{Era, ErrorObject, RawObject};
use switchboard_storage::McpTaskPlace;

use super::{
    Call, Prepared, rounds,
    tasks::{self, is_created, needs_tasks, wants_tasks},
};
use crate::{
    Broker, CallContext, Execute, Executed, Via,
    check::{lacking_scopes, speaks_otherwise},
    credentials::{CredentialError, renews},
    redact::{redact, redact_text},
    snapshot::Known,
    upstream::{
        Ask, CallIdentity, RawResult, Side, UpstreamAuth, UpstreamError, UpstreamLimits, may_ask_all,
        may_ask_by_error,
    },
};

/// How often one call may ask its client.
const MOST_ROUNDS: usize = 16;

/// What all requests of one call to its upstream have in common.
pub(super) struct Way<'w> {
    prepared: &'w Prepared<'w>,
    identity: Option<&'w CallIdentity>,
    /// What `Mcp-Name` mirrors.
    name: Option<&'w str>,
    /// `Mcp-Param-*` headers.
    params: &'w [(String, String)],
    pub(super) side: Option<&'w Side>,
    auth: UpstreamAuth,
    limits: &'w UpstreamLimits,
    /// With the name of its setting.
    pub(super) deadline: (Duration, &'static str),
}

impl<'w> Way<'w> {
    fn of(
        (prepared, identity): (&'w Prepared<'w>, Option<&'w CallIdentity>),
        request: &'w Execute<'_>,
        (side, auth): (Option<&'w Side>, UpstreamAuth),
        limits: &'w UpstreamLimits,
    ) -> Self {
        let waits = side.is_some_and(Side::takes_questions) || request.via.waits_for_a_task();
        let deadline = match waits {
            true => (limits.interactive.max(limits.call), "upstream.interactive_timeout"),
            false => (limits.call, "upstream.call_timeout"),
        };
        let name = request.via.mirrored(&prepared.name.name);
        let params = &prepared.param_headers;
        Self { prepared, identity, name, params, side, auth, limits, deadline }
    }

    pub(super) async fn ask(
        &self,
        broker: &Broker,
        method: &str,
        members: &str,
    ) -> Result<RawResult, UpstreamError> {
        let ask = Ask {
            method,
            members,
            name: self.name,
            params: self.params,
            identity: self.identity,
            deadline: self.deadline.0,
            deadline_name: self.deadline.1,
            max_bytes: self.limits.max_answer_bytes,
            side: self.side,
        };
        let connection = &*self.prepared.known.connection;
        broker.upstreams().request(&self.prepared.permit, connection, self.auth.clone(), &ask).await
    }

    pub(super) async fn watch_task(&self, broker: &Broker, about: (&str, bool)) -> Result<(), UpstreamError> {
        let Prepared { permit, known, .. } = self.prepared;
        broker.upstreams().watch_task(permit, &known.connection, self.auth.clone(), about).await
    }
}

/// The client's side, as far as tasks have a part in it: a client of the newer generation that knows them, and a tool of the
/// older one that works as a task only.
fn side_of<'s>(
    context: &CallContext,
    prepared: &Prepared<'_>,
    request: &'s Execute<'_>,
) -> Option<Cow<'s, Side>> {
    let side = request.side.as_ref();
    if let Via::Task(task) = request.via {
        return Some(Cow::Owned(tasks::side_of(task, side)));
    }
    let knows = side.filter(|side| side.knows_tasks && prepared.is_task_only && context.era == Era::Modern);
    match knows {
        Some(side) => {
            let task = RawValue::from_string("{}".into()).ok();
            Some(Cow::Owned(Side { task, ..side.clone() }))
        }
        None => side.map(Cow::Borrowed),
    }
}

/// Whether a client of the older generation asks for a task.
fn is_to_be_a_task(context: &CallContext, request: &Execute<'_>) -> bool {
    context.era == Era::Legacy && request.side.as_ref().is_some_and(|side| side.task.is_some())
}

impl Broker {
    /// Steps 7 and 8: the credential, then the call itself.
    pub(super) async fn upstream(
        &self,
        call: &mut Call<'_>,
        prepared: &Prepared<'_>,
        request: &Execute<'_>,
    ) -> Result<Executed, CallError> {
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
        let mut secrets = auth.secrets.clone();
        let asked = (call.context, request);
        let mut outcome = self.ask_upstream((prepared, identity.as_ref()), asked, auth.clone()).await;
        // Refused before anything ran: once more, with another token, if the provider gives one.
        if renews(connection) && matches!(outcome, Err(UpstreamError::Unauthorized { status: 401, .. })) {
            auth = self.renew_refused(permit, &known.connection, &auth).await.map_err(refused)?;
            secrets.extend(auth.secrets.iter().cloned());
            outcome = self.ask_upstream((prepared, identity.as_ref()), asked, auth.clone()).await;
        }
        call.secrets.clone_from(&secrets);
        let error = match outcome {
            Ok((result, peek)) => {
                self.reached_again(known);
                let result = redact(result, &secrets);
                let place = match (peek.kind, request.via) {
                    (ResultKind::Task, _) => Some(McpTaskPlace::Modern),
                    (ResultKind::LegacyTask, _) => Some(McpTaskPlace::Legacy),
                    (ResultKind::Complete, Via::Tool) if is_to_be_a_task(call.context, request) => {
                        Some(McpTaskPlace::Here)
                    }
                    _ => None,
                };
                let result = match (peek.kind, place) {
                    (ResultKind::InputRequired, _) => {
                        self.sealed_state(call.context, prepared, request, result).await?
                    }
                    (_, Some(place)) => self.kept_task(call.context, prepared, (result, place)).await?,
                    (_, None) => result,
                };
                call.record.response_bytes = Some(result.len() as u64);
                return Ok(Executed {
                    is_error: peek.is_error,
                    has_result_type: peek.has_result_type || place.is_some(),
                    result,
                    call_id: call.id,
                });
            }
            Err(error) => error,
        };
        self.learn_from(&error, known, (owner, auth.generation), &prepared.name.name);
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
        if matches!((&error, owner), (UpstreamError::Unauthorized { .. }, CredentialOwner::Member(_))) {
            told.actor = Some(Actor::Member);
        }
        if let UpstreamError::Rpc(rpc) = error
            && may_ask_by_error(&rpc)
        {
            call.upstream_error = Some(without_secrets(rpc, &secrets));
        }
        Err(told)
    }

    /// One request and its answer; where an upstream of the modern generation asks a client of the legacy one, as many as
    /// it takes.
    async fn ask_upstream(
        &self,
        (prepared, identity): (&Prepared<'_>, Option<&CallIdentity>),
        (context, request): (&CallContext, &Execute<'_>),
        auth: UpstreamAuth,
    ) -> Result<(RawResult, Peek), UpstreamError> {
        let side = side_of(context, prepared, request);
        let way = Way::of((prepared, identity), request, (side.as_deref(), auth), &self.upstreams().limits);
        if let Via::Task(task) = request.via {
            let result = self.about_task(&way, task).await?;
            let peek = Peek::of(&result, None)?;
            return Ok((result, peek));
        }
        let mut again = Cow::Borrowed(prepared.again.as_str());
        for _ in 0..MOST_ROUNDS {
            let members = match again.is_empty() {
                true => Cow::Borrowed(prepared.members.as_str()),
                false => Cow::Owned(format!("{},{again}", prepared.members)),
            };
            let result = match way.ask(self, request.via.method(), &members).await {
                Err(error) if wants_tasks(&error) && context.era == Era::Legacy => {
                    let result = self.through_a_task(&way, &members).await?;
                    let peek = Peek::of(&result, way.side)?;
                    return Ok((result, peek));
                }
                Err(UpstreamError::Rpc(error))
                    if prepared.is_task_only
                        && error.code == switchboard_mcp::code::METHOD_NOT_FOUND
                        && context.era == Era::Modern =>
                {
                    return Err(needs_tasks());
                }
                outcome => outcome?,
            };
            let peek = Peek::of(&result, way.side)?;
            match way.side.filter(|side| peek.kind == ResultKind::InputRequired && side.is_legacy) {
                Some(side) => again = Cow::Owned(rounds::asked_of_client(side, &result).await?),
                None => return Ok((result, peek)),
            }
        }
        Err(UpstreamError::Protocol(format!("it asked more than {MOST_ROUNDS} times for one call")))
    }

    /// A tool of the newer generation that works as a task only, for a client of the older one that called it like any other:
    /// the task is waited for.
    async fn through_a_task(&self, way: &Way<'_>, members: &str) -> Result<RawResult, UpstreamError> {
        let side = Side { knows_tasks: true, ..way.side.cloned().unwrap_or_else(|| Side::deaf(true)) };
        let deadline = (way.limits.interactive.max(way.limits.call), "upstream.interactive_timeout");
        let way = Way { side: Some(&side), auth: way.auth.clone(), deadline, ..*way };
        let result = way.ask(self, "tools/call", members).await?;
        let peek = Peek::of(&result, Some(&side))?;
        if peek.kind != ResultKind::Task {
            return Ok(result);
        }
        let created: RawObject<'_> = serde_json::from_slice(&result)
            .map_err(|error| UpstreamError::Protocol(format!("its task can't be read: {error}")))?;
        let id: String = created
            .read("taskId")
            .ok_or_else(|| UpstreamError::Protocol("its task has no `taskId`".into()))?;
        self.end_of_task(&Way { name: Some(&id), params: &[], ..way }, &id).await
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
            // It answers otherwise than it did: see whether it is reached another way now.
            error @ UpstreamError::Http { .. } if speaks_otherwise(error) => {
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
}

/// An upstream's error as a client may see it, with what it says beside its message.
fn without_secrets(mut error: ErrorObject, secrets: &[SecretValue]) -> ErrorObject {
    error.message = redact_text(&error.message, secrets);
    error.data =
        error.data.and_then(|data| serde_json::from_str(&redact_text(&data.to_string(), secrets)).ok());
    error
}

/// Which of the kinds of 2026-07-28 a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResultKind {
    Complete,
    InputRequired,
    /// Of the extension `io.modelcontextprotocol/tasks`.
    Task,
    /// Of the older generation, where it was asked for.
    LegacyTask,
}

/// What must be known of a result; the rest passes unseen.
struct Peek {
    is_error: bool,
    has_result_type: bool,
    kind: ResultKind,
}

impl Peek {
    fn of(result: &[u8], side: Option<&Side>) -> Result<Self, UpstreamError> {
        let object: RawObject<'_> = serde_json::from_slice(result)
            .map_err(|error| UpstreamError::Protocol(format!("its result can't be read: {error}")))?;
        let result_type: Option<String> = object.read("resultType");
        let kind = match result_type.as_deref() {
            None if side.is_some_and(|side| side.task.is_some()) && is_created(&object) => {
                ResultKind::LegacyTask
            }
            None | Some("complete") => ResultKind::Complete,
            Some("input_required") if side.is_some_and(Side::takes_questions) => {
                if !may_ask_all(result) {
                    let why = "it asks a person to open an address that is no web page";
                    return Err(UpstreamError::Protocol(why.into()));
                }
                ResultKind::InputRequired
            }
            Some("task") if side.is_some_and(|side| side.knows_tasks) => ResultKind::Task,
            Some("input_required") => {
                return Err(UpstreamError::Protocol(
                    "it asks for input from a person, which this endpoint can't pass on yet".into(),
                ));
            }
            Some(_) => return Err(UpstreamError::Protocol("its result is of an unknown type".into())),
        };
        Ok(Self {
            is_error: object.read("isError").unwrap_or(false),
            has_result_type: result_type.is_some(),
            kind,
        })
    }
}
