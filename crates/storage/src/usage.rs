//! How much is called: sums by day, caller, connection and outcome, and what of the quotas is used. Both are added to in
//! batches, by every process what it counted since the last time.

use switchboard_domain::{AuditOutcome, OrganizationId, Period};
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    row::word,
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// What a sum is of. Names are ids as text: they outlive what they name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsageKey {
    pub organization: OrganizationId,
    /// Days since 1970-01-01, UTC.
    pub day: i64,
    pub caller: String,
    /// Empty for calls that reached none.
    pub connection: String,
    pub outcome: &'static str,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageSum {
    pub calls: i64,
    pub request_bytes: i64,
    pub response_bytes: i64,
    pub duration_ms: i64,
}

impl std::ops::AddAssign for UsageSum {
    fn add_assign(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.request_bytes = self.request_bytes.saturating_add(other.request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(other.response_bytes);
        self.duration_ms = self.duration_ms.saturating_add(other.duration_ms);
    }
}

/// What sums are asked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageBy {
    Caller,
    Connection,
}

/// One sum, by day, caller or connection, and outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageTotal {
    pub day: i64,
    pub of: String,
    pub outcome: AuditOutcome,
    pub sum: UsageSum,
}

/// How many calls were counted against the quotas of one subject in one period.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaUse {
    pub organization: OrganizationId,
    /// `organization`, or the id of a member, service account, team or connection.
    pub subject: String,
    pub period: &'static str,
    /// Its first day.
    pub since: i64,
}

statements! {
    ADD = {
        sqlite: "INSERT INTO call_usage (organization_id, day, caller, connection, outcome, calls, request_bytes, response_bytes, duration_ms) SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8 FROM json_each($1) WHERE true ON CONFLICT (organization_id, day, caller, connection, outcome) DO UPDATE SET calls = call_usage.calls + excluded.calls, request_bytes = call_usage.request_bytes + excluded.request_bytes, response_bytes = call_usage.response_bytes + excluded.response_bytes, duration_ms = call_usage.duration_ms + excluded.duration_ms",
        postgres: "INSERT INTO call_usage (organization_id, day, caller, connection, outcome, calls, request_bytes, response_bytes, duration_ms) SELECT (value ->> 0)::uuid, (value ->> 1)::bigint, value ->> 2, value ->> 3, value ->> 4, (value ->> 5)::bigint, (value ->> 6)::bigint, (value ->> 7)::bigint, (value ->> 8)::bigint FROM json_array_elements($1::json) ON CONFLICT (organization_id, day, caller, connection, outcome) DO UPDATE SET calls = call_usage.calls + excluded.calls, request_bytes = call_usage.request_bytes + excluded.request_bytes, response_bytes = call_usage.response_bytes + excluded.response_bytes, duration_ms = call_usage.duration_ms + excluded.duration_ms"
    };
    BY_CALLER = "SELECT day, caller, outcome, CAST(sum(calls) AS BIGINT), CAST(sum(request_bytes) AS BIGINT), CAST(sum(response_bytes) AS BIGINT), CAST(sum(duration_ms) AS BIGINT) FROM call_usage WHERE organization_id = $1 AND day >= $2 GROUP BY day, caller, outcome ORDER BY day DESC, caller, outcome LIMIT 100000";
    BY_CONNECTION = "SELECT day, connection, outcome, CAST(sum(calls) AS BIGINT), CAST(sum(request_bytes) AS BIGINT), CAST(sum(response_bytes) AS BIGINT), CAST(sum(duration_ms) AS BIGINT) FROM call_usage WHERE organization_id = $1 AND day >= $2 GROUP BY day, connection, outcome ORDER BY day DESC, connection, outcome LIMIT 100000";
    BY_DAY = "SELECT day, outcome, CAST(sum(calls) AS BIGINT) FROM call_usage WHERE organization_id = $1 AND day >= $2 GROUP BY day, outcome";
    /// Calls that ran, of one caller, to one connection, or all.
    RAN = "SELECT CAST(coalesce(sum(calls), 0) AS BIGINT) FROM call_usage WHERE organization_id = $1 AND day >= $2 AND outcome NOT IN ('refused', 'held') AND (CAST($3 AS TEXT) IS NULL OR caller = $3) AND (CAST($4 AS TEXT) IS NULL OR connection = $4)";
    FORGET = "DELETE FROM call_usage WHERE organization_id = $1 AND day < $2";
    COUNT = {
        sqlite: "INSERT INTO quota_use (organization_id, subject, period, since, calls) SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each($1) WHERE true ON CONFLICT (organization_id, subject, period, since) DO UPDATE SET calls = quota_use.calls + excluded.calls RETURNING organization_id, subject, period, since, calls",
        postgres: "INSERT INTO quota_use (organization_id, subject, period, since, calls) SELECT (value ->> 0)::uuid, value ->> 1, value ->> 2, (value ->> 3)::bigint, (value ->> 4)::bigint FROM json_array_elements($1::json) ON CONFLICT (organization_id, subject, period, since) DO UPDATE SET calls = quota_use.calls + excluded.calls RETURNING organization_id, subject, period, since, calls"
    };
    USED = "SELECT calls FROM quota_use WHERE organization_id = $1 AND subject = $2 AND period = $3 AND since = $4";
    /// What ran before anybody counted it; whoever comes first says so.
    BEGIN = "INSERT INTO quota_use (organization_id, subject, period, since, calls) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    FORGET_USE = "DELETE FROM quota_use WHERE organization_id = $1 AND since < $2";
}

