//! How a change ends: committed, in force, on record.

use serde_json::{Value, json};
use switchboard_domain::{
    AuditEvent, AuditOutcome, AuditPhase, AuditRecord, Caller, ConnectionId, Principal,
};
use switchboard_storage::Tx;

use super::{Allowed, Operation, Refusal};
use crate::{Broker, audit, text};

/// What a change was about, for the audit log. Never holds a secret.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) target: String,
    pub(crate) details: Option<Value>,
}

impl Change {
    pub(crate) fn of(target: impl ToString) -> Self {
        Self { target: target.to_string(), ..Self::default() }
    }

    pub(crate) fn on(mut self, connection: ConnectionId) -> Self {
        self.connection = Some(connection);
        self
    }

    pub(crate) fn with(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }
}

/// A change that is about one connection.
pub(crate) fn change_of(connection: &switchboard_domain::Connection, details: Value) -> Change {
    Change::of(connection.slug.as_str()).on(connection.id).with(details)
}

impl Broker {
    /// Commits the change with its entry in the audit log, and puts it in force here.
    pub(crate) async fn commit_change(
        &self,
        allowed: &Allowed<'_>,
        tx: Tx,
        change: Change,
    ) -> Result<(), Refusal> {
        self.commit_recorded(tx, self.change_event(allowed, change)).await?;
        Ok(self.refresh_snapshots().await?)
    }

    /// The same for a change that was committed where it happened.
    pub(crate) async fn record_change(&self, allowed: &Allowed<'_>, change: Change) -> Result<(), Refusal> {
        self.refresh_snapshots().await?;
        Ok(self.audit().write(self.change_event(allowed, change)).await?)
    }

    fn change_event(&self, allowed: &Allowed<'_>, change: Change) -> AuditEvent {
        let principal = allowed.principal();
        let record = AuditRecord {
            connection: change.connection.map(|id| id.to_string()),
            target: Some(change.target),
            outcome: Some(AuditOutcome::Ok),
            details: change.details,
            ..base(principal)
        };
        let (now, action) = (self.clock().now(), allowed.operation().action());
        audit::event(principal.organization, now, AuditPhase::Event, action, record)
    }

    /// Puts on record that a change was refused. `target` is what the request named.
    pub async fn record_refusal(
        &self,
        principal: &Principal,
        operation: Operation,
        target: &str,
        refusal: &Refusal,
    ) {
        let code = if refusal.forbidden { "forbidden" } else { refusal.code };
        let record = AuditRecord {
            target: Some(text::one_line(target, 200)),
            outcome: Some(AuditOutcome::Refused),
            code: Some(code.to_owned()),
            ..base(principal)
        };
        let (now, action) = (self.clock().now(), operation.action());
        let event = audit::event(principal.organization, now, AuditPhase::Event, action, record);
        if self.audit().write(event).await.is_err() {
            tracing::error!(action = operation.action(), "a refusal could not be put on record");
        }
    }
}

fn base(principal: &Principal) -> AuditRecord {
    AuditRecord { actor: Some(actor(principal)), resource: Some("/api/v1".into()), ..AuditRecord::default() }
}

fn actor(principal: &Principal) -> Value {
    let kind = match principal.caller {
        Caller::Member(_) => "member",
        Caller::ServiceAccount(_) => "service_account",
    };
    json!({
        "type": kind,
        "id": principal.caller.to_string(),
        "token": principal.proof.token().map(|token| token.to_string()),
        "session": principal.proof.session().map(|session| session.to_string()),
    })
}
