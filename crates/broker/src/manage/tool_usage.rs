//! How much is called and with what luck, day by day and tool by tool, for the charts of the console.

use std::collections::BTreeMap;

use switchboard_domain::{AuditOutcome, Principal, Timestamp};

use super::{Operation, Refusal, Target, UsageOf, UsageQuery, authorize, usage::PERSONAL};
use crate::Broker;

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;
/// Tools that are named.
const TOOLS: usize = 10;

/// Calls that ended well, and those that did not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub ok: i64,
    /// The upstream's own errors, failures and refusals.
    pub errors: i64,
}

impl Tally {
    fn add(&mut self, outcome: Option<AuditOutcome>, calls: i64) {
        match outcome {
            Some(AuditOutcome::Ok) => self.ok += calls,
            _ => self.errors += calls,
        }
    }

    pub const fn all(&self) -> i64 {
        self.ok + self.errors
    }
}

#[derive(Debug)]
pub struct CallChart {
    /// Every day, also those without a call, the oldest first: `2026-11-21`, UTC.
    pub days: Vec<(String, Tally)>,
    /// The most called ones, as agents name them.
    pub tools: Vec<(String, Tally)>,
}

impl Broker {
    /// Of the last `days` days, today included.
    pub async fn read_call_chart(&self, principal: &Principal, days: u32) -> Result<CallChart, Refusal> {
        let _allowed = authorize(principal, Operation::ReadUsage, Target::Organization)?;
        let by_connection = UsageQuery { days: Some(days), by: Some(UsageOf::Connection) };
        let counted = self.read_usage(principal, by_connection).await?;
        let today = self.clock().now().as_micros().div_euclid(DAY_MICROS);
        let first = today - i64::from(days) + 1;
        let since = Timestamp::from_micros(first * DAY_MICROS);
        let by_tool = self.db().single().await?.called_tools(principal.organization, since).await?;
        let mut tallies: BTreeMap<String, Tally> =
            (first..=today).map(|day| (date(day), Tally::default())).collect();
        for row in counted.rows {
            let tally = tallies.entry(row.day).or_default();
            tally.ok += row.ok;
            tally.errors += row.calls - row.ok;
        }
        let mut tools: BTreeMap<String, Tally> = BTreeMap::new();
        // What a personal connection is called and has is its owner's alone.
        for count in by_tool.into_iter().filter(|count| !count.target.starts_with(PERSONAL)) {
            tools.entry(count.target).or_default().add(count.outcome, count.calls);
        }
        let mut tools: Vec<(String, Tally)> = tools.into_iter().collect();
        tools.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.all()));
        tools.truncate(TOOLS);
        Ok(CallChart { days: tallies.into_iter().collect(), tools })
    }
}

fn date(day: i64) -> String {
    Timestamp::from_micros(day * DAY_MICROS).to_string().chars().take(10).collect()
}
