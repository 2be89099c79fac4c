//! Every step of a client's sign-in is on record, in the transaction that takes it.
//!
//! What is refused at the token endpoint is on record too, as long as it is known whose organization it is about, and
//! only so many a minute: a flood of refusals must not fill the log that is there to find it.

use serde_json::json;
use switchboard_domain::{AuditEvent, AuditOutcome, AuditPhase, AuditRecord, Caller};
use switchboard_storage::{OauthClient, OauthGrant, Tx};

use super::AuthorizationError;
use crate::{Broker, Trail, audit};

/// One step: what was done under which grant, for which client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<'a> {
    action: &'static str,
    grant: &'a OauthGrant,
    client: &'a OauthClient,
    outcome: AuditOutcome,
    /// Why it was refused.
    code: Option<&'static str>,
    /// The steps before anybody knew for whom they were.
    trail: Trail,
}

impl<'a> Step<'a> {
    pub(super) fn done(action: &'static str, grant: &'a OauthGrant, client: &'a OauthClient) -> Self {
        Self { action, grant, client, outcome: AuditOutcome::Ok, code: None, trail: Trail::default() }
    }

    pub(super) fn refused(self, code: &'static str) -> Self {
        Self { outcome: AuditOutcome::Refused, code: Some(code), ..self }
    }

    pub(super) fn after(self, trail: Trail) -> Self {
        Self { trail, ..self }
    }

    fn event(&self, broker: &Broker) -> AuditEvent {
        let Self { grant, client, .. } = self;
        let mut details = json!({
            "scopes": grant.scopes, "redirect_uri": grant.redirect_uri, "toolkits": grant.toolkits,
        });
        if !self.trail.is_empty() {
            details["trail"] = json!(self.trail);
        }
        let kind = match grant.caller {
            Caller::Member(_) => "member",
            Caller::ServiceAccount(_) => "service_account",
        };
        let record = AuditRecord {
            actor: Some(json!({ "type": kind, "id": grant.caller.to_string() })),
            client: Some(client.client_id.clone()),
            resource: Some(grant.resource.clone()),
            target: Some(grant.id.to_string()),
            outcome: Some(self.outcome),
            code: self.code.map(str::to_owned),
            details: Some(details),
            ..AuditRecord::default()
        };
        audit::event(grant.organization, broker.clock().now(), AuditPhase::Event, self.action, record)
    }
}

impl Broker {
    /// Commits a step with its entry: what can't be put on record is not done. The organization's key has to be there
    /// before the transaction begins.
    pub(super) async fn commit_step(&self, tx: Tx, step: Step<'_>) -> Result<(), AuthorizationError> {
        self.commit_recorded(tx, step.event(self)).await.map_err(|_| AuthorizationError::Unrecorded)
    }

    /// Puts on record that a step was refused, unless there were too many already.
    pub(super) async fn record_refused_step(&self, step: Step<'_>) {
        self.record_bounded(step.event(self)).await;
    }

    /// Puts a refusal on record that strangers can bring about, unless there were too many already.
    pub(crate) async fn record_bounded(&self, event: AuditEvent) {
        let (organization, action) = (event.organization, event.action);
        let code = event.record.code.clone().unwrap_or_default();
        if self.0.authorization_limits.recorded_refusals.check_key(&organization).is_err() {
            metrics::counter!("switchboard_audit_refusals_not_recorded_total").increment(1);
            let limit = "oauth.recorded_refusals_per_minute";
            tracing::warn!(%organization, action, code, limit, "refused; too many to put each on record");
            return;
        }
        if self.audit().write(event).await.is_err() {
            tracing::error!(action, code, "a refusal could not be put on record");
        }
    }

    /// A client that did not prove who it is, where it is known whose it is.
    pub(super) async fn record_unproven(&self, client: &OauthClient) {
        let Some(organization) = client.owner else { return };
        let record = AuditRecord {
            client: Some(client.client_id.clone()),
            target: Some(client.client_id.clone()),
            outcome: Some(AuditOutcome::Refused),
            code: Some("wrong_secret".into()),
            ..AuditRecord::default()
        };
        let now = self.clock().now();
        self.record_bounded(audit::event(organization, now, AuditPhase::Event, "oauth.authenticate", record))
            .await;
    }
}
