//! Asking an organization's own guardrail about a call: before it goes out, with its arguments, and about its result before
//! the caller has it. It can only tighten: allow what the rules allow, or block it with a reason. What it can't do is
//! change arguments or results, or let through what a rule holds back.
//!
//! A question is one POST through `egress`, signed as webhooks are ([`crate::webhooks`]). A guardrail that does not answer,
//! or not in these words, has failed: then its organization says whether calls are refused (`closed`) or go on (`open`).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use switchboard_domain::{
    Actor, CallError, CallId, CapabilityName, ErrorCode, GuardrailFailure, GuardrailId, OrganizationId,
    Timestamp,
};
use switchboard_egress::{ByteLimit, Deadlines, EgressError, Redirects, Request};
use switchboard_mcp::ErrorObject;
use switchboard_storage::Guardrail;
use switchboard_vault::SealContext;
use tokio::time::Instant;

use crate::{Broker, CallContext, Execute, Via, pipeline::actor_of, snapshot::Known, text, webhooks::signed};

/// How a guardrail is asked (setting `guardrail`).
#[derive(Debug, Clone, Copy)]
pub struct GuardrailSettings {
    /// For one question and its answer.
    pub timeout: Duration,
    /// Of a question: arguments or result, and what is around them.
    pub max_question_bytes: u64,
    pub max_answer_bytes: u64,
}

impl Default for GuardrailSettings {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), max_question_bytes: 4 << 20, max_answer_bytes: 64 << 10 }
    }
}

/// Longest reason that is passed on, in characters.
const MAX_REASON: usize = 300;

/// The envelope of a guardrail's secret.
pub(crate) fn guardrail_context(organization: OrganizationId, id: GuardrailId) -> SealContext {
    SealContext {
        organization,
        table: "guardrail",
        row: id.as_uuid(),
        owner: None,
        field: "secret",
        version: 1,
    }
}

/// A call that it is asked about.
pub(crate) struct Guarded<'g> {
    pub(crate) id: CallId,
    pub(crate) context: &'g CallContext,
    pub(crate) known: &'g Known,
    pub(crate) name: &'g CapabilityName,
    pub(crate) request: &'g Execute<'g>,
}

/// What it is asked.
#[derive(Serialize)]
struct Question<'q> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Timestamp,
    data: Data<'q>,
}

#[derive(Serialize)]
struct Data<'q> {
    call_id: CallId,
    organization: OrganizationId,
    caller: Value,
    client: Option<String>,
    resource: String,
    connection: Value,
    /// `tool`, `prompt` or `resource`.
    kind: &'static str,
    /// As the protocol calls what is done with it.
    method: &'static str,
    capability: String,
    intent: Option<&'q str>,
    arguments: &'q RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'q RawValue>,
    /// What the server answered instead of a result.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'q ErrorObject>,
}

