//! `switchboard oauth-client …`: the AI clients that members sign in with.

use serde_json::{Value, json};

use crate::{
    client::{Client, OAUTH_CLIENT, ServerFlags, cell},
    failure::Failure,
    output::{self, facts, plain},
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard oauth-client list
  switchboard oauth-client create 'Copilot Studio' --redirect-uri https://app.example/callback --confidential
  switchboard oauth-client disable https://claude.ai/oauth/claude-code-client-metadata")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Clients that members signed in with, that are kept out, or that an admin made
    List,
    /// Make a client for an app that can't register by itself
    Create {
        name: String,
        /// Where a browser may be sent with a code; may be repeated
        #[arg(long = "redirect-uri", value_name = "URL", required = true)]
        redirect_uris: Vec<String>,
        /// It can keep a secret, as a program on a server can; the secret is shown once
        #[arg(long)]
        confidential: bool,
    },
    /// One client
    Show {
        /// Client id or id
        client: String,
    },
    /// Give a client that an admin made another secret; the one before ends
    Secret {
        /// Client id or id
        client: String,
    },
    /// Keep a client out, and end all it was given
    Disable {
        /// Client id or id
        client: String,
    },
    /// Let it in again
    Enable {
        /// Client id or id
        client: String,
    },
    /// Forget a client with all it was given; it may register again
    #[command(visible_alias = "delete")]
    Remove {
        /// Client id or id
        client: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let server = arguments.server.client()?;
        let json = arguments.server.json;
        match &arguments.command {
            Command::List => {
                let all = server.all("/oauth-clients").await?;
                let columns = [
                    ("NAME", "name"),
                    ("KIND", "kind"),
                    ("ENABLED", "enabled"),
                    ("ALLOWED", "grants"),
                    ("LAST USED", "last_used_at"),
                    ("CLIENT ID", "client_id"),
                ];
                output::list(&all, &columns, json, "No AI client has signed anybody in yet.");
            }
            Command::Create { name, redirect_uris, confidential } => {
                let body =
                    json!({ "name": name, "redirect_uris": redirect_uris, "confidential": confidential });
                show(&server.post("/oauth-clients", &body).await?, json);
            }
            Command::Show { client } => show(&server.find(&OAUTH_CLIENT, client).await?, json),
            Command::Secret { client } => {
                let id = server.id_of(&OAUTH_CLIENT, client).await?;
                show(&server.post(&format!("/oauth-clients/{id}/secret"), &json!({})).await?, json);
            }
            Command::Disable { client } => show(&set_enabled(&server, client, false).await?, json),
            Command::Enable { client } => show(&set_enabled(&server, client, true).await?, json),
            Command::Remove { client, yes } => {
                let id = server.id_of(&OAUTH_CLIENT, client).await?;
                output::confirm(
                    &format!("Forget the client {} and end all it was given?", plain(client)),
                    *yes,
                )?;
                server.delete(&format!("/oauth-clients/{id}")).await?;
                output::remark(&format!("{} is forgotten.", plain(client)));
            }
        }
        Ok(())
    })
}

async fn set_enabled(server: &Client, client: &str, enabled: bool) -> Result<Value, Failure> {
    let id = server.id_of(&OAUTH_CLIENT, client).await?;
    server.patch(&format!("/oauth-clients/{id}"), &json!({ "enabled": enabled })).await
}

fn show(client: &Value, json: bool) {
    if json {
        output::print_json(client);
        return;
    }
    let mut shown = vec![
        ("name", cell(client, "name")),
        ("client id", cell(client, "client_id")),
        ("kind", cell(client, "kind")),
        ("redirect URIs", cell(client, "redirect_uris")),
        ("enabled", cell(client, "enabled")),
        ("allowed", cell(client, "grants")),
        ("last used", cell(client, "last_used_at")),
        ("id", cell(client, "id")),
    ];
    if !client["client_secret"].is_null() {
        shown.insert(2, ("client secret", cell(client, "client_secret")));
    }
    output::print(&facts(&shown));
}
