//! The `switchboard` program: reads the command line and the configuration, and starts what they ask for.
//!
//! `command` holds one module a command, `config` the operator's settings, `startup` what opening a data
//! directory takes, `client` what talks to a running server, `telemetry` logs, metrics and traces.
//! Data goes to stdout, logs and errors to stderr; exit codes are 0 done, 1 failed, 2 wrong usage.

mod client;
mod command;
mod config;
mod failure;
mod operator;
mod output;
mod sample;
mod serving;
mod startup;
mod telemetry;

use std::process::ExitCode;

use command::{parse, run};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if let [_] = arguments.as_slice() {
        output::print(command::SHORT_HELP);
        return ExitCode::from(2);
    }
    if let [_, only] = arguments.as_slice()
        && only == "-h"
    {
        output::print(command::SHORT_HELP);
        return ExitCode::SUCCESS;
    }
    let cli = match parse(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            // A closed pipe is no reason to complain.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure.to_string());
            ExitCode::from(failure.exit_code())
        }
    }
}
