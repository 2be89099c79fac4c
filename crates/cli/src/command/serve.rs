//! `switchboard serve`.

use crate::{config::SettingFlags, failure::Failure, serving};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard serve
  switchboard serve --data-dir /var/lib/switchboard --public-url https://switchboard.example
  switchboard serve --database-url postgres://switchboard@db/switchboard --listen 0.0.0.0:8080")]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: SettingFlags,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = super::load(&arguments.settings)?;
    super::server_runtime()?.block_on(serving::serve(config, None))
}
