//! `connection connect`: the person signs in at the provider, in their browser; this command waits for what becomes of it.

use std::{process::Stdio, time::Duration};

use serde_json::{Value, json};

use crate::{
    client::{CONNECTION, Client},
    failure::Failure,
    output::{self, plain},
};

const LOOK: Duration = Duration::from_millis(1500);
/// Longer than a sign-in is good.
const PATIENCE: Duration = Duration::from_secs(11 * 60);

#[derive(Debug, clap::Args)]
pub(super) struct Connect {
    /// Slug or id
    connection: String,
    /// Print the address and open nothing
    #[arg(long)]
    no_browser: bool,
    /// Print the address and don't wait
    #[arg(long)]
    no_wait: bool,
}

pub(super) async fn connect(client: &Client, asked: &Connect, json: bool) -> Result<(), Failure> {
    let id = client.id_of(&CONNECTION, &asked.connection).await?;
    let started = client.post(&format!("/connections/{id}/authorize"), &json!({})).await?;
    let url = started["authorization_url"].as_str().unwrap_or_default().to_owned();
    if asked.no_wait {
        show(&started, json, &format!("Sign in here, within ten minutes: {}", plain(&url)));
        return Ok(());
    }
    output::remark(&format!("Sign in here, as yourself and within ten minutes: {}", plain(&url)));
    if !asked.no_browser && !json {
        open(&url);
    }
    let path = format!("/authorizations/{}", started["state_id"].as_str().unwrap_or_default());
    let became = wait(client, &path).await?;
    let name = plain(&asked.connection);
    match became["status"].as_str() {
        Some("connected") => {
            show(&became, json, &format!("{name} is connected."));
            Ok(())
        }
        Some("error") => {
            let message = became["message"].as_str().unwrap_or("Start again.");
            show(&became, json, &format!("{name} is not connected. {}", plain(message)));
            Err(Failure::Reported)
        }
        _ => Err(Failure::failed(format!(
            "{name} is not connected: nobody signed in. Run the command again to get a new address."
        ))),
    }
}

async fn wait(client: &Client, path: &str) -> Result<Value, Failure> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let became = client.get(path).await?;
        if became["status"] != "pending" || tokio::time::Instant::now() >= deadline {
            return Ok(became);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn show(value: &Value, json: bool, text: &str) {
    if json {
        output::print_json(value);
    } else {
        output::print(&format!("{text}\n"));
    }
}

/// The page of our own server, as one argument and through no shell. Without a browser the printed address remains.
fn open(url: &str) {
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return;
    }
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    #[expect(clippy::disallowed_methods, reason = "a browser at the person's own terminal, not an upstream")]
    let mut command = std::process::Command::new(program);
    // It failing is no news: the address was printed.
    let _ = command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
}
