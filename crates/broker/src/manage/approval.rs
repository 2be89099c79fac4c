//! Calls that wait for a person: who sees them, who decides.
//!
//! Whoever asked sees what became of it; admins see all; the people that the rules name decide. A decision is made in a
//! console session, or with a token that has the scope `api`: never with the token, or by the client, that asked.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use switchboard_catalog::revealed_json;
use switchboard_domain::{
    ApprovalId, ApprovalStatus, Caller, CapabilityKind, ConnectionId, Principal, Timestamp,
};
use switchboard_policy::ApprovalRequirement;
use switchboard_storage::{Approval, StorageError};

use super::{Operation, Page, PageRequest, Refusal, Target, authorize, record::Change};
use crate::{
    Broker,
    approvals::{Asker, digest_of},
};

/// How far back a list goes.
const MOST_LISTED: u32 = 2_000;
/// Longer arguments are not in lists, in bytes.
const SHORT: usize = 4 << 10;

/// A call that a rule holds, or held.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Approval)]
pub struct ApprovalView {
    #[schema(value_type = String)]
    pub id: ApprovalId,
    /// Such as `linear.delete_issue`.
    pub capability: String,
    #[schema(value_type = String)]
    pub connection: ConnectionId,
    /// `tool`, `prompt` or `resource`.
    #[schema(value_type = String)]
    pub kind: CapabilityKind,
    /// What it would be called with, exactly as sent; `null` when it can't be read any more, and in lists where it is longer
    /// than 4 KiB: read that one.
    #[schema(value_type = Option<Object>)]
    pub arguments: Option<Box<RawValue>>,
    /// The same as text for people: a member on each line, characters that can't be seen written out.
    pub shown_arguments: Option<String>,
    /// What the agent says it is for. Anybody can claim anything here.
    pub intent: Option<String>,
    /// Id of the member or service account whose agent asks.
    pub requested_by: String,
    /// What people call them.
    pub requested_by_name: String,
    /// What the AI client says it is.
    pub client: String,
    /// Path of the endpoint it was asked at.
    pub resource: String,
    /// The rule that holds it: the list and the position in it.
    pub rule: Option<String>,
    /// Who may decide.
    #[schema(value_type = Object)]
    pub approvers: ApprovalRequirement,
    /// `pending`, `approved`, `declined`, `expired` or `used`.
    #[schema(value_type = String)]
    pub status: ApprovalStatus,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Decided and used before this, or not at all.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    pub decided_by: Option<String>,
    pub decided_by_name: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub decided_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub used_at: Option<Timestamp>,
    /// Whether it waits, and you can decide it.
    pub may_decide: bool,
    /// Whether it is approved and not used, and you can still decline it.
    pub may_take_back: bool,
    /// The page on which a person decides.
    pub url: String,
}

impl ApprovalView {
    /// As it stands in a list.
    fn short(self) -> Self {
        let is_long = self.arguments.as_ref().is_some_and(|arguments| arguments.get().len() > SHORT);
        if is_long { Self { arguments: None, shown_arguments: None, ..self } } else { self }
    }
}

/// Which approvals; everything given must match.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalQuery {
    /// `pending`, `approved`, `declined`, `expired` or `used`.
    pub status: Option<ApprovalStatus>,
    /// Only those that you can decide now.
    pub decidable: Option<bool>,
    pub limit: Option<usize>,
    pub cursor: Option<String>,
}

/// How many calls wait for the caller's decision.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
#[schema(as = Inbox)]
pub struct InboxView {
    pub waiting: usize,
}

/// What a person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalDecision {
    Approve,
    Decline,
}

impl ApprovalDecision {
    pub const fn operation(self) -> Operation {
        match self {
            Self::Approve => Operation::Approve,
            Self::Decline => Operation::Decline,
        }
    }
}

/// A stored approval with who may decide it, for whoever looks.
struct Found {
    approval: Approval,
    requirement: ApprovalRequirement,
    asker: Arc<Asker>,
}

impl Found {
    /// What can't be read asks for everything: nobody decides it.
    fn of(approval: Approval, asker: &Arc<Asker>) -> Self {
        let requirement = serde_json::from_value(approval.requirement.clone()).unwrap_or_else(|error| {
            tracing::error!(approval = %approval.id, %error, "who may decide an approval can't be read");
            ApprovalRequirement { admin: true, teams: vec![Vec::new()], second_person: true }
        });
        Self { approval, requirement, asker: Arc::clone(asker) }
    }

