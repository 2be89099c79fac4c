//! Measures Switchboard: `search` over labelled tool sets, `calls` through a running server.
//! One module per subcommand; each prints one JSON object a line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod search;

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
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Search(arguments) => search::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            use std::io::Write as _;
            // A closed stderr leaves nobody to tell; the exit code still says it.
            let _ = writeln!(std::io::stderr(), "{message}");
            ExitCode::FAILURE
        }
    }
}
