//! A connection under another slug: rules and toolkits that name it go on naming it. A rule that no longer matched anything
//! would block nothing, and nobody would notice.

use serde_json::Value;
use switchboard_domain::{Connection, ConnectionOwner, MemberId, Timestamp};
use switchboard_storage::{PolicyLayer, Toolkit, Tx};

use super::Refusal;
use crate::Broker;

/// Whose rules and toolkits follow: everybody's for a connection of the organization; of a personal one its owner's, as what
/// others write about `~slug` is about theirs too.
fn follows(connection: &Connection, owner: Option<MemberId>) -> bool {
    match connection.owner {
        ConnectionOwner::Organization => true,
        ConnectionOwner::Member(member) => owner == Some(member),
    }
}

/// A pattern that names `old` as its connection, with `new` instead.
fn renamed(pattern: &str, (old, new): (&str, &str)) -> Option<String> {
    let rest = pattern.strip_prefix(old)?.strip_prefix('.')?;
    Some(format!("{new}.{rest}"))
}

impl Broker {
    /// In the transaction that gives it its new slug; how many lists of rules, and toolkits, were changed with it.
    pub(super) async fn rename_in_rules(
        &self,
        tx: &mut Tx,
        (before, after): (&Connection, &Connection),
    ) -> Result<(usize, usize), Refusal> {
        let (old, new) = (before.name_prefix(), after.name_prefix());
        if old == new {
            return Ok((0, 0));
        }
        let names = (old.as_str(), new.as_str());
        let now = self.clock().now();
        let toolkits = tx.toolkits().list(before.organization).await?;
        let rules = rename_in_lists(tx, before, (&toolkits, names), now).await?;
        let mut changed = 0;
        for toolkit in toolkits.into_iter().filter(|toolkit| follows(before, toolkit.owner)) {
            let patterns: Vec<String> = toolkit
                .patterns
                .iter()
                .map(|pattern| renamed(pattern, names).unwrap_or_else(|| pattern.clone()))
                .collect();
            if patterns != toolkit.patterns {
                let toolkit = Toolkit { patterns, updated_at: now, ..toolkit };
                if !tx.toolkits().update(&toolkit).await? {
                    return Err(Refusal::stale());
                }
                changed += 1;
            }
        }
        Ok((rules, changed))
    }
}

async fn rename_in_lists(
    tx: &mut Tx,
    connection: &Connection,
    (toolkits, names): (&[Toolkit], (&str, &str)),
    now: Timestamp,
) -> Result<usize, Refusal> {
    let mut changed = 0;
    for mut document in tx.policies().all(connection.organization).await? {
        let owner = match document.layer {
            PolicyLayer::Organization => None,
            PolicyLayer::Toolkit(id) => toolkits.iter().find(|it| it.id == id).and_then(|it| it.owner),
            PolicyLayer::Member(member) => Some(member),
        };
        if !follows(connection, owner) {
            continue;
        }
        let mut names_it = false;
        for rule in document.rules.as_array_mut().into_iter().flatten() {
            let pattern = rule["pattern"].as_str().and_then(|pattern| renamed(pattern, names));
            if let Some(pattern) = pattern {
                rule["pattern"] = Value::from(pattern);
                names_it = true;
            }
        }
        if names_it {
            let (organization, seen) = (connection.organization, document.revision);
            if !tx.policies().put(organization, document.layer, &document.rules, seen, now).await? {
                return Err(Refusal::stale());
            }
            changed += 1;
        }
    }
    Ok(changed)
}
