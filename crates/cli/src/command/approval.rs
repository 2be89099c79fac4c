//! `switchboard approval …`: calls that a rule holds until a person decides.

use serde_json::{Value, json};

use crate::{
    client::{Client, ServerFlags, cell},
    failure::Failure,
    output::{self, facts, plain_lines},
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard approval list
  switchboard approval show apr_…
  switchboard approval approve apr_…")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Calls that wait for your decision
    List {
        /// Those that wait for others too, and those that are over
        #[arg(long)]
        all: bool,
    },
    /// What would be called, with which arguments, and who asks
    Show { id: String },
    /// Let exactly this call through, once
    Approve { id: String },
    /// Decline it, for good
    Decline { id: String },
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let client = arguments.server.client()?;
        let as_json = arguments.server.json;
        match &arguments.command {
            Command::List { all } => list(&client, *all, as_json).await?,
            Command::Show { id } => show(&client.get(&path(id)?).await?, as_json),
            Command::Approve { id } => {
                let decided = client.post(&format!("{}/approve", path(id)?), &json!({})).await?;
                told(&decided, as_json, "Approved: the agent can call it once, until");
            }
            Command::Decline { id } => {
                let decided = client.post(&format!("{}/decline", path(id)?), &json!({})).await?;
                told(&decided, as_json, "Declined. It was asked");
            }
        }
        Ok(())
    })
}

/// An id as it stands in a path: what is none is refused before it is sent.
fn path(id: &str) -> Result<String, Failure> {
    let id: switchboard_domain::ApprovalId = id
        .parse()
        .map_err(|error| Failure::usage(format!("{error}. `switchboard approval list --all` shows them.")))?;
    Ok(format!("/approvals/{id}"))
}

async fn list(client: &Client, all: bool, json: bool) -> Result<(), Failure> {
    let path = if all { "/approvals" } else { "/approvals?decidable=true" };
    let rows = client.all(path).await?;
    let columns = [
        ("ID", "id"),
        ("CAPABILITY", "capability"),
        ("FOR", "requested_by_name"),
        ("THROUGH", "client"),
        ("STATUS", "status"),
        ("UNTIL", "expires_at"),
    ];
    let mut nothing = "Nothing waits for your decision.".to_owned();
    if rows.is_empty() && !json && !all {
        // Held for somebody else; or for the same person, but never for the token that asked.
        match client.all("/approvals?status=pending").await?.len() {
            0 => {}
            count => nothing.push_str(&format!(
                " {count} that you can't decide with this token: switchboard approval list --all"
            )),
        }
    }
    output::list(&rows, &columns, json, &nothing);
    Ok(())
}

fn show(approval: &Value, json: bool) {
    if json {
        output::print_json(approval);
        return;
    }
    let mut text = facts(&[
        ("capability", cell(approval, "capability")),
        ("status", cell(approval, "status")),
        ("asked for", cell(approval, "requested_by_name")),
        ("through", cell(approval, "client")),
        ("rule", cell(approval, "rule")),
        ("intent", cell(approval, "intent")),
        ("asked", cell(approval, "created_at")),
        ("until", cell(approval, "expires_at")),
        ("decided by", cell(approval, "decided_by_name")),
        ("page", cell(approval, "url")),
    ]);
    text.push_str(&format!("arguments\n{}\n", plain_lines(&cell(approval, "shown_arguments"))));
    output::print(&text);
}

fn told(approval: &Value, json: bool, what: &str) {
    if json {
        output::print_json(approval);
        return;
    }
    let member = if approval["status"] == "approved" { "expires_at" } else { "created_at" };
    output::remark(&format!("{what} {}.", output::plain(&cell(approval, member))));
}
