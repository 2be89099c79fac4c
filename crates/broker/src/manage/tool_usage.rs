//! How much is called and with what luck, day by day and tool by tool, for the charts of the console.
//!
//! Days that are over don't change, so each process keeps their sums and asks for the open ones alone: a long log is walked
//! through once a day, not for every look at the page.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use switchboard_domain::{AuditOutcome, OrganizationId, Principal, Timestamp};

use super::{Operation, Refusal, Target, authorize, usage::PERSONAL};
use crate::Broker;

/// Of how many days charts are offered.
pub const CHARTS: [u32; 3] = [7, 30, LONGEST];
const LONGEST: u32 = 90;
/// Tools that are named.
const TOOLS: usize = 10;
/// What is dated in a day reaches the log and the sums at most so much after its end.
const LATE: Duration = Duration::from_secs(60 * 60);

/// For how long a count is good enough to tell how far back a page looks.
const NEARLY: Duration = Duration::from_secs(10 * 60);

/// Calls that ended well, those that did not, and those that waited for somebody to let them through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub ok: i64,
    /// The upstream's own errors, failures and refusals.
    pub errors: i64,
    /// Those that waited for a person.
    pub held: i64,
}

impl Tally {
    fn add(&mut self, outcome: Option<AuditOutcome>, calls: i64) {
        match outcome {
            Some(AuditOutcome::Ok) => self.ok += calls,
            Some(AuditOutcome::Held) => self.held += calls,
            _ => self.errors += calls,
        }
    }

    pub const fn all(&self) -> i64 {
        self.ok + self.errors + self.held
    }
}

#[derive(Debug)]
pub struct CallChart {
    /// Every day, also those without a call, the oldest first: `2026-11-21`, UTC.
    pub days: Vec<(String, Tally)>,
    /// The most called ones, as agents name them.
    pub tools: Vec<(String, Tally)>,
}

/// Tools that were called, from a day on and before another.
type ClosedTools = (i64, i64, BTreeMap<String, Tally>);

/// Days and their calls.
type CallsByDay = Arc<[(i64, i64)]>;

/// Sums of days that are over.
#[derive(Debug, Default)]
pub(crate) struct CountedDays {
    days: Mutex<HashMap<OrganizationId, BTreeMap<i64, Tally>>>,
    /// By how many days are looked at.
    tools: Mutex<HashMap<(OrganizationId, u32), ClosedTools>>,
    /// All calls of each day, and when that was counted.
    nearly: Mutex<HashMap<OrganizationId, (Timestamp, CallsByDay)>>,
    /// The day on which they were all asked for beforehand.
    prepared: Mutex<HashMap<OrganizationId, i64>>,
}

/// Which days are looked at. From `open` on they may still grow.
#[derive(Debug, Clone, Copy)]
struct Days {
    count: u32,
    first: i64,
    open: i64,
    today: i64,
}

