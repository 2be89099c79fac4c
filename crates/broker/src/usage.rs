//! Counting calls: sums for whoever wants to know how much is called, and what of the quotas is used.
//!
//! Nothing on the way of a call writes a count. Each process counts in memory and adds what it counted to the database
//! every two seconds; in the same statement it learns where the quotas stand with what other processes counted. So a quota
//! is exact within one process, however many calls come at once, and behind a load balancer it may be overrun by what the
//! other processes let through in the last seconds. A process that is killed loses what it counted since; the audit log,
//! which is written before each call, does not.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::json;
use switchboard_domain::{
    Actor, AuditOutcome, AuditRecord, CallError, Caller, ErrorCode, OrganizationId, Period, Principal,
    Timestamp,
};
use switchboard_storage::{QuotaUse, StorageError, Tx, UsageKey, UsageSum};
use tokio::time::Instant;

use crate::{
    Broker,
    quota::{Quota, QuotaSubject},
    snapshot::{Known, Snapshot},
    text,
};

/// A count that nobody here added to for so long is asked for again before it is believed.
const STALE: Duration = Duration::from_secs(5);
/// Counts that nobody here needed for so long are forgotten here.
const UNUSED: Duration = Duration::from_secs(600);
/// For how many days sums are kept: as long as a year is compared with the one before.
pub(crate) const KEPT_DAYS: i64 = 400;

/// What goes to the database in one turn.
type Counted = (Vec<(UsageKey, UsageSum)>, Vec<(QuotaUse, i64)>);

/// Where one quota's count stands.
#[derive(Debug)]
struct Count {
    /// As the database had it.
    known: i64,
    /// Counted here, not on its way yet.
    fresh: i64,
    /// On its way to the database.
    flushing: i64,
    asked: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    sums: Mutex<HashMap<UsageKey, UsageSum>>,
    quotas: Mutex<HashMap<QuotaUse, Count>>,
    /// One at a time brings counts to the database.
    flushing: tokio::sync::Mutex<()>,
}

/// Calls counted against quotas; given back unless [`Self::keep`] is called.
#[derive(Debug)]
#[must_use]
pub(crate) struct Spent<'c> {
    counts: &'c Counts,
    keys: Vec<QuotaUse>,
}

impl Spent<'_> {
    /// The call happens.
    pub(crate) fn keep(mut self) {
        self.keys.clear();
    }
}

impl Drop for Spent<'_> {
    fn drop(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        let mut quotas = self.counts.quotas.lock();
        for key in &self.keys {
            if let Some(count) = quotas.get_mut(key) {
                count.fresh -= 1;
            }
        }
    }
}

