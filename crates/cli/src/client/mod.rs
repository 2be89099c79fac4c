//! What the client commands talk through: the REST API and `/mcp` of the server that the person named, by way of
//! `egress` with the operator's rules (loopback and private networks are open, plain http to public hosts is not).

mod http;
mod lookup;
mod mcp;
mod shown;

use std::path::PathBuf;

use switchboard_domain::SecretValue;

pub(crate) use http::Client;
pub(crate) use lookup::{
    CONNECTION, IDENTITY_PROVIDER, INVITATION, MEMBER, OAUTH_CLIENT, SERVICE_ACCOUNT, TEAM, TOOLKIT,
    with_query,
};
pub(crate) use mcp::ToolResult;
pub(crate) use shown::{cell, items};

use crate::{config::Environment, failure::Failure};

const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// Flags of every client command.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServerFlags {
    /// Server to talk to [env: SWITCHBOARD_SERVER] [default: http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", help_heading = "Server", global = true)]
    server: Option<String>,
    /// Access token [env: SWITCHBOARD_TOKEN, SWITCHBOARD_TOKEN_FILE]
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
        let server = self
            .server
            .as_deref()
            .or_else(|| environment.get("SWITCHBOARD_SERVER"))
            .unwrap_or(DEFAULT_SERVER);
        Client::new(server, self.token(&environment)?)
    }

    fn token(&self, environment: &Environment) -> Result<SecretValue, Failure> {
        if let Some(token) = self.token.as_deref().or_else(|| environment.get("SWITCHBOARD_TOKEN")) {
            return Ok(SecretValue::new(token.trim()));
        }
        let Some(path) = environment.get("SWITCHBOARD_TOKEN_FILE").map(PathBuf::from) else {
            return Err(Failure::usage(
                "No access token. Give one with --token or SWITCHBOARD_TOKEN; on the server's machine this makes one: \
                 switchboard admin create-token --email E --scope api --scope mcp:read --scope mcp:write",
            ));
        };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::usage(format!(
                "SWITCHBOARD_TOKEN_FILE names {}, which can't be read: {error}.",
                path.display()
            ))
        })?;
        Ok(SecretValue::new(text.trim()))
    }
}
