//! `switchboard usage`: how much is called, by day.

use crate::{
    client::{ServerFlags, with_query},
    failure::Failure,
    output,
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard usage
  switchboard usage --by member --days 30
  switchboard usage --by team --json")]
pub(crate) struct Arguments {
    /// Sums of what: connection, member or team
    #[arg(long, default_value = "connection", value_parser = ["connection", "member", "team"])]
    by: String,
    /// How many days back, today included: 1 to 400
    #[arg(long, default_value_t = 7)]
    days: u32,
    #[command(flatten)]
    server: ServerFlags,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let client = arguments.server.client()?;
        let query = [("by", arguments.by.clone()), ("days", arguments.days.to_string())];
        let usage = client.get(&with_query("/usage", &query)).await?;
        if arguments.server.json {
            output::print_json(&usage);
            return Ok(());
        }
        let columns = [
            ("DAY", "day"),
            ("NAME", "name"),
            ("CALLS", "calls"),
            ("OK", "ok"),
            ("TOOL ERROR", "tool_error"),
            ("REFUSED", "refused"),
            ("HELD", "held"),
            ("FAILED", "failed"),
            ("BYTES IN", "request_bytes"),
            ("BYTES OUT", "response_bytes"),
        ];
        let rows = usage["rows"].as_array().cloned().unwrap_or_default();
        output::list(&rows, &columns, false, "Nothing was called.");
        Ok(())
    })
}