    fn target(&self) -> Target<'_> {
        Target::Approval { approval: &self.approval, requirement: &self.requirement, asker: &self.asker }
    }

    fn is_visible(&self, principal: &Principal) -> bool {
        authorize(principal, Operation::ReadApproval, self.target()).is_ok()
    }

    fn may_decide(&self, principal: &Principal, now: Timestamp) -> bool {
        self.may(principal, Operation::Approve, now, ApprovalStatus::Pending)
    }

    fn may(&self, principal: &Principal, operation: Operation, now: Timestamp, from: ApprovalStatus) -> bool {
        self.approval.status_at(now) == from && authorize(principal, operation, self.target()).is_ok()
    }
}

impl Broker {
    /// The newest first.
    pub async fn list_approvals(
        &self,
        principal: &Principal,
        query: &ApprovalQuery,
    ) -> Result<Page<ApprovalView>, Refusal> {
        let _allowed = authorize(principal, Operation::ListApprovals, Target::Organization)?;
        let now = self.clock().now();
        let asker = Arc::new(self.asker(principal).await?);
        let rows = self.db().single().await?.approvals().list(principal.organization, MOST_LISTED).await?;
        let found = rows.into_iter().map(|row| Found::of(row, &asker));
        let shown = found.filter(|found| {
            found.is_visible(principal)
                && query.status.is_none_or(|status| found.approval.status_at(now) == status)
                && query.decidable.is_none_or(|wanted| found.may_decide(principal, now) == wanted)
        });
        let key = |found: &Found| {
            let approval = &found.approval;
            let id = u128::MAX - approval.id.as_uuid().as_u128();
            format!("{:020}{id:032x}", i64::MAX - approval.created_at.as_micros())
        };
        let page = PageRequest { limit: query.limit, cursor: query.cursor.clone() };
        let page = page.cut(shown.collect(), key)?;
        let names = self.names_in(principal, &page.items).await?;
        let mut items = Vec::with_capacity(page.items.len());
        for found in &page.items {
            // One after the other: each may be megabytes, and the page needs little of it.
            let id = found.approval.id;
            let whole = self.db().single().await?.approvals().find(principal.organization, id).await?;
            let Some(whole) = whole else { continue };
            let view = self.approval_view(principal, &Found::of(whole, &asker), &names).await;
            items.push(view.short());
        }
        Ok(Page { items, next_cursor: page.next_cursor })
    }

    /// How many wait for this person.
    pub async fn approval_inbox(&self, principal: &Principal) -> Result<InboxView, Refusal> {
        let _allowed = authorize(principal, Operation::ListApprovals, Target::Organization)?;
        let now = self.clock().now();
        let asker = Arc::new(self.asker(principal).await?);
        let mut tx = self.db().single().await?;
        let rows = tx.approvals().waiting(principal.organization, now, MOST_LISTED).await?;
        let found = rows.into_iter().map(|row| Found::of(row, &asker));
        let waiting = found.filter(|found| found.may_decide(principal, now));
        Ok(InboxView { waiting: waiting.count() })
    }

    pub async fn read_approval(
        &self,
        principal: &Principal,
        id: ApprovalId,
    ) -> Result<ApprovalView, Refusal> {
        let found = self.visible_approval(principal, id).await?;
        self.whole_view(principal, found).await
    }

    /// Approves or declines a call. What was approved can be declined until it is used.
    pub async fn decide_approval(
        &self,
        principal: &Principal,
        id: ApprovalId,
        decision: ApprovalDecision,
    ) -> Result<ApprovalView, Refusal> {
        let found = self.visible_approval(principal, id).await?;
        let allowed = authorize(principal, decision.operation(), found.target())
            .map_err(|_| Refusal::not_an_approver(found.requirement.second_person))?;
        let by = principal.member().ok_or_else(Refusal::not_found)?;
        let approval = &found.approval;
        let asked = self.open_approval(approval).await.ok_or_else(Refusal::unavailable)?;
        // What was shown is what its digest lets through.
        if digest_of(&asked.arguments).ok() != Some(approval.arguments_digest) {
            return Err(Refusal::unavailable());
        }
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        let decided = match decision {
            ApprovalDecision::Approve => tx.approvals().approve(principal.organization, id, by, now).await?,
            ApprovalDecision::Decline => tx.approvals().decline(principal.organization, id, by, now).await?,
        };
        if !decided {
            drop(tx);
            let found = self.visible_approval(principal, id).await?;
            return Err(is_over(found.approval.status_at(now)));
        }
        let details = json!({
            "capability": approval.capability,
            "requested_by": approval.requested_by.to_string(),
            "client": approval.client,
            "arguments_digest": hex::encode(approval.arguments_digest),
        });
        let change = Change::of(id).on(approval.connection).with(details);
        let status = match decision {
            ApprovalDecision::Approve => ApprovalStatus::Approved,
            ApprovalDecision::Decline => ApprovalStatus::Declined,
        };
        let told = Approval { status, decided_by: Some(by), ..approval.clone() };
        self.queue_event(&mut tx, principal.organization, "approval.decided", &self.told_of(&told)).await?;
        self.commit_change(&allowed, tx, change).await?;
        self.deliver_soon();
        self.tell_who_waits();
        self.read_approval(principal, id).await
    }

