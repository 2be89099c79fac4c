//! The generated pages of `docs/reference`, so that a test can compare them.

use std::fmt::Write as _;

use crate::{config, failure::Failure, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    page: Page,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Page {
    Configuration,
    Cli,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    output::print(&match arguments.page {
        Page::Configuration => config::reference(),
        Page::Cli => command_line(),
    });
    Ok(())
}

const HEAD: &str = "\
# Command line

Generated from the code (`UPDATE=1 cargo test -p switchboard --test it reference`); don't edit it by hand.

Data goes to stdout, logs and errors to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage. `NO_COLOR` turns colours off.
Settings that several commands share (`--config`, `--data-dir` …) are in [configuration.md](configuration.md).
";

fn command_line() -> String {
    let mut tree = super::tree().term_width(100);
    tree.build();
    let mut text = HEAD.to_owned();
    section(&mut tree, &mut text);
    text
}

fn section(command: &mut clap::Command, text: &mut String) {
    let is_group = command.get_subcommands().next().is_some();
    let path = command.get_bin_name().unwrap_or("switchboard").to_owned();
    // Shared settings have a page of their own; repeating them at each command would bury the rest.
    let shared: Vec<_> = command
        .get_arguments()
        .filter(|argument| argument.get_help_heading() == Some("Settings"))
        .map(|argument| argument.get_id().clone())
        .collect();
    let mut shown = command.clone();
    for id in shared {
        shown = shown.mut_arg(id, |argument| argument.hide(true));
    }
    let help = shown.render_long_help().to_string();
    let help = help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    let _ = write!(text, "\n## `{path}`\n\n```text\n{}\n```\n", help.trim());
    if is_group {
        for inner in command.get_subcommands_mut().filter(|inner| !inner.is_hide_set()) {
            section(inner, text);
        }
    }
}
