//! How the organization stands, for its admins: what is still to be set up, how its connections are, how much is called.
//!
//! Calls are counted by hour from the audit log. Hours that are over don't change, so each process keeps their sums and asks
//! for the newest alone: a long log is walked through once, not for every look at the page.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use switchboard_domain::{
    AuditOutcome, CapabilityState, ConnectionId, ConnectionOwner, ConnectionStatus, CredentialMode,
    CredentialOwner, OrganizationId, Principal, Timestamp,
};
use switchboard_storage::{CredentialHealth, HourlyCalls};

use super::{Operation, Refusal, Target, authorize};
use crate::Broker;

const HOUR_MICROS: i64 = 60 * 60 * 1_000_000;
/// How far back calls are counted.
pub const OVERVIEW_HOURS: i64 = 7 * 24;
/// Entries reach the log a moment after they are dated: so many of the last hours are asked for again.
const OPEN_HOURS: i64 = 2;

/// Calls that ended, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    pub ok: i64,
    /// The upstream's own errors, and calls that failed on the way.
    pub failed: i64,
    /// By grants, rules, limits or a missing sign-in.
    pub refused: i64,
    /// Those that waited for a person's approval.
    pub held: i64,
}

impl Calls {
    pub const fn all(self) -> i64 {
        self.ok + self.failed + self.refused + self.held
    }

    fn add(&mut self, outcome: Option<AuditOutcome>, calls: i64) {
        match outcome {
            Some(AuditOutcome::Ok) => self.ok += calls,
            Some(AuditOutcome::Refused) => self.refused += calls,
            Some(AuditOutcome::Held) => self.held += calls,
            Some(AuditOutcome::ToolError | AuditOutcome::Failed) | None => self.failed += calls,
        }
    }
}

impl std::ops::AddAssign for Calls {
    fn add_assign(&mut self, more: Self) {
        self.ok += more.ok;
        self.failed += more.failed;
        self.refused += more.refused;
        self.held += more.held;
    }
}

/// Sums of hours that are over, by organization.
#[derive(Debug, Default)]
pub(crate) struct CountedCalls(parking_lot::Mutex<HashMap<OrganizationId, Counted>>);

#[derive(Debug, Clone, Default)]
struct Counted {
    hours: BTreeMap<i64, Calls>,
    /// The first hour that may still grow.
    open: i64,
}

/// A connection that does not simply work.
#[derive(Debug)]
pub struct AilingConnection {
    pub id: ConnectionId,
    pub name: String,
    pub status: ConnectionStatus,
    pub message: String,
}

/// How the organization stands.
#[derive(Debug)]
pub struct OverviewView {
    /// The organization's own connections that are switched on, by state.
    pub by_status: BTreeMap<&'static str, usize>,
    pub connections: usize,
    /// Those that an admin should look at, the worst first.
    pub ailing: Vec<AilingConnection>,
    pub held_tools: usize,
    /// Members whose own account at some connection no longer works.
    pub members_to_sign_in: usize,
    pub approvals_waiting: usize,
    /// One for each of the last [`OVERVIEW_HOURS`], the oldest first.
    pub hours: Vec<Calls>,
    /// The instant at which the last of them began.
    pub last_hour: Timestamp,
    /// An AI client was allowed, or a call came.
    pub has_client: bool,
    pub has_call: bool,
}

impl OverviewView {
    /// Of the last hours, this one included.
    pub fn calls(&self, hours: usize) -> Calls {
        let mut sum = Calls::default();
        self.hours.iter().rev().take(hours).for_each(|calls| sum += *calls);
        sum
    }
}

impl Broker {
    pub async fn read_overview(&self, principal: &Principal) -> Result<OverviewView, Refusal> {
        let _allowed = authorize(principal, Operation::ReadUsage, Target::Organization)?;
        let organization = principal.organization;
        let snapshot = self.organization_snapshot(organization)?;
        let (mut by_status, mut ailing) = (BTreeMap::new(), Vec::new());
        let (mut connections, mut held_tools, mut members) = (0, 0, BTreeSet::new());
        for known in snapshot.connections.values() {
            let connection = &*known.connection;
            if connection.owner != ConnectionOwner::Organization {
                continue;
            }
            connections += 1;
            // Each member's own sign-in is counted below: here it is how the server itself is.
            let shown = match connection.credential_mode {
                CredentialMode::Shared => self.status_of(known, CredentialOwner::Shared),
                CredentialMode::PerMember => self.status_of_server(known),
            };
            *by_status.entry(shown.status.as_str()).or_default() += 1;
            let held = known.catalog.capabilities.iter().filter(|(name, capability)| {
                capability.state == CapabilityState::Held && connection.tools.admits(name)
            });
            held_tools += held.count();
            members.extend(known.credentials.iter().filter_map(|credential| match credential.owner {
                CredentialOwner::Member(member) if credential.health != CredentialHealth::Healthy => {
                    Some(member)
                }
                _ => None,
            }));
            if rank(shown.status) > 0 {
                ailing.push(AilingConnection {
                    id: connection.id,
                    name: connection.name.clone(),
                    status: shown.status,
                    message: shown.message,
                });
            }
        }
        ailing.sort_by(|left, right| (rank(right.status), &left.name).cmp(&(rank(left.status), &right.name)));
        let hours = self.hourly_calls(organization).await?;
        let now = self.clock().now();
        let mut tx = self.db().read().await?;
        let approvals_waiting = tx.approvals().waiting(organization, now, 1_000).await?.len();
        let seen = tx.seen_clients().list(organization, now).await?;
        let counted = hours.iter().any(|calls| calls.all() > 0);
        let has_call = counted || tx.audit().any_call(organization).await?;
        Ok(OverviewView {
            by_status,
            connections,
            ailing,
            held_tools,
            members_to_sign_in: members.len(),
            approvals_waiting,
            hours,
            last_hour: Timestamp::from_micros(now.as_micros().div_euclid(HOUR_MICROS) * HOUR_MICROS),
            has_client: has_call || seen.iter().any(|seen| seen.grants > 0),
            has_call,
        })
    }

    async fn hourly_calls(&self, organization: OrganizationId) -> Result<Vec<Calls>, Refusal> {
        let this_hour = self.clock().now().as_micros().div_euclid(HOUR_MICROS);
        let first = this_hour - OVERVIEW_HOURS + 1;
        let mut counted = self.0.counted_calls.0.lock().get(&organization).cloned().unwrap_or_default();
        let from = counted.open.max(first);
        let since = Timestamp::from_micros(from * HOUR_MICROS);
        let rows = self.db().single().await?.audit().calls_by_hour(organization, since).await?;
        counted.hours.retain(|hour, _| (first..from).contains(hour));
        for HourlyCalls { hour, outcome, calls } in rows {
            counted.hours.entry(hour).or_default().add(outcome, calls);
        }
        counted.open = this_hour - OPEN_HOURS + 1;
        let hours = (first..=this_hour).map(|hour| counted.hours.get(&hour).copied().unwrap_or_default());
        let hours = hours.collect();
        self.0.counted_calls.0.lock().insert(organization, counted);
        Ok(hours)
    }
}

/// How much an admin should look at it; 0 where there is nothing to do.
const fn rank(status: ConnectionStatus) -> u8 {
    use ConnectionStatus as S;
    match status {
        S::Unreachable | S::Error | S::ReauthRequired | S::Blocked => 3,
        S::Degraded => 2,
        S::NeedsClient | S::NeedsConnection | S::SetupIncomplete => 1,
        S::Connected | S::Checking | S::Authorizing | S::Disabled => 0,
    }
}
