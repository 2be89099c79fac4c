//! What Switchboard remembers, on SQLite or PostgreSQL, behind one set of SQL statements.
//!
//! A [`Db`] gives transactions ([`Tx`]); a transaction gives repositories: `tx.connections().find(org, id)`.
//! The organization comes first in every signature and every statement. Not found is `Ok(None)`; uniqueness is
//! told by the operation (`SlugTaken`), not by an error. Every change of what callers may see or use raises the
//! organization's version in the same transaction; replicas poll the versions and reload a [`Snapshot`].
//!
//! Nothing here opens a secret: [`Sealed`] bytes come from the vault and go back to it.
//! See `docs/adr/0002-one-sql-text-two-databases.md`.

mod allowed_client;
mod approval;
mod audit;
mod audit_head;
mod audit_page;
mod capability;
mod changes;
mod connection;
mod connection_key;
mod credential;
mod db;
mod error;
mod grant;
mod guardrail;
mod identity;
mod identity_provider;
mod identity_revocation;
mod instructions;
mod invitation;
mod kept_form;
mod key;
mod lease;
mod leaving;
mod mcp_relay;
mod mcp_session;
mod mcp_task;
mod mcp_used_state;
mod member;
mod migrate;
mod oauth_client;
mod oauth_grant;
mod oauth_request;
mod organization;
mod person;
mod postgres;
mod revocation;
mod row;
mod sealed;
mod seen_client;
mod service_account;
mod session;
mod setup_link;
mod sign_in;
mod snapshot;
mod sqlite;
mod sqlite_audit;
mod statement;
mod team;
mod token;
mod tool_usage;
mod toolkit;
mod transaction;
mod upstream_authorization;
mod upstream_client;
mod upstream_issuer;
mod usage;
mod webhook;

pub use allowed_client::{AllowedClient, AllowedClients};
pub use approval::{Approval, Approvals};
pub use audit::{Audit, AuditCursor, AuditEntry, AuditFilter, CallsOf, HourlyCalls};
pub use audit_head::{AuditHeads, SignedHead};
pub use capability::{Capabilities, CapabilityRow, Definition, LightCapability};
pub use changes::{Change, Changes};
pub use connection::{CatalogedConnection, Connections, InsertConnection, UpdateConnection};
pub use connection_key::{ConnectionKeyRow, ConnectionKeys};
pub use credential::{CredentialHealth, CredentialInfo, Credentials, PutCredential, StoredCredential};
pub use db::{AuditDurability, Db, Location, Migrations, Options};
pub use error::{Cause, StorageError};
pub use grant::GrantRows;
pub use guardrail::{Guardrail, Guardrails};
pub use identity::{Identities, Identity, IdentityAccount};
pub use identity_provider::{IdentityProvider, IdentityProviders, SealedWith};
pub use identity_revocation::{IdentityRevocation, IdentityRevocations};
pub use instructions::Instructions;
pub use invitation::{Invitation, Invitations};
pub use kept_form::{KeptFormRow, KeptForms};
pub use key::{DataKey, KeyEncryptionKey, KeyState, Keys};
pub use lease::{Lease, Leases};
pub use mcp_relay::{McpEvent, McpLetter, McpRelay};
pub use mcp_session::{McpSessionRow, McpSessions};
pub use mcp_task::{McpTask, McpTaskPlace, McpTasks};
pub use mcp_used_state::McpUsedStates;
pub use member::{InsertMember, Member, MemberStatus, Members};
pub use migrate::{MIGRATIONS, Migration, SchemaError, SchemaStatus};
pub use oauth_client::{OauthClient, OauthClientKind, OauthClients};
pub use oauth_grant::{OauthCode, OauthGrant, OauthGrants, OauthRefreshToken, UsedGrant};
pub use oauth_request::{OauthRequest, OauthRequests};
pub use organization::{InsertOrganization, Organization, Organizations};
pub use person::{Person, PersonFilter};
pub use revocation::{Revocation, Revocations};
pub use sealed::{SealedColumn, SealedRow, SealedValues};
pub use seen_client::{SeenClient, SeenClients};
pub use service_account::{ServiceAccount, ServiceAccounts, UpdateServiceAccount};
pub use session::{Session, SessionOwner, Sessions};
pub use setup_link::{SetupLinkFacts, SetupLinks};
pub use sign_in::{SignIn, SignInPurpose, SignIns};
pub use snapshot::{Snapshot, SnapshotConnection};
pub use sqlite::Faults;
pub use statement::{Dialect, Statement};
pub use team::{InsertTeam, Team, Teams};
pub use token::{StoredToken, TokenGrant, TokenKind, TokenOrigin, TokenOwner, Tokens};
pub use tool_usage::ToolCount;
pub use toolkit::{Policies, PolicyDocument, PolicyLayer, Toolkit, ToolkitSurface, Toolkits};
pub use transaction::Tx;
pub use upstream_authorization::{
    PendingAuthorization, SentAway, UpstreamAuthorization, UpstreamAuthorizationStatus,
    UpstreamAuthorizations,
};
pub use upstream_client::{UpstreamClientKind, UpstreamClientRow, UpstreamClients};
pub use upstream_issuer::{UpstreamIssuer, UpstreamIssuers};
pub use usage::{QuotaUse, Usage, UsageBy, UsageKey, UsageSum, UsageTotal};
pub use webhook::{Delivery, Webhook, Webhooks};

pub use switchboard_vault::Sealed;

/// Every statement there is, for the tests that prepare each on both databases and read its text.
pub fn statements() -> impl Iterator<Item = Statement> {
    [
        allowed_client::ALL,
        approval::ALL,
        audit::ALL,
        audit_head::ALL,
        audit_page::ALL,
        capability::ALL,
        connection::ALL,
        connection_key::ALL,
        credential::ALL,
        grant::ALL,
        guardrail::ALL,
        identity::ALL,
        identity_provider::ALL,
        identity_revocation::ALL,
        instructions::ALL,
        invitation::ALL,
        key::ALL,
        leaving::ALL,
        lease::ALL,
        member::ALL,
        oauth_client::ALL,
        oauth_grant::ALL,
        oauth_request::ALL,
        organization::ALL,
        person::ALL,
        sealed::ALL,
        seen_client::ALL,
        revocation::ALL,
        service_account::ALL,
        kept_form::ALL,
        mcp_relay::ALL,
        mcp_session::ALL,
        mcp_task::ALL,
        mcp_used_state::ALL,
        session::ALL,
        setup_link::ALL,
        sign_in::ALL,
        team::ALL,
        token::ALL,
        tool_usage::ALL,
        toolkit::ALL,
        upstream_authorization::ALL,
        upstream_client::ALL,
        upstream_issuer::ALL,
        usage::ALL,
        webhook::ALL,
    ]
    .into_iter()
    .flatten()
    .copied()
}
