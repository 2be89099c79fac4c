//! Quotas: how many calls a calendar day or month has room for, as the organization's admins say: of everybody, of one
//! caller, of a team, to a connection. All that concern a call must have room for it.
//!
//! They are among the organization's settings, so that a call finds them in the snapshot. How much is used is counted in
//! [`crate::usage`].

use std::{collections::HashMap, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use switchboard_domain::{Caller, ConnectionId, Period, Principal, TeamId};

/// Whose calls, or to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuotaSubject {
    /// All calls of the organization together.
    Organization,
    /// Each member and service account for themselves, unless they have a quota of their own for the same period.
    EveryMember,
    Caller(Caller),
    /// Its members together, each call counted once.
    Team(TeamId),
    /// By everybody together.
    Connection(ConnectionId),
}

impl fmt::Display for QuotaSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization => f.write_str("organization"),
            Self::EveryMember => f.write_str("every_member"),
            Self::Caller(caller) => caller.fmt(f),
            Self::Team(team) => team.fmt(f),
            Self::Connection(connection) => connection.fmt(f),
        }
    }
}

/// Why a text is no subject of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write `organization`, `every_member`, or the id of a member, service account, team or connection")]
pub struct NoSubject;

impl FromStr for QuotaSubject {
    type Err = NoSubject;

    fn from_str(text: &str) -> Result<Self, NoSubject> {
        let id = text.split_once('_').map_or("", |(prefix, _)| prefix);
        match (text, id) {
            ("organization", _) => Some(Self::Organization),
            ("every_member", _) => Some(Self::EveryMember),
            (_, "mem") => text.parse().ok().map(|id| Self::Caller(Caller::Member(id))),
            (_, "svc") => text.parse().ok().map(|id| Self::Caller(Caller::ServiceAccount(id))),
            (_, "team") => text.parse().ok().map(Self::Team),
            (_, "con") => text.parse().ok().map(Self::Connection),
            _ => None,
        }
        .ok_or(NoSubject)
    }
}

impl Serialize for QuotaSubject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for QuotaSubject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Room for so many calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// `organization`, `every_member`, or the id of a member, service account, team or connection.
    #[schema(value_type = String)]
    pub subject: QuotaSubject,
    /// `day` or `month`, of the calendar, in UTC.
    #[schema(value_type = String)]
    pub period: Period,
    /// How many; 0 for none at all.
    pub calls: u64,
}

/// The quotas of an organization, by whom they concern.
#[derive(Debug, Default)]
pub(crate) struct Quotas(HashMap<QuotaSubject, Vec<Quota>>);

impl Quotas {
    /// Of an organization's settings. What can't be read leaves room for nothing: an error in a check denies.
    pub(crate) fn of(settings: &Value) -> Self {
        let listed = match settings.get("quotas") {
            None => Vec::new(),
            Some(stored) => Vec::<Quota>::deserialize(stored).unwrap_or_else(|error| {
                tracing::error!(%error, "stored quotas can't be read: nothing may be called");
                vec![Quota { subject: QuotaSubject::Organization, period: Period::Day, calls: 0 }]
            }),
        };
        let mut quotas = HashMap::<_, Vec<Quota>>::new();
        for quota in listed {
            quotas.entry(quota.subject).or_default().push(quota);
        }
        Self(quotas)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Quota> {
        self.0.values().flatten()
    }

    /// What concerns a call, and as whose use it counts.
    pub(crate) fn concerning(
        &self,
        principal: &Principal,
        connection: ConnectionId,
    ) -> Vec<(Quota, QuotaSubject)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let of = |subject| self.0.get(&subject).into_iter().flatten().copied();
        let caller = QuotaSubject::Caller(principal.caller);
        let own: Vec<Quota> = of(caller).collect();
        let general = of(QuotaSubject::EveryMember)
            .filter(|general| !own.iter().any(|own| own.period == general.period))
            .map(|quota| (quota, caller));
        let together = [QuotaSubject::Organization, QuotaSubject::Connection(connection)]
            .into_iter()
            .chain(principal.teams.iter().copied().map(QuotaSubject::Team))
            .flat_map(of)
            .map(|quota| (quota, quota.subject));
        let own_too = own.iter().map(|&quota| (quota, caller));
        own_too.chain(general).chain(together).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use switchboard_domain::{FixedClock, MemberId, SeededRandom};

    use super::*;

    #[test]
    fn a_subject_is_written_as_it_is_read() {
        let member = MemberId::new(&FixedClock::at_micros(1), &SeededRandom::new(7));
        let member = QuotaSubject::Caller(Caller::Member(member));
        for subject in [QuotaSubject::Organization, QuotaSubject::EveryMember, member] {
            assert_eq!(subject.to_string().parse(), Ok(subject));
        }
        for text in ["", "mem_", "org_1", "every member", "team", "con_zz"] {
            assert_eq!(text.parse::<QuotaSubject>(), Err(NoSubject), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_leaves_room_for_nothing() {
        for settings in [json!({ "quotas": 7 }), json!({ "quotas": [{ "subject": "x" }] })] {
            assert_eq!(Quotas::of(&settings).all().map(|quota| quota.calls).collect::<Vec<_>>(), [0]);
        }
        assert_eq!(Quotas::of(&json!({})).all().count(), 0);
    }
}
