//! `switchboard grant`: who may use a connection. No grant, no use.

use serde_json::{Value, json};

use crate::{
    client::{CONNECTION, Client, MEMBER, ServerFlags, TEAM},
    failure::Failure,
    output,
};

#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    before_help = "Examples
  switchboard grant show linear                 who may use it
  switchboard grant set linear --everyone
  switchboard grant set linear --member ana@example.com --team Support"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Slug or id of a connection: without a flag `grant show`, with one `grant set`
    #[arg(required = true, hide_short_help = true)]
    connection: Option<String>,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Who may use a connection
    Show {
        /// Slug or id
        connection: String,
    },
    /// Replace who may use it: whoever is not named here may not
    Set {
        /// Slug or id
        connection: String,
        #[command(flatten)]
        wanted: Wanted,
    },
}

#[derive(Debug, clap::Args)]
struct Wanted {
    /// Everyone in the organization
    #[arg(long)]
    everyone: bool,
    /// Email address or id of a member; may be repeated
    #[arg(long = "member", value_name = "MEMBER")]
    members: Vec<String>,
    /// Name or id of a team; may be repeated
    #[arg(long = "team", value_name = "TEAM")]
    teams: Vec<String>,
    /// Nobody: take all grants away
    #[arg(long, conflicts_with_all = ["everyone", "members", "teams"])]
    nobody: bool,
}

impl Wanted {
    fn is_given(&self) -> bool {
        self.nobody || self.everyone || !self.members.is_empty() || !self.teams.is_empty()
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let client = arguments.server.client()?;
        let grants = match (&arguments.command, &arguments.connection) {
            (Some(Command::Show { connection }), _) => client.get(&path(&client, connection).await?).await?,
            (Some(Command::Set { connection, wanted }), _) => {
                if !wanted.is_given() {
                    return Err(Failure::usage(
                        "Say who may use it: --everyone, --member, --team, or --nobody.",
                    ));
                }
                set(&client, connection, wanted).await?
            }
            (None, Some(connection)) if arguments.wanted.is_given() => {
                set(&client, connection, &arguments.wanted).await?
            }
            (None, Some(connection)) => client.get(&path(&client, connection).await?).await?,
            (None, None) => return Err(Failure::usage("Name a connection.")),
        };
        show(&client, &grants, arguments.server.json).await
    })
}

async fn path(client: &Client, connection: &str) -> Result<String, Failure> {
    Ok(format!("/connections/{}/grants", client.id_of(&CONNECTION, connection).await?))
}

/// The whole replaces the whole: what is not named is taken away.
async fn set(client: &Client, connection: &str, wanted: &Wanted) -> Result<Value, Failure> {
    let grants = json!({
        "everyone": wanted.everyone,
        "members": client.ids_of(&MEMBER, &wanted.members).await?,
        "teams": client.ids_of(&TEAM, &wanted.teams).await?,
    });
    client.put(&path(client, connection).await?, &grants).await
}

async fn show(client: &Client, grants: &Value, json: bool) -> Result<(), Failure> {
    if json {
        output::print_json(grants);
        return Ok(());
    }
    if grants["everyone"] == true {
        output::print("everyone");
        return Ok(());
    }
    let mut lines = Vec::new();
    for (member, kind) in [("members", &MEMBER), ("teams", &TEAM)] {
        let ids = grants[member].as_array().map_or(&[][..], Vec::as_slice);
        let names = client.names_of(kind, ids).await?;
        lines.extend(
            names.iter().map(|name| format!("{:<8}{}", &member[..member.len() - 1], output::plain(name))),
        );
    }
    output::print(&if lines.is_empty() { "nobody".to_owned() } else { lines.join("\n") });
    Ok(())
}
