//! `connection add`. Secrets come from files, never from the command line: other users of a machine can read that.

use std::{io::Read as _, path::PathBuf, time::Duration};

use serde_json::{Value, json};

use super::report;
use crate::{client::Client, failure::Failure, output};

/// How long to wait for the first check.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(super) struct NewConnection {
    /// Its name in capabilities: tools are called SLUG.tool
    slug: String,
    /// Address of the MCP server; without one, SLUG is the name of a known product, such as linear
    url: Option<String>,
    /// Its name for people; the slug without
    #[arg(long)]
    name: Option<String>,
    /// streamable_http or sse; without, what the server speaks
    #[arg(long, hide_short_help = true, value_parser = ["streamable_http", "sse"], hide_possible_values = true)]
    transport: Option<String>,
    /// none, oauth, client_credentials or user_oidc; without, what the server asks for
    #[arg(long, value_name = "TYPE", value_parser = ["none", "oauth", "client_credentials", "user_oidc"], hide_possible_values = true, conflicts_with_all = ["api_key_file", "headers"])]
    auth: Option<String>,
    /// Each member signs in with their own account
    #[arg(long)]
    per_member: bool,
    /// Id of the OAuth client that you made at the provider
    #[arg(long, value_name = "ID", conflicts_with_all = ["api_key_file", "headers"])]
    client_id: Option<String>,
    /// File with that client's secret; - for standard input
    #[arg(long, value_name = "FILE", requires = "client_id", hide_short_help = true)]
    client_secret_file: Option<PathBuf>,
    /// File with that client's private key, instead of a secret; - for standard input
    #[arg(
        long,
        value_name = "FILE",
        requires = "client_id",
        conflicts_with = "client_secret_file",
        hide_short_help = true
    )]
    private_key_file: Option<PathBuf>,
    /// Has Switchboard make a private key for that client; it prints the public one, for the provider
    #[arg(long, requires = "client_id", conflicts_with_all = ["client_secret_file", "private_key_file"], hide_short_help = true)]
    new_private_key: bool,
    /// Ask the provider for this scope instead of those the server names; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", hide_short_help = true)]
    scopes: Vec<String>,
    /// File with an API key to send; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "headers")]
    api_key_file: Option<PathBuf>,
    /// Header of the API key [default: Authorization, with the scheme Bearer]
    #[arg(long, value_name = "NAME", requires = "api_key_file", hide_short_help = true)]
    api_key_header: Option<String>,
    /// What stands before the API key in its header
    #[arg(long, value_name = "WORD", requires = "api_key_file", hide_short_help = true)]
    api_key_scheme: Option<String>,
    /// A header to send, with the file that holds its value; may be repeated
    #[arg(long = "header", value_name = "NAME=FILE")]
    headers: Vec<String>,
    /// Your own name for it: adding it again returns the first one
    #[arg(long, value_name = "KEY", hide_short_help = true)]
    external_key: Option<String>,
    /// Grant it to everyone in the organization
    #[arg(long)]
    everyone: bool,
    /// Don't wait for the first check
    #[arg(long)]
    no_wait: bool,
}

pub(super) async fn add(client: &Client, new: &NewConnection, json: bool) -> Result<(), Failure> {
    let mut body = body(new)?;
    find(client, new, &mut body).await?;
    let mut connection = client.post("/connections", &body).await?;
    let id = connection["id"].as_str().unwrap_or_default().to_owned();
    if new.everyone {
        client.put(&format!("/connections/{id}/grants"), &json!({"everyone": true})).await?;
    }
    if !new.no_wait {
        connection = wait(client, &id, connection).await?;
    }
    if json {
        output::print_json(&connection);
    } else {
        output::print(&report::facts(&connection));
        if connection["auth_type"] == "oauth" && connection["status"] == "needs_connection" {
            output::remark(&format!(
                "Sign in there: switchboard connection connect {}",
                output::plain(&new.slug)
            ));
        }
        if !new.everyone {
            output::remark(&format!(
                "Nobody may use it yet. Grant it: switchboard grant set {} --everyone",
                output::plain(&new.slug)
            ));
        }
    }
    Ok(())
}

