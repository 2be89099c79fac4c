//! Who may approve a call that rules hold, and the proof that somebody did.

use serde::{Deserialize, Serialize};
use switchboard_domain::{
    ApprovalId, Caller, CapabilityKind, CapabilityName, ConnectionId, MemberId, OrganizationId, Role, TeamId,
};

use crate::rule::{Approvers, Rule};

/// What a person has to be to decide. When several rules hold the same call, all of them must be satisfied:
/// otherwise a toolkit's or a member's rule could replace an organization's approvers by easier ones.
/// `caller` asks for the least and gives way to any other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ApprovalRequirement {
    /// An admin or owner.
    pub admin: bool,
    /// In at least one team of each of these lists.
    pub teams: Vec<Vec<TeamId>>,
    /// Not the person whose agent asked.
    pub second_person: bool,
}

/// A person about to decide: signed in to the console, or with a token of theirs that has the `api` scope.
/// Never made for the token or the client that asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decider {
    pub member: MemberId,
    pub role: Role,
    pub teams: Vec<TeamId>,
}

/// An approval that was given and is now used up. `broker::approvals` makes it, after the stored request went
/// from `approved` to `used` in the database for exactly these arguments; nothing else may.
#[derive(Debug, Clone)]
pub struct ConsumedApproval {
    pub id: ApprovalId,
    pub organization: OrganizationId,
    pub requested_by: Caller,
    pub connection: ConnectionId,
    pub capability: CapabilityName,
    pub kind: CapabilityKind,
    /// Who decided, with role and teams of today, not of then.
    pub decided_by: Decider,
}

/// A call that was let through already and has not ended: a task that runs, or a call whose upstream asked for input
/// first. `broker` makes it from what it stored or sealed when it let the call through; nothing else may.
#[derive(Debug, Clone)]
pub struct Underway {
    pub organization: OrganizationId,
    pub caller: Caller,
    pub connection: ConnectionId,
    /// The upstream's own name.
    pub capability: String,
    pub kind: CapabilityKind,
    /// By which approval.
    pub approval: Option<ApprovalId>,
}

impl ApprovalRequirement {
    pub(crate) fn add(&mut self, rule: &Rule) {
        match &rule.approvers {
            Approvers::Caller => {}
            Approvers::Admins => self.admin = true,
            Approvers::Teams(teams) => self.teams.push(teams.clone()),
        }
        self.second_person |= rule.second_person;
    }

    /// Whether this person may decide a call that `requested_by` asked for.
    pub fn admits(&self, decider: &Decider, requested_by: Caller) -> bool {
        let asked = requested_by == Caller::Member(decider.member);
        if self.second_person && asked {
            return false;
        }
        if !self.admin && self.teams.is_empty() {
            return match requested_by {
                Caller::Member(_) => asked,
                Caller::ServiceAccount(_) => decider.role.is_admin(),
            };
        }
        (!self.admin || decider.role.is_admin())
            && self.teams.iter().all(|teams| teams.iter().any(|team| decider.teams.contains(team)))
    }
}

#[cfg(test)]
mod tests {
    use switchboard_domain::ServiceAccountId;
    use uuid::Uuid;

    use super::*;
    use crate::rule::RuleAction;

    fn member(number: u128) -> MemberId {
        MemberId::from_uuid(Uuid::from_u128(number))
    }

    fn team(number: u128) -> TeamId {
        TeamId::from_uuid(Uuid::from_u128(number))
    }

    fn requirement(rules: &[(Approvers, bool)]) -> ApprovalRequirement {
        let mut requirement = ApprovalRequirement::default();
        for (approvers, second_person) in rules {
            requirement.add(&Rule {
                approvers: approvers.clone(),
                second_person: *second_person,
                ..Rule::new("*".parse().unwrap(), RuleAction::RequireApproval)
            });
        }
        requirement
    }

    fn decider(number: u128, role: Role, teams: &[u128]) -> Decider {
        Decider { member: member(number), role, teams: teams.iter().copied().map(team).collect() }
    }

    #[test]
    fn the_caller_decides_alone_unless_a_rule_asks_for_more() {
        let caller = Caller::Member(member(1));
        let only_caller = requirement(&[(Approvers::Caller, false)]);
        assert!(only_caller.admits(&decider(1, Role::Member, &[]), caller));
        assert!(!only_caller.admits(&decider(2, Role::Owner, &[]), caller), "another's call");

        let admins = requirement(&[(Approvers::Caller, false), (Approvers::Admins, false)]);
        assert!(!admins.admits(&decider(1, Role::Member, &[]), caller));
        assert!(admins.admits(&decider(1, Role::Admin, &[]), caller));
        assert!(admins.admits(&decider(2, Role::Owner, &[]), caller));
    }

    #[test]
    fn a_second_person_is_never_the_caller() {
        let caller = Caller::Member(member(1));
        let second = requirement(&[(Approvers::Admins, true)]);
        assert!(!second.admits(&decider(1, Role::Owner, &[]), caller));
        assert!(second.admits(&decider(2, Role::Admin, &[]), caller));
        let nobody = requirement(&[(Approvers::Caller, true)]);
        assert!(!nobody.admits(&decider(1, Role::Owner, &[]), caller));
        assert!(!nobody.admits(&decider(2, Role::Owner, &[]), caller));
    }

    #[test]
    fn every_rule_has_to_be_satisfied() {
        let caller = Caller::Member(member(1));
        let both = requirement(&[
            (Approvers::Teams(vec![team(1), team(2)]), false),
            (Approvers::Teams(vec![team(3)]), false),
            (Approvers::Admins, false),
        ]);
        assert!(both.admits(&decider(2, Role::Admin, &[2, 3]), caller));
        assert!(!both.admits(&decider(2, Role::Admin, &[1, 2]), caller));
        assert!(!both.admits(&decider(2, Role::Member, &[2, 3]), caller));
    }

    #[test]
    fn a_service_accounts_caller_means_admins() {
        let program = Caller::ServiceAccount(ServiceAccountId::from_uuid(Uuid::from_u128(1)));
        let only_caller = requirement(&[(Approvers::Caller, false)]);
        assert!(only_caller.admits(&decider(1, Role::Admin, &[]), program));
        assert!(!only_caller.admits(&decider(1, Role::Member, &[]), program));
    }
}
