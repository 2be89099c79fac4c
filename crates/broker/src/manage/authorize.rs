//! Who may do what in administration: one function, asked by every use case (THREATS Z1 to Z5).

use switchboard_domain::{Caller, Connection, ConnectionOwner, Grants, MemberId, Principal, Proof, Rollout};
use switchboard_policy::{ApprovalRequirement, Decider};
use switchboard_storage::Approval;

use crate::approvals::Asker;

use super::Refusal;

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $action:literal, $needs:ident, $effect:ident;)*) => {
        /// Everything administration can do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Operation { $($(#[$doc])* $name),* }

        impl Operation {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// What the audit log calls it: `<noun>.<verb>`.
            pub const fn action(self) -> &'static str {
                match self { $(Self::$name => $action),* }
            }

            pub const fn needs(self) -> Needs {
                match self { $(Self::$name => Needs::$needs),* }
            }

            /// Whether it changes something: then it is on record, done or refused.
            pub const fn is_write(self) -> bool {
                match self { $(Self::$name => operations!(@effect $effect)),* }
            }
        }
    };
    (@effect Reads) => { false };
    (@effect Writes) => { true };
}

/// What an operation asks of the principal, towards its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing but being in the organization: what is the caller's own, and what everybody may know.
    Membership,
    /// An admin or owner of the organization.
    Admin,
    /// An admin, or whoever the connection is enabled and granted for; its owner where it is personal.
    Sight,
    /// A grant that reaches the caller, admin or not: seeing is not using.
    Grant,
    /// An admin; of a personal connection or toolkit, its owner alone.
    Management,
    /// The caller's own, or an admin.
    Ownership,
    /// Whose agent asked for an approval, whoever may decide it, an admin.
    Involvement,
    /// Whom the rules name as approver; not with the token, or through the client, that asked.
    Decision,
}

