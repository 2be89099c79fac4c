//! Settings as flags, made from the table.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{setting::Kind, table::SETTINGS};

/// What was given on the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct SettingFlags {
    /// `--config`
    pub(crate) file: Option<PathBuf>,
    /// By key of the setting.
    pub(crate) values: BTreeMap<&'static str, String>,
}

impl clap::Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help_heading("Settings")
            .help("Configuration file")
            .long_help(
                "Configuration file [env: SWITCHBOARD_CONFIG] [default: ./switchboard.toml if there is one, \
                 else switchboard.toml in the data directory]",
            );
        SETTINGS.iter().fold(command.arg(config), |command, setting| {
            let Some((name, value)) = setting.flag else { return command };
            let default = match setting.default {
                "" | "false" => String::new(),
                default => format!(" [default: {default}]"),
            };
            let short = setting.help.split([':', ';', '.']).next().unwrap_or(setting.help);
            let mut arg = Arg::new(setting.key)
                .long(name)
                .value_name(value)
                .help_heading("Settings")
                .help(short.to_owned())
                .long_help(format!("{} [env: {}]{default}", setting.help, setting.environment_name()));
            if setting.kind == Kind::Switch {
                arg = arg.action(ArgAction::SetTrue);
            }
            command.arg(arg)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let flagged = SETTINGS.iter().filter(|setting| setting.flag.is_some());
        let values = flagged.filter_map(|setting| {
            let value = if setting.kind == Kind::Switch {
                matches.get_flag(setting.key).then(|| "true".to_owned())
            } else {
                matches.get_one::<String>(setting.key).cloned()
            };
            Some((setting.key, value?))
        });
        Ok(Self { file: matches.get_one::<PathBuf>("config").cloned(), values: values.collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
