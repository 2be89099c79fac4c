//! Steps 7 and 8 of a call: the credential, the upstream, and what a failure teaches.

use std::borrow::Cow;

use http::HeaderName;
use serde_json::json;
use switchboard_domain::{
    Actor, CallError, Connection, ConnectionStatus, CredentialOwner, Proof, SecretValue,
};
use switchboard_mcp::{ErrorObject, RawObject};

use super::{Call, Prepared, rounds};
use crate::{
    Broker, Execute, Executed, Via,
    check::lacking_scopes,
    credentials::{CredentialError, renews},
    redact::{redact, redact_text},
    snapshot::Known,
    upstream::{
        Ask, CallIdentity, RawResult, Side, UpstreamAuth, UpstreamError, may_ask_all, may_ask_by_error,
    },
};

/// How often one call may ask its client.
const MOST_ROUNDS: usize = 16;

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
        let mut outcome = self.ask_upstream((prepared, identity.as_ref()), request, auth.clone()).await;
        // Refused before anything ran: once more, with another token, if the provider gives one.
        if renews(connection) && matches!(outcome, Err(UpstreamError::Unauthorized { status: 401, .. })) {
            auth = self.renew_refused(permit, &known.connection, &auth).await.map_err(refused)?;
            secrets.extend(auth.secrets.iter().cloned());
            outcome = self.ask_upstream((prepared, identity.as_ref()), request, auth.clone()).await;
        }
        call.secrets.clone_from(&secrets);
        let error = match outcome {
            Ok((result, peek)) => {
                self.reached_again(known);
                let result = redact(result, &secrets);
                let result = match (peek.kind, request.via) {
                    (ResultKind::InputRequired, _) => {
                        self.sealed_state(call.context, prepared, request, result).await?
                    }
                    (ResultKind::Task, _) => self.kept_task(call.context, prepared, result).await?,
                    (ResultKind::Complete, Via::Task(task)) => task.named_by_us(result),
                    (ResultKind::Complete, _) => result,
                };
                call.record.response_bytes = Some(result.len() as u64);
                return Ok(Executed {
                    is_error: peek.is_error,
                    has_result_type: peek.has_result_type,
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
        request: &Execute<'_>,
        auth: UpstreamAuth,
    ) -> Result<(RawResult, Peek), UpstreamError> {
        let limits = &self.upstreams().limits;
        let side = request.side.as_ref();
        let can_wait = side.is_some_and(Side::takes_questions);
        let (deadline, deadline_name) = match can_wait {
            true => (limits.interactive.max(limits.call), "upstream.interactive_timeout"),
            false => (limits.call, "upstream.call_timeout"),
        };
        let mut again = Cow::Borrowed(prepared.again.as_str());
        for _ in 0..MOST_ROUNDS {
            let members = match again.is_empty() {
                true => Cow::Borrowed(prepared.members.as_str()),
                false => Cow::Owned(format!("{},{again}", prepared.members)),
            };
            let ask = Ask {
                method: request.via.method(),
                members: &members,
                name: request.via.mirrored(&prepared.name.name),
                params: &prepared.param_headers,
                identity,
                deadline,
                deadline_name,
                max_bytes: limits.max_answer_bytes,
                side,
            };
            let connection = &*prepared.known.connection;
            let result = self.upstreams().request(&prepared.permit, connection, auth.clone(), &ask).await?;
            let peek = Peek::of(&result, side)?;
            match side.filter(|side| peek.kind == ResultKind::InputRequired && side.is_legacy) {
                Some(side) => again = Cow::Owned(rounds::asked_of_client(side, &result).await?),
                None => return Ok((result, peek)),
            }
        }
        Err(UpstreamError::Protocol(format!("it asked more than {MOST_ROUNDS} times for one call")))
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
