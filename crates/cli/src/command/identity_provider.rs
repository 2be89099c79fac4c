//! `switchboard identity-provider …`: sign-in with the company's OpenID Connect provider.

use std::{io::Read as _, path::PathBuf};

use serde_json::{Map, Value, json};

use crate::{
    client::{Client, IDENTITY_PROVIDER, ServerFlags, TEAM, cell},
    failure::Failure,
    output::{self, plain},
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard identity-provider add okta --name Okta --issuer https://example.okta.com \\
      --client-id 0oa1 --client-secret-file ./secret --domain example.com
  switchboard identity-provider edit okta --group-claim groups --group engineering=Engineering
  switchboard identity-provider passwords off")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List identity providers
    List,
    /// One with all its settings, and the redirect URI to register there
    Show {
        /// Slug or id
        provider: String,
    },
    /// Add a provider; its metadata is read at once
    Add {
        /// Short name, part of the redirect URI: <public URL>/sign-in/callback/<organization>/<slug>
        slug: String,
        /// On the button that people press; the slug without
        #[arg(long)]
        name: Option<String>,
        /// Exactly as the provider's metadata says it
        #[arg(long, value_name = "URL")]
        issuer: String,
        #[arg(long, value_name = "ID")]
        client_id: String,
        #[command(flatten)]
        settings: ProviderSettings,
    },
    /// Change a provider; a list that is given replaces the one before
    Edit {
        /// Slug or id
        provider: String,
        #[arg(long)]
        name: Option<String>,
        /// Another issuer needs its own secret
        #[arg(long, value_name = "URL")]
        issuer: Option<String>,
        #[arg(long, value_name = "ID")]
        client_id: Option<String>,
        #[command(flatten)]
        settings: ProviderSettings,
        /// Offer it again
        #[arg(long, conflicts_with = "disable")]
        enable: bool,
        /// Take its button away and let nobody in through it
        #[arg(long)]
        disable: bool,
    },
    /// Remove a provider with everybody's accounts at it
    #[command(visible_alias = "delete")]
    Remove {
        /// Slug or id
        provider: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    /// Whether members and admins may sign in with a password; owners always may
    Passwords {
        #[arg(value_parser = ["on", "off"])]
        state: String,
    },
}

#[derive(Debug, clap::Args)]
struct ProviderSettings {
    /// File with the client's secret; - for standard input
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// Such as email or offline_access; may be repeated [default: openid profile email]
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Whoever has a verified address of this domain may join; may be repeated
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Vec<String>,
    /// The claim with a person's groups
    #[arg(long, value_name = "NAME")]
    group_claim: Option<String>,
    /// Which group is which team; may be repeated
    #[arg(long = "group", value_name = "GROUP=TEAM")]
    groups: Vec<String>,
}

impl ProviderSettings {
    async fn write(&self, client: &Client, body: &mut Map<String, Value>) -> Result<(), Failure> {
        if let Some(file) = &self.client_secret_file {
            body.insert("client_secret".into(), read_secret(file)?.into());
        }
        if !self.scopes.is_empty() {
            body.insert("scopes".into(), json!(self.scopes));
        }
        if !self.domains.is_empty() {
            body.insert("verified_domains".into(), json!(self.domains));
        }
        if let Some(claim) = &self.group_claim {
            body.insert("group_claim".into(), json!(claim));
        }
        if !self.groups.is_empty() {
            let pairs = self.groups.iter().map(|pair| pair.rsplit_once('=')).collect::<Option<Vec<_>>>();
            let pairs =
                pairs.ok_or_else(|| Failure::usage("Write --group GROUP=TEAM, such as eng=Engineering."))?;
            let teams: Vec<String> = pairs.iter().map(|(_, team)| (*team).to_owned()).collect();
            let ids = client.ids_of(&TEAM, &teams).await?;
            let mapping =
                pairs.iter().zip(ids).map(|((group, _), team)| json!({ "group": group, "team": team }));
            body.insert("group_teams".into(), mapping.collect());
        }
        Ok(())
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let client = arguments.server.client()?;
        let json = arguments.server.json;
        match &arguments.command {
            Command::List => list(&client, json).await,
            Command::Show { provider } => {
                show(&client.find(&IDENTITY_PROVIDER, provider).await?, json);
                Ok(())
            }
            Command::Add { slug, name, issuer, client_id, settings } => {
                let mut body = Map::new();
                body.insert("slug".into(), json!(slug));
                body.insert("name".into(), json!(name.as_ref().unwrap_or(slug)));
                body.insert("issuer".into(), json!(issuer));
                body.insert("client_id".into(), json!(client_id));
                settings.write(&client, &mut body).await?;
                show(&client.post("/identity-providers", &Value::Object(body)).await?, json);
                Ok(())
            }
            Command::Edit { provider, name, issuer, client_id, settings, enable, disable } => {
                let mut body = Map::new();
                for (member, given) in [("name", name), ("issuer", issuer), ("client_id", client_id)] {
                    if let Some(given) = given {
                        body.insert(member.into(), json!(given));
                    }
                }
                if *enable || *disable {
                    body.insert("enabled".into(), json!(*enable));
                }
                settings.write(&client, &mut body).await?;
                let id = client.id_of(&IDENTITY_PROVIDER, provider).await?;
                show(&client.patch(&format!("/identity-providers/{id}"), &Value::Object(body)).await?, json);
                Ok(())
            }
            Command::Remove { provider, yes } => remove(&client, provider, *yes).await,
            Command::Passwords { state } => {
                let settings = json!({ "settings": { "password_sign_in": state == "on" } });
                client.patch("/organization", &settings).await?;
                output::remark(match state.as_str() {
                    "on" => "Everybody may sign in with a password.",
                    _ => "Nobody but owners may sign in with a password.",
                });
                Ok(())
            }
        }
    })
}

async fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let all = client.all("/identity-providers").await?;
    let columns = [("SLUG", "slug"), ("NAME", "name"), ("ISSUER", "issuer"), ("ENABLED", "enabled")];
    output::list(
        &all,
        &columns,
        json,
        "None yet. Add one: switchboard identity-provider add SLUG --issuer URL …",
    );
    Ok(())
}

fn show(provider: &Value, json: bool) {
    if json {
        output::print_json(provider);
        return;
    }
    let words = |name: &str| {
        let items = provider[name].as_array().into_iter().flatten();
        items.filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
    };
    output::print(&output::facts(&[
        ("slug", cell(provider, "slug")),
        ("name", cell(provider, "name")),
        ("issuer", cell(provider, "issuer")),
        ("client id", cell(provider, "client_id")),
        ("has secret", cell(provider, "has_secret")),
        ("scopes", words("scopes")),
        ("domains", words("verified_domains")),
        ("group claim", cell(provider, "group_claim")),
        ("enabled", cell(provider, "enabled")),
        ("redirect URI", cell(provider, "callback_url")),
    ]));
}

async fn remove(client: &Client, provider: &str, yes: bool) -> Result<(), Failure> {
    let id = client.id_of(&IDENTITY_PROVIDER, provider).await?;
    let question = format!(
        "Remove {} with everybody's accounts at it? Who has no password has to be invited again.",
        plain(provider)
    );
    output::confirm(&question, yes)?;
    client.delete(&format!("/identity-providers/{id}")).await?;
    output::remark(&format!("{} is removed.", plain(provider)));
    Ok(())
}

fn read_secret(path: &PathBuf) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().read_to_string(&mut text).map(drop),
        false => std::fs::read_to_string(path).map(|read| text = read),
    };
    read.map_err(|error| Failure::failed(format!("The file {} can't be read: {error}.", path.display())))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
