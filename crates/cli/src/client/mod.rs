//! What the client commands talk through: the REST API and `/mcp` of the server that the person named, by way of
//! `egress` with the operator's rules (loopback and private networks are open, plain http to public hosts is not).

mod http;
mod login;
mod lookup;
mod mcp;
mod shown;
mod sign_in;

use std::path::PathBuf;

use switchboard_domain::SecretValue;

use http::Bearer;
pub(crate) use http::Client;
pub(crate) use lookup::{
    CONNECTION, IDENTITY_PROVIDER, INVITATION, MEMBER, OAUTH_CLIENT, SERVICE_ACCOUNT, TEAM, TOOLKIT, WEBHOOK,
    with_query,
};
pub(crate) use mcp::ToolResult;
pub(crate) use shown::{cell, items};

use crate::{config::Environment, failure::Failure};

const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// Flags of every client command.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServerFlags {
    /// Server; else where you signed in last [env: SWITCHBOARD_SERVER]
    #[arg(long, value_name = "URL", help_heading = "Server", global = true)]
    server: Option<String>,
    /// Access token, instead of signing in [env: SWITCHBOARD_TOKEN, _TOKEN_FILE]
    #[arg(long, value_name = "TOKEN", help_heading = "Server", global = true)]
    token: Option<String>,
    /// Machine-readable output
    #[arg(long, help_heading = "Server", global = true)]
    pub(crate) json: bool,
}

impl ServerFlags {
    /// Within a Tokio runtime.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let environment = Environment::of_process();
        let server = server(self.server.as_deref(), &environment);
        let bearer = self.bearer(&environment, &server)?;
        Client::new(&server, bearer)
    }

    fn bearer(&self, environment: &Environment, server: &str) -> Result<Bearer, Failure> {
        if let Some(token) = self.token.as_deref().or_else(|| environment.get("SWITCHBOARD_TOKEN")) {
            return Ok(Bearer::Token(SecretValue::new(token.trim())));
        }
        let no_file = environment.get("SWITCHBOARD_TOKEN_FILE").is_none();
        if no_file && login::is_signed_in(environment, server.trim_end_matches('/')) {
            return Ok(Bearer::SignedIn);
        }
        let Some(path) = environment.get("SWITCHBOARD_TOKEN_FILE").map(PathBuf::from) else {
            return Err(Failure::usage(
                "No access token. Sign in with `switchboard login`, or give a token with --token or SWITCHBOARD_TOKEN; on the \
                 server's machine this makes one: switchboard admin create-token --email E --scope api --scope mcp:read --scope mcp:write",
            ));
        };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::usage(format!(
                "SWITCHBOARD_TOKEN_FILE names {}, which can't be read: {error}.",
                path.display()
            ))
        })?;
        Ok(Bearer::Token(SecretValue::new(text.trim())))
    }
}

/// Flags of signing in and out.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SignInFlags {
    /// Server to sign in at [env: SWITCHBOARD_SERVER] [default: where you signed in last, else http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", help_heading = "Server")]
    server: Option<String>,
}

impl SignInFlags {
    /// Within a Tokio runtime.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let environment = Environment::of_process();
        Client::new(&server(self.server.as_deref(), &environment), Bearer::Nobody)
    }
}

fn server(flag: Option<&str>, environment: &Environment) -> String {
    let named = flag.or_else(|| environment.get("SWITCHBOARD_SERVER")).map(str::to_owned);
    named.or_else(|| login::last_server(environment)).unwrap_or_else(|| DEFAULT_SERVER.to_owned())
}