operations! {
    ReadOrganization = "organization.read", Membership, Reads;
    UpdateOrganization = "organization.update", Admin, Writes;
    ListMembers = "member.list", Admin, Reads;
    ReadMember = "member.read", Ownership, Reads;
    UpdateMember = "member.update", Admin, Writes;
    RemoveMember = "member.remove", Ownership, Writes;
    ListInvitations = "invitation.list", Admin, Reads;
    CreateInvitation = "invitation.create", Admin, Writes;
    RevokeInvitation = "invitation.revoke", Admin, Writes;
    ListIdentityProviders = "identity_provider.list", Admin, Reads;
    ReadIdentityProvider = "identity_provider.read", Admin, Reads;
    CreateIdentityProvider = "identity_provider.create", Admin, Writes;
    UpdateIdentityProvider = "identity_provider.update", Admin, Writes;
    DeleteIdentityProvider = "identity_provider.delete", Admin, Writes;
    ListTeams = "team.list", Admin, Reads;
    CreateTeam = "team.create", Admin, Writes;
    UpdateTeam = "team.update", Admin, Writes;
    DeleteTeam = "team.delete", Admin, Writes;
    PutTeamMembers = "team.members", Admin, Writes;
    ListServiceAccounts = "service_account.list", Admin, Reads;
    CreateServiceAccount = "service_account.create", Admin, Writes;
    ReadServiceAccount = "service_account.read", Admin, Reads;
    UpdateServiceAccount = "service_account.update", Admin, Writes;
    RemoveServiceAccount = "service_account.remove", Admin, Writes;
    CreateServiceAccountSecret = "service_account.secret", Admin, Writes;
    ListOauthClients = "oauth_client.list", Admin, Reads;
    ReadOauthClient = "oauth_client.read", Admin, Reads;
    CreateOauthClient = "oauth_client.create", Admin, Writes;
    UpdateOauthClient = "oauth_client.update", Admin, Writes;
    RemoveOauthClient = "oauth_client.remove", Admin, Writes;
    RotateOauthClientSecret = "oauth_client.secret", Admin, Writes;
    ListTokens = "token.list", Membership, Reads;
    CreateToken = "token.create", Membership, Writes;
    CreateServiceToken = "token.create_service", Admin, Writes;
    RevokeToken = "token.revoke", Ownership, Writes;
    ListSessions = "session.list", Membership, Reads;
    RevokeSession = "session.revoke", Ownership, Writes;
    RevokeOtherSessions = "session.revoke_others", Membership, Writes;
    ListAllowedClients = "allowed_client.list", Membership, Reads;
    RevokeAllowedClient = "allowed_client.revoke", Ownership, Writes;
    ListConnections = "connection.list", Membership, Reads;
    CreateConnection = "connection.create", Admin, Writes;
    CreatePersonalConnection = "connection.create_personal", Membership, Writes;
    ReadConnection = "connection.read", Sight, Reads;
    UpdateConnection = "connection.update", Management, Writes;
    DeleteConnection = "connection.delete", Management, Writes;
    ReadGrants = "grants.read", Management, Reads;
    PutGrants = "grants.put", Management, Writes;
    PutSharedCredential = "credential.put_shared", Management, Writes;
    PutOwnCredential = "credential.put", Grant, Writes;
    DeleteSharedCredential = "credential.delete_shared", Management, Writes;
    DeleteOwnCredential = "credential.delete", Sight, Writes;
    ListCredentials = "credential.list", Admin, Reads;
    DeleteAllCredentials = "credential.delete_all", Admin, Writes;
    StartSharedAuthorization = "authorization.start_shared", Management, Writes;
    StartOwnAuthorization = "authorization.start", Grant, Writes;
    ReadAuthorization = "authorization.read", Ownership, Reads;
    RefreshConnection = "connection.refresh", Management, Writes;
    CheckConnection = "connection.check", Management, Writes;
    ReadRollout = "rollout.read", Admin, Reads;
    PublishConnections = "rollout.publish", Admin, Writes;
    TakeBackConnections = "rollout.take_back", Admin, Writes;
    ListTools = "tool.list", Sight, Reads;
    /// The call itself is on record as every call is.
    CallTool = "tool.call", Grant, Reads;
    ReadReview = "review.read", Management, Reads;
    DecideReview = "review.decide", Management, Writes;
    ListToolkits = "toolkit.list", Membership, Reads;
    ReadToolkit = "toolkit.read", Sight, Reads;
    CreateToolkit = "toolkit.create", Admin, Writes;
    CreatePersonalToolkit = "toolkit.create_personal", Membership, Writes;
    UpdateToolkit = "toolkit.update", Management, Writes;
    DeleteToolkit = "toolkit.delete", Management, Writes;
    ReadToolkitPolicies = "toolkit_policies.read", Management, Reads;
    PutToolkitPolicies = "toolkit_policies.put", Management, Writes;
    ReadPolicies = "policies.read", Admin, Reads;
    PutPolicies = "policies.put", Admin, Writes;
    ReadOwnPolicies = "own_policies.read", Membership, Reads;
    PutOwnPolicies = "own_policies.put", Membership, Writes;
    ExplainPolicies = "policies.explain", Ownership, Reads;
    ListApprovals = "approval.list", Membership, Reads;
    ReadApproval = "approval.read", Involvement, Reads;
    Approve = "approval.approve", Decision, Writes;
    Decline = "approval.decline", Decision, Writes;
    ListWebhooks = "webhook.list", Admin, Reads;
    CreateWebhook = "webhook.create", Admin, Writes;
    ReadWebhook = "webhook.read", Admin, Reads;
    UpdateWebhook = "webhook.update", Admin, Writes;
    DeleteWebhook = "webhook.delete", Admin, Writes;
    ReadGuardrail = "guardrail.read", Admin, Reads;
    PutGuardrail = "guardrail.put", Admin, Writes;
    DeleteGuardrail = "guardrail.delete", Admin, Writes;
    ReadAudit = "audit.read", Admin, Reads;
    ExportAudit = "audit.export", Admin, Reads;
    ReadAuditHeads = "audit_heads.read", Admin, Reads;
    /// Adds to what is kept about the log and changes nothing that is in it.
    SignAuditHeads = "audit_heads.sign", Admin, Reads;
    VerifyAudit = "audit.verify", Admin, Reads;
    ReadUsage = "usage.read", Admin, Reads;
    ReadQuotas = "quotas.read", Admin, Reads;
    PutQuotas = "quotas.put", Admin, Writes;
    /// Beyond being an admin: of owners alone.
    ReadSystem = "system.read", Admin, Reads;
    ListKnownServers = "known_server.list", Membership, Reads;
    /// Asks a server who it is and changes nothing.
    ProbeServer = "known_server.probe", Membership, Reads;
}

/// What an operation is about.
#[derive(Debug, Clone, Copy)]
pub enum Target<'t> {
    /// The organization as a whole, or the caller's own things in it.
    Organization,
    Connection {
        connection: &'t Connection,
        grants: &'t Grants,
    },
    /// A toolkit, by its owner and by whether its endpoint admits the caller.
    Toolkit {
        owner: Option<MemberId>,
        admits_caller: bool,
    },
    /// Something that belongs to one caller.
    Of(Caller),
    /// A held call, and who may decide it.
    Approval {
        approval: &'t Approval,
        requirement: &'t ApprovalRequirement,
        /// What the caller asks with.
        asker: &'t Asker,
    },
}

