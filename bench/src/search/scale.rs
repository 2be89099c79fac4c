//! How latency, memory and the time of an update grow with the number of tools.
//!
//! Tools come from the given sets, repeated with other names and words until there are enough: more of
//! the same would make every term rarer or commoner than it is in an organization.

use std::time::{Duration, Instant};

use serde::Serialize;
use switchboard_catalog::{
    ConnectionLabel, ConnectionSet, Definition, EntryRef, Index,
    search::{Ranking, SearchQuery},
};
use switchboard_domain::{Random, SeededRandom};

use super::{
    corpus::{connection_id, definition},
    fastest, percentile, round,
    sets::{Set, Tool},
};

const MOST_CONNECTIONS: usize = 500;
const MOST_QUERIES: usize = 1_500;
const UPDATES: usize = 100;

#[derive(Debug, Serialize)]
pub struct Line {
    pub scale: usize,
    connections: usize,
    build_ms: f64,
    /// Growth of resident memory while the index was filled, nothing else being kept.
    memory_mb: f64,
    /// Replacing one connection, its definitions being there.
    update_p50_us: f64,
    update_p99_us: f64,
    /// Everything granted.
    p50_us: f64,
    p99_us: f64,
    /// Half of the connections granted, and a rule that decides about each match.
    granted_p50_us: f64,
    granted_p99_us: f64,
    /// The same while another thread replaces one connection after the other.
    updating_p50_us: f64,
    updating_p99_us: f64,
}

pub fn measure(sets: &[Set], tools: usize, ranking: Ranking) -> Result<Line, String> {
    let source: Vec<&Tool> = sets.iter().flat_map(|set| &set.tools).collect();
    let queries: Vec<&str> =
        sets.iter().flat_map(|set| &set.queries).map(|query| query.query.as_str()).collect();
    if queries.is_empty() {
        return Err("--scale needs a set with queries".to_owned());
    }
    let queries: Vec<&str> = queries.iter().step_by(queries.len().div_ceil(MOST_QUERIES)).copied().collect();
    let maker = Maker::new(source);
    let connections = (tools / 20).clamp(1, MOST_CONNECTIONS);
    let index = Index::with_ranking(ranking);
    let memory = resident_kilobytes();
    let start = Instant::now();
    for connection in 0..connections {
        maker.fill(&index, connection, connections, tools)?;
    }
    let build = start.elapsed();
    let memory = resident_kilobytes().saturating_sub(memory);
    let all: ConnectionSet = (0..connections).map(connection_id).collect();
    let half: ConnectionSet = (0..connections).step_by(2).map(connection_id).collect();
    let updates = (0..UPDATES.min(connections))
        .map(|connection| {
            let definitions = maker.definitions(connection, connections, tools)?;
            fastest(|| {
                maker.put(&index, connection, connections, tools, &definitions);
                Ok(())
            })
        })
        .collect::<Result<Vec<_>, String>>();
    let mut updates = updates?;
    updates.sort_unstable();
    let search = |allowed: &ConnectionSet, filter: Option<&dyn Fn(EntryRef<'_>) -> bool>| {
        let ask = |text: &str| {
            let query = SearchQuery { text, connection: None, allowed, limit: 5, offset: 0 };
            std::hint::black_box(index.search(&query, filter));
            Ok(())
        };
        queries.iter().take(200).try_for_each(|text| ask(text))?;
        times(queries.clone(), ask)
    };
    let rule = |entry: EntryRef<'_>| !entry.name().starts_with("delete");
    let everything = search(&all, None)?;
    let granted = search(&half, Some(&rule))?;
    let stop = std::sync::atomic::AtomicBool::new(false);
    let updating = std::thread::scope(|scope| {
        scope.spawn(|| {
            for connection in (0..connections).cycle() {
                if stop.load(std::sync::atomic::Ordering::Relaxed)
                    || maker.fill(&index, connection, connections, tools).is_err()
                {
                    break;
                }
            }
        });
        let measured = search(&all, None);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        measured
    })?;
    Ok(Line {
        scale: index.tools(None),
        connections,
        build_ms: round(build.as_secs_f64() * 1e3, 1),
        memory_mb: round(memory as f64 / 1024.0, 1),
        update_p50_us: percentile(&updates, 0.5),
        update_p99_us: percentile(&updates, 0.99),
        p50_us: percentile(&everything, 0.5),
        p99_us: percentile(&everything, 0.99),
        granted_p50_us: percentile(&granted, 0.5),
        granted_p99_us: percentile(&granted, 0.99),
        updating_p50_us: percentile(&updating, 0.5),
        updating_p99_us: percentile(&updating, 0.99),
    })
}

/// How long each call took, in order of length.
fn times<T: Copy>(
    inputs: Vec<T>,
    mut call: impl FnMut(T) -> Result<(), String>,
) -> Result<Vec<Duration>, String> {
    let mut times = Vec::with_capacity(inputs.len());
    for input in inputs {
        times.push(fastest(|| call(input))?);
    }
    times.sort_unstable();
    Ok(times)
}

/// From `/proc/self/status` (Linux); zero elsewhere.
fn resident_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Makes tools that resemble the given ones.
struct Maker<'a> {
    source: Vec<&'a Tool>,
    words: Vec<&'a str>,
}

impl<'a> Maker<'a> {
    fn new(source: Vec<&'a Tool>) -> Self {
        let words = source
            .iter()
            .filter_map(|tool| tool.description.as_deref())
            .flat_map(str::split_whitespace)
            .filter(|word| word.len() > 3 && word.bytes().all(|byte| byte.is_ascii_lowercase()))
            .collect();
        Self { source, words }
    }

    fn definitions(
        &self,
        connection: usize,
        connections: usize,
        tools: usize,
    ) -> Result<Vec<Definition>, String> {
        (tools * connection / connections..tools * (connection + 1) / connections)
            .map(|number| self.tool(number))
            .collect()
    }

    fn put(
        &self,
        index: &Index,
        connection: usize,
        connections: usize,
        tools: usize,
        definitions: &[Definition],
    ) {
        let first = self.source[tools * connection / connections % self.source.len()];
        let server: String = super::corpus::slug(&first.server).chars().take(40).collect();
        let slug = format!("{server}-{connection}");
        index.replace(
            ConnectionLabel { id: connection_id(connection), slug: &slug, name: &first.server },
            definitions,
        );
    }

    fn fill(&self, index: &Index, connection: usize, connections: usize, tools: usize) -> Result<(), String> {
        let definitions = self.definitions(connection, connections, tools)?;
        self.put(index, connection, connections, tools, &definitions);
        Ok(())
    }

    /// The tool of this number: one of the sources as it is, or one with other words.
    fn tool(&self, number: usize) -> Result<Definition, String> {
        let tool = self.source[number % self.source.len()];
        let copy = number / self.source.len();
        if copy == 0 || self.words.is_empty() {
            return definition(tool, &tool.name);
        }
        let random = SeededRandom::new(number as u64);
        let word = || self.words[((&random as &dyn Random).unit() * self.words.len() as f64) as usize];
        let name =
            format!("{}_{}_{number}", tool.name.split(['_', '-', ' ']).next().unwrap_or("get"), word());
        let description: Vec<&str> = tool
            .description
            .as_deref()
            .unwrap_or_default()
            .split_whitespace()
            .enumerate()
            .map(|(place, original)| if place % 3 == 2 { word() } else { original })
            .collect();
        let changed = Tool { description: Some(description.join(" ")), ..tool.clone() };
        definition(&changed, &name)
    }
}
