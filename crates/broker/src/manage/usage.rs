//! How much is called, by day: by connection, by who calls, by team.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use switchboard_domain::{
    AuditOutcome, ConnectionId, ConnectionOwner, MemberId, OrganizationId, Principal, Timestamp,
};
use switchboard_storage::{MemberStatus, UsageBy, UsageTotal};

use super::{Operation, Refusal, Target, authorize, refusal::Violations};
use crate::Broker;

/// As many as are kept (`usage::KEPT_DAYS`).
const MAX_DAYS: u32 = 400;
/// What all personal connections together are called; no connection has this slug.
pub(super) const PERSONAL: &str = "~";

/// What sums are of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsageOf {
    #[default]
    Connection,
    /// Members and service accounts.
    Member,
    /// Calls of its members of today; a call counts for each team of who made it.
    Team,
}

/// Which sums.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsageQuery {
    /// How many days back, today included; 7 without.
    pub days: Option<u32>,
    pub by: Option<UsageOf>,
}

/// Calls of one day, of one connection, caller or team.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[schema(as = UsageRow)]
pub struct UsageRow {
    /// `2026-11-21`, UTC.
    pub day: String,
    /// By connection: its slug, its id once it is gone, nothing for calls that named none, and `~` for all personal
    /// connections together: they are their owners' alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// By member: id of a member or service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// By team: its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// What people call it: name of a connection, service account or team, email address of a member.
    pub name: String,
    pub calls: i64,
    pub ok: i64,
    /// The upstream's own errors.
    pub tool_error: i64,
    pub refused: i64,
    /// Those that waited for a person's approval.
    pub held: i64,
    pub failed: i64,
    /// Of the arguments.
    pub request_bytes: i64,
    /// Of the results.
    pub response_bytes: i64,
    /// Of all these calls together.
    pub duration_ms: i64,
}

impl UsageRow {
    fn add(&mut self, total: &UsageTotal) {
        let sum = total.sum;
        self.calls += sum.calls;
        self.request_bytes += sum.request_bytes;
        self.response_bytes += sum.response_bytes;
        self.duration_ms += sum.duration_ms;
        match total.outcome {
            AuditOutcome::Ok => self.ok += sum.calls,
            AuditOutcome::ToolError => self.tool_error += sum.calls,
            AuditOutcome::Refused => self.refused += sum.calls,
            AuditOutcome::Held => self.held += sum.calls,
            AuditOutcome::Failed => self.failed += sum.calls,
        }
    }
}

/// Calls by day, the newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Usage)]
pub struct UsageView {
    pub days: u32,
    pub by: UsageOf,
    pub rows: Vec<UsageRow>,
}

/// What ids stand for.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<String, String>);

impl Names {
    /// `None` once it is gone.
    pub(super) fn get(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(String::as_str)
    }
}

impl Broker {
    /// Of the last `days` days, today included.
    pub async fn read_usage(&self, principal: &Principal, query: UsageQuery) -> Result<UsageView, Refusal> {
        let _allowed = authorize(principal, Operation::ReadUsage, Target::Organization)?;
        let organization = principal.organization;
        let (days, by) = (query.days.unwrap_or(7), query.by.unwrap_or_default());
        if days == 0 || days > MAX_DAYS {
            let mut violations = Violations::default();
            violations.add("days", format!("Use 1 to {MAX_DAYS}."));
            violations.into_result()?;
        }
        self.flush_counts().await?;
        let since = self.clock().now().day() - i64::from(days) + 1;
        let asked = if by == UsageOf::Connection { UsageBy::Connection } else { UsageBy::Caller };
        let totals = self.db().single().await?.usage().totals(organization, since, asked).await?;
        let callers = totals.iter().filter(|_| by == UsageOf::Member).map(|total| total.of.as_str());
        let names = self.names(organization, callers).await?;
        let rows = match by {
            UsageOf::Team => self.by_team(organization, &totals, &names).await?,
            UsageOf::Member => rows(totals.iter().map(|total| (total.of.as_str(), total)), by, &names),
            UsageOf::Connection => {
                let personal = self.personal_connections(organization);
                let of = |total: &'_ UsageTotal| personal.contains(&total.of);
                let named = |total| (if of(total) { PERSONAL } else { total.of.as_str() }, total);
                rows(totals.iter().map(named), by, &names)
            }
        };
        let rows = match by {
            UsageOf::Connection => self.with_slugs(organization, rows),
            _ => rows,
        };
        Ok(UsageView { days, by, rows })
    }

