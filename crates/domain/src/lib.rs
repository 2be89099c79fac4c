//! What Switchboard is about, without any library that does I/O: ids, names, principals, connections,
//! grants, capabilities, audit entries, secrets as types, and the two parameters every effect takes
//! ([`Clock`], [`Random`]).
//!
//! Nothing here is async, nothing reads a file or a socket, nothing knows SQL. See
//! `docs/ARCHITECTURE.md` for the vocabulary: one word per concept, the same in code, API and console.

mod access;
mod approval;
mod audit;
mod capability;
mod clock;
mod connection;
mod error;
mod guardrail;
mod id;
mod name;
mod period;
mod principal;
mod random;
mod secret;
mod status;
mod webhook;

pub use access::{Grant, GrantSubject, Grants, Scope, Scopes};
pub use approval::ApprovalStatus;
pub use audit::{AuditAction, AuditEvent, AuditOutcome, AuditPhase, AuditRecord};
pub use capability::{CapabilityKind, CapabilityState, Fingerprint};
pub use clock::{Clock, FixedClock, SystemClock, Timestamp};
pub use connection::{
    ApiKeyHeader, AssertionAudience, AuthConfig, AuthType, Availability, ClientCredentialsConfig,
    ClientRegistration, Connection, ConnectionOwner, CredentialMode, CredentialOwner, OauthConfig,
    ProtocolEra, Rollout, Switches, ToolFilter, Transport,
};
pub use error::{Action, ActionType, Actor, CallError, ErrorCode, Retry};
pub use guardrail::GuardrailFailure;
pub use id::{
    ApprovalId, AuthorizationId, CallId, ConnectionId, CredentialId, DataKeyId, EventId, GuardrailId,
    IdError, IdentityId, IdentityProviderId, InvitationId, KeptFormId, KeyEncryptionKeyId, McpLetterId,
    McpTaskId, MemberId, OauthClientId, OauthGrantId, OrganizationId, RefreshTokenId, ServiceAccountId,
    SessionId, SetupLinkId, TeamId, TokenId, ToolkitId, WebhookId, WriterId,
};
pub use name::{CapabilityName, CapabilityPattern, NameError, Slug};
pub use period::Period;
pub use principal::{COMMAND_LINE, Caller, ClientInfo, Principal, Proof, Resource, Role};
pub use random::{Random, SeededRandom, SystemRandom};
pub use secret::SecretValue;
pub use status::{ConnectionStatus, Diagnosis, Stage, Status};
pub use webhook::WebhookFormat;