/// Proof that [`authorize`] said yes: who, and to what. Needed to put a change on record.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Allowed<'p> {
    principal: &'p Principal,
    operation: Operation,
}

impl<'p> Allowed<'p> {
    pub fn principal(&self) -> &'p Principal {
        self.principal
    }

    pub fn operation(&self) -> Operation {
        self.operation
    }
}

/// Whether the principal may. A target that does not fit the operation is a no.
pub fn authorize<'p>(
    principal: &'p Principal,
    operation: Operation,
    target: Target<'_>,
) -> Result<Allowed<'p>, Refusal> {
    let admin = principal.role.is_admin();
    let allowed = match (operation.needs(), target) {
        (Needs::Membership, Target::Organization) => true,
        (Needs::Admin, Target::Organization) => admin,
        (Needs::Sight, Target::Connection { connection, grants }) => {
            belongs(principal, connection) && {
                let open = connection.switches.enabled && is_granted(principal, connection, grants);
                open || manages(principal, connection)
            }
        }
        (Needs::Sight, Target::Toolkit { owner, admits_caller }) => match owner {
            Some(owner) => principal.member() == Some(owner),
            None => admin || admits_caller,
        },
        (Needs::Grant, Target::Connection { connection, grants }) => {
            belongs(principal, connection) && is_granted(principal, connection, grants)
        }
        (Needs::Management, Target::Connection { connection, .. }) => {
            belongs(principal, connection) && manages(principal, connection)
        }
        (Needs::Management, Target::Toolkit { owner, .. }) => match owner {
            Some(owner) => principal.member() == Some(owner),
            None => admin,
        },
        (Needs::Ownership, Target::Of(owner)) => admin || principal.caller == owner,
        (Needs::Involvement, Target::Approval { approval, requirement, .. }) => {
            // A personal connection is its owner's alone, and so are its calls, unless a rule asks an admin about them.
            let is_shared = !approval.capability.starts_with('~');
            principal.organization == approval.organization
                && (admin && is_shared
                    || principal.caller == approval.requested_by
                    || admits(principal, approval, requirement))
        }
        (Needs::Decision, Target::Approval { approval, requirement, asker }) => {
            !asked(principal, approval, asker) && admits(principal, approval, requirement)
        }
        _ => false,
    };
    if allowed { Ok(Allowed { principal, operation }) } else { Err(Refusal::forbidden()) }
}

fn admits(principal: &Principal, approval: &Approval, requirement: &ApprovalRequirement) -> bool {
    let Some(member) = principal.member() else { return false };
    let decider = Decider { member, role: principal.role, teams: principal.teams.to_vec() };
    principal.organization == approval.organization && requirement.admits(&decider, approval.requested_by)
}

/// Whether this is the token that asked, one of its line, or a token of the client that asked: what asks never decides,
/// and neither does what it makes for itself.
fn asked(principal: &Principal, approval: &Approval, asker: &Asker) -> bool {
    match &principal.proof {
        Proof::Session(_) => false,
        Proof::Token(_) | Proof::Grant { .. } => {
            (approval.token.is_some() && approval.token == asker.token)
                || (approval.oauth_client.is_some() && approval.oauth_client == asker.client)
        }
        Proof::Inquiry => true,
    }
}

fn belongs(principal: &Principal, connection: &Connection) -> bool {
    principal.organization == connection.organization
}

/// An admin of the organization's own; the owner alone of a personal one.
fn manages(principal: &Principal, connection: &Connection) -> bool {
    match connection.owner {
        ConnectionOwner::Organization => principal.role.is_admin(),
        ConnectionOwner::Member(owner) => principal.member() == Some(owner),
    }
}

/// As calls decide it: a program is granted what everyone is, a personal connection is its owner's, a staged one is the
/// admins' among those it is granted to.
pub(crate) fn is_granted(principal: &Principal, connection: &Connection, grants: &Grants) -> bool {
    let is_out = connection.switches.rollout != Rollout::Staged || principal.role.is_admin();
    match (connection.owner, principal.caller) {
        (ConnectionOwner::Member(owner), caller) => caller == Caller::Member(owner),
        (ConnectionOwner::Organization, Caller::Member(member)) => {
            is_out && grants.reach(member, &principal.teams)
        }
        (ConnectionOwner::Organization, Caller::ServiceAccount(_)) => is_out && grants.everyone,
    }
}
