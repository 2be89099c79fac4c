//! Whether an AI client that somebody is just setting up has arrived: what of theirs was allowed or called since.

use switchboard_domain::{AuditPhase, Principal, Timestamp};
use switchboard_storage::AuditFilter;

use super::{Operation, Refusal, Target, authorize};
use crate::Broker;

/// Entries that are looked at: calls of a person's other clients may come between.
const LOOKED_AT: u32 = 50;

/// A sign of life of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// What the client calls itself. Untrusted.
    pub client: String,
    pub at: Timestamp,
    /// The tool that was called; `None`: it was allowed, and called nothing yet.
    pub called: Option<String>,
}

impl Broker {
    /// The caller's own, since an instant: the first call of an AI client, or else that one was allowed. What people do in
    /// the console or by the API counts for nothing here.
    pub async fn first_arrival(
        &self,
        principal: &Principal,
        since: Timestamp,
    ) -> Result<Option<Arrival>, Refusal> {
        let _allowed = authorize(principal, Operation::ListAllowedClients, Target::Organization)?;
        let Some(member) = principal.member() else { return Ok(None) };
        let filter = AuditFilter {
            actor: Some(member.to_string()),
            action: Some("capability.execute".into()),
            from: Some(since),
            ..AuditFilter::default()
        };
        let mut tx = self.db().read().await?;
        let entries = tx.audit().page(principal.organization, &filter, LOOKED_AT).await?;
        let clients =
            tx.allowed_clients().list(principal.organization, Some(member), self.clock().now()).await?;
        drop(tx);
        let called =
            entries.iter().rev().filter(|entry| entry.phase == AuditPhase::Started).find_map(|entry| {
                let body: serde_json::Value = serde_json::from_str(&entry.body).ok()?;
                let client = body["client"].as_str().unwrap_or("An AI client");
                let is_person = ["console ", "rest "].iter().any(|own| client.starts_with(own));
                let arrival =
                    Arrival { client: client.to_owned(), at: entry.at, called: entry.target.clone() };
                (!is_person).then_some(arrival)
            });
        let allowed = clients.into_iter().filter(|client| client.created_at >= since);
        let allowed = allowed.min_by_key(|client| client.created_at).map(|client| Arrival {
            client: if client.name.is_empty() { client.client_id } else { client.name },
            at: client.created_at,
            called: None,
        });
        Ok(called.or(allowed))
    }
}
