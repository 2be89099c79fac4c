//! `switchboard search`: what an agent would find.

use serde_json::json;

use crate::{
    client::{ServerFlags, cell},
    failure::Failure,
    output::{self, plain, table},
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard search 'create an issue'
  switchboard search --connection linear --limit 20
  switchboard search 'send a message' --detail schema --json")]
pub(crate) struct Arguments {
    /// What to look for; without it, all that can be used is listed
    #[arg(default_value = "", hide_default_value = true)]
    query: String,
    /// Only this connection
    #[arg(long, value_name = "SLUG")]
    connection: Option<String>,
    /// How many, 1 to 20
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=20))]
    limit: u8,
    /// Where the page before ended, as it said
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// brief, signature or schema
    #[arg(long, default_value = "signature", value_parser = ["brief", "signature", "schema"], hide_possible_values = true)]
    detail: String,
    #[command(flatten)]
    server: ServerFlags,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let client = arguments.server.client()?;
        let mut asked =
            json!({"query": arguments.query, "limit": arguments.limit, "detail": arguments.detail});
        if let Some(connection) = &arguments.connection {
            asked["connection"] = json!(connection);
        }
        if let Some(cursor) = &arguments.cursor {
            asked["cursor"] = json!(cursor);
        }
        let result = client.call_tool("search_capabilities", asked).await?;
        if result.is_error() {
            return Err(super::call::failure_of(&result));
        }
        let found = result.structured();
        if arguments.server.json {
            output::print_json(found);
            return Ok(());
        }
        let matches = found["matches"].as_array().map_or(&[][..], Vec::as_slice);
        if matches.is_empty() {
            output::remark(&plain(found["hint"].as_str().unwrap_or("Nothing fits.")));
            return Ok(());
        }
        let rows: Vec<Vec<String>> = matches.iter().map(row).collect();
        output::print(&table(&["NAME", "WHAT IT DOES", "PARAMETERS"], &rows));
        let (shown, total) = (matches.len(), found["total"].as_u64().unwrap_or_default());
        if let Some(cursor) = found["next_cursor"].as_str() {
            let more = if arguments.limit < 20 { "--limit shows up to 20, " } else { "" };
            output::remark(&format!("{shown} of {total}; {more}--cursor {} goes on", plain(cursor)));
        } else if total > shown as u64 && arguments.cursor.is_none() {
            output::remark(&format!("{shown} of {total}; --limit shows more"));
        }
        Ok(())
    })
}

fn row(found: &serde_json::Value) -> Vec<String> {
    if found["kind"] == "connection_status" {
        let slug = cell(&found["connection"], "slug");
        return vec![
            format!("{slug}.*"),
            format!("{}: {}", cell(found, "status"), cell(found, "message")),
            String::new(),
        ];
    }
    let approval = if found["decision"] == "require_approval" { " (needs approval)" } else { "" };
    vec![cell(found, "name"), format!("{}{approval}", cell(found, "summary")), cell(found, "signature")]
}
