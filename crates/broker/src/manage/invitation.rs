//! Invitations: an admin asks somebody in, a link goes to them by whatever way the admin likes, and it works once.
//! Nobody signs up without one.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use switchboard_domain::{
    AuditOutcome, AuditPhase, AuditRecord, InvitationId, MemberId, Principal, Role, SecretValue,
    ServiceAccountId, TeamId, Timestamp,
};
use switchboard_storage::{InsertMember, Invitation, Member, MemberStatus, StorageError, Tx};
use switchboard_vault::{TokenHash, TokenKind, issue, parse};

use super::{
    Operation, Page, PageRequest, Refusal, Target, authorize,
    identity_provider::password_sign_in,
    membership::check_owner,
    record::Change,
    refusal::Violations,
    setup::{check_password, is_email},
};
use crate::{
    Broker, audit,
    identity::{Offer, offers},
    session::{Browser, NewSession, OpenedSession},
};

const DAY: u64 = 24 * 60 * 60;
const DEFAULT_DAYS: u32 = 7;
const MAX_DAYS: u32 = 30;

/// Whom to invite.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    pub email: String,
    /// `member` without; `admin`, or by an owner `owner`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub role: Option<Role>,
    /// Teams they are in from the start.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub teams: Vec<TeamId>,
    /// 7 without, at most 30.
    #[serde(default)]
    pub expires_in_days: Option<u32>,
}

/// An invitation, without its link.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Invitation)]
pub struct InvitationView {
    #[schema(value_type = String)]
    pub id: InvitationId,
    pub email: String,
    #[schema(value_type = String)]
    pub role: Role,
    #[schema(value_type = Vec<String>)]
    pub teams: Vec<TeamId>,
    /// `pending`, `accepted`, `revoked` or `expired`.
    pub status: &'static str,
    /// Id of who invited.
    pub invited_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// A new invitation; the link is shown this once.
#[derive(Debug)]
pub struct CreatedInvitation {
    pub url: SecretValue,
    pub invitation: InvitationView,
}

/// What an invitation's page shows.
#[derive(Debug)]
pub enum InvitationState {
    Open { email: String, organization: String, by_password: bool, offers: Vec<Offer> },
    Used,
    Expired,
    Unknown,
}

/// Why an invitation let nobody in.
#[derive(Debug)]
pub enum AcceptError {
    Over(InvitationState),
    Refused(Refusal),
}

impl<E: Into<Refusal>> From<E> for AcceptError {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

fn view(invitation: Invitation, now: Timestamp) -> InvitationView {
    let status = match &invitation {
        it if it.accepted_at.is_some() => "accepted",
        it if it.revoked_at.is_some() => "revoked",
        it if it.is_open(now) => "pending",
        _ => "expired",
    };
    InvitationView {
        id: invitation.id,
        email: invitation.email,
        role: invitation.role,
        teams: invitation.teams,
        status,
        invited_by: invitation.invited_by,
        created_at: invitation.created_at,
        expires_at: invitation.expires_at,
    }
}

impl Broker {
    pub async fn list_invitations(
        &self,
        principal: &Principal,
        page: &PageRequest,
    ) -> Result<Page<InvitationView>, Refusal> {
        let _allowed = authorize(principal, Operation::ListInvitations, Target::Organization)?;
        let now = self.clock().now();
        let mut all = self.db().single().await?.invitations().list(principal.organization).await?;
        // Newest first: the key counts down.
        let key = |it: &Invitation| format!("{:032x}", u128::MAX - it.id.as_uuid().as_u128());
        all.sort_by_key(key);
        Ok(page.cut(all, key)?.map(|invitation| view(invitation, now)))
    }

    pub async fn create_invitation(
        &self,
        principal: &Principal,
        new: NewInvitation,
    ) -> Result<CreatedInvitation, Refusal> {
        let allowed = authorize(principal, Operation::CreateInvitation, Target::Organization)?;
        let role = new.role.unwrap_or(Role::Member);
        check_owner(principal, Role::Member, role)?;
        let days = check_invitation(&new)?;
        let issued = issue(TokenKind::Invitation, self.random());
        let now = self.clock().now();
        let invitation = Invitation {
            id: InvitationId::new(self.clock(), self.random()),
            organization: principal.organization,
            email: new.email.trim().to_owned(),
            role,
            teams: new.teams,
            invited_by: principal.caller.to_string(),
            created_at: now,
            expires_at: now.plus(Duration::from_secs(u64::from(days) * DAY)),
            accepted_at: None,
            revoked_at: None,
        };
        let mut tx = self.db().write().await?;
        let known = tx.members().find_by_email(principal.organization, &invitation.email).await?;
        if known.is_some_and(|member| member.status != MemberStatus::Removed) {
            return Err(Refusal::conflict("email_taken", "Somebody with that address is a member already."));
        }
        let teams = tx.teams().list(principal.organization).await?;
        if invitation.teams.iter().any(|wanted| teams.iter().all(|team| team.id != *wanted)) {
            return Err(StorageError::Reference.into());
        }
        tx.invitations().insert(&invitation, issued.hash.as_bytes()).await?;
        let details = json!({ "email": invitation.email, "role": role, "expires_at": invitation.expires_at });
        self.commit_change(&allowed, tx, Change::of(invitation.id).with(details)).await?;
        let origin = self.public_url().as_str().trim_end_matches('/');
        let url = SecretValue::new(format!("{origin}/invitations/{}", issued.secret.expose()));
        Ok(CreatedInvitation { url, invitation: view(invitation, now) })
    }

