//! `switchboard toolkit …`: endpoints of their own for chosen capabilities.

use serde_json::{Map, Value, json};

use crate::{
    client::{Client, MEMBER, ServerFlags, TEAM, TOOLKIT, cell},
    failure::Failure,
    output::{self, plain},
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard toolkit create support 'linear.*' sentry.list_issues --team Support
  switchboard toolkit update support --surface direct
  switchboard toolkit show support")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List toolkits with their addresses
    List,
    /// One toolkit: what is in it, for whom, and its address
    Show {
        /// Slug or id
        toolkit: String,
    },
    /// Make a toolkit
    Create {
        /// Its name in the address: /mcp/toolkits/SLUG, of your own /mcp/toolkits/~SLUG
        slug: String,
        /// Capabilities: linear.create_issue, linear.*, *.delete_issue, *
        #[arg(required = true)]
        patterns: Vec<String>,
        /// Your own, for yourself alone; without, the organization's (admins)
        #[arg(long)]
        mine: bool,
        #[command(flatten)]
        facts: Facts,
    },
    /// Change a toolkit; what is not named stays
    Update {
        /// Slug or id
        toolkit: String,
        /// Capabilities, all of them; may be repeated
        #[arg(long = "pattern", value_name = "PATTERN")]
        patterns: Vec<String>,
        /// For whoever is granted the connections: no members, no teams
        #[arg(long, conflicts_with_all = ["members", "teams"])]
        whoever_is_granted: bool,
        #[command(flatten)]
        facts: Facts,
    },
    /// Remove a toolkit with its rules
    #[command(visible_alias = "delete")]
    Remove {
        /// Slug or id
        toolkit: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Facts {
    /// Its name for people
    #[arg(long)]
    name: Option<String>,
    /// search (two tools) or direct (its tools one to one)
    #[arg(long, value_name = "WORD")]
    surface: Option<String>,
    /// Only for this member: email address or id; may be repeated
    #[arg(long = "member", value_name = "MEMBER")]
    members: Vec<String>,
    /// Only for this team: name or id; may be repeated
    #[arg(long = "team", value_name = "TEAM")]
    teams: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let client = arguments.server.client()?;
        let json = arguments.server.json;
        match &arguments.command {
            Command::List => list(&client, json).await,
            Command::Show { toolkit } => show(&client, &client.find(&TOOLKIT, toolkit).await?, json).await,
            Command::Create { slug, patterns, mine, facts } => {
                let mut body = body(&client, facts).await?;
                body.insert("slug".into(), json!(slug));
                body.insert("patterns".into(), json!(patterns));
                if *mine {
                    body.insert("owner".into(), json!("member"));
                }
                show(&client, &client.post("/toolkits", &body.into()).await?, json).await
            }
            Command::Update { toolkit, patterns, whoever_is_granted, facts } => {
                let mut body = body(&client, facts).await?;
                if !patterns.is_empty() {
                    body.insert("patterns".into(), json!(patterns));
                }
                if *whoever_is_granted {
                    body.insert("members".into(), json!([]));
                    body.insert("teams".into(), json!([]));
                }
                if body.is_empty() {
                    return Err(Failure::usage("Nothing to change was named; -h lists what can be."));
                }
                let id = client.id_of(&TOOLKIT, toolkit).await?;
                show(&client, &client.patch(&format!("/toolkits/{id}"), &body.into()).await?, json).await
            }
            Command::Remove { toolkit, yes } => {
                let id = client.id_of(&TOOLKIT, toolkit).await?;
                output::confirm(&format!("Remove the toolkit {} with its rules?", plain(toolkit)), *yes)?;
                client.delete(&format!("/toolkits/{id}")).await?;
                output::remark(&format!("{} is removed.", plain(toolkit)));
                Ok(())
            }
        }
    })
}

/// What was named, with ids for names.
async fn body(client: &Client, facts: &Facts) -> Result<Map<String, Value>, Failure> {
    let mut body = Map::new();
    for (member, given) in [("name", &facts.name), ("surface", &facts.surface)] {
        if let Some(given) = given {
            body.insert(member.into(), json!(given));
        }
    }
    for (member, kind, given) in [("members", &MEMBER, &facts.members), ("teams", &TEAM, &facts.teams)] {
        if !given.is_empty() {
            body.insert(member.into(), json!(client.ids_of(kind, given).await?));
        }
    }
    Ok(body)
}

async fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let all = client.all("/toolkits").await?;
    let columns = [("SLUG", "slug"), ("SURFACE", "surface"), ("PATTERNS", "patterns"), ("ADDRESS", "url")];
    output::list(&all, &columns, json, "No toolkits yet. Make one: switchboard toolkit create SLUG PATTERN…");
    Ok(())
}

async fn show(client: &Client, toolkit: &Value, json: bool) -> Result<(), Failure> {
    if json {
        output::print_json(toolkit);
        return Ok(());
    }
    let mut facts: Vec<(&str, String)> = ["slug", "name", "id", "owner", "surface", "patterns", "url"]
        .map(|name| (name, cell(toolkit, name)))
        .to_vec();
    for (member, kind) in [("members", &MEMBER), ("teams", &TEAM)] {
        if let Some(ids) = toolkit[member].as_array().filter(|ids| !ids.is_empty()) {
            facts.push((member, client.names_of(kind, ids).await?.join(" ")));
        }
    }
    output::print(&output::facts(&facts));
    Ok(())
}