impl Broker {
    /// Has the days that are over counted, once a day, while an admin looks at something else: the charts don't keep them
    /// waiting then.
    pub fn prepare_call_charts(&self, principal: &Principal) {
        let today = self.clock().now().day();
        let is_allowed = authorize(principal, Operation::ReadUsage, Target::Organization).is_ok();
        let before = || self.counted_days().prepared.lock().insert(principal.organization, today);
        if !is_allowed || before() == Some(today) {
            return;
        }
        let (broker, principal) = (self.clone(), principal.clone());
        self.spawn(async move {
            for days in CHARTS {
                // What fails here is asked for again, and said, where somebody waits for it.
                if broker.read_call_chart(&principal, days).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Of the last `days` days, today included.
    pub async fn read_call_chart(&self, principal: &Principal, days: u32) -> Result<CallChart, Refusal> {
        let _allowed = authorize(principal, Operation::ReadUsage, Target::Organization)?;
        self.flush_counts().await?;
        let days = self.last_days(days);
        let organization = principal.organization;
        let by_day = self.calls_by_day(organization, days).await?;
        let mut tools: Vec<_> = self.calls_by_tool(organization, days).await?.into_iter().collect();
        tools.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.all()));
        tools.truncate(TOOLS);
        Ok(CallChart { days: by_day.into_iter().map(|(day, tally)| (date(day), tally)).collect(), tools })
    }

    /// The day since which at most so many calls ended before `ends`, its own day whole; `None` when there are no more, as
    /// far as charts go back. By the sums, so nearly.
    pub(super) async fn since_so_many_calls(
        &self,
        organization: OrganizationId,
        ends: Timestamp,
        most: i64,
    ) -> Result<Option<Timestamp>, Refusal> {
        let days = self.last_days(LONGEST);
        let last = ends.minus(Duration::from_micros(1)).day().min(days.today);
        let by_day = self.nearly_by_day(organization, days).await?;
        Ok(day_of(by_day.iter().copied(), last, most).map(Timestamp::of_day))
    }

    /// How many calls a day had, as of some minutes ago.
    async fn nearly_by_day(&self, organization: OrganizationId, days: Days) -> Result<CallsByDay, Refusal> {
        let now = self.clock().now();
        let kept = self.counted_days().nearly.lock().get(&organization).cloned();
        if let Some((_, by_day)) = kept.filter(|(at, _)| now.since(*at) < NEARLY) {
            return Ok(by_day);
        }
        let by_day = self.calls_by_day(organization, days).await?;
        let by_day: CallsByDay = by_day.iter().map(|(day, tally)| (*day, tally.all())).collect();
        self.counted_days().nearly.lock().insert(organization, (now, by_day.clone()));
        Ok(by_day)
    }

    fn last_days(&self, count: u32) -> Days {
        let now = self.clock().now();
        let (today, open) = (now.day(), now.minus(LATE).day());
        Days { count, first: today - i64::from(count) + 1, open, today }
    }

    async fn calls_by_day(
        &self,
        organization: OrganizationId,
        days: Days,
    ) -> Result<Vec<(i64, Tally)>, Refusal> {
        let mut known = self.counted_days().days.lock().get(&organization).cloned().unwrap_or_default();
        let unknown = (days.first..days.open).find(|day| !known.contains_key(day)).unwrap_or(days.open);
        known.retain(|day, _| *day < unknown);
        for (day, outcome, calls) in self.db().single().await?.usage().by_day(organization, unknown).await? {
            known.entry(day).or_default().add(Some(outcome), calls);
        }
        let shown = (days.first..=days.today).map(|day| (day, known.get(&day).copied().unwrap_or_default()));
        let shown: Vec<(i64, Tally)> = shown.collect();
        known.extend(shown.iter().copied());
        known.retain(|day, _| *day < days.open);
        self.counted_days().days.lock().insert(organization, known);
        Ok(shown)
    }

    async fn calls_by_tool(
        &self,
        organization: OrganizationId,
        days: Days,
    ) -> Result<BTreeMap<String, Tally>, Refusal> {
        let key = (organization, days.count);
        let kept = self.counted_days().tools.lock().get(&key).cloned();
        let (first, open) = (days.first, days.open.max(days.first));
        let closed = match kept {
            Some((from, until, tools)) if (from, until) == (first, open) => tools,
            _ => {
                let mut tools = BTreeMap::new();
                self.add_tools(organization, (first, open), &mut tools).await?;
                self.counted_days().tools.lock().insert(key, (first, open, tools.clone()));
                tools
            }
        };
        let mut tools = closed;
        self.add_tools(organization, (open, days.today + 1), &mut tools).await?;
        Ok(tools)
    }

    async fn add_tools(
        &self,
        organization: OrganizationId,
        (from, until): (i64, i64),
        tools: &mut BTreeMap<String, Tally>,
    ) -> Result<(), Refusal> {
        let within = (Timestamp::of_day(from), Timestamp::of_day(until));
        let counted = self.db().single().await?.called_tools(organization, within).await?;
        // What a personal connection is called and has is its owner's alone.
        for count in counted.into_iter().filter(|count| !count.target.starts_with(PERSONAL)) {
            tools.entry(count.target).or_default().add(count.outcome, count.calls);
        }
        Ok(())
    }
}

/// The first of the days up to `last` that have at most so many calls together; `last` itself has as many as it likes.
fn day_of(by_day: impl DoubleEndedIterator<Item = (i64, i64)>, last: i64, most: i64) -> Option<i64> {
    let mut calls = 0;
    by_day.rev().filter(|(day, _)| *day <= last).find_map(|(day, more)| {
        calls += more;
        (calls > most && day < last).then_some(day + 1)
    })
}

fn date(day: i64) -> String {
    Timestamp::of_day(day).to_string().chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::day_of;

    #[test]
    fn as_many_days_as_have_so_many_calls() {
        let days = [(1, 5), (2, 5), (3, 0), (4, 5), (5, 100), (6, 1)];
        let since = |last, most| day_of(days.into_iter(), last, most);
        assert_eq!(since(4, 9), Some(3), "the second would be one too many");
        assert_eq!(since(4, 10), Some(2));
        assert_eq!(since(4, 15), None, "there are no more");
        assert_eq!(since(6, 50), Some(6));
        assert_eq!(since(5, 50), Some(5), "a day is looked at whole");
        assert_eq!((since(1, 1), since(0, 1)), (None, None));
    }
}
