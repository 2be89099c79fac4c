//! The command tree, one module a command.

mod completions;
mod configuration;
mod reference;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::failure::Failure;

/// `switchboard -h`: examples first, everything in one screen.
pub(crate) const SHORT_HELP: &str = "\
Examples
  switchboard demo                        try everything offline, with a sample server built in
  switchboard serve                       run it, data in ./data; prints a link for the first owner
  switchboard search 'create an issue'    what an agent would find

Run it
  serve | demo         run the server | with samples
  admin                owners, tokens, setup links: on the database directly
  keys | backup | restore | migrate | doctor | healthcheck
  config check|show    what is configured, and where each value comes from

Use it (--server, --token)
  connection           add | list | show | check | refresh | remove
  grant | token | member | audit
  search QUERY         what an agent would find
  call NAME JSON       run a capability

  completions | openapi | --version       --help: more; <command> -h: options of one
";

#[derive(Debug, Parser)]
#[command(
    name = "switchboard",
    version,
    about = "One MCP endpoint for a whole organisation",
    propagate_version = true,
    disable_help_subcommand = true,
    max_term_width = 110
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What is configured
    Config(configuration::Arguments),
    /// Shell completions on stdout
    Completions(completions::Arguments),
    /// Reference pages of the documentation on stdout
    #[command(hide = true)]
    Reference(reference::Arguments),
}

/// The whole tree, for completions and the reference.
fn tree() -> clap::Command {
    Cli::command()
}

pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Config(arguments) => configuration::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Reference(arguments) => reference::run(&arguments),
    }
}
