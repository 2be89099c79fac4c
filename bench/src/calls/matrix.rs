//! Cells of the matrix and the table they make.

use std::fmt::Write as _;

use super::figures::Figures;
use super::{Cell, Era, Report};

const CLIENTS: [usize; 4] = [1, 16, 64, 256];
const RESULT_BYTES: [usize; 2] = [64, 1_000_000];

pub fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for result_bytes in RESULT_BYTES {
        for era in [Era::Modern, Era::Legacy] {
            cells.extend(CLIENTS.map(|clients| Cell { clients, era, result_bytes }));
        }
    }
    cells
}

fn optional(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "n/a".to_owned(), |value| format!("{value:.digits$}"))
}

/// A figure of the target over the same figure of the yardstick.
fn ratio(of: Option<f64>, yardstick: Option<f64>) -> String {
    match (of, yardstick) {
        (Some(of), Some(yardstick)) if yardstick > 0.0 => format!("{:.2}", of / yardstick),
        _ => "n/a".to_owned(),
    }
}

fn row(table: &mut String, report: &Report, name: &str, figures: &Figures) {
    let yardstick = report.yardstick.as_ref();
    let size = report.result_bytes.map_or_else(|| "250 tools".to_owned(), |bytes| format!("{bytes} B"));
    // Writing to a String cannot fail.
    let _ = writeln!(
        table,
        "| {} | {size} | {} | {name} | {:.0} | {:.3} | {:.3} | {} | {} | {} | {} | {} |",
        report.era,
        report.clients,
        figures.calls_per_second,
        figures.p50_ms,
        figures.p99_ms,
        optional(figures.cpu_us_per_call, 0),
        optional(figures.rss_mb, 0),
        ratio(Some(figures.calls_per_second), yardstick.map(|figures| figures.calls_per_second)),
        ratio(figures.cpu_us_per_call, yardstick.and_then(|figures| figures.cpu_us_per_call)),
        figures.errors,
    );
}

pub fn markdown(reports: &[Report]) -> String {
    let mut table = String::from(
        "| era | answer | clients | target | calls/s | p50 ms | p99 ms | CPU µs/call | RSS MB | calls/s ÷ yardstick | CPU ÷ yardstick | errors |\n\
         |---|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for report in reports {
        let own = [
            ("direct", &report.direct),
            ("switchboard", &report.switchboard),
            ("yardstick", &report.yardstick),
        ];
        for (name, figures) in own {
            if let Some(figures) = figures {
                row(&mut table, report, name, figures);
            }
        }
        for (name, value) in &report.peers {
            match serde_json::from_value::<Figures>(value.clone()) {
                Ok(figures) => row(&mut table, report, name, &figures),
                Err(_) => {
                    let _ = writeln!(
                        table,
                        "| {} | | {} | {name} | not measured | | | | | | | |",
                        report.era, report.clients
                    );
                }
            }
        }
    }
    table
}
