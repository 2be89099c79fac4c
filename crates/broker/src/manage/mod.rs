//! Administration: what the REST API, the console and the command line do besides calls.
//!
//! Every use case is one method of [`Broker`] that takes the [`Principal`] who asks. It begins with
//! [`authorize()`], whose answer ([`Allowed`]) is needed to end it: [`Broker::commit_change`] commits, brings what
//! calls know up to date and puts the change on record. A change that nobody allowed does not compile.
//!
//! What may not be seen does not exist: a forbidden thing and an unknown one are refused alike (THREATS Z9).

mod authorize;
mod connection;
mod connection_edit;
mod connection_input;
mod connection_view;
mod credential;
mod grant;
mod organization;
mod page;
mod record;
mod refusal;
mod setup;
mod token;

pub use authorize::{Allowed, Needs, Operation, Target, authorize};
pub use connection::{ConnectionScope, CreatedConnection};
pub use connection_edit::ConnectionEdit;
pub use connection_input::{ApiKeyInput, MemberHeader, NewConnection, OwnerWord};
pub use connection_view::{ApiKeyPlace, ConnectionView};
pub use credential::{CredentialInput, CredentialView};
pub use grant::{GrantsInput, GrantsView};
pub use organization::OrganizationView;
pub use page::{Page, PageRequest};
pub use refusal::{Refusal, RefusalKind, Violation};
pub use setup::{Administration, AdministrationError, NewOwner, Owner, SetupLink, SetupOutcome};
pub use token::{CreatedToken, NewToken, TokenView};
