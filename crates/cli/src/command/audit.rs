//! `switchboard audit …`: who did what, and how it was decided.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use switchboard_domain::MemberId;

use crate::{
    client::{Client, MEMBER, ServerFlags, cell, items, with_query},
    failure::Failure,
    output::{self, table},
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard audit list --actor ana@example.com --limit 20
  switchboard audit list --call-id call_01jb2m3x8ye0bvnr8z3h2q5c7d
  switchboard audit heads > heads-of-today.jsonl
  switchboard audit verify --heads heads-of-today.jsonl
  switchboard audit export --format csv --from 2026-11-01T00:00:00Z > audit.csv")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// The newest entries, newest first
    List {
        #[command(flatten)]
        filter: Filter,
        /// How many, 1 to 200
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..=200))]
        limit: u8,
    },
    /// Sign where the log's chains end now; on stdout, a JSON line each, to keep elsewhere
    Heads,
    /// Follow the log's chains and name the first entry that was altered or removed; 1 when there is one
    Verify {
        /// Heads that were kept elsewhere (`audit heads`): they show an end that is missing even from somebody who can
        /// change the whole database
        #[arg(long, value_name = "FILE")]
        heads: Option<PathBuf>,
    },
    /// Everything that fits, on stdout
    Export {
        #[command(flatten)]
        filter: Filter,
        /// jsonl or csv
        #[arg(long, default_value = "jsonl", value_parser = ["jsonl", "csv"])]
        format: String,
    },
}

#[derive(Debug, clap::Args)]
struct Filter {
    /// Who: email address, or id of a member or service account
    #[arg(long)]
    actor: Option<String>,
    /// What, such as capability.execute or grants.put
    #[arg(long)]
    action: Option<String>,
    /// On what, such as linear.create_issue
    #[arg(long)]
    target: Option<String>,
    /// ok, tool_error, refused, held or failed
    #[arg(long)]
    outcome: Option<String>,
    /// The reference_id of an error
    #[arg(long, value_name = "ID")]
    call_id: Option<String>,
    /// At or after, such as 2026-11-21T08:00:00Z
    #[arg(long, value_name = "INSTANT")]
    from: Option<String>,
    /// Before
    #[arg(long, value_name = "INSTANT")]
    to: Option<String>,
}

impl Filter {
    async fn query(&self, client: &Client) -> Result<Vec<(&'static str, String)>, Failure> {
        let actor = match &self.actor {
            // Service accounts and people who left are in no list of members: their ids are taken as they are.
            Some(actor) if actor.contains('@') => Some(client.id_of(&MEMBER, actor).await?),
            actor => actor.clone(),
        };
        let given = [
            ("actor", &actor),
            ("action", &self.action),
            ("target", &self.target),
            ("outcome", &self.outcome),
            ("call_id", &self.call_id),
            ("from", &self.from),
            ("to", &self.to),
        ];
        Ok(given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect())
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let client = arguments.server.client()?;
        match &arguments.command {
            Command::List { filter, limit } => {
                let mut query = filter.query(&client).await?;
                query.push(("limit", limit.to_string()));
                let page = client.get(&with_query("/audit", &query)).await?;
                let names = if arguments.server.json { BTreeMap::new() } else { names(&client, &page).await };
                list(&page, &names, arguments.server.json);
                Ok(())
            }
            Command::Heads => {
                let signed = client.post("/audit/heads", &Value::Null).await?;
                items(&signed).iter().for_each(|head| output::print(&format!("{head}\n")));
                Ok(())
            }
            Command::Verify { heads } => {
                let kept = heads.as_deref().map(kept_heads).transpose()?.unwrap_or_default();
                let report = client.post("/audit/verify", &json!({ "heads": kept })).await?;
                verified(&report, arguments.server.json)
            }
            Command::Export { filter, format } => {
                let mut query = filter.query(&client).await?;
                query.push(("format", format.clone()));
                client.download(&with_query("/audit/export", &query)).await
            }
        }
    })
}

/// As `audit heads` wrote them.
fn kept_heads(file: &Path) -> Result<Vec<Value>, Failure> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("{shown} can't be read: {error}.")))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(serde_json::from_str).collect::<Result<_, _>>().map_err(|_| {
        Failure::usage(format!("{shown} is no file of heads: write one with `audit heads > FILE`."))
    })
}

fn verified(report: &Value, json: bool) -> Result<(), Failure> {
    if json {
        output::print_json(report);
    }
    let [writers, entries, statements] = ["writers", "entries", "statements"].map(|name| cell(report, name));
    if report["ok"] == true {
        if !json {
            output::print(&format!(
                "{entries} entries of {writers} writers are as they were written; {statements} signed statements hold.\n"
            ));
        }
        return Ok(());
    }
    let mut text = String::from("The audit log is not as it was written.");
    for bad in report["bad"].as_array().into_iter().flatten() {
        let [writer, seq, fault, message] = ["writer", "seq", "fault", "message"].map(|name| cell(bad, name));
        text.push_str(&format!("\n  entry {seq} of {writer} is {fault}: {message}"));
    }
    Err(Failure::failed(text))
}

/// The addresses of members that entries name by their ids; of somebody who left the id has to do.
async fn names(client: &Client, page: &Value) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for entry in items(page) {
        let id = cell(&entry["actor"], "id");
        if id.parse::<MemberId>().is_err() || names.contains_key(&id) {
            continue;
        }
        let found = client.get(&format!("/members/{id}")).await;
        let name = found.map_or_else(|_| id.clone(), |member| cell(&member, "email"));
        names.insert(id, name);
    }
    names
}

fn list(page: &Value, names: &BTreeMap<String, String>, json: bool) {
    let entries = items(page);
    if json {
        output::print_json(&json!({ "items": entries }));
        return;
    }
    let row = |entry: &Value| {
        let id = cell(&entry["actor"], "id");
        let actor = names.get(&id).cloned().unwrap_or(id);
        let [at, phase, action, target, outcome] =
            ["at", "phase", "action", "target", "outcome"].map(|name| cell(entry, name));
        vec![at, actor, action, target, phase, outcome]
    };
    let headings = ["AT", "WHO", "ACTION", "TARGET", "PHASE", "OUTCOME"];
    output::print(&table(&headings, &entries.iter().map(row).collect::<Vec<_>>()));
    if page["next_cursor"].is_string() {
        output::remark("There are more: --limit, --from and --to choose, `audit export` has all.");
    }
}