/// What was not said is found out: the address of a known product, how the server is spoken to, what it asks for.
async fn find(client: &Client, new: &NewConnection, body: &mut Value) -> Result<(), Failure> {
    let knows_auth = new.auth.is_some() || body["auth_type"] != "none";
    if new.url.is_some() && knows_auth {
        return Ok(());
    }
    let query = new.url.as_deref().unwrap_or(&new.slug);
    let found = client.post("/connections/resolve", &json!({ "query": query })).await?;
    let Some(first) = found["candidates"].get(0) else {
        let near: Vec<&str> =
            found["matches"].as_array().into_iter().flatten().filter_map(|it| it["slug"].as_str()).collect();
        let meant = match near.as_slice() {
            [] => String::new(),
            near => format!(" Did you mean {}?", output::plain(&near.join(", "))),
        };
        return Err(Failure::usage(format!(
            "`{}` is the name of no known product: give the address of its MCP server as well.{meant}",
            output::plain(query)
        )));
    };
    if new.url.is_none() {
        body["url"] = first["url"].clone();
        output::remark(&format!("Address: {}", output::plain(first["url"].as_str().unwrap_or_default())));
    }
    if new.transport.is_none() && first["found"] == true {
        body["transport"] = first["transport"].clone();
    }
    // What a server that can't be reached asks for is known of a known one.
    let known = found["matches"].as_array().and_then(|all| all.iter().find(|it| it["url"] == first["url"]));
    let asks_for = if first["auth_type"].is_null() { known.map(|known| &known["auth"]) } else { None };
    if !knows_auth && *asks_for.unwrap_or(&first["auth_type"]) == "oauth" {
        body["auth_type"] = json!("oauth");
    }
    Ok(())
}

/// Until the first check has a result.
async fn wait(client: &Client, id: &str, mut connection: Value) -> Result<Value, Failure> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while connection["status"] == "checking" && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
        connection = client.get(&format!("/connections/{id}")).await?;
    }
    Ok(connection)
}

fn body(new: &NewConnection) -> Result<Value, Failure> {
    let mut body = json!({
        "slug": new.slug,
        "name": new.name.as_deref().unwrap_or(&new.slug),
        "url": new.url,
        "auth_type": new.auth.as_deref().unwrap_or("none"),
    });
    if new.per_member {
        body["credential_mode"] = json!("per_member");
    }
    if let Some(transport) = &new.transport {
        body["transport"] = json!(transport);
    }
    if new.auth.as_deref() == Some("client_credentials") {
        body["client_credentials"] = client_credentials(new)?;
    } else if let Some(client_id) = &new.client_id {
        body["auth_type"] = json!("oauth");
        body["oauth"] = json!({ "registration": "static", "client_id": client_id });
        prove(new, &mut body["oauth"])?;
    }
    if !new.scopes.is_empty() && body["auth_type"] != "client_credentials" {
        body["auth_type"] = json!("oauth");
        body["oauth"]["scopes"] = json!(new.scopes);
    }
    if let Some(key) = &new.external_key {
        body["external_key"] = json!(key);
    }
    if let Some(path) = &new.api_key_file {
        body["auth_type"] = json!("api_key");
        body["api_key"] = json!({"value": secret(path)?});
        for (member, given) in [("header", &new.api_key_header), ("scheme", &new.api_key_scheme)] {
            if let Some(given) = given {
                body["api_key"][member] = json!(given);
            }
        }
    }
    if !new.headers.is_empty() {
        body["auth_type"] = json!("headers");
        let mut headers = serde_json::Map::new();
        for given in &new.headers {
            let (name, path) = given.split_once('=').ok_or_else(|| {
                Failure::usage("--header takes NAME=FILE: the value is read from the file.")
            })?;
            headers.insert(name.trim().to_owned(), json!(secret(&PathBuf::from(path))?));
        }
        body["headers"] = headers.into();
    }
    Ok(body)
}

fn client_credentials(new: &NewConnection) -> Result<Value, Failure> {
    let has_proof = new.client_secret_file.is_some() || new.private_key_file.is_some() || new.new_private_key;
    let Some(client_id) = new.client_id.as_ref().filter(|_| has_proof) else {
        return Err(Failure::usage(
            "client_credentials takes --client-id with --client-secret-file, --private-key-file or --new-private-key.",
        ));
    };
    let mut given = json!({ "client_id": client_id });
    prove(new, &mut given)?;
    if !new.scopes.is_empty() {
        given["scopes"] = json!(new.scopes);
    }
    Ok(given)
}

/// What the client proves itself with.
fn prove(new: &NewConnection, client: &mut Value) -> Result<(), Failure> {
    if let Some(path) = &new.client_secret_file {
        client["client_secret"] = json!(secret(path)?);
    }
    if let Some(path) = &new.private_key_file {
        client["private_key"] = json!(secret(path)?);
    }
    if new.new_private_key {
        client["token_endpoint_auth_method"] = json!("private_key_jwt");
    }
    Ok(())
}

fn secret(path: &PathBuf) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(64 * 1024).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(64 * 1024).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::failed(format!("{} can't be read: {error}.", path.display())))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
