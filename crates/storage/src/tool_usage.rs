//! Which tools were called how often, from the audit log: bounded by time and by number.

use switchboard_domain::{AuditOutcome, OrganizationId, Timestamp};

use crate::{
    StorageError, Tx,
    row::word,
    statement::{fetch_all, statements},
};

/// How often a tool was called, with one outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCount {
    pub target: String,
    pub outcome: Option<AuditOutcome>,
    pub calls: i64,
}

statements! {
    /// Calls that ended in a time, the most called tools first.
    TOOLS = {
        sqlite: "SELECT coalesce(target, ''), outcome, count(*) FROM audit_entry INDEXED BY audit_entry_of_calls WHERE organization_id = $1 AND at >= $2 AND at < $3 AND action = 'capability.execute' AND phase = 'completed' GROUP BY target, outcome ORDER BY count(*) DESC, target, outcome LIMIT 1000",
        postgres: "SELECT coalesce(target, ''), outcome, count(*) FROM audit_entry WHERE organization_id = $1 AND at >= $2 AND at < $3 AND action = 'capability.execute' AND phase = 'completed' GROUP BY target, outcome ORDER BY count(*) DESC, target, outcome LIMIT 1000"
    };
}

fn outcome(text: Option<String>) -> Result<Option<AuditOutcome>, StorageError> {
    text.as_deref().map(|it| word(it, AuditOutcome::from_word, "audit outcome")).transpose()
}

impl Tx {
    pub async fn called_tools(
        &mut self,
        organization: OrganizationId,
        (since, before): (Timestamp, Timestamp),
    ) -> Result<Vec<ToolCount>, StorageError> {
        let (org, since, before) = (organization.as_uuid(), since.as_micros(), before.as_micros());
        let rows = fetch_all!(self, TOOLS => (String, Option<String>, i64), org, since, before)?;
        let count = |(target, word, calls)| Ok(ToolCount { target, outcome: outcome(word)?, calls });
        rows.into_iter().map(count).collect()
    }
}