    pub async fn revoke_invitation(&self, principal: &Principal, id: InvitationId) -> Result<(), Refusal> {
        let allowed = authorize(principal, Operation::RevokeInvitation, Target::Organization)?;
        let mut tx = self.db().write().await?;
        if !tx.invitations().revoke(principal.organization, id, self.clock().now()).await? {
            return Err(Refusal::not_found());
        }
        self.commit_change(&allowed, tx, Change::of(id)).await
    }

    /// For the page that the link opens; opening it burns nothing.
    pub async fn invitation_state(&self, token: &str) -> Result<InvitationState, StorageError> {
        let Some(hash) = invitation_hash(token) else { return Ok(InvitationState::Unknown) };
        let mut tx = self.db().read().await?;
        let Some(found) = tx.invitations().find_by_hash(hash.as_bytes()).await? else {
            return Ok(InvitationState::Unknown);
        };
        let now = self.clock().now();
        let organization = tx.organizations().find(found.organization).await?;
        let providers = tx.identity_providers().list(found.organization).await?;
        Ok(match (organization, found) {
            (Some(organization), it) if it.is_open(now) => InvitationState::Open {
                email: it.email,
                by_password: it.role == Role::Owner || password_sign_in(&organization.settings),
                offers: offers(&organization.slug, providers),
                organization: organization.name,
            },
            (_, it) if it.accepted_at.is_some() || it.revoked_at.is_some() => InvitationState::Used,
            _ => InvitationState::Expired,
        })
    }

    /// Burns the link, makes the member, signs them in.
    pub async fn accept_invitation(
        &self,
        token: &str,
        name: &str,
        password: SecretValue,
        browser: &Browser,
    ) -> Result<OpenedSession, AcceptError> {
        let accepted = self.accept(token, name, password, browser).await;
        if let Err(error) = &accepted {
            self.record_refused_acceptance(token, error).await;
        }
        accepted
    }

    /// Where the link is one of ours, so that it is known whose it is.
    async fn record_refused_acceptance(&self, token: &str, error: &AcceptError) {
        let found = async {
            let hash = invitation_hash(token)?;
            self.db().single().await.ok()?.invitations().find_by_hash(hash.as_bytes()).await.ok()?
        };
        let Some(invitation) = found.await else { return };
        let code = match error {
            AcceptError::Over(InvitationState::Expired) => "invitation_expired",
            AcceptError::Over(_) => "invitation_used",
            AcceptError::Refused(refusal) => refusal.code,
        };
        let record = AuditRecord {
            actor: Some(json!({ "type": "invitation", "id": invitation.id })),
            target: Some(invitation.id.to_string()),
            outcome: Some(AuditOutcome::Refused),
            code: Some(code.to_owned()),
            details: Some(json!({ "email": invitation.email, "role": invitation.role })),
            ..AuditRecord::default()
        };
        let now = self.clock().now();
        let event =
            audit::event(invitation.organization, now, AuditPhase::Event, "invitation.accept", record);
        self.record_bounded(event).await;
    }

    async fn accept(
        &self,
        token: &str,
        name: &str,
        password: SecretValue,
        browser: &Browser,
    ) -> Result<OpenedSession, AcceptError> {
        // Before a password is hashed: only who holds a link may make us work.
        let email = match self.invitation_state(token).await? {
            InvitationState::Open { by_password: true, email, .. } => email,
            InvitationState::Open { .. } => return Err(AcceptError::Refused(no_password())),
            over => return Err(AcceptError::Over(over)),
        };
        let hash = invitation_hash(token).ok_or(AcceptError::Over(InvitationState::Unknown))?;
        check_acceptance(&email, name, &password)?;
        let password_hash = self.hash_new_password(password).await?;
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        let found = tx.invitations().find_by_hash(hash.as_bytes()).await?;
        let invitation = found.ok_or(AcceptError::Over(InvitationState::Unknown))?;
        if !tx.invitations().accept(invitation.organization, invitation.id, now).await?
            || !may_still_invite(&mut tx, &invitation).await?
        {
            return Err(AcceptError::Over(InvitationState::Used));
        }
        let member = self.take_in(&mut tx, &invitation, name, Some(&password_hash)).await?;
        let record = AuditRecord {
            actor: Some(json!({ "type": "invitation", "id": invitation.id })),
            target: Some(member.to_string()),
            outcome: Some(AuditOutcome::Ok),
            details: Some(json!({ "email": invitation.email, "role": invitation.role })),
            ..AuditRecord::default()
        };
        let event =
            audit::event(invitation.organization, now, AuditPhase::Event, "invitation.accept", record);
        self.commit_recorded(tx, event).await?;
        self.refresh_snapshots().await?;
        let (organization, method) = (invitation.organization, "password");
        Ok(self.open_session(NewSession { organization, member, method, browser }).await?)
    }

