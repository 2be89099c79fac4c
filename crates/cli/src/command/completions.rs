//! `switchboard completions`: for bash, zsh, fish, elvish and PowerShell.

use clap_complete::Shell;

use crate::{failure::Failure, output};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard completions bash > ~/.local/share/bash-completion/completions/switchboard
  switchboard completions zsh  > ~/.zfunc/_switchboard
  switchboard completions fish > ~/.config/fish/completions/switchboard.fish")]
pub(crate) struct Arguments {
    /// Which shell
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::tree(), "switchboard", &mut script);
    output::print(&String::from_utf8_lossy(&script));
    Ok(())
}
