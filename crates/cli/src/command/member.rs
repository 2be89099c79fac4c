//! `switchboard member …`: the people of the organization.

use serde_json::{Value, json};

use crate::{
    client::{Client, INVITATION, MEMBER, ServerFlags, TEAM, cell},
    failure::Failure,
    output::{self, plain},
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard member list
  switchboard member invite bob@example.com --team Support
  switchboard member remove bob@example.com")]
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
    /// Invite somebody: prints a link that works once
    Invite {
        email: String,
        /// member, admin or owner
        #[arg(long, default_value = "member")]
        role: String,
        /// Name or id of a team they are in from the start; may be repeated
        #[arg(long = "team", value_name = "TEAM")]
        teams: Vec<String>,
        /// Days the link works, at most 30
        #[arg(long, value_name = "DAYS", default_value_t = 7)]
        days: u32,
    },
    /// List invitations, those that are over too; with a flag, take one back
    Invitations {
        /// Email address or id
        #[arg(long, value_name = "INVITATION")]
        revoke: Option<String>,
    },
    /// Change what a member may do
    Role {
        /// Email address or id
        member: String,
        /// member, admin or owner
        role: String,
    },
    /// Keep a member out for now: their sessions, tokens and own accounts end
    Suspend {
        /// Email address or id
        member: String,
        /// Let them in again
        #[arg(long)]
        lift: bool,
    },
    /// Remove a member: everything of theirs ends at once
    #[command(visible_alias = "delete")]
    Remove {
        /// Email address or id
        member: String,
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
            Command::List => list(&client, json).await,
            Command::Show { member } => {
                let found = client.find(&MEMBER, member).await?;
                show(&client, found, json).await
            }
            Command::Invite { email, role, teams, days } => {
                let teams = client.ids_of(&TEAM, teams).await?;
                let wanted = json!({ "email": email, "role": role, "teams": teams, "expires_in_days": days });
                invited(&client.post("/invitations", &wanted).await?, json);
                Ok(())
            }
            Command::Invitations { revoke: None } => invitations(&client, json).await,
            Command::Invitations { revoke: Some(invitation) } => {
                let id = client.id_of(&INVITATION, invitation).await?;
                client.delete(&format!("/invitations/{id}")).await?;
                output::remark(&format!("The invitation of {} is taken back.", plain(invitation)));
                Ok(())
            }
            Command::Role { member, role } => change(&client, member, &json!({ "role": role }), json).await,
            Command::Suspend { member, lift } => {
                let status = if *lift { "active" } else { "suspended" };
                change(&client, member, &json!({ "status": status }), json).await
            }
            Command::Remove { member, yes } => remove(&client, member, *yes).await,
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

fn invited(created: &Value, json: bool) {
    if json {
        return output::print_json(created);
    }
    output::print(&cell(created, "url"));
    output::remark(&format!(
        "Give this link to {}. It works once, until {}, and is shown this once.",
        cell(created, "email"),
        cell(created, "expires_at")
    ));
}

async fn invitations(client: &Client, json: bool) -> Result<(), Failure> {
    let all = client.all("/invitations").await?;
    let columns =
        [("EMAIL", "email"), ("ROLE", "role"), ("STATUS", "status"), ("UNTIL", "expires_at"), ("ID", "id")];
    output::list(
        &all,
        &columns,
        json,
        "No invitations yet. Invite somebody: switchboard member invite EMAIL",
    );
    Ok(())
}

async fn change(client: &Client, given: &str, edit: &Value, json: bool) -> Result<(), Failure> {
    let id = client.id_of(&MEMBER, given).await?;
    let changed = client.patch(&format!("/members/{id}"), edit).await?;
    show(client, changed, json).await
}

async fn remove(client: &Client, given: &str, yes: bool) -> Result<(), Failure> {
    let id = client.id_of(&MEMBER, given).await?;
    let question = format!("Remove {} with their sessions, tokens and accounts at servers?", plain(given));
    output::confirm(&question, yes)?;
    client.delete(&format!("/members/{id}")).await?;
    output::remark(&format!("{} is removed.", plain(given)));
    Ok(())
}

async fn show(client: &Client, member: Value, json: bool) -> Result<(), Failure> {
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
