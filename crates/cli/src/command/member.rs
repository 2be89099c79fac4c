//! `switchboard member …`: the people of the organization.

use serde_json::Value;

use crate::{
    client::{Client, MEMBER, ServerFlags, TEAM, cell},
    failure::Failure,
    output,
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard member list
  switchboard member show ana@example.com
  switchboard member list --json")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List members with their role
    List,
    /// One member, with the names of their teams
    Show {
        /// Email address or id
        member: String,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let client = arguments.server.client()?;
        let json = arguments.server.json;
        match &arguments.command {
            Command::List => list(&client, json).await,
            Command::Show { member } => show(&client, member, json).await,
        }
    })
}

async fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let all = client.all("/members").await?;
    let columns =
        [("EMAIL", "email"), ("NAME", "display_name"), ("ROLE", "role"), ("STATUS", "status"), ("ID", "id")];
    output::list(&all, &columns, json, "");
    Ok(())
}

async fn show(client: &Client, given: &str, json: bool) -> Result<(), Failure> {
    let member = client.find(&MEMBER, given).await?;
    if json {
        output::print_json(&member);
        return Ok(());
    }
    let teams = member["teams"].as_array().map_or(&[][..], Vec::as_slice);
    let names = if teams.is_empty() { Vec::new() } else { client.names_of(&TEAM, teams).await? };
    let mut shown = member.clone();
    shown["teams"] = names.into_iter().map(Value::from).collect();
    let facts = ["email", "display_name", "id", "role", "status", "teams", "created_at"];
    output::print(&output::facts(&facts.map(|name| (name, cell(&shown, name)))));
    Ok(())
}
