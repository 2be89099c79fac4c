//! `switchboard grant`: who may use a connection. No grant, no use.

use serde_json::json;

use super::connection::find;
use crate::{
    client::{ServerFlags, cell},
    failure::Failure,
    output,
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard grant linear                    show who may use it
  switchboard grant linear --everyone
  switchboard grant linear --member mem_01jb2m3x8ye0bvnr8z3h2q5c7d")]
pub(crate) struct Arguments {
    /// Slug or id of the connection
    connection: String,
    /// Everyone in the organization
    #[arg(long)]
    everyone: bool,
    /// Id of a member; may be repeated
    #[arg(long = "member", value_name = "ID")]
    members: Vec<String>,
    /// Id of a team; may be repeated
    #[arg(long = "team", value_name = "ID")]
    teams: Vec<String>,
    /// Nobody: take all grants away
    #[arg(long, conflicts_with_all = ["everyone", "members", "teams"])]
    nobody: bool,
    #[command(flatten)]
    server: ServerFlags,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let client = arguments.server.client()?;
        let path = format!("/connections/{}/grants", find(&client, &arguments.connection).await?);
        let changes =
            arguments.nobody || arguments.everyone || !arguments.members.is_empty() || !arguments.teams.is_empty();
        let grants = if changes {
            // The whole replaces the whole: what is not named here is taken away.
            let grants = json!({"everyone": arguments.everyone, "members": arguments.members, "teams": arguments.teams});
            client.put(&path, &grants).await?
        } else {
            client.get(&path).await?
        };
        if arguments.server.json {
            output::print_json(&grants);
            return Ok(());
        }
        let everyone = grants["everyone"].as_bool().unwrap_or(false);
        let named = format!("{} {}", cell(&grants, "members"), cell(&grants, "teams"));
        output::print(&match (everyone, named.trim()) {
            (true, _) => "everyone".to_owned(),
            (false, "") => "nobody".to_owned(),
            (false, named) => output::plain(named),
        });
        Ok(())
    })
}
