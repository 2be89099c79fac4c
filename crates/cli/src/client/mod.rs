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
        let given = self.token.as_deref().map(|token| ("--token", token));
        if let Some((place, token)) =
            given.or_else(|| Some(("SWITCHBOARD_TOKEN", environment.get("SWITCHBOARD_TOKEN")?)))
        {
            return Ok(Bearer::Token(token_alone(place, token)?));
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
        Ok(Bearer::Token(token_alone("the file of SWITCHBOARD_TOKEN_FILE", &text)?))
    }
}

/// The token and nothing else; what else was copied with it is named, the token never is.
fn token_alone(place: &str, given: &str) -> Result<SecretValue, Failure> {
    let token = given.trim();
    let is_quote = |letter: char| "\"'`“”‘’«»".contains(letter);
    let is_bearer = token.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer "));
    let wrong = if token.is_empty() {
        "is empty: put the token there"
    } else if token.contains(is_quote) {
        "has quotation marks in it: give the token without them"
    } else if is_bearer {
        "begins with the word Bearer: give the token alone, without it"
    } else if token.contains(char::is_whitespace) {
        "has a space or a line break in it: copy the token again, whole and alone"
    } else if !token.chars().all(|letter| letter.is_ascii_graphic()) {
        "has characters that no token has: copy the token again"
    } else {
        return Ok(SecretValue::new(token));
    };
    Err(Failure::usage(format!("The access token in {place} {wrong}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_copied_with_a_token_is_named_and_the_token_is_not() {
        let told = |given: &str| match token_alone("SWITCHBOARD_TOKEN", given) {
            Ok(token) => format!("taken: {}", token.expose()),
            Err(failure) => failure.to_string(),
        };
        assert_eq!(told(" swb_pat_abc\n"), "taken: swb_pat_abc");
        for (given, said) in [
            ("'swb_pat_abc'", "quotation marks"),
            ("“swb_pat_abc”", "quotation marks"),
            ("\"Bearer swb_pat_abc\"", "quotation marks"),
            ("Bearer swb_pat_abc", "the word Bearer"),
            ("bearer swb_pat_abc", "the word Bearer"),
            ("swb_pat_ abc", "a space"),
            ("swb_pat_abc\u{200b}", "no token has"),
            ("  ", "is empty"),
        ] {
            let told = told(given);
            assert!(told.contains(said) && told.contains("SWITCHBOARD_TOKEN"), "{given}: {told}");
            assert!(!told.contains("swb_pat"), "{told}");
        }
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
