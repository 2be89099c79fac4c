//! The review of definitions that were added or changed after a connection's first listing (THREATS P1): both texts, what
//! differs between them with nothing hidden, and a decision about exactly what was looked at.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchboard_catalog::{differences, displayed, fingerprint, revealed};
use switchboard_domain::{CapabilityKind, CapabilityState, ConnectionId, Principal};
use switchboard_storage::{self as storage, CapabilityRow, Tx};

use super::{
    FindingView, Operation, Page, PageRequest, Refusal, Target, authorize,
    record::Change,
    refusal::Violations,
    tool::{findings, parse_as},
};
use crate::{Broker, Known};

/// Most definitions that one request decides.
const MAX_DECISIONS: usize = 200;

/// A place in which two texts differ.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Difference)]
pub struct DifferenceView {
    /// JSON Pointer.
    pub pointer: String,
    /// JSON, characters that can't be seen written out as `⟨U+202E⟩`; `null` where nothing stood.
    pub before: Option<String>,
    pub after: Option<String>,
}

/// A definition that waits for a decision, beside the one that was approved.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Review)]
pub struct ReviewView {
    /// `tool`, `prompt` or `resource`; a template of resources is a `resource`.
    #[schema(value_type = String)]
    pub kind: CapabilityKind,
    /// What it is called by: a name, a URI, or the template of URIs.
    pub name: String,
    /// `held` or `rejected`.
    #[schema(value_type = String)]
    pub state: CapabilityState,
    /// `added`, `changed`, or `instructions`: the definition is the same, the server's instructions beside it are not.
    pub change: &'static str,
    /// Pass it with the decision: it is about this definition and no later one.
    pub fingerprint: String,
    /// What differs, place by place; at most 200.
    pub differences: Vec<DifferenceView>,
    /// What the server says of itself now, characters that can't be seen written out: part of what is approved.
    pub instructions: Option<String>,
    /// What it said when the definition was approved, where that was something else.
    pub instructions_before: Option<String>,
    /// As the upstream lists it now.
    #[schema(value_type = Object)]
    pub listed: Value,
    /// As it was approved; `null` for an added one.
    #[schema(value_type = Option<Object>)]
    pub approved: Option<Value>,
    pub findings: Vec<FindingView>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Approve,
    Reject,
}

/// A decision about one definition.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewDecision {
    /// `tool` without.
    #[serde(default = "tool")]
    #[schema(value_type = Option<String>)]
    pub kind: CapabilityKind,
    pub name: String,
    pub decision: Verdict,
    /// Of the definition that was looked at.
    pub fingerprint: String,
}

const fn tool() -> CapabilityKind {
    CapabilityKind::Tool
}

/// Decisions about several definitions: all of them, or none.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewDecisions {
    /// At most 200.
    pub decisions: Vec<ReviewDecision>,
}

impl Broker {
    /// Definitions that were added or changed after the first listing, with both texts.
    pub async fn read_review(
        &self,
        principal: &Principal,
        id: ConnectionId,
        page: &PageRequest,
    ) -> Result<Page<ReviewView>, Refusal> {
        let known = self.known_connection(principal.organization, id).await?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let _allowed = authorize(principal, Operation::ReadReview, target)?;
        let mut tx = self.db().single().await?;
        let rows = tx.capabilities().definitions(principal.organization, id).await?;
        let said = tx.instructions().before(principal.organization, id).await?;
        drop(tx);
        let view = |(kind, name, row)| review_view(&known, (kind, name), row, said.as_deref());
        let shown = rows.into_iter().filter_map(view).collect();
        page.cut(shown, |review: &ReviewView| format!("{} {}", review.kind.as_str(), review.name))
    }

    /// Approving pins the definition that was looked at; rejecting keeps it out until it changes again.
    pub async fn decide_review(
        &self,
        principal: &Principal,
        id: ConnectionId,
        decision: ReviewDecision,
    ) -> Result<(), Refusal> {
        let known = self.known_connection(principal.organization, id).await?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let allowed = authorize(principal, Operation::DecideReview, target)?;
        let mut tx = self.db().write().await?;
        let details = self.decide(&mut tx, &known, &decision).await?;
        let shown = displayed(&decision.name, 200);
        let change = Change::of(format!("{}.{shown}", known.connection.name_prefix())).on(id).with(details);
        self.commit_change(&allowed, tx, change).await
    }

