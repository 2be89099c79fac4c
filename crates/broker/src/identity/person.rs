//! Who the provider's account is here, and what they become by coming in.
//!
//! Issuer and subject decide. An account that is new here becomes somebody's in four ways and no other: with an
//! invitation in hand; by being connected by the member who is signed in; by an address that the provider verified and
//! whose domain the organization handed to this provider, as the member of that address or as a new one.

use serde_json::Value;
use switchboard_domain::{IdentityId, MemberId, Role, TeamId};
use switchboard_storage::{
    CredentialHealth, Identity, InsertMember, Member, MemberStatus, SignIn, SignInPurpose, Tx,
};

use super::{
    GroupTeam, SignInError,
    answer::ProviderTokens,
    protocol::{Account, Known},
};
use crate::{Broker, SignedIn, keys::OpenKey, manage::may_still_invite, text};

/// How the account came to be the member's, for the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It was before.
    Known,
    /// By its verified address.
    Address,
    /// The person joined by their verified address.
    Joined,
    /// With an invitation.
    Invited,
    /// By the member's own hand.
    Connected,
}

impl How {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Address => "address",
            Self::Joined => "joined",
            Self::Invited => "invited",
            Self::Connected => "connected",
        }
    }
}

/// Everything that says who is there.
pub(super) struct Seen<'a> {
    pub(super) known: &'a Known,
    pub(super) account: &'a Account,
    pub(super) sign_in: &'a SignIn,
    /// Who is signed in in this browser, where that is asked for.
    pub(super) signed_in: Option<&'a SignedIn>,
}

impl Seen<'_> {
    /// The address, if the provider verified it and may speak for its domain.
    fn own_address(&self) -> Option<&str> {
        let address = self.account.email.as_deref().filter(|_| self.account.email_verified)?;
        let (local, domain) = address.rsplit_once('@')?;
        let ours = &self.known.settings.verified_domains;
        let plain = address.bytes().all(|byte| byte.is_ascii_graphic()) && address.len() <= 254;
        let domain = domain.to_ascii_lowercase();
        (plain && !local.is_empty() && !local.contains('@') && ours.contains(&domain)).then_some(address)
    }

    fn name(&self) -> String {
        let given = self.account.name.as_deref().or(self.account.email.as_deref());
        match text::one_line(given.unwrap_or_default(), 100).trim() {
            "" => "Somebody without a name".to_owned(),
            name => name.to_owned(),
        }
    }
}

impl Broker {
    /// The member, and how the account is theirs. Changes what has to be changed for it in `tx`.
    pub(super) async fn member_of_account(
        &self,
        tx: &mut Tx,
        seen: &Seen<'_>,
        identity: Option<&Identity>,
    ) -> Result<(Member, How), SignInError> {
        let organization = seen.known.provider.organization;
        let owner = match identity {
            Some(identity) => tx.members().find(organization, identity.member).await?,
            None => None,
        };
        match (seen.sign_in.purpose, owner) {
            (_, Some(member)) if member.status == MemberStatus::Suspended => Err(SignInError::KeptOut),
            (SignInPurpose::Reauthenticate, owner) => {
                let same = owner.filter(|member| seen.signed_in.is_some_and(|it| it.member == member.id));
                same.map(|member| (member, How::Known)).ok_or(SignInError::NotThePerson)
            }
            (SignInPurpose::Link, owner) => self.connecting(tx, seen, owner).await,
            (SignInPurpose::SignIn, Some(member)) if member.status == MemberStatus::Active => {
                Ok((member, How::Known))
            }
            (SignInPurpose::SignIn, owner) => match (seen.sign_in.invitation_hash, owner) {
                (Some(hash), _) => self.invited(tx, seen, &hash).await,
                (None, Some(_removed)) => Err(SignInError::KeptOut),
                (None, None) => self.by_address(tx, seen).await,
            },
        }
    }

    async fn connecting(
        &self,
        tx: &mut Tx,
        seen: &Seen<'_>,
        owner: Option<Member>,
    ) -> Result<(Member, How), SignInError> {
        let organization = seen.known.provider.organization;
        let me = seen.signed_in.ok_or(SignInError::Over)?.member;
        match owner {
            Some(owner) if owner.id == me => return Ok((owner, How::Known)),
            Some(owner) if owner.status != MemberStatus::Removed => return Err(SignInError::TakenByAnother),
            _ => {}
        }
        let member = tx.members().find(organization, me).await?.ok_or(SignInError::Over)?;
        self.no_other_account(tx, seen, member.id).await?;
        Ok((member, How::Connected))
    }

    async fn invited(
        &self,
        tx: &mut Tx,
        seen: &Seen<'_>,
        hash: &[u8; 32],
    ) -> Result<(Member, How), SignInError> {
        let (organization, now) = (seen.known.provider.organization, self.clock().now());
        let invitation = tx.invitations().find_by_hash(hash).await?;
        let invitation = invitation.filter(|it| it.organization == organization);
        let invitation = invitation.ok_or(SignInError::InvitationOver)?;
        if !tx.invitations().accept(organization, invitation.id, now).await?
            || !may_still_invite(tx, &invitation).await?
        {
            return Err(SignInError::InvitationOver);
        }
        let id =
            self.take_in(tx, &invitation, &seen.name(), None).await.map_err(|refusal| {
                match refusal.code {
                    "email_taken" => SignInError::InvitationOver,
                    _ => refusal.into(),
                }
            })?;
        // Who was here before starts anew: with this account, not with one from then.
        for before in tx.identities().of_member(organization, id).await? {
            tx.identities().delete(organization, id, before.id).await?;
        }
        let member = tx.members().find(organization, id).await?.ok_or(SignInError::Unavailable)?;
        Ok((member, How::Invited))
    }