impl Tx {
    pub fn usage(&mut self) -> Usage<'_> {
        Usage { tx: self }
    }
}

/// See [`Tx::usage`].
#[derive(Debug)]
pub struct Usage<'t> {
    tx: &'t mut Tx,
}

impl Usage<'_> {
    /// Adds what was counted. In order of their keys, so that two processes never wait for each other in a circle.
    pub async fn add(self, counted: &[(UsageKey, UsageSum)]) -> Result<(), StorageError> {
        let mut counted: Vec<_> = counted.iter().collect();
        counted.sort_unstable_by_key(|(key, _)| key);
        let rows: Vec<_> = counted
            .into_iter()
            .map(|(key, sum)| {
                let organization = key.organization.as_uuid().simple().to_string();
                let sums = (sum.calls, sum.request_bytes, sum.response_bytes, sum.duration_ms);
                (
                    organization,
                    key.day,
                    &key.caller,
                    &key.connection,
                    key.outcome,
                    sums.0,
                    sums.1,
                    sums.2,
                    sums.3,
                )
            })
            .collect();
        let rows = serde_json::to_string(&rows).map_err(|_| StorageError::Unreadable("usage"))?;
        execute!(self.tx, ADD, &rows).map(drop)
    }

    /// Sums since a day; of the newest days first, where there are too many.
    pub async fn totals(
        self,
        organization: OrganizationId,
        since: i64,
        by: UsageBy,
    ) -> Result<Vec<UsageTotal>, StorageError> {
        type Row = (i64, String, String, i64, i64, i64, i64);
        let org = organization.as_uuid();
        let rows = match by {
            UsageBy::Caller => fetch_all!(self.tx, BY_CALLER => Row, org, since)?,
            UsageBy::Connection => fetch_all!(self.tx, BY_CONNECTION => Row, org, since)?,
        };
        rows.into_iter()
            .map(|(day, of, outcome, calls, request_bytes, response_bytes, duration_ms)| {
                let outcome = word(&outcome, AuditOutcome::from_word, "usage outcome")?;
                let sum = UsageSum { calls, request_bytes, response_bytes, duration_ms };
                Ok(UsageTotal { day, of, outcome, sum })
            })
            .collect()
    }

    /// All calls since a day, by day and outcome.
    pub async fn by_day(
        self,
        organization: OrganizationId,
        since: i64,
    ) -> Result<Vec<(i64, AuditOutcome, i64)>, StorageError> {
        let rows = fetch_all!(self.tx, BY_DAY => (i64, String, i64), organization.as_uuid(), since)?;
        rows.into_iter()
            .map(|(day, outcome, calls)| {
                Ok((day, word(&outcome, AuditOutcome::from_word, "usage outcome")?, calls))
            })
            .collect()
    }

    /// How many calls ran since a day.
    pub async fn ran(
        self,
        organization: OrganizationId,
        since: i64,
        caller: Option<&str>,
        connection: Option<&str>,
    ) -> Result<i64, StorageError> {
        let org = organization.as_uuid();
        let row = fetch_optional!(self.tx, RAN => (i64,), org, since, caller, connection)?;
        Ok(row.map_or(0, |(calls,)| calls))
    }

    /// Adds what was counted against quotas, and answers where they stand now, with what other processes counted.
    pub async fn count(self, counted: &[(QuotaUse, i64)]) -> Result<Vec<(QuotaUse, i64)>, StorageError> {
        let mut counted: Vec<_> = counted.iter().collect();
        counted.sort_unstable_by_key(|(key, _)| key);
        let rows: Vec<_> = counted
            .into_iter()
            .map(|(key, calls)| {
                let organization = key.organization.as_uuid().simple().to_string();
                (organization, &key.subject, key.period, key.since, calls)
            })
            .collect();
        let rows = serde_json::to_string(&rows).map_err(|_| StorageError::Unreadable("quota use"))?;
        fetch_all!(self.tx, COUNT => (Uuid, String, String, i64, i64), &rows)?
            .into_iter()
            .map(|(organization, subject, period, since, calls)| {
                let organization = OrganizationId::from_uuid(organization);
                let period = word(&period, Period::from_word, "quota period")?.as_str();
                Ok((QuotaUse { organization, subject, period, since }, calls))
            })
            .collect()
    }

    /// `None` when nobody counted yet.
    pub async fn used(self, key: &QuotaUse) -> Result<Option<i64>, StorageError> {
        let org = key.organization.as_uuid();
        let row = fetch_optional!(self.tx, USED => (i64,), org, &key.subject, key.period, key.since)?;
        Ok(row.map(|(calls,)| calls))
    }

    /// Begins a count with what ran before, unless somebody did already.
    pub async fn begin(self, key: &QuotaUse, calls: i64) -> Result<(), StorageError> {
        let org = key.organization.as_uuid();
        execute!(self.tx, BEGIN, org, &key.subject, key.period, key.since, calls).map(drop)
    }

    /// Removes sums and counts of days before.
    pub async fn forget(self, organization: OrganizationId, before: i64) -> Result<(), StorageError> {
        execute!(self.tx, FORGET, organization.as_uuid(), before)?;
        execute!(self.tx, FORGET_USE, organization.as_uuid(), before).map(drop)
    }
}
