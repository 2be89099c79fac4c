//! `switchboard quota …`: how many calls a day or month have room for.

use serde_json::{Value, json};

use crate::{
    client::{CONNECTION, Client, MEMBER, SERVICE_ACCOUNT, ServerFlags, TEAM, cell, items},
    failure::Failure,
    output,
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard quota set 500 --every-member
  switchboard quota set 20000 --connection linear --per month
  switchboard quota remove --connection linear --per month
  switchboard quota show")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// What there is room for, and how much of it is used
    #[command(visible_alias = "list")]
    Show,
    /// Make room for so many calls, and no more
    Set {
        /// How many; 0 for none at all
        calls: u64,
        #[command(flatten)]
        of: Subject,
    },
    /// Take a quota away
    #[command(visible_alias = "delete")]
    Remove {
        #[command(flatten)]
        of: Subject,
    },
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// All calls of the organization together
    #[arg(long)]
    organization: bool,
    /// Each member and service account that has none of its own
    #[arg(long)]
    every_member: bool,
    /// Email address or id
    #[arg(long)]
    member: Option<String>,
    /// Name or id
    #[arg(long)]
    service_account: Option<String>,
    /// Its members together: name or id
    #[arg(long)]
    team: Option<String>,
    /// By everybody together: slug or id
    #[arg(long)]
    connection: Option<String>,
}

/// Whose calls, in what time.
#[derive(Debug, clap::Args)]
struct Subject {
    #[command(flatten)]
    whose: Whose,
    /// Of the calendar, in UTC: day or month
    #[arg(long, default_value = "day", value_parser = ["day", "month"])]
    per: String,
}

impl Subject {
    /// As it was named.
    fn in_words(&self) -> String {
        let Whose { member, service_account, team, connection, .. } = &self.whose;
        let named = [member, service_account, team, connection].into_iter().flatten().next();
        match named {
            Some(named) => output::plain(named),
            None if self.whose.organization => "the organization".into(),
            None => "every member".into(),
        }
    }

    async fn id(&self, client: &Client) -> Result<String, Failure> {
        let Whose { member, service_account, team, connection, .. } = &self.whose;
        let kinds = [
            (&MEMBER, member),
            (&SERVICE_ACCOUNT, service_account),
            (&TEAM, team),
            (&CONNECTION, connection),
        ];
        for (kind, given) in kinds {
            if let Some(given) = given {
                return client.id_of(kind, given).await;
            }
        }
        Ok(if self.whose.organization { "organization" } else { "every_member" }.into())
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let client = arguments.server.client()?;
        let quotas = match &arguments.command {
            Command::Show => client.get("/quotas").await?,
            Command::Set { calls, of } => replace(&client, of, Some(*calls)).await?,
            Command::Remove { of } => {
                let left = replace(&client, of, None).await?;
                output::remark(&format!("The quota of {} a {} is removed.", of.in_words(), of.per));
                left
            }
        };
        let columns = [
            ("SUBJECT", "subject"),
            ("NAME", "name"),
            ("PER", "period"),
            ("CALLS", "calls"),
            ("USED", "used"),
            ("BEGINS ANEW", "resets_at"),
        ];
        output::list(items(&quotas), &columns, arguments.server.json, "There is room for every call.");
        Ok(())
    })
}

/// The list with one quota put in place or taken away.
async fn replace(client: &Client, of: &Subject, calls: Option<u64>) -> Result<Value, Failure> {
    let subject = of.id(client).await?;
    let quotas = client.get("/quotas").await?;
    let same = |row: &Value| row["subject"] == *subject && row["period"] == *of.per;
    let (mine, mut kept): (Vec<Value>, Vec<Value>) = items(&quotas).iter().cloned().partition(same);
    if calls.is_none() && mine.is_empty() {
        return Err(Failure::failed(format!(
            "There is no such quota a {}: `switchboard quota show` lists them.",
            of.per
        )));
    }
    for row in &mut kept {
        *row =
            json!({ "subject": cell(row, "subject"), "period": cell(row, "period"), "calls": row["calls"] });
    }
    if let Some(calls) = calls {
        kept.push(json!({ "subject": subject, "period": of.per, "calls": calls }));
    }
    client.put("/quotas", &Value::Array(kept)).await
}
