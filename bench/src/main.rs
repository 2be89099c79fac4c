//! Measures Switchboard: `search` over labelled tool sets, `calls` through a running server.
//! One module per subcommand; each prints one JSON object a line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod calls;
mod hyper_client;
mod idle;
mod search;
mod serving;
mod upstream;
mod yardstick;

#[derive(Debug, Parser)]
#[command(name = "switchboard-bench", about = "Measure Switchboard", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Quality and latency of capability search on labelled sets
    Search(search::Arguments),
    /// Throughput, latency, CPU and memory of calls: directly, through Switchboard, the yardstick and peers
    Calls(calls::Arguments),
    /// Resident memory of Switchboard with many connections and nothing to do
    Idle(idle::Arguments),
    /// The MCP server that `calls` asks
    #[command(hide = true)]
    Upstream(upstream::Arguments),
    /// The bare proxy that `calls` compares with
    #[command(hide = true)]
    Yardstick(yardstick::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Search(arguments) => search::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Calls(arguments) => calls::run(&arguments),
        Command::Idle(arguments) => idle::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Upstream(arguments) => upstream::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Yardstick(arguments) => yardstick::run(&arguments).map(|()| ExitCode::SUCCESS),
    };
    match outcome {
        Ok(code) => code,
        Err(message) => {
            use std::io::Write as _;
            // A closed stderr leaves nobody to tell; the exit code still says it.
            let _ = writeln!(std::io::stderr(), "{message}");
            ExitCode::FAILURE
        }
    }
}
