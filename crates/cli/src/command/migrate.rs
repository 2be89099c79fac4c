//! `switchboard migrate`: brings the schema up to date, for deployments that keep it apart from starting.

use serde_json::json;
use switchboard_domain::{Clock as _, SystemClock};
use switchboard_storage::{Db, Migrations};

use crate::{config::SettingFlags, failure::Failure, output, startup, telemetry};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard migrate
  switchboard migrate --status
  switchboard migrate --database-url postgres://switchboard@db/switchboard")]
pub(crate) struct Arguments {
    /// Only say what would be applied
    #[arg(long)]
    status: bool,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = super::load(&arguments.settings)?;
    telemetry::for_command(&config.log)?;
    super::command_runtime()?.block_on(async {
        startup::prepare_if_needed(&config)?;
        let db = Db::open(&startup::options(&config), Migrations::Ignore).await?;
        let outcome = act(arguments, &db).await;
        db.close().await;
        outcome
    })
}

async fn act(arguments: &Arguments, db: &Db) -> Result<(), Failure> {
    let before = db.schema_status().await?;
    let after = if arguments.status {
        before.clone()
    } else {
        db.migrate(env!("CARGO_PKG_VERSION"), SystemClock.now()).await?
    };
    if arguments.json {
        output::print_json(&json!({
            "before": before.applied, "applied": after.applied, "known": after.known, "pending": after.pending,
        }));
    } else if before.pending.is_empty() {
        output::print(&format!("schema {}: up to date", after.applied));
    } else if arguments.status {
        output::print(&format!("schema {}; to apply: {}", before.applied, before.pending.join(", ")));
    } else {
        output::print(&format!(
            "schema {} → {}: applied {}",
            before.applied,
            after.applied,
            before.pending.join(", ")
        ));
    }
    Ok(())
}
