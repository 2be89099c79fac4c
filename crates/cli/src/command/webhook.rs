//! `switchboard webhook …`: where the organization is told what happens.

use serde_json::{Value, json};

use crate::{
    client::{ServerFlags, WEBHOOK, cell},
    failure::Failure,
    output,
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard webhook add approvals https://hooks.example.com/switchboard --event approval.requested
  switchboard webhook add log https://siem.example.com/in --event audit.entries
  switchboard webhook list")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Where it is told what, and how that goes
    List,
    /// Add an address; prints what its deliveries are signed with, once
    Add {
        name: String,
        url: String,
        /// approval.requested, approval.decided or audit.entries; several by repeating it
        #[arg(long = "event", required = true, value_name = "EVENT")]
        events: Vec<String>,
        /// json, or otlp: the audit log as OTLP logs, to a collector's /v1/logs
        #[arg(long, default_value = "json", value_parser = ["json", "otlp"])]
        format: String,
    },
    /// Tell it nothing for now
    Disable { webhook: String },
    /// Tell it again
    Enable { webhook: String },
    /// Remove it, with what it was still to be told
    #[command(visible_alias = "delete")]
    Remove {
        webhook: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let (client, json) = (arguments.server.client()?, arguments.server.json);
        let switch = async |webhook: &str, enabled: bool| {
            let path = format!("/webhooks/{}", client.id_of(&WEBHOOK, webhook).await?);
            client.patch(&path, &json!({ "enabled": enabled })).await
        };
        let changed = match &arguments.command {
            Command::List => {
                let listed = client.get("/webhooks").await?;
                let columns = [
                    ("NAME", "name"),
                    ("URL", "url"),
                    ("FORMAT", "format"),
                    ("ENABLED", "enabled"),
                    ("TOLD", "told_at"),
                    ("FAILURES", "failures"),
                    ("LAST ERROR", "last_error"),
                ];
                let rows = listed["items"].as_array().cloned().unwrap_or_default();
                output::list(&rows, &columns, json, "Nothing is told of what happens.");
                return Ok(());
            }
            Command::Add { name, url, events, format } => {
                let body = json!({ "name": name, "url": url, "events": events, "format": format });
                let created = client.post("/webhooks", &body).await?;
                if !json {
                    output::print(&cell(&created, "secret"));
                    output::remark("This is what its deliveries are signed with. It is not shown again.");
                    return Ok(());
                }
                created
            }
            Command::Disable { webhook } => switch(webhook, false).await?,
            Command::Enable { webhook } => switch(webhook, true).await?,
            Command::Remove { webhook, yes } => {
                let id = client.id_of(&WEBHOOK, webhook).await?;
                output::confirm(&format!("Remove the webhook {}?", output::plain(webhook)), *yes)?;
                client.delete(&format!("/webhooks/{id}")).await?;
                output::remark(&format!("{} is removed.", output::plain(webhook)));
                Value::Null
            }
        };
        if json && !changed.is_null() {
            output::print_json(&changed);
        } else if !changed.is_null() {
            let now = if changed["enabled"] == true { "on" } else { "off" };
            output::remark(&format!("{} is {now}.", cell(&changed, "name")));
        }
        Ok(())
    })
}
