//! `switchboard connection …`: the MCP servers of the organization.

mod connect;
mod disconnect;
mod input;
mod report;
mod review;

use serde_json::{Value, json};

use crate::{
    client::{CONNECTION, Client, ServerFlags},
    failure::Failure,
    output::{self, plain},
};

#[derive(Debug, clap::Args)]
#[command(
    disable_help_subcommand = true,
    // The usual one without the empty line above the usage: with so many commands every line counts.
    help_template = "{before-help}{about-with-newline}{usage-heading} {usage}\n\n{all-args}{after-help}",
    before_help = "Examples
  switchboard connection add linear
  switchboard connection connect linear
  switchboard connection list"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add an MCP server; nobody may use it until it is granted
    Add(Box<input::NewConnection>),
    /// Sign in at its provider, in your browser
    Connect(connect::Connect),
    /// Take back what it is used with: your own account, or the one that everybody shares
    Disconnect {
        /// Slug or id
        connection: String,
        /// Everybody's accounts, as an admin
        #[arg(long)]
        everybody: bool,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
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
    /// Tools that are new or changed: what differs, and the decision
    Review(review::Review),
    /// Ask for its tools again
    Refresh {
        /// Slug or id
        connection: String,
    },
    /// Remove it with its credentials, grants and tools
    #[command(visible_alias = "delete")]
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
            Command::Connect(asked) => connect::connect(&client, asked, json).await,
            Command::Disconnect { connection, everybody, yes } => {
                disconnect::disconnect(&client, connection, (*everybody, *yes), json).await
            }
            Command::List => list(&client, json).await,
            Command::Show { connection } => {
                let id = client.id_of(&CONNECTION, connection).await?;
                let found = client.get(&format!("/connections/{id}")).await?;
                show(&found, json);
                Ok(())
            }
            Command::Check { connection } => report::check(&client, connection, json).await,
            Command::Refresh { connection } => {
                let id = client.id_of(&CONNECTION, connection).await?;
                client.post(&format!("/connections/{id}/refresh"), &json!({})).await?;
                let found = client.get(&format!("/connections/{id}")).await?;
                show(&found, json);
                Ok(())
            }
            Command::Review(wanted) => review::run(&client, wanted, json).await,
            Command::Remove { connection, yes } => remove(&client, connection, *yes).await,
        }
    })
}

fn show(connection: &Value, json: bool) {
    if json {
        output::print_json(connection);
    } else {
        output::print(&report::facts(connection));
        for warning in connection["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            output::remark(warning);
        }
    }
}

async fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let all = client.all("/connections").await?;
    let columns = [
        ("SLUG", "slug"),
        ("STATE", "status"),
        ("TOOLS", "tools_count"),
        ("AUTH", "auth_type"),
        ("URL", "url"),
    ];
    output::list(&all, &columns, json, "No connections yet. Add one: switchboard connection add SLUG URL");
    Ok(())
}

async fn remove(client: &Client, connection: &str, yes: bool) -> Result<(), Failure> {
    let id = client.id_of(&CONNECTION, connection).await?;
    let shown = plain(connection);
    output::confirm(&format!("Remove {shown} with its credentials, grants and tools?"), yes)?;
    client.delete(&format!("/connections/{id}")).await?;
    output::remark(&format!("{shown} is removed."));
    Ok(())
}
