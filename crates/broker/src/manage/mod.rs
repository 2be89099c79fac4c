//! Administration: what the REST API, the console and the command line do besides calls.
//!
//! Every use case is one method of [`Broker`] that takes the [`Principal`] who asks. It begins with
//! [`authorize()`], whose answer ([`Allowed`]) is needed to end it: [`Broker::commit_change`] commits, brings what
//! calls know up to date and puts the change on record. A change that nobody allowed does not compile.
//!
//! What may not be seen does not exist: a forbidden thing and an unknown one are refused alike (THREATS Z9).

mod allowed_client;
mod approval;
mod arrival;
mod audit_chain;
mod audit_entry;
mod audit_log;
mod authorize;
mod client_history;
mod client_key;
mod connection;
mod connection_activity;
mod connection_authentication;
mod connection_edit;
mod connection_input;
mod connection_oauth;
mod connection_rename;
mod connection_view;
mod credential;
mod grant;
mod guardrail;
mod hidden_tool;
pub(crate) mod identity_provider;
mod invitation;
mod known_server;
mod member_list;
mod membership;
mod oauth_client;
mod organization;
mod overview;
mod page;
mod people;
mod policy;
mod quota;
mod reach;
mod record;
mod refusal;
mod review;
mod rollout;
mod service_account;
mod session;
mod setup;
mod system;
mod token;
mod tool;
mod tool_search;
mod tool_usage;
mod toolkit;
mod usage;
mod webhook;

pub use allowed_client::AllowedClientView;
pub use approval::{ApprovalDecision, ApprovalQuery, ApprovalView, InboxView};
pub use arrival::Arrival;
pub use audit_chain::{HeadView, HeadsView, VerifyAudit};
pub(crate) use audit_log::entry_view;
pub use audit_log::{AuditExport, AuditQuery};
pub use authorize::{Allowed, Needs, Operation, Target, authorize};
pub use client_history::{ClientHistory, HistoryStep};
pub use connection::{ConnectionFilter, ConnectionScope, CreatedConnection};
pub use connection_activity::{ActivityQuery, ActivityView, CallView};
pub use connection_authentication::{
    ApiKeyInput, ClientCredentialsInput, ClientCredentialsView, MemberHeader,
};
pub use connection_edit::ConnectionEdit;
pub use connection_input::{NewConnection, OwnerWord};
pub use connection_oauth::{OauthInput, OauthView};
pub use connection_view::{ApiKeyPlace, ConnectionView};
pub use credential::{CredentialInput, CredentialView, TakenAway};
pub use grant::{GrantsInput, GrantsView};
pub use guardrail::{GuardrailInput, GuardrailView, WrittenGuardrail};
pub use hidden_tool::{HiddenTool, HiddenTools};
pub use identity_provider::{IdentityProviderEdit, IdentityProviderView, NewIdentityProvider};
pub(crate) use invitation::may_still_invite;
pub use invitation::{AcceptError, CreatedInvitation, InvitationState, InvitationView, NewInvitation};
pub use known_server::Resolved;
pub use member_list::{MemberFilter, PersonView};
pub use membership::{MemberEdit, StatusWord};
pub use oauth_client::{CreatedOauthClient, NewOauthClient, OauthClientEdit, OauthClientView};
pub(crate) use organization::personal_connections_allowed;
pub use organization::{OrganizationEdit, OrganizationView, SettingsEdit, SettingsView};
pub(crate) use overview::CountedCalls;
pub use overview::{AilingConnection, Calls, OVERVIEW_HOURS, OverviewView};
pub use page::{Page, PageRequest};
pub use people::{MemberView, NewTeam, TeamEdit, TeamMembers, TeamSummary, TeamView};
pub use policy::{ExplainRequest, Rules};
pub use quota::{QuotaView, QuotasView};
pub use reach::{
    Nameable, NameableConnection, Reach, Reached, ReachedConnection, ReachedTool, RulesOf, Shown,
    ToolkitSummary,
};
pub(crate) use record::change_of;
pub use refusal::{Refusal, RefusalKind, Violation};
pub use review::{DifferenceView, ReviewDecision, ReviewDecisions, ReviewView, Verdict};
pub use rollout::{RolloutView, StagedConnection};
pub use service_account::{
    CreatedSecret, NewSecret, NewServiceAccount, ProgramRole, ServiceAccountEdit, ServiceAccountView,
};
pub use session::SessionView;
pub use setup::{SetupDone, SetupError, SetupLinkState, SetupRequest};
pub use system::SystemView;
pub use token::{CreatedToken, NewToken, TokenView};
pub use tool::{FindingView, RunError, ToolCall, ToolView};
pub use tool_search::{FoundTool, FoundTools, ToolDetail, ToolQuery, WaitingConnection};
pub(crate) use tool_usage::CountedDays;
pub use tool_usage::{CHARTS, CallChart, Tally};
pub use toolkit::{NewToolkit, SurfaceWord, ToolkitEdit, ToolkitView};
pub use usage::{UsageOf, UsageQuery, UsageRow, UsageView};
pub use webhook::{CreatedWebhook, NewWebhook, WebhookEdit, WebhookView, WebhooksView};