    async fn visible_approval(&self, principal: &Principal, id: ApprovalId) -> Result<Found, Refusal> {
        let asker = Arc::new(self.asker(principal).await?);
        let found = self.db().single().await?.approvals().find(principal.organization, id).await?;
        let found = Found::of(found.ok_or_else(Refusal::not_found)?, &asker);
        authorize(principal, Operation::ReadApproval, found.target()).map(drop)?;
        Ok(found)
    }

    async fn whole_view(&self, principal: &Principal, found: Found) -> Result<ApprovalView, Refusal> {
        let found = [found];
        let names = self.names_in(principal, &found).await?;
        Ok(self.approval_view(principal, &found[0], &names).await)
    }

    /// What people call whoever asked and decided.
    async fn names_in(
        &self,
        principal: &Principal,
        found: &[Found],
    ) -> Result<HashMap<Caller, String>, StorageError> {
        let organization = principal.organization;
        let mut names = HashMap::new();
        let mut tx = self.db().read().await?;
        let asked = found.iter().map(|found| found.approval.requested_by);
        let decided = found.iter().filter_map(|found| found.approval.decided_by).map(Caller::Member);
        let (mut members, mut programs) = (Vec::new(), HashSet::new());
        for caller in asked.chain(decided) {
            match caller {
                Caller::Member(id) => members.push(id),
                Caller::ServiceAccount(id) => drop(programs.insert(id)),
            }
        }
        for member in tx.members().find_all(organization, &members).await? {
            let name = match member.display_name.as_str() {
                "" => member.email,
                name => format!("{name} ({})", member.email),
            };
            names.insert(Caller::Member(member.id), name);
        }
        for id in programs {
            let found = tx.service_accounts().find(organization, id).await?;
            names.extend(found.map(|account| (Caller::ServiceAccount(id), account.name)));
        }
        Ok(names)
    }

    async fn approval_view(
        &self,
        principal: &Principal,
        found: &Found,
        names: &HashMap<Caller, String>,
    ) -> ApprovalView {
        let Found { approval, requirement, .. } = found;
        let asked = self.open_approval(approval).await;
        let name = |caller: Caller| names.get(&caller).cloned().unwrap_or_else(|| caller.to_string());
        let now = self.clock().now();
        ApprovalView {
            id: approval.id,
            capability: approval.capability.clone(),
            connection: approval.connection,
            kind: approval.kind,
            arguments: asked.as_ref().and_then(|asked| RawValue::from_string(asked.arguments.clone()).ok()),
            shown_arguments: asked.as_ref().and_then(|asked| revealed_json(&asked.arguments).ok()),
            intent: asked.and_then(|asked| asked.intent),
            requested_by: approval.requested_by.to_string(),
            requested_by_name: name(approval.requested_by),
            client: approval.client.clone(),
            resource: approval.resource.clone(),
            rule: approval.rule.clone(),
            approvers: requirement.clone(),
            status: approval.status_at(now),
            created_at: approval.created_at,
            expires_at: approval.expires_at,
            decided_by: approval.decided_by.map(|member| member.to_string()),
            decided_by_name: approval.decided_by.map(|member| name(Caller::Member(member))),
            decided_at: approval.decided_at,
            used_at: approval.used_at,
            may_decide: found.may_decide(principal, now),
            may_take_back: found.may(principal, Operation::Decline, now, ApprovalStatus::Approved),
            url: self.approval_page(approval.id),
        }
    }
}

fn is_over(status: ApprovalStatus) -> Refusal {
    let (code, message) = match status {
        ApprovalStatus::Expired => {
            ("approval_expired", "It is over: nobody decided in time. The agent can ask again.")
        }
        ApprovalStatus::Declined => ("approval_declined", "It was declined already, which is final."),
        ApprovalStatus::Used => ("approval_used", "It was approved and used already: the call ran."),
        ApprovalStatus::Approved | ApprovalStatus::Pending => {
            ("approval_approved", "It was approved already, and not used yet.")
        }
    };
    Refusal::conflict(code, message)
}
