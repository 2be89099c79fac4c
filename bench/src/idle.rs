//! `switchboard-bench idle`: what Switchboard keeps in memory with many connections and nothing to do.
//! Measured twice: after the catalogue was listed from real upstreams, and after a restart that only read it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::calls::process::{rss_mb, start_own};
use crate::calls::switchboard::{self, Switchboard};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// Over all connections
    #[arg(long, default_value_t = 5000)]
    tools: usize,
    /// How long nothing happens before memory is read
    #[arg(long, default_value_t = 10.0)]
    settle: f64,
    /// The `switchboard` binary (default: beside this one)
    #[arg(long)]
    switchboard: Option<PathBuf>,
    /// One JSON object, the only output there is
    #[arg(long)]
    json: bool,
}

async fn measure(arguments: &Arguments) -> Result<(), String> {
    use std::io::Write as _;
    let connections = arguments.connections.max(1);
    let each = arguments.tools / connections;
    let upstream = start_own(&["upstream", "--idle-tools", &each.to_string()])?;
    let binary = switchboard::binary(arguments.switchboard.as_deref())?;
    let mut switchboard = Switchboard::start(&binary, &[]).await?;
    for number in 1..=connections {
        let url = format!("http://{}/idle/{number}", upstream.address);
        switchboard.connect(&format!("idle-{number}"), &url, each).await?;
    }
    let settle = Duration::from_secs_f64(arguments.settle);
    tokio::time::sleep(settle).await;
    let after_listing = rss_mb(switchboard.process.pid());
    switchboard.restart().await?;
    tokio::time::sleep(settle).await;
    let after_restart = rss_mb(switchboard.process.pid());
    let line = json!({
        "connections": connections,
        "tools": each * connections,
        "rss_mb": after_listing,
        "rss_mb_after_restart": after_restart,
    });
    writeln!(std::io::stdout(), "{line}").map_err(|error| error.to_string())
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    crate::serving::block_on(measure(arguments))
}