    async fn by_address(&self, tx: &mut Tx, seen: &Seen<'_>) -> Result<(Member, How), SignInError> {
        let organization = seen.known.provider.organization;
        let Some(address) = seen.own_address() else {
            return Err(SignInError::NotInvited { email: seen.account.email.clone() });
        };
        match tx.members().find_by_email(organization, address).await? {
            Some(member) if member.status != MemberStatus::Active => Err(SignInError::KeptOut),
            Some(member) if member.role == Role::Owner => Err(SignInError::OwnerNotConnected),
            Some(member) => {
                self.no_other_account(tx, seen, member.id).await?;
                Ok((member, How::Address))
            }
            None => {
                let now = self.clock().now();
                let member = Member {
                    id: MemberId::new(self.clock(), self.random()),
                    organization,
                    email: address.to_owned(),
                    display_name: seen.name(),
                    role: Role::Member,
                    status: MemberStatus::Active,
                    created_at: now,
                    updated_at: now,
                };
                // Somebody else took the address since: what was read no longer holds.
                if tx.members().insert(&member, None).await? == InsertMember::EmailTaken {
                    return Err(SignInError::Changed);
                }
                tx.organizations().touch(organization).await?;
                Ok((member, How::Joined))
            }
        }
    }

    /// A provider that knows the member under another subject speaks of another person, whatever the address.
    async fn no_other_account(
        &self,
        tx: &mut Tx,
        seen: &Seen<'_>,
        member: MemberId,
    ) -> Result<(), SignInError> {
        let provider = &seen.known.provider;
        let known = tx.identities().of_member(provider.organization, member).await?;
        match known.iter().any(|it| it.issuer == provider.issuer && it.subject != seen.account.subject) {
            true => Err(SignInError::OtherAccount),
            false => Ok(()),
        }
    }

    /// Stores the account as the member's, with the tokens that came with it.
    pub(super) async fn keep_identity(
        &self,
        tx: &mut Tx,
        seen: &Seen<'_>,
        (before, member): (Option<Identity>, MemberId),
        (key, tokens): (&OpenKey, &ProviderTokens),
    ) -> Result<(), SignInError> {
        let (provider, now) = (&seen.known.provider, self.clock().now());
        // An invitation takes away what a removed member was known by.
        let before = match before {
            Some(before) => {
                tx.identities().find(provider.organization, &before.issuer, &before.subject).await?
            }
            None => None,
        };
        let mut identity = Identity {
            id: before.as_ref().map_or_else(|| IdentityId::new(self.clock(), self.random()), |it| it.id),
            organization: provider.organization,
            member,
            provider: provider.id,
            issuer: provider.issuer.clone(),
            subject: seen.account.subject.clone(),
            email: seen.account.email.as_deref().map(|email| text::one_line(email, 254)),
            created_at: before.as_ref().map_or(now, |it| it.created_at),
            last_sign_in_at: now,
            generation: before.as_ref().map_or(1, |it| it.generation + 1),
            health: CredentialHealth::Healthy,
            expires_at: tokens.expires_at,
            tokens: None,
        };
        identity.tokens = Some(self.seal_tokens(key, &identity, tokens)?);
        let stored = match before {
            Some(_) => tx.identities().signed_in(&identity).await?,
            None => tx.identities().insert(&identity).await?,
        };
        // Somebody else was first with the same account: what was read no longer holds.
        if stored { Ok(()) } else { Err(SignInError::Changed) }
    }

    /// Puts the member into the teams that the mapping names for their groups, and takes them out of those it names
    /// for others. Teams it does not name are nobody's business here.
    pub(super) async fn apply_groups(
        &self,
        tx: &mut Tx,
        seen: &Seen<'_>,
        member: MemberId,
    ) -> Result<(Vec<TeamId>, Vec<TeamId>), SignInError> {
        let organization = seen.known.provider.organization;
        let Some(claim) = &seen.known.settings.group_claim else { return Ok((Vec::new(), Vec::new())) };
        let groups = groups(seen.account.claims.get(claim));
        let current = tx.teams().of_member(organization, member).await?;
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for team in tx.teams().list(organization).await? {
            let Some(wanted) = belongs(&seen.known.settings.group_teams, team.id, &groups) else { continue };
            match (wanted, current.contains(&team.id)) {
                (true, false) => {
                    tx.teams().add_member(organization, team.id, member).await?;
                    added.push(team.id);
                }
                (false, true) => {
                    tx.teams().remove_member(organization, team.id, member).await?;
                    removed.push(team.id);
                }
                _ => {}
            }
        }
        Ok((added, removed))
    }
}

/// Whether somebody in these groups is in the team; `None` when the mapping does not name it.
fn belongs(mapping: &[GroupTeam], team: TeamId, groups: &[&str]) -> Option<bool> {
    let mut named = mapping.iter().filter(|it| it.team == team).peekable();
    named.peek()?;
    Some(named.any(|it| groups.contains(&it.group.as_str())))
}

/// A list of names, or one name; anything else is no group.
fn groups(claim: Option<&Value>) -> Vec<&str> {
    match claim {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => vec![one],
        _ => Vec::new(),
    }
}
