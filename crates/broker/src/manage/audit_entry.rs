//! One entry of the audit log, and what the ids in entries are called by people.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use switchboard_domain::{MemberId, Principal, ServiceAccountId, WriterId};

use super::{Operation, Refusal, Target, audit_log::entry_view, authorize};
use crate::Broker;

impl Broker {
    /// By its place: which process wrote it, and its number there.
    pub async fn read_audit_entry(
        &self,
        principal: &Principal,
        writer: WriterId,
        seq: i64,
    ) -> Result<Value, Refusal> {
        let _allowed = authorize(principal, Operation::ReadAudit, Target::Organization)?;
        let before = seq.checked_sub(1).ok_or_else(Refusal::not_found)?;
        let found =
            self.db().single().await?.audit().chain(principal.organization, writer, before, 1).await?;
        found.first().filter(|entry| entry.seq == seq).map(entry_view).ok_or_else(Refusal::not_found)
    }

    /// What to call whoever acts in entries: an address or a name, also of those who have left. An id that is of nobody
    /// here is left out.
    pub async fn actor_names(
        &self,
        principal: &Principal,
        ids: impl IntoIterator<Item = String>,
    ) -> Result<BTreeMap<String, String>, Refusal> {
        let _allowed = authorize(principal, Operation::ReadAudit, Target::Organization)?;
        let organization = principal.organization;
        let ids: BTreeSet<String> = ids.into_iter().collect();
        let members: Vec<MemberId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        let mut tx = self.db().read().await?;
        let mut names = BTreeMap::new();
        for member in tx.members().find_all(organization, &members).await? {
            names.insert(member.id.to_string(), member.email);
        }
        for program in ids.iter().filter_map(|id| id.parse::<ServiceAccountId>().ok()) {
            let found = tx.service_accounts().find(organization, program).await?;
            names.extend(found.map(|it| (program.to_string(), it.name)));
        }
        Ok(names)
    }
}
