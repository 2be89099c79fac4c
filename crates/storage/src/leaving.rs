//! What ends with a member: every way in, and every account of theirs at somebody else's server. In the transaction
//! that suspends or removes them, so that nothing outlives it.

use switchboard_domain::{Caller, MemberId, OrganizationId, Timestamp};

use crate::{
    StorageError, Tx,
    statement::{execute, statements},
};

statements! {
    GRANTS = "UPDATE oauth_grant SET revoked_at = $3, revoked_reason = 'member' WHERE organization_id = $1 AND member_id = $2 AND revoked_at IS NULL";
    CREDENTIALS = "DELETE FROM credential WHERE organization_id = $1 AND member_id = $2";
    /// Who they are at an identity provider stays known, so that its word doesn't let them in again as somebody new.
    IDENTITY_TOKENS = "UPDATE identity SET generation = generation + 1, health = 'reauth_required', expires_at = NULL, data_key_id = NULL, sealed = NULL WHERE organization_id = $1 AND member_id = $2 AND data_key_id IS NOT NULL";
    TEAMS = "DELETE FROM team_member WHERE organization_id = $1 AND member_id = $2";
    FORGET_PASSWORD = "UPDATE member SET password_hash = NULL WHERE organization_id = $1 AND id = $2";
}

impl Tx {
    /// Ends sessions, tokens, what AI clients were allowed, the member's own accounts at servers, the tokens of their
    /// identity provider, and the invitations they made: whoever is out must not come back in by one.
    pub async fn end_access(
        &mut self,
        organization: OrganizationId,
        member: MemberId,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        self.sessions().revoke_of_member(organization, member, None, now).await?;
        self.tokens().revoke_of_member(organization, member, now).await?;
        self.invitations().revoke_of_inviter(organization, &Caller::Member(member), now).await?;
        let (org, id) = (organization.as_uuid(), member.as_uuid());
        execute!(self, GRANTS, org, id, now.as_micros())?;
        self.revocations().queue_of_member(organization, member, now).await?;
        execute!(self, CREDENTIALS, org, id)?;
        self.identity_revocations().queue_of_member(organization, member, now).await?;
        execute!(self, IDENTITY_TOKENS, org, id)?;
        self.raise_version(organization).await
    }

    /// For good: also forgets the member's password and which teams they were in.
    pub async fn forget_membership(
        &mut self,
        organization: OrganizationId,
        member: MemberId,
    ) -> Result<(), StorageError> {
        let (org, id) = (organization.as_uuid(), member.as_uuid());
        execute!(self, TEAMS, org, id)?;
        execute!(self, FORGET_PASSWORD, org, id)?;
        self.raise_version(organization).await
    }
}
