//! `switchboard-bench search`: how well and how fast the index of `switchboard-catalog` answers.
//!
//! A set is a folder with `tools.jsonl` (`{id, server, name, description, input_schema?}`) and,
//! unless it is only there as a crowd, `queries.jsonl` (`{query, relevant, groups?, kind}`).

use std::{
    io::Write as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde::Serialize;
use switchboard_catalog::search::Ranking;

mod corpus;
#[cfg(test)]
mod floors;
mod quality;
mod scale;
mod sets;

use corpus::Corpus;
use sets::Set;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A set, or a folder of sets
    #[arg(required = true)]
    directories: Vec<PathBuf>,
    /// Search the tools of all sets together
    #[arg(long)]
    pool: bool,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
    /// A line for each kind of query, too
    #[arg(long)]
    kinds: bool,
    /// Latency, memory and update time with so many tools, made from those given
    #[arg(long, value_delimiter = ',', value_name = "TOOLS")]
    scale: Vec<usize>,
    /// Change a figure of the ranking, to measure what it is worth: NAME=VALUE[,VALUE…]
    #[arg(long = "ranking", value_name = "NAME=VALUE")]
    ranking: Vec<String>,
}

/// One set against one collection of tools.
#[derive(Debug, Serialize)]
struct Line {
    set: String,
    queries: usize,
    tools: usize,
    hit1: f64,
    recall5: f64,
    ndcg10: f64,
    mrr: f64,
    p50_us: f64,
    p99_us: f64,
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let sets = sets::load(&arguments.directories)?;
    let ranking = ranking(&arguments.ranking)?;
    if !arguments.scale.is_empty() {
        return arguments.scale.iter().try_for_each(|&tools| {
            let line = scale::measure(&sets, tools, ranking)?;
            let text = serde_json::to_string(&line).map_err(|error| error.to_string())?;
            writeln!(std::io::stdout(), "{text}").map_err(|error| error.to_string())
        });
    }
    let mut lines = Vec::new();
    if arguments.pool {
        let pool = Corpus::new(sets.iter().flat_map(|set| &set.tools), ranking)?;
        for set in sets.iter().filter(|set| !set.queries.is_empty()) {
            measure(set, &pool, arguments.kinds, &mut lines);
        }
    } else {
        for set in sets.iter().filter(|set| !set.queries.is_empty()) {
            let own = Corpus::new(&set.tools, ranking)?;
            measure(set, &own, arguments.kinds, &mut lines);
        }
    }
    print(&lines, arguments.json).map_err(|error| format!("the result can't be written: {error}"))
}

fn ranking(changes: &[String]) -> Result<Ranking, String> {
    let mut ranking = Ranking::default();
    for change in changes {
        let (name, values) = change.split_once('=').ok_or("--ranking takes NAME=VALUE")?;
        let values: Vec<f32> = values
            .split(',')
            .map(|value| value.parse().map_err(|_| format!("`{value}` is not a number")))
            .collect::<Result<_, _>>()?;
        if !ranking.set(name, &values) {
            return Err(format!("the ranking has no figure `{name}` with {} values", values.len()));
        }
    }
    Ok(ranking)
}

fn measure(set: &Set, corpus: &Corpus, kinds: bool, lines: &mut Vec<Line>) {
    let mut judged = Vec::with_capacity(set.queries.len());
    let mut times = Vec::with_capacity(set.queries.len());
    // The first round warms caches up and is not timed.
    for query in &set.queries {
        judged.push(quality::judge(query, &corpus.answer(&query.query, 10)));
    }
    for query in &set.queries {
        let time = fastest(|| {
            std::hint::black_box(corpus.answer(&query.query, 5));
            Ok(())
        });
        times.push(time.unwrap_or_default());
    }
    let mut line = |name: String, chosen: &dyn Fn(&sets::Query) -> bool| {
        let places: Vec<usize> = (0..set.queries.len()).filter(|&at| chosen(&set.queries[at])).collect();
        let quality = quality::mean(&places.iter().map(|&at| judged[at]).collect::<Vec<_>>());
        let mut times: Vec<Duration> = places.iter().map(|&at| times[at]).collect();
        times.sort_unstable();
        lines.push(Line {
            set: name,
            queries: places.len(),
            tools: corpus.tools,
            hit1: round(quality.hit1, 4),
            recall5: round(quality.recall5, 4),
            ndcg10: round(quality.ndcg10, 4),
            mrr: round(quality.mrr, 4),
            p50_us: percentile(&times, 0.50),
            p99_us: percentile(&times, 0.99),
        });
    };
    line(set.name.clone(), &|_| true);
    if kinds {
        let mut names: Vec<&str> = set.queries.iter().map(|query| query.kind.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for kind in names {
            line(format!("{}/{kind}", set.name), &|query| query.kind == kind);
        }
    }
}

/// The shortest of three: a slice of time given to another process is no property of the index, while what
/// a question costs comes back each time.
fn fastest(mut call: impl FnMut() -> Result<(), String>) -> Result<Duration, String> {
    let mut shortest = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        call()?;
        shortest = shortest.min(start.elapsed());
    }
    Ok(shortest)
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// Nearest rank, in microseconds; `times` in order.
fn percentile(times: &[Duration], share: f64) -> f64 {
    let place = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len().max(1)) - 1;
    times.get(place).map_or(0.0, |time| round(time.as_secs_f64() * 1e6, 1))
}

fn print(lines: &[Line], json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if !json {
        writeln!(
            out,
            "{:28} {:>7} {:>6}  hit@1  rec@5  ndcg   mrr    p50 µs   p99 µs",
            "set", "queries", "tools"
        )?;
    }
    for line in lines {
        if json {
            writeln!(out, "{}", serde_json::to_string(line)?)?;
        } else {
            writeln!(
                out,
                "{:28} {:>7} {:>6}  {:.3}  {:.3}  {:.3}  {:.3} {:>8.1} {:>8.1}",
                line.set,
                line.queries,
                line.tools,
                line.hit1,
                line.recall5,
                line.ndcg10,
                line.mrr,
                line.p50_us,
                line.p99_us
            )?;
        }
    }
    Ok(())
}
