//! `switchboard doctor`: one line a check, with the next step where something is wrong.

mod checks;

use serde_json::json;

use crate::{config::SettingFlags, failure::Failure, output, telemetry};

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Ok,
    Warn,
    Fail,
}

impl Grade {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One line of the report.
struct Finding {
    grade: Grade,
    check: &'static str,
    text: String,
}

impl Finding {
    fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self { grade: Grade::Ok, check, text: text.into() }
    }

    fn warn(check: &'static str, text: impl Into<String>) -> Self {
        Self { grade: Grade::Warn, check, text: text.into() }
    }

    fn fail(check: &'static str, text: impl Into<String>) -> Self {
        Self { grade: Grade::Fail, check, text: text.into() }
    }
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
                .map(|finding| json!({"check": finding.check, "result": finding.grade.word(), "text": finding.text}))
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
    let word = format!("{:<4}", grade.word());
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
