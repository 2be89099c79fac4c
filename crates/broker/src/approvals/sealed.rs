//! What an approval is for, as a person sees it: sealed in the database.

use serde::{Deserialize, Serialize};
use switchboard_domain::Caller;
use switchboard_storage::Approval;
use switchboard_vault::{SealContext, open};

use crate::Broker;

/// What a person has to see and a database need not: sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// JSON, as sent.
    pub(crate) arguments: String,
    pub(crate) intent: Option<String>,
}

impl Broker {
    /// Arguments and intent of a stored one.
    pub(crate) async fn open_approval(&self, approval: &Approval) -> Option<Asked> {
        let key = self.data_keys().by_id(approval.organization, approval.data_key).await.ok()??;
        let plain = open(&key.key, &context_of(approval), &approval.sealed).map_err(|error| {
            tracing::error!(approval = %approval.id, %error, "what an approval is for can't be opened");
        });
        serde_json::from_slice(&plain.ok()?).ok()
    }
}

/// Everything here is authenticated by the envelope: a sealed text moved to another row, or beside another digest by
/// way of its row, does not open.
pub(super) fn context_of(approval: &Approval) -> SealContext {
    SealContext {
        organization: approval.organization,
        table: "approval",
        row: approval.id.as_uuid(),
        owner: match approval.requested_by {
            Caller::Member(member) => Some(member.as_uuid()),
            Caller::ServiceAccount(account) => Some(account.as_uuid()),
        },
        field: "sealed",
        version: 1,
    }
}
