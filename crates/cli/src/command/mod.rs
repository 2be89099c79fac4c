//! The command tree, one module a command.

mod admin;
mod approval;
mod audit;
mod backup;
mod call;
mod client;
mod completions;
mod configuration;
mod connection;
mod demo;
pub(crate) mod doctor;
mod grant;
mod guardrail;
mod healthcheck;
mod identity_provider;
mod keys;
mod login;
mod member;
mod migrate;
mod oauth_client;
mod openapi;
mod policy;
mod quota;
mod reference;
mod rollout;
mod search;
mod serve;
mod service_account;
mod team;
mod token;
mod toolkit;
mod usage;
mod webhook;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::{
    config::{Config, Environment, SettingFlags, Settings},
    failure::Failure,
    output,
};

/// `switchboard -h`: examples first, everything in one screen.
pub(crate) const SHORT_HELP: &str = "\
Examples
  switchboard demo                        try everything offline, with a sample server built in
  switchboard serve                       run it, data in ./data; prints a link for the first owner
  switchboard search 'create an issue'    what an agent would find

Run it
  serve | demo         run the server | with samples
  admin                owners, tokens, setup links: on the database directly
  keys | backup | restore | migrate | doctor | healthcheck
  config check|show    what is configured, and where each value comes from

Use it (--server, --token)
  login | logout       through the browser, instead of --token
  connection           add | list | show | check | connect | review | refresh | remove
  grant | toolkit | policy | approval | guardrail | quota | rollout | audit | usage
  member | team | service-account | identity-provider | oauth-client | client | token | webhook
  search QUERY         what an agent would find
  call NAME JSON       run a capability

  completions | openapi | --version       --help: more; <command> -h: options of one
";

#[derive(Debug, Parser)]
#[command(
    name = "switchboard",
    version,
    about = "One MCP endpoint for a whole organisation",
    disable_help_subcommand = true,
    max_term_width = 110
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Arguments),
    /// Run it with a sample server, an owner and a token: try everything offline
    Demo(demo::Arguments),
    /// Sign in at a server through your browser; commands then need no token
    Login(login::Arguments),
    /// Sign out again
    Logout(login::Arguments),
    /// The MCP servers of the organization
    #[command(alias = "connections")]
    Connection(connection::Arguments),
    /// Who may use a connection
    #[command(alias = "grants")]
    Grant(grant::Arguments),
    /// Endpoints of their own for chosen capabilities
    #[command(alias = "toolkits")]
    Toolkit(toolkit::Arguments),
    /// Rules on what may be called, and which of them decides
    #[command(alias = "policies")]
    Policy(policy::Arguments),
    /// Who is asked about calls before they go out
    Guardrail(guardrail::Arguments),
    /// How many calls a day or month have room for
    #[command(alias = "quotas")]
    Quota(quota::Arguments),
    /// Connections that admins try out before everybody has them
    Rollout(rollout::Arguments),
    /// Calls that wait for a person
    #[command(alias = "approvals")]
    Approval(approval::Arguments),
    /// The people of the organization
    #[command(alias = "members")]
    Member(member::Arguments),
    /// Named sets of members
    #[command(alias = "teams")]
    Team(team::Arguments),
    /// Programs that act for themselves
    #[command(alias = "service-accounts")]
    ServiceAccount(service_account::Arguments),
    /// Sign-in with the company's identity provider
    #[command(alias = "identity-providers")]
    IdentityProvider(identity_provider::Arguments),
    /// The AI clients that members sign in with
    #[command(alias = "oauth-clients")]
    OauthClient(oauth_client::Arguments),
    /// AI clients that people allowed to act as them
    #[command(alias = "clients")]
    Client(client::Arguments),
    /// Access tokens
    #[command(alias = "tokens")]
    Token(token::Arguments),
    /// Where the organization is told what happens
    #[command(alias = "webhooks")]
    Webhook(webhook::Arguments),
    /// Who did what, and how it was decided
    Audit(audit::Arguments),
    /// How much is called, by day
    Usage(usage::Arguments),
    /// What an agent would find
    Search(search::Arguments),
    /// Run a capability
    Call(call::Arguments),
    /// Owners, tokens and setup links, on the database directly
    Admin(admin::Arguments),
    /// Master keys and data keys
    Keys(keys::Arguments),
    /// Write a consistent copy of the database, while everything goes on
    Backup(backup::BackupArguments),
    /// Check a backup, and put it in place
    Restore(backup::RestoreArguments),
    /// Check everything: a line each, with the next step
    Doctor(doctor::Arguments),
    /// Whether the server on this machine is ready
    Healthcheck(healthcheck::Arguments),
    /// Bring the database's schema up to date
    Migrate(migrate::Arguments),
    /// The REST API's OpenAPI document on stdout
    Openapi,
    /// What is configured
    Config(configuration::Arguments),
    /// Shell completions on stdout
    Completions(completions::Arguments),
    /// Reference pages of the documentation on stdout
    #[command(hide = true)]
    Reference(reference::Arguments),
}

