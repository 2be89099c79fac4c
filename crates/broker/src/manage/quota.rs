//! Quotas, as a whole list.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::json;
use switchboard_domain::{ConnectionId, OrganizationId, Period, Principal, Timestamp};

use super::{Operation, Refusal, Target, authorize, record::Change, refusal::Violations, usage::Names};
use crate::{Broker, Quota, QuotaSubject};

const MOST: usize = 1_000;
const MOST_CALLS: u64 = 1_000_000_000_000;

/// A quota, and how much of it is used.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = QuotaRead)]
pub struct QuotaView {
    /// `organization`, `every_member`, or the id of a member, service account, team or connection.
    #[schema(value_type = String)]
    pub subject: QuotaSubject,
    /// What people call it: email address of a member, name of a service account, team or connection.
    pub name: Option<String>,
    /// `day` or `month`, of the calendar, in UTC.
    #[schema(value_type = String)]
    pub period: Period,
    pub calls: u64,
    /// Calls that ran in the current period; nothing for `every_member`, where it differs from one to the other.
    pub used: Option<i64>,
    #[schema(value_type = String, format = DateTime)]
    pub resets_at: Timestamp,
}

/// All of an organization.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Quotas)]
pub struct QuotasView {
    pub items: Vec<QuotaView>,
    #[serde(skip)]
    pub revision: i64,
}

impl Broker {
    pub async fn read_quotas(&self, principal: &Principal) -> Result<QuotasView, Refusal> {
        let _allowed = authorize(principal, Operation::ReadQuotas, Target::Organization)?;
        self.quotas(principal.organization).await
    }

    async fn quotas(&self, organization: OrganizationId) -> Result<QuotasView, Refusal> {
        self.flush_counts().await?;
        let snapshot = self.snapshot(organization).ok_or_else(Refusal::unavailable)?;
        let subjects: Vec<String> = snapshot.quotas.all().map(|quota| quota.subject.to_string()).collect();
        let names = self.names(organization, subjects.iter().map(String::as_str)).await?;
        let now = self.clock().now();
        let mut items = Vec::new();
        for quota in snapshot.quotas.all().filter(|quota| is_there(quota, &names)) {
            let used = match quota.subject {
                QuotaSubject::EveryMember => None,
                _ => Some(self.quota_used(organization, quota).await?),
            };
            let (_, next) = quota.period.days(now);
            items.push(QuotaView {
                subject: quota.subject,
                name: names.get(&quota.subject.to_string()).map(str::to_owned),
                period: quota.period,
                calls: quota.calls,
                used,
                resets_at: Timestamp::of_day(next),
            });
        }
        items.sort_by_key(|item| (item.subject.to_string(), item.period.as_str()));
        Ok(QuotasView { items, revision: snapshot.version })
    }

    /// Full replacement: there is no way to lose one between two requests.
    pub async fn put_quotas(
        &self,
        principal: &Principal,
        seen: Option<i64>,
        quotas: Vec<Quota>,
    ) -> Result<QuotasView, Refusal> {
        let allowed = authorize(principal, Operation::PutQuotas, Target::Organization)?;
        let organization = principal.organization;
        self.check_quotas(organization, &quotas).await?;
        // The version also grows with changes of others: without an `If-Match`, theirs and ours both count.
        for _ in 0..5 {
            let found = self.db().single().await?.organizations().find(organization).await?;
            let before = found.ok_or_else(Refusal::not_found)?;
            if seen.is_some_and(|seen| seen != before.version) {
                return Err(Refusal::stale());
            }
            let mut settings = if before.settings.is_object() { before.settings.clone() } else { json!({}) };
            settings["quotas"] = json!(quotas);
            let mut tx = self.db().write().await?;
            if tx.organizations().update(organization, &before.name, &settings, before.version).await? {
                let details = json!({ "before": before.settings["quotas"], "after": quotas });
                self.commit_change(&allowed, tx, Change::of("quotas").with(details)).await?;
                return self.quotas(organization).await;
            }
        }
        Err(Refusal::stale())
    }

    async fn check_quotas(&self, organization: OrganizationId, quotas: &[Quota]) -> Result<(), Refusal> {
        let mut violations = Violations::default();
        if quotas.len() > MOST {
            violations.add("", format!("Use at most {MOST} quotas."));
        }
        let subjects: Vec<String> = quotas.iter().map(|quota| quota.subject.to_string()).collect();
        let names = self.names(organization, subjects.iter().map(String::as_str)).await?;
        let mut seen = HashSet::new();
        for (index, quota) in quotas.iter().enumerate() {
            if !is_there(quota, &names) || !self.is_shared(organization, quota) {
                let what = "No member, service account, team or connection of this organization has this id.";
                violations.add(format!("{index}.subject"), what);
            }
            if quota.calls > MOST_CALLS {
                violations.add(format!("{index}.calls"), format!("Use at most {MOST_CALLS}."));
            }
            if !seen.insert((quota.subject, quota.period)) {
                violations.add(index.to_string(), "There is one of the same subject and period already.");
            }
        }
        violations.into_result()
    }

    /// A personal connection is its owner's alone, and no admin's to know of.
    fn is_shared(&self, organization: OrganizationId, quota: &Quota) -> bool {
        let QuotaSubject::Connection(id) = quota.subject else { return true };
        let is_shared = |id: ConnectionId| {
            let snapshot = self.snapshot(organization)?;
            let owner = snapshot.connections.get(&id)?.connection.owner;
            Some(owner == switchboard_domain::ConnectionOwner::Organization)
        };
        is_shared(id).unwrap_or(false)
    }
}

fn is_there(quota: &Quota, names: &Names) -> bool {
    match quota.subject {
        QuotaSubject::Organization | QuotaSubject::EveryMember => true,
        subject => names.get(&subject.to_string()).is_some(),
    }
}
