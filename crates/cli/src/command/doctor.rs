//! `switchboard doctor`: one line a check, with the next step where something is wrong.

mod checks;

use std::sync::Arc;

use serde_json::json;
use switchboard_server::{Doctor, Grade};

use crate::{
    config::{Config, SettingFlags},
    failure::Failure,
    output, telemetry,
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard doctor
  switchboard doctor --config /etc/switchboard/switchboard.toml
  switchboard doctor --json")]
pub(crate) struct Arguments {
    /// Machine-readable output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

const fn word(grade: Grade) -> &'static str {
    match grade {
        Grade::Ok => "ok",
        Grade::Warn => "warn",
        Grade::Fail => "fail",
    }
}

/// The same checks for whoever asks in the console.
pub(crate) fn for_console(config: &Config) -> Doctor {
    let config = Arc::new(config.clone());
    Doctor::new(move || {
        let config = Arc::clone(&config);
        async move { checks::all(&config).await }
    })
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = super::load(&arguments.settings)?;
    telemetry::for_command(&config.log)?;
    super::command_runtime()?.block_on(async {
        let findings = checks::all(&config).await;
        let failed = findings.iter().any(|finding| finding.grade == Grade::Fail);
        if arguments.json {
            let rows: Vec<_> = findings
                .iter()
                .map(|finding| json!({"check": finding.check, "result": word(finding.grade), "text": finding.text}))
                .collect();
            output::print_json(&json!({"ok": !failed, "checks": rows}));
        } else {
            for finding in &findings {
                let word = coloured(finding.grade);
                output::print(&format!("{word}  {:<10}  {}", finding.check, finding.text));
            }
        }
        if failed { Err(Failure::Reported) } else { Ok(()) }
    })
}

fn coloured(grade: Grade) -> String {
    let word = format!("{:<4}", word(grade));
    if !output::stdout_has_colour() {
        return word;
    }
    let colour = match grade {
        Grade::Ok => 32,
        Grade::Warn => 33,
        Grade::Fail => 31,
    };
    format!("\x1b[{colour}m{word}\x1b[0m")
}
