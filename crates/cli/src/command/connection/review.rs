//! `switchboard connection review`: definitions that changed, what differs, and the decision.

use serde_json::{Value, json};

use crate::{
    client::{CONNECTION, Client, cell},
    failure::Failure,
    output::{self, plain, plain_lines},
};

/// As many as one request takes.
const AT_ONCE: usize = 200;

#[derive(Debug, clap::Args)]
pub(super) struct Review {
    /// Slug or id
    connection: String,
    /// Approve these definitions as they are shown
    #[arg(long, value_name = "NAME")]
    approve: Vec<String>,
    /// Keep these out until they change again
    #[arg(long, value_name = "NAME")]
    reject: Vec<String>,
    /// Approve everything that waits
    #[arg(long, conflicts_with_all = ["approve", "reject", "reject_all"])]
    approve_all: bool,
    /// Keep out everything that waits
    #[arg(long, conflicts_with_all = ["approve", "reject"])]
    reject_all: bool,
}

pub(super) async fn run(client: &Client, review: &Review, as_json: bool) -> Result<(), Failure> {
    let id = client.id_of(&CONNECTION, &review.connection).await?;
    let path = format!("/connections/{id}/tools/review");
    let held = client.all(&path).await?;
    let decisions = decisions(review, &held)?;
    if decisions.is_empty() {
        show(&held, as_json);
        return Ok(());
    }
    for some in decisions.chunks(AT_ONCE) {
        client.post(&format!("{path}/decisions"), &json!({ "decisions": some })).await?;
    }
    output::remark(&format!("{} decided.", decisions.len()));
    Ok(())
}

/// What to decide, each about the definition that was just read.
fn decisions(review: &Review, held: &[Value]) -> Result<Vec<Value>, Failure> {
    let decide = |found: &Value, word: &str| json!({ "kind": found["kind"], "name": found["name"], "decision": word, "fingerprint": found["fingerprint"] });
    if review.approve_all || review.reject_all {
        let word = if review.approve_all { "approve" } else { "reject" };
        return Ok(held
            .iter()
            .filter(|found| found["state"] == "held")
            .map(|found| decide(found, word))
            .collect());
    }
    let named = |names: &[String], word: &str| {
        let mut all = Vec::new();
        for name in names {
            // A tool and a prompt may have one name: both were shown.
            let found = held.iter().filter(|found| found["name"] == name.as_str());
            let before = all.len();
            all.extend(found.map(|found| decide(found, word)));
            if all.len() == before {
                return Err(Failure::failed(format!("`{}` does not wait for a decision.", plain(name))));
            }
        }
        Ok(all)
    };
    let mut all = named(&review.approve, "approve")?;
    all.extend(named(&review.reject, "reject")?);
    Ok(all)
}

fn show(held: &[Value], as_json: bool) {
    if as_json {
        output::print_json(&json!({ "items": held }));
        return;
    }
    if held.is_empty() {
        output::remark("Nothing waits: every definition is as it was approved.");
        return;
    }
    let mut text = String::new();
    for found in held {
        let (name, change, state) = (cell(found, "name"), cell(found, "change"), cell(found, "state"));
        let kind = cell(found, "kind");
        text.push_str(&format!("{} ({kind}, {change}, {state})\n", plain(&name)));
        for finding in found["findings"].as_array().into_iter().flatten() {
            text.push_str(&format!(
                "  ! {} at {}\n",
                cell(finding, "flag"),
                plain(&cell(finding, "pointer"))
            ));
        }
        for difference in found["differences"].as_array().into_iter().flatten() {
            text.push_str(&format!("  {}\n", plain(&cell(difference, "pointer"))));
            for (mark, member) in [("-", "before"), ("+", "after")] {
                for line in plain_lines(&cell(difference, member)).lines() {
                    text.push_str(&format!("    {mark} {line}\n"));
                }
            }
        }
        let before = plain_lines(&cell(found, "instructions_before"));
        if !before.is_empty() {
            text.push_str(&format!(
                "  the server's instructions were\n    {}\n",
                before.replace('\n', "\n    ")
            ));
        }
        if change == "instructions" || !before.is_empty() {
            let instructions = plain_lines(&cell(found, "instructions"));
            text.push_str(&format!(
                "  the server's instructions are now\n    {}\n",
                instructions.replace('\n', "\n    ")
            ));
        }
    }
    output::print(&text);
}
