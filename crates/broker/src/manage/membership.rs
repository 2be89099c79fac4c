//! Who belongs to an organization, as what, and how that ends.
//!
//! Admins look after members and admins; only an owner makes, changes or removes an owner, and the last one stays.
//! Whoever is suspended or removed is out at once: sessions, tokens, AI clients and their own accounts at servers end
//! in the same transaction, and every replica learns of it within a second.

use serde::Deserialize;
use serde_json::json;
use switchboard_domain::{Caller, MemberId, Principal, Role};
use switchboard_storage::{Member, MemberStatus, Tx};

use super::{MemberView, Operation, Refusal, Target, authorize, record::Change};
use crate::Broker;

/// What to change of a member; an absent one stays.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberEdit {
    /// `member`, `admin` or `owner`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub role: Option<Role>,
    /// `active` or `suspended`. Removing is a request of its own.
    #[serde(default)]
    pub status: Option<StatusWord>,
}

/// A status that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatusWord {
    Active,
    Suspended,
}

impl StatusWord {
    pub const ALL: [Self; 2] = [Self::Active, Self::Suspended];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => MemberStatus::Active.as_str(),
            Self::Suspended => MemberStatus::Suspended.as_str(),
        }
    }
}

impl From<StatusWord> for MemberStatus {
    fn from(word: StatusWord) -> Self {
        match word {
            StatusWord::Active => Self::Active,
            StatusWord::Suspended => Self::Suspended,
        }
    }
}

impl Broker {
    /// Changes a member's role or status.
    pub async fn update_member(
        &self,
        principal: &Principal,
        id: MemberId,
        edit: MemberEdit,
    ) -> Result<MemberView, Refusal> {
        let allowed = authorize(principal, Operation::UpdateMember, Target::Organization)?;
        let organization = principal.organization;
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        let before = present(&mut tx, principal, id).await?;
        let role = edit.role.unwrap_or(before.role);
        let status = edit.status.map_or(before.status, MemberStatus::from);
        if role == before.role && status == before.status {
            drop(tx);
            return self.read_member(principal, id).await;
        }
        check_owner(principal, before.role, role)?;
        let stays_owner = role == Role::Owner && status == MemberStatus::Active;
        if !stays_owner {
            check_last_owner(&mut tx, &before).await?;
        }
        if role != before.role {
            tx.members().set_role(organization, id, role, now).await?;
        }
        if role < before.role {
            // Asked in with a right that is no longer theirs.
            tx.invitations().revoke_of_inviter(organization, &Caller::Member(id), now).await?;
        }
        if status != before.status {
            tx.members().set_status(organization, id, status, now).await?;
        }
        if status == MemberStatus::Suspended {
            tx.end_access(organization, id, now).await?;
        }
        let details = json!({
            "email": before.email,
            "before": { "role": before.role, "status": before.status.as_str() },
            "after": { "role": role, "status": status.as_str() },
        });
        self.commit_change(&allowed, tx, Change::of(id).with(details)).await?;
        self.revoke_soon(u64::from(status == MemberStatus::Suspended));
        self.read_member(principal, id).await
    }

    /// Removes a member: an admin anybody but owners, an owner anybody, everybody themselves; the last owner stays.
    pub async fn remove_member(&self, principal: &Principal, id: MemberId) -> Result<(), Refusal> {
        let allowed = authorize(principal, Operation::RemoveMember, Target::Of(Caller::Member(id)))?;
        let organization = principal.organization;
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        let before = present(&mut tx, principal, id).await?;
        if principal.member() != Some(id) {
            check_owner(principal, before.role, before.role)?;
        }
        check_last_owner(&mut tx, &before).await?;
        tx.members().set_status(organization, id, MemberStatus::Removed, now).await?;
        tx.end_access(organization, id, now).await?;
        tx.forget_membership(organization, id).await?;
        let details = json!({ "email": before.email, "role": before.role });
        self.commit_change(&allowed, tx, Change::of(id).with(details)).await?;
        self.revoke_soon(1);
        Ok(())
    }
}

async fn present(tx: &mut Tx, principal: &Principal, id: MemberId) -> Result<Member, Refusal> {
    let found = tx.members().find(principal.organization, id).await?;
    found.filter(|member| member.status != MemberStatus::Removed).ok_or_else(Refusal::not_found)
}

/// Owners are made, changed and removed by owners alone.
pub(super) fn check_owner(principal: &Principal, before: Role, after: Role) -> Result<(), Refusal> {
    let touches_owner = before == Role::Owner || after == Role::Owner;
    if touches_owner && principal.role != Role::Owner {
        return Err(Refusal::conflict(
            "owner_needed",
            "Only an owner can make, change or remove an owner. Ask one.",
        ));
    }
    Ok(())
}

async fn check_last_owner(tx: &mut Tx, member: &Member) -> Result<(), Refusal> {
    let owns = member.role == Role::Owner && member.status == MemberStatus::Active;
    if owns && tx.members().count_owners(member.organization).await? <= 1 {
        return Err(Refusal::conflict(
            "last_owner",
            "This is the organization's last owner. Make somebody else an owner first.",
        ));
    }
    Ok(())
}
