//! Where a call asks the organization's guardrail ([`crate::guardrail`]): before it goes out, and about its result.

use serde_json::json;
use switchboard_domain::{CallError, CapabilityName};

use super::{Call, Prepared};
use crate::{
    Broker, Execute, Executed,
    guardrail::Guarded,
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

    /// The same about a result, before the caller has it.
    pub(super) async fn guarded_result(
        &self,
        call: &mut Call<'_>,
        snapshot: &Snapshot,
        prepared: &Prepared<'_>,
        request: &Execute<'_>,
        done: Executed,
    ) -> Result<Executed, CallError> {
        let Some(guardrail) = snapshot.guardrail.as_ref().filter(|it| it.after_result) else {
            return Ok(done);
        };
        let (known, name) = (prepared.known, &prepared.name);
        let guarded = Guarded { id: call.id, context: call.context, known, name, request };
        let (said, told) = self.guard_result(guardrail, &guarded, &done.result).await;
        call.record.guardrail.get_or_insert_with(|| json!({}))["after"] = said;
        told.map(|()| done)
    }
}
