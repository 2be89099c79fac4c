//! `switchboard connection …`: the MCP servers of the organization.

mod input;
mod report;

use serde_json::{Value, json};

use crate::{
    client::{Client, ServerFlags, cell},
    failure::Failure,
    output::{self, plain, table},
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard connection add everything http://127.0.0.1:3001/mcp --everyone
  switchboard connection add linear https://mcp.linear.app/mcp --api-key-file ./key
  switchboard connection check linear")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add an MCP server; nobody may use it until it is granted
    Add(input::NewConnection),
    /// List connections with their state
    List,
    /// Everything about one, except its secrets
    Show {
        /// Slug or id
        connection: String,
    },
    /// Try it now: how far it comes, and who must act
    Check {
        /// Slug or id
        connection: String,
    },
    /// Ask for its tools again
    Refresh {
        /// Slug or id
        connection: String,
    },
    /// Remove it with its credentials, grants and tools
    Remove {
        /// Slug or id
        connection: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let client = arguments.server.client()?;
        let json = arguments.server.json;
        match &arguments.command {
            Command::Add(new) => input::add(&client, new, json).await,
            Command::List => list(&client, json).await,
            Command::Show { connection } => {
                let id = find(&client, connection).await?;
                let found = client.get(&format!("/connections/{id}")).await?;
                show(&found, json);
                Ok(())
            }
            Command::Check { connection } => report::check(&client, connection, json).await,
            Command::Refresh { connection } => {
                let id = find(&client, connection).await?;
                client.post(&format!("/connections/{id}/refresh"), &json!({})).await?;
                let found = client.get(&format!("/connections/{id}")).await?;
                show(&found, json);
                Ok(())
            }
            Command::Remove { connection, yes } => remove(&client, connection, *yes).await,
        }
    })
}

fn show(connection: &Value, json: bool) {
    if json {
        output::print_json(connection);
    } else {
        output::print(&report::facts(connection));
    }
}

async fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let all = client.all("/connections").await?;
    if json {
        output::print_json(&json!({ "items": all }));
        return Ok(());
    }
    if all.is_empty() {
        output::remark("No connections yet. Add one: switchboard connection add SLUG URL");
        return Ok(());
    }
    let row = |connection: &Value| {
        ["slug", "status", "tools_count", "auth_type", "url"].map(|member| cell(connection, member)).to_vec()
    };
    output::print(&table(
        &["SLUG", "STATE", "TOOLS", "AUTH", "URL"],
        &all.iter().map(row).collect::<Vec<_>>(),
    ));
    Ok(())
}

async fn remove(client: &Client, connection: &str, yes: bool) -> Result<(), Failure> {
    use std::io::{BufRead as _, IsTerminal as _};
    let id = find(client, connection).await?;
    if !yes {
        if !std::io::stdin().is_terminal() {
            return Err(Failure::usage(
                "Removing a connection takes its credentials and grants with it: say so with --yes.",
            ));
        }
        output::remark(&format!(
            "Remove {} with its credentials, grants and tools? [y/N]",
            plain(connection)
        ));
        let mut answer = String::new();
        let _ = std::io::stdin().lock().read_line(&mut answer);
        if !matches!(answer.trim(), "y" | "yes") {
            return Err(Failure::failed("Nothing was removed."));
        }
    }
    client.delete(&format!("/connections/{id}")).await?;
    output::remark(&format!("{} is removed.", plain(connection)));
    Ok(())
}

/// The id of a connection given by slug or id.
pub(super) async fn find(client: &Client, given: &str) -> Result<String, Failure> {
    let all = client.all("/connections").await?;
    let found = all.iter().find(|connection| connection["slug"] == given || connection["id"] == given);
    if let Some(id) = found.and_then(|connection| connection["id"].as_str()) {
        return Ok(id.to_owned());
    }
    let slugs: Vec<&str> = all.iter().filter_map(|connection| connection["slug"].as_str()).collect();
    let hint = match crate::config::nearest(given, slugs.iter().copied()) {
        Some(slug) => format!("did you mean `{}`?", plain(slug)),
        None => "`switchboard connection list` shows them.".into(),
    };
    Err(Failure::failed(format!("There is no connection `{}`: {hint}", plain(given))))
}
