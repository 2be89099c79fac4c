//! `switchboard guardrail …`: who is asked about the organization's calls.

use serde_json::{Value, json};

use crate::{
    client::{ServerFlags, cell},
    failure::Failure,
    output,
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard guardrail set https://guard.example.com/switchboard
  switchboard guardrail set https://guard.example.com/switchboard --after --on-failure open
  switchboard guardrail show")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Who is asked what
    Show,
    /// Ask this address from now on; prints what questions are signed with, once
    Set {
        url: String,
        /// Ask about results, too
        #[arg(long)]
        after: bool,
        /// Don't ask before calls
        #[arg(long, requires = "after")]
        not_before: bool,
        /// Without an answer, refuse (closed) or go on (open)
        #[arg(long, default_value = "closed", value_parser = ["closed", "open"])]
        on_failure: String,
        /// Sign with another secret from now on
        #[arg(long)]
        new_secret: bool,
    },
    /// Ask nobody any more
    #[command(visible_alias = "delete")]
    Remove {
        /// Don't ask whether you mean it
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let (client, as_json) = (arguments.server.client()?, arguments.server.json);
        match &arguments.command {
            Command::Show => show(&client.get("/guardrail").await?, as_json),
            Command::Set { url, after, not_before, on_failure, new_secret } => {
                let body = json!({
                    "url": url, "before": !not_before, "after": after, "on_failure": on_failure, "new_secret": new_secret,
                });
                let written = client.put("/guardrail", &body).await?;
                if as_json {
                    output::print_json(&written);
                } else if written["secret"].is_string() {
                    output::print(&cell(&written, "secret"));
                    output::remark("This is what questions are signed with. It is not shown again.");
                } else {
                    show(&written["guardrail"], false);
                }
            }
            Command::Remove { yes } => {
                output::confirm("Ask nobody about calls any more?", *yes)?;
                client.delete("/guardrail").await?;
                output::remark("The guardrail is removed: calls go on without being asked about.");
            }
        }
        Ok(())
    })
}

fn show(guardrail: &Value, as_json: bool) {
    if as_json {
        output::print_json(guardrail);
        return;
    }
    output::print(&output::facts(&[
        ("url", cell(guardrail, "url")),
        ("before calls", cell(guardrail, "before")),
        ("after results", cell(guardrail, "after")),
        ("on failure", cell(guardrail, "on_failure")),
        ("changed", cell(guardrail, "updated_at")),
    ]));
}
