//! How AI clients got in, step by step: what an admin looks at when somebody's client does not connect.

use std::time::Duration;

use serde_json::Value;
use switchboard_domain::{AuditOutcome, Caller, OauthClientId, Principal, Timestamp};
use switchboard_storage::{AuditEntry, AuditFilter, UsedGrant};

use super::{Operation, Refusal, Target, authorize};
use crate::{Attempt, Broker};

/// Grants of one client that are told of.
const GRANTS: u32 = 10;
/// Entries of one grant, and how long after the consent they are looked for: refreshing goes on for years.
const ENTRIES: u32 = 50;
const SIGN_IN: Duration = Duration::from_secs(24 * 60 * 60);

/// One step, as it is on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryStep {
    /// `challenged`, `resource_metadata`, `server_metadata`, `registered`, `asked`, `consent`, `deny`, `token`, `first_use`,
    /// `replay`, `revoke`, `ended`.
    pub step: &'static str,
    pub at: Timestamp,
    /// Why it was refused.
    pub refused: Option<String>,
}

/// What one person allowed a client, from the first question to the end.
#[derive(Debug)]
pub struct ClientHistory {
    pub caller: Caller,
    pub resource: String,
    pub redirect_uri: String,
    pub scopes: String,
    /// It still stands.
    pub is_open: bool,
    /// In the order in which they happened.
    pub steps: Vec<HistoryStep>,
}

impl Broker {
    /// What a client was allowed here lately, the newest first, each with its steps.
    pub async fn client_history(
        &self,
        principal: &Principal,
        id: OauthClientId,
    ) -> Result<Vec<ClientHistory>, Refusal> {
        let client = self.read_oauth_client(principal, id).await?;
        let _allowed = authorize(principal, Operation::ReadOauthClient, Target::Organization)?;
        let (organization, now) = (principal.organization, self.clock().now());
        let mut tx = self.db().read().await?;
        let grants = tx.oauth_grants().of_client(organization, id, GRANTS).await?;
        let mut histories = Vec::with_capacity(grants.len());
        for used in grants {
            let filter = AuditFilter {
                target: Some(used.grant.id.to_string()),
                from: Some(used.grant.created_at),
                to: Some(used.grant.created_at.plus(SIGN_IN)),
                ..AuditFilter::default()
            };
            let entries = tx.audit().page(organization, &filter, ENTRIES).await?;
            let registered = (client.kind == "dynamic").then_some(client.created_at);
            histories.push(history(&used, &entries, registered, now));
        }
        Ok(histories)
    }

    /// Sign-ins that stopped before a token, as this process saw them. They are of nobody's organization yet: where there
    /// are several, no one's admins are told.
    pub fn stopped_attempts(&self, principal: &Principal) -> Result<Vec<Attempt>, Refusal> {
        let _allowed = authorize(principal, Operation::ListOauthClients, Target::Organization)?;
        if self.0.snapshots.organizations().len() != 1 {
            return Ok(Vec::new());
        }
        Ok(self.0.attempts.stopped(self.clock().now()))
    }
}

fn history(
    used: &UsedGrant,
    entries: &[AuditEntry],
    registered: Option<Timestamp>,
    now: Timestamp,
) -> ClientHistory {
    let grant = &used.grant;
    let mut steps = Vec::new();
    let mut add = |step: &'static str, at: Option<Timestamp>| {
        steps.extend(at.map(|at| HistoryStep { step, at, refused: None }));
    };
    // One client registers once and is allowed again and again: only what led to this grant belongs here.
    let near = |at: &Timestamp| at.plus(SIGN_IN) > grant.created_at;
    add("registered", registered.filter(near));
    add("first_use", used.first_used_at);
    let ended = grant.revoked_at.or((grant.expires_at <= now).then_some(grant.expires_at));
    add("ended", ended);
    for entry in entries {
        let body: Value = serde_json::from_str(&entry.body).unwrap_or_default();
        for (name, step) in [
            ("challenged_at", "challenged"),
            ("resource_metadata_at", "resource_metadata"),
            ("server_metadata_at", "server_metadata"),
            ("asked_at", "asked"),
        ] {
            let at = body["details"]["trail"][name].as_str().and_then(|at| at.parse().ok());
            steps.extend(at.map(|at| HistoryStep { step, at, refused: None }));
        }
        let step = match entry.action.as_str() {
            "oauth.consent" => "consent",
            "oauth.deny" => "deny",
            "oauth.token" => "token",
            "oauth.replay" => "replay",
            "oauth.revoke" => "revoke",
            _ => continue,
        };
        let refused = (entry.outcome == Some(AuditOutcome::Refused))
            .then(|| body["code"].as_str().unwrap_or("refused").to_owned());
        steps.push(HistoryStep { step, at: entry.at, refused });
    }
    // What is older than the log is kept still has its beginning.
    if !steps.iter().any(|step| step.step == "consent") {
        steps.push(HistoryStep { step: "consent", at: grant.created_at, refused: None });
    }
    steps.sort_by_key(|step| (step.at, rank(step.step)));
    ClientHistory {
        caller: grant.caller,
        resource: grant.resource.clone(),
        redirect_uri: grant.redirect_uri.clone(),
        scopes: grant.scopes.to_string(),
        is_open: ended.is_none(),
        steps,
    }
}

/// The order of what happened at the same instant.
fn rank(step: &str) -> usize {
    let order = [
        "challenged",
        "resource_metadata",
        "server_metadata",
        "registered",
        "asked",
        "consent",
        "deny",
        "token",
        "first_use",
    ];
    order.iter().position(|known| *known == step).unwrap_or(order.len())
}
