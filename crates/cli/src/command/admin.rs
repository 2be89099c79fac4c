//! `switchboard admin …`: on the database directly, also while a server runs. What makes the first of something works
//! on an empty data directory too; everything else refuses there, because the directory is most likely another one.

use std::{io::Read as _, path::PathBuf, time::Duration};

use serde_json::json;
use switchboard_domain::{Resource, Scope, SecretValue, Slug};

use crate::{
    config::{Config, SettingFlags},
    failure::Failure,
    operator::{NewOwner, NewToken, Operator},
    output,
    startup::{self, SETUP_LINK_LIFETIME, new_setup_link},
    telemetry,
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard admin create-owner --email ana@example.com --password-file ./password
  switchboard admin create-token --email ana@example.com --scope mcp:read --scope mcp:write --json
  switchboard admin setup-link --public-url https://switchboard.example")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Slug of the organization, when there are several
    #[arg(long, value_name = "SLUG")]
    organization: Option<Slug>,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make an organization
    CreateOrganization {
        /// Its name in URLs, such as acme
        #[arg(long)]
        slug: Slug,
        /// Its name for people; the slug without
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// A new single-use link that makes the first owner
    SetupLink {
        #[command(flatten)]
        common: Common,
    },
    /// Make an owner; on an empty database the organization too
    CreateOwner {
        #[arg(long, value_name = "ADDRESS")]
        email: String,
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// File with the password; - for standard input
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Give a member a new password
    ResetPassword {
        #[arg(long, value_name = "ADDRESS")]
        email: String,
        /// File with the password; - for standard input
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Make a personal access token for a member; it is shown once
    CreateToken {
        #[arg(long, value_name = "ADDRESS")]
        email: String,
        /// mcp:read, mcp:write, mcp:plan or api; may be repeated
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
        scopes: Vec<Scope>,
        /// Path of the one endpoint it is for, such as /mcp/toolkits/support
        #[arg(long, value_name = "PATH")]
        resource: Option<String>,
        /// What it is for
        #[arg(long, default_value = "command line")]
        name: String,
        /// How long it is good for: 30d, 12h, never
        #[arg(long, value_name = "DURATION", default_value = "90d")]
        expires_in: String,
        #[command(flatten)]
        common: Common,
    },
}

impl Command {
    const fn common(&self) -> &Common {
        match self {
            Self::CreateOrganization { common, .. }
            | Self::SetupLink { common }
            | Self::CreateOwner { common, .. }
            | Self::ResetPassword { common, .. }
            | Self::CreateToken { common, .. } => common,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let common = arguments.command.common();
    let config = super::load(&common.settings)?;
    telemetry::for_command(&config.log)?;
    super::command_runtime()?.block_on(async {
        let operator = match &arguments.command {
            Command::CreateOrganization { .. } | Command::CreateOwner { .. } => {
                Operator::open(&config).await?
            }
            Command::SetupLink { .. } | Command::ResetPassword { .. } | Command::CreateToken { .. } => {
                Operator::open_existing(&config).await?
            }
        };
        let outcome = act(&arguments.command, &config, &operator).await;
        operator.db.close().await;
        outcome
    })
}

async fn act(command: &Command, config: &Config, operator: &Operator) -> Result<(), Failure> {
    let common = command.common();
    match command {
        Command::CreateOrganization { slug, name, .. } => {
            let made = operator.create_organization(slug, name.as_deref().unwrap_or(slug.as_str())).await?;
            let text = format!(
                "Organization `{}` made. Next: {} admin create-owner {} --organization {} --email E --password-file F",
                made.slug,
                output::program(),
                config.flags_for_admin(),
                made.slug
            );
            tell(common, &json!({"id": made.id, "slug": made.slug, "name": made.name}), &text);
        }
        Command::SetupLink { .. } => setup_link(config, operator, common).await?,
        Command::CreateOwner { email, name, password_file, .. } => {
            let owner = NewOwner {
                organization: common.organization.clone(),
                email: email.clone(),
                name: name.clone(),
                password: read_password(password_file)?,
            };
            let (organization, member) = operator.create_owner(&owner).await?;
            let text = format!(
                "{} owns `{}` now. Next: {} admin create-token {} --email {} --scope api --scope mcp:read --scope mcp:write",
                member.email,
                organization.slug,
                output::program(),
                config.flags_for_admin(),
                member.email
            );
            tell(
                common,
                &json!({"id": member.id, "email": member.email, "organization": organization.slug}),
                &text,
            );
        }
        Command::ResetPassword { email, password_file, .. } => {
            let organization = operator.organization(common.organization.as_ref()).await?;
            let member = operator.reset_password(&organization, email, read_password(password_file)?).await?;
            tell(
                common,
                &json!({"id": member.id, "email": member.email}),
                &format!("{} has a new password.", member.email),
            );
        }
        Command::CreateToken { email, scopes, resource, name, expires_in, .. } => {
            let organization = operator.organization(common.organization.as_ref()).await?;
            let new = NewToken {
                email: email.clone(),
                name: name.clone(),
                scopes: scopes.iter().copied().collect(),
                resource: resource.as_deref().map(read_resource).transpose()?,
                lifetime: read_lifetime(expires_in)?,
            };
            let made = operator.create_token(&organization, &new).await?;
            let value = json!({"token": made.secret.expose(), "id": made.id, "expires_at": made.expires_at});
            tell(common, &value, made.secret.expose());
        }
    }
    Ok(())
}

async fn setup_link(config: &Config, operator: &Operator, common: &Common) -> Result<(), Failure> {
    if operator.db.single().await?.members().owners_exist().await? {
        return Err(Failure::failed(
            "There is an owner already, so a setup link would do nothing. For a lost password: switchboard admin reset-password --email E --password-file F",
        ));
    }
    // The address that the server was last started with, unless this command was told another.
    let told = config.public_url.is_some() || config.listen != Config::DEFAULT_LISTEN;
    let served = if told { None } else { startup::last_public_url(config) };
    let public_url = served.unwrap_or_else(|| config.public_url_for(config.listen));
    let link = new_setup_link(&operator.db, &public_url, &*operator.clock, &*operator.random).await?;
    let minutes = SETUP_LINK_LIFETIME.as_secs() / 60;
    if !common.json {
        output::remark(&format!(
            "Open this link once; it expires in {minutes} min, and earlier ones no longer work."
        ));
    }
    tell(
        common,
        &json!({"url": link.expose(), "expires_in_seconds": SETUP_LINK_LIFETIME.as_secs()}),
        link.expose(),
    );
    Ok(())
}

fn tell(common: &Common, value: &serde_json::Value, text: &str) {
    if common.json {
        output::print_json(value);
    } else {
        output::print(text);
    }
}

/// One line; its end is not part of it.
fn read_password(path: &PathBuf) -> Result<SecretValue, Failure> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(4096).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(4096).read_to_string(&mut text))
    };
    read.map_err(|error| {
        Failure::failed(format!("The password file {} can't be read: {error}.", path.display()))
    })?;
    Ok(SecretValue::new(text.trim_end_matches(['\r', '\n'])))
}

fn read_resource(text: &str) -> Result<Resource, Failure> {
    let path = url::Url::parse(text).map_or_else(|_| text.to_owned(), |url| url.path().to_owned());
    Resource::from_path(path.trim_end_matches('/')).ok_or_else(|| {
        Failure::usage(format!(
            "`{text}` is no endpoint: use /mcp, /mcp/toolkits/<slug>, /mcp/connections/<slug> or /api/v1"
        ))
    })
}

/// `never` is none.
fn read_lifetime(text: &str) -> Result<Option<Duration>, Failure> {
    if text == "never" {
        return Ok(None);
    }
    match crate::config::parse_duration(text) {
        Some(lifetime) if !lifetime.is_zero() => Ok(Some(lifetime)),
        _ => {
            Err(Failure::usage(format!("--expires-in: `{text}` is not a duration such as 30d, 12h or never")))
        }
    }
}
