//! `switchboard-bench calls`: the same upstream asked directly, through Switchboard, through the yardstick and
//! through peers, in turn, in one run on one machine.
//!
//! Upstream, Switchboard and yardstick are processes of their own. CPU time and memory are those of the
//! process under test alone, as the kernel counts them; for `direct` those of the upstream.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

mod field;
mod figures;
mod http;
mod load;
mod matrix;
pub mod process;
pub mod switchboard;
mod wire;

use field::{Contender, Field};
use figures::{Figures, Tally};
pub use wire::Era;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many clients call at the same time, each on its own connection
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// How long each target is measured, each round
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How long each target is called before it is measured
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    #[arg(long, value_enum, default_value_t = Era::Modern)]
    era: Era,
    /// Size of the text that the tool answers with
    #[arg(long, default_value_t = 64)]
    result_bytes: usize,
    /// Measure every target this often; the order turns round each time
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// `tools/list` of 250 tools over five upstreams instead of calls
    #[arg(long)]
    list: bool,
    /// Clients 1 to 256, both eras, small and 1 MB answers: a Markdown table
    #[arg(long, conflicts_with_all = ["list", "clients", "era", "result_bytes"])]
    matrix: bool,
    /// A proxy that already runs in front of the upstream given with --upstream
    #[arg(long, value_name = "NAME=URL")]
    peer: Vec<String>,
    /// Use a running `switchboard-bench upstream` (http://HOST:PORT) instead of starting one
    #[arg(long)]
    upstream: Option<String>,
    /// The `switchboard` binary (default: beside this one)
    #[arg(long)]
    switchboard: Option<PathBuf>,
    /// Passed on to `switchboard serve`
    #[arg(long, allow_hyphen_values = true)]
    serve_argument: Vec<String>,
    /// Measure a running Switchboard at this URL, which has the upstream as connection `bench`, instead of
    /// starting one
    #[arg(long, value_name = "URL", requires = "token")]
    attach: Option<String>,
    /// A token for the Switchboard given with --attach
    #[arg(long, env = "SWITCHBOARD_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Leave Switchboard out
    #[arg(long)]
    without_switchboard: bool,
    /// One JSON object as the last line instead of a table
    #[arg(long)]
    json: bool,
}

/// One combination to measure.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    clients: usize,
    era: Era,
    result_bytes: usize,
}

#[derive(Debug, Serialize)]
pub struct Report {
    clients: usize,
    era: &'static str,
    asked: &'static str,
    result_bytes: Option<usize>,
    seconds: f64,
    rounds: usize,
    direct: Option<Figures>,
    switchboard: Option<Figures>,
    yardstick: Option<Figures>,
    peers: serde_json::Map<String, serde_json::Value>,
}

fn say(line: &str) {
    use std::io::Write as _;
    // Nobody may be listening; the figures are on standard output.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn print(text: &str) -> Result<(), String> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{text}").map_err(|error| error.to_string())
}

async fn measure(
    contender: &Contender,
    cell: Cell,
    arguments: &Arguments,
    tally: &mut Tally,
) -> Result<(), String> {
    let target = contender.target(cell).await?;
    let mut cpu = Vec::new();
    let sample = load::run(
        &target,
        cell.era,
        cell.clients,
        Duration::from_secs_f64(arguments.warm_up),
        Duration::from_secs_f64(arguments.seconds),
        || cpu.push(contender.pid.and_then(process::cpu_us)),
    )
    .await?;
    let used = match cpu.as_slice() {
        [Some(before), Some(after)] => Some(after - before),
        _ => None,
    };
    tally.add(sample, used, contender.pid.and_then(process::rss_mb));
    Ok(())
}

/// Measures one cell on all contenders. The second value counts calls that failed.
async fn run_cell(field: &Field, cell: Cell, arguments: &Arguments) -> Result<(Report, u64), String> {
    let mut tallies: Vec<Result<Tally, String>> =
        field.contenders.iter().map(|_| Ok(Tally::default())).collect();
    for round in 0..arguments.rounds.max(1) {
        let mut order: Vec<usize> = (0..field.contenders.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let (Some(contender), Some(slot)) = (field.contenders.get(index), tallies.get_mut(index)) else {
                continue;
            };
            let Ok(tally) = slot else { continue };
            if let Err(error) = measure(contender, cell, arguments, tally).await {
                if !contender.peer {
                    return Err(error);
                }
                say(&format!("{}: not measured: {error}", contender.name));
                *slot = Err(error);
            }
        }
    }
    Ok(report(field, cell, arguments, tallies))
}

fn report(
    field: &Field,
    cell: Cell,
    arguments: &Arguments,
    tallies: Vec<Result<Tally, String>>,
) -> (Report, u64) {
    let mut report = Report {
        clients: cell.clients,
        era: cell.era.version(),
        asked: if arguments.list { "tools/list" } else { "tools/call" },
        result_bytes: (!arguments.list).then_some(cell.result_bytes),
        seconds: arguments.seconds,
        rounds: arguments.rounds.max(1),
        direct: None,
        switchboard: None,
        yardstick: None,
        peers: serde_json::Map::new(),
    };
    let mut errors = 0;
    for (contender, tally) in field.contenders.iter().zip(tallies) {
        let figures = tally.ok().and_then(|mut tally| {
            errors += tally.errors;
            if let Some(error) = &tally.first_error {
                say(&format!("{}: {} calls failed, the first with: {error}", contender.name, tally.errors));
            }
            let figures = tally.figures();
            if figures.is_none() {
                say(&format!("{}: no call succeeded inside the window", contender.name));
            }
            figures
        });
        match contender.name.as_str() {
            _ if contender.peer => {
                let value = serde_json::to_value(figures).unwrap_or_default();
                report.peers.insert(contender.name.clone(), value);
            }
            "direct" => report.direct = figures,
            "switchboard" => report.switchboard = figures,
            _ => report.yardstick = figures,
        }
    }
    (report, errors)
}

async fn run_all(arguments: &Arguments) -> Result<ExitCode, String> {
    let field = Field::set_up(arguments).await?;
    let mut errors = 0;
    if arguments.matrix {
        let mut reports = Vec::new();
        for cell in matrix::cells() {
            say(&format!("{cell:?}"));
            let (report, failed) = run_cell(&field, cell, arguments).await?;
            errors += failed;
            reports.push(report);
        }
        print(&matrix::markdown(&reports))?;
    } else {
        let cell =
            Cell { clients: arguments.clients, era: arguments.era, result_bytes: arguments.result_bytes };
        let (report, failed) = run_cell(&field, cell, arguments).await?;
        errors += failed;
        if arguments.json {
            print(&serde_json::to_string(&report).map_err(|error| error.to_string())?)?;
        } else {
            print(&matrix::markdown(std::slice::from_ref(&report)))?;
        }
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, run_all(arguments))
}
