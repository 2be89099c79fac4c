//! Tools that no search of this person's finds, each with why: for whoever looks after their connections, and would
//! otherwise ask in vain where they are.

use switchboard_domain::{CapabilityKind, CapabilityState, ConnectionId, Principal};
use switchboard_policy::{Arguments, CapabilityFacts, Listed};

use super::{Operation, Refusal, Target, authorize, tool::hypothetical};
use crate::Broker;

/// Shorter words are in too many names to say anything.
const TELLING: usize = 3;

#[derive(Debug)]
pub struct HiddenTool {
    /// As agents would call it.
    pub capability: String,
    pub connection: ConnectionId,
    pub connection_name: String,
    /// Code of why it is not there: `filtered` and `changed` are of the connection's pages, `blocked` is of a rule.
    pub code: &'static str,
    /// The same in a sentence.
    pub why: String,
    /// Rejected in a review, not only waiting for one.
    pub is_rejected: bool,
}

/// Those of them that are shown, by name, and how many there are.
#[derive(Debug, Default)]
pub struct HiddenTools {
    pub shown: Vec<HiddenTool>,
    pub total: usize,
}

impl Broker {
    /// With all the words of `text` in their name or that of their connection; of one connection, where its slug is given.
    /// What this person does not manage is left out.
    pub fn find_hidden_tools(
        &self,
        principal: &Principal,
        (text, connection): (&str, &str),
        most: usize,
    ) -> Result<HiddenTools, Refusal> {
        let _allowed = authorize(principal, Operation::ListConnections, Target::Organization)?;
        let words = words(text);
        if words.is_empty() && connection.is_empty() {
            return Ok(HiddenTools::default());
        }
        let snapshot = self.organization_snapshot(principal.organization)?;
        let context = hypothetical(principal);
        let policies = snapshot.policies(&context, None);
        let mut found = Vec::new();
        for known in snapshot.connections.values() {
            let target = Target::Connection { connection: &known.connection, grants: &known.grants };
            let prefix = known.connection.name_prefix();
            if !(connection.is_empty() || prefix == connection)
                || authorize(principal, Operation::ReadReview, target).is_err()
            {
                continue;
            }
            let named = known.connection.name.to_lowercase();
            let on = policies.on_connection(context.requester(), known.facts(&context));
            for (name, capability) in &known.catalog.capabilities {
                let full = format!("{prefix}.{name}");
                let lower = full.to_lowercase();
                let fits = words.iter().all(|word| lower.contains(word) || named.contains(word));
                if !fits
                    || capability.kind != CapabilityKind::Tool
                    || capability.state == CapabilityState::Gone
                {
                    continue;
                }
                let facts = CapabilityFacts {
                    name,
                    kind: CapabilityKind::Tool,
                    admitted: known.connection.tools.admits(name),
                    offered: true,
                    state: capability.state,
                    read_only_hint: capability.read_only_hint,
                    destructive_hint: capability.destructive_hint,
                    arguments: Arguments::Unknown,
                };
                if let Listed::Hidden(reason) = on.list(&facts) {
                    found.push(HiddenTool {
                        capability: full,
                        connection: known.connection.id,
                        connection_name: known.connection.name.clone(),
                        code: reason.as_str(),
                        why: reason.to_string(),
                        is_rejected: capability.state == CapabilityState::Rejected,
                    });
                }
            }
        }
        found.sort_by(|left, right| left.capability.cmp(&right.capability));
        let total = found.len();
        found.truncate(most);
        Ok(HiddenTools { shown: found, total })
    }
}

/// Those that tell something; all of them where none does.
fn words(text: &str) -> Vec<String> {
    let all: Vec<String> = text.to_lowercase().split_whitespace().map(str::to_owned).collect();
    let telling: Vec<String> = all.iter().filter(|word| word.chars().count() >= TELLING).cloned().collect();
    if telling.is_empty() { all } else { telling }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn short_words_count_where_there_are_no_others() {
        assert_eq!(words("Create an issue"), ["create", "issue"]);
        assert_eq!(words(" a b "), ["a", "b"]);
        assert!(words("  ").is_empty());
    }
}