    /// The same for several at once: when one of them can't be decided, none is.
    pub async fn decide_reviews(
        &self,
        principal: &Principal,
        id: ConnectionId,
        wanted: ReviewDecisions,
    ) -> Result<(), Refusal> {
        let known = self.known_connection(principal.organization, id).await?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let allowed = authorize(principal, Operation::DecideReview, target)?;
        let mut violations = Violations::default();
        let count = wanted.decisions.len();
        if count == 0 || count > MAX_DECISIONS {
            violations.add("decisions", format!("Give 1 to {MAX_DECISIONS}."));
        }
        violations.into_result()?;
        let mut tx = self.db().write().await?;
        let mut decided = Vec::with_capacity(count);
        for decision in &wanted.decisions {
            decided.push(self.decide(&mut tx, &known, decision).await?);
        }
        let change = Change::of(known.connection.name_prefix()).on(id).with(json!({ "decided": decided }));
        self.commit_change(&allowed, tx, change).await
    }

    async fn decide(&self, tx: &mut Tx, known: &Known, decision: &ReviewDecision) -> Result<Value, Refusal> {
        let (organization, id) = (known.connection.organization, known.connection.id);
        let row = tx.capabilities().definition(organization, id, decision.kind, &decision.name).await?;
        let row = row.filter(|row| row.state != CapabilityState::Gone).ok_or_else(Refusal::not_found)?;
        if hex::encode(row.fingerprint.0) != decision.fingerprint {
            return Err(Refusal::stale());
        }
        if !matches!(row.state, CapabilityState::Held | CapabilityState::Rejected) {
            let mut violations = Violations::default();
            violations.add("name", "This definition is approved already: there is nothing to decide.");
            violations.into_result()?;
        }
        let definition = parse_as(decision.kind, &row.listed, known).ok_or_else(Refusal::unavailable)?;
        let now = self.clock().now();
        let approve = decision.decision == Verdict::Approve;
        let details = json!({
            "kind": decision.kind.as_str(), "name": displayed(&decision.name, 200),
            "decision": decision.decision, "fingerprint": decision.fingerprint,
            "approved_before": row.approved_fingerprint.map(|it| hex::encode(it.0)),
        });
        let written = CapabilityRow {
            kind: decision.kind,
            name: decision.name.clone(),
            state: if approve { CapabilityState::Approved } else { CapabilityState::Rejected },
            fingerprint: row.fingerprint,
            approved_fingerprint: if approve { Some(row.fingerprint) } else { row.approved_fingerprint },
            title: definition.title().map(str::to_owned),
            summary: definition.summary(),
            approved_definition: if approve { Some(row.listed.clone()) } else { row.approved },
            definition: row.listed,
            first_seen_at: now,
            updated_at: now,
        };
        tx.capabilities().apply_listing(organization, id, &[written], &[], now).await?;
        Ok(details)
    }
}

fn review_view(
    known: &Known,
    (kind, name): (CapabilityKind, String),
    row: storage::Definition,
    said: Option<&str>,
) -> Option<ReviewView> {
    if !matches!(row.state, CapabilityState::Held | CapabilityState::Rejected) {
        return None;
    }
    let found = row.approved.as_deref().map(|approved| differences(approved, &row.listed));
    let change = match &found {
        None => "added",
        Some(found) if found.is_empty() => "instructions",
        Some(_) => "changed",
    };
    let view = |it: switchboard_catalog::Difference| DifferenceView {
        pointer: it.pointer,
        before: it.before,
        after: it.after,
    };
    // The digest of what was approved covers what the server said then.
    let instructions = known.connection.instructions.as_deref();
    let of_tool = row.approved.as_deref().filter(|_| kind == CapabilityKind::Tool);
    let said_otherwise =
        of_tool.is_some_and(|approved| fingerprint(approved, instructions).ok() != row.approved_fingerprint);
    Some(ReviewView {
        instructions_before: said.filter(|_| said_otherwise).map(revealed),
        findings: parse_as(kind, &row.listed, known)
            .map(|definition| findings(&definition))
            .unwrap_or_default(),
        change,
        differences: found.unwrap_or_default().into_iter().map(view).collect(),
        instructions: known.connection.instructions.as_deref().map(revealed),
        approved: row.approved.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        fingerprint: hex::encode(row.fingerprint.0),
        state: row.state,
        listed: serde_json::from_str(&row.listed).unwrap_or(Value::Null),
        kind,
        name,
    })
}
