//! Members as the console lists them: with filters, when each was last seen, and who still has to sign in where.

use std::sync::Arc;

use switchboard_domain::{
    AuthType, Caller, ConnectionOwner, ConnectionStatus, CredentialMode, CredentialOwner, MemberId,
    Principal, Proof, Role, TeamId, Timestamp,
};
use switchboard_storage::{Person, PersonFilter};

use super::{
    MemberView, Operation, Page, PageRequest, Refusal, StatusWord, Target, authorize,
    authorize::is_granted,
    page::write_cursor,
    people::{member_view, teams_of},
};
use crate::{
    Broker,
    snapshot::{Known, Snapshot},
};

/// Which members; everything given must match.
#[derive(Debug, Clone, Default)]
pub struct MemberFilter {
    /// Part of a name or an address.
    pub text: Option<String>,
    pub role: Option<Role>,
    pub status: Option<StatusWord>,
}

/// A member, and what an admin asks first about them.
#[derive(Debug)]
pub struct PersonView {
    pub member: MemberView,
    /// The last use of a browser or token of theirs that is still known.
    pub last_seen_at: Option<Timestamp>,
    /// Names of connections that are theirs to use and wait for their own sign-in or key.
    pub to_sign_in: Vec<String>,
}

impl Broker {
    /// By address, in pages.
    pub async fn find_members(
        &self,
        principal: &Principal,
        filter: &MemberFilter,
        page: &PageRequest,
    ) -> Result<Page<PersonView>, Refusal> {
        let _allowed = authorize(principal, Operation::ListMembers, Target::Organization)?;
        let limit = page.limit()?;
        let wanted = PersonFilter {
            text: filter.text.clone(),
            role: filter.role,
            status: filter.status.map(Into::into),
            after: page.after()?,
        };
        let most = u32::try_from(limit + 1).unwrap_or(u32::MAX);
        let mut tx = self.db().read().await?;
        let mut people = tx.people(principal.organization, &wanted, most).await?;
        let more = people.len() > limit;
        people.truncate(limit);
        let ids: Vec<MemberId> = people.iter().map(|person| person.member.id).collect();
        let mut teams = teams_of(&mut tx, principal.organization, &ids).await?;
        drop(tx);
        let next_cursor = people.last().filter(|_| more).map(|last| write_cursor(&last.member.email));
        let snapshot = self.organization_snapshot(principal.organization)?;
        let shown = people.into_iter().map(|person| {
            let teams = teams.remove(&person.member.id).unwrap_or_default();
            self.person_view(&snapshot, person, teams)
        });
        Ok(Page { items: shown.collect(), next_cursor })
    }

    /// One member, as the list shows them.
    pub async fn read_person(&self, principal: &Principal, id: MemberId) -> Result<PersonView, Refusal> {
        let _allowed = authorize(principal, Operation::ListMembers, Target::Organization)?;
        let member = self.read_member(principal, id).await?;
        let mut tx = self.db().read().await?;
        let address = PersonFilter { text: Some(member.email.clone()), ..PersonFilter::default() };
        // An address may be a part of others.
        let found = tx.people(principal.organization, &address, 200).await?;
        drop(tx);
        let snapshot = self.organization_snapshot(principal.organization)?;
        let person =
            found.into_iter().find(|person| person.member.id == id).ok_or_else(Refusal::not_found)?;
        Ok(self.person_view(&snapshot, person, member.teams))
    }

    /// Whether there is no other owner who could take over.
    pub async fn is_last_owner(&self, principal: &Principal, member: &MemberView) -> Result<bool, Refusal> {
        if member.role != Role::Owner || member.status != StatusWord::Active.as_str() {
            return Ok(false);
        }
        let mut tx = self.db().single().await?;
        Ok(tx.members().count_owners(principal.organization).await? <= 1)
    }

    fn person_view(&self, snapshot: &Snapshot, person: Person, teams: Vec<TeamId>) -> PersonView {
        let as_they_are = Principal {
            organization: person.member.organization,
            caller: Caller::Member(person.member.id),
            role: person.member.role,
            teams: Arc::from(teams.as_slice()),
            scopes: Default::default(),
            proof: Proof::Inquiry,
            toolkits: None,
        };
        let mut to_sign_in: Vec<String> = snapshot
            .connections
            .values()
            .filter(|known| self.waits_for(known, &as_they_are, person.member.id))
            .map(|known| known.connection.name.clone())
            .collect();
        to_sign_in.sort();
        PersonView {
            last_seen_at: person.last_seen_at,
            member: member_view(person.member, teams),
            to_sign_in,
        }
    }

    /// Whether a connection is theirs to use, as soon as they sign in or give a key of their own.
    fn waits_for(&self, known: &Known, principal: &Principal, member: MemberId) -> bool {
        let connection = &*known.connection;
        let own_account = connection.owner == ConnectionOwner::Organization
            && connection.credential_mode == CredentialMode::PerMember
            && connection.auth_type != AuthType::None
            && connection.switches.enabled;
        own_account
            && is_granted(principal, connection, &known.grants)
            && matches!(
                self.status_of(known, CredentialOwner::Member(member)).status,
                ConnectionStatus::NeedsConnection
                    | ConnectionStatus::ReauthRequired
                    | ConnectionStatus::Authorizing
            )
    }
}