/// What came back from a server, to be looked at before the caller has it.
#[derive(Clone, Copy)]
pub(crate) enum Came<'r> {
    Result(&'r [u8]),
    Error(&'r ErrorObject),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Allow,
    Block,
}

/// What it answers. What else it says means nothing.
#[derive(Deserialize)]
struct Answer {
    decision: Word,
    #[serde(default)]
    reason: Option<String>,
}

impl Broker {
    /// Asks before a call goes out; what it said is for the audit log. An error is that nothing runs.
    pub(crate) async fn guard_call(
        &self,
        guardrail: &Guardrail,
        guarded: &Guarded<'_>,
    ) -> (Value, Result<(), CallError>) {
        let (said, told) = self.guard(guardrail, guarded, None).await;
        (said, told.map_err(|why| why.before(guarded.name)))
    }

    /// Asks about a result, or what a server said instead. An error is that the caller does not get it; the call ran all
    /// the same.
    pub(crate) async fn guard_result(
        &self,
        guardrail: &Guardrail,
        guarded: &Guarded<'_>,
        came: Came<'_>,
    ) -> (Value, Result<(), CallError>) {
        let (said, told) = self.guard(guardrail, guarded, Some(came)).await;
        (said, told.map_err(|why| why.after(guarded.name)))
    }

    async fn guard(
        &self,
        guardrail: &Guardrail,
        guarded: &Guarded<'_>,
        came: Option<Came<'_>>,
    ) -> (Value, Result<(), Refused>) {
        let began = Instant::now();
        let answered = self.ask_guardrail(guardrail, guarded, came).await;
        let is_open = guardrail.on_failure == GuardrailFailure::Open;
        let (decision, reason, told) = match answered {
            Ok(Answer { decision: Word::Allow, .. }) => ("allow", None, Ok(())),
            Ok(Answer { decision: Word::Block, reason }) => {
                let reason = text::one_line(reason.as_deref().unwrap_or("it gives no reason"), MAX_REASON);
                ("block", Some(reason.clone()), Err(Refused::Blocked(reason)))
            }
            Err(why) if is_open => ("failed_open", Some(why), Ok(())),
            Err(why) => ("failed_closed", Some(why.clone()), Err(Refused::Failed(why))),
        };
        metrics::counter!("switchboard_guardrail_decisions_total", "decision" => decision).increment(1);
        if decision.starts_with("failed") {
            tracing::warn!(call = %guarded.id, decision, why = reason, "the guardrail can't be asked");
        }
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        (json!({ "decision": decision, "reason": reason, "duration_ms": took }), told)
    }

    /// Its answer; why there is none that counts, in a few words without its address.
    async fn ask_guardrail(
        &self,
        guardrail: &Guardrail,
        guarded: &Guarded<'_>,
        came: Option<Came<'_>>,
    ) -> Result<Answer, String> {
        let limits = self.settings().guardrail;
        let body = self.question(guarded, came)?;
        if body.len() as u64 > limits.max_question_bytes {
            let most = limits.max_question_bytes;
            return Err(format!(
                "what it is asked about is larger than {most} bytes (`guardrail.max_question_bytes`)"
            ));
        }
        let context = guardrail_context(guardrail.organization, guardrail.id);
        let secret = self.credentials().open_value(&context, &guardrail.secret).await;
        let secret = secret.map_err(|_| "its secret can't be opened".to_owned())?;
        let moment = if came.is_some() { "after" } else { "before" };
        let id = format!("{}_{moment}", guarded.id);
        let headers = signed(&secret, &id, self.clock().now(), &body).ok_or("its id is no header")?;
        let answer = ByteLimit { name: "guardrail.max_answer_bytes", bytes: limits.max_answer_bytes };
        let request = Request {
            method: Method::POST,
            url: self.egress().check_url(&guardrail.url).map_err(|error| error.to_string())?,
            headers,
            body: Bytes::from(body),
            deadlines: Deadlines { total: limits.timeout, first_byte: limits.timeout, idle: limits.timeout },
            max_wire_bytes: answer,
            max_inflated_bytes: answer,
            redirects: Redirects::Refuse,
            accept_gzip: false,
        };
        let failed = |error| said_of(&error, limits.timeout);
        let response = self.egress().send(request).await.map_err(failed)?;
        if response.status != StatusCode::OK {
            return Err(format!("it answered {}", response.status.as_u16()));
        }
        let body = response.body.collect_bytes().await.map_err(failed)?;
        serde_json::from_slice(&body).map_err(|_| {
            "its answer is not {\"decision\": \"allow\"} or {\"decision\": \"block\", \"reason\": \"…\"}"
                .into()
        })
    }

    fn question(&self, guarded: &Guarded<'_>, came: Option<Came<'_>>) -> Result<String, String> {
        let unreadable = |_| "the call can't be written down for it".to_owned();
        let (context, request) = (guarded.context, guarded.request);
        let connection = &*guarded.known.connection;
        // What is completed is not among the arguments.
        let arguments = match request.via {
            Via::Complete { members, .. } => format!("{{{}}}", members.trim_start_matches(',')),
            _ => request.arguments.map_or("{}", RawValue::get).to_owned(),
        };
        let arguments = RawValue::from_string(arguments).map_err(unreadable)?;
        let (result, error) = match came {
            None => (None, None),
            Some(Came::Result(result)) => (Some(serde_json::from_slice(result).map_err(unreadable)?), None),
            Some(Came::Error(error)) => (None, Some(error)),
        };
        let question = Question {
            kind: if came.is_some() { "call.after" } else { "call.before" },
            timestamp: self.clock().now(),
            data: Data {
                call_id: guarded.id,
                organization: context.principal.organization,
                caller: actor_of(context),
                client: context.client.as_ref().map(|client| client.name.clone()),
                resource: context.resource.path(),
                connection: json!({ "id": connection.id, "slug": connection.name_prefix() }),
                kind: request.via.kind().as_str(),
                method: request.via.method(),
                capability: guarded.name.to_string(),
                intent: request.intent.as_deref(),
                arguments: &arguments,
                result,
                error,
            },
        };
        serde_json::to_string(&question).map_err(unreadable)
    }
}

/// Which limit it was, by our names.
fn said_of(error: &EgressError, timeout: Duration) -> String {
    match error {
        EgressError::FirstByteTimeout { .. }
        | EgressError::IdleTimeout { .. }
        | EgressError::DeadlineExceeded { .. } => {
            format!("it did not answer within {timeout:?} (`guardrail.timeout`)")
        }
        error => error.to_string(),
    }
}

enum Refused {
    Blocked(String),
    Failed(String),
}

impl Refused {
    fn before(self, name: &CapabilityName) -> CallError {
        let error = match &self {
            Self::Blocked(reason) => CallError::new(
                ErrorCode::PolicyBlocked,
                format!("The guardrail of the organization blocks this call of {name}: {reason}. Nothing ran."),
            ),
            Self::Failed(why) => CallError::new(
                ErrorCode::Unavailable,
                format!(
                    "The guardrail of the organization could not be asked: {why}. Nothing runs without it, and nothing \
                     ran. Try again in a moment; if it stays so, tell an admin."
                ),
            )
            .retryable(),
        };
        self.facts(error, "before")
    }

    fn after(self, name: &CapabilityName) -> CallError {
        let error = match &self {
            Self::Blocked(reason) => CallError::new(
                ErrorCode::PolicyBlocked,
                format!(
                    "The guardrail of the organization withholds the result of {name}: {reason}. The call itself ran; \
                     don't repeat it."
                ),
            ),
            Self::Failed(why) => CallError::new(
                ErrorCode::Unavailable,
                format!(
                    "The guardrail of the organization could not be asked: {why}. The call of {name} itself ran, but its \
                     result is withheld. Don't repeat it before you know what it did; tell an admin."
                ),
            ),
        };
        self.facts(error, "after")
    }

    fn facts(self, error: CallError, moment: &str) -> CallError {
        let (Self::Blocked(reason) | Self::Failed(reason)) = self;
        error
            .actor(Actor::OrganizationAdmin)
            .details(json!({ "guardrail": { "moment": moment, "reason": reason } }))
    }
}
