//! `switchboard service-account …`: programs that act for themselves.

use serde_json::{Value, json};
use switchboard_domain::Scope;

use crate::{
    client::{Client, SERVICE_ACCOUNT, ServerFlags, cell},
    failure::Failure,
    output::{self, facts, plain},
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard service-account create nightly-reports
  switchboard service-account secret nightly-reports --scope mcp:read
  switchboard token create --name ci --scope mcp:read --service-account nightly-reports")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ProgramRole {
    Member,
    Admin,
}

impl ProgramRole {
    const fn word(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List service accounts
    List,
    /// Make a service account
    Create {
        name: String,
        /// What it may administer with a token of the scope api
        #[arg(long, value_enum, default_value = "member")]
        role: ProgramRole,
    },
    /// One service account
    Show {
        /// Name or id
        account: String,
    },
    /// Make its client id and secret for /oauth/token; shown once, the secret before ends
    Secret {
        /// Name or id
        account: String,
        /// The most it may ask for; may be repeated [default: mcp:read mcp:write]
        #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
        scopes: Vec<Scope>,
    },
    /// Stop its tokens and its secret until it is enabled again
    Disable {
        /// Name or id
        account: String,
    },
    /// Let it in again
    Enable {
        /// Name or id
        account: String,
    },
    /// Remove it with its tokens and its secret
    #[command(visible_alias = "delete")]
    Remove {
        /// Name or id
        account: String,
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
            Command::List => {
                let all = client.all("/service-accounts").await?;
                let columns = [
                    ("NAME", "name"),
                    ("ROLE", "role"),
                    ("STATUS", "status"),
                    ("SECRET USED", "last_used_at"),
                    ("ID", "id"),
                ];
                let none = "No service accounts yet. Make one: switchboard service-account create NAME";
                output::list(&all, &columns, json, none);
                Ok(())
            }
            Command::Create { name, role } => {
                let body = json!({ "name": name, "role": role.word() });
                show(&client.post("/service-accounts", &body).await?, json);
                Ok(())
            }
            Command::Show { account } => {
                show(&client.find(&SERVICE_ACCOUNT, account).await?, json);
                Ok(())
            }
            Command::Secret { account, scopes } => secret(&client, account, scopes, json).await,
            Command::Disable { account } => set_status(&client, account, "suspended", json).await,
            Command::Enable { account } => set_status(&client, account, "active", json).await,
            Command::Remove { account, yes } => {
                let id = client.id_of(&SERVICE_ACCOUNT, account).await?;
                output::confirm(
                    &format!("Remove the service account {} with its tokens?", plain(account)),
                    *yes,
                )?;
                client.delete(&format!("/service-accounts/{id}")).await?;
                output::remark(&format!("{} is removed.", plain(account)));
                Ok(())
            }
        }
    })
}

async fn secret(client: &Client, account: &str, scopes: &[Scope], json: bool) -> Result<(), Failure> {
    let id = client.id_of(&SERVICE_ACCOUNT, account).await?;
    let body = if scopes.is_empty() { json!({}) } else { json!({ "scopes": scopes }) };
    let made = client.post(&format!("/service-accounts/{id}/secret"), &body).await?;
    if json {
        output::print_json(&made);
    } else {
        output::print(&facts(&[
            ("client id", cell(&made, "client_id")),
            ("client secret", cell(&made, "client_secret")),
            ("scopes", cell(&made, "scopes")),
        ]));
    }
    Ok(())
}

async fn set_status(client: &Client, account: &str, status: &str, json: bool) -> Result<(), Failure> {
    let id = client.id_of(&SERVICE_ACCOUNT, account).await?;
    show(&client.patch(&format!("/service-accounts/{id}"), &json!({ "status": status })).await?, json);
    Ok(())
}

fn show(account: &Value, json: bool) {
    if json {
        output::print_json(account);
        return;
    }
    output::print(&facts(&[
        ("name", cell(account, "name")),
        ("id", cell(account, "id")),
        ("role", cell(account, "role")),
        ("status", cell(account, "status")),
        ("has a secret", cell(account, "has_secret")),
        ("secret last used", cell(account, "last_used_at")),
    ]));
}
