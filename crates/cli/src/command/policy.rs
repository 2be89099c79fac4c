//! `switchboard policy …`: ordered rules on what may be called. A list is read and written as a whole, as JSON.

use std::{io::Read as _, path::PathBuf};

use serde_json::Value;

use crate::{
    client::{Client, MEMBER, ServerFlags, TOOLKIT, cell},
    failure::Failure,
    output::{self, plain, table},
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard policy explain linear.delete_issue --member ana@example.com
  switchboard policy show --json > rules.json
  switchboard policy set rules.json
  echo '[{\"pattern\": \"linear.delete_issue\", \"action\": \"block\"}]' | switchboard policy set -")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// The rules in force; of each list the first that matches counts
    #[command(visible_alias = "list")]
    Show {
        #[command(flatten)]
        list: List,
    },
    /// Replace the whole list with that of a JSON file
    Set {
        /// File with an array of rules; - for standard input
        file: PathBuf,
        #[command(flatten)]
        list: List,
    },
    /// Which rule decides on a call, and why
    Explain {
        /// Such as linear.delete_issue
        capability: String,
        /// Somebody else (admins): email address or id
        #[arg(long)]
        member: Option<String>,
        /// The toolkit it would be called through
        #[arg(long, value_name = "SLUG")]
        toolkit: Option<String>,
        /// What it would be called with, for rules that look at arguments
        #[arg(long, value_name = "JSON")]
        arguments: Option<String>,
    },
}

/// Which list of rules: the organization's without a flag.
#[derive(Debug, clap::Args)]
struct List {
    /// Those of a toolkit: slug or id
    #[arg(long, value_name = "SLUG", conflicts_with = "mine")]
    toolkit: Option<String>,
    /// Your own, which can only tighten
    #[arg(long)]
    mine: bool,
}

impl List {
    async fn path(&self, client: &Client) -> Result<String, Failure> {
        Ok(match (&self.toolkit, self.mine) {
            (Some(toolkit), _) => format!("/toolkits/{}/policies", client.id_of(&TOOLKIT, toolkit).await?),
            (None, true) => "/me/policies".into(),
            (None, false) => "/policies".into(),
        })
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let client = arguments.server.client()?;
        let json = arguments.server.json;
        match &arguments.command {
            Command::Show { list } => {
                let rules = client.get(&list.path(&client).await?).await?;
                show(&rules, json);
            }
            Command::Set { file, list } => {
                let wanted = read(file)?;
                let rules = client.put(&list.path(&client).await?, &wanted).await?;
                show(&rules, json);
            }
            Command::Explain { capability, member, toolkit, arguments } => {
                let mut query = vec![("capability", capability.clone())];
                if let Some(member) = member {
                    query.push(("member", client.id_of(&MEMBER, member).await?));
                }
                if let Some(toolkit) = toolkit {
                    query.push(("toolkit", cell(&client.find(&TOOLKIT, toolkit).await?, "slug")));
                }
                if let Some(arguments) = arguments {
                    query.push(("arguments", arguments.clone()));
                }
                let why = client.get(&crate::client::with_query("/policies/explain", &query)).await?;
                explain(&why, json);
            }
        }
        Ok(())
    })
}

fn read(file: &PathBuf) -> Result<Value, Failure> {
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().take(1024 * 1024).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(1024 * 1024).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::failed(format!("{} can't be read: {error}.", file.display())))?;
    let rules: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("{} is not JSON: {error}.", file.display())))?;
    if !rules.is_array() {
        return Err(Failure::usage(format!(
            "{} holds no list: rules are an array, such as [{{\"pattern\": \"linear.*\", \"action\": \"block\"}}].",
            file.display()
        )));
    }
    Ok(rules)
}

fn show(rules: &Value, json: bool) {
    let listed = rules.as_array().map_or(&[][..], Vec::as_slice);
    if json {
        output::print_json(rules);
    } else if listed.is_empty() {
        output::remark("No rules: what is granted is allowed.");
    } else {
        let row = |(index, rule): (usize, &Value)| {
            let who = match &rule["approvers"] {
                Value::Object(teams) => teams.values().map(Value::to_string).collect(),
                _ => cell(rule, "approvers"),
            };
            let second = if rule["second_person"] == true { " (a second person)" } else { "" };
            let (pattern, action, kind) = (cell(rule, "pattern"), cell(rule, "action"), cell(rule, "kind"));
            vec![
                (index + 1).to_string(),
                pattern,
                action,
                kind,
                format!("{who}{second}"),
                cell(rule, "condition"),
            ]
        };
        let rows: Vec<Vec<String>> = listed.iter().enumerate().map(row).collect();
        output::print(&table(&["", "PATTERN", "ACTION", "KIND", "APPROVERS", "IF"], &rows));
    }
}

fn explain(why: &Value, json: bool) {
    if json {
        output::print_json(why);
        return;
    }
    let mut text = format!("{}\n{}\n", plain(&cell(why, "decision")), plain(&cell(why, "sentence")));
    for found in why["matches"].as_array().into_iter().flatten() {
        let decides = if found["decides"] == true { "  <- decides" } else { "" };
        let rule = &found["rule"];
        let (layer, position) = (cell(found, "layer"), cell(found, "position"));
        let condition = cell(rule, "condition");
        let when = if condition.is_empty() { condition } else { format!(" if {condition}") };
        let (pattern, action) = (cell(rule, "pattern"), cell(rule, "action"));
        let line = format!("{layer} rule {position}: {pattern} {action}{when}");
        text.push_str(&format!("  {}{decides}\n", plain(&line)));
    }
    output::print(&text);
}
