//! `switchboard config check|show`.

use serde_json::json;

use crate::{
    config::{Config, Environment, SettingFlags, Settings, as_json, as_table},
    failure::Failure,
    output,
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard config check
  switchboard config show --config /etc/switchboard/switchboard.toml
  SWITCHBOARD_LISTEN=127.0.0.1:9000 switchboard config show --json")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say what is wrong with the configuration, if anything
    Check(Options),
    /// Print every effective value and where it came from; secrets stay hidden
    Show(Options),
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Machine-readable output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Check(options) => check(options),
        Command::Show(options) => show(options),
    }
}

fn check(options: &Options) -> Result<(), Failure> {
    let environment = Environment::of_process();
    let checked = Settings::load(&options.settings, &environment).and_then(|settings| {
        Config::new(&settings)?.check_for_serving()?;
        Ok(settings)
    });
    let doubts: Vec<String> = environment
        .suspicious()
        .into_iter()
        .map(|(name, meant)| format!("{name} is not a setting (did you mean {meant}?)"))
        .collect();
    if options.json {
        let faults: Vec<String> = match &checked {
            Ok(_) => Vec::new(),
            Err(error) => error.0.iter().map(ToString::to_string).collect(),
        };
        output::print_json(&json!({"ok": checked.is_ok(), "faults": faults, "warnings": doubts}));
        return if checked.is_ok() { Ok(()) } else { Err(Failure::UsageReported) };
    }
    doubts.iter().for_each(|doubt| output::remark(&format!("warning: {doubt}")));
    let settings = checked?;
    match &settings.file {
        Some(path) => output::print(&format!("ok: {} and the environment", path.display())),
        None => output::print("ok: no configuration file, the environment and defaults"),
    }
    Ok(())
}

fn show(options: &Options) -> Result<(), Failure> {
    let settings = Settings::load(&options.settings, &Environment::of_process())?;
    if options.json {
        output::print_json(&as_json(&settings));
    } else {
        output::print(&as_table(&settings));
    }
    Ok(())
}