    async fn by_team(
        &self,
        organization: OrganizationId,
        totals: &[UsageTotal],
        names: &Names,
    ) -> Result<Vec<UsageRow>, Refusal> {
        let mut teams = HashMap::<String, Vec<String>>::new();
        for (member, team) in self.db().single().await?.teams().memberships(organization).await? {
            teams.entry(member.to_string()).or_default().push(team.to_string());
        }
        let of_teams = totals.iter().flat_map(|total| {
            teams.get(&total.of).into_iter().flatten().map(move |team| (team.as_str(), total))
        });
        Ok(rows(of_teams, UsageOf::Team, names))
    }

    fn with_slugs(&self, organization: OrganizationId, mut rows: Vec<UsageRow>) -> Vec<UsageRow> {
        let Some(snapshot) = self.snapshot(organization) else { return rows };
        for row in &mut rows {
            let id = row.connection.as_deref().and_then(|id| id.parse::<ConnectionId>().ok());
            if let Some(known) = id.and_then(|id| snapshot.connections.get(&id)) {
                row.connection = Some(known.connection.name_prefix());
            }
        }
        rows
    }

    fn personal_connections(&self, organization: OrganizationId) -> HashSet<String> {
        let Some(snapshot) = self.snapshot(organization) else { return HashSet::new() };
        let personal = snapshot
            .connections
            .values()
            .filter(|known| known.connection.owner != ConnectionOwner::Organization);
        personal.map(|known| known.connection.id.to_string()).collect()
    }

    /// Of connections, service accounts and teams, and of those of the `callers` that are members: of them there may be many.
    pub(super) async fn names<'c>(
        &self,
        organization: OrganizationId,
        callers: impl Iterator<Item = &'c str>,
    ) -> Result<Names, Refusal> {
        let callers: HashSet<MemberId> = callers.filter_map(|id| id.parse().ok()).collect();
        let callers: Vec<MemberId> = callers.into_iter().collect();
        let mut names = HashMap::new();
        let mut tx = self.db().read().await?;
        for member in tx.members().find_all(organization, &callers).await? {
            if member.status != MemberStatus::Removed {
                names.insert(member.id.to_string(), member.email);
            }
        }
        for account in tx.service_accounts().list(organization).await? {
            names.insert(account.id.to_string(), account.name);
        }
        for team in tx.teams().list(organization).await? {
            names.insert(team.id.to_string(), team.name);
        }
        drop(tx);
        let snapshot = self.snapshot(organization).ok_or_else(Refusal::unavailable)?;
        for known in snapshot.connections.values() {
            names.insert(known.connection.id.to_string(), known.connection.name.clone());
        }
        names.insert(PERSONAL.to_owned(), "Personal connections".to_owned());
        Ok(Names(names))
    }
}

fn rows<'t>(
    totals: impl Iterator<Item = (&'t str, &'t UsageTotal)>,
    by: UsageOf,
    names: &Names,
) -> Vec<UsageRow> {
    let mut rows = BTreeMap::<(i64, &str), UsageRow>::new();
    for (of, total) in totals {
        let row = rows.entry((-total.day, of)).or_insert_with(|| {
            let midnight = Timestamp::of_day(total.day).to_string();
            let id = Some(of.to_owned());
            let day = midnight.get(..10).unwrap_or_default().to_owned();
            let row = UsageRow { day, name: names.get(of).unwrap_or(of).to_owned(), ..UsageRow::default() };
            match by {
                UsageOf::Connection => UsageRow { connection: id, ..row },
                UsageOf::Member => UsageRow { member: id, ..row },
                UsageOf::Team => UsageRow { team: id, ..row },
            }
        });
        row.add(total);
    }
    rows.into_values().collect()
}
