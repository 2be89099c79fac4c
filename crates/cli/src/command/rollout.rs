//! `switchboard rollout …`: connections that admins try out before everybody has them.

use serde_json::{Value, json};

use crate::{
    client::{CONNECTION, Client, ServerFlags, cell},
    failure::Failure,
    output::{self, table},
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard rollout stage linear sentry
  switchboard rollout publish
  switchboard rollout take-back")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// What is staged, and what was published and can be taken back
    Show,
    /// Hold connections back: only the admins among those they are granted to use them
    Stage {
        #[arg(required = true, value_name = "CONNECTION")]
        connections: Vec<String>,
    },
    /// Take connections out of the rollout: whoever they are granted to uses them
    Open {
        #[arg(required = true, value_name = "CONNECTION")]
        connections: Vec<String>,
    },
    /// Publish everything that is staged, at once
    Publish,
    /// Stage again everything that was published
    TakeBack,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let client = arguments.server.client()?;
        let rollout = match &arguments.command {
            Command::Show => client.get("/rollout").await?,
            Command::Stage { connections } => set(&client, connections, true).await?,
            Command::Open { connections } => set(&client, connections, false).await?,
            Command::Publish => client.post("/rollout/publish", &Value::Null).await?,
            Command::TakeBack => client.post("/rollout/take-back", &Value::Null).await?,
        };
        if arguments.server.json {
            output::print_json(&rollout);
            return Ok(());
        }
        let mut rows = Vec::new();
        for stage in ["staged", "published"] {
            for connection in rollout[stage].as_array().into_iter().flatten() {
                rows.push(vec![cell(connection, "slug"), stage.to_owned(), cell(connection, "name")]);
            }
        }
        if rows.is_empty() {
            output::remark(
                "Nothing is staged or published: every connection is for whoever it is granted to.",
            );
        } else {
            output::print(&table(&["CONNECTION", "STAGE", "NAME"], &rows));
        }
        Ok(())
    })
}

async fn set(client: &Client, connections: &[String], staged: bool) -> Result<Value, Failure> {
    // All are looked up before the first is changed.
    for id in client.ids_of(&CONNECTION, connections).await? {
        client.patch(&format!("/connections/{id}"), &json!({ "staged": staged })).await?;
    }
    client.get("/rollout").await
}