impl Counts {
    /// Counts a call for all of these, or for none and says which has no room.
    fn spend(&self, wanted: Vec<(Quota, QuotaUse)>) -> Result<Spent<'_>, Option<Quota>> {
        let mut quotas = self.quotas.lock();
        for (quota, key) in &wanted {
            let count = quotas.get(key).ok_or(None)?;
            let used = count.known.saturating_add(count.flushing).saturating_add(count.fresh);
            if u64::try_from(used).unwrap_or(0) >= quota.calls {
                return Err(Some(*quota));
            }
        }
        // Two quotas of one subject and period can't be; a caller's own and everybody's are one count.
        let keys: HashSet<QuotaUse> = wanted.into_iter().map(|(_, key)| key).collect();
        for key in &keys {
            if let Some(count) = quotas.get_mut(key) {
                count.fresh += 1;
            }
        }
        Ok(Spent { counts: self, keys: keys.into_iter().collect() })
    }

    fn is_known(&self, key: &QuotaUse) -> bool {
        let quotas = self.quotas.lock();
        quotas.get(key).is_some_and(|count| count.fresh != 0 || count.asked.elapsed() < STALE)
    }

    /// What was read, since `began`. What somebody else learned meanwhile is newer.
    fn learn(&self, key: QuotaUse, known: i64, began: Instant) {
        let mut quotas = self.quotas.lock();
        let count = quotas.entry(key).or_insert(Count { known, fresh: 0, flushing: 0, asked: began });
        if count.asked <= began {
            // What is on its way may be in what was read, or not: of both the larger.
            count.known = if count.flushing == 0 { known } else { count.known.max(known) };
            count.asked = Instant::now();
        }
    }

    fn take(&self) -> Counted {
        let sums = self.sums.lock().drain().collect();
        let mut quotas = self.quotas.lock();
        quotas.retain(|_, count| count.fresh != 0 || count.asked.elapsed() < UNUSED);
        let counted = quotas.iter_mut().filter(|(_, count)| count.fresh != 0).map(|(key, count)| {
            count.flushing = std::mem::take(&mut count.fresh);
            (key.clone(), count.flushing)
        });
        (sums, counted.collect())
    }

    fn put_back(&self, sums: Vec<(UsageKey, UsageSum)>) {
        let mut pending = self.sums.lock();
        sums.into_iter().for_each(|(key, sum)| *pending.entry(key).or_default() += sum);
        drop(pending);
        for count in self.quotas.lock().values_mut() {
            count.fresh += std::mem::take(&mut count.flushing);
        }
    }

    fn arrived(&self, totals: Vec<(QuotaUse, i64)>) {
        let mut quotas = self.quotas.lock();
        for (key, total) in totals {
            if let Some(count) = quotas.get_mut(&key) {
                (count.known, count.flushing, count.asked) = (total, 0, Instant::now());
            }
        }
    }
}

impl Broker {
    /// Counts how a call ended.
    pub(crate) fn count_call(
        &self,
        organization: OrganizationId,
        caller: Caller,
        (at, outcome): (Timestamp, AuditOutcome),
        record: &AuditRecord,
    ) {
        let key = UsageKey {
            organization,
            day: at.day(),
            caller: caller.to_string(),
            connection: record.connection.clone().unwrap_or_default(),
            outcome: outcome.as_str(),
        };
        let whole = |number: Option<u64>| i64::try_from(number.unwrap_or(0)).unwrap_or(i64::MAX);
        let sum = UsageSum {
            calls: 1,
            request_bytes: whole(record.request_bytes),
            response_bytes: whole(record.response_bytes),
            duration_ms: whole(record.duration_ms),
        };
        *self.counts().sums.lock().entry(key).or_default() += sum;
    }

    /// Counts a call against the quotas that concern it; refused where one has no room. Without quotas it costs nothing.
    pub(crate) async fn spend_quotas(
        &self,
        snapshot: &Snapshot,
        principal: &Principal,
        known: &Known,
    ) -> Result<Spent<'_>, CallError> {
        let now = self.clock().now();
        let concerning = snapshot.quotas.concerning(principal, known.connection.id);
        let wanted: Vec<_> = concerning
            .into_iter()
            .map(|(quota, subject)| (quota, quota_use(principal.organization, subject, quota.period, now)))
            .collect();
        for (_, key) in &wanted {
            if !self.counts().is_known(key) {
                let began = Instant::now();
                let asked = self.ask_use(key).await;
                let used = asked.map_err(|error| {
                    tracing::error!(%error, "what is used of a quota can't be read");
                    text::unavailable()
                })?;
                self.counts().learn(key.clone(), used, began);
            }
        }
        self.counts().spend(wanted).map_err(|full| match full {
            Some(quota) => used_up(&quota, known, now),
            None => text::unavailable(),
        })
    }

    /// What the database has of a count; where it has none yet, it begins with the calls that ran before.
    async fn ask_use(&self, key: &QuotaUse) -> Result<i64, StorageError> {
        if let Some(used) = self.db().single().await?.usage().used(key).await? {
            return Ok(used);
        }
        let mut tx = self.db().write().await?;
        let ran = ran_before(&mut tx, key).await?;
        tx.usage().begin(key, ran).await?;
        let used = tx.usage().used(key).await?;
        tx.commit().await?;
        Ok(used.unwrap_or(ran))
    }

    /// How much of a quota is used, for whoever looks at it.
    pub(crate) async fn quota_used(
        &self,
        organization: OrganizationId,
        quota: &Quota,
    ) -> Result<i64, StorageError> {
        let now = self.clock().now();
        let key = quota_use(organization, quota.subject, quota.period, now);
        let mut tx = self.db().single().await?;
        match tx.usage().used(&key).await? {
            Some(used) => Ok(used),
            None => ran_before(&mut tx, &key).await,
        }
    }

    /// Brings what was counted here to the database, and what was counted elsewhere here.
    pub(crate) async fn flush_counts(&self) -> Result<(), StorageError> {
        let _turn = self.counts().flushing.lock().await;
        let (sums, counted) = self.counts().take();
        if sums.is_empty() && counted.is_empty() {
            return Ok(());
        }
        let brought = async {
            let mut tx = self.db().write().await?;
            tx.usage().add(&sums).await?;
            let totals = tx.usage().count(&counted).await?;
            tx.commit().await?;
            Ok(totals)
        };
        match brought.await {
            Ok(totals) => {
                self.counts().arrived(totals);
                Ok(())
            }
            Err(error) => {
                self.counts().put_back(sums);
                Err(error)
            }
        }
    }
}