/// Settings that commands beside a server are run with; the others only show in `--help`.
const USUAL_SETTINGS: &[&str] = &["config", "data_dir", "database.url", "server.listen", "server.public_url"];

/// The whole tree, with help that fits a screen.
fn tree() -> clap::Command {
    Cli::command().mut_subcommands(|command| match command.get_name() {
        "serve" | "demo" => command,
        _ => with_usual_settings(command),
    })
}

fn with_usual_settings(command: clap::Command) -> clap::Command {
    let command = command.mut_subcommands(with_usual_settings);
    command.mut_args(|argument| {
        let is_setting = argument.get_help_heading() == Some("Settings");
        let is_usual = USUAL_SETTINGS.contains(&argument.get_id().as_str());
        if is_setting && !is_usual { argument.hide_short_help(true) } else { argument }
    })
}

/// `switchboard help connection` is what people type; `switchboard connection --help` is what it means.
fn asked_for_help(mut arguments: Vec<std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    if arguments.get(1).is_some_and(|first| first == "help") {
        arguments.remove(1);
        arguments.push("--help".into());
    }
    arguments
}

/// Reads the command line.
pub(crate) fn parse(arguments: Vec<std::ffi::OsString>) -> Result<Cli, clap::Error> {
    Cli::from_arg_matches(&tree().try_get_matches_from(asked_for_help(arguments))?)
}

pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Login(arguments) => login::login(&arguments),
        Command::Logout(arguments) => login::logout(&arguments),
        Command::Connection(arguments) => connection::run(&arguments),
        Command::Grant(arguments) => grant::run(&arguments),
        Command::Toolkit(arguments) => toolkit::run(&arguments),
        Command::Policy(arguments) => policy::run(&arguments),
        Command::Guardrail(arguments) => guardrail::run(&arguments),
        Command::Quota(arguments) => quota::run(&arguments),
        Command::Usage(arguments) => usage::run(&arguments),
        Command::Rollout(arguments) => rollout::run(&arguments),
        Command::Approval(arguments) => approval::run(&arguments),
        Command::Member(arguments) => member::run(&arguments),
        Command::Team(arguments) => team::run(&arguments),
        Command::IdentityProvider(arguments) => identity_provider::run(&arguments),
        Command::Webhook(arguments) => webhook::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::ServiceAccount(arguments) => service_account::run(&arguments),
        Command::OauthClient(arguments) => oauth_client::run(&arguments),
        Command::Client(arguments) => client::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Search(arguments) => search::run(&arguments),
        Command::Call(arguments) => call::run(&arguments),
        Command::Admin(arguments) => admin::run(&arguments),
        Command::Keys(arguments) => keys::run(&arguments),
        Command::Backup(arguments) => backup::backup(&arguments),
        Command::Restore(arguments) => backup::restore(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Healthcheck(arguments) => healthcheck::run(&arguments),
        Command::Migrate(arguments) => migrate::run(&arguments),
        Command::Openapi => openapi::run(),
        Command::Config(arguments) => configuration::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Reference(arguments) => reference::run(&arguments),
    }
}

/// The configuration as flags, environment and file give it; remarks on stderr what looks like a typing error.
fn load(flags: &SettingFlags) -> Result<Config, Failure> {
    let environment = Environment::of_process();
    for (name, meant) in environment.suspicious() {
        output::remark(&format!("warning: {name} is not a setting (did you mean {meant}?)"));
    }
    Ok(Config::new(&Settings::load(flags, &environment)?)?)
}

fn server_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    runtime(tokio::runtime::Builder::new_multi_thread())
}

/// For commands: one thread is enough.
fn command_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    runtime(tokio::runtime::Builder::new_current_thread())
}

fn runtime(mut builder: tokio::runtime::Builder) -> Result<tokio::runtime::Runtime, Failure> {
    builder
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("No threads can be started: {error}.")))
}
