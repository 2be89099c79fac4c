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
    /// Calls that ended since an instant, the most called tools first.
    TOOLS = "SELECT coalesce(target, ''), outcome, count(*) FROM audit_entry WHERE organization_id = $1 AND at >= $2 AND action = 'capability.execute' AND phase = 'completed' GROUP BY target, outcome ORDER BY count(*) DESC, target, outcome LIMIT 200";
}

fn outcome(text: Option<String>) -> Result<Option<AuditOutcome>, StorageError> {
    text.as_deref().map(|it| word(it, AuditOutcome::from_word, "audit outcome")).transpose()
}

impl Tx {
    pub async fn called_tools(
        &mut self,
        organization: OrganizationId,
        since: Timestamp,
    ) -> Result<Vec<ToolCount>, StorageError> {
        let rows = fetch_all!(self, TOOLS => (String, Option<String>, i64), organization.as_uuid(), since.as_micros())?;
        let count = |(target, word, calls)| Ok(ToolCount { target, outcome: outcome(word)?, calls });
        rows.into_iter().map(count).collect()
    }
}