    /// A new member, or one who left and comes back under the same address.
    pub(crate) async fn take_in(
        &self,
        tx: &mut Tx,
        invitation: &Invitation,
        name: &str,
        password_hash: Option<&str>,
    ) -> Result<MemberId, Refusal> {
        let (organization, now) = (invitation.organization, self.clock().now());
        let known = tx.members().find_by_email(organization, &invitation.email).await?;
        let id = match known {
            Some(member) if member.status == MemberStatus::Removed => {
                tx.members().set_status(organization, member.id, MemberStatus::Active, now).await?;
                tx.members().set_role(organization, member.id, invitation.role, now).await?;
                if let Some(hash) = password_hash {
                    tx.members().set_password(organization, member.id, hash, now).await?;
                }
                member.id
            }
            Some(_) => {
                return Err(Refusal::conflict(
                    "email_taken",
                    "Somebody with that address is a member already.",
                ));
            }
            None => self.new_member(tx, invitation, name, password_hash).await?,
        };
        let teams = tx.teams().list(organization).await?;
        for team in invitation.teams.iter().filter(|wanted| teams.iter().any(|team| team.id == **wanted)) {
            tx.teams().add_member(organization, *team, id).await?;
        }
        tx.organizations().touch(organization).await?;
        Ok(id)
    }

    async fn new_member(
        &self,
        tx: &mut Tx,
        invitation: &Invitation,
        name: &str,
        password_hash: Option<&str>,
    ) -> Result<MemberId, Refusal> {
        let now = self.clock().now();
        let member = Member {
            id: MemberId::new(self.clock(), self.random()),
            organization: invitation.organization,
            email: invitation.email.clone(),
            display_name: name.trim().to_owned(),
            role: invitation.role,
            status: MemberStatus::Active,
            created_at: now,
            updated_at: now,
        };
        match tx.members().insert(&member, password_hash).await? {
            InsertMember::Inserted => Ok(member.id),
            InsertMember::EmailTaken => {
                Err(Refusal::conflict("email_taken", "Somebody with that address is a member already."))
            }
        }
    }
}

fn no_password() -> Refusal {
    Refusal::conflict(
        "password_sign_in_off",
        "Here people sign in with the identity provider, not with a password.",
    )
}

/// Whether who asked is still here and may still give that role. Theirs are revoked when that ends; this is for the one
/// that was being made at the same moment.
pub(crate) async fn may_still_invite(tx: &mut Tx, invitation: &Invitation) -> Result<bool, StorageError> {
    let (organization, by) = (invitation.organization, &invitation.invited_by);
    let inviter = match (by.parse::<MemberId>(), by.parse::<ServiceAccountId>()) {
        (Ok(id), _) => tx.members().find(organization, id).await?.map(|it| (it.status, it.role)),
        (_, Ok(id)) => tx.service_accounts().find(organization, id).await?.map(|it| (it.status, it.role)),
        _ => None,
    };
    Ok(inviter.is_some_and(|(status, role)| {
        status == MemberStatus::Active && role.is_admin() && role >= invitation.role
    }))
}

/// Days it lives; every member that is wrong is told at once.
fn check_invitation(new: &NewInvitation) -> Result<u32, Refusal> {
    let mut violations = Violations::default();
    if !is_email(new.email.trim()) {
        violations.add("email", "This is not an email address, such as ana@example.com.");
    }
    let days = new.expires_in_days.unwrap_or(DEFAULT_DAYS);
    if days == 0 || days > MAX_DAYS {
        violations.add("expires_in_days", format!("Use 1 to {MAX_DAYS} days."));
    }
    violations.into_result()?;
    Ok(days)
}

fn check_acceptance(email: &str, name: &str, password: &SecretValue) -> Result<(), Refusal> {
    let mut violations = Violations::default();
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        violations.add("name", "Use 1 to 100 characters: how the others know you.");
    }
    check_password(password, &[email, name], &mut violations);
    violations.into_result()
}

/// Reads the token of an invitation's link; any other of our tokens is none.
fn invitation_hash(token: &str) -> Option<TokenHash> {
    parse(token).ok().filter(|parsed| parsed.kind == TokenKind::Invitation).map(|parsed| parsed.hash)
}
