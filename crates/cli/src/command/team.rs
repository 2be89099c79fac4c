//! `switchboard team …`: named sets of members, to grant to.

use serde_json::{Value, json};

use crate::{
    client::{Client, MEMBER, ServerFlags, TEAM, cell},
    failure::Failure,
    output::{self, plain},
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard team create Support --member ana@example.com --member bob@example.com
  switchboard team members Support
  switchboard team members Support --add eve@example.com --remove bob@example.com")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List teams with how many are in them
    List,
    /// Make a team
    Create {
        name: String,
        /// Email address or id; may be repeated
        #[arg(long = "member", value_name = "MEMBER")]
        members: Vec<String>,
    },
    /// Remove a team with what was granted to it
    #[command(visible_alias = "delete")]
    Remove {
        /// Name or id
        team: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    /// Who is in a team; with flags, change it
    Members {
        /// Name or id
        team: String,
        /// Email address or id to take in; may be repeated
        #[arg(long, value_name = "MEMBER")]
        add: Vec<String>,
        /// Email address or id to take out; may be repeated
        #[arg(long, value_name = "MEMBER")]
        remove: Vec<String>,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let client = arguments.server.client()?;
        let json = arguments.server.json;
        match &arguments.command {
            Command::List => list(&client, json).await,
            Command::Create { name, members } => {
                let members = client.ids_of(&MEMBER, members).await?;
                let made = client.post("/teams", &json!({ "name": name, "members": members })).await?;
                show(&client, &made, json).await
            }
            Command::Remove { team, yes } => {
                let id = client.id_of(&TEAM, team).await?;
                output::confirm(
                    &format!("Remove the team {} with what was granted to it?", plain(team)),
                    *yes,
                )?;
                client.delete(&format!("/teams/{id}")).await?;
                output::remark(&format!("{} is removed.", plain(team)));
                Ok(())
            }
            Command::Members { team, add, remove } => {
                let mut found = client.find(&TEAM, team).await?;
                if !add.is_empty() || !remove.is_empty() {
                    found = change(&client, &found, add, remove).await?;
                }
                show(&client, &found, json).await
            }
        }
    })
}

async fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let mut all = client.all("/teams").await?;
    if !json {
        for team in &mut all {
            team["size"] = json!(team["members"].as_array().map_or(0, Vec::len));
        }
    }
    let columns = [("NAME", "name"), ("MEMBERS", "size"), ("ID", "id")];
    output::list(&all, &columns, json, "No teams yet. Make one: switchboard team create NAME --member EMAIL");
    Ok(())
}

/// The API takes the whole team: what it is now, with the changes.
async fn change(client: &Client, team: &Value, add: &[String], remove: &[String]) -> Result<Value, Failure> {
    let (add, remove) = (client.ids_of(&MEMBER, add).await?, client.ids_of(&MEMBER, remove).await?);
    let mut members: Vec<String> = team["members"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|id| id.as_str().map(str::to_owned))
        .filter(|id| !remove.contains(id))
        .collect();
    let new: Vec<String> = add.into_iter().filter(|id| !members.contains(id)).collect();
    members.extend(new);
    client.put(&format!("/teams/{}/members", cell(team, "id")), &json!({ "members": members })).await
}

async fn show(client: &Client, team: &Value, json: bool) -> Result<(), Failure> {
    if json {
        output::print_json(team);
        return Ok(());
    }
    let members = team["members"].as_array().map_or(&[][..], Vec::as_slice);
    let named = client.names_of(&MEMBER, members).await?;
    output::print(&output::facts(&[
        ("name", cell(team, "name")),
        ("id", cell(team, "id")),
        ("members", named.join(" ")),
    ]));
    Ok(())
}