fn quota_use(
    organization: OrganizationId,
    subject: QuotaSubject,
    period: Period,
    now: Timestamp,
) -> QuotaUse {
    let (since, _) = period.days(now);
    QuotaUse { organization, subject: subject.to_string(), period: period.as_str(), since }
}

/// Of the sums: a quota that is set in the middle of a month counts the month.
async fn ran_before(tx: &mut Tx, key: &QuotaUse) -> Result<i64, StorageError> {
    let (organization, since) = (key.organization, key.since);
    match key.subject.parse() {
        Ok(QuotaSubject::Organization) => tx.usage().ran(organization, since, None, None).await,
        Ok(QuotaSubject::Caller(_)) => tx.usage().ran(organization, since, Some(&key.subject), None).await,
        Ok(QuotaSubject::Connection(_)) => {
            tx.usage().ran(organization, since, None, Some(&key.subject)).await
        }
        Ok(QuotaSubject::Team(team)) => {
            let mut ran = 0_i64;
            for member in tx.teams().members(organization, team).await? {
                let member = member.to_string();
                ran = ran.saturating_add(tx.usage().ran(organization, since, Some(&member), None).await?);
            }
            Ok(ran)
        }
        Ok(QuotaSubject::EveryMember) | Err(_) => Ok(0),
    }
}

/// Which quota, who can raise it, when it begins anew.
fn used_up(quota: &Quota, known: &Known, now: Timestamp) -> CallError {
    let (_, next) = quota.period.days(now);
    let resets_at = Timestamp::of_day(next);
    let wait = resets_at.since(now).as_secs() + 1;
    let whose = match quota.subject {
        QuotaSubject::Organization => "of the organization".to_owned(),
        QuotaSubject::EveryMember => "of each member".to_owned(),
        QuotaSubject::Caller(_) => "of your own".to_owned(),
        QuotaSubject::Team(_) => "of a team of yours".to_owned(),
        QuotaSubject::Connection(_) => format!("of everybody to {}", known.connection.name),
    };
    CallError::new(
        ErrorCode::RateLimited,
        format!(
            "The quota is used up: {} {} a {} {whose}. Nothing ran. It begins anew at {resets_at}; an admin of the \
             organization can raise it.",
            quota.calls,
            if quota.calls == 1 { "call" } else { "calls" },
            quota.period.as_str(),
        ),
    )
    .actor(Actor::OrganizationAdmin)
    .retry("execute_capability", Some(wait))
    .details(json!({
        "limit": "quota",
        "quota": quota,
        "resets_at": resets_at,
        "retry_after": wait,
    }))
}
