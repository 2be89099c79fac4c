//! `switchboard token …`: access tokens, through the server.

use serde_json::{Value, json};
use switchboard_domain::Scope;

use crate::{
    client::{SERVICE_ACCOUNT, ServerFlags, cell},
    failure::Failure,
    output::{self, table},
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard token create --name laptop --scope mcp:read --scope mcp:write
  switchboard token create --name ci --scope mcp:read --service-account nightly-reports
  switchboard token list
  switchboard token revoke tok_01jb2m3x8ye0bvnr8z3h2q5c7d")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a token for yourself or a service account; it is shown once
    Create {
        /// What it is for
        #[arg(long)]
        name: String,
        /// mcp:read, mcp:write, mcp:plan or api; may be repeated
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
        scopes: Vec<Scope>,
        /// Path of the one endpoint it is for, such as /mcp/toolkits/support
        #[arg(long, value_name = "PATH")]
        resource: Option<String>,
        /// Days until it expires [default: 90]
        #[arg(long, value_name = "DAYS")]
        expires_in_days: Option<u32>,
        /// Name or id of the service account it is for (admins)
        #[arg(long, value_name = "NAME")]
        service_account: Option<String>,
    },
    /// Your tokens: how they begin and end, never the whole
    List {
        /// Everybody's (admins)
        #[arg(long)]
        everyone: bool,
    },
    /// End a token; it stops working within a second
    Revoke { id: String },
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let client = arguments.server.client()?;
        let json = arguments.server.json;
        match &arguments.command {
            Command::Create { name, scopes, resource, expires_in_days, service_account } => {
                let mut body = json!({"name": name, "scopes": scopes});
                if let Some(resource) = resource {
                    body["resource"] = json!(resource);
                }
                if let Some(days) = expires_in_days {
                    body["expires_in_days"] = json!(days);
                }
                if let Some(account) = service_account {
                    body["service_account"] = json!(client.id_of(&SERVICE_ACCOUNT, account).await?);
                }
                let made = client.post("/tokens", &body).await?;
                if json { output::print_json(&made) } else { output::print(&cell(&made, "token")) }
            }
            Command::List { everyone } => {
                let all = client.all(if *everyone { "/tokens?everyone=true" } else { "/tokens" }).await?;
                if json { output::print_json(&json!({ "items": all })) } else { output::print(&listed(&all)) }
            }
            Command::Revoke { id } => {
                // An id stands in the path: whatever is not one must not reach another route.
                let id: switchboard_domain::TokenId =
                    id.parse().map_err(|error| Failure::usage(format!("{error}")))?;
                client.delete(&format!("/tokens/{id}")).await?;
                output::remark(&format!("{id} is revoked."));
            }
        }
        Ok(())
    })
}

fn listed(tokens: &[Value]) -> String {
    let rows: Vec<Vec<String>> = tokens
        .iter()
        .map(|token| {
            let state =
                if token["revoked_at"].is_null() { cell(token, "expires_at") } else { "revoked".into() };
            let shown = format!("{}…{}", cell(token, "prefix"), cell(token, "last_four"));
            vec![
                cell(token, "id"),
                cell(token, "name"),
                shown,
                cell(token, "scopes"),
                state,
                cell(token, "last_used_at"),
            ]
        })
        .collect();
    table(&["ID", "NAME", "TOKEN", "SCOPES", "EXPIRES", "LAST USED"], &rows)
}
