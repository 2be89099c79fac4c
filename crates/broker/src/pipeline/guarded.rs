//! Where a call asks the organization's guardrail ([`crate::guardrail`]): before it goes out, and about its result.

use serde_json::json;
use switchboard_domain::{CallError, CapabilityName, ErrorCode};
use switchboard_mcp::{ErrorObject, code};

use super::{Call, Prepared};
use crate::{
    Broker, Execute, Executed,
    guardrail::{Came, Guarded},
    snapshot::{Known, Snapshot},
};

impl Broker {
    /// Asks the organization's guardrail, if it has one that wants to be asked, whether the call may go out. Before an
    /// approval is asked for or used up: what would be blocked is not worth a person's time.
    pub(super) async fn guarded_call(
        &self,
        call: &mut Call<'_>,
        snapshot: &Snapshot,
        (known, name): (&Known, &CapabilityName),
        request: &Execute<'_>,
    ) -> Result<(), CallError> {
        let Some(guardrail) = snapshot.guardrail.as_ref().filter(|it| it.before_call) else { return Ok(()) };
        let guarded = Guarded { id: call.id, context: call.context, known, name, request };
        let (said, told) = self.guard_call(guardrail, &guarded).await;
        call.record.guardrail = Some(json!({ "before": said }));
        if told.is_err() {
            call.record.decision = Some("deny:guardrail".into());
        }
        told
    }

    /// The same about what came back, before the caller has it: a result, or what the server said instead, whose words
    /// reach an agent just as well.
    pub(super) async fn guarded_result(
        &self,
        call: &mut Call<'_>,
        snapshot: &Snapshot,
        prepared: &Prepared<'_>,
        request: &Execute<'_>,
        outcome: Result<Executed, CallError>,
    ) -> Result<Executed, CallError> {
        let Some(guardrail) = snapshot.guardrail.as_ref().filter(|it| it.after_result) else {
            return outcome;
        };
        let quoted = match &outcome {
            Err(error) if error.code == ErrorCode::UpstreamError => {
                let own =
                    || ErrorObject { code: code::INTERNAL_ERROR, message: error.message.clone(), data: None };
                Some(call.upstream_error.clone().unwrap_or_else(own))
            }
            // Nothing in it is the server's.
            Err(_) => return outcome,
            Ok(_) => None,
        };
        let came = match (&outcome, &quoted) {
            (Ok(done), _) => Came::Result(&done.result),
            (Err(_), Some(error)) => Came::Error(error),
            (Err(_), None) => return outcome,
        };
        let (known, name) = (prepared.known, &prepared.name);
        let guarded = Guarded { id: call.id, context: call.context, known, name, request };
        let (said, told) = self.guard_result(guardrail, &guarded, came).await;
        call.record.guardrail.get_or_insert_with(|| json!({}))["after"] = said;
        if let Err(withheld) = told {
            call.upstream_error = None;
            return Err(withheld);
        }
        outcome
    }
}
