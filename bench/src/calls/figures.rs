//! What is reported of one target.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::load::Sample;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    pub calls_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Of the target's own process; absent when its process is not on this machine.
    pub cpu_us_per_call: Option<f64>,
    pub rss_mb: Option<f64>,
    pub errors: u64,
}

/// Rounds of one target, added up.
#[derive(Debug, Default)]
pub struct Tally {
    elapsed: Duration,
    latencies: Vec<Duration>,
    cpu_us: Option<u64>,
    rss_mb: Option<f64>,
    pub errors: u64,
    pub first_error: Option<String>,
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

impl Tally {
    pub fn add(&mut self, sample: Sample, cpu_us: Option<u64>, rss_mb: Option<f64>) {
        self.elapsed += sample.elapsed;
        self.latencies.extend(sample.latencies);
        self.errors += sample.errors;
        self.first_error = self.first_error.take().or(sample.first_error);
        self.cpu_us = cpu_us.map(|us| us + self.cpu_us.unwrap_or(0)).or(self.cpu_us);
        self.rss_mb = rss_mb.map(|mb| mb.max(self.rss_mb.unwrap_or(0.0))).or(self.rss_mb);
    }

    /// `None` when no call succeeded inside the window: there is nothing to report then.
    pub fn figures(&mut self) -> Option<Figures> {
        self.latencies.sort_unstable();
        let calls = self.latencies.len();
        if calls == 0 {
            return None;
        }
        // Nearest rank: the smallest latency that this share of the calls did not exceed.
        let percentile = |share: f64| {
            let rank = (share * calls as f64).ceil() as usize;
            self.latencies.get(rank.saturating_sub(1)).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
        };
        let per_call = |us: u64| rounded(us as f64 / calls as f64, 1);
        Some(Figures {
            calls_per_second: rounded(calls as f64 / self.elapsed.as_secs_f64(), 1),
            p50_ms: rounded(percentile(0.50), 3),
            p99_ms: rounded(percentile(0.99), 3),
            cpu_us_per_call: self.cpu_us.map(per_call),
            rss_mb: self.rss_mb.map(|mb| rounded(mb, 1)),
            errors: self.errors,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_rounds_together() {
        let mut tally = Tally::default();
        for round in 0..2_u64 {
            let latencies = (1..=50).map(|step| Duration::from_millis(round * 50 + step)).collect();
            let sample =
                Sample { elapsed: Duration::from_secs(1), latencies, errors: round, first_error: None };
            tally.add(sample, Some(1_000), Some(10.0 + round as f64));
        }
        let figures = tally.figures().expect("figures");
        assert_eq!(figures.p50_ms, 50.0);
        assert_eq!(figures.p99_ms, 99.0);
        assert_eq!(figures.calls_per_second, 50.0);
        assert_eq!(figures.cpu_us_per_call, Some(20.0));
        assert_eq!(figures.rss_mb, Some(11.0));
        assert_eq!(figures.errors, 1);
    }

    #[test]
    fn without_a_call_there_are_no_figures() {
        let mut tally = Tally::default();
        let nothing = Sample { elapsed: Duration::from_secs(1), errors: 3, ..Sample::default() };
        tally.add(nothing, Some(1_000), None);
        assert!(tally.figures().is_none());
        assert_eq!(tally.errors, 3);
    }
}
