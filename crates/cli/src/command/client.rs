//! `switchboard client …`: AI clients that people allowed on the consent page.

use serde_json::{Value, json};

use crate::{
    client::{ServerFlags, cell},
    failure::Failure,
    output::{self, table},
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard client list
  switchboard client list --everyone
  switchboard client revoke ogr_01jb2m3x8ye0bvnr8z3h2q5c7d")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// AI clients that you allowed to act as you
    List {
        /// Everybody's (admins)
        #[arg(long)]
        everyone: bool,
    },
    /// Take away what a client was allowed; its tokens stop working within a second
    Revoke {
        /// Id, as `client list` shows it
        id: String,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let client = arguments.server.client()?;
        match &arguments.command {
            Command::List { everyone } => {
                let path = if *everyone { "/allowed-clients?everyone=true" } else { "/allowed-clients" };
                let all = client.all(path).await?;
                if arguments.server.json {
                    output::print_json(&json!({ "items": all }));
                } else if all.is_empty() {
                    output::remark("No AI client was allowed by anybody here.");
                } else {
                    output::print(&listed(&all));
                }
            }
            Command::Revoke { id } => {
                // An id stands in the path: whatever is not one must not reach another route.
                let id: switchboard_domain::OauthGrantId =
                    id.parse().map_err(|error| Failure::usage(format!("{error}")))?;
                client.delete(&format!("/allowed-clients/{id}")).await?;
                output::remark(&format!("{id} is taken away: the client has to ask again."));
            }
        }
        Ok(())
    })
}

fn listed(clients: &[Value]) -> String {
    let row = |client: &Value| {
        ["id", "name", "email", "resource", "scopes", "created_at", "last_used_at"]
            .map(|member| cell(client, member))
            .to_vec()
    };
    let rows: Vec<Vec<String>> = clients.iter().map(row).collect();
    table(&["ID", "CLIENT", "BY", "FOR", "SCOPES", "ALLOWED", "LAST USED"], &rows)
}
